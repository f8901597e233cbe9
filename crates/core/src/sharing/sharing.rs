//! Who shares a binding's trust, and what is shared: credentials, labels on service accounts, roles.

use super::claims::{Claim, Claims, Role, Sharer};
use crate::cluster::Issuers;
use crate::names::{
    BindingUid, CredentialPrefix, IdentityId, Issuer, Namespace, ServiceAccountName, Subject, is_credential_name,
};
use crate::observed::{BoundBy, ObservedCredential, ObservedServiceAccount, PresentIdentity};
use crate::owner::Owner;

/// What a binding shares, and with which other bindings.
///
/// A federated credential can be shared when it trusts an issuer that this cluster has or had and the subject of one of the binding's service
/// accounts, and its name is derived as ours is for them, whichever binding's hash stands in it. The issuer is the cluster's and the
/// subject the namespace's: it was made for a binding of this namespace, and it is as much this one's as the one's that made it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sharing {
    identity: IdentityId,
    namespace: Namespace,
    issuers: Issuers,
    prefix: CredentialPrefix,
    claims: Claims,
    sharers: Vec<Sharer>,
}

/// What the label of another binding on a service account means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BindingLabel {
    /// The other one wants the same: both have it.
    Shared,
    /// The other one has no claim to it any more: it may be taken over.
    Left,
    /// The other one wants the same identity with another audience or lifetime of tokens.
    Differs,
    /// The other one wants another identity.
    Taken,
}

// === impl Sharing ===

impl Sharing {
    /// What a binding claims through an identity, and who else claims some of it, the eldest first.
    pub(crate) fn new(
        owner: &Owner,
        identity: &IdentityId,
        issuers: Issuers,
        claims: Claims,
        sharers: Vec<Sharer>,
    ) -> Self {
        Self {
            identity: identity.clone(),
            namespace: owner.namespace.clone(),
            issuers,
            prefix: owner.credential_prefix(),
            claims,
            sharers,
        }
    }

    /// The same claims, and nobody else's: of what no binding may have, none keeps anything for another.
    pub(crate) fn alone(&self) -> Self {
        Self {
            sharers: Vec::new(),
            ..self.clone()
        }
    }

    /// The same with other claims and other bindings than the verdict found.
    #[cfg(feature = "testing")]
    #[must_use]
    pub fn with(self, claims: Claims, sharers: Vec<Sharer>) -> Self {
        Self {
            claims,
            sharers,
            ..self
        }
    }

    /// The other bindings, the eldest first.
    #[must_use]
    pub fn sharers(&self) -> &[Sharer] {
        &self.sharers
    }

    /// Whether a credential is the binding's: its name carries the binding's hash, or it can be shared. One that was edited, so that it
    /// trusts something else than its name says, is the binding's still.
    #[must_use]
    pub fn owns(&self, credential: &ObservedCredential) -> bool {
        let by_name = self.prefix.owns(&credential.name) && !self.is_of_another_cluster(credential);
        by_name || self.account_of(credential).is_some()
    }

    /// Whether a credential was made by another cluster with this cluster's id, one that was restored from its etcd, for its own binding
    /// of the same name: the name carries the binding's hash and is derived for the issuer that it trusts, which was never ours.
    #[must_use]
    pub fn is_of_another_cluster(&self, credential: &ObservedCredential) -> bool {
        let made_for_its_issuer = || {
            let (namespace, account) = Subject::service_account(credential.subject.as_deref()?)?;
            let issuer: Issuer = credential.issuer.parse().ok()?;
            Some(namespace == self.namespace && is_credential_name(&credential.name, &account, &issuer))
        };
        self.prefix.owns(&credential.name)
            && !self.issuers.contains(&credential.issuer)
            && made_for_its_issuer() == Some(true)
    }

    /// Whether a credential trusts an issuer that the cluster had before, and has no more.
    #[must_use]
    pub fn is_outdated(&self, credential: &ObservedCredential) -> bool {
        self.account_of(credential).is_some() && !self.issuers.is_current(&credential.issuer)
    }

    /// Whether nobody has the issuer of a credential any more, for certain.
    pub(crate) fn was_replaced(&self, credential: &ObservedCredential) -> bool {
        self.issuers.was_replaced(&credential.issuer)
    }

    /// Whether a credential goes when the binding gives everything up: it is the binding's, and nobody else relies on it.
    #[must_use]
    pub fn takes(&self, credential: &ObservedCredential) -> bool {
        self.owns(credential) && self.relied_on_by(credential).is_none()
    }

    /// The service accounts that the binding claims and that nobody else has through the same identity.
    pub(crate) fn accounts_alone(&self) -> impl Iterator<Item = &ServiceAccountName> {
        let shared = |account: &ServiceAccountName| {
            self.of_same_identity()
                .any(|sharer| sharer.claims_account(account) && sharer.told.contains(account))
        };
        self.claims.accounts.iter().filter(move |account| !shared(account))
    }

    /// Whether it is known what becomes of a credential for a service account that the binding gives up: nobody else has the account
    /// through the same identity, or a sharer relies on the credential. Where one wants another in its place, that one may stand there; and where one that does not have
    /// it yet asks for the account, the name of another binding may be what that one has just written.
    pub(crate) fn knows_whose(&self, account: &ServiceAccountName, credential: &ObservedCredential) -> bool {
        let is_nobodys = || {
            if self.prefix.owns(&credential.name) {
                self.accounts_alone().any(|alone| alone == account)
            } else {
                self.claims.accounts.contains(account)
                    && !self.of_same_identity().any(|sharer| sharer.claims_account(account))
            }
        };
        self.relied_on_by(credential).is_some() || is_nobodys()
    }

    /// Whose credential it is, when it is one that can be shared.
    #[must_use]
    pub fn account_of(&self, credential: &ObservedCredential) -> Option<&ServiceAccountName> {
        self.claims
            .accounts
            .iter()
            .find(|account| self.is_for(credential, account))
    }

    /// The sharer that relies on a credential as it is. On one of an issuer that it does not know it does not, and neither on one that
    /// another binding made and its status does not tell of: nobody would take those away.
    #[must_use]
    pub fn relied_on_by(&self, credential: &ObservedCredential) -> Option<&Sharer> {
        self.of_same_identity().find(|sharer| {
            let relies = |claim: &Claim| {
                credential.has_audience(&claim.audience)
                    && self.is_for(credential, &claim.account)
                    && (sharer.told.contains(&claim.account) || sharer.prefix.owns(&credential.name))
            };
            sharer.issuers.contains(&credential.issuer) && sharer.accounts.iter().any(relies)
        })
    }

    /// Whether a credential, whoever made it, trusts a service account of the binding's namespace and nobody else.
    pub(crate) fn is_of_namespace(&self, credential: &ObservedCredential) -> bool {
        let subject = credential.subject.as_deref().and_then(Subject::service_account);
        self.issuers.contains(&credential.issuer) && subject.is_some_and(|(namespace, _)| namespace == self.namespace)
    }

    fn is_for(&self, credential: &ObservedCredential, account: &ServiceAccountName) -> bool {
        self.issuers.all().any(|issuer| {
            self.trusts(credential, account, issuer) && is_credential_name(&credential.name, account, issuer)
        })
    }

    fn trusts(&self, credential: &ObservedCredential, account: &ServiceAccountName, issuer: &Issuer) -> bool {
        credential.trusts(issuer.as_str(), Subject::of(&self.namespace, account).as_str())
    }

    /// The sharers that use the same identity.
    pub(crate) fn of_same_identity(&self) -> impl Iterator<Item = &Sharer> {
        self.sharers.iter().filter(|sharer| sharer.identity == self.identity)
    }

    /// The sharers whose proof rests on the credential of a service account of the same identity.
    pub(crate) fn resting_on(&self, account: &ServiceAccountName) -> impl Iterator<Item = &Sharer> {
        self.of_same_identity()
            .filter(|sharer| sharer.proofs.is_some() && sharer.claims_account(account))
    }

    /// The label of a service account that the binding is to release because it does not want it; none when the account is not
    /// the binding's, or a sharer relies on it as it is.
    pub(crate) fn label_to_release<'a>(
        &self,
        owner: &'a Owner,
        name: &ServiceAccountName,
        seen: &'a ObservedServiceAccount,
        identity: Option<&PresentIdentity>,
    ) -> Option<&'a BindingUid> {
        let label = match &seen.bound_by {
            BoundBy::Us => &owner.uid,
            // What was left to us, and which we had no time to put our label on.
            BoundBy::Gone { uid } | BoundBy::Other { uid, .. } => {
                let has_it =
                    |sharer: &Sharer| sharer.uid == *uid && (sharer.claims_account(name) || sharer.told.contains(name));
                let left = self.claims.accounts.contains(name) && !self.sharers.iter().any(has_it);
                let client_id = identity.map(|present| present.facts.client_id.to_string());
                (left && client_id.is_some() && seen.client_id == client_id).then_some(uid)?
            }
            BoundBy::Nobody => return None,
        };
        (!self.is_claimed(name, seen, identity)).then_some(label)
    }

    /// Whether the binding claims a service account, and no sharer does.
    pub(crate) fn claims_alone(&self, name: &ServiceAccountName) -> bool {
        self.claims.accounts.contains(name) && !self.sharers.iter().any(|sharer| sharer.claims_account(name))
    }

    fn is_claimed(
        &self,
        name: &ServiceAccountName,
        seen: &ObservedServiceAccount,
        identity: Option<&PresentIdentity>,
    ) -> bool {
        // Trust that stays: one of ours that somebody edited goes.
        let trusted = |claim: &Claim| {
            let trusts = |credential: &ObservedCredential| {
                credential.has_audience(&claim.audience)
                    && (self.is_for(credential, name)
                        || self.trusts(credential, name, self.issuers.current()) && !self.prefix.owns(&credential.name))
            };
            identity.is_some_and(|present| present.credentials.iter().any(trusts))
        };
        let told = |sharer: &&Sharer| sharer.told.contains(name);
        let mut claims = self.of_same_identity().filter(told).flat_map(|sharer| &sharer.accounts);
        claims.any(|claim| {
            let expiration = claim.token_expiration.map(|seconds| seconds.to_string());
            claim.account == *name && expiration == seen.token_expiration && trusted(claim)
        })
    }

    /// What the label of another binding on a service account means to one that wants the account like this.
    pub(crate) fn label(&self, uid: &BindingUid, wanted: &Claim) -> BindingLabel {
        let Some(sharer) = self.sharers.iter().find(|sharer| sharer.uid == *uid) else {
            return BindingLabel::Left;
        };
        match sharer.accounts.iter().find(|claim| claim.account == wanted.account) {
            None => BindingLabel::Left,
            Some(_) if sharer.identity != self.identity => BindingLabel::Taken,
            Some(claim) if claim == wanted => BindingLabel::Shared,
            Some(_) => BindingLabel::Differs,
        }
    }

    /// Of each thing that the binding claims and does not keep, the eldest active sharer that wants it.
    pub(crate) fn successors(&self, kept: &Claims) -> Vec<&Sharer> {
        let mut successors: Vec<&Sharer> = Vec::new();
        let accounts = self.claims.accounts.difference(&kept.accounts);
        let of_accounts = accounts.filter_map(|account| self.successor_of_account(account));
        let roles = self.claims.roles.iter().filter(|role| !kept.roles.contains(role));
        for successor in of_accounts.chain(roles.filter_map(|role| self.successor_of_role(role))) {
            if !successors.iter().any(|other| other.uid == successor.uid) {
                successors.push(successor);
            }
        }
        successors
    }

    /// The sharers to whom something is left that the binding claims and does not keep: for their sake it stays, and the binding forgets it.
    pub(crate) fn heirs(&self, kept: &Claims) -> Vec<&Sharer> {
        let is_given_up =
            |account: &ServiceAccountName| self.claims.accounts.contains(account) && !kept.accounts.contains(account);
        let has_account = |sharer: &Sharer| {
            let mut claimed = sharer.accounts.iter().map(|claim| &claim.account);
            claimed.any(|account| is_given_up(account) && sharer.told.contains(account))
        };
        let has_role = |sharer: &Sharer| {
            let given_up = self.claims.roles.iter().filter(|role| !kept.roles.contains(role));
            given_up.into_iter().any(|role| sharer.roles.contains(role))
        };
        self.of_same_identity()
            .filter(|sharer| has_account(sharer) || has_role(sharer))
            .collect()
    }

    /// One that wants the account by the same identity comes before one that wants it by another.
    fn successor_of_account(&self, account: &ServiceAccountName) -> Option<&Sharer> {
        let claims = |sharer: &&Sharer| sharer.is_active && sharer.claims_account(account);
        self.of_same_identity()
            .find(claims)
            .or_else(|| self.sharers.iter().find(claims))
    }

    fn successor_of_role(&self, role: &Role) -> Option<&Sharer> {
        self.of_same_identity()
            .find(|sharer| sharer.is_active && sharer.roles.contains(role))
    }
}

impl Sharer {
    fn claims_account(&self, account: &ServiceAccountName) -> bool {
        self.accounts.iter().any(|claim| claim.account == *account)
    }
}
