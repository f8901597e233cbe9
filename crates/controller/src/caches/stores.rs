//! The caches that decisions are taken from.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use kube::api::PartialObjectMeta;
use kube::runtime::reflector::{ObjectRef, Store};
use tokio::sync::watch;
use wio_api::WorkloadIdentityBinding;
use wio_core::cluster::Cluster;
use wio_core::config::OperatorConfig;

use crate::caches::accepted::Accepted;
use crate::caches::index::Index;
use crate::caches::policies::Parsed;
use crate::runtime::health::SignIn;
use crate::settings::Clock;

/// A service account as the cache holds it: its metadata, without the managed fields.
pub(crate) type AccountMeta = PartialObjectMeta<ServiceAccount>;

/// A namespace as the cache holds it: its labels, which policies select by.
pub(crate) type NamespaceMeta = PartialObjectMeta<Namespace>;

/// The caches that decisions are taken from.
pub(crate) struct Caches {
    pub(crate) bindings: Bindings,
    pub(crate) surroundings: Surroundings,
    pub(crate) learned: Learned,
    /// Whether all caches are filled. A store wakes only the last of several that wait for it, and after a restart with
    /// more bindings than are reconciled at once the others would wait for ever.
    pub(crate) filled: watch::Receiver<bool>,
}

/// The bindings, and an index of them.
#[derive(Clone)]
pub(crate) struct Bindings {
    pub(crate) store: Store<WorkloadIdentityBinding>,
    pub(crate) index: Arc<Index>,
}

/// The surroundings of the bindings: service accounts and namespaces.
#[derive(Clone)]
pub(crate) struct Surroundings {
    pub(crate) accounts: Store<AccountMeta>,
    pub(crate) namespaces: Store<NamespaceMeta>,
}

/// The facts that were learned of the cluster, its policies, the operator's configuration and who it is to Azure.
#[derive(Clone)]
pub(crate) struct Learned {
    pub(crate) config: Arc<OperatorConfig>,
    pub(crate) accepted: Accepted,
    pub(crate) cluster: watch::Receiver<Cluster>,
    pub(crate) policies: watch::Receiver<Parsed>,
    pub(crate) signed_in: watch::Receiver<SignIn>,
    pub(crate) clock: Clock,
}

// === impl Caches ===

impl Caches {
    /// Completes when all caches are filled: until that of service accounts is, a labelled one would look unlabelled.
    pub(crate) async fn filled(&self) {
        // Whoever fills them ends with the operator.
        let _ = self.filled.clone().wait_for(|filled| *filled).await;
    }
}

// === impl Bindings ===

impl Bindings {
    pub(crate) fn get(&self, namespace: &str, name: &str) -> Option<Arc<WorkloadIdentityBinding>> {
        self.store.get(&ObjectRef::new(name).within(namespace))
    }
}

// === impl Learned ===

impl Learned {
    /// The cluster as it was last learned.
    pub(crate) fn cluster(&self) -> Cluster {
        self.cluster.borrow().clone()
    }
}
