//! What existed before, for answers that lag behind.

use std::collections::VecDeque;
use std::time::Duration;

use jiff::Timestamp;

use crate::resources::Resources;

/// What existed from each moment on, as far back as an answer can lag behind; nothing while none does.
#[derive(Debug, Default)]
pub(crate) struct Past {
    moments: VecDeque<(Timestamp, Resources)>,
}

// === impl Past ===

impl Past {
    /// Remembers what exists from now on, and forgets what no answer that lags `furthest` behind can show any more.
    pub(crate) fn remember(&mut self, live: &Resources, now: Timestamp, furthest: Duration) {
        if furthest.is_zero() {
            self.moments.clear();
            return;
        }
        let shown = now.checked_sub(furthest).unwrap_or(Timestamp::MIN);
        while self.moments.get(1).is_some_and(|(since, _)| *since <= shown) {
            self.moments.pop_front();
        }
        self.moments.push_back((now, live.clone()));
    }

    /// What existed at that moment; before the first that is remembered, what existed then. `None` when nothing is.
    pub(crate) fn at(&self, moment: Timestamp) -> Option<&Resources> {
        let newest = self.moments.iter().rev().find(|(since, _)| *since <= moment);
        newest.or(self.moments.front()).map(|(_, resources)| resources)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::after;
    use crate::model::{Lock, LockLevel};

    const MINUTE: Duration = Duration::from_mins(1);

    fn locks(count: usize) -> Resources {
        let lock = |n: usize| Lock {
            scope: "/subscriptions/s".to_owned(),
            name: n.to_string(),
            level: LockLevel::CanNotDelete,
            notes: None,
        };
        let locks = (0..count).map(lock).map(|lock| (lock.key(), lock)).collect();
        Resources {
            locks,
            ..Resources::default()
        }
    }

    #[test]
    fn the_past_is_shown_as_far_back_as_it_is_remembered() {
        let at = |seconds| after(Timestamp::UNIX_EPOCH, Duration::from_secs(seconds));
        let mut past = Past::default();
        assert!(past.at(at(0)).is_none());
        for second in [0, 10, 20, 100] {
            past.remember(&locks(usize::try_from(second).unwrap()), at(second), MINUTE);
        }
        let shown = |seconds| past.at(at(seconds)).map(|resources| resources.locks.len());
        assert_eq!([shown(101), shown(99), shown(40)], [Some(100), Some(20), Some(20)]);
        assert_eq!(shown(5), Some(20), "the two before it are forgotten");
        past.remember(&locks(0), at(101), Duration::ZERO);
        assert!(past.at(at(101)).is_none());
    }
}
