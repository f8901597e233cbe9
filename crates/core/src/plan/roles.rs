//! The roles of an identity. Which role assignments are ours, their derived names say (docs/adr/0007).

use std::collections::BTreeSet;

use wio_api::Reason;

use super::steps::{GrantStep, Plan, Revocation};
use crate::desired::{DesiredBinding, DesiredRole};
use crate::fault::Blocked;
use crate::names::{PrincipalId, RoleAssignmentName, Scope};
use crate::observed::{ObservedRoleAssignment, ObservedRoleAssignments};
use crate::owner::Owner;

/// Plans the role assignments of a principal; it is none yet when the identity is about to be created.
///
/// An equal one under another name gives the role as well: it is not written again, and never taken away. One under another name with another
/// condition is told of: Azure allows no second one. Ours is changed in place. In a place that could not be read nothing is given, and what is known
/// to be there of ours goes when it is not wanted.
pub(super) fn assign(
    desired: &DesiredBinding,
    principal: Option<PrincipalId>,
    observed: &ObservedRoleAssignments,
    plan: &mut Plan,
) {
    let seen = observed.known();
    let means = |assignment: &ObservedRoleAssignment, role: &DesiredRole| {
        principal.is_some_and(|principal| role.is_meant_by(assignment, principal))
    };
    let unwanted = seen
        .iter()
        .filter(|assignment| !desired.roles.iter().any(|role| means(assignment, role)));
    take_away(&desired.owner, unwanted, plan);
    for role in desired.roles.iter().filter(|role| observed.is_read(role.scope())) {
        let found: Vec<&ObservedRoleAssignment> = seen.iter().filter(|assignment| means(assignment, role)).collect();
        let is_given = principal.is_some_and(|principal| {
            let ours = |assignment: &ObservedRoleAssignment| desired.owner.owns_assignment(assignment);
            let as_said = |assignment: &ObservedRoleAssignment| !ours(assignment) || role.is_described_by(assignment);
            found.iter().any(|one| role.is_given_by(one, principal) && as_said(one))
        });
        let in_the_way = found.iter().find(|one| !desired.owner.owns_assignment(one));
        match in_the_way {
            _ if is_given => {}
            Some(other) => plan.blocked.push(other_terms(role, other)),
            None => plan.grants.push(GrantStep::PutRoleAssignment(role.clone())),
        }
    }
}

fn other_terms(role: &DesiredRole, other: &ObservedRoleAssignment) -> Blocked {
    let theirs = match other.terms.as_ref().and_then(|terms| terms.condition.as_ref()) {
        Some(_) => "under another condition",
        None => "without a condition",
    };
    Blocked {
        reason: Reason::RoleAssignmentConflict,
        message: format!(
            "{role} is asked for, and a role assignment that is not this binding's gives that role there {theirs}, beside which Azure takes no second \
             one: {}; delete it, or ask for the same condition",
            other.id()
        ),
    }
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
