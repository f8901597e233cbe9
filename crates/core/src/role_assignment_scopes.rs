//! Where role assignments are to be looked for: Azure lists them by subscription or management group, and for one principal.

use std::collections::BTreeMap;

use crate::binding::Binding;
use crate::names::{IdentityId, PrincipalId, Scope};
use crate::observed::ObservedRoleAssignment;
use crate::recorded::{Recorded, RecordedRoleAssignment};

/// The need to read a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Roles of ours are or may be there, as the status remembers: a place that cannot be read is a fault, and until it can nobody
    /// is trusted anew ([`crate::observed::ObservedRoleAssignments::may_hide_ours`]).
    Remembered,
    /// Roles are asked for there, and none was ever about to be given: a place that cannot be read is a fault.
    Asked,
    /// Only roles that others gave can be there: a place that cannot be read is passed over.
    Optional,
}

/// Whether an identity is read for the last time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Last {
    /// It goes on.
    No,
    /// It may be deleted next.
    Yes,
}

/// Whose role assignments are to be looked at: the identity's principal, and those that were recorded when the
/// identity was created anew since, or is gone. What they had would be left behind.
#[must_use]
pub fn principals(now: Option<PrincipalId>, recorded: &Recorded) -> Vec<PrincipalId> {
    now.into_iter()
        .chain(recorded.principals().filter(|before| now != Some(*before)))
        .collect()
}

/// The places to read: wherever the binding claims a role or the status remembers one. Where neither does, nothing is read, so
/// that a binding without roles costs no reads and needs no permission for them. Before a managed identity is deleted, and as long as
/// it is only announced, its own subscription is looked at as well, for those that others gave it.
#[must_use]
pub fn to_read(identity: &IdentityId, binding: &Binding, last: Last) -> BTreeMap<Scope, Need> {
    let recorded = &binding.recorded;
    let claimed = binding.claims.roles.iter().map(|(_, scope)| scope);
    let left = recorded.role_assignments.iter().map(|assignment| &assignment.scope);
    let remembered = left.chain(&recorded.role_assignment_scopes);
    let asked = claimed.map(|scope| (scope.root(), Need::Asked));
    let mut places: BTreeMap<Scope, Need> = asked
        .chain(remembered.map(|scope| (scope.root(), Need::Remembered)))
        .collect();
    let announced = recorded.ids_of(identity).is_some_and(|ids| ids.principal.is_none());
    if last == Last::Yes || announced {
        places
            .entry(identity.group.subscription.into())
            .or_insert(Need::Optional);
    }
    places
}

/// The role assignments of ours that were recorded at a place. Their derived names prove that they are ours, so that they can be taken away
/// though the place cannot be read.
#[must_use]
pub fn recorded_at(place: &Scope, binding: &Binding) -> Vec<ObservedRoleAssignment> {
    let recorded = &binding.recorded;
    let as_observed = |one: &RecordedRoleAssignment, principal| ObservedRoleAssignment {
        name: one.name,
        scope: one.scope.to_string(),
        definition: one.definition,
        principal,
        terms: None,
    };
    let there = recorded
        .role_assignments
        .iter()
        .filter(|one| one.scope.root() == *place);
    there
        .flat_map(|one| recorded.principals().map(move |principal| as_observed(one, principal)))
        .filter(|one| binding.owner.owns_assignment(one))
        .collect()
}
