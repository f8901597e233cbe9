//! The configuration of now: what the operator was given, with what the cluster's own resource in Azure names.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;
use wio_api::AcceptedSettings;
use wio_core::config::OperatorConfig;
use wio_core::fault::AzureFault;
use wio_core::own_cluster::{ClusterIdentities, Protections};

/// The configuration. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Configured(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    protections: Mutex<Protections>,
    now: watch::Sender<Arc<OperatorConfig>>,
    /// Whether it is known what is to be protected, or a look at that failed.
    was_looked_at: watch::Sender<bool>,
}

// === impl Configured ===

impl Configured {
    pub(crate) fn new(given: OperatorConfig, cluster: Option<String>) -> Self {
        let was_looked_at = watch::Sender::new(cluster.is_none());
        let protections = Protections::new(given, cluster);
        let now = watch::Sender::new(Arc::new(protections.config()));
        Self(Arc::new(Shared {
            protections: Mutex::new(protections),
            now,
            was_looked_at,
        }))
    }

    /// That of now.
    pub(crate) fn now(&self) -> Arc<OperatorConfig> {
        Arc::clone(&self.0.now.borrow())
    }

    /// Its changes.
    pub(crate) fn changes(&self) -> watch::Receiver<Arc<OperatorConfig>> {
        self.0.now.subscribe()
    }

    /// Completes when it is known what is to be protected, or a look at that failed.
    pub(crate) async fn was_looked_at(&self) {
        // It cannot fail: the sender is here.
        let _ = self.0.was_looked_at.subscribe().wait_for(|looked| *looked).await;
    }

    /// Takes in what the cluster's resource names; tells whether that is another configuration.
    pub(crate) fn learn(&self, read: ClusterIdentities, leads: bool) -> bool {
        let changed = self.change(|protections| protections.learn(read, leads));
        self.0.was_looked_at.send_replace(true);
        changed
    }

    /// Takes in that it could not be read.
    pub(crate) fn miss(&self, fault: &AzureFault) {
        self.change(|protections| protections.miss(fault));
        self.0.was_looked_at.send_replace(true);
    }

    /// Takes in what whoever led before accepted.
    pub(crate) fn remember(&self, accepted: &AcceptedSettings) {
        self.change(|protections| protections.remember(accepted));
    }

    fn change(&self, change: impl FnOnce(&mut Protections)) -> bool {
        let mut protections = self.0.protections.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut protections);
        let config = protections.config();
        // Every binding is decided anew when it is another one.
        self.0.now.send_if_modified(|now| {
            let differs = **now != config;
            if differs {
                *now = Arc::new(config);
            }
            differs
        })
    }
}
