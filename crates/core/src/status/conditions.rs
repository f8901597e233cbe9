//! The conditions: <https://github.com/kubernetes-sigs/cli-utils/blob/master/pkg/kstatus/README.md>.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use wio_api::{Condition, ConditionType, Reason, WorkloadIdentityBindingStatus};

use super::facts::usable;
use super::permission;
use crate::desired::{Desired, DesiredBinding, DesiredCredential};
use crate::disposition::Disposition;
use crate::observed::{Observed, PresentIdentity};
use crate::outcome::{Outcome, Problem, Reconciled};
use crate::plan::{MAX_CREDENTIALS, carries};

pub(super) const TRUE: &str = "True";
pub(super) const FALSE: &str = "False";
pub(super) const UNKNOWN: &str = "Unknown";

pub(super) struct Draft {
    kind: ConditionType,
    status: &'static str,
    reason: Reason,
    message: String,
}

pub(super) fn of(
    status: &WorkloadIdentityBindingStatus,
    generation: i64,
    deleting: bool,
    outcome: &Outcome,
    now: Timestamp,
) -> Vec<Condition> {
    let problems = outcome.problems();
    let suspended = matches!(outcome, Outcome::Observed(reconciled) if reconciled.suspended);
    let mut drafts = summary(status, deleting, suspended, &problems);
    drafts.extend(permission::authorized(outcome, &problems));
    drafts.extend(parts(status, outcome, &problems));
    drafts
        .into_iter()
        .map(|draft| draft.finish(&status.conditions, generation, now))
        .collect()
}

/// Ready, and Reconciling or Stalled when it is not.
fn summary(
    status: &WorkloadIdentityBindingStatus,
    deleting: bool,
    suspended: bool,
    problems: &[Problem],
) -> Vec<Draft> {
    let settled = |p: &&Problem| matches!(p.disposition, Disposition::Stalled { .. });
    // As long as one problem is worked on, the binding is not stalled; the message still tells all of them.
    let leading = problems.iter().find(|p| !settled(p)).or_else(|| problems.first());
    let Some(leading) = leading else {
        return if deleting {
            vec![ready(
                FALSE,
                Reason::Deleting,
                "Everything of this binding is removed.".to_owned(),
            )]
        } else if suspended {
            // It works, and whoever forgot that it is suspended should see so where readiness is shown.
            let message = format!(
                "{} spec.suspend is true: nothing is mended or changed.",
                success(status)
            );
            vec![ready(TRUE, Reason::Suspended, message)]
        } else {
            vec![ready(TRUE, Reason::Succeeded, success(status))]
        };
    };
    let message = messages(problems);
    let reason = leading.disposition.reason();
    match leading.disposition {
        Disposition::Stalled { .. } => {
            vec![
                ready(FALSE, reason, message.clone()),
                draft(ConditionType::Stalled, TRUE, reason, message),
            ]
        }
        Disposition::Wait { .. } => {
            vec![
                ready(UNKNOWN, reason, message.clone()),
                draft(ConditionType::Reconciling, TRUE, Reason::Progressing, message),
            ]
        }
        Disposition::Retry { .. } => {
            vec![
                ready(FALSE, reason, message.clone()),
                draft(ConditionType::Reconciling, TRUE, Reason::ProgressingWithRetry, message),
            ]
        }
    }
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

/// One condition for each part, so that it can be seen how far it got.
fn parts(status: &WorkloadIdentityBindingStatus, outcome: &Outcome, problems: &[Problem]) -> Vec<Draft> {
    let reconciled = match outcome {
        Outcome::Observed(reconciled) => reconciled,
        Outcome::Refused(_) | Outcome::Undecided(_) | Outcome::Unobserved { .. } => {
            let roles = ConditionType::RoleAssignmentsReady;
            let had_roles = !status.role_assignments.is_empty()
                || status
                    .conditions
                    .iter()
                    .any(|condition| condition.type_ == roles.as_str());
            return [
                ConditionType::IdentityReady,
                ConditionType::FederatedCredentialsReady,
                ConditionType::ServiceAccountsReady,
            ]
            .into_iter()
            .chain(had_roles.then_some(roles))
            .map(|kind| not_looked_at(kind, problems))
            .collect();
        }
    };
    match &reconciled.desired {
        Desired::Gone(_) => Vec::new(),
        Desired::Denied(_) => permission::denied(status, &reconciled.rest()),
        Desired::Bound(desired) => {
            let mut drafts = Vec::from(bound(desired, reconciled, problems));
            drafts.extend(super::roles::condition(desired, reconciled).map(|roles| match roles {
                Ok(message) => draft(ConditionType::RoleAssignmentsReady, TRUE, Reason::Succeeded, message),
                Err(super::roles::Missing { what, waits_for }) => {
                    missing(ConditionType::RoleAssignmentsReady, &what, waits_for, problems)
                }
            }));
            drafts
        }
    }
}

fn bound(desired: &DesiredBinding, reconciled: &Reconciled, problems: &[Problem]) -> [Draft; 3] {
    let identity = usable(desired, &reconciled.observed.identity);
    let id = desired.authorized.identity();
    let identity_draft = if let Some(present) = identity {
        draft(
            ConditionType::IdentityReady,
            TRUE,
            Reason::Succeeded,
            format!("{id} exists with client id {}.", present.facts.client_id),
        )
    } else {
        missing(
            ConditionType::IdentityReady,
            "The identity is not ready",
            None,
            problems,
        )
    };

    let total = desired.credentials.len();
    let untrusted = untrusted(desired, identity);
    let credentials_draft = if untrusted.is_empty() {
        draft(
            ConditionType::FederatedCredentialsReady,
            TRUE,
            Reason::Succeeded,
            format!(
                "{}; Entra can take two minutes to know a new one.{}",
                counted(total, "federated credential exists", "federated credentials exist"),
                identity.map(nearly_full).unwrap_or_default()
            ),
        )
    } else {
        missing(
            ConditionType::FederatedCredentialsReady,
            &format!(
                "Entra does not trust {} of {total} service accounts: {}",
                untrusted.len(),
                untrusted.join(", ")
            ),
            identity.is_none().then_some(ConditionType::IdentityReady),
            problems,
        )
    };

    let unmarked = unmarked(desired, identity, &reconciled.observed);
    let accounts = desired.service_accounts.len();
    let accounts_draft = if unmarked.is_empty() {
        draft(
            ConditionType::ServiceAccountsReady,
            TRUE,
            Reason::Succeeded,
            format!(
                "{} the client id.",
                counted(accounts, "service account carries", "service accounts carry")
            ),
        )
    } else {
        missing(
            ConditionType::ServiceAccountsReady,
            &format!(
                "The client id is missing on {} of {accounts} service accounts: {}",
                unmarked.len(),
                unmarked.join(", ")
            ),
            // One that is trusted and not annotated has a reason of its own.
            if identity.is_none() {
                Some(ConditionType::IdentityReady)
            } else if unmarked.iter().all(|account| untrusted.contains(account)) {
                Some(ConditionType::FederatedCredentialsReady)
            } else {
                None
            },
            problems,
        )
    };
    [identity_draft, credentials_draft, accounts_draft]
}

/// Told in time: the 21st is refused.
fn nearly_full(present: &PresentIdentity) -> String {
    const TOLD_FROM: usize = 18;
    let used = present.credentials.len();
    if used < TOLD_FROM {
        return String::new();
    }
    format!(
        " {used} of the {MAX_CREDENTIALS} federated credentials that Azure allows in one identity are used; bind further \
         service accounts to another identity."
    )
}

/// The service accounts that Entra does not trust, by our credential or by a foreign one that says the same.
fn untrusted(desired: &DesiredBinding, identity: Option<&PresentIdentity>) -> Vec<String> {
    let trusted = |wanted: &DesiredCredential| {
        identity.is_some_and(|present| {
            present.credentials.iter().any(|credential| {
                credential.trusts(wanted.issuer.as_str(), wanted.subject.as_str())
                    && credential.has_audience(&wanted.audience)
            })
        })
    };
    desired
        .credentials
        .iter()
        .filter(|wanted| !trusted(wanted))
        .map(|wanted| wanted.account.to_string())
        .collect()
}

/// The service accounts that do not carry the client id.
fn unmarked(desired: &DesiredBinding, identity: Option<&PresentIdentity>, observed: &Observed) -> Vec<String> {
    desired
        .service_accounts
        .iter()
        .filter(|account| {
            let seen = observed.service_accounts.get(&account.name);
            !identity
                .zip(seen)
                .is_some_and(|(present, seen)| carries(desired, seen, account, &present.facts))
        })
        .map(|account| account.name.to_string())
        .collect()
}

/// Whether a part waits for another one.
const fn rests_on(kind: ConditionType, other: ConditionType) -> bool {
    match kind {
        ConditionType::FederatedCredentialsReady | ConditionType::RoleAssignmentsReady => {
            matches!(other, ConditionType::IdentityReady)
        }
        ConditionType::ServiceAccountsReady => matches!(
            other,
            ConditionType::IdentityReady | ConditionType::FederatedCredentialsReady
        ),
        _ => false,
    }
}

pub(super) fn counted(n: usize, one: &str, more: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { more })
}

fn missing(kind: ConditionType, what: &str, waits_for: Option<ConditionType>, problems: &[Problem]) -> Draft {
    let causes: Vec<&Problem> = problems
        .iter()
        .filter(|problem| part(problem.disposition.reason()).is_none_or(|part| part == kind || rests_on(kind, part)))
        .collect();
    let reason = causes
        .first()
        .map_or(Reason::Progressing, |problem| problem.disposition.reason());
    let message = match (waits_for, messages(causes)) {
        (Some(earlier), _) => format!("{what}; this waits for {earlier}."),
        (None, why) if why.is_empty() => format!("{what}."),
        (None, why) => format!("{what}. {why}"),
    };
    draft(kind, FALSE, reason, message)
}

/// The part that a reason speaks of; none when it may be any.
const fn part(reason: Reason) -> Option<ConditionType> {
    match reason {
        Reason::IdentityNotOwned | Reason::IdentityNotFound | Reason::IdentityMoved => {
            Some(ConditionType::IdentityReady)
        }
        Reason::FederatedCredentialConflict
        | Reason::FederatedCredentialQuotaExceeded
        | Reason::ReplicationPending
        | Reason::ConcurrentWrites => Some(ConditionType::FederatedCredentialsReady),
        Reason::ServiceAccountNotFound
        | Reason::ServiceAccountConflict
        | Reason::NamespaceTerminating
        | Reason::KubernetesUnavailable
        | Reason::KubernetesRejected => Some(ConditionType::ServiceAccountsReady),
        Reason::RoleAssignmentLimitExceeded
        | Reason::RoleAssignmentConflict
        | Reason::RoleAssignmentExists
        | Reason::PrincipalNotFound
        | Reason::RoleAccessDenied
        | Reason::RoleScopeNotFound => Some(ConditionType::RoleAssignmentsReady),
        _ => None,
    }
}

fn not_looked_at(kind: ConditionType, problems: &[Problem]) -> Draft {
    let reason = problems
        .first()
        .map_or(Reason::Progressing, |problem| problem.disposition.reason());
    draft(kind, UNKNOWN, reason, "Not looked at; Ready says why.".to_owned())
}

fn ready(status: &'static str, reason: Reason, message: String) -> Draft {
    draft(ConditionType::Ready, status, reason, message)
}

pub(super) const fn draft(kind: ConditionType, status: &'static str, reason: Reason, message: String) -> Draft {
    Draft {
        kind,
        status,
        reason,
        message,
    }
}

/// All problems in one sentence each, each once, within what the API server stores.
pub(super) fn messages<'a>(problems: impl IntoIterator<Item = &'a Problem>) -> String {
    const MAX_CHARS: usize = 4096;
    let mut told: Vec<String> = Vec::new();
    for problem in problems {
        let sentence = sentence(&problem.message);
        if !told.contains(&sentence) {
            told.push(sentence);
        }
    }
    let all = told.join(" ");
    if all.chars().count() <= MAX_CHARS {
        return all;
    }
    let beginning: String = all.chars().take(MAX_CHARS).collect();
    format!("{beginning} (shortened)")
}

fn sentence(text: &str) -> String {
    let text = text
        .trim()
        .trim_end_matches(|c: char| c.is_whitespace() || ":,;.".contains(c));
    // A field's path keeps its case.
    let path = text.split_whitespace().next().is_some_and(|word| word.contains('.'));
    let mut chars = text.chars();
    let Some(first) = chars.next() else {
        return "No more is known.".to_owned();
    };
    let end = if text.ends_with(['!', '?']) { "" } else { "." };
    if path {
        return format!("{text}{end}");
    }
    format!("{}{}{end}", first.to_uppercase(), chars.as_str())
}

impl Draft {
    /// The time of the previous condition of this type stays unless its status changes.
    fn finish(self, previous: &[Condition], generation: i64, now: Timestamp) -> Condition {
        let same = previous
            .iter()
            .find(|c| c.type_ == self.kind.as_str() && c.status == self.status);
        Condition {
            type_: self.kind.to_string(),
            status: self.status.to_owned(),
            reason: self.reason.to_string(),
            message: self.message,
            observed_generation: Some(generation),
            last_transition_time: same.map_or(Time(now), |condition| condition.last_transition_time.clone()),
        }
    }
}
