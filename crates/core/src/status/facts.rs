//! What was observed, written down.

use wio_api::{
    FederatedCredentialStatus, FederatedCredentialUsage, IdentityOrigin, IdentityStatus, ServiceAccountOrigin,
    ServiceAccountStatus, WorkloadIdentityBindingStatus,
};

use crate::desired::{Desired, DesiredBinding, DesiredIdentity, DesiredRemoval, was_adopted};
use crate::observed::{BoundBy, Observed, ObservedCredential, ObservedIdentity, PresentIdentity};
use crate::outcome::Reconciled;
use crate::plan::MAX_CREDENTIALS;

pub(super) fn write(status: &mut WorkloadIdentityBindingStatus, reconciled: &Reconciled) {
    match &reconciled.desired {
        Desired::Bound(desired) => bound(status, desired, &reconciled.observed),
        Desired::Denied(denial) => gone(status, denial.removal(), &reconciled.observed),
        Desired::Gone(desired) => gone(status, desired, &reconciled.observed),
    }
    // What was not seen stays as it was last seen: it says where to look.
    if let Some(roles) = super::roles::facts(&reconciled.desired, &reconciled.observed) {
        status.role_assignments = roles;
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
        .filter(|wanted| {
            let trusts = |credential: &ObservedCredential| {
                credential.name == wanted.name
                    && credential.trusts(wanted.issuer.as_str(), wanted.subject.as_str())
                    && credential.has_audience(&wanted.audience)
            };
            present.is_some_and(|present| present.credentials.iter().any(trusts))
        })
        .map(|wanted| FederatedCredentialStatus {
            name: wanted.name.to_string(),
            service_account: wanted.account.to_string(),
            subject: wanted.subject.to_string(),
            audience: wanted.audience.to_string(),
        })
        .collect();
    status.federated_credential_usage = present.map(|present| {
        let ours = present
            .credentials
            .iter()
            .filter(|credential| prefix.owns(&credential.name))
            .count();
        FederatedCredentialUsage {
            ours: count(ours),
            foreign: count(present.credentials.len() - ours),
            limit: count(MAX_CREDENTIALS),
        }
    });
    status.service_accounts = accounts(observed);
}

fn gone(status: &mut WorkloadIdentityBindingStatus, desired: &DesiredRemoval, observed: &Observed) {
    let prefix = desired.owner.credential_prefix();
    let ours: Vec<&str> = match &observed.identity {
        ObservedIdentity::Absent => Vec::new(),
        ObservedIdentity::Present(present) => present
            .credentials
            .iter()
            .map(|c| &c.name)
            .filter(|name| prefix.owns(name))
            .map(crate::names::CredentialName::as_str)
            .collect(),
    };
    status
        .federated_credentials
        .retain(|credential| ours.contains(&credential.name.as_str()));
    status.authorized_by = Vec::new();
    status.federated_credential_usage = None;
    status.service_accounts = accounts(observed);
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

fn accounts(observed: &Observed) -> Vec<ServiceAccountStatus> {
    observed
        .service_accounts
        .iter()
        .filter(|(_, seen)| seen.bound_by == BoundBy::Us)
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
