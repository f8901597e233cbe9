//! The plan: what to do, as data. Total, deterministic, and without a difference no step.

mod binding;
mod credentials;
mod identity;
mod obstacles;
mod removal;
mod roles;
mod service_accounts;
mod steps;
mod successors;

use crate::desired::Desired;
use crate::observed::Observed;

pub use obstacles::Obstacles;
pub(crate) use service_accounts::{carries, conflict};
pub use steps::{GrantStep, Plan, Revocation};
pub use successors::{gives_up, successors};

/// The plan that leads from the observed to the desired.
#[must_use]
pub fn plan(desired: &Desired, observed: &Observed) -> Plan {
    match desired {
        Desired::Bound(binding) => binding::plan(binding, observed),
        Desired::Denied(denial) => removal::plan(denial.removal(), observed),
        Desired::Gone(removal) => removal::plan(removal, observed),
    }
}
