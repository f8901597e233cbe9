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

/// The plan for a binding whose writes may still arrive: when the identity is not shown, it may stand all the same with trust on it, which is taken away by its
/// names. Trust ends before the client id goes, so the service accounts are released when the absence is final.
#[must_use]
pub fn plan_before_landing(desired: &Desired, observed: &Observed) -> Plan {
    let mut plan = plan(desired, observed);
    let removal = match desired {
        Desired::Bound(_) => return plan,
        Desired::Denied(denial) => denial.removal(),
        Desired::Gone(removal) => removal,
    };
    if observed.azure.identity == ObservedIdentity::Absent {
        let releases = |step: &Revocation| matches!(step, Revocation::ReleaseServiceAccount { .. });
        plan.revocations.retain(|step| !releases(step));
        let unshown = removal.unshown().cloned().map(Revocation::DeleteCredential);
        plan.revocations = unshown.chain(plan.revocations).collect();
    }
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
