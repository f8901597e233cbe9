//! The status of a policy: whether admission and the operator decide by it, and what of it cannot be used.

use jiff::Timestamp;
use wio_api::{ConditionType, Reason, WorkloadIdentityPolicy, WorkloadIdentityPolicyStatus};

use super::conditions::unready;
use super::draft::{FALSE, TRUE, draft};
use super::transition::{Told, other_ready};
use crate::fault::Fault;
use crate::outcome::Problem;
use crate::policy::{Legibility, Policies, PolicyProblem};
use crate::reasons::{Disposition, disposition};

/// What admission decides with, after policies changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission {
    /// With these policies: the merged policy that was made of them stands.
    Knows,
    /// With the policies as they were: the merged policy could not be written.
    LagsBehind(Fault),
}

/// The status of a policy, of which `policies` were parsed with others.
///
/// Ready waits for admission, so that tools which apply bindings after policies, because policies are ready, are not refused. A condition's
/// time moves only when its status does.
#[must_use]
pub fn of_policy(
    policy: &WorkloadIdentityPolicy,
    policies: &Policies,
    admission: &Admission,
    now: Timestamp,
) -> WorkloadIdentityPolicyStatus {
    let known = as_known(policy, policies, None, now);
    match admission {
        // One change that cannot be written is no word about the policies that admission knows as they are.
        Admission::LagsBehind(fault) if policy.status.as_ref() != Some(&known) => {
            as_known(policy, policies, Some(fault), now)
        }
        Admission::LagsBehind(_) | Admission::Knows => known,
    }
}

/// The status of a policy that admission knows, or does not know yet for this fault.
fn as_known(
    policy: &WorkloadIdentityPolicy,
    policies: &Policies,
    lags: Option<&Fault>,
    now: Timestamp,
) -> WorkloadIdentityPolicyStatus {
    let generation = policy.metadata.generation.unwrap_or_default();
    let name = policy.metadata.name.as_deref().unwrap_or_default();
    let problems = match lags {
        None => unusable(policies.problems_of(name)),
        Some(fault) => vec![lagging(fault)],
    };
    let drafts = match problems.first() {
        Some(leading) => unready(leading, &problems),
        None => vec![draft(ConditionType::Ready, TRUE, Reason::Succeeded, COUNTS.to_owned())],
    };
    let previous = policy.status.as_ref().map_or(&[][..], |status| &status.conditions);
    WorkloadIdentityPolicyStatus {
        observed_generation: Some(generation),
        conditions: drafts
            .into_iter()
            .map(|draft| draft.finish(previous, generation, now))
            .collect(),
    }
}

/// What people are told about by an Event on the policy: what of it cannot be used, what keeps admission from knowing it, and that
/// this is over. That a policy counts from its first moment is nothing to learn of.
#[must_use]
pub fn told_of_policy(
    previous: Option<&WorkloadIdentityPolicyStatus>,
    next: &WorkloadIdentityPolicyStatus,
) -> Option<Told> {
    let ready = |status: &'_ WorkloadIdentityPolicyStatus| status.condition(ConditionType::Ready).cloned();
    let before = previous.and_then(ready);
    let told = other_ready(before.as_ref(), &ready(next)?)?;
    let was_wrong = before.is_some_and(|before| before.status == FALSE);
    (told.warning || was_wrong).then_some(told)
}

const COUNTS: &str = "Admission and the operator decide by all of it.";
const REST_COUNTS: &str = "Everything else in it counts.";
const NOTHING_COUNTS: &str =
    "Until the operator is upgraded, or that is taken out, nothing in it counts; what bindings have by it, they keep.";

fn unusable((problems, legibility): (Vec<&PolicyProblem>, Legibility)) -> Vec<Problem> {
    if problems.is_empty() {
        return Vec::new();
    }
    let parts = problems
        .iter()
        .map(|problem| format!("{} grants nothing: {}", problem.field, problem.problem));
    let rest = match legibility {
        Legibility::Legible => REST_COUNTS,
        Legibility::Unreadable => NOTHING_COUNTS,
    };
    parts.chain([rest.to_owned()]).map(stalled).collect()
}

fn stalled(message: String) -> Problem {
    Problem {
        disposition: Disposition::of(Reason::InvalidSpec, None),
        message,
    }
}

/// The next try comes by itself, whatever was answered.
fn lagging(fault: &Fault) -> Problem {
    Problem {
        disposition: Disposition::Retry {
            reason: disposition(fault).reason(),
            after: None,
        },
        message: format!("admission goes on with the policies as they were: {fault}"),
    }
}
