//! The roles of a binding, in the words of its status.

use std::collections::BTreeSet;

use wio_api::{ConditionType, RoleAssignmentStatus};

use super::conditions::counted;
use super::facts::usable;
use crate::binding::Owner;
use crate::desired::{Desired, DesiredBinding, DesiredRole};
use crate::names::{PrincipalId, Scope};
use crate::observed::{Observed, ObservedRoleAssignment, ObservedRoleAssignments};
use crate::outcome::Reconciled;

/// What is not as it should be.
pub(super) struct Missing {
    pub(super) what: String,
    pub(super) waits_for: Option<ConditionType>,
}

/// What the condition says; none when no role is asked for and none is left.
pub(super) fn condition(desired: &DesiredBinding, reconciled: &Reconciled) -> Option<Result<String, Missing>> {
    let observed = &reconciled.observed;
    let identity = usable(desired, &observed.identity);
    let seen = match &observed.role_assignments {
        ObservedRoleAssignments::Known(seen) => seen,
        ObservedRoleAssignments::Unknown(_) => {
            return Some(Err(Missing {
                what: "The role assignments could not be looked at".to_owned(),
                waits_for: None,
            }));
        }
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

/// The role assignments that give what is asked for, and those of ours that are still there without that; none when
/// they are not known.
pub(super) fn facts(desired: &Desired, observed: &Observed) -> Option<Vec<RoleAssignmentStatus>> {
    let ObservedRoleAssignments::Known(seen) = &observed.role_assignments else {
        return None;
    };
    let owner = desired.owner();
    let (wanted, principal) = match desired {
        Desired::Bound(binding) => (
            binding.roles.as_slice(),
            usable(binding, &observed.identity).map(|present| present.facts.principal_id),
        ),
        Desired::Denied(_) | Desired::Gone(_) => (&[][..], None),
    };
    let given = wanted.iter().filter_map(|role| {
        giving(role, principal, seen).map(|assignment| RoleAssignmentStatus {
            id: assignment.id(),
            role: role.role.clone(),
            scope: role.scope().to_string(),
        })
    });
    let left = leftovers(owner, wanted, principal, seen).map(|assignment| RoleAssignmentStatus {
        id: assignment.id(),
        role: assignment
            .definition
            .built_in_name()
            .map_or_else(|| assignment.definition.to_string(), str::to_owned),
        scope: assignment.scope.clone(),
    });
    let mut facts: Vec<RoleAssignmentStatus> = Vec::new();
    for fact in given.chain(left) {
        if !facts.iter().any(|other| other.id.eq_ignore_ascii_case(&fact.id)) {
            facts.push(fact);
        }
    }
    Some(facts)
}

/// Where role assignments are and may be: where the spec asks for one, a request may have been carried out whose answer was
/// lost.
pub(super) fn scopes(desired: &Desired, there: &[RoleAssignmentStatus]) -> Vec<String> {
    let wanted = match desired {
        Desired::Bound(binding) => binding.roles.as_slice(),
        Desired::Denied(_) | Desired::Gone(_) => &[],
    };
    let roots: BTreeSet<Scope> = there
        .iter()
        .filter_map(|role| role.scope.parse::<Scope>().ok())
        .chain(wanted.iter().map(|role| role.scope().clone()))
        .map(|scope| scope.root())
        .collect();
    roots.into_iter().map(|root| root.to_string()).collect()
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
            principal.is_some_and(|principal| wanted.iter().any(|role| role.is_given_by(assignment, principal)));
        !asked && owner.owns_assignment(assignment)
    })
}
