//! Backoff: when something is tried again that did not come to an end.
#![deny(clippy::wildcard_enum_match_arm)]

use std::time::Duration;

use wio_core::reasons::{self, Disposition};

use crate::runtime::jitter::{jittered, within};

/// Pauses that double up to a limit, each a little shorter or longer by chance.
#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    first: Duration,
    most: Duration,
    next: Duration,
}

/// When to ask again, and whom not to ask meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pause {
    /// The pause before the next try.
    pub(crate) before_retry: Duration,
    /// How long Azure must not be asked, whatever happens meanwhile: its own word.
    pub(crate) retry_after: Option<Duration>,
}

// === impl Backoff ===

impl Backoff {
    /// Pauses that begin with one duration and end with another.
    pub(crate) const fn new(first: Duration, most: Duration) -> Self {
        Self {
            first,
            most,
            next: first,
        }
    }

    /// For one watch or loop of the operator's few. A watch that waits longer misses what people do meanwhile.
    pub(crate) const fn of_watch() -> Self {
        Self::new(Duration::from_millis(500), Duration::from_secs(10))
    }

    /// For reasons of this kind.
    const fn of_reason(backoff: reasons::Backoff) -> Self {
        let (first, most) = match backoff {
            reasons::Backoff::Transient => (Duration::from_secs(1), Duration::from_mins(5)),
            reasons::Backoff::Replication => (Duration::from_secs(2), Duration::from_secs(30)),
            reasons::Backoff::Exchange => (Duration::from_secs(15), Duration::from_mins(5)),
            reasons::Backoff::Stalled => (Duration::from_secs(10), Duration::from_mins(10)),
            reasons::Backoff::Forbidden => (Duration::from_secs(1), Duration::from_mins(10)),
        };
        Self::new(first, most)
    }

    /// The pause after so many failures in a row.
    fn after(&self, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(1).min(16);
        jittered(self.first.saturating_mul(1 << doublings).min(self.most))
    }

    /// The next pause.
    pub(crate) fn pause(&mut self) -> Duration {
        let pause = self.next;
        self.next = (pause * 2).min(self.most);
        jittered(pause)
    }

    /// Begins anew.
    pub(crate) const fn start_over(&mut self) {
        self.next = self.first;
    }
}

impl Iterator for Backoff {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        Some(self.pause())
    }
}

impl kube::runtime::utils::Backoff for Backoff {
    fn reset(&mut self) {
        self.start_over();
    }
}

/// The pause that these problems ask for: the shortest of theirs, but never shorter than Azure asked for. None
/// without a problem.
pub(crate) fn pause(problems: &[Disposition], failures: u32) -> Option<Pause> {
    let retry_after = problems.iter().filter_map(asked_for).max();
    let shortest = problems
        .iter()
        .map(|problem| Backoff::of_reason(problem.backoff()).after(failures))
        .min()?;
    Some(Pause {
        before_retry: shortest.max(retry_after.unwrap_or_default()),
        retry_after,
    })
}

/// What Azure asked for, and a little more by chance: else all bindings come back at that moment.
fn asked_for(problem: &Disposition) -> Option<Duration> {
    match problem {
        Disposition::Retry { after: Some(after), .. } => Some(*after + within(*after / 5)),
        Disposition::Retry { after: None, .. } | Disposition::Wait { .. } | Disposition::Stalled { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use wio_api::Reason;

    use super::*;

    const STALLED: Disposition = Disposition::Stalled {
        reason: Reason::AuthorizationFailed,
    };
    const WAITING: Disposition = Disposition::Wait {
        reason: Reason::ServiceAccountNotFound,
    };

    fn throttled(seconds: u64) -> Disposition {
        Disposition::Retry {
            reason: Reason::Throttled,
            after: Some(Duration::from_secs(seconds)),
        }
    }

    fn seconds(problems: &[Disposition], failures: u32) -> f64 {
        pause(problems, failures).unwrap().before_retry.as_secs_f64()
    }

    #[test]
    fn without_a_problem_there_is_no_pause() {
        assert_eq!(pause(&[], 3), None);
    }

    #[test]
    fn pauses_double_up_to_their_most() {
        for (failures, expected) in [(1, 10.0), (2, 20.0), (4, 80.0), (7, 600.0), (u32::MAX, 600.0)] {
            let pause = seconds(&[STALLED], failures);
            assert!(
                (expected * 0.79..expected * 1.21).contains(&pause),
                "{failures}: {pause}"
            );
        }
    }

    #[test]
    fn a_backoff_begins_anew_when_it_is_reset() {
        let mut backoff = Backoff::of_watch();
        let pauses: Vec<f64> = backoff.by_ref().take(8).map(|pause| pause.as_secs_f64()).collect();
        assert!(pauses[0] < 0.7 && (7.9..12.1).contains(&pauses[7]), "{pauses:?}");
        backoff.start_over();
        assert!(backoff.pause() < Duration::from_millis(700));
    }

    /// After an API server's restart some bindings stood still for more than a minute: their first try had no connection, their
    /// second met rules that were not known yet, and with that the pause was one for what needs a person.
    #[test]
    fn what_the_api_server_forbids_is_tried_again_soon_and_then_seldom() {
        let forbidden = Disposition::Stalled {
            reason: Reason::KubernetesRejected,
        };
        assert!(seconds(&[forbidden], 2) < 3.0);
        assert!(seconds(&[forbidden], 20) > 450.0);
    }

    #[test]
    fn the_most_hopeful_problem_sets_the_pace() {
        assert!(seconds(&[STALLED, WAITING], 1) < 2.5);
    }

    #[test]
    fn azure_is_never_asked_before_it_wants_to_be() {
        let pause = pause(&[WAITING, throttled(60)], 1).unwrap();
        assert!(
            pause.before_retry >= Duration::from_mins(1) && pause.before_retry <= Duration::from_secs(72),
            "{pause:?}"
        );
        assert_eq!(pause.retry_after, Some(pause.before_retry));
    }

    #[test]
    fn a_short_word_of_azure_does_not_shorten_the_growing_pause() {
        assert!(seconds(&[throttled(1)], 9) > 200.0);
    }
}
