//! The caches that decisions are taken from.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Namespace;
use kube::api::PartialObjectMeta;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::watcher::Event;
use tokio::sync::watch;
use wio_api::WorkloadIdentityBinding;
use wio_core::cluster::Cluster;
use wio_core::policy::Limits;

use crate::caches::accepted::Accepted;
use crate::caches::accounts::Accounts;
use crate::caches::configured::Configured;
use crate::caches::glance::Mark;
use crate::caches::handle::Handle;
use crate::caches::index::Index;
use crate::caches::policies::Parsed;
use crate::caches::policy_watch::PolicyWatch;
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

/// The bindings. Clones share them.
#[derive(Clone)]
pub(crate) struct Bindings {
    pub(crate) index: Arc<Index>,
    visits: Visits,
    filled: Arc<watch::Sender<bool>>,
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
    pub(crate) config: Configured,
    pub(crate) accepted: Accepted,
    pub(crate) cluster: watch::Receiver<Cluster>,
    pub(crate) policies: watch::Receiver<Parsed>,
    pub(crate) policy_watch: PolicyWatch,
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
    pub(crate) fn new(visits: Visits) -> Self {
        Self {
            index: Arc::new(Index::new(visits.clone())),
            visits,
            filled: Arc::new(watch::Sender::new(false)),
        }
    }

    /// Takes in an event of the watch. Returns what [`Index::take_in`] does.
    pub(crate) fn take_in(
        &self,
        event: &Event<WorkloadIdentityBinding>,
        limits: impl Fn(&str) -> Limits,
    ) -> Vec<ObjectRef<WorkloadIdentityBinding>> {
        let turned = self.index.take_in(event, limits);
        if matches!(event, Event::InitDone) {
            self.filled.send_replace(true);
        }
        turned
    }

    /// The binding that an event asks something new for. To be asked before the event is taken in.
    pub(crate) fn asking(&self, event: &Event<WorkloadIdentityBinding>) -> Option<Handle> {
        match event {
            Event::Apply(binding) | Event::InitApply(binding) if self.index.asks(binding) => {
                Some(ObjectRef::from_obj(binding).into())
            }
            _ => None,
        }
    }

    pub(crate) fn get(&self, namespace: &str, name: &str) -> Option<Arc<WorkloadIdentityBinding>> {
        self.index.get(namespace, name)
    }

    pub(crate) fn by_key(&self, key: &ObjectRef<WorkloadIdentityBinding>) -> Option<Arc<WorkloadIdentityBinding>> {
        self.index.get(key.namespace.as_deref()?, &key.name)
    }

    /// All of them, one at a time: nothing that is done for each binding may ask for them.
    pub(crate) fn all(&self) -> impl Iterator<Item = Arc<WorkloadIdentityBinding>> + use<> {
        self.index.all()
    }

    /// Those that have this, one at a time.
    pub(crate) fn all_with(&self, mark: Mark) -> impl Iterator<Item = Arc<WorkloadIdentityBinding>> + use<> {
        self.index.all_with(mark)
    }

    pub(crate) fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether all were listed once.
    pub(crate) fn are_filled(&self) -> bool {
        *self.filled.borrow()
    }

    /// Completes when all were listed once.
    pub(crate) async fn filled(&self) -> bool {
        self.filled.subscribe().wait_for(|filled| *filled).await.is_ok()
    }

    /// The count of what is looked at.
    pub(crate) fn visits(&self) -> Visits {
        self.visits.clone()
    }
}

// === impl Learned ===

impl Learned {
    /// The cluster as it was last learned.
    pub(crate) fn cluster(&self) -> Cluster {
        self.cluster.borrow().clone()
    }
}
