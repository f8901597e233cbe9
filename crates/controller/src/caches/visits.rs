//! How many entries of the caches were looked at: for one binding never more when there are more of others.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A count of the entries of caches that were looked at. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Visits(Arc<AtomicU64>);

// === impl Visits ===

impl Visits {
    /// So many more were looked at.
    pub(crate) fn add(&self, entries: usize) {
        let entries = u64::try_from(entries).unwrap_or(u64::MAX);
        self.0.fetch_add(entries, Ordering::Relaxed);
    }

    /// How many it were so far.
    #[cfg(test)]
    pub(crate) fn so_far(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
