//! How long a binding is given the benefit of the doubt: a new one, for what others may still be creating, and one that worked, while Azure
//! cannot be looked at.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use wio_api::{ConditionType, Reason, WorkloadIdentityBindingStatus};

use super::draft::TRUE;
use super::subject::Subject;
use crate::desired::Desired;
use crate::outcome::{Outcome, Problem};
use crate::reasons::{disposition, facts};
use crate::recorded::Progress;

/// How long a binding is new. One run of Flux or Argo CD applies a binding together with what it rests on, an identity, a resource
/// group, the resource at which a role is to hold, and those take minutes to be made; and to such a run a binding that is stalled is
/// a failure at once.
pub const NEW_FOR: Duration = Duration::from_mins(5);

/// The status of a binding that was ready and could not be looked at: it stays as it is, and Ready says so, until looks have failed for
/// long. Its pods go on getting tokens.
pub(super) fn as_before(subject: Subject<'_>, outcome: &Outcome) -> Option<WorkloadIdentityBindingStatus> {
    let Outcome::Unobserved {
        desired: Some(desired),
        fault,
    } = outcome
    else {
        return None;
    };
    let looks = subject.failed_looks.filter(|looks| looks.may_go_on())?;
    let (previous, generation) = (subject.previous?, Some(subject.lifecycle.generation));
    let progress = Progress::of(previous);
    let worked = progress.ready == generation && progress.observed_generation == generation;
    let tolerable = matches!(**desired, Desired::Bound(_)) && facts(disposition(fault).reason()).defers_read;
    if !worked || !tolerable {
        return None;
    }
    let mut next = previous.clone();
    let mut conditions = next.conditions.iter_mut();
    if let Some(ready) = conditions.find(|condition| condition.type_ == ConditionType::Ready.as_str()) {
        ready.message = looks.noted(&ready.message);
    }
    Some(next)
}

/// Everything that stands between a binding and being ready. What others may still be creating is waited for while the binding, or its
/// spec as it is now, is new.
#[must_use]
pub fn problems(subject: Subject<'_>, outcome: &Outcome, now: Timestamp) -> Vec<Problem> {
    let mut problems = outcome.problems();
    if matches!(outcome.desired(), Some(Desired::Bound(_))) && is_new(subject, now) {
        for problem in &mut problems {
            problem.disposition = problem.disposition.of_new_binding();
        }
    }
    problems
}

/// How long it took until a binding was Ready: from its creation, or from when its status said that work on it began. None when it is not, or was
/// before, or when nobody wrote down when the work began.
#[must_use]
pub fn ready_after(subject: Subject<'_>, next: &WorkloadIdentityBindingStatus, now: Timestamp) -> Option<Duration> {
    let ready = next.condition(ConditionType::Ready)?;
    if ready.status != TRUE || ready.reason != Reason::Succeeded.as_str() {
        return None;
    }
    let seen = subject
        .previous
        .filter(|previous| previous.observed_generation.is_some_and(|seen| seen >= 0));
    let since = match seen {
        None => subject.lifecycle.seniority.created()?,
        Some(previous) if previous.observed_generation == Some(subject.lifecycle.generation) => {
            previous.condition(ConditionType::Reconciling)?.last_transition_time.0
        }
        Some(_) => return None,
    };
    Some(now.duration_since(since).max(SignedDuration::ZERO).unsigned_abs())
}

fn is_new(subject: Subject<'_>, now: Timestamp) -> bool {
    let lifecycle = subject.lifecycle;
    let recently = |since: Timestamp| now.duration_since(since).unsigned_abs() < NEW_FOR;
    lifecycle.seniority.created().is_some_and(recently) || at_work_since(subject, now).is_some_and(recently)
}

/// Since when the operator is at work on the spec as it is now; none when it was done with it, or stalled. The condition says it, so
/// that a restart does not begin anew.
fn at_work_since(subject: Subject<'_>, now: Timestamp) -> Option<Timestamp> {
    let generation = Some(subject.lifecycle.generation);
    let Some(previous) = subject
        .previous
        .filter(|status| status.observed_generation == generation)
    else {
        return Some(now);
    };
    let reconciling = previous.condition(ConditionType::Reconciling);
    let reconciling = reconciling.filter(|condition| condition.status == TRUE)?;
    Some(reconciling.last_transition_time.0)
}
