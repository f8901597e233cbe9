//! Patience with a thing that somebody else changes back each time it is written.

use std::time::Duration;

use tokio::time::Instant;

use crate::runtime::backoff::Backoff;

/// How long a write must last beyond its pause so that the next one of the same is not taken for an answer to somebody, unless it is known
/// to be one.
const LASTED: Duration = Duration::from_mins(2);

/// The longest pause after a write that failed because who would take it is away.
const FAILURES: Duration = Duration::from_secs(30);

/// How many writes of the same in a row are a fight: one may be undone by an edit that did not mean it.
const A_FIGHT: u32 = 2;

/// Patience with a thing that somebody else may change back: a write of the same again waits, each time longer, so that two writers
/// that do not agree do not chase each other at full speed.
#[derive(Clone, Debug)]
pub(crate) struct Patience<T> {
    backoff: Backoff,
    /// The pauses after writes that failed: they have nothing to do with somebody who undoes them, and end with what made them fail.
    failures: Backoff,
    last: Option<T>,
    not_before: Instant,
    repeated: u32,
    lasted: Duration,
}

// === impl Patience ===

impl<T: PartialEq> Patience<T> {
    /// Nothing was written yet.
    pub(crate) fn new(first: Duration, most: Duration) -> Self {
        Self {
            backoff: Backoff::new(first, most),
            failures: Backoff::new(first, most.min(FAILURES)),
            last: None,
            not_before: Instant::now(),
            repeated: 0,
            lasted: LASTED,
        }
    }

    /// Takes in that what is to be written again is known to have been changed back: somebody who comes round every ten minutes is remembered
    /// for this long.
    pub(crate) fn was_changed_back(&mut self, remembered: Duration) {
        self.lasted = remembered;
        self.repeated = self.repeated.max(1);
    }

    /// Whether it may be written now.
    pub(crate) fn is_due(&self) -> bool {
        Instant::now() >= self.not_before
    }

    /// When it may be written.
    pub(crate) const fn not_before(&self) -> Instant {
        self.not_before
    }

    /// Takes in that this was written.
    pub(crate) fn wrote(&mut self, what: T) {
        let again = self.last.as_ref() == Some(&what) && !self.has_lasted();
        self.failures.start_over();
        let now = Instant::now();
        if again {
            self.repeated = self.repeated.saturating_add(1);
            self.not_before = now + self.backoff.pause();
        } else {
            self.repeated = 0;
            self.backoff.start_over();
            self.not_before = now;
        }
        self.last = Some(what);
    }

    /// Takes in that a write was refused: that does not pass by itself.
    pub(crate) fn refused(&mut self) {
        self.not_before = Instant::now() + self.backoff.pause();
    }

    /// Takes in that it could not be written, because who would take it is away.
    pub(crate) fn failed(&mut self) {
        self.not_before = Instant::now() + self.failures.pause();
    }

    /// Whether the last write was one of the same again.
    pub(crate) const fn was_repeated(&self) -> bool {
        self.repeated > 0
    }

    /// Whether somebody else changes it back each time.
    pub(crate) fn is_fought(&self) -> bool {
        self.repeated >= A_FIGHT && !self.has_lasted()
    }

    /// Whether the last write has lasted.
    pub(crate) fn has_lasted(&self) -> bool {
        Instant::now() >= self.not_before + self.lasted
    }

    /// What was written last.
    pub(crate) const fn last(&self) -> Option<&T> {
        self.last.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patience() -> Patience<u8> {
        Patience::new(Duration::from_secs(1), Duration::from_mins(10))
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_of_the_same_again_waits_and_each_time_longer() {
        let mut patience = patience();
        patience.wrote(1);
        assert!(
            patience.is_due(),
            "a first write that lasts is followed by the next at once"
        );
        patience.wrote(2);
        assert!(patience.is_due());
        let mut writes = 0;
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_mins(1) {
            patience.wrote(2);
            writes += 1;
            assert!(!patience.is_due());
            tokio::time::sleep_until(patience.not_before()).await;
        }
        assert!(writes < 8, "{writes} writes in a minute");
        assert!(patience.is_fought());
    }

    #[tokio::test(start_paused = true)]
    async fn what_has_lasted_is_forgiven() {
        let mut patience = patience();
        for _ in 0..4 {
            patience.wrote(1);
            tokio::time::sleep_until(patience.not_before()).await;
        }
        tokio::time::advance(LASTED).await;
        assert!(!patience.is_fought());
        patience.wrote(1);
        assert!(patience.is_due());
    }

    #[tokio::test(start_paused = true)]
    async fn something_else_is_written_at_once() {
        let mut patience = patience();
        patience.wrote(1);
        patience.wrote(1);
        patience.wrote(2);
        assert!(patience.is_due() && !patience.is_fought());
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_waits() {
        let mut patience = patience();
        patience.failed();
        assert!(!patience.is_due());
    }

    /// With an API server away for minutes the pauses grew to ten, and a policy's status came that late.
    #[tokio::test(start_paused = true)]
    async fn failures_never_put_a_write_off_for_longer_than_half_a_minute() {
        let mut patience = patience();
        for _ in 0..20 {
            patience.failed();
            let pause = patience.not_before() - Instant::now();
            assert!(pause <= FAILURES * 2, "{pause:?}");
            tokio::time::sleep_until(patience.not_before()).await;
        }
        patience.wrote(1);
        patience.failed();
        assert!(
            patience.not_before() - Instant::now() < Duration::from_secs(3),
            "an outage that is over is forgotten"
        );
    }
}
