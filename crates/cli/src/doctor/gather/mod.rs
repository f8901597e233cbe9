//! Reads all of it, with the caller's rights. Nothing is written: what is posted are questions about rights.

mod azure;
mod operator;
mod own_roles;
mod reads;
mod rights;
mod webhook;

use std::collections::BTreeSet;

use futures::future;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Node;
use kube::api::ListParams;
use kube::{Api, ResourceExt};
use wio_api::EFFECTIVE_POLICY_NAME;

use crate::session::Session;

use super::checks::OURS;
use super::facts::{Admission, Facts, Looked};
pub(crate) use azure::Way;
pub(crate) use own_roles::lacks_at;
use reads::Reads;

/// The definitions of AAD Pod Identity, which is deprecated.
const POD_IDENTITY: [&str; 4] = [
    "azureidentities.aadpodidentity.k8s.io",
    "azureidentitybindings.aadpodidentity.k8s.io",
    "azureassignedidentities.aadpodidentity.k8s.io",
    "azurepodidentityexceptions.aadpodidentity.k8s.io",
];
const REGION: &str = "topology.kubernetes.io/region";
/// How many nodes are looked at: all of a cluster are in one or two resource groups.
const NODES: u32 = 50;

/// Reads everything at once, so that it takes as long as the slowest.
pub(crate) async fn gather(session: &Session, way: Option<&Way>) -> Facts {
    let reads = Reads::new(session.client.clone());
    let ours: Vec<String> = OURS.iter().map(ResourceExt::name_any).collect();
    let theirs: Vec<String> = POD_IDENTITY.iter().map(|name| (*name).to_owned()).collect();
    let cluster = Box::pin(future::join5(
        reads.definitions(&ours),
        reads.definitions(&theirs),
        reads.get(EFFECTIVE_POLICY_NAME),
        reads.list(),
        reads.list(),
    ));
    let rules = Box::pin(future::join3(reads.list(), reads.list(), reads.other_issuers()));
    let around = Box::pin(future::join5(
        reads.ahead(),
        reads.discovery(),
        reads.caller(),
        rights::access(&reads),
        node_groups(&reads),
    ));
    let parts = Box::pin(future::join(operator::operator(&reads), webhook::webhook(&reads)));
    let (cluster, rules, around, parts) = future::join4(cluster, rules, around, parts).await;
    let (definitions, pod_identity, effective, policies, bindings) = cluster;
    let (ahead, discovery, caller, access, node_groups) = around;
    let (operator, webhook) = parts;
    let around = azure::Known {
        bindings: &bindings,
        discovery: &discovery,
        operator: &operator,
        effective: &effective,
    };
    let azure = azure::on_azure(way, around).await;
    Facts {
        now: Timestamp::now(),
        ahead,
        caller,
        definitions,
        pod_identity: pod_identity.map(|found| found.iter().map(ResourceExt::name_any).collect()),
        operator,
        effective,
        policies,
        bindings,
        admission: Admission {
            policies: rules.0,
            bindings: rules.1,
        },
        webhook,
        discovery,
        other_issuers: rules.2,
        access,
        node_groups,
        azure,
    }
}

/// The resource groups of virtual machines and scale sets that are nodes.
async fn node_groups(reads: &Reads) -> Looked<Vec<String>> {
    let nodes: Api<Node> = Api::all(reads.client.clone());
    let listed = reads.told(nodes.list(&ListParams::default().limit(NODES)).await)?;
    let ids = listed
        .items
        .iter()
        .filter_map(|node| node.spec.as_ref()?.provider_id.as_deref());
    let groups: BTreeSet<String> = ids.filter_map(group_of).collect();
    Ok(groups.into_iter().collect())
}

/// The resource group in `azure:///subscriptions/<id>/resourceGroups/<name>/providers/...`.
fn group_of(provider_id: &str) -> Option<String> {
    let mut parts = provider_id.strip_prefix("azure://")?.split('/').skip(1);
    let (subscriptions, subscription, groups, group) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let is_group = subscriptions.eq_ignore_ascii_case("subscriptions") && groups.eq_ignore_ascii_case("resourceGroups");
    is_group.then(|| format!("/subscriptions/{subscription}/resourceGroups/{group}"))
}

/// Whether a node says that it is a machine of Azure; false when there are nodes and none says so.
pub(crate) async fn is_on_azure(session: &Session) -> Looked<bool> {
    let reads = Reads::new(session.client.clone());
    let nodes: Api<Node> = Api::all(reads.client.clone());
    let listed = reads.told(nodes.list(&ListParams::default().limit(NODES)).await)?;
    let mut ids = listed
        .items
        .iter()
        .filter_map(|node| node.spec.as_ref()?.provider_id.as_deref());
    if listed.items.is_empty() {
        return Err("there are no nodes".into());
    }
    Ok(ids.any(|id| id.starts_with("azure://")))
}

/// The region in which a node says that it is.
pub(crate) async fn region(session: &Session) -> Looked<Option<String>> {
    let reads = Reads::new(session.client.clone());
    let nodes: Api<Node> = Api::all(reads.client.clone());
    let listed = reads.told(nodes.list(&ListParams::default().limit(NODES)).await)?;
    let mut regions = listed.items.iter().filter_map(|node| node.labels().get(REGION));
    Ok(regions.next().cloned())
}
