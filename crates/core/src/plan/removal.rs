//! The plan for a binding of which nothing is to be left: trust ends first, the identity goes last.

use std::collections::BTreeSet;

use wio_api::{DeletionPolicy, Reason, keys};

use super::{Plan, Revocation, bound::release, roles};
use crate::desired::DesiredRemoval;
use crate::fault::Blocked;
use crate::names::ServiceAccountName;
use crate::observed::{
    Observed, ObservedCredential, ObservedIdentity, ObservedRoleAssignments, ObservedServiceAccount, PresentIdentity,
};

pub(super) fn plan(desired: &DesiredRemoval, observed: &Observed) -> Plan {
    let mut plan = Plan::default();
    if desired.policy == DeletionPolicy::Orphan {
        return plan;
    }
    if let ObservedIdentity::Present(present) = &observed.identity {
        let takes = present
            .credentials
            .iter()
            .filter(|credential| desired.takes(credential));
        plan.revocations
            .extend(takes.map(|credential| Revocation::DeleteCredential(credential.name.clone())));
    }
    // Azure would leave them behind the identity, as assignments to somebody whom nobody knows any more.
    roles::take_away(&desired.owner, observed.role_assignments.known(), &mut plan);
    let released = observed.service_accounts.iter().filter_map(|(name, seen)| {
        let mark = desired
            .sharing
            .label_to_release(&desired.owner, name, seen, observed.identity.present())?;
        Some(release(name, seen, mark))
    });
    plan.revocations.extend(released);
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
    let (shared, others): (Vec<_>, Vec<_>) = present
        .credentials
        .iter()
        .filter(|credential| !desired.takes(credential))
        .partition(|credential| desired.sharing.relied_on_by(credential).is_some());
    let credentials = others.iter().map(|credential| credential.name.to_string());
    let siblings = shared
        .iter()
        .filter_map(|credential| desired.sharing.relied_on_by(credential))
        .map(|sibling| sibling.name.to_string());
    let roles = role_assignments
        .iter()
        .filter(|assignment| {
            assignment.principal == present.facts.principal_id && !desired.owner.owns_assignment(assignment)
        })
        .map(ToString::to_string);
    let users: Vec<String> = [
        ("WorkloadIdentityBindings of this namespace", list(siblings)),
        ("federated credentials that are not of this binding", list(credentials)),
        ("role assignments that are not of this binding", list(roles)),
    ]
    .into_iter()
    .filter_map(|(what, list)| Some(format!("{what}: {}", list?)))
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

impl DesiredRemoval {
    /// Whether a federated credential goes with the binding: it is ours, and no sibling relies on it as it is.
    pub(crate) fn takes(&self, credential: &ObservedCredential) -> bool {
        let ours = self.owner.credential_prefix().owns(&credential.name) || self.sharing.member(credential).is_some();
        ours && self.sharing.relied_on_by(credential).is_none()
    }

    /// Whether a service account is let go of with the binding.
    pub(crate) fn label_to_release(
        &self,
        name: &ServiceAccountName,
        seen: &ObservedServiceAccount,
        observed: &Observed,
    ) -> bool {
        let identity = observed.identity.present();
        self.sharing
            .label_to_release(&self.owner, name, seen, identity)
            .is_some()
    }
}

/// In whatever order Azure lists them, the message stays the same.
fn list(names: impl Iterator<Item = String>) -> Option<String> {
    let names: BTreeSet<String> = names.collect();
    (!names.is_empty()).then(|| names.into_iter().collect::<Vec<_>>().join(", "))
}
