//! What the operator's configuration says about every binding.

use crate::names::{Audience, ClusterId, Issuer, Location, ResourceGroupId};

/// Defaults and permissions, from the operator's arguments, and what was learned of the cluster at start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperatorConfig {
    /// Where managed identities are created.
    pub group: ResourceGroupId,
    /// The region of managed identities.
    pub location: Location,
    /// The audience of bindings that name none.
    pub audience: Audience,
    /// The resource groups whose existing identities may be bound.
    pub existing_identity_groups: Vec<ResourceGroupId>,
}

/// What was learned of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    /// Which cluster it is.
    pub id: ClusterId,
    /// Who issues its service account tokens.
    pub issuer: Issuer,
}
