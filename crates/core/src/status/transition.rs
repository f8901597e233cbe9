//! The changes from one status to the next that people are told about by Events.
#![deny(clippy::wildcard_enum_match_arm)]

use wio_api::{Condition, ConditionType, Reason, RestartResult, RestartStatus, WorkloadIdentityBindingStatus};

use super::draft::FALSE;
use super::issuers::issuer_change;
use crate::reasons::{Kind, ReasonFacts, Voice, facts};

/// Something that people are told about by an Event.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Told {
    /// Whether it is a fault.
    pub warning: bool,
    /// Ready's reason, or that of the Event alone.
    pub reason: String,
    /// What happened, in words.
    pub message: String,
}

/// What people are told about by Events: another client id, another issuer, owners of pods that were restarted, a change of Ready, and pods that lack a
/// token.
#[must_use]
pub fn transitions(
    previous: Option<&WorkloadIdentityBindingStatus>,
    next: &WorkloadIdentityBindingStatus,
) -> Vec<Told> {
    let client_id = previous.and_then(|previous| other_client_id(previous, next));
    let issuer = previous.and_then(|previous| other_issuer(previous, next));
    let restarted = restarted(previous, next);
    let at_once = client_id.into_iter().chain(issuer).chain(restarted);
    let before = previous.and_then(ready);
    let other = ready(next).and_then(|now| other_ready(before, now));
    at_once.chain(other).chain(pods_lack_a_token(previous, next)).collect()
}

/// Another client id: pods take it from their service account when they start, and keep it.
fn other_client_id(previous: &WorkloadIdentityBindingStatus, next: &WorkloadIdentityBindingStatus) -> Option<Told> {
    let (before, now) = (previous.identity.as_ref()?, next.identity.as_ref()?);
    let (before_id, now_id) = (before.client_id.as_ref()?, now.client_id.as_ref()?);
    if before_id == now_id {
        return None;
    }
    let anew = before.resource_id.eq_ignore_ascii_case(&now.resource_id);
    let what = if anew {
        format!("{} was made anew and has client id", now.resource_id)
    } else {
        format!("The binding has identity {} now, with client id", now.resource_id)
    };
    Some(Told {
        warning: true,
        reason: Reason::ClientIdChanged.to_string(),
        message: format!(
            "{what} {now_id} instead of {before_id}. Pods that started before have the old one: restart them."
        ),
    })
}

/// Pods that lack a token, where none did: who they are changes with every pod, and stands in the status.
fn pods_lack_a_token(
    previous: Option<&WorkloadIdentityBindingStatus>,
    next: &WorkloadIdentityBindingStatus,
) -> Option<Told> {
    let kind = ConditionType::WorkloadsReady;
    let now = next.condition(kind).filter(|now| now.status == FALSE)?;
    let before = previous.and_then(|previous| previous.condition(kind));
    let is_new = before.is_none_or(|before| before.status != FALSE);
    is_new.then(|| Told {
        warning: true,
        reason: now.reason.clone(),
        message: now.message.clone(),
    })
}

/// Another issuer of the cluster's tokens.
fn other_issuer(previous: &WorkloadIdentityBindingStatus, next: &WorkloadIdentityBindingStatus) -> Option<Told> {
    Some(Told {
        warning: false,
        reason: Reason::IssuerChanged.to_string(),
        message: issuer_change(previous, next)?,
    })
}

/// Owners of pods that were restarted since.
fn restarted<'a>(
    previous: Option<&'a WorkloadIdentityBindingStatus>,
    next: &'a WorkloadIdentityBindingStatus,
) -> impl Iterator<Item = Told> {
    let restarts = |status: &'a WorkloadIdentityBindingStatus| {
        let restarts = status.workloads.iter().flat_map(|workloads| &workloads.restarts);
        restarts.filter(|one| matches!(one.result, RestartResult::Restarting | RestartResult::Restarted))
    };
    let told = move |now: &RestartStatus| {
        let mut before = previous.into_iter().flat_map(restarts);
        before.any(|before| (&before.owner, &before.client_id) == (&now.owner, &now.client_id))
    };
    restarts(next).filter(move |now| !told(now)).map(|now| Told {
        warning: false,
        reason: Reason::WorkloadRestarted.to_string(),
        message: format!(
            "{} is restarted, as spec.rollout asks: pods of it ran without client id {}.",
            now.owner, now.client_id
        ),
    })
}

/// A change of Ready: of its status or reason, or of its words where those tell of something else.
pub(super) fn other_ready(before: Option<&Condition>, now: &Condition) -> Option<Told> {
    let facts = facts_of(&now.reason);
    // That work goes on is nothing to learn of; what comes of it is.
    if [Reason::Progressing, Reason::PolicyAwaited, Reason::TokenExchangeAwaited]
        .map(Reason::as_str)
        .contains(&&*now.reason)
    {
        return None;
    }
    if before.is_some_and(|before| says_the_same(before, now, facts)) {
        return None;
    }
    Some(Told {
        warning: match facts.map_or(Voice::Fault, |facts| facts.voice) {
            Voice::Quiet => false,
            Voice::Alarm => true,
            Voice::Fault => now.status == FALSE,
        },
        reason: now.reason.clone(),
        message: now.message.clone(),
    })
}

/// Whether Ready says the same as before. The words of a fault that is retried differ from try to try; those of what stands still
/// do when it is something else that stands in the way, and those of what works when it is something else that was asked for.
fn says_the_same(before: &Condition, now: &Condition, facts: Option<ReasonFacts>) -> bool {
    if before.status != now.status || before.reason != now.reason {
        return false;
    }
    let stands_still = facts.is_some_and(|facts| facts.kind == Kind::Stalled);
    let matters = stands_still || before.observed_generation != now.observed_generation;
    !matters || before.message == now.message
}

fn ready(status: &WorkloadIdentityBindingStatus) -> Option<&Condition> {
    status.condition(ConditionType::Ready)
}

fn facts_of(reason: &str) -> Option<ReasonFacts> {
    let known = Reason::ALL.iter().find(|known| known.as_str() == reason);
    known.map(|reason| facts(*reason))
}
