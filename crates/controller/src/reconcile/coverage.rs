//! What the lists and the activity log follow: a binding for which all of it is followed looks at Azure for itself far more seldom.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use wio_core::drift::sweep_interval;
use wio_core::names::{IdentityId, ResourceGroupId, Scope, SubscriptionId};

use super::knowledge::Pace;

/// What is followed, each for as long as its last list holds.
#[derive(Debug)]
pub(crate) struct Coverage {
    drift_interval: Duration,
    sweep_interval: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    groups: Until<ResourceGroupId>,
    places: Until<Scope>,
    logs: Until<SubscriptionId>,
    /// How many reads a look of every binding takes.
    reads: usize,
}

/// Until when each is followed.
type Until<T> = HashMap<T, Instant>;

// === impl Coverage ===

impl Coverage {
    /// Nothing is followed yet.
    pub(crate) fn new(drift_interval: Duration, sweep_interval: Duration) -> Self {
        Self {
            drift_interval,
            sweep_interval,
            state: Mutex::default(),
        }
    }

    /// Whether it saves anything to follow: not where each binding is to look for itself as often as lists are asked for.
    pub(crate) fn is_of_use(&self) -> bool {
        self.sweep_interval > self.drift_interval
    }

    /// How often so many bindings are to look for themselves.
    pub(crate) fn pace(&self, bindings: usize) -> Pace {
        let reads = self.lock().reads.max(bindings.saturating_mul(2));
        Pace {
            drift: self.drift_interval,
            sweep: sweep_interval(self.sweep_interval, reads),
        }
    }

    /// How often lists are asked for.
    pub(crate) const fn drift_interval(&self) -> Duration {
        self.drift_interval
    }

    /// Learns how many reads a look of every binding takes.
    pub(crate) fn counted(&self, reads: usize) {
        self.lock().reads = reads;
    }

    /// The identities of these groups were listed; that holds for so long.
    pub(crate) fn listed(&self, groups: impl IntoIterator<Item = ResourceGroupId>, hold: Duration) {
        follow(&mut self.lock().groups, groups, hold);
    }

    /// The role assignments of this place were listed; that holds for so long.
    pub(crate) fn listed_roles(&self, place: Scope, hold: Duration) {
        follow(&mut self.lock().places, [place], hold);
    }

    /// The log of this subscription was read without a gap; that holds for so long.
    pub(crate) fn read_log(&self, subscription: SubscriptionId, hold: Duration) {
        follow(&mut self.lock().logs, [subscription], hold);
    }

    /// Whether everything is followed that a binding has in Azure: its identity, the log of the identity's subscription, and the places
    /// of its roles. A place that is no subscription never is.
    pub(crate) fn covers<'a>(&self, id: &IdentityId, places: impl IntoIterator<Item = &'a Scope>) -> bool {
        let state = self.lock();
        is_followed(&state.groups, &id.group)
            && is_followed(&state.logs, &id.group.subscription)
            && places.into_iter().all(|place| is_followed(&state.places, place))
    }

    /// How many groups, places and logs are followed.
    pub(crate) fn counts(&self) -> [(&'static str, usize); 3] {
        let state = self.lock();
        [
            ("identities", count(&state.groups)),
            ("roles", count(&state.places)),
            ("log", count(&state.logs)),
        ]
    }

    /// A panic elsewhere cannot leave a map of moments half written in a way that matters.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn follow<T: Eq + Hash>(followed: &mut Until<T>, these: impl IntoIterator<Item = T>, hold: Duration) {
    let now = Instant::now();
    followed.retain(|_, until| now < *until);
    followed.extend(these.into_iter().map(|one| (one, now + hold)));
}

fn is_followed<T: Eq + Hash>(followed: &Until<T>, one: &T) -> bool {
    followed.get(one).is_some_and(|until| Instant::now() < *until)
}

fn count<T>(followed: &Until<T>) -> usize {
    let now = Instant::now();
    followed.values().filter(|until| now < **until).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_hours(1);
    const SUBSCRIPTION: &str = "/subscriptions/6f2e1c1d-52a4-4d0c-8d2f-0c6a2d0b7a11";

    fn id() -> IdentityId {
        let text =
            format!("{SUBSCRIPTION}/resourceGroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/one");
        text.parse().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_binding_is_covered_only_as_long_as_everything_of_it_is_followed() {
        let coverage = Coverage::new(HOUR, HOUR * 24);
        let (id, place): (_, Scope) = (id(), SUBSCRIPTION.parse().unwrap());
        assert!(!coverage.covers(&id, []));
        coverage.listed([id.group.clone()], HOUR * 2);
        assert!(!coverage.covers(&id, []), "no list shows its credentials");
        coverage.read_log(id.group.subscription, HOUR);
        assert!(coverage.covers(&id, []));
        assert!(!coverage.covers(&id, [&place]));
        coverage.listed_roles(place.clone(), HOUR * 2);
        assert!(coverage.covers(&id, [&place]));
        tokio::time::advance(HOUR).await;
        assert!(!coverage.covers(&id, []), "the log could not be read for an hour");
        assert_eq!(coverage.counts(), [("identities", 1), ("roles", 1), ("log", 0)]);
    }

    #[test]
    fn the_more_bindings_there_are_the_more_seldom_each_looks_for_itself() {
        let coverage = Coverage::new(HOUR / 2, HOUR * 24);
        assert!(coverage.is_of_use() && !Coverage::new(HOUR, HOUR).is_of_use());
        assert_eq!(coverage.pace(100).sweep, HOUR * 24);
        assert!(coverage.pace(10_000).sweep > HOUR * 48);
        let before = coverage.pace(10_000).sweep;
        coverage.counted(30_000);
        assert!(coverage.pace(10_000).sweep > before, "roles take reads too");
    }
}
