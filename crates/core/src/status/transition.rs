//! The change of Ready that people are told about by an Event.
#![deny(clippy::wildcard_enum_match_arm)]

use wio_api::{ConditionType, Reason, WorkloadIdentityBindingStatus};

use super::draft::FALSE;
use crate::reasons::{Voice, facts};

/// The change of Ready that people are told about by an Event: one for each change of its status or reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition {
    /// Whether it is a fault.
    pub warning: bool,
    /// Ready's reason.
    pub reason: String,
    /// Ready's message.
    pub message: String,
}

/// The change of Ready from one status to the next, if there is one.
#[must_use]
pub fn transition(
    previous: Option<&WorkloadIdentityBindingStatus>,
    next: &WorkloadIdentityBindingStatus,
) -> Option<Transition> {
    let ready = |status: &WorkloadIdentityBindingStatus| {
        status
            .conditions
            .iter()
            .find(|condition| condition.type_ == ConditionType::Ready.as_str())
            .cloned()
    };
    let now = ready(next)?;
    let before = previous.and_then(ready);
    if before.is_some_and(|before| before.status == now.status && before.reason == now.reason) {
        return None;
    }
    Some(Transition {
        warning: match voice(&now.reason) {
            Voice::Quiet => false,
            Voice::Alarm => true,
            Voice::Fault => now.status == FALSE,
        },
        reason: now.reason,
        message: now.message,
    })
}

fn voice(reason: &str) -> Voice {
    let known = Reason::ALL.iter().find(|known| known.as_str() == reason);
    known.map_or(Voice::Fault, |reason| facts(*reason).voice)
}
