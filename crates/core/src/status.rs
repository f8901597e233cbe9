//! The status that an outcome makes, by the rules that `kubectl wait`, Flux and Argo CD compute readiness with (kstatus).

mod conditions;
mod facts;
mod permission;
mod roles;

use std::collections::BTreeSet;

use jiff::Timestamp;
use wio_api::{Reason, WorkloadIdentityBindingStatus};

use crate::config::Cluster;
use crate::outcome::Outcome;
use crate::plan::{GrantStep, Plan};

/// The status that an outcome makes.
///
/// What was not observed this time stays as it was last seen; the conditions say so. A condition's time moves only
/// when its status does, so that an unchanged world makes an unchanged status.
#[must_use]
pub fn status(
    previous: Option<&WorkloadIdentityBindingStatus>,
    generation: i64,
    deleting: bool,
    cluster: Option<&Cluster>,
    outcome: &Outcome,
    now: Timestamp,
) -> WorkloadIdentityBindingStatus {
    let mut status = previous.cloned().unwrap_or_default();
    status.observed_generation = Some(generation);
    if let Some(cluster) = cluster {
        status.issuer = Some(cluster.issuer.to_string());
    }
    if let Outcome::Observed(reconciled) = outcome {
        facts::write(&mut status, reconciled);
    }
    status.conditions = conditions::of(&status, generation, deleting, outcome, now);
    status
}

/// The status that names every place where roles are about to be assigned; none when it does already. It is written before the
/// first of them is: a role that is assigned and not written down, because the operator ended in between, would be lost to it as
/// soon as the spec does not ask for it any more.
#[must_use]
pub fn announcing(
    previous: Option<&WorkloadIdentityBindingStatus>,
    plan: &Plan,
) -> Option<WorkloadIdentityBindingStatus> {
    let named = previous.map_or(&[][..], |status| &status.role_assignment_scopes);
    let mut scopes: BTreeSet<String> = named.iter().cloned().collect();
    for step in &plan.grants {
        if let GrantStep::PutRoleAssignment(role) = step {
            scopes.insert(role.scope().root().to_string());
        }
    }
    (scopes.len() > named.len()).then(|| WorkloadIdentityBindingStatus {
        role_assignment_scopes: scopes.into_iter().collect(),
        ..previous.cloned().unwrap_or_default()
    })
}

/// What people are told about by an Event: one for each change of Ready's status or reason.
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
            .find(|condition| condition.type_ == "Ready")
            .cloned()
    };
    let now = ready(next)?;
    let before = previous.and_then(ready);
    if before.is_some_and(|before| before.status == now.status && before.reason == now.reason) {
        return None;
    }
    let quiet = [Reason::Progressing, Reason::Deleting, Reason::Suspended].map(Reason::as_str);
    Some(Transition {
        // What is withheld works as before, and somebody has to act all the same.
        warning: now.status == "False" && !quiet.contains(&now.reason.as_str())
            || now.reason == Reason::MassDisappearance.as_str(),
        reason: now.reason,
        message: now.message,
    })
}
