//! What a status says of the pods of the service accounts. Ready does not rest on it: the operator's own work is done when whoever asks for a token
//! from now on gets one, and whether a pod is created anew is its owner's to say.

use jiff::Timestamp;
use wio_api::{ConditionType, PodsWithoutToken, Reason, WorkloadIdentityBindingStatus, WorkloadsStatus};

use super::draft::{Draft, FALSE, TRUE, UNKNOWN, counted, draft};
use crate::workloads::is_missed;

/// How many owners of pods without a token the condition names.
const NAMED: usize = 3;

/// What a pass knows of the pods of a binding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sight {
    /// They are nobody's to look at: nobody asked for it, or no service account carries the client id.
    NotToLook,
    /// They were not looked at this time.
    AsBefore,
    /// They were looked at.
    Seen(WorkloadsStatus),
    /// They cannot be looked at, and why.
    Unseen(String),
}

/// The status with what is known of the pods.
#[must_use]
pub fn with_workloads(
    mut next: WorkloadIdentityBindingStatus,
    previous: Option<&WorkloadIdentityBindingStatus>,
    sight: Sight,
    (generation, now): (i64, Timestamp),
) -> WorkloadIdentityBindingStatus {
    let kind = ConditionType::WorkloadsReady;
    next.conditions.retain(|condition| condition.type_ != kind.as_str());
    let before = previous.map_or(&[][..], |previous| &previous.conditions);
    let draft = match sight {
        Sight::NotToLook => {
            next.workloads = None;
            return next;
        }
        Sight::AsBefore => {
            let kept = previous.and_then(|previous| previous.condition(kind)).cloned();
            next.workloads = previous.and_then(|previous| previous.workloads.clone());
            next.conditions.extend(kept.map(|mut kept| {
                kept.observed_generation = next.observed_generation;
                kept
            }));
            return next;
        }
        Sight::Seen(seen) => {
            let draft = judged(&seen);
            next.workloads = Some(seen);
            draft
        }
        Sight::Unseen(why) => {
            next.workloads = None;
            draft(kind, UNKNOWN, Reason::PodsNotSeen, why)
        }
    };
    next.conditions.push(draft.finish(before, generation, now));
    next
}

/// Whether some pods are missed that lack a token.
#[must_use]
pub const fn misses_some(seen: &WorkloadsStatus) -> bool {
    seen.without_token > 0 || (seen.not_asking > 0 && is_missed(false, seen.with_token > 0))
}

fn judged(seen: &WorkloadsStatus) -> Draft {
    let kind = ConditionType::WorkloadsReady;
    if misses_some(seen) {
        draft(kind, FALSE, Reason::PodsWithoutToken, missing(seen))
    } else {
        draft(kind, TRUE, Reason::Succeeded, well(seen))
    }
}

fn well(seen: &WorkloadsStatus) -> String {
    if seen.pods == 0 {
        return "No pod runs as the service accounts.".to_owned();
    }
    let have = match seen.with_token {
        1 => "1 pod has a token of the identity.".to_owned(),
        n => format!("{n} pods have a token of the identity."),
    };
    match seen.not_asking {
        0 => have,
        1 => format!("{have} 1 more does not ask for one."),
        n => format!("{have} {n} more do not ask for one."),
    }
}

fn missing(seen: &WorkloadsStatus) -> String {
    let somebody_has = seen.with_token > 0;
    let missed = if somebody_has {
        seen.without_token
    } else {
        seen.without_token.saturating_add(seen.not_asking)
    };
    let lack = if missed == 1 { "lacks" } else { "lack" };
    let told = |one: &&PodsWithoutToken| is_missed(one.reason != wio_api::NoTokenReason::LabelMissing, somebody_has);
    let told: Vec<&PodsWithoutToken> = seen.lacking.iter().filter(told).collect();
    let first = told.iter().take(NAMED).map(|one| {
        let pods = counted(one.pods as usize, "pod", "pods");
        format!(" {} ({pods}): {}.", one.owner, one.message.trim_end_matches(['.', ' ']))
    });
    let more = match told.len().saturating_sub(NAMED) {
        0 => "",
        _ => " More stand in status.workloads.",
    };
    format!(
        "{missed} of {} {lack} a token of the identity.{}{more}",
        counted(seen.pods as usize, "pod", "pods"),
        first.collect::<String>()
    )
}

#[cfg(test)]
mod tests {
    use wio_api::NoTokenReason;

    use super::*;

    fn told(next: &WorkloadIdentityBindingStatus) -> Option<String> {
        let condition = next.condition(ConditionType::WorkloadsReady)?;
        Some(format!(
            "{} {}: {}",
            condition.status, condition.reason, condition.message
        ))
    }

    fn with(previous: Option<&WorkloadIdentityBindingStatus>, sight: Sight) -> WorkloadIdentityBindingStatus {
        let next = WorkloadIdentityBindingStatus {
            observed_generation: Some(2),
            ..WorkloadIdentityBindingStatus::default()
        };
        with_workloads(next, previous, sight, (2, Timestamp::UNIX_EPOCH))
    }

    fn seen(with_token: u32, without_token: u32, not_asking: u32) -> WorkloadsStatus {
        let group = |count: u32, owner: &str, reason| {
            (count > 0).then(|| PodsWithoutToken {
                owner: owner.to_owned(),
                service_account: "orders".to_owned(),
                reason,
                message: format!("{reason:?}; mend it."),
                pods: count,
                first_pod: "p".to_owned(),
            })
        };
        let lacking = [
            group(without_token, "Deployment/orders", NoTokenReason::NotMutated),
            group(not_asking, "Job/report", NoTokenReason::LabelMissing),
        ];
        WorkloadsStatus {
            pods: with_token + without_token + not_asking,
            with_token,
            without_token,
            not_asking,
            lacking: lacking.into_iter().flatten().collect(),
            restarts: Vec::new(),
        }
    }

    #[test]
    fn the_condition_tells_whose_pods_lack_a_token_and_what_to_do() {
        let cases = [
            ((0, 0, 0), "True Succeeded: No pod runs as the service accounts."),
            ((1, 0, 0), "True Succeeded: 1 pod has a token of the identity."),
            (
                (2, 0, 3),
                "True Succeeded: 2 pods have a token of the identity. 3 more do not ask for one.",
            ),
            (
                (1, 1, 1),
                "False PodsWithoutToken: 1 of 3 pods lacks a token of the identity. Deployment/orders (1 pod): NotMutated; mend it.",
            ),
            (
                (0, 0, 2),
                "False PodsWithoutToken: 2 of 2 pods lack a token of the identity. Job/report (2 pods): LabelMissing; mend it.",
            ),
        ];
        for ((with_token, without_token, not_asking), expected) in cases {
            let next = with(None, Sight::Seen(seen(with_token, without_token, not_asking)));
            assert_eq!(told(&next).as_deref(), Some(expected));
        }
    }

    #[test]
    fn what_was_not_looked_at_stays_as_it_was_for_the_spec_as_it_is_now() {
        let before = with_workloads(
            WorkloadIdentityBindingStatus::default(),
            None,
            Sight::Seen(seen(1, 1, 0)),
            (1, Timestamp::UNIX_EPOCH),
        );
        let after = with(Some(&before), Sight::AsBefore);
        assert_eq!((told(&after), &after.workloads), (told(&before), &before.workloads));
        assert_eq!(after.conditions[0].observed_generation, Some(2));
        let again = with_workloads(after.clone(), Some(&after), Sight::AsBefore, (2, Timestamp::now()));
        assert_eq!(again, after, "also where the condition stands there already");
        assert_eq!(with(None, Sight::AsBefore).conditions, []);
    }

    #[test]
    fn what_is_not_to_be_looked_at_is_not_told_of_and_what_cannot_be_is() {
        let before = with(None, Sight::Seen(seen(1, 1, 0)));
        let silent = with(Some(&before), Sight::NotToLook);
        assert_eq!((told(&silent), silent.workloads), (None, None));
        let unseen = with(Some(&before), Sight::Unseen("It may not.".to_owned()));
        assert_eq!(told(&unseen).as_deref(), Some("Unknown PodsNotSeen: It may not."));
        assert_eq!(unseen.workloads, None);
    }

    #[test]
    fn the_time_of_the_condition_moves_with_its_status_alone() {
        let before = with(None, Sight::Seen(seen(0, 1, 0)));
        let later = |sight| {
            let next = WorkloadIdentityBindingStatus::default();
            let next = with_workloads(next, Some(&before), sight, (2, Timestamp::now()));
            next.conditions[0].last_transition_time.0
        };
        assert_eq!(later(Sight::Seen(seen(0, 2, 0))), Timestamp::UNIX_EPOCH);
        assert_ne!(later(Sight::Seen(seen(2, 0, 0))), Timestamp::UNIX_EPOCH);
    }
}
