//! The status of a binding whose deletion begins, and of one whose deletion is over while somebody else's finalizer keeps it.

use jiff::Timestamp;
use wio_api::{ConditionType, Reason, WorkloadIdentityBindingStatus};

use super::draft::{FALSE, TRUE, draft};
use super::transition::Told;
use crate::binding::Lifecycle;
use crate::landing::{Confirmed, End};
use crate::recorded::Recorded;

/// The status at the beginning of a deletion: what is being taken away is not ready, whatever becomes of it. None when the status does
/// not say Ready.
#[must_use]
pub fn ending(
    previous: Option<&WorkloadIdentityBindingStatus>,
    lifecycle: &Lifecycle,
    now: Timestamp,
) -> Option<WorkloadIdentityBindingStatus> {
    const MESSAGE: &str = "What this binding has is being taken away.";
    let previous = previous.filter(|status| lifecycle.deleting && Recorded::from(*status).progress.ready.is_some())?;
    let ready = draft(ConditionType::Ready, FALSE, Reason::Deleting, MESSAGE.to_owned());
    let works = draft(
        ConditionType::Reconciling,
        TRUE,
        Reason::Progressing,
        MESSAGE.to_owned(),
    );
    Some(WorkloadIdentityBindingStatus {
        observed_generation: Some(lifecycle.generation),
        conditions: [ready, works]
            .map(|draft| draft.finish(&previous.conditions, lifecycle.generation, now))
            .into(),
        ..previous.clone()
    })
}

/// What people are told when a binding goes though Azure was not asked whether anything is left.
#[must_use]
pub fn farewell(confirmed: Confirmed) -> Option<Told> {
    match confirmed.end() {
        End::Gone | End::Left => None,
        End::NeverBegun => Some(Told {
            warning: false,
            reason: Reason::Deleting.to_string(),
            message: "Nothing was ever written to Azure for this binding, so it goes without asking Azure.".to_owned(),
        }),
    }
}

/// The status at the end of a deletion: nothing is left, or what there was is nobody's any more.
#[must_use]
pub fn ended(
    previous: Option<&WorkloadIdentityBindingStatus>,
    lifecycle: &Lifecycle,
    confirmed: Confirmed,
    now: Timestamp,
) -> WorkloadIdentityBindingStatus {
    let before = previous.map_or(&[][..], |status| &status.conditions);
    let message = match confirmed.end() {
        End::Gone | End::NeverBegun => {
            "Everything of this binding is removed; a finalizer of somebody else keeps the object."
        }
        End::Left => {
            "The operator looks after this binding no more and left what it has; a finalizer of somebody else keeps the object."
        }
    };
    let ready = draft(ConditionType::Ready, FALSE, Reason::Deleting, message.to_owned());
    WorkloadIdentityBindingStatus {
        observed_generation: Some(lifecycle.generation),
        conditions: vec![ready.finish(before, lifecycle.generation, now)],
        ..WorkloadIdentityBindingStatus::default()
    }
}
