//! What was observed, written down.

use wio_api::{
    FederatedCredentialStatus, FederatedCredentialUsage, IdentityOrigin, IdentityStatus, ServiceAccountOrigin,
    ServiceAccountStatus, WorkloadIdentityBindingStatus,
};

use crate::desired::{Desired, DesiredBinding, DesiredCredential, DesiredIdentity, DesiredRemoval, was_adopted};
use crate::names::ServiceAccountName;
use crate::observed::{
    BoundBy, Observed, ObservedCredential, ObservedIdentity, ObservedServiceAccount, PresentIdentity,
};
use crate::outcome::Reconciled;
use crate::plan::{MAX_CREDENTIALS, carries};

pub(super) fn write(status: &mut WorkloadIdentityBindingStatus, reconciled: &Reconciled) {
    match &reconciled.desired {
        Desired::Bound(desired) => bound(status, desired, &reconciled.observed),
        Desired::Denied(denial) => gone(status, denial.removal(), &reconciled.observed),
        Desired::Gone(desired) => gone(status, desired, &reconciled.observed),
    }
    // What was not seen stays as it was last seen: it says where to look.
    if let Some(roles) = super::roles::facts(&reconciled.desired, &reconciled.observed) {
        status.role_assignments = roles;
        status.role_assignment_scopes = super::roles::scopes(&reconciled.desired, &status.role_assignments);
    }
}

fn bound(status: &mut WorkloadIdentityBindingStatus, desired: &DesiredBinding, observed: &Observed) {
    let present = usable(desired, &observed.identity);
    let prefix = desired.owner.credential_prefix();
    status.authorized_by = desired
        .authorized
        .authorized_by()
        .iter()
        .map(ToString::to_string)
        .collect();
    status.identity = present.map(|present| identity(desired, present));
    status.federated_credentials = desired
        .credentials
        .iter()
        .filter_map(|wanted| credential(desired, wanted, present?))
        .collect();
    status.federated_credential_usage = present.map(|present| {
        let ours = present
            .credentials
            .iter()
            .filter(|credential| prefix.owns(&credential.name) || desired.sharing.member(credential).is_some())
            .count();
        FederatedCredentialUsage {
            ours: count(ours),
            foreign: count(present.credentials.len() - ours),
            limit: count(MAX_CREDENTIALS),
        }
    });
    status.service_accounts = accounts(observed, |name, seen| {
        let wanted = desired.service_accounts.iter().find(|wanted| wanted.name == *name);
        match wanted {
            Some(_) if seen.bound_by == BoundBy::Us => true,
            Some(wanted) => present.is_some_and(|present| carries(desired, seen, wanted, &present.facts)),
            None => desired
                .sharing
                .label_to_release(&desired.owner, name, seen, observed.identity.present())
                .is_some(),
        }
    });
}

/// The credential by which a service account is trusted, unless it is a foreign one.
fn credential(
    desired: &DesiredBinding,
    wanted: &DesiredCredential,
    present: &PresentIdentity,
) -> Option<FederatedCredentialStatus> {
    let trusts = |credential: &&ObservedCredential| {
        desired.sharing.member(credential) == Some(&wanted.account) && credential.has_audience(&wanted.audience)
    };
    let found = present.credentials.iter().find(trusts)?;
    // Azure may answer in another case than was sent.
    let name = if found.name == wanted.name {
        &wanted.name
    } else {
        &found.name
    };
    Some(FederatedCredentialStatus {
        name: name.to_string(),
        service_account: wanted.account.to_string(),
        subject: wanted.subject.to_string(),
        audience: wanted.audience.to_string(),
    })
}

fn gone(status: &mut WorkloadIdentityBindingStatus, desired: &DesiredRemoval, observed: &Observed) {
    let present = observed.identity.present();
    let ours: Vec<&str> = present
        .iter()
        .flat_map(|present| &present.credentials)
        .filter(|credential| desired.takes(credential))
        .map(|credential| credential.name.as_str())
        .collect();
    status
        .federated_credentials
        .retain(|credential| ours.contains(&credential.name.as_str()));
    status.authorized_by = Vec::new();
    status.federated_credential_usage = None;
    status.service_accounts = accounts(observed, |name, seen| desired.label_to_release(name, seen, observed));
    if observed.identity == ObservedIdentity::Absent {
        status.identity = None;
    }
}

/// The identity, when it is the one meant.
pub(super) fn usable<'a>(desired: &DesiredBinding, identity: &'a ObservedIdentity) -> Option<&'a PresentIdentity> {
    match identity {
        ObservedIdentity::Absent => None,
        ObservedIdentity::Present(present) => desired.may_use(&present.tags).then_some(present),
    }
}

fn identity(desired: &DesiredBinding, present: &PresentIdentity) -> IdentityStatus {
    let id = desired.authorized.identity();
    IdentityStatus {
        resource_id: id.to_string(),
        name: id.name.to_string(),
        client_id: present.facts.client_id.to_string(),
        principal_id: present.facts.principal_id.to_string(),
        tenant_id: present.facts.tenant_id.to_string(),
        origin: match desired.identity {
            DesiredIdentity::Managed { .. } if was_adopted(&present.tags) => IdentityOrigin::Adopted,
            DesiredIdentity::Managed { .. } => IdentityOrigin::Created,
            DesiredIdentity::Existing => IdentityOrigin::Referenced,
        },
    }
}

fn accounts(
    observed: &Observed,
    ours: impl Fn(&ServiceAccountName, &ObservedServiceAccount) -> bool,
) -> Vec<ServiceAccountStatus> {
    observed
        .service_accounts
        .iter()
        .filter(|(name, seen)| ours(name, seen))
        .map(|(name, seen)| ServiceAccountStatus {
            name: name.to_string(),
            uid: seen.uid.to_string(),
            origin: if seen.created_by_us {
                ServiceAccountOrigin::Created
            } else {
                ServiceAccountOrigin::Adopted
            },
        })
        .collect()
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}
