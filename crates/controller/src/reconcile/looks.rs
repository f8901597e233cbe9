//! How looks at Azure went for a binding, and which somebody asked for.

use std::time::Duration;

use tokio::time::Instant;
use wio_api::Reason;
use wio_core::status::FailedLooks;

/// How looks at Azure went.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Looks {
    /// The first one that failed since one did not, and why.
    failed: Option<(Instant, Reason)>,
    /// The last one that did not.
    looked: Option<Instant>,
    /// The last write.
    wrote: Option<Instant>,
    /// When what got no answer can be carried out no more; none when there was nothing.
    landed: Option<Instant>,
}

/// Looks at Azure that somebody asked for by an annotation. They are spaced: a look is a number of reads of a budget that is everybody's.
#[derive(Clone, Debug, Default)]
pub(crate) struct Requests {
    /// When the last one was heeded.
    last: Option<Instant>,
    /// The one that this pass heeds.
    heeded: Option<String>,
    /// Whether one waits for its turn.
    waits: bool,
}

// === impl Looks ===

impl Looks {
    /// A look failed.
    pub(crate) fn failed_for(&mut self, reason: Reason) {
        self.failed.get_or_insert_with(|| (Instant::now(), reason));
    }

    /// A look did not fail.
    pub(crate) fn went_well(&mut self) {
        self.failed = None;
        self.looked = Some(Instant::now());
    }

    /// Something was written to Azure.
    pub(crate) fn wrote(&mut self) {
        self.wrote = Some(Instant::now());
    }

    /// Something that got no answer can be carried out for so long.
    pub(crate) fn await_landing(&mut self, left: Duration) {
        self.landed = self.landed.max(Some(Instant::now() + left));
    }

    /// Whether something that got no answer may have been on its way when Azure was last looked at.
    pub(crate) fn may_have_missed(self) -> bool {
        self.landed
            .is_some_and(|landed| self.looked.is_none_or(|looked| looked < landed))
    }

    /// When Azure was last looked at.
    pub(crate) const fn looked(self) -> Option<Instant> {
        self.looked
    }

    /// When it was last looked at or written.
    pub(crate) fn touched(self) -> Option<Instant> {
        self.looked.max(self.wrote)
    }

    /// When something was last written to Azure.
    pub(crate) const fn touched_by_us(self) -> Option<Instant> {
        self.wrote
    }

    /// Those that failed, when the last one did.
    pub(crate) fn failed(self) -> Option<FailedLooks> {
        self.failed.map(|(at, reason)| FailedLooks {
            reason,
            lasted: at.elapsed(),
        })
    }
}

// === impl Requests ===

impl Requests {
    /// The shortest time between two looks of a binding that are asked for.
    const SPACE: Duration = Duration::from_secs(10);

    /// Hears what somebody asks for, and tells whether it is heeded in this pass.
    pub(crate) fn heed(&mut self, asked: Option<&str>) -> bool {
        let too_soon = self.last.is_some_and(|last| last.elapsed() < Self::SPACE);
        self.waits = asked.is_some() && too_soon;
        self.heeded = asked.filter(|_| !too_soon).map(str::to_owned);
        if self.heeded.is_some() {
            self.last = Some(Instant::now());
        }
        self.heeded.is_some()
    }

    /// The one that this pass heeds.
    pub(crate) fn heeded(&self) -> Option<&str> {
        self.heeded.as_deref()
    }

    /// How long it is until the turn of one that waits.
    pub(crate) fn turn(&self) -> Option<Duration> {
        let last = self.last.filter(|_| self.waits)?;
        Some(Self::SPACE.saturating_sub(last.elapsed()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_hours(1);

    #[tokio::test(start_paused = true)]
    async fn only_a_look_after_it_has_landed_shows_what_got_no_answer() {
        let mut looks = Looks::default();
        assert!(!looks.may_have_missed());
        looks.await_landing(HOUR);
        looks.went_well();
        assert!(looks.may_have_missed());
        tokio::time::advance(HOUR).await;
        assert!(looks.may_have_missed());
        looks.went_well();
        assert!(!looks.may_have_missed());
    }

    #[tokio::test(start_paused = true)]
    async fn looks_fail_from_the_first_one_that_did_on() {
        let mut looks = Looks::default();
        assert_eq!(looks.failed(), None);
        looks.failed_for(Reason::Throttled);
        tokio::time::advance(HOUR).await;
        looks.failed_for(Reason::AzureUnavailable);
        let expected = FailedLooks {
            reason: Reason::Throttled,
            lasted: HOUR,
        };
        assert_eq!(looks.failed(), Some(expected));
        looks.went_well();
        assert_eq!(looks.failed(), None);
    }
}
