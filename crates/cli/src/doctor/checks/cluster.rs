//! C and D: the AKS resource, and the identities by which the cluster itself acts on Azure.

use std::collections::BTreeSet;

use wio_azure::{ManagedClusterId, RoleDefinition};
use wio_core::names::IdentityId;

use crate::output::shell;

use super::super::facts::{CLUSTER_ID, Facts, Looked, Unseen, seen};
use super::super::finding::Verdict;
use super::super::words::{counted, some, upgrade};

/// Kubelets and add-ons have their identities in the node resource group: a binding with one of them would act as the cluster.
pub(super) fn node_group(facts: &Facts) -> Looked<Verdict> {
    let groups = seen(&facts.node_groups)?;
    if groups.is_empty() {
        return Err(Unseen::nothing("no node says that it is of Azure"));
    }
    let settings = seen(&facts.effective)?.as_ref().map(|found| &found.spec.accepted);
    let protected = &settings
        .ok_or_else(|| Unseen::nothing("there is no merged policy"))?
        .protected_resource_groups;
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
        .detail("with azure.clusterId, the cluster's resource id, the operator learns it by itself, and the identities of the cluster too")
        .fix(protect("protectedResourceGroups", &all, &facts.operator.namespace))
    })
}

/// By whichever of these roles somebody gets the administrator's certificate while local accounts are on.
const FETCH_ADMINISTRATORS: [(&str, &str); 4] = [
    ("8e3af657-a8ff-443c-a75c-2fe8c4bcb635", "Owner"),
    ("b24988ac-6180-42a0-ab88-20f7382dd24c", "Contributor"),
    (
        "0ab0b1a8-8aac-4efd-b8c2-3ee1fb270be8",
        "Azure Kubernetes Service Cluster Admin Role",
    ),
    (
        "ed7f3fbd-7b88-4dd4-9017-9adb7ce333f8",
        "Azure Kubernetes Service Contributor Role",
    ),
];

/// By whichever of these actions somebody gets it with a role of one's own.
const FETCHING: [&str; 2] = [
    "Microsoft.ContainerService/managedClusters/listClusterAdminCredential/action",
    "Microsoft.ContainerService/managedClusters/accessProfiles/listCredential/action",
];

pub(super) fn kubeconfig(facts: &Facts) -> Looked<Verdict> {
    let cluster = seen(&facts.azure.cluster)?;
    let assignments = seen(&facts.azure.assignments)?;
    if cluster.properties.disable_local_accounts {
        return Ok(Verdict::green(
            "a kubeconfig lets nobody in by itself: local accounts are off",
        ));
    }
    let custom = seen(&facts.azure.roles)?;
    let fetch = |role: &&RoleDefinition| FETCHING.iter().any(|action| role.allows(action));
    let fetch: Vec<&RoleDefinition> = custom.iter().filter(fetch).collect();
    let holders = assignments.iter().filter_map(|one| {
        let definition = one.definition.to_string();
        let built_in = FETCH_ADMINISTRATORS.iter().find(|(guid, _)| *guid == definition);
        let of_ones_own = || fetch.iter().find(|role| role.definition == one.definition);
        let role = match built_in {
            Some((_, role)) => *role,
            None => of_ones_own()?.name.as_str(),
        };
        Some(format!("principal {} by {role} at {}", one.principal, one.scope))
    });
    let holders: BTreeSet<String> = holders.collect();
    Ok(if holders.is_empty() {
        Verdict::green("nobody has a role at the cluster that fetches the administrator's")
    } else {
        Verdict::yellow(format!(
            "{} may fetch the administrator's, and with it do everything",
            counted(holders.len(), "principal")
        ))
        .with_details(some(holders))
        .fix(facts.aks_update("--disable-local-accounts"))
    })
}

/// A binding with one of these would act as the cluster.
pub(super) fn identities(facts: &Facts) -> Looked<Verdict> {
    let cluster = seen(&facts.azure.cluster)?;
    let id = facts
        .azure
        .id
        .as_ref()
        .ok_or_else(|| Unseen::nothing("it was not said which cluster it is"))?;
    let settings = seen(&facts.effective)?.as_ref().map(|found| &found.spec.accepted);
    let settings = settings.ok_or_else(|| Unseen::nothing("there is no merged policy"))?;
    let (groups, ids) = (&settings.protected_resource_groups, &settings.protected_identities);
    let same = |list: &[String], one: &str| list.iter().any(|other| other.eq_ignore_ascii_case(one));
    let nodes = cluster.nodes(id).map(|nodes| nodes.to_string());
    let nodes = nodes.ok_or_else(|| Unseen::nothing("the cluster names no resource group of nodes"))?;
    let mut open = Vec::new();
    let all = cluster.identities();
    let mut wanted: Vec<&str> = ids.iter().map(String::as_str).collect();
    for (what, identity) in &all {
        let group = identity.parse::<IdentityId>().map(|id| id.group.to_string());
        if !same(ids, identity) && !group.is_ok_and(|group| same(groups, &group)) {
            open.push(format!("{what}: {identity}"));
            wanted.push(identity);
        }
    }
    let namespace = &facts.operator.namespace;
    let mut verdict = Verdict::green(format!(
        "{} and the nodes' resource group are protected",
        counted(all.len(), "identity")
    ));
    if !open.is_empty() || !same(groups, &nodes) {
        verdict = Verdict::yellow("a policy could give these to a binding, which would act as the cluster")
            .with_details(open)
            .detail(learned(facts, id));
    }
    if wanted.len() > ids.len() {
        verdict = verdict.fix(protect("protectedIdentities", &wanted, namespace));
    }
    if !same(groups, &nodes) {
        let wanted: Vec<&str> = groups.iter().map(String::as_str).chain([nodes.as_str()]).collect();
        verdict = verdict
            .detail(format!("nodes: {nodes}"))
            .fix(protect("protectedResourceGroups", &wanted, namespace));
    }
    Ok(verdict)
}

/// How the operator learns them by itself, or that it did not.
fn learned(facts: &Facts, id: &ManagedClusterId) -> String {
    match facts.named_cluster().ok().flatten() {
        Some(named) if named.parse().as_ref() == Ok(id) => format!(
            "its settings name the cluster ({CLUSTER_ID}), and it has not read there or nobody confirmed what bindings lose by that: its log says \
             why; it needs the role Cluster Reader of config/azure at {id}"
        ),
        Some(named) => format!("its settings name another cluster, {named} ({CLUSTER_ID})"),
        None => format!(
            "with azure.clusterId={id} the operator learns them by itself, and what is added later; it needs the role Cluster Reader of \
             config/azure there"
        ),
    }
}

/// The command that protects all of these.
fn protect(value: &str, all: &[&str], namespace: &str) -> String {
    let list = shell::word(&format!("azure.{value}={{{}}}", all.join(",")));
    format!("{} --set {list}", upgrade(namespace))
}
