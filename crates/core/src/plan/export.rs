//! The ConfigMap that the identity's ids are exported into.

use wio_api::Reason;

use super::steps::{GrantStep, Plan, Revocation};
use crate::desired::DesiredBinding;
use crate::fault::Blocked;
use crate::names::ConfigMapName;
use crate::observed::{IdentityFacts, Observed, ObservedExport};
use crate::owner::Owner;

/// Plans to delete what is ours and not wanted.
pub(super) fn delete_unwanted(owner: &Owner, wanted: Option<&ConfigMapName>, observed: &Observed, plan: &mut Plan) {
    let unwanted = observed
        .exports
        .iter()
        .filter(|(name, seen)| seen.ours && Some(*name) != wanted);
    plan.revocations
        .extend(unwanted.map(|(name, seen)| Revocation::DeleteExport {
            name: name.clone(),
            uid: seen.uid.clone(),
            label: owner.uid.clone(),
        }));
}

/// Plans the one that is wanted. One of its name that is not ours is nobody's to write here, whatever it holds.
pub(super) fn apply(desired: &DesiredBinding, facts: Option<&IdentityFacts>, observed: &Observed, plan: &mut Plan) {
    let Some(name) = &desired.export else { return };
    match observed.exports.get(name) {
        Some(seen) if !seen.ours => plan.blocked.push(conflict(name)),
        Some(seen) if facts.is_some_and(|facts| is_as_wanted(seen, facts)) => {}
        Some(_) | None => plan.grants.push(GrantStep::ApplyExport(name.clone())),
    }
}

fn is_as_wanted(seen: &ObservedExport, facts: &IdentityFacts) -> bool {
    seen.owned && seen.holds.as_ref() == Some(facts)
}

fn conflict(name: &ConfigMapName) -> Blocked {
    Blocked {
        reason: Reason::ExportConflict,
        message: format!(
            "ConfigMap {name} is there already and was not made for this binding, so it is left as it is; delete it, or choose another name in \
             spec.export.configMap.name"
        ),
    }
}
