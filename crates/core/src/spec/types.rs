//! What a spec means: identity, service accounts, roles and audience.

use std::collections::BTreeMap;
use std::fmt;

use wio_api::{ConflictPolicy, VerificationMode};

use crate::config::OperatorConfig;
use crate::names::{
    Audience, ChosenIdentityName, ConfigMapName, IdentityId, IdentityName, Location, ResourceGroupId,
    ResourceGroupName, RoleDefinitionGuid, Scope, ServiceAccountName, SubscriptionId,
};
use crate::owner::Owner;
use crate::role_terms::RoleTerms;

/// The spec of a binding, every field parsed. Only [`super::parse`] makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Spec {
    /// The identity that it means.
    pub identity: IdentityRef,
    /// The service accounts, at least one, each once.
    pub service_accounts: Vec<ServiceAccountRef>,
    /// The roles that it asks for, each at each scope once.
    pub role_assignments: Vec<RoleRef>,
    /// The audience, when it names one.
    pub audience: Option<Audience>,
    /// The ConfigMap that the identity's ids are exported into, when it asks for that.
    pub export: Option<ConfigMapName>,
    /// Whether its readiness is to be proven, when it says so.
    pub verification: Option<VerificationMode>,
}

/// The identity that a binding means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IdentityRef {
    /// One that we create and own.
    Managed(ManagedRef),
    /// One that someone else owns.
    Existing(ExistingRef),
}

/// An identity that someone else owns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExistingRef {
    /// By its id.
    Id(IdentityId),
    /// By name and resource group, in the operator's own subscription unless another one is named.
    Named {
        /// The subscription.
        subscription: Option<SubscriptionId>,
        /// The resource group.
        resource_group: ResourceGroupName,
        /// The name.
        name: IdentityName,
    },
}

/// An identity that we create and own; what is not given comes from the operator's configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManagedRef {
    /// The name; otherwise it is derived.
    pub name: Option<ChosenIdentityName>,
    /// The subscription.
    pub subscription: Option<SubscriptionId>,
    /// The resource group.
    pub resource_group: Option<ResourceGroupName>,
    /// The region.
    pub location: Option<Location>,
    /// The user's tags.
    pub tags: BTreeMap<String, String>,
    /// Whether one that stands there and belongs to no binding is to be taken over.
    pub adopt: bool,
}

/// A service account of the binding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceAccountRef {
    /// Its name.
    pub name: ServiceAccountName,
    /// Whether to create it when it is missing.
    pub create: bool,
    /// The lifetime of its projected tokens in seconds.
    pub token_expiration: Option<TokenExpiration>,
    /// What to do when another manager holds our annotations.
    pub conflict_policy: ConflictPolicy,
}

/// A role that the binding asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleRef {
    /// The role as the spec names it.
    pub role: String,
    /// The role.
    pub definition: RoleDefinitionGuid,
    /// Where it is to hold.
    pub scope: Scope,
    /// On which terms.
    pub terms: RoleTerms,
}

/// The lifetime of a projected token in seconds: 3600 to 86400, as the pod webhook demands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenExpiration(u32);

/// A field that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidField {
    /// Its path.
    pub field: String,
    /// What is wrong with its value, and what would be right.
    pub problem: String,
}

impl fmt::Display for InvalidField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.problem)
    }
}

// === impl Spec ===

impl Spec {
    /// Whether the identity's name is one that nobody else's identity has: it was derived from cluster and binding.
    #[must_use]
    pub const fn name_is_derived(&self) -> bool {
        matches!(&self.identity, IdentityRef::Managed(managed) if managed.name.is_none())
    }

    /// The id of the identity that the spec means, with the operator's defaults.
    #[must_use]
    pub fn identity_id(&self, owner: &Owner, config: &OperatorConfig) -> IdentityId {
        self.identity.id(owner, config)
    }
}

// === impl IdentityRef ===

impl IdentityRef {
    /// Whether the operator's defaults say where it is, or a part of that.
    #[must_use]
    pub const fn follows_defaults(&self) -> bool {
        matches!(self, Self::Managed(managed) if managed.subscription.is_none() || managed.resource_group.is_none())
    }

    /// The id of the identity, with the operator's defaults.
    #[must_use]
    pub fn id(&self, owner: &Owner, config: &OperatorConfig) -> IdentityId {
        match self {
            Self::Existing(ExistingRef::Id(id)) => id.clone(),
            Self::Existing(ExistingRef::Named {
                subscription,
                resource_group,
                name,
            }) => IdentityId {
                group: ResourceGroupId {
                    subscription: subscription.unwrap_or(config.group.subscription),
                    name: resource_group.clone(),
                },
                name: name.clone(),
            },
            Self::Managed(managed) => IdentityId {
                group: ResourceGroupId {
                    subscription: managed.subscription.unwrap_or(config.group.subscription),
                    name: managed
                        .resource_group
                        .clone()
                        .unwrap_or_else(|| config.group.name.clone()),
                },
                name: managed.name.clone().map_or_else(|| owner.identity_name(), Into::into),
            },
        }
    }
}

// === impl TokenExpiration ===

impl TokenExpiration {
    /// What the pod webhook accepts.
    pub const SECONDS: std::ops::RangeInclusive<i64> = 3600..=86400;

    /// The lifetime, when the pod webhook accepts it.
    #[must_use]
    pub fn new(seconds: i64) -> Option<Self> {
        u32::try_from(seconds)
            .ok()
            .filter(|_| Self::SECONDS.contains(&seconds))
            .map(Self)
    }
}

impl fmt::Display for TokenExpiration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}
