//! Whether a binding is proven, in the words of its status.

use jiff::Timestamp;
use wio_api::{ConditionType, Reason, VerificationMode, WorkloadIdentityBindingStatus};

use super::anew::not_ready;
use super::draft::{Draft, FALSE, TRUE, UNKNOWN, counted, draft, messages};
use crate::binding::Lifecycle;
use crate::desired::Desired;
use crate::names::ServiceAccountName;
use crate::outcome::{Problem, Reconciled};
use crate::reasons::Disposition;
use crate::recorded::Recorded;
use crate::verification::Proof;

/// What is announced, and that the binding is not ready until it is proven again, where a proof that it asks for is taken back: the operator may end
/// right after, and whoever leads then may not look at it for a while.
#[must_use]
pub fn unproven(
    announced: WorkloadIdentityBindingStatus,
    previous: Option<&WorkloadIdentityBindingStatus>,
    (desired, lifecycle): (&Desired, &Lifecycle),
    now: Timestamp,
) -> WorkloadIdentityBindingStatus {
    const MESSAGE: &str = "A federated credential is written anew. Microsoft Entra is asked for a token once more when it has had time to arrive.";
    let asked = matches!(desired, Desired::Bound(bound) if bound.verification == VerificationMode::TokenExchange);
    let taken_back = |previous: &&WorkloadIdentityBindingStatus| {
        previous.token_exchanges != announced.token_exchanges && Recorded::from(*previous).progress.ready.is_some()
    };
    let Some(previous) = previous.filter(|previous| asked && taken_back(previous)) else {
        return announced;
    };
    let awaited = |kind| draft(kind, UNKNOWN, Reason::TokenExchangeAwaited, MESSAGE.to_owned());
    let [ready, proof] = [ConditionType::Ready, ConditionType::TokenExchangeVerified].map(awaited);
    not_ready(
        (announced, previous),
        (ready, proof),
        MESSAGE,
        (lifecycle.generation, now),
    )
}

/// The condition of a bound binding whose readiness is to be proven; none of any other one.
pub(super) fn condition(reconciled: &Reconciled, problems: &[Problem]) -> Option<Draft> {
    if !reconciled.is_to_be_proven() {
        return None;
    }
    let Some(proof) = reconciled.proof() else {
        return Some(not_asked(problems));
    };
    let unproven = told(proof.problems());
    let untried = told(proof.untried());
    Some(match (unproven.first(), untried.first()) {
        (Some((Reason::TokenExchangeAwaited, _)), _) if is_about_others(problems) => not_asked(problems),
        (Some((reason, _)), _) => {
            let status = if *reason == Reason::TokenExchangeRefused {
                FALSE
            } else {
                UNKNOWN
            };
            state(status, *reason, sentences(&unproven))
        }
        (None, Some((reason, _))) => {
            let message = format!(
                "{} The last exchange passed and is believed for two days.",
                sentences(&untried)
            );
            state(UNKNOWN, *reason, message)
        }
        (None, None) => state(TRUE, Reason::Succeeded, passed(proof)),
    })
}

/// One success is no proof for every region: nothing here may promise that.
fn passed(proof: &Proof) -> String {
    let accounts: Vec<&str> = proof.accounts().map(ServiceAccountName::as_str).collect();
    format!(
        "Microsoft Entra gave a token of the identity in exchange for that of {}: {}. status.tokenExchanges says when. Another region of Entra may still refuse \
         one, for some minutes after a change.",
        counted(accounts.len(), "service account", "service accounts"),
        accounts.join(", ")
    )
}

fn not_asked(problems: &[Problem]) -> Draft {
    let reason = problems
        .first()
        .map_or(Reason::Progressing, |problem| problem.disposition.reason());
    let message = "Not asked for while something else is to be done; Ready says what.";
    state(UNKNOWN, reason, message.to_owned())
}

/// Whether something else than the proof is to be done.
fn is_about_others(problems: &[Problem]) -> bool {
    let first = problems.first().map(|problem| problem.disposition.reason());
    first.is_some_and(|reason| reason != Reason::TokenExchangeAwaited)
}

fn state(status: &'static str, reason: Reason, message: String) -> Draft {
    draft(ConditionType::TokenExchangeVerified, status, reason, message)
}

fn told(reasons: Vec<(Reason, String)>) -> Vec<(Reason, Problem)> {
    let problem = |(reason, message)| {
        let disposition = Disposition::of(reason, None);
        (reason, Problem { disposition, message })
    };
    reasons.into_iter().map(problem).collect()
}

fn sentences(told: &[(Reason, Problem)]) -> String {
    messages(told.iter().map(|(_, problem)| problem))
}
