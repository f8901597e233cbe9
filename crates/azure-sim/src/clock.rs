//! One clock for everything: wall time that follows tokio's clock.

use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::temporal::DateTimePrinter;
use tokio::time::Instant;

/// Wall-clock time counted on from the start by tokio's clock, so that a test under paused time can advance the
/// expiry of tokens, propagation delays and token buckets together.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    started: Instant,
    wall: Timestamp,
}

impl Clock {
    pub(crate) fn start(at: Option<Timestamp>) -> Self {
        Self {
            started: Instant::now(),
            wall: at.unwrap_or_else(Timestamp::now),
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        after(self.wall, self.started.elapsed())
    }
}

/// `moment` plus `duration`, or the end of time.
pub(crate) fn after(moment: Timestamp, duration: Duration) -> Timestamp {
    moment.checked_add(duration).unwrap_or(Timestamp::MAX)
}

/// A time as Azure writes it: with seven digits after the second.
pub(crate) fn shown(moment: Timestamp) -> String {
    DateTimePrinter::new().precision(Some(7)).timestamp_to_string(&moment)
}

/// Seconds from `earlier` to `later`, never negative.
pub(crate) fn seconds_between(earlier: Timestamp, later: Timestamp) -> f64 {
    later.duration_since(earlier).as_secs_f64().max(0.0)
}
