//! What a reconcile works with: caches to decide from, clients to act by, books to remember in.

use std::sync::Arc;

use kube::Client;
use kube::runtime::reflector::ObjectRef;
use tokio::sync::mpsc;
use wio_api::WorkloadIdentityBinding;
use wio_azure::Azure;
use wio_core::names::{BindingName, BindingUid, Namespace};
use wio_core::sharing::Sharer;

use super::coverage::Coverage;
use super::crd_guard::CrdGuard;
use super::knowledge::{Pace, Slots};
use super::lanes::Lanes;
use super::queue::Queue;
use super::workloads::turns::Turns;
use super::writes::SentWrites;
use crate::caches::stores::Caches;
use crate::runtime::events::Events;
use crate::runtime::heartbeat::Heartbeat;
use crate::runtime::leadership::Leadership;
use crate::runtime::metrics::Metrics;
use crate::runtime::pulse::Pulse;
use crate::settings::Clock;

/// What a reconcile works with.
pub(crate) struct Context {
    pub(crate) caches: Caches,
    pub(crate) clients: Clients,
    pub(crate) books: Books,
    /// The most bindings of one namespace that are reconciled at once.
    pub(crate) concurrency: u16,
}

/// The clients by which the world is read and written.
pub(crate) struct Clients {
    pub(crate) api: Api,
    pub(crate) azure: Azure,
    pub(crate) crd_guard: CrdGuard,
}

/// The Kubernetes API.
pub(crate) struct Api {
    pub(crate) client: Client,
    /// The time that stands in statuses.
    pub(crate) clock: Clock,
    /// When the watches that grants rest on were last heard of.
    pub(crate) pulse: Arc<Pulse>,
    pub(crate) events: Events,
    /// Counts what statuses tell of.
    pub(crate) metrics: Arc<Metrics>,
    /// The looks at pods.
    pub(crate) workloads: Turns,
}

/// What is remembered, counted and asked for between reconciles.
pub(crate) struct Books {
    pub(crate) slots: Slots,
    pub(crate) coverage: Coverage,
    pub(crate) writes: SentWrites,
    pub(crate) wake: Wake,
    pub(crate) lanes: Lanes,
    pub(crate) queue: Queue,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) heartbeat: Heartbeat,
    pub(crate) leadership: Leadership,
}

/// A sender of bindings that are to be reconciled at once.
pub(crate) type Wake = mpsc::UnboundedSender<ObjectRef<WorkloadIdentityBinding>>;

// === impl Context ===

impl Context {
    /// How often Azure is looked at for each of as many bindings as there are.
    pub(crate) fn pace(&self) -> Pace {
        let active = &self.caches.learned.config.now().namespaces;
        self.books.coverage.pace(self.caches.bindings.index.len_of(active))
    }
}

// === impl Books ===

impl Books {
    /// Has other bindings read Azure at once, because something was taken away or left to them: the label on a service account,
    /// or a role that Azure allows once.
    pub(crate) fn wake(&self, namespace: &Namespace, successors: &[&Sharer]) {
        for successor in successors {
            self.wake_one(namespace, &successor.name, &successor.uid);
        }
    }

    /// Has bindings decided about again, because what is asked for beside them has changed.
    pub(crate) fn decide_again(&self, bindings: Vec<ObjectRef<WorkloadIdentityBinding>>) {
        for binding in bindings {
            self.look_at(binding);
        }
    }

    /// Has one binding read Azure at once.
    pub(crate) fn wake_one(&self, namespace: &Namespace, name: &BindingName, uid: &BindingUid) {
        self.slots.invalidate(uid);
        self.look_at(ObjectRef::new(name.as_str()).within(namespace.as_str()));
    }

    /// Has one binding reconciled at once, by what is known of Azure.
    pub(crate) fn look_at(&self, binding: ObjectRef<WorkloadIdentityBinding>) {
        // Whoever listens ends with the operator.
        let _ = self.wake.send(binding);
    }
}
