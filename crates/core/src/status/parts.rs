//! The conditions of the parts, so that it can be seen how far a binding got.

use wio_api::limits::FEDERATED_CREDENTIALS_MAX;
use wio_api::{ConditionType, Reason};

use super::draft::{Draft, FALSE, TRUE, UNKNOWN, counted, draft, messages};
use super::facts::usable;
use super::{permission, roles};
use crate::desired::{Desired, DesiredBinding, DesiredCredential};
use crate::observed::{Observed, PresentIdentity};
use crate::outcome::{Outcome, Problem};
use crate::plan::carries;
use crate::reasons::facts;
use crate::recorded::Recorded;

/// The parts that every binding has.
const EVERY: [ConditionType; 3] = [
    ConditionType::IdentityReady,
    ConditionType::FederatedCredentialsReady,
    ConditionType::ServiceAccountsReady,
];

/// The parts of a binding that speak of themselves: all, and roles where it has or had some.
pub(super) fn of(recorded: &Recorded) -> impl Iterator<Item = ConditionType> {
    let roles = recorded.had_roles().then_some(ConditionType::RoleAssignmentsReady);
    EVERY.into_iter().chain(roles)
}

pub(super) fn parts(recorded: &Recorded, outcome: &Outcome, problems: &[Problem]) -> Vec<Draft> {
    let Outcome::Reconciled(reconciled) = outcome else {
        return of(recorded).map(|kind| not_looked_at(kind, problems)).collect();
    };
    match reconciled.desired() {
        Desired::Gone(_) => Vec::new(),
        Desired::Denied(_) => of(recorded)
            .map(|kind| permission::denied(kind, reconciled.rest()))
            .collect(),
        Desired::Bound(desired) => {
            let seen = Seen {
                desired,
                observed: reconciled.observed(),
                identity: usable(desired, &reconciled.observed().azure.identity),
                problems,
            };
            let parts = [seen.identity(), seen.credentials(), seen.service_accounts()];
            parts.into_iter().chain(seen.roles()).collect()
        }
    }
}

/// What the conditions of a bound binding are told from.
struct Seen<'a> {
    desired: &'a DesiredBinding,
    observed: &'a Observed,
    /// The identity, when it is the one meant.
    identity: Option<&'a PresentIdentity>,
    problems: &'a [Problem],
}

impl Seen<'_> {
    fn identity(&self) -> Draft {
        let kind = ConditionType::IdentityReady;
        match self.identity {
            Some(present) => {
                let id = self.desired.granted.identity();
                let message = format!("{id} exists with client id {}.", present.facts.client_id);
                draft(kind, TRUE, Reason::Succeeded, message)
            }
            None => missing(kind, "The identity is not ready", None, self.problems),
        }
    }

    fn credentials(&self) -> Draft {
        let kind = ConditionType::FederatedCredentialsReady;
        let total = self.desired.credentials.len();
        let untrusted = untrusted(self.desired, self.identity);
        if untrusted.is_empty() {
            let message = format!(
                "{}; Entra can take two minutes to know a new one.{}",
                counted(total, "federated credential exists", "federated credentials exist"),
                self.identity.map(nearly_full).unwrap_or_default()
            );
            return draft(kind, TRUE, Reason::Succeeded, message);
        }
        let what = format!(
            "Entra does not trust {} of {total} service accounts: {}",
            untrusted.len(),
            untrusted.join(", ")
        );
        let unseen = self.observed.azure.role_assignments.may_hide_ours();
        let waits_for = self
            .waits_for_identity()
            .or_else(|| unseen.then_some(ConditionType::RoleAssignmentsReady));
        missing(kind, &what, waits_for, self.problems)
    }

    fn service_accounts(&self) -> Draft {
        let kind = ConditionType::ServiceAccountsReady;
        let unlabelled = unlabelled(self.desired, self.identity, self.observed);
        let total = self.desired.service_accounts.len();
        if unlabelled.is_empty() {
            let message = format!(
                "{} the client id.",
                counted(total, "service account carries", "service accounts carry")
            );
            return draft(kind, TRUE, Reason::Succeeded, message);
        }
        let what = format!(
            "The client id is missing on {} of {total} service accounts: {}",
            unlabelled.len(),
            unlabelled.join(", ")
        );
        // One that is trusted and not annotated has a reason of its own.
        let untrusted = untrusted(self.desired, self.identity);
        let waits_for = self
            .waits_for_identity()
            .or_else(|| {
                let all = unlabelled.iter().all(|account| untrusted.contains(account));
                all.then_some(ConditionType::FederatedCredentialsReady)
            })
            .or_else(|| self.waits_for_roles());
        missing(kind, &what, waits_for, self.problems)
    }

    fn roles(&self) -> Option<Draft> {
        let kind = ConditionType::RoleAssignmentsReady;
        let assignments = &self.observed.azure.role_assignments;
        Some(match roles::condition(self.desired, self.identity, assignments)? {
            Ok(message) => draft(kind, TRUE, Reason::Succeeded, message),
            Err(roles::Missing { what, waits_for }) => missing(kind, &what, waits_for, self.problems),
        })
    }

    /// A service account gets the client id when the roles are given, so that no pod starts without them.
    fn waits_for_roles(&self) -> Option<ConditionType> {
        let has_problem =
            |problem: &Problem| facts(problem.disposition.reason()).part == Some(ConditionType::ServiceAccountsReady);
        let assignments = &self.observed.azure.role_assignments;
        let missing = matches!(roles::condition(self.desired, self.identity, assignments), Some(Err(_)));
        (missing && !self.problems.iter().any(has_problem)).then_some(ConditionType::RoleAssignmentsReady)
    }

    fn waits_for_identity(&self) -> Option<ConditionType> {
        self.identity.is_none().then_some(ConditionType::IdentityReady)
    }
}

/// Told in time: the 21st is refused.
fn nearly_full(present: &PresentIdentity) -> String {
    const TOLD_FROM: usize = 18;
    let used = present.credentials.len();
    if used < TOLD_FROM {
        return String::new();
    }
    format!(
        " {used} of the {FEDERATED_CREDENTIALS_MAX} federated credentials that Azure allows in one identity are used; bind further \
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
fn unlabelled(desired: &DesiredBinding, identity: Option<&PresentIdentity>, observed: &Observed) -> Vec<String> {
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

fn missing(kind: ConditionType, what: &str, waits_for: Option<ConditionType>, problems: &[Problem]) -> Draft {
    let causes: Vec<&Problem> = problems
        .iter()
        .filter(|problem| {
            facts(problem.disposition.reason())
                .part
                .is_none_or(|part| part == kind || waits_for == Some(part) || rests_on(kind, part))
        })
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

fn not_looked_at(kind: ConditionType, problems: &[Problem]) -> Draft {
    let reason = problems
        .first()
        .map_or(Reason::Progressing, |problem| problem.disposition.reason());
    draft(kind, UNKNOWN, reason, "Not looked at; Ready says why.".to_owned())
}
