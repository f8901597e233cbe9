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

pub use claims::{Claims, siblings};

/// The trust that a binding has a part in, and who else has one.
///
/// A federated credential is shared when it trusts this cluster's issuer and the subject of one of the binding's service
/// accounts, and its name is derived as ours is, whichever binding's hash stands in it. The issuer is the cluster's and the
/// subject the namespace's: it was made for a binding of this namespace, and it is as much this one's as the one's that made it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sharing {
    identity: IdentityId,
    namespace: Namespace,
    issuer: Issuer,
    claims: Claims,
    siblings: Vec<Sharer>,
}

/// Another binding of the namespace that may have what it asks for, and is not to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sharer {
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
    /// What a binding shares, while no other binding is known.
    #[must_use]
    pub fn of(owner: &Owner, identity: &IdentityId, issuer: &Issuer, claims: Claims) -> Self {
        Self {
            identity: identity.clone(),
            namespace: owner.namespace.clone(),
            issuer: issuer.clone(),
            claims,
            siblings: Vec::new(),
        }
    }

    /// The same for all that the binding has, had or asks for.
    #[must_use]
    pub fn concerning(self, claims: Claims) -> Self {
        Self { claims, ..self }
    }

    /// The same with these bindings, the eldest first.
    #[must_use]
    pub fn with(self, siblings: Vec<Sharer>) -> Self {
        Self { siblings, ..self }
    }

    /// Whose credential it is, when it is one that can be shared.
    #[must_use]
    pub fn member(&self, credential: &ObservedCredential) -> Option<&ServiceAccountName> {
        self.claims
            .accounts
            .iter()
            .find(|account| self.is_for(credential, account))
    }

    /// The sibling that relies on a credential as it is.
    #[must_use]
    pub fn relied_on_by(&self, credential: &ObservedCredential) -> Option<&Sharer> {
        self.of_same_identity().find(|sibling| {
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
    pub(crate) fn of_same_identity(&self) -> impl Iterator<Item = &Sharer> {
        self.siblings.iter().filter(|sibling| sibling.identity == self.identity)
    }

    /// The mark by which a service account that the binding does not want is to be let go of; none when it is not the
    /// binding's, or a sibling relies on it as it is.
    pub(crate) fn label_to_release<'a>(
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
                    self.claims.accounts.contains(name) && !self.siblings.iter().any(|sibling| sibling.uid == *uid);
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
        let mut claims = self.of_same_identity().flat_map(|sibling| &sibling.accounts);
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
    ) -> BindingLabel {
        let Some(sibling) = self.siblings.iter().find(|sibling| sibling.uid == *uid) else {
            return BindingLabel::Left;
        };
        match sibling.accounts.iter().find(|claim| claim.account == account.name) {
            None => BindingLabel::Left,
            Some(_) if sibling.identity != self.identity => BindingLabel::Taken,
            Some(claim)
                if claim.token_expiration == account.token_expiration
                    && credential.is_some_and(|credential| credential.audience == claim.audience) =>
            {
                BindingLabel::Shared
            }
            Some(_) => BindingLabel::Differs,
        }
    }

    /// Of each thing that the binding does not want, the eldest sibling that does.
    fn successors(
        &self,
        wants: impl Fn(&ServiceAccountName) -> bool,
        wants_role: impl Fn(&Role) -> bool,
    ) -> Vec<&Sharer> {
        let of_same_identity = || self.of_same_identity().filter(|sibling| sibling.acts);
        let any = || self.siblings.iter().filter(|sibling| sibling.acts);
        let accounts = self.claims.accounts.iter().filter(|account| !wants(account));
        let of_accounts = accounts.filter_map(|account| {
            let claims = |sibling: &&Sharer| sibling.accounts.iter().any(|claim| claim.account == *account);
            of_same_identity().find(claims).or_else(|| any().find(claims))
        });
        let roles = self.claims.roles.iter().filter(|role| !wants_role(role));
        let of_roles = roles.filter_map(|role| of_same_identity().find(|sibling| sibling.roles.contains(role)));
        let mut successors: Vec<&Sharer> = Vec::new();
        for successor in of_accounts.chain(of_roles) {
            if !successors.iter().any(|other| other.uid == successor.uid) {
                successors.push(successor);
            }
        }
        successors
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
            let account = binding.sharing.member(credential);
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
    pub fn successors(&self, observed: &Observed, plan: &Plan) -> Vec<&Sharer> {
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
            self.sharing().successors(wants, wants_role)
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
