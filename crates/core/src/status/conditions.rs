//! The conditions: <https://github.com/kubernetes-sigs/cli-utils/blob/master/pkg/kstatus/README.md>.
#![deny(clippy::wildcard_enum_match_arm)]

use jiff::Timestamp;
use wio_api::{Condition, ConditionType, Reason, WorkloadIdentityBindingStatus};

use super::draft::{Draft, FALSE, TRUE, UNKNOWN, draft, messages, noted};
use super::subject::Subject;
use super::{parts, permission};
use crate::outcome::{Outcome, Problem};
use crate::reasons::Disposition;
use crate::recorded::Recorded;

/// The conditions in the order in which they stand in a status.
const ORDER: [ConditionType; 9] = [
    ConditionType::Ready,
    ConditionType::Reconciling,
    ConditionType::Stalled,
    ConditionType::Authorized,
    ConditionType::IdentityReady,
    ConditionType::FederatedCredentialsReady,
    ConditionType::ServiceAccountsReady,
    ConditionType::RoleAssignmentsReady,
    ConditionType::TokenExchangeVerified,
];

pub(super) fn conditions(
    status: &WorkloadIdentityBindingStatus,
    recorded: &Recorded,
    subject: Subject<'_>,
    (outcome, problems): (&Outcome, &[Problem]),
    now: Timestamp,
) -> Vec<Condition> {
    let lifecycle = subject.lifecycle;
    let mut drafts = match leading(problems) {
        Some(leading) => unready(leading, problems),
        None => vec![ready(status, subject, outcome)],
    };
    drafts.extend(permission::authorized(lifecycle, outcome, problems));
    drafts.extend(parts::parts(recorded, subject, (outcome, problems)));
    let ordered = ORDER.iter().filter_map(|kind| {
        let at = drafts.iter().position(|draft| draft.kind == *kind)?;
        Some(drafts.swap_remove(at))
    });
    ordered
        .map(|draft| draft.finish(&status.conditions, lifecycle.generation, now))
        .collect()
}

/// The problem that sets Ready. As long as one problem is worked on, the binding is not stalled; the message still tells all of
/// them.
fn leading(problems: &[Problem]) -> Option<&Problem> {
    let stalled = |problem: &&Problem| matches!(problem.disposition, Disposition::Stalled { .. });
    problems
        .iter()
        .find(|problem| !stalled(problem))
        .or_else(|| problems.first())
}

/// Ready, without a problem.
fn ready(status: &WorkloadIdentityBindingStatus, subject: Subject<'_>, outcome: &Outcome) -> Draft {
    let suspended = matches!(outcome, Outcome::Reconciled(reconciled) if reconciled.is_suspended());
    let (value, reason, message) = if subject.lifecycle.deleting {
        (
            FALSE,
            Reason::Deleting,
            "Everything of this binding is removed.".to_owned(),
        )
    } else if suspended {
        // It works, and whoever forgot that it is suspended should see so where readiness is shown.
        let message = format!(
            "{} spec.suspend is true: nothing is mended or changed.",
            success(status)
        );
        (TRUE, Reason::Suspended, message)
    } else {
        (TRUE, Reason::Succeeded, success(status))
    };
    let message = noted(message, subject.contested);
    let looked = subject.failed_looks.map(|looks| looks.noted(&message));
    draft(ConditionType::Ready, value, reason, looked.unwrap_or(message))
}

/// Ready, and Reconciling or Stalled.
pub(super) fn unready(leading: &Problem, problems: &[Problem]) -> Vec<Draft> {
    let message = messages(problems);
    let reason = leading.disposition.reason();
    let (ready, beside) = match leading.disposition {
        Disposition::Stalled { .. } => (FALSE, (ConditionType::Stalled, reason)),
        Disposition::Wait { .. } => (UNKNOWN, (ConditionType::Reconciling, Reason::Progressing)),
        Disposition::Retry { .. } => (FALSE, (ConditionType::Reconciling, Reason::ProgressingWithRetry)),
    };
    vec![
        draft(ConditionType::Ready, ready, reason, message.clone()),
        draft(beside.0, TRUE, beside.1, message),
    ]
}

fn success(status: &WorkloadIdentityBindingStatus) -> String {
    let accounts: Vec<&str> = status
        .service_accounts
        .iter()
        .map(|account| account.name.as_str())
        .collect();
    let identity = status
        .identity
        .as_ref()
        .map_or("the identity", |identity| identity.name.as_str());
    format!(
        "Pods of service account{} {} with the label azure.workload.identity/use: \"true\" get tokens of managed identity \
         {identity}; pods that started before must be restarted.",
        if accounts.len() == 1 { "" } else { "s" },
        accounts.join(", ")
    )
}
