//! The removal of an orphan, planned from what Azure shows right before: by the ordinary plan of a removal where the dead binding is
//! known, and else the very credentials that are orphans still.

use std::collections::BTreeSet;

use super::find::{Fate, Left, Orphan, by_credentials, by_tags};
use super::living::Living;
use crate::authorize::Revocable;
use crate::config::OperatorConfig;
use crate::desired::{Desired, DesiredRemoval, Ending};
use crate::fault::Blocked;
use crate::names::{BindingUid, CredentialName, IdentityId, Namespace, ServiceAccountName, ServiceAccountUid, Subject};
use crate::observed::{Observed, ObservedCredential, PresentIdentity};
use crate::owner::Owner;
use crate::plan::{Plan, Revocation, plan};
use crate::policy::Policies;
use crate::sharing::{Claim, Claims, Sharer, Sharing};
use crate::traces::Traces;

/// What of an orphan is to be taken away now.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Removal {
    /// The permission to take away.
    pub revocable: Revocable,
    /// The namespace of the dead binding.
    pub namespace: Namespace,
    /// What to take away, in order.
    pub revocations: Vec<Revocation>,
    /// What keeps the identity.
    pub blocked: Vec<Blocked>,
}

/// A service account that carries the label of a binding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stray {
    /// Its name.
    pub name: ServiceAccountName,
    /// Its UID.
    pub uid: ServiceAccountUid,
    /// The binding whose label it carries.
    pub label: BindingUid,
    /// The client id that it carries, as written.
    pub client_id: String,
}

/// What decides about a removal, beside the living.
#[derive(Clone, Copy, Debug)]
pub struct Rules<'a> {
    /// The operator's configuration.
    pub config: &'a OperatorConfig,
    /// The policies.
    pub policies: &'a Policies,
    /// The service accounts of the dead binding's namespace that carry a label of ours.
    pub strays: &'a [Stray],
}

// === impl Removal ===

impl Orphan {
    /// What is to be taken away of this orphan, by its identity as it was read just now and the living as they are now. None when it is
    /// no orphan any more, or is not to be touched.
    #[must_use]
    pub fn removal(&self, observed: &Observed, living: &Living, rules: Rules<'_>) -> Option<Removal> {
        let present = observed.azure.identity.present()?;
        // Nothing of ours is on the operator's own identity, whatever its tags say.
        if observed.signed_in_as == Some(present.facts.client_id) {
            return None;
        }
        let Plan {
            mut revocations,
            blocked,
            ..
        } = match &self.left {
            Left::Identity => self.of_identity(observed, present, living, rules)?,
            Left::Credentials(names) => self.of_credentials(names, present, living, rules),
        };
        let releases = releases(rules.strays, present, living, &revocations);
        let before_identity = revocations.iter().position(|step| *step == Revocation::DeleteIdentity);
        let at = before_identity.unwrap_or(revocations.len());
        revocations.splice(at..at, releases);
        Some(Removal {
            revocable: Revocable::new(self.identity.clone()),
            namespace: self.namespace.clone(),
            revocations,
            blocked,
        })
    }

    fn of_identity(
        &self,
        observed: &Observed,
        present: &PresentIdentity,
        living: &Living,
        rules: Rules<'_>,
    ) -> Option<Plan> {
        let now = by_tags(&self.identity, &present.tags, living, rules.config)?;
        let ending = match now.fate {
            Fate::Remove => Ending::Delete,
            Fate::Retain => Ending::Retain,
            Fate::Report(_) | Fate::Leave => return None,
        };
        let owner = Owner::named_by(&present.tags)?;
        let sharers = sharers(&self.identity, &present.credentials, living);
        let issuers = living.issuers.clone();
        let removal = DesiredRemoval {
            recorded: None,
            revocable: Revocable::new(self.identity.clone()),
            sharing: Sharing::new(&owner, &self.identity, issuers, Claims::default(), sharers),
            owner,
            managed: true,
            ending,
            orphan_denied: None,
            wanted_by_others: BTreeSet::new(),
            traces: Traces::default(),
            elsewhere: None,
        };
        Some(plan(&Desired::Gone(removal), observed))
    }

    /// Exactly those that were orphans and still are.
    fn of_credentials(
        &self,
        names: &[CredentialName],
        present: &PresentIdentity,
        living: &Living,
        rules: Rules<'_>,
    ) -> Plan {
        let now = by_credentials(
            &self.identity,
            &present.credentials,
            living,
            (rules.policies, rules.config),
        );
        let still = now
            .into_iter()
            .filter(|orphan| orphan.fate == Fate::Remove)
            .flat_map(|orphan| match orphan.left {
                Left::Credentials(names) => names,
                Left::Identity => Vec::new(),
            })
            .filter(|name| names.contains(name));
        Plan {
            revocations: still.map(Revocation::DeleteCredential).collect(),
            ..Plan::default()
        }
    }
}

/// The service accounts that carry the client id of the identity for a binding that is gone, when nothing trusts them through it any
/// more: no living binding claims them. They are let go, and never deleted: pods may run as them.
fn releases(strays: &[Stray], present: &PresentIdentity, living: &Living, gone: &[Revocation]) -> Vec<Revocation> {
    let client_id = present.facts.client_id.to_string();
    let trusted = |stray: &Stray| {
        let subject = Subject::of(&living.namespace, &stray.name);
        present.credentials.iter().any(|credential| {
            living
                .issuers
                .all()
                .any(|issuer| credential.trusts(issuer.as_str(), subject.as_str()))
                && !gone.contains(&Revocation::DeleteCredential(credential.name.clone()))
        })
    };
    let is_left = |stray: &&Stray| {
        stray.client_id == client_id && !living.has_uid(&stray.label) && !living.claims(&stray.name) && !trusted(stray)
    };
    let release = |stray: &Stray| Revocation::ReleaseServiceAccount {
        name: stray.name.clone(),
        uid: stray.uid.clone(),
        label: stray.label.clone(),
        delete: false,
    };
    strays.iter().filter(is_left).map(release).collect()
}

/// The living that use an identity, as the plan of a removal knows them: what they claim on it they keep, whatever audience it has.
fn sharers(id: &IdentityId, credentials: &[ObservedCredential], living: &Living) -> Vec<Sharer> {
    let audiences: BTreeSet<&str> = credentials
        .iter()
        .flat_map(|credential| credential.audiences.iter().map(String::as_str))
        .collect();
    living
        .heirs_of(id)
        .map(|heir| Sharer {
            name: heir.name.clone(),
            uid: heir.uid.clone(),
            generation: heir.generation,
            identity: id.clone(),
            issuers: living.issuers.clone(),
            accounts: heir
                .claims
                .accounts
                .iter()
                .flat_map(|account| {
                    audiences.iter().filter_map(|audience| {
                        Some(Claim {
                            account: account.clone(),
                            audience: audience.parse().ok()?,
                            token_expiration: None,
                        })
                    })
                })
                .collect(),
            roles: heir.claims.roles.clone(),
            told: heir.claims.accounts.clone(),
            proofs: None,
            prefix: heir.prefix.clone(),
            is_active: true,
        })
        .collect()
}
