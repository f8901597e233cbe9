//! The caches that decisions are taken from.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Namespace;
use kube::api::PartialObjectMeta;
use kube::runtime::reflector::{ObjectRef, Store};
use tokio::sync::watch;
use wio_api::WorkloadIdentityBinding;
use wio_core::cluster::Cluster;
use wio_core::config::OperatorConfig;

use crate::caches::accepted::Accepted;
use crate::caches::accounts::Accounts;
use crate::caches::index::Index;
use crate::caches::policies::Parsed;
use crate::caches::visits::Visits;
use crate::runtime::health::SignIn;
use crate::settings::Clock;

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
    store: Store<WorkloadIdentityBinding>,
    pub(crate) index: Arc<Index>,
    visits: Visits,
}

/// The surroundings of the bindings: service accounts and namespaces.
#[derive(Clone)]
pub(crate) struct Surroundings {
    pub(crate) accounts: Accounts,
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
    pub(crate) fn new(store: Store<WorkloadIdentityBinding>, visits: Visits) -> Self {
        Self {
            store,
            index: Arc::new(Index::new(visits.clone())),
            visits,
        }
    }

    pub(crate) fn get(&self, namespace: &str, name: &str) -> Option<Arc<WorkloadIdentityBinding>> {
        self.by_key(&ObjectRef::new(name).within(namespace))
    }

    pub(crate) fn by_key(&self, key: &ObjectRef<WorkloadIdentityBinding>) -> Option<Arc<WorkloadIdentityBinding>> {
        self.visits.add(1);
        self.store.get(key)
    }

    /// All of them: nothing that is done for each binding may ask for them.
    pub(crate) fn all(&self) -> Vec<Arc<WorkloadIdentityBinding>> {
        let all = self.store.state();
        self.visits.add(all.len());
        all
    }

    pub(crate) fn len(&self) -> usize {
        self.store.len()
    }

    /// Completes when all were listed once.
    pub(crate) async fn filled(&self) -> bool {
        self.store.wait_until_ready().await.is_ok()
    }

    /// The count of what is looked at.
    pub(crate) fn visits(&self) -> Visits {
        self.visits.clone()
    }

    /// The store, for kube's controller.
    pub(crate) fn store(&self) -> Store<WorkloadIdentityBinding> {
        self.store.clone()
    }
}

// === impl Learned ===

impl Learned {
    /// The cluster as it was last learned.
    pub(crate) fn cluster(&self) -> Cluster {
        self.cluster.borrow().clone()
    }
}
