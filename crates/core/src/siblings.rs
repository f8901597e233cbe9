//! Bindings of one namespace that trust one service account through one identity. Azure allows one federated credential for
//! that, and a service account has one client id: they share both, and the last one to go takes them away (docs/adr/0010).

mod claims;

use crate::binding::{Owner, TokenExpiration};
use crate::desired::{Desired, DesiredBinding, DesiredCredential, DesiredServiceAccount};
use crate::names::{
    Audience, BindingName, BindingUid, IdentityId, Issuer, Namespace, RoleDefinitionGuid, Scope, ServiceAccountName,
    Subject, is_credential_name,
};
use crate::observed::{BoundBy, Observed, ObservedCredential, ObservedServiceAccount, PresentIdentity};
use crate::plan::{Plan, Revocation, plan};

pub use claims::{Interest, siblings};

/// The trust that a binding has a part in, and who else has one.
///
/// A federated credential is of the family when it trusts this cluster's issuer and the subject of one of the binding's service
/// accounts, and its name is derived as ours is, whichever binding's hash stands in it. The issuer is the cluster's and the
/// subject the namespace's: it was made for a binding of this namespace, and it is as much this one's as the one's that made it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Family {
    identity: IdentityId,
    namespace: Namespace,
    issuer: Issuer,
    interest: Interest,
    siblings: Vec<Sibling>,
}

/// Another binding of the namespace that may have what it asks for, and is not to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sibling {
    /// Its name.
    pub name: BindingName,
    /// Its UID.
    pub uid: BindingUid,
    /// Its identity.
    pub identity: IdentityId,
    /// Its service accounts.
    pub accounts: Vec<Claim>,
    /// Its roles.
    pub roles: Vec<Role>,
    /// Whether it takes over what is left to it: a suspended one writes nothing.
    pub acts: bool,
}

/// A role at a scope.
pub type Role = (RoleDefinitionGuid, Scope);

/// How a binding wants a service account to be trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The service account.
    pub account: ServiceAccountName,
    /// The audience of its credential.
    pub audience: Audience,
    /// The lifetime of its tokens.
    pub token_expiration: Option<TokenExpiration>,
}

/// What the mark of another binding on a service account means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    /// The other one wants the same: both have it.
    Shared,
    /// The other one has no claim to it any more: it may be taken over.
    Left,
    /// The other one wants the same identity with another audience or lifetime of tokens.
    Differs,
    /// The other one wants another identity.
    Taken,
}

// === impl Family ===

impl Family {
    /// The family of a binding, without siblings.
    #[must_use]
    pub fn of(owner: &Owner, identity: &IdentityId, issuer: &Issuer, interest: Interest) -> Self {
        Self {
            identity: identity.clone(),
            namespace: owner.namespace.clone(),
            issuer: issuer.clone(),
            interest,
            siblings: Vec::new(),
        }
    }

    /// The same family for all that the binding has, had or asks for.
    #[must_use]
    pub fn concerning(self, interest: Interest) -> Self {
        Self { interest, ..self }
    }

    /// The same family with these siblings, the eldest first.
    #[must_use]
    pub fn with(self, siblings: Vec<Sibling>) -> Self {
        Self { siblings, ..self }
    }

    /// Whose credential it is, when it is of the family.
    #[must_use]
    pub fn member(&self, credential: &ObservedCredential) -> Option<&ServiceAccountName> {
        self.interest
            .accounts
            .iter()
            .find(|account| self.is_for(credential, account))
    }

    /// The sibling that relies on a credential as it is.
    #[must_use]
    pub fn claimant(&self, credential: &ObservedCredential) -> Option<&Sibling> {
        self.sharing().find(|sibling| {
            let relies =
                |claim: &Claim| credential.has_audience(&claim.audience) && self.is_for(credential, &claim.account);
            sibling.accounts.iter().any(relies)
        })
    }

    fn is_for(&self, credential: &ObservedCredential, account: &ServiceAccountName) -> bool {
        self.trusts(credential, account) && is_credential_name(&credential.name, account, &self.issuer)
    }

    fn trusts(&self, credential: &ObservedCredential, account: &ServiceAccountName) -> bool {
        credential.trusts(self.issuer.as_str(), Subject::of(&self.namespace, account).as_str())
    }

    /// The siblings that use the same identity.
    pub(crate) fn sharing(&self) -> impl Iterator<Item = &Sibling> {
        self.siblings.iter().filter(|sibling| sibling.identity == self.identity)
    }

    /// The mark by which a service account that the binding does not want is to be let go of; none when it is not the
    /// binding's, or a sibling relies on it as it is.
    pub(crate) fn lets_go<'a>(
        &self,
        owner: &'a Owner,
        name: &ServiceAccountName,
        seen: &'a ObservedServiceAccount,
        identity: Option<&PresentIdentity>,
    ) -> Option<&'a BindingUid> {
        let mark = match &seen.bound_by {
            BoundBy::Us => &owner.uid,
            // What was left to us, and which we had no time to put our mark on.
            BoundBy::Gone { uid } | BoundBy::Other { uid, .. } => {
                let left =
                    self.interest.accounts.contains(name) && !self.siblings.iter().any(|sibling| sibling.uid == *uid);
                let client_id = identity.map(|present| present.facts.client_id.to_string());
                (left && client_id.is_some() && seen.client_id == client_id).then_some(uid)?
            }
            BoundBy::Nobody => return None,
        };
        (!self.is_claimed(owner, name, seen, identity)).then_some(mark)
    }

    fn is_claimed(
        &self,
        owner: &Owner,
        name: &ServiceAccountName,
        seen: &ObservedServiceAccount,
        identity: Option<&PresentIdentity>,
    ) -> bool {
        // Trust that stays: one of ours that somebody edited goes.
        let prefix = owner.credential_prefix();
        let trusted = |claim: &Claim| {
            let trusts = |credential: &ObservedCredential| {
                credential.has_audience(&claim.audience)
                    && (self.is_for(credential, name)
                        || self.trusts(credential, name) && !prefix.owns(&credential.name))
            };
            identity.is_some_and(|present| present.credentials.iter().any(trusts))
        };
        let mut claims = self.sharing().flat_map(|sibling| &sibling.accounts);
        claims.any(|claim| {
            let expiration = claim.token_expiration.map(|seconds| seconds.to_string());
            claim.account == *name && expiration == seen.token_expiration && trusted(claim)
        })
    }

    /// What another binding's mark on a service account means.
    pub(crate) fn mark(
        &self,
        uid: &BindingUid,
        account: &DesiredServiceAccount,
        credential: Option<&DesiredCredential>,
    ) -> Mark {
        let Some(sibling) = self.siblings.iter().find(|sibling| sibling.uid == *uid) else {
            return Mark::Left;
        };
        match sibling.accounts.iter().find(|claim| claim.account == account.name) {
            None => Mark::Left,
            Some(_) if sibling.identity != self.identity => Mark::Taken,
            Some(claim)
                if claim.token_expiration == account.token_expiration
                    && credential.is_some_and(|credential| credential.audience == claim.audience) =>
            {
                Mark::Shared
            }
            Some(_) => Mark::Differs,
        }
    }

    /// Of each thing that the binding does not want, the eldest sibling that does.
    fn heirs(&self, wants: impl Fn(&ServiceAccountName) -> bool, wants_role: impl Fn(&Role) -> bool) -> Vec<&Sibling> {
        let sharing = || self.sharing().filter(|sibling| sibling.acts);
        let any = || self.siblings.iter().filter(|sibling| sibling.acts);
        let accounts = self.interest.accounts.iter().filter(|account| !wants(account));
        let of_accounts = accounts.filter_map(|account| {
            let claims = |sibling: &&Sibling| sibling.accounts.iter().any(|claim| claim.account == *account);
            sharing().find(claims).or_else(|| any().find(claims))
        });
        let roles = self.interest.roles.iter().filter(|role| !wants_role(role));
        let of_roles = roles.filter_map(|role| sharing().find(|sibling| sibling.roles.contains(role)));
        let mut heirs: Vec<&Sibling> = Vec::new();
        for heir in of_accounts.chain(of_roles) {
            if !heirs.iter().any(|other| other.uid == heir.uid) {
                heirs.push(heir);
            }
        }
        heirs
    }
}

// === impl Desired ===

impl Desired {
    /// Whether siblings make a difference: they are looked for only then, because that is a look at every binding there is.
    #[must_use]
    pub fn depends_on_siblings(&self, observed: &Observed) -> bool {
        let Self::Bound(binding) = self else { return true };
        let marked = |seen: &ObservedServiceAccount| matches!(seen.bound_by, BoundBy::Other { .. });
        let differs = |credential: &ObservedCredential| {
            let account = binding.family.member(credential);
            let wanted = account.and_then(|account| binding.credential_of(account));
            wanted.is_some_and(|wanted| !credential.has_audience(&wanted.audience))
        };
        let mut credentials = observed
            .identity
            .present()
            .into_iter()
            .flat_map(|present| &present.credentials);
        observed.service_accounts.values().any(marked)
            || credentials.any(differs)
            || !plan(self, observed).revocations.is_empty()
    }

    /// The siblings that are to look at once, because this plan takes away or leaves what they want.
    #[must_use]
    pub fn heirs(&self, observed: &Observed, plan: &Plan) -> Vec<&Sibling> {
        let bound = match self {
            Self::Bound(binding) => Some(binding),
            Self::Denied(_) | Self::Gone(_) => None,
        };
        let wants = |account: &ServiceAccountName| bound.is_some_and(|binding| binding.wants(account));
        let wants_role = |role: &Role| bound.is_some_and(|binding| binding.wants_role(role));
        // A mark that is left on a service account, so that a sibling puts its own there.
        let left = |(name, seen): (&ServiceAccountName, &ObservedServiceAccount)| {
            let released = |step: &Revocation| matches!(step, Revocation::ReleaseServiceAccount { name: released, .. } if released == name);
            seen.bound_by == BoundBy::Us && !wants(name) && !plan.revocations.iter().any(released)
        };
        let ends =
            matches!(self, Self::Gone(_)) || !plan.revocations.is_empty() || observed.service_accounts.iter().any(left);
        if ends {
            self.family().heirs(wants, wants_role)
        } else {
            Vec::new()
        }
    }
}

impl DesiredBinding {
    fn wants_role(&self, (definition, scope): &Role) -> bool {
        self.roles
            .iter()
            .any(|role| role.definition() == *definition && role.scope() == scope)
    }
}
