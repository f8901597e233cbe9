//! No world is there without a look: a forgotten read is not an empty Azure, and a plan needs a world.

use wio_core::desired::Desired;
use wio_core::observed::{AzureState, Observed, ObservedIdentity, ObservedRoleAssignments};
use wio_core::plan::{Plan, plan};

fn nothing() -> (Observed, AzureState, ObservedIdentity, ObservedRoleAssignments) {
    (
        Observed::default(),
        AzureState::default(),
        ObservedIdentity::default(),
        ObservedRoleAssignments::default(),
    )
}

fn blind(desired: &Desired) -> Plan {
    plan(desired)
}

fn main() {}
