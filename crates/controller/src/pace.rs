//! When a binding is looked at again.

use std::time::Duration;

use wio_api::Reason;
use wio_core::disposition::Disposition;

use crate::jitter::{jittered, within};

/// How the pauses of one kind of problem grow.
struct Growth {
    first: Duration,
    most: Duration,
}

/// Something that passes by itself, and Azure or the API server can take our asking.
const RETRY: Growth = Growth {
    first: Duration::from_secs(1),
    most: Duration::from_mins(5),
};
/// Replication takes up to four minutes and asking too early can prolong it.
const WAIT: Growth = Growth {
    first: Duration::from_secs(2),
    most: Duration::from_secs(30),
};
/// Somebody has to act, and nothing tells us when they did: permissions and quotas are not watched.
const TERMINAL: Growth = Growth {
    first: Duration::from_secs(10),
    most: Duration::from_mins(10),
};

/// An API server that has just started forbids what it allows a second later, when it knows its rules; one that goes on doing so
/// needs somebody to act.
const FORBIDDEN: Growth = Growth {
    first: Duration::from_secs(1),
    most: Duration::from_mins(10),
};

/// Whom to ask again when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pace {
    /// The pause before the next try.
    pub(crate) pause: Duration,
    /// How long Azure must not be asked, whatever happens meanwhile: its own word.
    pub(crate) keep_off: Option<Duration>,
}

/// The pace that these problems ask for: the shortest pause of them, but never shorter than Azure asked for. None
/// without a problem.
pub(crate) fn pace(problems: &[Disposition], failures: u32) -> Option<Pace> {
    let keep_off = problems.iter().filter_map(asked_for).max();
    let shortest = problems.iter().map(|problem| grown(growth(problem), failures)).min()?;
    Some(Pace {
        pause: shortest.max(keep_off.unwrap_or_default()),
        keep_off,
    })
}

/// What Azure asked for, and a little more by chance: else all bindings come back at that moment.
fn asked_for(problem: &Disposition) -> Option<Duration> {
    match problem {
        Disposition::Retry { after: Some(after), .. } => Some(*after + within(*after / 5)),
        _ => None,
    }
}

const fn growth(problem: &Disposition) -> &'static Growth {
    match problem {
        Disposition::Retry { .. } => &RETRY,
        Disposition::Wait { .. } => &WAIT,
        Disposition::Stalled {
            reason: Reason::KubernetesRejected,
        } => &FORBIDDEN,
        Disposition::Stalled { .. } => &TERMINAL,
    }
}

fn grown(growth: &Growth, failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    jittered(growth.first.saturating_mul(1 << doublings).min(growth.most))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TERMINAL_PROBLEM: Disposition = Disposition::Stalled {
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

    fn pause(problems: &[Disposition], failures: u32) -> f64 {
        pace(problems, failures).unwrap().pause.as_secs_f64()
    }

    #[test]
    fn without_a_problem_there_is_no_pause() {
        assert_eq!(pace(&[], 3), None);
    }

    #[test]
    fn pauses_double_up_to_their_most() {
        for (failures, expected) in [(1, 10.0), (2, 20.0), (4, 80.0), (7, 600.0), (u32::MAX, 600.0)] {
            let pause = pause(&[TERMINAL_PROBLEM], failures);
            assert!(
                (expected * 0.79..expected * 1.21).contains(&pause),
                "{failures}: {pause}"
            );
        }
    }

    /// After an API server's restart some bindings stood still for more than a minute: their first try had no connection, their
    /// second met rules that were not known yet, and with that the pause was one for what needs a person.
    #[test]
    fn what_the_api_server_forbids_is_tried_again_soon_and_then_seldom() {
        let forbidden = Disposition::Stalled {
            reason: Reason::KubernetesRejected,
        };
        assert!(pause(&[forbidden], 2) < 3.0);
        assert!(pause(&[forbidden], 20) > 450.0);
    }

    #[test]
    fn the_most_hopeful_problem_sets_the_pace() {
        assert!(pause(&[TERMINAL_PROBLEM, WAITING], 1) < 2.5);
    }

    #[test]
    fn azure_is_never_asked_before_it_wants_to_be() {
        let pace = pace(&[WAITING, throttled(60)], 1).unwrap();
        assert!(
            pace.pause >= Duration::from_mins(1) && pace.pause <= Duration::from_secs(72),
            "{pace:?}"
        );
        assert_eq!(pace.keep_off, Some(pace.pause));
    }

    #[test]
    fn a_short_word_of_azure_does_not_shorten_the_growing_pause() {
        assert!(pause(&[throttled(1)], 9) > 200.0);
    }
}
