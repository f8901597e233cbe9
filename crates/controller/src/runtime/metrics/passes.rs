//! The passes over bindings that are under way, and the bindings that wait for one.

use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::labels::LaneLabels;

/// How many passes are under way and how many bindings wait for a place, by lane. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Passes {
    under_way: Family<LaneLabels, Gauge>,
    waiting: Family<LaneLabels, Gauge>,
}

// === impl Passes ===

impl Passes {
    pub(super) fn register(&self, wio: &mut Registry) {
        let about = "Reconciles that have a place, by what they may do: giving or taking";
        wio.register("reconciles_under_way", about, self.under_way.clone());
        let about = "Bindings that wait for a place to be reconciled, by what that may do: giving or taking";
        wio.register("reconciles_waiting", about, self.waiting.clone());
    }

    /// How many of a lane have a place now, and how many wait for one.
    pub(crate) fn are(&self, lane: &'static str, under_way: usize, waiting: usize) {
        for (family, count) in [(&self.under_way, under_way), (&self.waiting, waiting)] {
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            family.get_or_create(&LaneLabels { lane }).set(count);
        }
    }

    /// What was last told: how many have a place, and how many wait.
    #[cfg(test)]
    pub(crate) fn told(&self, lane: &'static str) -> (i64, i64) {
        let of = |family: &Family<LaneLabels, Gauge>| family.get_or_create(&LaneLabels { lane }).get();
        (of(&self.under_way), of(&self.waiting))
    }
}
