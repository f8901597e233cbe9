//! What a pass needs of Azure's budgets, counted before it is asked for.
#![deny(clippy::wildcard_enum_match_arm)]

use wio_azure::Need;
use wio_core::desired::{DesiredBinding, DesiredIdentity};
use wio_core::names::{IdentityId, Scope};
use wio_core::plan::{GrantStep, Revocation};

/// What a new binding is expected to need: a look, and all that it asks for.
pub(super) fn of_new(desired: &DesiredBinding) -> Need {
    let mut need = Need::default();
    let subscription = || desired.granted.identity().group.subscription;
    need.read(subscription());
    match &desired.identity {
        DesiredIdentity::Managed { location, .. } => need.create(subscription(), location),
        DesiredIdentity::Existing => need.read(subscription()),
    }
    desired.credentials.iter().for_each(|_| need.write(subscription()));
    for role in &desired.roles {
        need.write_role(role.scope().subscription());
    }
    need
}

/// What a look at an identity needs, and at the places of its roles.
pub(super) fn of_look<'a>(identity: &IdentityId, places: impl Iterator<Item = &'a Scope>) -> Need {
    let mut need = Need::default();
    need.read(identity.group.subscription);
    need.read(identity.group.subscription);
    for place in places {
        need.list_roles(place.subscription());
    }
    need
}

/// What grants need.
pub(super) fn of_grants(identity: &IdentityId, steps: &[GrantStep]) -> Need {
    let mut need = Need::default();
    let subscription = || identity.group.subscription;
    for step in steps {
        match step {
            GrantStep::CreateIdentity { location, .. } => need.create(subscription(), location),
            GrantStep::TagIdentity { .. } | GrantStep::PutCredential(_) => need.write(subscription()),
            GrantStep::ReplaceCredential { .. } => {
                need.delete(subscription());
                need.write(subscription());
            }
            GrantStep::PutRoleAssignment(role) => need.write_role(role.scope().subscription()),
            GrantStep::ApplyServiceAccount(_) | GrantStep::ApplyExport(_) => {}
        }
    }
    need
}

/// What revocations need.
pub(super) fn of_revocations(identity: &IdentityId, steps: &[Revocation]) -> Need {
    let mut need = Need::default();
    for step in steps {
        match step {
            Revocation::DeleteCredential(_) | Revocation::DeleteIdentity => {
                need.delete(identity.group.subscription);
            }
            Revocation::DeleteRoleAssignment { scope, .. } => need.delete_role(scope.subscription()),
            Revocation::ReleaseServiceAccount { .. } | Revocation::DeleteExport { .. } => {}
        }
    }
    need
}
