//! The roles of an identity. Which role assignments are ours, their derived names say (docs/adr/0007).

use std::collections::BTreeSet;

use super::steps::{GrantStep, Plan, Revocation};
use crate::desired::{DesiredBinding, DesiredRole};
use crate::names::{PrincipalId, RoleAssignmentName, Scope};
use crate::observed::{ObservedRoleAssignment, ObservedRoleAssignments};
use crate::owner::Owner;

/// Plans the role assignments of a principal; it is none yet when the identity is about to be created.
///
/// An equal one under another name gives the role as well: it is not written again, and never taken away. In a place that could not be
/// read nothing is given, and what is known to be there of ours goes when it is not wanted.
pub(super) fn assign(
    desired: &DesiredBinding,
    principal: Option<PrincipalId>,
    observed: &ObservedRoleAssignments,
    plan: &mut Plan,
) {
    let seen = observed.known();
    let gives = |assignment: &ObservedRoleAssignment, role: &DesiredRole| {
        principal.is_some_and(|principal| role.is_given_by(assignment, principal))
    };
    let unwanted = seen
        .iter()
        .filter(|assignment| !desired.roles.iter().any(|role| gives(assignment, role)));
    take_away(&desired.owner, unwanted, plan);
    let missing = desired
        .roles
        .iter()
        .filter(|role| observed.is_read(role.scope()))
        .filter(|role| !seen.iter().any(|assignment| gives(assignment, role)));
    plan.grants.extend(missing.cloned().map(GrantStep::PutRoleAssignment));
}

/// Plans to delete those of the role assignments that are ours.
pub(super) fn take_away<'a>(
    owner: &Owner,
    unwanted: impl IntoIterator<Item = &'a ObservedRoleAssignment>,
    plan: &mut Plan,
) {
    // By scope and name: a list that changed between its pages can show one assignment twice.
    let ours: BTreeSet<(Scope, RoleAssignmentName)> = unwanted
        .into_iter()
        .filter(|assignment| owner.owns_assignment(assignment))
        .filter_map(|assignment| Some((assignment.scope.parse().ok()?, assignment.name)))
        .collect();
    plan.revocations.extend(
        ours.into_iter()
            .map(|(scope, name)| Revocation::DeleteRoleAssignment { scope, name }),
    );
}
