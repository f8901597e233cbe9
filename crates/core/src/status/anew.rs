//! What is written anew while a status still says that the binding is ready: it is not, until that is done. The operator may end in between, and whoever leads
//! next believes a status that says so.

use jiff::Timestamp;
use wio_api::{Condition, ConditionType, Reason, WorkloadIdentityBindingStatus};

use super::draft::{Draft, FALSE, TRUE, draft};
use crate::plan::Plan;
use crate::recorded::Recorded;

/// What is announced, and that the binding is not ready, where its managed identity is gone and is about to be made anew: it gets other ids than the status
/// tells of. None when nothing is to be announced.
#[must_use]
pub fn made_anew(
    announced: Option<WorkloadIdentityBindingStatus>,
    previous: Option<&WorkloadIdentityBindingStatus>,
    plan: &Plan,
    (generation, now): (i64, Timestamp),
) -> Option<WorkloadIdentityBindingStatus> {
    const MESSAGE: &str = "The managed identity is gone and is made anew. It gets another client id.";
    let was_ready = |status: &&WorkloadIdentityBindingStatus| Recorded::from(*status).progress.ready.is_some();
    let Some(previous) = previous.filter(|status| plan.makes_identity() && was_ready(status)) else {
        return announced;
    };
    let gone = |kind| draft(kind, FALSE, Reason::IdentityVanished, MESSAGE.to_owned());
    let [ready, identity] = [ConditionType::Ready, ConditionType::IdentityReady].map(gone);
    let announced = announced.unwrap_or_else(|| previous.clone());
    Some(not_ready(
        (announced, previous),
        (ready, identity),
        MESSAGE,
        (generation, now),
    ))
}

/// What is announced, with the conditions of a binding that is worked on: Ready, and the one that says why it is not.
pub(super) fn not_ready(
    (announced, previous): (WorkloadIdentityBindingStatus, &WorkloadIdentityBindingStatus),
    (ready, part): (Draft, Draft),
    message: &str,
    (generation, now): (i64, Timestamp),
) -> WorkloadIdentityBindingStatus {
    let works = draft(
        ConditionType::Reconciling,
        TRUE,
        Reason::Progressing,
        message.to_owned(),
    );
    let [ready, works, part] = [ready, works, part].map(|draft| draft.finish(&previous.conditions, generation, now));
    let is_other = |one: &Condition| ![&ready, &works, &part].iter().any(|new| new.type_ == one.type_);
    let others: Vec<Condition> = announced.conditions.into_iter().filter(is_other).collect();
    WorkloadIdentityBindingStatus {
        observed_generation: Some(generation),
        conditions: [ready, works].into_iter().chain(others).chain([part]).collect(),
        ..announced
    }
}
