//! What the operator was told at start.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use wio_azure::ManagedClusterId;
use wio_core::config::OperatorConfig;
use wio_core::election::Terms;

/// What the operator was told at start.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Defaults and permissions of bindings.
    pub config: OperatorConfig,
    /// The cluster's own resource in Azure, by whose identities no binding may act; none when nobody named it.
    pub cluster: Option<ManagedClusterId>,
    /// How often lists that show changes of many bindings are asked for, and how often Azure is looked at for a binding that is ready where
    /// they do not show all that it has, give or take a fifth.
    pub drift_interval: Duration,
    /// How often Azure is looked at for a binding all the same, give or take a fifth. Where it is not longer than the drift interval, no
    /// list is asked for.
    pub sweep_interval: Duration,
    /// The most bindings of one namespace that are reconciled at once.
    pub concurrency: u16,
    /// Whether the pods of bound service accounts are looked at.
    pub workloads: bool,
    /// Whether owners of those pods are restarted where bindings ask for it.
    pub rollouts: bool,
    /// The pod's name, for Events.
    pub instance: Option<String>,
    /// The time that stands in statuses.
    pub clock: Clock,
    /// How it is elected among several; none when it runs alone.
    pub lease: Option<LeaseSettings>,
}

/// How an operator is elected among several.
#[derive(Clone, Debug)]
pub struct LeaseSettings {
    /// The namespace of the Lease.
    pub namespace: String,
    /// The name of this process, which no other one has or ever had.
    pub identity: String,
    /// The terms of the lease.
    pub terms: Terms,
}

/// What tells the time of day.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Timestamp + Send + Sync>);

// === impl Clock ===

impl Clock {
    /// A clock that tells what this function returns.
    #[must_use]
    pub fn new(now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new(Timestamp::now)
    }
}

impl Deref for Clock {
    type Target = dyn Fn() -> Timestamp + Send + Sync;

    fn deref(&self) -> &Self::Target {
        &*self.0
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}
