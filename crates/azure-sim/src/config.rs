//! What can be set about the simulated cloud.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The simulated cloud's settings. Every one can be changed while it runs ([`crate::Simulator::reconfigure`],
/// `PATCH /_sim/config`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Config {
    /// The only Entra tenant there is.
    pub tenant_id: Uuid,
    /// The subscriptions that exist; when empty, each that is asked for does.
    pub subscriptions: Vec<Uuid>,
    /// What is unusual about a subscription.
    pub subscription_states: BTreeMap<Uuid, SubscriptionState>,
    /// Azure Policies of effect modify: what becomes of the tags of every identity that is written.
    pub tag_policies: Vec<TagPolicy>,
    /// How long every ARM call takes. A write takes effect at the end of it.
    #[serde(rename = "latencyMs", with = "millis")]
    pub latency: Duration,
    /// How far lists lag behind: a list shows what was so long ago, or what was when this was set if that is later. What
    /// the list is within (the resource group, the identity) is looked up as it is now.
    #[serde(rename = "listLagMs", with = "millis")]
    pub list_lag: Duration,
    /// How far a GET of one resource lags behind, in the same way. Writes and deletions always meet what is.
    #[serde(rename = "readLagMs", with = "millis")]
    pub read_lag: Duration,
    /// After a federated credential was written or deleted, how long Entra goes on deciding by what was before.
    #[serde(rename = "credentialPropagationMs", with = "millis")]
    pub credential_propagation: Duration,
    /// How much later than that a second region of Entra hears of it; the two answer token requests in turn.
    #[serde(rename = "slowRegionMs", with = "millis")]
    pub slow_region: Duration,
    /// How long Entra goes on with the keys that it read of a token issuer: so long a new key, and every key of an issuer
    /// that it meets for the first time, is AADSTS7000272.
    #[serde(rename = "issuerKeysMs", with = "millis")]
    pub issuer_keys: Duration,
    /// After an identity was created, how long Entra answers AADSTS700016 for its client id.
    #[serde(rename = "identityPropagationMs", with = "millis")]
    pub identity_propagation: Duration,
    /// After an identity was created, how long a write of a federated credential answers 404
    /// `ParentResourceNotFound`.
    #[serde(rename = "parentReplicationMs", with = "millis")]
    pub parent_replication: Duration,
    /// After an identity was created, how long a role assignment to it answers 400 `PrincipalNotFound`, unless the
    /// request says `principalType`.
    #[serde(rename = "principalReplicationMs", with = "millis")]
    pub principal_replication: Duration,
    /// How long a new role assignment grants nothing yet. Only seen with [`Config::authorization`].
    #[serde(rename = "rolePropagationMs", with = "millis")]
    pub role_propagation: Duration,
    /// How long a resource group takes to go after its deletion was accepted.
    #[serde(rename = "groupDeletionMs", with = "millis")]
    pub group_deletion: Duration,
    /// How late an entry of the activity log comes: each by another time between these two, so that they come out of order.
    pub activity_log_lateness: Lateness,
    /// How many entries a page of a list holds.
    pub page_size: usize,
    /// The budgets whose excess is answered with 429; `None` turns them and their headers off.
    pub limits: Option<Limits>,
    /// How many role assignments a subscription holds.
    pub role_assignment_limit: usize,
    /// Whether the caller needs a role assignment at the scope or above it. When false, any token that this simulator
    /// issued for ARM is good for everything.
    pub authorization: bool,
    /// Bearer tokens that are accepted as they stand, and the principal that each of them is.
    pub static_tokens: BTreeMap<String, Uuid>,
    /// Audiences with which ARM accepts a token, besides those of the public and the sovereign clouds.
    pub arm_audiences: Vec<String>,
    /// The applications of the tenant for which there are tokens, by their id URIs, besides Microsoft's own.
    pub resources: Vec<String>,
    /// How long an access token is valid.
    #[serde(rename = "tokenLifetimeMs", with = "millis")]
    pub token_lifetime: Duration,
    /// Regions (as `westeurope`) where a write of a federated credential answers 405.
    pub regions_without_credentials: Vec<String>,
    /// What stands behind each cluster of AKS that somebody makes; `None`: none can be made.
    pub new_cluster: Option<NewCluster>,
    /// Makes the generated ids the same in every run; `None` makes them random.
    pub seed: Option<Uuid>,
    /// The time of day at which it starts; `None`: the machine's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub starts_at: Option<Timestamp>,
}

/// The cluster that a managed cluster is, which somebody else started: this simulator has none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewCluster {
    /// Its version of Kubernetes, as `1.37.2`.
    pub kubernetes_version: String,
    /// The issuer of its service account tokens.
    pub issuer: String,
    /// The kubeconfig that its users get.
    pub kubeconfig: String,
}

/// How late something comes, at least and at most. The activity log says 3 to 20 minutes:
/// <https://learn.microsoft.com/azure/azure-monitor/platform/activity-log>.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Lateness {
    /// At least.
    #[serde(rename = "leastMs", with = "millis")]
    pub least: Duration,
    /// At most.
    #[serde(rename = "mostMs", with = "millis")]
    pub most: Duration,
}

/// What is unusual about a subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum SubscriptionState {
    /// `Microsoft.ManagedIdentity` is not registered: writes of identities and credentials are 409
    /// `MissingSubscriptionRegistration`, until somebody registers it.
    Unregistered,
    /// It is disabled: every write but a deletion is 409 `ReadOnlyDisabledSubscription`.
    Disabled,
    /// It belongs to another tenant: every call is 401 `InvalidAuthenticationTokenTenant`.
    OfAnotherTenant,
}

/// An [Azure Policy of effect modify](https://learn.microsoft.com/azure/governance/policy/concepts/effect-modify) for tags.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TagPolicy {
    /// The id of the subscription, resource group or identity at and below which it holds.
    pub scope: String,
    /// The tag's name, in any case.
    pub tag: String,
    /// The value that the tag always gets, whether it was sent or not; `None` takes the tag away.
    #[serde(default)]
    pub value: Option<String>,
}

/// The budgets of [ARM](https://learn.microsoft.com/azure/azure-resource-manager/management/request-limits-and-throttling)
/// and of the managed-identity provider.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Limits {
    /// Reads, for each principal and subscription.
    pub reads: Budget,
    /// Writes, for each principal and subscription.
    pub writes: Budget,
    /// Deletes, for each principal and subscription.
    pub deletes: Budget,
    /// Reads of all principals of a subscription together.
    pub shared_reads: Budget,
    /// Writes of all principals of a subscription together.
    pub shared_writes: Budget,
    /// Deletes of all principals of a subscription together.
    pub shared_deletes: Budget,
    /// Identities created in a window, for each subscription and region.
    pub creations_in_subscription: Quota,
    /// Identities created in a window, for each tenant and region.
    pub creations_in_tenant: Quota,
    /// The managed-identity provider's own table, which contradicts the creation windows: off unless asked for.
    pub provider: Option<ProviderLimits>,
}

/// A token bucket.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Budget {
    /// How many calls it holds when full.
    pub capacity: u32,
    /// How many calls a second flow back.
    pub per_second: f64,
}

/// So many in each window of time; a window begins with the first call after the one before ended.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Quota {
    /// How many calls a window holds.
    pub count: u32,
    /// How long a window is.
    #[serde(rename = "windowMs", with = "millis")]
    pub window: Duration,
}

/// Requests a second to the managed-identity provider.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ProviderLimits {
    /// PUT and PATCH.
    pub write: Rates,
    /// GET of one.
    pub get: Rates,
    /// GET of many.
    pub list: Rates,
    /// DELETE.
    pub delete: Rates,
}

/// Requests a second in each of three circles.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rates {
    /// In the tenant.
    pub tenant: f64,
    /// In a subscription.
    pub subscription: f64,
    /// On one resource.
    pub resource: f64,
}

// === impl Config ===

impl Default for Config {
    fn default() -> Self {
        Self {
            tenant_id: Uuid::from_u128(0x7e4a_9d30_5b1f_4c26_8f0e_2d6c_91ab_3e57),
            subscriptions: Vec::new(),
            subscription_states: BTreeMap::new(),
            tag_policies: Vec::new(),
            latency: Duration::ZERO,
            list_lag: Duration::ZERO,
            read_lag: Duration::ZERO,
            credential_propagation: Duration::ZERO,
            slow_region: Duration::ZERO,
            issuer_keys: Duration::ZERO,
            identity_propagation: Duration::ZERO,
            parent_replication: Duration::ZERO,
            principal_replication: Duration::ZERO,
            role_propagation: Duration::ZERO,
            group_deletion: Duration::from_secs(15),
            activity_log_lateness: Lateness::default(),
            page_size: 100,
            limits: Some(Limits::default()),
            role_assignment_limit: 4000,
            authorization: false,
            static_tokens: BTreeMap::new(),
            arm_audiences: Vec::new(),
            resources: Vec::new(),
            token_lifetime: Duration::from_hours(24),
            regions_without_credentials: Vec::new(),
            new_cluster: None,
            seed: None,
            starts_at: None,
        }
    }
}

impl Config {
    /// How far back an answer can show what was.
    pub(crate) fn furthest_lag(&self) -> Duration {
        self.list_lag.max(self.read_lag)
    }

    /// Accepts `Authorization: Bearer <token>` as the principal [`Config::static_principal`] of it.
    #[must_use]
    pub fn with_static_token(mut self, token: &str) -> Self {
        self.static_tokens
            .insert(token.to_owned(), Self::static_principal(token));
        self
    }

    /// The principal id that [`Config::with_static_token`] gives a token: the same for the same text.
    #[must_use]
    pub fn static_principal(token: &str) -> Uuid {
        Uuid::new_v5(&Uuid::NAMESPACE_OID, token.as_bytes())
    }
}

// === impl Lateness ===

impl Default for Lateness {
    fn default() -> Self {
        Self {
            least: Duration::from_mins(3),
            most: Duration::from_mins(20),
        }
    }
}

// === impl Limits ===

impl Default for Limits {
    fn default() -> Self {
        let window = Duration::from_secs(20);
        Self {
            reads: Budget {
                capacity: 250,
                per_second: 25.0,
            },
            writes: Budget {
                capacity: 200,
                per_second: 10.0,
            },
            deletes: Budget {
                capacity: 200,
                per_second: 10.0,
            },
            // Recorded in November 2025; before, and in the documentation, fifteen times those of one principal. How fast they
            // refill is not recorded.
            shared_reads: Budget {
                capacity: 16_500,
                per_second: 375.0,
            },
            shared_writes: Budget {
                capacity: 12_000,
                per_second: 150.0,
            },
            // No deletion was recorded.
            shared_deletes: Budget {
                capacity: 12_000,
                per_second: 150.0,
            },
            creations_in_subscription: Quota { count: 80, window },
            creations_in_tenant: Quota { count: 400, window },
            provider: None,
        }
    }
}

impl Default for ProviderLimits {
    fn default() -> Self {
        Self {
            write: Rates {
                tenant: 10.0,
                subscription: 2.0,
                resource: 0.25,
            },
            get: Rates {
                tenant: 30.0,
                subscription: 10.0,
                resource: 0.5,
            },
            list: Rates {
                tenant: 15.0,
                subscription: 5.0,
                resource: 0.25,
            },
            delete: Rates {
                tenant: 10.0,
                subscription: 2.0,
                resource: 0.25,
            },
        }
    }
}

/// Durations as whole milliseconds in JSON.
pub(crate) mod millis {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_millis)
    }
}
