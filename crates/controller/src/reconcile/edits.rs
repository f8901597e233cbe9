//! The pace of a binding's edits: whoever edits one again and again draws on a budget that all share, so some are carried out at once and
//! the others one after the other. It delays what an edit gives, and nothing that it takes away.

use std::time::Duration;

use tokio::time::Instant;

/// How many edits in a row are carried out at once.
const AT_ONCE: u32 = 10;

/// How often another one is, after those.
const EVERY: Duration = Duration::from_secs(15);

/// The edits of a binding that were carried out.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Edits {
    /// The last generation of the spec for which something was given.
    last: Option<i64>,
    /// When nothing is left to be told of them.
    forgotten: Option<Instant>,
}

// === impl Edits ===

impl Edits {
    /// Something was given for a generation of the spec. More of the same generation is no other edit.
    pub(crate) fn carried_out(&mut self, generation: i64) {
        if self.last.replace(generation) == Some(generation) {
            return;
        }
        let now = Instant::now();
        self.forgotten = Some(self.forgotten.map_or(now, |at| at.max(now)) + EVERY);
    }

    /// How long nothing is given for a generation of the spec, [`EVERY`] at most; none when something may be.
    pub(crate) fn pause(&self, generation: i64) -> Option<Duration> {
        if self.last == Some(generation) {
            return None;
        }
        let left = self.forgotten?.saturating_duration_since(Instant::now());
        let pause = left.saturating_sub(EVERY * (AT_ONCE - 1));
        (!pause.is_zero()).then_some(pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn ten_edits_are_carried_out_at_once_and_then_one_every_fifteen_seconds() {
        let mut edits = Edits::default();
        for generation in 1..=10 {
            assert_eq!(edits.pause(generation), None);
            edits.carried_out(generation);
        }
        assert_eq!(edits.pause(10), None, "what was begun goes on");
        assert_eq!(edits.pause(11), Some(EVERY));
        assert_eq!(
            edits.pause(12),
            Some(EVERY),
            "one that was not carried out costs nothing"
        );
        tokio::time::advance(EVERY).await;
        assert_eq!(edits.pause(12), None);
        edits.carried_out(12);
        assert_eq!(edits.pause(13), Some(EVERY));
        tokio::time::advance(EVERY * AT_ONCE).await;
        for generation in 13..=22 {
            assert_eq!(edits.pause(generation), None, "after a while all of them are");
            edits.carried_out(generation);
        }
        assert!(edits.pause(23).is_some());
    }
}
