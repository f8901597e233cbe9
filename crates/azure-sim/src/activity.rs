//! What was written, as the activity log will tell of it.

use std::collections::VecDeque;
use std::time::Duration;

use jiff::Timestamp;
use uuid::Uuid;

use crate::clock::after;
use crate::config::Lateness;

/// How many entries are kept: the log is not a state that has to last.
const KEPT: usize = 50_000;

/// What was written.
#[derive(Debug, Default)]
pub(crate) struct ActivityLog {
    events: VecDeque<Event>,
    written: u64,
}

/// One entry of the log.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    /// Counts up in the order in which things happened.
    pub(crate) number: u64,
    pub(crate) at: Timestamp,
    /// When it can be seen.
    pub(crate) submitted: Timestamp,
    pub(crate) about: Act,
    /// The HTTP status of the answer; none of the entry that tells of the beginning.
    pub(crate) came_to: Option<u16>,
}

/// A write, whatever it came to.
#[derive(Debug, Clone)]
pub(crate) struct Act {
    pub(crate) subscription: String,
    pub(crate) resource: String,
    /// The operation, as `Microsoft.Authorization/roleAssignments/write`.
    pub(crate) action: String,
    pub(crate) method: String,
    pub(crate) principal: String,
    pub(crate) client: String,
    pub(crate) correlation_id: String,
}

// === impl ActivityLog ===

impl ActivityLog {
    /// Writes down a write that came to this HTTP status: its beginning and its end, each of which comes late by itself.
    pub(crate) fn write(&mut self, act: &Act, status: u16, (now, lateness, seed): (Timestamp, Lateness, Option<Uuid>)) {
        for came_to in [None, Some(status)] {
            self.written += 1;
            let event = Event {
                number: self.written,
                at: now,
                submitted: after(now, late(lateness, self.written, seed)),
                about: act.clone(),
                came_to,
            };
            self.events.push_back(event);
        }
        while self.events.len() > KEPT {
            self.events.pop_front();
        }
    }

    /// What can be seen of a subscription by now, the newest first.
    pub(crate) fn seen(&self, subscription: &str, now: Timestamp) -> impl Iterator<Item = &Event> {
        self.events
            .iter()
            .rev()
            .filter(move |event| event.submitted <= now && event.about.subscription.eq_ignore_ascii_case(subscription))
    }
}

/// How late an entry comes: with the same seed the same in every run.
fn late(Lateness { least, most }: Lateness, number: u64, seed: Option<Uuid>) -> Duration {
    let drawn = Uuid::new_v5(&seed.unwrap_or_default(), &number.to_be_bytes());
    let drawn = u32::try_from(drawn.as_u128() >> 96).unwrap_or_default();
    let share = f64::from(drawn) / f64::from(u32::MAX);
    least + most.saturating_sub(least).mul_f64(share)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_come_late_and_out_of_order_and_with_the_same_seed_as_late_again() {
        let lateness = Lateness::default();
        let times = |seed| (1..200).map(move |number| late(lateness, number, seed));
        assert!(times(None).all(|time| (lateness.least..=lateness.most).contains(&time)));
        assert!(times(None).any(|time| time > Duration::from_mins(15)));
        assert!(times(None).any(|time| time < Duration::from_mins(5)));
        let seed = Some(Uuid::from_u128(7));
        assert!(times(seed).eq(times(seed)) && !times(seed).eq(times(None)));
    }
}
