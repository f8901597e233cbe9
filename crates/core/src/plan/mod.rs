//! The plan: what to do, as data. Total, deterministic, and without a difference no step.

mod binding;
mod credentials;
mod export;
mod identity;
mod obstacles;
mod removal;
mod roles;
mod service_accounts;
mod steps;
mod successors;

use crate::desired::Desired;
use crate::observed::{Observed, ObservedIdentity};

pub use obstacles::Obstacles;
pub(crate) use service_accounts::{carries, conflict};
pub use steps::{GrantStep, Plan, Revocation};
pub use successors::{gives_up, successors};

/// The plan for a binding whose writes may still arrive: when the identity is not shown, it may stand all the same with trust on it. What is to go of that is taken
/// away by its names, before anything else. Of a binding that is to have nothing the service accounts are released when the absence is final: trust ends before
/// the client id goes.
#[must_use]
pub fn plan_before_landing(desired: &Desired, observed: &Observed) -> Plan {
    let mut plan = plan(desired, observed);
    if observed.azure.identity != ObservedIdentity::Absent {
        return plan;
    }
    if !matches!(desired, Desired::Bound(_)) {
        let releases = |step: &Revocation| matches!(step, Revocation::ReleaseServiceAccount { .. });
        plan.revocations.retain(|step| !releases(step));
    }
    let unshown = desired.unshown().into_iter().cloned();
    plan.revocations.splice(0..0, unshown.map(Revocation::DeleteCredential));
    plan
}

/// The plan that leads from the observed to the desired.
#[must_use]
pub fn plan(desired: &Desired, observed: &Observed) -> Plan {
    match desired {
        Desired::Bound(binding) => binding::plan(binding, observed),
        Desired::Denied(denial) => removal::plan(denial.removal(), observed),
        Desired::Gone(removal) => removal::plan(removal, observed),
    }
}
