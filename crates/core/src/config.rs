//! The operator's configuration, as far as it decides about bindings.

use std::collections::BTreeSet;
use std::sync::Arc;

use wio_api::VerificationMode;

use crate::active_namespaces::ActiveNamespaces;
use crate::names::{Audience, IdentityId, Issuer, Location, ResourceGroupId, RoleDefinitionGuid};
use crate::observed::Tags;
use crate::tags::IgnoredTag;

/// The roles with which one can give oneself any other: no policy allows them unless the operator's configuration unlocks
/// them. A custom role can do the same under a name of its own, which is why a policy names those by GUID.
pub const LOCKED_ROLES: [RoleDefinitionGuid; 3] = [
    RoleDefinitionGuid::OWNER,
    RoleDefinitionGuid::USER_ACCESS_ADMINISTRATOR,
    RoleDefinitionGuid::RBAC_ADMINISTRATOR,
];

/// The roles with which one gets the tokens of identities, or assigns roles, where these hold: they write federated credentials, give
/// identities to virtual machines, or assign roles on data. No policy allows them at a scope that holds the operator's own resource group, a
/// protected one, or that of a protected identity.
pub const ROLES_LOCKED_AT_IDENTITIES: [RoleDefinitionGuid; 6] = [
    RoleDefinitionGuid::CONTRIBUTOR,
    RoleDefinitionGuid::MANAGED_IDENTITY_CONTRIBUTOR,
    RoleDefinitionGuid::MANAGED_IDENTITY_OPERATOR,
    RoleDefinitionGuid::KEY_VAULT_DATA_ACCESS_ADMINISTRATOR,
    RoleDefinitionGuid::VIRTUAL_MACHINE_DATA_ACCESS_ADMINISTRATOR,
    RoleDefinitionGuid::OPENSHIFT_FEDERATED_CREDENTIAL,
];

/// The operator's configuration: defaults of bindings, and what no policy can allow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperatorConfig {
    /// Where managed identities are created.
    pub group: ResourceGroupId,
    /// The region of managed identities.
    pub location: Location,
    /// Whether a managed identity there needs a policy as well, as everything else does.
    pub require_policy: bool,
    /// The audience of bindings that name none.
    pub audience: Audience,
    /// Identities that no binding may have, whatever a policy says: those by which the cluster itself acts on Azure.
    pub protected_identities: Vec<IdentityId>,
    /// Resource groups whose identities no binding may have, whatever a policy says: the cluster's node resource group.
    pub protected_groups: Vec<ResourceGroupId>,
    /// Whether these are all by which the cluster acts, or what its own resource names is not known yet.
    pub own_cluster: OwnCluster,
    /// Issuers that the cluster had before: their credentials may go when a token of theirs cannot live any more.
    pub former_issuers: BTreeSet<Issuer>,
    /// Whether the cluster may have an issuer that Entra cannot reach, as a test set-up has.
    pub allow_private_issuer: bool,
    /// Of [`LOCKED_ROLES`] and [`ROLES_LOCKED_AT_IDENTITIES`], those that policies may allow all the same.
    pub unlocked_roles: BTreeSet<RoleDefinitionGuid>,
    /// The tags of every managed identity whose binding does not give them other values.
    pub default_tags: Tags,
    /// The tags that are others': they are neither written nor compared.
    pub ignored_tags: Vec<IgnoredTag>,
    /// Where it acts. It is no decision about what bindings may have: those elsewhere keep what they have.
    pub namespaces: ActiveNamespaces,
    /// Whether the readiness of bindings is proven whose spec does not say.
    pub verification: VerificationMode,
}

/// Whether the protected identities of a configuration are all that are to be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum OwnCluster {
    /// They are: nobody asked for those that the cluster's resource names, or they are among them.
    #[default]
    Settled,
    /// What the cluster's resource names is not known yet.
    Unknown(Arc<str>),
}

// === impl OperatorConfig ===

impl OperatorConfig {
    /// The roles that no policy can allow.
    pub fn locked_roles(&self) -> impl Iterator<Item = &'static RoleDefinitionGuid> {
        LOCKED_ROLES.iter().filter(|role| !self.unlocked_roles.contains(role))
    }

    /// The roles that no policy can allow where they reach [`Self::identity_groups`].
    pub fn roles_locked_at_identities(&self) -> impl Iterator<Item = &'static RoleDefinitionGuid> {
        ROLES_LOCKED_AT_IDENTITIES
            .iter()
            .filter(|role| !self.unlocked_roles.contains(role))
    }

    /// The resource groups with identities that nobody may have by a role: where the operator makes them for everybody, and where protected
    /// ones are.
    pub fn identity_groups(&self) -> impl Iterator<Item = &ResourceGroupId> {
        let of_identities = self.protected_identities.iter().map(|identity| &identity.group);
        std::iter::once(&self.group)
            .chain(&self.protected_groups)
            .chain(of_identities)
    }
}
