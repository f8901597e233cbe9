//! What is remembered of each binding between reconciles. All of it may be lost: it saves reads and repeated writes,
//! and nothing is decided by it that a look at the world would not decide.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kube::Resource;
use tokio::time::Instant;
use wio_core::known_state::AzureState;
use wio_core::names::ServiceAccountName;
use wio_core::observed::{Observed, ObservedServiceAccount};

/// A cache that shows an older copy for longer than this does not lag: the API server was restored from a backup, and
/// its versions count from an earlier number.
const LAG_MAX: Duration = Duration::from_mins(1);

/// What is remembered, by the UID of the binding.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    bindings: Mutex<HashMap<String, Remembered>>,
    /// Those of which another one took something away. Apart, because one that is being reconciled brings its memory back as it
    /// was.
    doubted: Mutex<HashSet<String>>,
    /// Those whose finalizer we took off ourselves, until they are gone.
    let_go: Mutex<HashSet<String>>,
}

/// What is remembered of one binding.
#[derive(Clone, Debug, Default)]
pub(crate) struct Remembered {
    /// Azure as it was last seen or written.
    pub(crate) azure: Option<KnownAzure>,
    /// Whether Azure is to be looked at whatever is remembered or was written down.
    pub(crate) must_look: bool,
    /// How many reconciles in a row did not come to an end, and for which generation.
    pub(crate) failures: Failures,
    /// Before this Azure does not want to be asked again.
    pub(crate) not_before: Option<Instant>,
    /// The last write to the binding itself: its finalizer or its status.
    pub(crate) written: Option<OwnWrite>,
    /// The service accounts that were last written, until the cache shows it.
    pub(crate) accounts: BTreeMap<ServiceAccountName, WrittenAccount>,
}

/// Azure as it was last seen or written.
#[derive(Clone, Debug)]
pub(crate) struct KnownAzure {
    pub(crate) azure: AzureState,
    /// When it was seen, or presumed.
    pub(crate) seen: Instant,
    /// When Azure is to be looked at again.
    pub(crate) look_again: Instant,
    /// Whether something happened that says that it may be wrong.
    pub(crate) doubted: bool,
}

/// Reconciles in a row that did not come to an end.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Failures {
    generation: i64,
    count: u32,
}

/// A write of ours, which the cache may not show yet.
#[derive(Clone, Debug)]
pub(crate) struct OwnWrite {
    version: String,
    at: Instant,
}

/// A service account as our write left it.
#[derive(Clone, Debug)]
pub(crate) struct WrittenAccount {
    pub(crate) write: OwnWrite,
    pub(crate) result: ObservedServiceAccount,
}

// === impl Memory ===

impl Memory {
    pub(crate) fn recall(&self, uid: &str) -> Remembered {
        self.lock().get(uid).cloned().unwrap_or_default()
    }

    pub(crate) fn remember(&self, uid: &str, remembered: Remembered) {
        self.lock().insert(uid.to_owned(), remembered);
    }

    pub(crate) fn forget(&self, uid: &str) {
        self.lock().remove(uid);
        self.doubted().remove(uid);
    }

    /// Another binding took away from Azure what this one may rest on: it looks at its next reconcile.
    pub(crate) fn doubt(&self, uid: &str) {
        self.doubted().insert(uid.to_owned());
    }

    /// Whether it is to look at this reconcile; asked once.
    pub(crate) fn was_doubted(&self, uid: &str) -> bool {
        self.doubted().remove(uid)
    }

    /// Our finalizer is about to be taken off by us.
    pub(crate) fn let_go(&self, uid: &str) {
        self.those_let_go().insert(uid.to_owned());
    }

    /// Whether it was.
    pub(crate) fn is_let_go(&self, uid: &str) -> bool {
        self.those_let_go().contains(uid)
    }

    /// Whether it was; asked once, when the binding is gone.
    pub(crate) fn was_let_go(&self, uid: &str) -> bool {
        self.those_let_go().remove(uid)
    }

    /// Forgets all but these, and returns how many: events of deletions get lost when a watch begins anew.
    pub(crate) fn keep(&self, uids: &HashSet<String>) -> usize {
        let mut all = self.lock();
        let before = all.len();
        all.retain(|uid, _| uids.contains(uid));
        self.doubted().retain(|uid| uids.contains(uid));
        self.those_let_go().retain(|uid| uids.contains(uid));
        before - all.len()
    }

    /// A panic elsewhere cannot leave a map of plain values half written in a way that matters.
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Remembered>> {
        self.bindings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn doubted(&self) -> MutexGuard<'_, HashSet<String>> {
        self.doubted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn those_let_go(&self) -> MutexGuard<'_, HashSet<String>> {
        self.let_go.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Failures ===

impl Failures {
    /// One more for this generation; a changed spec begins anew.
    pub(crate) fn another(&mut self, generation: i64) -> u32 {
        let count = if self.generation == generation {
            self.count.saturating_add(1)
        } else {
            1
        };
        *self = Self { generation, count };
        count
    }
}

// === impl OwnWrite ===

impl OwnWrite {
    /// The write that gave this object; none when the answer carries no version.
    pub(crate) fn of<K: Resource>(written: &K) -> Option<Self> {
        Some(Self {
            version: written.meta().resource_version.clone()?,
            at: Instant::now(),
        })
    }

    /// Whether a cached copy is from before the write.
    pub(crate) fn is_missing_in(&self, cached: Option<&str>) -> bool {
        cached.is_some_and(|cached| is_older(cached, &self.version)) && self.at.elapsed() < LAG_MAX
    }
}

/// Versions of one resource are integers in the order of its changes:
/// <https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions>. A server that counts in another way
/// costs a repeated write, which changes nothing.
fn is_older(version: &str, than: &str) -> bool {
    let number = |text: &str| text.parse::<u64>().ok();
    number(version)
        .zip(number(than))
        .is_some_and(|(version, than)| version < than)
}

// === impl Remembered ===

impl Remembered {
    /// Azure as it is after our own writes; when it is due to be looked at does not change.
    pub(crate) fn azure_is(&mut self, observed: &Observed) {
        if let Some(known) = &mut self.azure {
            known.azure = AzureState {
                identity: observed.identity.clone(),
                role_assignments: observed.role_assignments.clone(),
            };
        }
    }

    /// What is remembered of Azure, and what was written down of it, may be wrong: it is looked at now.
    pub(crate) fn look_now(&mut self) {
        self.must_look = true;
        self.look_within(Duration::ZERO);
    }

    /// What is remembered of Azure may be wrong: it is looked at in this time at the latest.
    pub(crate) fn look_within(&mut self, time: Duration) {
        if let Some(known) = &mut self.azure {
            known.look_again = known.look_again.min(Instant::now() + time);
            known.doubted = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        assert!(is_older("9", "10"));
        assert!(!is_older("10", "10") && !is_older("11", "10"));
    }

    #[test]
    fn a_version_that_is_no_number_is_never_older() {
        assert!(!is_older("abc", "abd") && !is_older("1", "x"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_cache_that_stays_behind_is_believed_in_the_end() {
        let write = OwnWrite {
            version: "7".to_owned(),
            at: Instant::now(),
        };
        assert!(write.is_missing_in(Some("6")));
        assert!(!write.is_missing_in(Some("7")) && !write.is_missing_in(None));
        tokio::time::advance(LAG_MAX).await;
        assert!(!write.is_missing_in(Some("6")));
    }

    #[test]
    fn a_changed_spec_is_tried_without_delay() {
        let mut failures = Failures::default();
        assert_eq!(
            [failures.another(1), failures.another(1), failures.another(2)],
            [1, 2, 1]
        );
    }

    #[test]
    fn what_is_gone_is_forgotten() {
        let memory = Memory::default();
        for uid in ["a", "b", "c"] {
            memory.remember(uid, Remembered::default());
        }
        memory.forget("a");
        assert_eq!(memory.keep(&HashSet::from(["b".to_owned(), "x".to_owned()])), 1);
        assert_eq!(memory.lock().keys().collect::<Vec<_>>(), ["b"]);
    }
}
