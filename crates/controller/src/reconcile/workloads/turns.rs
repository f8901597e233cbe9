//! Whether pods are looked at, how often, and by how many bindings at once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use wio_api::Rollout;
use wio_core::fault::Fault;
use wio_core::status::Sight;

/// How many bindings look at their pods at once. A page of them is up to half a megabyte of text, and as much again as objects.
const AT_ONCE: usize = 2;

/// What is said where a binding asks for restarts and nobody looks whose pods need one.
const BLIND: &str = "spec.rollout asks for restarts, and the operator was not told to look at pods: --workloads (WIO_WORKLOADS), workloads.enabled of the \
                     chart.";

/// What is said where the right is missing.
const REFUSED: &str = "The operator may not list pods here: its role workload-identity-operator-workloads is not bound. config/workloads, or \
                       workloads.enabled of the chart, does that.";

/// The looks at pods of all bindings.
pub(crate) struct Turns {
    interval: Option<Duration>,
    /// Whether owners may be restarted.
    restarts: bool,
    places: Semaphore,
    /// Whether the log tells that the right is missing.
    told: AtomicBool,
}

// === impl Turns ===

impl Turns {
    /// Pods are looked at this often, never when nobody asked for it; and their owners may be restarted, or not.
    pub(crate) fn new(interval: Option<Duration>, restarts: bool) -> Self {
        Self {
            interval,
            restarts,
            places: Semaphore::new(AT_ONCE),
            told: AtomicBool::new(false),
        }
    }

    /// How often each binding looks, give or take a fifth; none when nobody asked for it.
    pub(super) const fn interval(&self) -> Option<Duration> {
        self.interval
    }

    /// Whether owners may be restarted.
    pub(super) const fn restarts(&self) -> bool {
        self.restarts
    }

    /// What is told where nobody looks: nothing, unless restarts are asked for.
    pub(super) fn blind(asked: Option<Rollout>) -> Sight {
        asked.map_or(Sight::NotToLook, |Rollout::Restart| Sight::Unseen(BLIND.to_owned()))
    }

    /// Waits for a turn.
    pub(super) async fn take(&self) -> Option<SemaphorePermit<'_>> {
        // It is never closed.
        self.places.acquire().await.ok()
    }

    /// What is told where the right is missing; the log says it once.
    pub(super) fn refused(&self, fault: &Fault) -> Sight {
        if !self.told.swap(true, Ordering::Relaxed) {
            tracing::warn!(%fault, "pods are to be looked at, and may not be");
        }
        Sight::Unseen(REFUSED.to_owned())
    }
}
