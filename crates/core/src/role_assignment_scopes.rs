//! Where role assignments are to be looked for: Azure lists them by subscription or management group, and for one principal.

use std::collections::BTreeMap;

use wio_api::{AssignedRole, WorkloadIdentityBindingStatus};

use crate::names::{IdentityId, PrincipalId, Scope};

/// Whose role assignments are to be looked at: the identity's principal, and the one that the status remembers when the
/// identity was created anew since, or is gone. What that one had would be left behind.
#[must_use]
pub fn principals(now: Option<PrincipalId>, status: Option<&WorkloadIdentityBindingStatus>) -> Vec<PrincipalId> {
    let before: Option<PrincipalId> = status
        .and_then(|status| status.identity.as_ref())
        .and_then(|identity| identity.principal_id.parse().ok());
    now.into_iter()
        .chain(before.filter(|before| now != Some(*before)))
        .collect()
}

/// Where to look, and whether it must be seen: what cannot be read is a fault then
/// ([`crate::observed::ObservedRoleAssignments::Unknown`]), and passed over otherwise.
///
/// It must be seen wherever the spec asks for a role or the status remembers one. Where neither does, nothing is read, so
/// that a binding without roles costs no reads and needs no permission for them. Before a managed identity is deleted
/// (`ends`), its own subscription is looked at as well, for those that others gave it.
#[must_use]
pub fn to_read(
    identity: &IdentityId,
    asked: &[AssignedRole],
    status: Option<&WorkloadIdentityBindingStatus>,
    ends: bool,
) -> BTreeMap<Scope, bool> {
    let remembered = status.into_iter().flat_map(|status| {
        let left = status.role_assignments.iter().map(|left| &left.scope);
        left.chain(&status.role_assignment_scopes)
    });
    let scopes = asked.iter().map(|asked| &asked.scope).chain(remembered);
    // A scope that does not parse was never written to.
    let mut places: BTreeMap<Scope, bool> = scopes
        .filter_map(|scope| Some((scope.parse::<Scope>().ok()?.root(), true)))
        .collect();
    if ends {
        places.entry(identity.group.subscription.into()).or_insert(false);
    }
    places
}
