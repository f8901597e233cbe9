//! The bindings that take over what a plan takes away or leaves.

use super::steps::Plan;
use crate::desired::Desired;
use crate::names::ServiceAccountName;
use crate::observed::{BoundBy, Observed, ObservedServiceAccount};
use crate::orphaned::Orphaned;
use crate::sharing::{Claims, Sharer};

/// The bindings that are to look at Azure at once, because this plan takes away or leaves what they want, or makes the identity anew that they have.
#[must_use]
pub fn successors<'a>(desired: &'a Desired, observed: &Observed, plan: &Plan) -> Vec<&'a Sharer> {
    if !gives_up(desired, observed, plan) {
        return Vec::new();
    }
    let sharing = desired.sharing();
    let mut successors = sharing.successors(&kept(desired));
    if plan.makes_identity() {
        let is_new = |sharer: &&Sharer| successors.iter().all(|other| other.uid != sharer.uid);
        let others: Vec<&Sharer> = sharing.of_same_identity().filter(is_new).collect();
        successors.extend(others);
    }
    successors
}

/// Whether a plan takes away, leaves or makes anew what another binding may want.
#[must_use]
pub fn gives_up(desired: &Desired, observed: &Observed, plan: &Plan) -> bool {
    match desired {
        Desired::Bound(binding) if binding.suspended => false,
        Desired::Gone(_) => true,
        Desired::Bound(_) | Desired::Denied(_) => {
            plan.makes_identity() || !plan.revocations.is_empty() || leaves_label(observed, &kept(desired))
        }
    }
}

impl Desired {
    /// The bindings for whose sake something stays of which this one will tell no more. That they are still as they were decided about has
    /// to be seen before it forgets: one that gave the same up, unseen so far, would know of it as little, and nobody would take it away.
    #[must_use]
    pub fn heirs(&self) -> Vec<&Sharer> {
        match self {
            Self::Bound(binding) if binding.suspended => Vec::new(),
            Self::Bound(_) | Self::Denied(_) | Self::Gone(_) => self.sharing().heirs(&kept(self)),
        }
    }
}

fn kept(desired: &Desired) -> Claims {
    match desired {
        Desired::Bound(binding) => binding.claims(),
        Desired::Denied(_) | Desired::Gone(_) => Claims::default(),
    }
}

/// Whether our label is on a service account that is not wanted: where a plan takes nothing away, another binding puts its own there.
fn leaves_label(observed: &Observed, kept: &Claims) -> bool {
    let left = |(name, seen): (&ServiceAccountName, &ObservedServiceAccount)| {
        seen.bound_by == BoundBy::Us && !kept.accounts.contains(name)
    };
    observed.service_accounts.iter().any(left)
}

impl Orphaned {
    /// The bindings that take over what an orphaned one leaves.
    #[must_use]
    pub fn successors(&self) -> Vec<&Sharer> {
        self.sharing.successors(&Claims::default())
    }
}
