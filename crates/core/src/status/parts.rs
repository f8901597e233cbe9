//! The conditions of the parts, so that it can be seen how far a binding got.

use wio_api::limits::FEDERATED_CREDENTIALS_MAX;
use wio_api::{ConditionType, Reason};

use super::draft::{Draft, FALSE, TRUE, UNKNOWN, counted, draft, messages, noted};
use super::facts::foreign_credential;
use super::subject::Subject;
use super::{issuers, permission, proven, roles};
use crate::desired::{Desired, DesiredBinding, DesiredCredential, DesiredServiceAccount};
use crate::observed::{Observed, PresentIdentity};
use crate::outcome::{Outcome, Problem};
use crate::ownership::{standing, usable};
use crate::plan::{carries, conflict};
use crate::reasons::facts;
use crate::recorded::Recorded;

/// The parts that every binding has.
const EVERY: [ConditionType; 3] = [
    ConditionType::IdentityReady,
    ConditionType::FederatedCredentialsReady,
    ConditionType::ServiceAccountsReady,
];

/// The parts of a binding that speak of themselves: all, roles where it has or had some, and its proof where the status speaks of one.
pub(super) fn of(recorded: &Recorded) -> impl Iterator<Item = ConditionType> {
    let roles = recorded.had_roles().then_some(ConditionType::RoleAssignmentsReady);
    let proof = (!recorded.exchanges.is_empty()).then_some(ConditionType::TokenExchangeVerified);
    EVERY.into_iter().chain(roles).chain(proof)
}

pub(super) fn parts(
    recorded: &Recorded,
    subject: Subject<'_>,
    (outcome, problems): (&Outcome, &[Problem]),
) -> Vec<Draft> {
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
                identity: usable(desired, &reconciled.observed().azure),
                standing: standing(desired, &reconciled.observed().azure),
                recorded,
                problems,
                contested: subject.contested,
            };
            let parts = [seen.identity(), seen.credentials(), seen.service_accounts()];
            let proof = proven::condition(reconciled, problems);
            parts.into_iter().chain(seen.roles()).chain(proof).collect()
        }
    }
}

/// What the conditions of a bound binding are told from.
struct Seen<'a> {
    desired: &'a DesiredBinding,
    observed: &'a Observed,
    /// The identity, when it is the one meant.
    identity: Option<&'a PresentIdentity>,
    /// The identity, when what stands on it works.
    standing: Option<&'a PresentIdentity>,
    /// What is recorded now.
    recorded: &'a Recorded,
    problems: &'a [Problem],
    /// What is to be said of service accounts that somebody else changes back.
    contested: Option<&'a str>,
}

impl Seen<'_> {
    fn identity(&self) -> Draft {
        let kind = ConditionType::IdentityReady;
        match self.identity {
            Some(present) => {
                let id = self.desired.granted.identity();
                let note = overruled(self.desired);
                let message = format!("{id} exists with client id {}.{note}", present.facts.client_id);
                draft(kind, TRUE, Reason::Succeeded, message)
            }
            None => missing(kind, "The identity is not ready", None, self.problems),
        }
    }

    fn credentials(&self) -> Draft {
        let kind = ConditionType::FederatedCredentialsReady;
        let total = self.desired.credentials.len();
        let untrusted = untrusted(self.desired, self.standing);
        if untrusted.is_empty() {
            let strangers = self.of_another_cluster();
            let message = format!(
                "{}; Entra can take two minutes to know a new one.{}{}{}{strangers}",
                counted(total, "federated credential exists", "federated credentials exist"),
                issuers::retiring(&self.recorded.retiring),
                self.standing
                    .map(|present| foreign_trust(self.desired, present))
                    .unwrap_or_default(),
                self.standing.map(nearly_full).unwrap_or_default()
            );
            let reason = if strangers.is_empty() {
                Reason::Succeeded
            } else {
                Reason::ClusterIdShared
            };
            return draft(kind, TRUE, reason, message);
        }
        if self.is_anothers() {
            return self.not_judged(kind);
        }
        let what = format!(
            "Entra does not trust {} of {total} service accounts: {}",
            untrusted.len(),
            untrusted.join(", ")
        );
        let all_others = untrusted.iter().all(|account| self.is_others(account));
        let unseen = self.observed.azure.role_assignments.may_hide_ours();
        let waits_for = self
            .waits_for_identity()
            .or_else(|| unseen.then_some(ConditionType::RoleAssignmentsReady))
            .or_else(|| all_others.then_some(ConditionType::ServiceAccountsReady));
        missing(kind, &what, waits_for, self.problems)
    }

    fn of_another_cluster(&self) -> String {
        let credentials = self.standing.map_or(&[][..], |present| &present.credentials);
        issuers::of_another_cluster(self.desired, credentials)
    }

    fn service_accounts(&self) -> Draft {
        let kind = ConditionType::ServiceAccountsReady;
        let unlabelled = unlabelled(self.desired, self.standing, self.observed);
        let total = self.desired.service_accounts.len();
        if unlabelled.is_empty() {
            let message = format!(
                "{} the client id.",
                counted(total, "service account carries", "service accounts carry")
            );
            return draft(kind, TRUE, Reason::Succeeded, noted(message, self.contested));
        }
        if self.is_anothers() {
            return self.not_judged(kind);
        }
        let (with, without): (Vec<String>, Vec<String>) = unlabelled
            .iter()
            .cloned()
            .partition(|account| self.carries_client_id(account));
        let of = |accounts: &[String]| {
            format!(
                "{} of {total} service accounts: {}",
                accounts.len(),
                accounts.join(", ")
            )
        };
        let missing_on = (!without.is_empty()).then(|| format!("The client id is missing on {}", of(&without)));
        let otherwise = (!with.is_empty()).then(|| {
            format!(
                "The client id stands, and the rest is not as asked for, on {}",
                of(&with)
            )
        });
        let what: Vec<String> = missing_on.into_iter().chain(otherwise).collect();
        missing(
            kind,
            &what.join(". "),
            self.accounts_wait_for(&unlabelled),
            self.problems,
        )
    }

    fn carries_client_id(&self, account: &str) -> bool {
        let mut accounts = self.observed.service_accounts.iter();
        let seen = accounts.find(|(name, _)| name.as_str() == account);
        let client_id = self.standing.map(|present| present.facts.client_id.to_string());
        client_id.is_some() && seen.is_some_and(|(_, seen)| seen.client_id == client_id)
    }

    /// Whether a service account is not the binding's to mark, so that no trust is given for it.
    fn is_others(&self, account: &str) -> bool {
        let mut wanted = self.desired.service_accounts.iter();
        let facts = self.identity.map(|present| &present.facts);
        let account = wanted.find(|wanted| wanted.name.as_str() == account);
        account.is_some_and(|account| conflict(self.desired, account, self.observed, facts).is_some())
    }

    fn accounts_wait_for(&self, unlabelled: &[String]) -> Option<ConditionType> {
        let kind = ConditionType::ServiceAccountsReady;
        // One that is trusted and not annotated has a reason of its own, and one that is not the binding's is not trusted for that.
        let untrusted = untrusted(self.desired, self.standing);
        let part = |problem: &Problem| facts(problem.disposition.reason()).part;
        let own = self.problems.iter().any(|problem| part(problem) == Some(kind));
        let all_untrusted = !own && unlabelled.iter().all(|account| untrusted.contains(account));
        self.waits_for_identity()
            .or_else(|| all_untrusted.then_some(ConditionType::FederatedCredentialsReady))
            // A service account gets the client id when the roles are given, so that no pod starts without them.
            .or_else(|| (!own && self.misses_roles()).then_some(ConditionType::RoleAssignmentsReady))
    }

    /// Whether an identity of the wanted name stands there that is not this binding's to use. What it trusts, and who carries its
    /// client id, is nothing to this binding.
    fn is_anothers(&self) -> bool {
        self.standing.is_none() && self.observed.azure.identity.present().is_some()
    }

    fn not_judged(&self, kind: ConditionType) -> Draft {
        let reason = self
            .problems
            .first()
            .map_or(Reason::Progressing, |problem| problem.disposition.reason());
        let message = "Not judged while the identity is not this binding's to use; IdentityReady says why.";
        draft(kind, UNKNOWN, reason, message.to_owned())
    }

    fn roles(&self) -> Option<Draft> {
        let kind = ConditionType::RoleAssignmentsReady;
        let assignments = &self.observed.azure.role_assignments;
        Some(match roles::condition(self.desired, self.standing, assignments)? {
            Ok(message) => draft(kind, TRUE, Reason::Succeeded, message),
            Err(roles::Missing { what, waits_for }) => missing(kind, &what, waits_for, self.problems),
        })
    }

    fn misses_roles(&self) -> bool {
        let assignments = &self.observed.azure.role_assignments;
        matches!(roles::condition(self.desired, self.identity, assignments), Some(Err(_)))
    }

    fn waits_for_identity(&self) -> Option<ConditionType> {
        self.identity.is_none().then_some(ConditionType::IdentityReady)
    }
}

/// Tokens work all the same.
fn overruled(desired: &DesiredBinding) -> String {
    if desired.overruled.is_empty() {
        return String::new();
    }
    let names: Vec<&str> = desired.overruled.iter().map(String::as_str).collect();
    format!(
        " Azure keeps another value of tag {} than the one that was written, as an Azure Policy can have it; make the two agree.",
        names.join(", ")
    )
}

/// Whose trust rests on what somebody else can take away.
fn foreign_trust(desired: &DesiredBinding, present: &PresentIdentity) -> String {
    let rests_on = |account: &DesiredServiceAccount| {
        let credential = foreign_credential(desired, &account.name, present)?;
        Some(format!("that of {} on {credential}", account.name))
    };
    let foreign: Vec<String> = desired.service_accounts.iter().filter_map(rests_on).collect();
    if foreign.is_empty() {
        return String::new();
    }
    format!(
        " Trust rests on federated credentials that are not of this binding: {}. When one goes, the operator writes its own at its next \
         look.",
        foreign.join(", ")
    )
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
    // What an answer is about is told by its code, and that may be another part than the one that was written.
    // What keeps a service account from its annotation is never a reason of another part.
    let of_any =
        |problem: &&Problem| facts(problem.disposition.reason()).part != Some(ConditionType::ServiceAccountsReady);
    let causes = if causes.is_empty() {
        problems.iter().filter(of_any).collect()
    } else {
        causes
    };
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
