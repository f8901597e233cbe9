//! What the operator's configuration says about every binding.

use std::collections::BTreeSet;

use crate::names::{Audience, ClientId, ClusterId, IdentityId, Issuer, Location, ResourceGroupId, RoleDefinitionGuid};

/// Defaults and permissions, from the operator's arguments, and what was learned of the cluster at start.
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
    /// As whom the operator itself signs in, when that is known: no binding may have this identity either, whatever its id is.
    pub own_client_id: Option<ClientId>,
    /// Of the roles by which one could give oneself any other ([`crate::authorize::LOCKED_ROLES`]), those that policies may
    /// allow all the same.
    pub unlocked_roles: BTreeSet<RoleDefinitionGuid>,
}

/// What was learned of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    /// Which cluster it is.
    pub id: ClusterId,
    /// Who issues its service account tokens.
    pub issuer: Issuer,
}
