//! The plan for the federated credentials of an identity that can be used.

use std::collections::{BTreeMap, BTreeSet};

use wio_api::Reason;
use wio_api::limits::FEDERATED_CREDENTIALS_MAX;

use super::steps::{GrantStep, Plan, Revocation};
use crate::desired::{DesiredBinding, DesiredCredential};
use crate::fault::Blocked;
use crate::names::{CredentialName, ServiceAccountName};
use crate::observed::ObservedCredential;
use crate::sharing::Sharer;

/// Plans the federated credentials and tells which service accounts are trusted when the plan is done. For the accounts of others
/// nothing is written; what trusts them already stays until the binding's own edit ends it.
pub(super) fn plan(
    desired: &DesiredBinding,
    present: &[ObservedCredential],
    others: &BTreeSet<ServiceAccountName>,
    plan: &mut Plan,
) -> BTreeSet<ServiceAccountName> {
    let goes: BTreeSet<&CredentialName> = present
        .iter()
        .filter(|credential| !stays(desired, credential, present))
        .map(|credential| &credential.name)
        .collect();
    // By name: a list that changed between its pages can show one name twice.
    let kept: Vec<&ObservedCredential> = present.iter().filter(|c| !goes.contains(&c.name)).collect();
    plan.revocations
        .extend(goes.into_iter().cloned().map(Revocation::DeleteCredential));

    let mut room = Room::new(desired, &kept);
    let mut trusted = BTreeSet::new();
    let mut without_room = Vec::new();
    for wanted in &desired.credentials {
        let step = match kept.iter().find(|credential| trusts_the_same(credential, wanted)) {
            Some(credential) if credential.has_audience(&wanted.audience) => Ok(None),
            Some(credential) => match mend(desired, credential, wanted) {
                Ok(_) if others.contains(&wanted.account) => continue,
                mended => mended.map(|put| Some(GrantStep::PutCredential(put))),
            },
            None if others.contains(&wanted.account) => continue,
            None => {
                let Some(step) = room.make(wanted) else {
                    without_room.push(wanted);
                    continue;
                };
                Ok(Some(step))
            }
        };
        match step {
            Ok(step) => {
                plan.grants.extend(step);
                trusted.insert(wanted.account.clone());
            }
            Err(blocked) => plan.blocked.push(blocked),
        }
    }
    plan.blocked.extend(no_room(desired, &without_room, &kept));
    trusted
}

/// The room for further credentials on an identity.
struct Room<'a> {
    left: usize,
    /// The credentials of issuers that the cluster had before, by name.
    outdated: BTreeMap<&'a CredentialName, &'a ServiceAccountName>,
    /// The service accounts that are trusted by the issuer that it has.
    trusted: BTreeSet<&'a ServiceAccountName>,
}

impl<'a> Room<'a> {
    fn new(desired: &'a DesiredBinding, kept: &[&'a ObservedCredential]) -> Self {
        let outdated = kept.iter().filter(|credential| desired.sharing.is_outdated(credential));
        let is_trusted =
            |wanted: &&DesiredCredential| kept.iter().any(|credential| trusts_the_same(credential, wanted));
        Self {
            left: FEDERATED_CREDENTIALS_MAX.saturating_sub(kept.len()),
            outdated: outdated
                .filter_map(|credential| Some((&credential.name, desired.sharing.account_of(credential)?)))
                .collect(),
            trusted: desired
                .credentials
                .iter()
                .filter(is_trusted)
                .map(|wanted| &wanted.account)
                .collect(),
        }
    }

    /// The step that creates a credential, with one of a former issuer beside it when there is room, and else instead of one: rather of an
    /// account that is trusted by the issuer of today already than of this one, which is trusted by nobody if Azure takes only the first
    /// half of the step.
    fn make(&mut self, wanted: &'a DesiredCredential) -> Option<GrantStep> {
        let step = if self.left > 0 {
            self.left -= 1;
            GrantStep::PutCredential(wanted.clone())
        } else {
            let spare = self
                .outdated
                .iter()
                .find(|(_, account)| self.trusted.contains(*account));
            let own = || self.outdated.iter().find(|(_, account)| **account == &wanted.account);
            let former = *spare.or_else(own)?.0;
            self.outdated.remove(former);
            GrantStep::ReplaceCredential {
                former: former.clone(),
                wanted: wanted.clone(),
            }
        };
        self.trusted.insert(&wanted.account);
        Some(step)
    }
}

/// Whether a credential is not to be deleted. What is ours and not wanted goes, unless another binding relies on it, and so
/// does what was edited to trust somebody else: its name cannot change, and two edited ones could hold each other's subject,
/// which Azure allows only once. One of a former issuer goes when its account is trusted by the issuer of today as it is wanted now, and either its time
/// is over or its audience is no longer the wanted one.
fn stays(desired: &DesiredBinding, credential: &ObservedCredential, present: &[ObservedCredential]) -> bool {
    let sharing = &desired.sharing;
    let wanted = sharing
        .account_of(credential)
        .and_then(|account| desired.credential_of(account));
    match wanted {
        Some(wanted) => {
            let succeeds =
                |other: &ObservedCredential| trusts_the_same(other, wanted) && other.has_audience(&wanted.audience);
            let is_over = || desired.retired.contains(&credential.name);
            // The audience was edited since: nobody wants tokens for the one before to be trusted.
            let is_unwanted =
                || !credential.has_audience(&wanted.audience) && sharing.relied_on_by(credential).is_none();
            let goes = sharing.is_outdated(credential) && (is_over() || is_unwanted());
            !(goes && present.iter().any(succeeds))
        }
        None => !sharing.owns(credential) || sharing.relied_on_by(credential).is_some(),
    }
}

/// The write by which a credential that trusts the same subject and another audience trusts the same one.
fn mend(
    desired: &DesiredBinding,
    credential: &ObservedCredential,
    wanted: &DesiredCredential,
) -> Result<DesiredCredential, Blocked> {
    if !desired.sharing.owns(credential) {
        return Err(conflicting(desired, credential, wanted));
    }
    match desired.sharing.relied_on_by(credential) {
        Some(sharer) => Err(shared(sharer, credential, wanted)),
        // Also one that another binding left: Azure allows one for a subject, and deleting it first would interrupt.
        None => Ok(named(wanted, &credential.name)),
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

/// One sentence, however many service accounts have no room.
fn no_room(desired: &DesiredBinding, wanted: &[&DesiredCredential], kept: &[&ObservedCredential]) -> Option<Blocked> {
    let accounts: Vec<&str> = wanted.iter().map(|wanted| wanted.account.as_str()).collect();
    let (credentials, of) = match accounts.len() {
        0 => return None,
        1 => ("credential", "account"),
        _ => ("credentials", "accounts"),
    };
    let foreign = kept
        .iter()
        .filter(|credential| !desired.sharing.owns(credential))
        .count();
    Some(Blocked {
        reason: Reason::FederatedCredentialQuotaExceeded,
        message: format!(
            "{} has no room for the federated {credentials} of service {of} {}: Azure allows {FEDERATED_CREDENTIALS_MAX}, \
             and {foreign} {} not of this binding; remove some, or bind fewer service accounts to it",
            desired.granted.identity(),
            accounts.join(", "),
            if foreign == 1 { "is" } else { "are" },
        ),
    })
}
