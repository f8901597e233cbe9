//! One budget of Azure, as far as it can be known from outside: what was drawn on it, what Azure said is left, and when it refused.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::lane::Lane;

/// The documented size of a budget.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Size {
    /// So many at once, and so many more a second.
    Tokens { capacity: f64, per_second: f64 },
    /// So many in any stretch of time of this length.
    Window { count: u32, length: Duration },
}

/// The state of one budget.
#[derive(Clone, Debug)]
pub(super) struct Bucket {
    size: Size,
    tokens: f64,
    counted_at: Instant,
    /// How much of the documented rate there is for us: others draw on the budget too.
    share: f64,
    /// When what was drawn on a window is forgotten.
    forgotten: VecDeque<Instant>,
    /// Requests that were sent and not answered.
    in_flight: u32,
    /// All requests that were sent, and all that were answered.
    sent: u64,
    answered: u64,
    /// What was promised to passes that have not drawn it yet.
    promised: u32,
    /// Azure refused, and asked to wait until then.
    closed_until: Option<Instant>,
    /// Refusals of what was sent before this moment were heard already.
    refused_at: Option<Instant>,
    /// The lane of the first one in the queue that waits for it.
    pub(super) wanted: Option<Lane>,
}

/// What is remembered of a request from its start to its answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    at: Instant,
    answered_before: u64,
}

/// How much a share recovers in a second without a refusal: it doubles in half a minute.
const RECOVERY: f64 = 1.02;

/// The least share: below it nothing would ever be learned again.
const LEAST_SHARE: f64 = 0.01;

/// A refusal within this time after the one before says that others draw on the budget.
const AGAIN: Duration = Duration::from_secs(30);

// === impl Bucket ===

impl Bucket {
    pub(super) fn new(size: Size, now: Instant) -> Self {
        Self {
            size,
            tokens: size.capacity(),
            counted_at: now,
            share: 1.0,
            forgotten: VecDeque::new(),
            in_flight: 0,
            sent: 0,
            answered: 0,
            promised: 0,
            closed_until: None,
            refused_at: None,
            wanted: None,
        }
    }

    /// How many more requests it admits now, beside what is promised.
    pub(super) fn free(&mut self, now: Instant) -> f64 {
        self.refill(now);
        if self.closed_until.is_some() {
            return 0.0;
        }
        self.left() - f64::from(self.promised)
    }

    /// When it admits so many beside what is promised, if nobody else draws on it.
    pub(super) fn admits_at(&mut self, count: f64, now: Instant) -> Instant {
        let missing = {
            self.refill(now);
            count + f64::from(self.promised) - self.left()
        };
        let filled = match self.size {
            _ if missing <= 0.0 => now,
            Size::Tokens { per_second, .. } => now + seconds(missing / (per_second * self.share)),
            Size::Window { length, .. } => {
                let next = self.forgotten.get(whole(missing.ceil()).saturating_sub(1) as usize);
                next.copied().unwrap_or(now + length)
            }
        };
        self.closed_until.map_or(filled, |reopened| filled.max(reopened))
    }

    pub(super) const fn promise(&mut self, count: u32) {
        self.promised = self.promised.saturating_add(count);
    }

    pub(super) const fn take_back(&mut self, count: u32) {
        self.promised = self.promised.saturating_sub(count);
    }

    /// Draws one request on it.
    pub(super) fn send(&mut self, now: Instant) -> Sent {
        self.refill(now);
        self.sent += 1;
        self.in_flight += 1;
        self.tokens = (self.tokens - 1.0).max(0.0);
        Sent {
            at: now,
            answered_before: self.answered,
        }
    }

    /// Takes in that a request came to its end, and what its answer said is left.
    pub(super) fn hear(&mut self, sent: Sent, left: Option<u64>, now: Instant) {
        self.refill(now);
        self.answered += 1;
        self.in_flight = self.in_flight.saturating_sub(1);
        match self.size {
            Size::Window { length, .. } => self.forgotten.push_back(now + length),
            Size::Tokens { per_second, .. } => {
                let Some(left) = left else { return };
                // Requests that this answer may not count yet: all but those that were answered when it was asked.
                let uncounted = self.sent - sent.answered_before - 1;
                let since = now.duration_since(sent.at).as_secs_f64() * per_second;
                let (left, uncounted) = (float(left), float(uncounted));
                self.tokens = self.tokens.clamp((left - uncounted).max(0.0), left + since);
            }
        }
    }

    /// Takes in that Azure refused a request for want of budget.
    pub(super) fn refuse(&mut self, sent: Sent, retry_after: Duration, now: Instant) {
        let until = now + retry_after;
        self.closed_until = Some(self.closed_until.map_or(until, |before| before.max(until)));
        self.tokens = 0.0;
        let known = self.refused_at.is_some_and(|refused| sent.at <= refused);
        if known {
            return;
        }
        if self.refused_at.is_some_and(|refused| now < refused + AGAIN) {
            self.share = (self.share / 2.0).max(LEAST_SHARE);
        }
        self.refused_at = Some(now);
    }

    fn left(&self) -> f64 {
        match self.size {
            Size::Tokens { .. } => self.tokens,
            Size::Window { count, .. } => {
                let used = self.forgotten.len() + self.in_flight as usize;
                float(u64::from(count)) - float(used as u64)
            }
        }
    }

    fn refill(&mut self, now: Instant) {
        if self.closed_until.is_some_and(|until| until <= now) {
            self.closed_until = None;
        }
        while self.forgotten.front().is_some_and(|forgotten| *forgotten <= now) {
            self.forgotten.pop_front();
        }
        let passed = now.saturating_duration_since(self.counted_at).as_secs_f64();
        self.counted_at = self.counted_at.max(now);
        if let Size::Tokens { capacity, per_second } = self.size {
            self.tokens = (self.tokens + passed * per_second * self.share).min(capacity);
            self.share = (self.share * RECOVERY.powf(passed)).min(1.0);
        }
    }
}

impl Size {
    const fn capacity(self) -> f64 {
        match self {
            Self::Tokens { capacity, .. } => capacity,
            Self::Window { .. } => 0.0,
        }
    }

    /// How long it takes until so many have gathered.
    pub(super) fn pace(self, count: u32) -> Duration {
        match self {
            Self::Tokens { per_second, .. } => seconds(f64::from(count) / per_second),
            Self::Window { count: all, length } => length * count / all,
        }
    }
}

fn seconds(number: f64) -> Duration {
    Duration::try_from_secs_f64(number).unwrap_or(Duration::MAX / 4)
}

#[allow(clippy::cast_precision_loss, reason = "counts of requests are small")]
const fn float(count: u64) -> f64 {
    count as f64
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the cast saturates, and counts are small"
)]
const fn whole(count: f64) -> u32 {
    count as u32
}
