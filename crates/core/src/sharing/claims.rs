//! What bindings claim: the service accounts and roles that they have, had or ask for.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::cluster::Issuers;
use crate::names::{
    Audience, BindingName, BindingUid, CredentialPrefix, IdentityId, RoleDefinitionGuid, Scope, ServiceAccountName,
};
use crate::spec::TokenExpiration;

/// What a binding has, had or asks for; two bindings that claim the same may share it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claims {
    /// The service accounts.
    pub accounts: BTreeSet<ServiceAccountName>,
    /// The roles.
    pub roles: Vec<Role>,
}

/// A role at a scope.
pub type Role = (RoleDefinitionGuid, Scope);

/// Another binding of the namespace that may have what it asks for, and is not to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sharer {
    /// Its name.
    pub name: BindingName,
    /// Its UID.
    pub uid: BindingUid,
    /// The generation of its spec.
    pub generation: i64,
    /// Its identity.
    pub identity: IdentityId,
    /// The issuers of credentials that it knows as the cluster's.
    pub issuers: Issuers,
    /// Its service accounts.
    pub accounts: Vec<Claim>,
    /// The service accounts of whose trust its status tells. No other trust is left to it: its spec may change before it has that, and then nobody
    /// would know of it.
    pub told: BTreeSet<ServiceAccountName>,
    /// When a token was last given for each service account; none where no proof is asked for, nor told of.
    pub proofs: Option<BTreeMap<ServiceAccountName, Timestamp>>,
    /// How its own federated credentials are named.
    pub prefix: CredentialPrefix,
    /// Its roles.
    pub roles: Vec<Role>,
    /// Whether it takes over what is left to it: a suspended one writes nothing.
    pub is_active: bool,
}

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

// === impl Claims ===

impl Claims {
    /// Whether two bindings claim a service account or a role in common.
    #[must_use]
    pub fn meet(&self, other: &Self) -> bool {
        !self.accounts.is_disjoint(&other.accounts) || self.roles.iter().any(|role| other.roles.contains(role))
    }
}
