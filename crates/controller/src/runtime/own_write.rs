//! Writes of our own that a cache may not show yet.

use std::time::Duration;

use kube::Resource;
use tokio::time::Instant;

/// A cache that shows an older copy for longer than this may not lag: the API server can have been restored from a backup, and
/// its versions count from an earlier number.
const LAG_MAX: Duration = Duration::from_mins(1);

/// A write of ours, which the cache may not show yet.
#[derive(Clone, Debug)]
pub(crate) struct OwnWrite {
    version: String,
    at: Instant,
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
        self.is_newer_than(cached) && self.at.elapsed() < LAG_MAX
    }

    /// Whether a cached copy has been from before the write for so long that something else may be the matter.
    pub(crate) fn is_overdue_in(&self, cached: Option<&str>) -> bool {
        self.is_newer_than(cached) && self.at.elapsed() >= LAG_MAX
    }

    /// Whether a copy is from before the write.
    pub(crate) fn is_newer_than(&self, copy: Option<&str>) -> bool {
        copy.is_some_and(|copy| is_older(copy, &self.version))
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
        assert!(write.is_overdue_in(Some("6")) && !write.is_overdue_in(Some("7")));
    }
}
