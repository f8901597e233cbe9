//! The operator's configuration, as far as it decides about bindings.

use std::collections::BTreeSet;

use crate::names::{Audience, IdentityId, Location, ResourceGroupId, RoleDefinitionGuid};

/// The roles with which one can give oneself any other: no policy allows them unless the operator's configuration unlocks
/// them. A custom role can do the same under a name of its own, which is why a policy names those by GUID.
pub const LOCKED_ROLES: [RoleDefinitionGuid; 3] = [
    RoleDefinitionGuid::OWNER,
    RoleDefinitionGuid::USER_ACCESS_ADMINISTRATOR,
    RoleDefinitionGuid::RBAC_ADMINISTRATOR,
];

/// The operator's configuration: defaults of bindings, and what no policy can allow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperatorConfig {
    /// Where managed identities are created.
    pub group: ResourceGroupId,
    /// The region of managed identities.
    pub location: Location,
    /// The audience of bindings that name none.
    pub audience: Audience,
    /// Identities that no binding may have, whatever a policy says: those by which the cluster itself acts on Azure.
    pub protected_identities: Vec<IdentityId>,
    /// Resource groups whose identities no binding may have, whatever a policy says: the cluster's node resource group.
    pub protected_groups: Vec<ResourceGroupId>,
    /// Of the roles by which one could give oneself any other ([`LOCKED_ROLES`]), those that policies may
    /// allow all the same.
    pub unlocked_roles: BTreeSet<RoleDefinitionGuid>,
}

impl OperatorConfig {
    /// The roles that no policy can allow.
    pub fn locked_roles(&self) -> impl Iterator<Item = &'static RoleDefinitionGuid> {
        LOCKED_ROLES.iter().filter(|role| !self.unlocked_roles.contains(role))
    }
}
