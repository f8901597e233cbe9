//! Whether a binding is proven, in the words of its status.

use wio_api::{ConditionType, Reason};

use super::draft::{Draft, FALSE, TRUE, UNKNOWN, counted, draft, messages};
use crate::names::ServiceAccountName;
use crate::outcome::{Problem, Reconciled};
use crate::reasons::Disposition;
use crate::verification::Proof;

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
