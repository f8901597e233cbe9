//! Where role assignments are to be looked for: Azure lists them by subscription or management group, and for one principal.

use std::collections::BTreeMap;

use crate::binding::Binding;
use crate::names::{IdentityId, PrincipalId, Scope};
use crate::recorded::Recorded;

/// The need to read a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Roles of ours may be there: a place that cannot be read is a fault
    /// ([`crate::observed::ObservedRoleAssignments::Unknown`]).
    Required,
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

/// Whose role assignments are to be looked at: the identity's principal, and the one that was recorded when the
/// identity was created anew since, or is gone. What that one had would be left behind.
#[must_use]
pub fn principals(now: Option<PrincipalId>, recorded: &Recorded) -> Vec<PrincipalId> {
    let before = recorded.identity.as_ref().and_then(|identity| identity.ids.principal);
    now.into_iter()
        .chain(before.filter(|before| now != Some(*before)))
        .collect()
}

/// The places to read: wherever the binding claims a role or the status remembers one. Where neither does, nothing is read, so
/// that a binding without roles costs no reads and needs no permission for them. Before a managed identity is deleted,
/// its own subscription is looked at as well, for those that others gave it.
#[must_use]
pub fn to_read(identity: &IdentityId, binding: &Binding, last: Last) -> BTreeMap<Scope, Need> {
    let claimed = binding.claims.roles.iter().map(|(_, scope)| scope);
    let recorded = &binding.recorded;
    let left = recorded.role_assignments.iter().map(|assignment| &assignment.scope);
    let mut places: BTreeMap<Scope, Need> = claimed
        .chain(left)
        .chain(&recorded.role_assignment_scopes)
        .map(|scope| (scope.root(), Need::Required))
        .collect();
    if last == Last::Yes {
        places
            .entry(identity.group.subscription.into())
            .or_insert(Need::Optional);
    }
    places
}
