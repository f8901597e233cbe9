//! The roles of a binding, in the words of its status.

use std::collections::BTreeSet;

use wio_api::ConditionType;

use super::draft::counted;
use crate::desired::{Desired, DesiredBinding, DesiredRole};
use crate::names::{PrincipalId, Scope};
use crate::observed::{AzureState, Observed, ObservedRoleAssignment, ObservedRoleAssignments, PresentIdentity};
use crate::outcome::Reconciled;
use crate::owner::Owner;
use crate::ownership::standing;
use crate::recorded::{Recorded, RecordedRoleAssignment};

/// What a condition about roles misses.
pub(super) struct Missing {
    pub(super) what: String,
    pub(super) waits_for: Option<ConditionType>,
}

/// What the condition says; none when no role is asked for and none is left.
pub(super) fn condition(
    desired: &DesiredBinding,
    identity: Option<&PresentIdentity>,
    assignments: &ObservedRoleAssignments,
) -> Option<Result<String, Missing>> {
    let Some(seen) = assignments.complete() else {
        return Some(Err(Missing {
            what: "The role assignments could not be looked at".to_owned(),
            waits_for: None,
        }));
    };
    let principal = identity.map(|present| present.facts.principal_id);
    let given = |role: &&DesiredRole| giving(role, principal, seen).is_some();
    let ungiven: Vec<String> = desired
        .roles
        .iter()
        .filter(|role| !given(role))
        .map(ToString::to_string)
        .collect();
    let total = desired.roles.len();
    let left = leftovers(&desired.owner, &desired.roles, principal, seen).count();
    if !ungiven.is_empty() {
        return Some(Err(Missing {
            what: format!(
                "The identity does not have {} of {}: {}",
                ungiven.len(),
                counted(total, "role", "roles"),
                ungiven.join(", ")
            ),
            waits_for: identity.is_none().then_some(ConditionType::IdentityReady),
        }));
    }
    if left > 0 {
        return Some(Err(Missing {
            what: format!(
                "{} that the spec does not ask for any more",
                counted(left, "role assignment is left", "role assignments are left")
            ),
            waits_for: None,
        }));
    }
    (total > 0).then(|| {
        Ok(format!(
            "The identity has {}; a new role can take 10 minutes to work.",
            counted(total, "role", "roles")
        ))
    })
}

/// The role assignments that give what is asked for, and those of ours that are still there without that. Of a place that was not read
/// they stay as they were recorded, unless they were deleted: that says where to look.
pub(super) fn observed(previous: &Recorded, desired: &Desired, observed: &Observed) -> Vec<RecordedRoleAssignment> {
    let roles = &observed.azure.role_assignments;
    let seen = roles.known();
    let (wanted, principal) = match desired {
        Desired::Bound(binding) => (binding.roles.as_slice(), principal(binding, &observed.azure)),
        Desired::Denied(_) | Desired::Gone(_) => (&[][..], None),
    };
    let given = wanted.iter().filter_map(|role| {
        let assignment = giving(role, principal, seen)?;
        // As the spec names both: Azure may answer in another case than was sent.
        Some(recorded(assignment, role.role.clone(), role.scope().clone()))
    });
    let left = leftovers(desired.owner(), wanted, principal, seen).filter_map(|assignment| {
        let name = assignment.definition.built_in_name();
        let role = name.map_or_else(|| assignment.definition.to_string(), str::to_owned);
        Some(recorded(assignment, role, assignment.scope.parse().ok()?))
    });
    let not_read = previous
        .role_assignments
        .iter()
        .filter(|one| !roles.is_read(&one.scope) && !is_ours(previous, desired.owner(), one));
    let mut recorded: Vec<RecordedRoleAssignment> = Vec::new();
    for one in given.chain(left).chain(not_read.cloned()) {
        if !recorded.iter().any(|other| other.id.eq_ignore_ascii_case(&one.id)) {
            recorded.push(one);
        }
    }
    recorded
}

/// Whether a role assignment was recorded as one of ours, which is known then also where nobody could look.
fn is_ours(recorded: &Recorded, owner: &Owner, one: &RecordedRoleAssignment) -> bool {
    let named = |principal| owner.role_assignment_name(&one.scope, principal, one.definition) == one.name;
    recorded.principals().any(named)
}

/// The principals that the identity had before, as long as role assignments of ours may be left of them, or may still arrive: one that got no answer does not
/// show that its principal is gone.
pub(super) fn former_principals(previous: &Recorded, reconciled: &Reconciled) -> BTreeSet<PrincipalId> {
    let azure = &reconciled.observed().azure;
    let now = azure.identity.present().map(|present| present.facts.principal_id);
    let owner = reconciled.desired().owner();
    let roles = &azure.role_assignments;
    let may_have_roles = |principal: &PrincipalId| {
        let known = roles.known().iter();
        roles.may_hide_ours()
            || !reconciled.has_landed() && previous.may_have_roles()
            || known
                .filter(|assignment| assignment.principal == *principal)
                .any(|assignment| owner.owns_assignment(assignment))
    };
    let before = previous.principals().filter(|principal| now != Some(*principal));
    before.filter(may_have_roles).collect()
}

fn principal(desired: &DesiredBinding, azure: &AzureState) -> Option<PrincipalId> {
    standing(desired, azure).map(|present| present.facts.principal_id)
}

fn recorded(assignment: &ObservedRoleAssignment, role: String, scope: Scope) -> RecordedRoleAssignment {
    RecordedRoleAssignment {
        id: assignment.id(),
        name: assignment.name,
        role,
        definition: assignment.definition,
        scope,
    }
}

/// Where role assignments are and may be: where the spec asks for one, a request may have been carried out whose answer was
/// lost; where nobody could look, they may be as before, and where one may still arrive that the spec asked for, they may be soon.
pub(super) fn scopes(
    previous: &Recorded,
    reconciled: &Reconciled,
    there: &[RecordedRoleAssignment],
) -> BTreeSet<Scope> {
    let observed = &reconciled.observed().azure.role_assignments;
    let wanted = match reconciled.desired() {
        Desired::Bound(binding) => binding.roles.as_slice(),
        Desired::Denied(_) | Desired::Gone(_) => &[],
    };
    let there = there.iter().map(|assignment| &assignment.scope);
    let unread = observed.unread().filter(|(_, place)| place.remembered);
    let arriving = previous
        .role_assignment_scopes
        .iter()
        .filter(|_| !reconciled.has_landed());
    there
        .chain(wanted.iter().map(DesiredRole::scope))
        .map(Scope::root)
        .chain(unread.map(|(place, _)| place.clone()))
        .chain(arriving.cloned())
        .collect()
}

/// The assignment that gives a role, whoever made it: Azure allows one.
fn giving<'a>(
    role: &DesiredRole,
    principal: Option<PrincipalId>,
    seen: &'a [ObservedRoleAssignment],
) -> Option<&'a ObservedRoleAssignment> {
    let principal = principal?;
    seen.iter().find(|assignment| role.is_given_by(assignment, principal))
}

/// Ours, and not asked for.
fn leftovers<'a>(
    owner: &'a Owner,
    wanted: &'a [DesiredRole],
    principal: Option<PrincipalId>,
    seen: &'a [ObservedRoleAssignment],
) -> impl Iterator<Item = &'a ObservedRoleAssignment> {
    seen.iter().filter(move |assignment| {
        let asked =
            principal.is_some_and(|principal| wanted.iter().any(|role| role.is_meant_by(assignment, principal)));
        !asked && owner.owns_assignment(assignment)
    })
}
