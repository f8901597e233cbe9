//! C and D: the AKS resource, and the identities by which the cluster itself acts on Azure.

use crate::output::shell;
use crate::report::Looked;

use super::super::facts::{Facts, seen};
use super::super::finding::Verdict;
use super::super::words::upgrade;

/// Kubelets and add-ons have their identities in the node resource group: a binding with one of them would act as the cluster.
pub(super) fn node_group(facts: &Facts) -> Looked<Verdict> {
    let groups = seen(&facts.node_groups)?;
    if groups.is_empty() {
        return Err("no node says that it is of Azure".to_owned());
    }
    let settings = seen(&facts.effective)?.as_ref().map(|found| &found.spec.accepted);
    let protected = &settings.ok_or("there is no merged policy")?.protected_resource_groups;
    let is_protected = |group: &&String| protected.iter().any(|one| one.eq_ignore_ascii_case(group));
    let open: Vec<&String> = groups.iter().filter(|group| !is_protected(group)).collect();
    Ok(if open.is_empty() {
        Verdict::green(format!("protected: {}", groups.join(", ")))
    } else {
        let open: Vec<&str> = open.into_iter().map(String::as_str).collect();
        let all: Vec<&str> = protected
            .iter()
            .map(String::as_str)
            .chain(open.iter().copied())
            .collect();
        Verdict::yellow(format!(
            "a policy could give its identities to a binding: {}",
            open.join(", ")
        ))
        .fix(protect("protectedResourceGroups", &all, &facts.operator.namespace))
    })
}

/// The command that protects all of these.
fn protect(value: &str, all: &[&str], namespace: &str) -> String {
    let list = shell::word(&format!("azure.{value}={{{}}}", all.join(",")));
    format!("{} --set {list}", upgrade(namespace))
}
