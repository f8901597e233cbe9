//! The plan for a binding of which nothing is to be left: trust ends first, the identity goes last.

use std::collections::BTreeSet;

use wio_api::{Reason, keys};

use super::service_accounts::release;
use super::steps::{Plan, Revocation};
use super::{export, roles};
use crate::desired::{DesiredRemoval, Ending};
use crate::fault::Blocked;
use crate::names::{BindingUid, ServiceAccountName};
use crate::observed::{
    BoundBy, Observed, ObservedCredential, ObservedIdentity, ObservedRoleAssignment, ObservedRoleAssignments,
    ObservedServiceAccount, PresentIdentity,
};
use crate::ownership::is_certain;

pub(super) fn plan(desired: &DesiredRemoval, observed: &Observed) -> Plan {
    let mut plan = Plan::default();
    if let ObservedIdentity::Present(present) = &observed.azure.identity {
        let takes = present
            .credentials
            .iter()
            .filter(|credential| desired.sharing.takes(credential));
        plan.revocations
            .extend(takes.map(|credential| Revocation::DeleteCredential(credential.name.clone())));
    }
    // Azure would leave them behind the identity, as assignments to somebody whom nobody knows any more.
    roles::take_away(&desired.owner, observed.azure.role_assignments.known(), &mut plan);
    let released = observed.service_accounts.iter().filter_map(|(name, seen)| {
        let label = desired
            .sharing
            .label_to_release(&desired.owner, name, seen, observed.azure.identity.present())
            .or_else(|| left_by_denial(desired, name, seen))?;
        let ending = if desired.wanted_by_others.contains(name) {
            Ending::Stay
        } else {
            desired.ending
        };
        Some(release(name, seen, label, ending))
    });
    plan.revocations.extend(released);
    // Ids are no trust: as long as the binding goes on they stay, as the identity does.
    if desired.ending != Ending::Stay {
        export::delete_unwanted(&desired.owner, None, observed, &mut plan);
    }
    if let ObservedIdentity::Present(present) = &observed.azure.identity {
        delete_identity(desired, present, &observed.azure.role_assignments, &mut plan);
    }
    plan
}

/// The label that a service account had which we created, when a denial took our marks off it and the binding goes now: nobody else
/// wants it.
fn left_by_denial<'a>(
    desired: &'a DesiredRemoval,
    name: &ServiceAccountName,
    seen: &ObservedServiceAccount,
) -> Option<&'a BindingUid> {
    let left = seen.bound_by == BoundBy::Nobody && seen.created_by_us && desired.ending.deletes_accounts();
    let wanted = desired.wanted_by_others.contains(name) || !desired.sharing.claims_alone(name);
    (left && !wanted).then_some(&desired.owner.uid)
}

fn delete_identity(
    desired: &DesiredRemoval,
    present: &PresentIdentity,
    role_assignments: &ObservedRoleAssignments,
    plan: &mut Plan,
) {
    // Whoever could not look does not know who else uses it.
    let Some(role_assignments) = role_assignments.complete() else {
        return;
    };
    if !desired.deletes_identity_with(&present.tags) {
        return;
    }
    let users = Users::of(desired, present, role_assignments);
    let keep_it = match desired.ending {
        Ending::DeleteDespiteUsers if is_certain(desired, present) => users.outside.clone(),
        Ending::DeleteDespiteUsers | Ending::Stay | Ending::Retain | Ending::Delete => users.all(),
    };
    if keep_it.is_empty() {
        plan.revocations.push(Revocation::DeleteIdentity);
        return;
    }
    let way_out = if users.outside.is_empty() {
        format!(
            "set deletionPolicy: RetainIdentity, or delete it despite them by the annotation {}: \"true\" on the binding",
            keys::DELETE_DESPITE_USERS_ANNOTATION
        )
    } else {
        format!(
            "or set deletionPolicy: RetainIdentity; the annotation {} takes nobody's trust but that of this namespace",
            keys::DELETE_DESPITE_USERS_ANNOTATION
        )
    };
    plan.blocked.push(Blocked {
        reason: Reason::DeletionBlocked,
        message: format!(
            "{} is still used through {}; delete them, {way_out}",
            desired.revocable.identity(),
            keep_it.join(", and through ")
        ),
    });
}

/// The others that use an identity, in words.
struct Users {
    /// Those of the binding's namespace, and roles, which are nobody's trust.
    inside: Vec<String>,
    /// Those whose trust somebody outside the namespace has, and would lose.
    outside: Vec<String>,
}

impl Users {
    fn of(desired: &DesiredRemoval, present: &PresentIdentity, role_assignments: &[ObservedRoleAssignment]) -> Self {
        let (shared, others): (Vec<_>, Vec<_>) = present
            .credentials
            .iter()
            .filter(|credential| !desired.sharing.takes(credential))
            .partition(|credential| desired.sharing.relied_on_by(credential).is_some());
        let (own, outside): (Vec<_>, Vec<_>) = others
            .into_iter()
            .partition(|credential| desired.sharing.is_of_namespace(credential));
        let names = |credentials: Vec<&ObservedCredential>| {
            let names = credentials.into_iter().map(|credential| credential.name.to_string());
            list("federated credentials that are not of this binding", names)
        };
        let sharers = shared
            .iter()
            .filter_map(|credential| desired.sharing.relied_on_by(credential))
            .map(|sharer| sharer.name.to_string());
        let roles = role_assignments
            .iter()
            .filter(|assignment| {
                assignment.principal == present.facts.principal_id && !desired.owner.owns_assignment(assignment)
            })
            .map(ToString::to_string);
        let inside = [
            list("WorkloadIdentityBindings of this namespace", sharers),
            names(own),
            list("role assignments that are not of this binding", roles),
        ];
        Self {
            inside: inside.into_iter().flatten().collect(),
            outside: names(outside).into_iter().collect(),
        }
    }

    fn all(&self) -> Vec<String> {
        self.outside.iter().chain(&self.inside).cloned().collect()
    }
}

/// In whatever order Azure lists them, the message stays the same.
fn list(what: &str, names: impl Iterator<Item = String>) -> Option<String> {
    let names: BTreeSet<String> = names.collect();
    (!names.is_empty()).then(|| format!("{what}: {}", names.into_iter().collect::<Vec<_>>().join(", ")))
}
