//! B: what callers may do, as roles of Kubernetes say. What Entra authorization allows besides, Kubernetes does not list.

use std::collections::BTreeSet;

use wio_api::GROUP;

use super::super::access::{Act, Holder};
use super::super::facts::{Facts, Looked, seen};
use super::super::finding::Verdict;
use super::super::words::{counted, some};
use super::policies::record_is_kept;

/// Entra authorization gives besides what Kubernetes' roles give. A condition there does not tell a status from its binding.
pub(super) fn entra(facts: &Facts) -> Looked<Verdict> {
    let profile = &seen(&facts.azure.cluster)?.properties.aad_profile;
    Ok(match profile {
        Some(profile) if profile.enable_azure_rbac && !record_is_kept(facts) => {
            Verdict::yellow("Entra decides as well, and whoever may write bindings by it may write their status")
                .fix("kubectl apply --server-side --kustomize config/admission")
        }
        Some(profile) if profile.enable_azure_rbac => {
            Verdict::green("Entra decides as well, by role assignments in Azure")
        }
        _ => Verdict::green("Kubernetes' own roles alone decide"),
    })
}

const fn writing(group: &'static str, resource: &'static str) -> Act {
    Act {
        group,
        resource,
        creating: false,
    }
}

pub(super) fn binding_writers(facts: &Facts) -> Looked<Verdict> {
    let holders = seen(&facts.access)?.holders(&writing(GROUP, "workloadidentitybindings"));
    Ok(judged(
        &others(facts, holders),
        "write bindings",
        "what they get, policies decide",
    ))
}

pub(super) fn policy_writers(facts: &Facts) -> Looked<Verdict> {
    let access = seen(&facts.access)?;
    let mut holders = access.holders(&writing(GROUP, "workloadidentitypolicies"));
    holders.extend(access.holders(&writing(GROUP, "workloadidentityeffectivepolicies")));
    let holders: BTreeSet<Holder> = others(facts, holders)
        .into_iter()
        .filter(|one| one.namespace.is_none())
        .collect();
    Ok(judged(&holders, "write policies", "and so decide what everybody gets"))
}

pub(super) fn status_writers(facts: &Facts) -> Looked<Verdict> {
    let holders = seen(&facts.access)?.holders(&writing(GROUP, "workloadidentitybindings/status"));
    let holders = others(facts, holders);
    let few: Vec<&Holder> = holders.iter().filter(|one| !one.administrator).collect();
    if record_is_kept(facts) {
        return Ok(Verdict::green(
            "admission keeps it for the operator and administrators, whatever roles say",
        ));
    }
    let verdict = judged(
        &holders,
        "write the status of bindings",
        "the operator's memory of what it made in Azure",
    );
    Ok(if few.is_empty() || !verdict.fix.is_empty() {
        verdict
    } else {
        Verdict::yellow(format!(
            "{} may write it: the operator's memory of what it made in Azure",
            counted(few.len(), "other subject")
        ))
        .with_details(some(few.into_iter().map(Holder::told)))
        .fix("kubectl apply --server-side --kustomize config/admission")
    })
}

pub(super) fn pod_creators(facts: &Facts) -> Looked<Verdict> {
    let act = Act {
        group: "",
        resource: "pods",
        creating: true,
    };
    let holders = others(facts, seen(&facts.access)?.holders(&act));
    Ok(judged(
        &holders,
        "create pods",
        "and so use each identity that a service account there has",
    ))
}

/// All but the operator itself.
fn others(facts: &Facts, holders: BTreeSet<Holder>) -> BTreeSet<Holder> {
    let operator = format!("ServiceAccount {}/{}", facts.operator.namespace, facts.account());
    holders.into_iter().filter(|one| one.name != operator).collect()
}

fn judged(holders: &BTreeSet<Holder>, what: &str, which: &str) -> Verdict {
    let anybody: Vec<&Holder> = holders.iter().filter(|one| one.anybody).collect();
    if anybody.is_empty() {
        let everywhere = holders.iter().filter(|one| one.namespace.is_none());
        let (administrators, few): (Vec<&Holder>, Vec<&Holder>) = everywhere.partition(|one| one.administrator);
        let within: BTreeSet<&str> = holders.iter().filter_map(|one| one.namespace.as_deref()).collect();
        if holders.is_empty() {
            return Verdict::green(format!("nobody but Kubernetes' own administrators may {what}, {which}"));
        }
        return Verdict::green(format!(
            "{} may {what} everywhere beside {}, and somebody in {}, {which}",
            counted(few.len(), "subject"),
            counted(administrators.len(), "administrator"),
            counted(within.len(), "namespace")
        ))
        .with_details(some(few.into_iter().map(Holder::told)));
    }
    let mut verdict = Verdict::red(format!("nobody in particular may {what}, {which}"));
    for one in anybody {
        let place = one
            .namespace
            .as_ref()
            .map(|namespace| format!(" --namespace {namespace}"))
            .unwrap_or_default();
        verdict = verdict
            .detail(one.told())
            .fix(format!("kubectl delete {}{place}", crate::output::shell::word(&one.by)));
    }
    verdict
}
