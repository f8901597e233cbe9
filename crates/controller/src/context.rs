//! What every reconcile shares.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use kube::Client;
use kube::api::PartialObjectMeta;
use kube::runtime::reflector::Store;
use tokio::sync::watch;
use wio_api::WorkloadIdentityBinding;
use wio_azure::Azure;
use wio_core::config::Cluster;

use crate::abandoned::Gone;
use crate::definitions::LastLook;
use crate::events::Events;
use crate::memory::Memory;
use crate::metrics::Metrics;
use crate::policies::Parsed;
use crate::settings::Settings;
use crate::sharing::Wake;

/// A service account as the cache holds it: its metadata, without the managed fields.
pub(crate) type AccountMeta = PartialObjectMeta<ServiceAccount>;

/// A namespace as the cache holds it: its labels, which policies select by.
pub(crate) type NamespaceMeta = PartialObjectMeta<Namespace>;

/// What every reconcile shares.
pub(crate) struct Context {
    pub(crate) client: Client,
    pub(crate) azure: Azure,
    pub(crate) settings: Settings,
    pub(crate) cluster: watch::Receiver<Cluster>,
    pub(crate) bindings: Store<WorkloadIdentityBinding>,
    pub(crate) accounts: Store<AccountMeta>,
    pub(crate) policies: watch::Receiver<Parsed>,
    pub(crate) namespaces: Store<NamespaceMeta>,
    /// Whether all caches are filled. A store wakes only the last of several that wait for it, and after a restart with
    /// more bindings than are reconciled at once the others would wait for ever.
    pub(crate) filled: watch::Receiver<bool>,
    /// The definitions of our kinds as they were when something was last to be taken away.
    pub(crate) definitions: LastLook,
    pub(crate) memory: Memory,
    pub(crate) wake: Wake,
    pub(crate) abandoned: Gone,
    pub(crate) events: Events,
    pub(crate) metrics: Arc<Metrics>,
}
