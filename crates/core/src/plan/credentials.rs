//! The plan for the federated credentials of an identity that can be used.

use std::collections::BTreeSet;

use wio_api::Reason;
use wio_api::limits::FEDERATED_CREDENTIALS_MAX;

use super::steps::{GrantStep, Plan, Revocation};
use crate::desired::{DesiredBinding, DesiredCredential};
use crate::fault::Blocked;
use crate::names::{CredentialName, ServiceAccountName};
use crate::observed::ObservedCredential;
use crate::sharing::Sharer;

/// Plans the federated credentials and tells which service accounts are trusted when the plan is done.
pub(super) fn plan(
    desired: &DesiredBinding,
    present: &[ObservedCredential],
    plan: &mut Plan,
) -> BTreeSet<ServiceAccountName> {
    let goes: BTreeSet<&CredentialName> = present
        .iter()
        .filter(|credential| !stays(desired, credential))
        .map(|credential| &credential.name)
        .collect();
    // By name: a list that changed between its pages can show one name twice.
    let kept: Vec<&ObservedCredential> = present.iter().filter(|c| !goes.contains(&c.name)).collect();
    plan.revocations
        .extend(goes.into_iter().cloned().map(Revocation::DeleteCredential));

    let mut room = FEDERATED_CREDENTIALS_MAX.saturating_sub(kept.len());
    let mut trusted = BTreeSet::new();
    for wanted in &desired.credentials {
        let step = match kept.iter().find(|credential| trusts_the_same(credential, wanted)) {
            Some(credential) => mend(desired, credential, wanted),
            None if room > 0 => {
                room -= 1;
                Ok(Some(wanted.clone()))
            }
            None => Err(no_room(desired, wanted, &kept)),
        };
        match step {
            Ok(put) => {
                plan.grants.extend(put.map(GrantStep::PutCredential));
                trusted.insert(wanted.account.clone());
            }
            Err(blocked) => plan.blocked.push(blocked),
        }
    }
    trusted
}

/// Whether a credential is not to be deleted. What is ours and not wanted goes, unless another binding relies on it, and so
/// does what was edited to trust somebody else: its name cannot change, and two edited ones could hold each other's subject,
/// which Azure allows only once.
fn stays(desired: &DesiredBinding, credential: &ObservedCredential) -> bool {
    let sharing = &desired.sharing;
    let wanted = sharing
        .account_of(credential)
        .is_some_and(|account| desired.wants(account));
    !sharing.owns(credential) || wanted || sharing.relied_on_by(credential).is_some()
}

/// The write by which a credential that trusts the same subject trusts the same audience, too; none when it does.
fn mend(
    desired: &DesiredBinding,
    credential: &ObservedCredential,
    wanted: &DesiredCredential,
) -> Result<Option<DesiredCredential>, Blocked> {
    if credential.has_audience(&wanted.audience) {
        return Ok(None);
    }
    if !desired.sharing.owns(credential) {
        return Err(conflicting(desired, credential, wanted));
    }
    match desired.sharing.relied_on_by(credential) {
        Some(sharer) => Err(shared(sharer, credential, wanted)),
        // Also one that another binding left: Azure allows one for a subject, and deleting it first would interrupt.
        None => Ok(Some(named(wanted, &credential.name))),
    }
}

/// The wanted credential under the name that it has. Azure may answer in another case than was sent.
fn named(wanted: &DesiredCredential, name: &CredentialName) -> DesiredCredential {
    let name = if wanted.name == *name { &wanted.name } else { name };
    DesiredCredential {
        name: name.clone(),
        ..wanted.clone()
    }
}

fn trusts_the_same(credential: &ObservedCredential, wanted: &DesiredCredential) -> bool {
    credential.trusts(wanted.issuer.as_str(), wanted.subject.as_str())
}

fn conflicting(desired: &DesiredBinding, foreign: &ObservedCredential, wanted: &DesiredCredential) -> Blocked {
    Blocked {
        reason: Reason::FederatedCredentialConflict,
        message: format!(
            "the federated credential {} of {} is not of this binding and trusts {} with audience {} instead of {}; delete \
             it, or set spec.audience to its audience",
            foreign.name,
            desired.granted.identity(),
            wanted.subject,
            foreign.audiences.join(", "),
            wanted.audience,
        ),
    }
}

fn shared(sharer: &Sharer, credential: &ObservedCredential, wanted: &DesiredCredential) -> Blocked {
    Blocked {
        reason: Reason::FederatedCredentialConflict,
        message: format!(
            "WorkloadIdentityBinding {} binds service account {} to the same identity with audience {} instead of {}; make \
             spec.audience the same in both",
            sharer.name,
            wanted.account,
            credential.audiences.join(", "),
            wanted.audience,
        ),
    }
}

fn no_room(desired: &DesiredBinding, wanted: &DesiredCredential, kept: &[&ObservedCredential]) -> Blocked {
    let foreign = kept
        .iter()
        .filter(|credential| !desired.sharing.owns(credential))
        .count();
    Blocked {
        reason: Reason::FederatedCredentialQuotaExceeded,
        message: format!(
            "{} has no room for the federated credential of service account {}: Azure allows {FEDERATED_CREDENTIALS_MAX}, \
             and {foreign} are not of this binding; remove some, or bind fewer service accounts to it",
            desired.granted.identity(),
            wanted.account,
        ),
    }
}
