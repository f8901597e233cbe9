//! The plan for a binding of which nothing is to be left: trust ends first, the identity goes last.

use std::collections::BTreeSet;

use wio_api::{DeletionPolicy, Reason, keys};

use super::{Plan, Revocation, bound::release, roles};
use crate::desired::DesiredRemoval;
use crate::fault::Blocked;
use crate::observed::{BoundBy, Observed, ObservedIdentity, ObservedRoleAssignments, PresentIdentity};

pub(super) fn plan(desired: &DesiredRemoval, observed: &Observed) -> Plan {
    let mut plan = Plan::default();
    if desired.policy == DeletionPolicy::Orphan {
        return plan;
    }
    let prefix = desired.owner.credential_prefix();
    if let ObservedIdentity::Present(present) = &observed.identity {
        let ours = present
            .credentials
            .iter()
            .filter(|credential| prefix.owns(&credential.name));
        plan.revocations
            .extend(ours.map(|credential| Revocation::DeleteCredential(credential.name.clone())));
    }
    // Azure would leave them behind the identity, as assignments to somebody whom nobody knows any more.
    roles::take_away(&desired.owner, observed.role_assignments.known(), &mut plan);
    for (name, seen) in &observed.service_accounts {
        if seen.bound_by == BoundBy::Us {
            plan.revocations.push(release(name, seen));
        }
    }
    if let ObservedIdentity::Present(present) = &observed.identity {
        delete_identity(desired, present, &observed.role_assignments, &mut plan);
    }
    plan
}

fn delete_identity(
    desired: &DesiredRemoval,
    present: &PresentIdentity,
    role_assignments: &ObservedRoleAssignments,
    plan: &mut Plan,
) {
    let ours_to_delete =
        desired.managed && desired.policy == DeletionPolicy::Delete && desired.owner.owns_exactly(&present.tags);
    let ObservedRoleAssignments::Known(role_assignments) = role_assignments else {
        return;
    };
    if !ours_to_delete {
        return;
    }
    if desired.despite_users {
        plan.revocations.push(Revocation::DeleteIdentity);
        return;
    }
    let prefix = desired.owner.credential_prefix();
    let credentials = present
        .credentials
        .iter()
        .map(|credential| &credential.name)
        .filter(|name| !prefix.owns(name))
        .map(ToString::to_string);
    let roles = role_assignments
        .iter()
        .filter(|assignment| {
            assignment.principal == present.facts.principal_id && !desired.owner.owns_assignment(assignment)
        })
        .map(ToString::to_string);
    let users: Vec<String> = [
        ("federated credentials", list(credentials)),
        ("role assignments", list(roles)),
    ]
    .into_iter()
    .filter_map(|(what, list)| Some(format!("{what} that are not of this binding: {}", list?)))
    .collect();
    if users.is_empty() {
        plan.revocations.push(Revocation::DeleteIdentity);
        return;
    }
    plan.blocked.push(Blocked {
        reason: Reason::DeletionBlocked,
        message: format!(
            "{} is still used through {}; delete them, set deletionPolicy: RetainIdentity, or delete it despite them by the \
             annotation {}: \"true\" on the binding",
            desired.authorized.identity(),
            users.join(", and through "),
            keys::DELETE_DESPITE_USERS_ANNOTATION
        ),
    });
}

/// In whatever order Azure lists them, the message stays the same.
fn list(names: impl Iterator<Item = String>) -> Option<String> {
    let names: BTreeSet<String> = names.collect();
    (!names.is_empty()).then(|| names.into_iter().collect::<Vec<_>>().join(", "))
}
