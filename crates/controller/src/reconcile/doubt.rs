//! Whether what is known of a binding is doubted, because a list or the activity log shows something else. It costs a look, and nothing
//! else (docs/adr/0024).

use std::time::Duration;

use tokio::time::Instant;
use wio_core::drift::{LOG_SETTLES_IN, is_news};

use super::looks::Looks;

/// The shortest time between two looks at Azure for a binding that lists or the log ask for, whatever they say.
const SPACE: Duration = Duration::from_mins(5);

/// What was heard of a binding, and when that was looked into.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Doubt {
    /// Whether the next pass looks at Azure.
    waits: bool,
    raised: Option<Instant>,
    /// When Azure was last looked at.
    looked: Option<Instant>,
    /// When it was last looked at or written.
    touched: Option<Instant>,
}

// === impl Doubt ===

impl Doubt {
    /// Takes in what a pass did.
    pub(super) fn saw(&mut self, looks: &Looks) {
        self.looked = looks.looked();
        self.touched = looks.touched();
    }

    /// Whether this pass is to look at Azure.
    pub(super) const fn take(&mut self) -> bool {
        std::mem::replace(&mut self.waits, false)
    }

    /// The log says that something was changed so long ago; tells whether the binding is to be woken.
    pub(super) fn by_change(&mut self, age: Duration) -> bool {
        is_news(age, self.looked.map(|at| at.elapsed())) && self.raise()
    }

    /// A list shows something else; tells whether the binding is to be woken. A list lags behind what was written a short while ago.
    pub(super) fn by_list(&mut self) -> bool {
        self.touched.is_none_or(|at| at.elapsed() >= LOG_SETTLES_IN) && self.raise()
    }

    fn raise(&mut self) -> bool {
        let too_soon = self.raised.is_some_and(|at| at.elapsed() < SPACE);
        if self.waits || too_soon {
            return false;
        }
        self.waits = true;
        self.raised = Some(Instant::now());
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_mins(1);

    /// Whoever may write in Azure fills the log with as many entries as he likes.
    #[tokio::test(start_paused = true)]
    async fn a_flood_of_entries_asks_for_a_look_every_five_minutes_at_most() {
        let mut doubt = Doubt::default();
        let mut looks = 0;
        for _ in 0..600 {
            for _ in 0..10 {
                looks += usize::from(doubt.by_change(Duration::ZERO));
            }
            doubt.take();
            tokio::time::advance(Duration::from_secs(6)).await;
        }
        assert_eq!(looks, 12, "in an hour");
    }

    #[tokio::test(start_paused = true)]
    async fn a_list_says_nothing_of_what_was_written_a_moment_ago() {
        let mut looks = Looks::default();
        looks.wrote();
        let mut doubt = Doubt::default();
        doubt.saw(&looks);
        assert!(!doubt.by_list());
        tokio::time::advance(MINUTE * 5).await;
        assert!(doubt.by_list() && doubt.take() && !doubt.take());
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_that_a_look_has_seen_is_no_news() {
        let mut looks = Looks::default();
        tokio::time::advance(MINUTE * 30).await;
        looks.went_well();
        let mut doubt = Doubt::default();
        doubt.saw(&looks);
        tokio::time::advance(MINUTE).await;
        assert!(!doubt.by_change(MINUTE * 20), "it was looked at nineteen minutes later");
        assert!(
            doubt.by_change(MINUTE * 4),
            "it was looked at three minutes later, when it may not have been seen"
        );
    }
}
