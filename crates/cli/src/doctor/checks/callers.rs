//! A: who calls the Kubernetes API.

use crate::report::Looked;

use super::super::facts::{Facts, seen};
use super::super::finding::Verdict;

/// The group that no role limits.
const MASTERS: &str = "system:masters";

/// AKS gives its local administrator's certificate this group: it is one for all people, and no log tells who it was.
pub(super) fn caller(facts: &Facts) -> Looked<Verdict> {
    let caller = seen(&facts.caller)?;
    let name = &caller.name;
    Ok(if caller.groups.iter().any(|group| group == MASTERS) {
        Verdict::yellow(format!(
            "{name}, of group {MASTERS}: a local account, which no role limits and no log tells apart from others"
        ))
        .detail("on AKS: sign in by Entra instead, without --admin")
        .fix("az aks get-credentials --resource-group RESOURCE_GROUP --name CLUSTER --overwrite-existing")
    } else {
        Verdict::green(name)
    })
}
