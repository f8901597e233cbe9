//! Whether a binding may have what it asks for, in the words of its status.

use wio_api::{ConditionType, Reason, WorkloadIdentityBindingStatus};

use super::conditions::{Draft, FALSE, TRUE, UNKNOWN, draft, messages};
use crate::desired::Desired;
use crate::names::PolicyName;
use crate::outcome::{Outcome, Problem};
use crate::plan::Plan;

/// Whether the binding may have what it asks for; nothing about one that is being deleted.
pub(super) fn authorized(outcome: &Outcome, problems: &[Problem]) -> Option<Draft> {
    let kind = ConditionType::Authorized;
    let desired = match outcome {
        Outcome::Refused(_) | Outcome::Undecided(_) => None,
        Outcome::Unobserved { desired, .. } => Some(desired.as_ref()),
        Outcome::Observed(reconciled) => Some(&reconciled.desired),
    };
    if let Some(Desired::Gone(_)) = desired {
        return None;
    }
    let refusals = || {
        problems
            .iter()
            .filter(|p| p.disposition.reason() == Reason::NotPermitted)
    };
    if refusals().next().is_some() {
        return Some(draft(kind, FALSE, Reason::NotPermitted, messages(refusals())));
    }
    let Some(Desired::Bound(bound)) = desired else {
        let reason = problems.first().map_or(Reason::NotDecided, |p| p.disposition.reason());
        return Some(draft(kind, UNKNOWN, reason, "Not decided; Ready says why.".to_owned()));
    };
    let names: Vec<&str> = bound
        .authorized
        .authorized_by()
        .iter()
        .map(PolicyName::as_str)
        .collect();
    let message = match names.as_slice() {
        [] => "Allowed without a policy: the operator creates the identity in its own resource group, and it gets no role.".to_owned(),
        [one] => format!("Allowed by WorkloadIdentityPolicy {one}."),
        more => format!("Allowed by WorkloadIdentityPolicies {}.", more.join(", ")),
    };
    Some(draft(kind, TRUE, Reason::Succeeded, message))
}

/// The parts of a binding that may not have them.
pub(super) fn denied(status: &WorkloadIdentityBindingStatus, rest: &Plan) -> Vec<Draft> {
    let message = if rest.revocations.is_empty() {
        "Taken away; Authorized says why."
    } else {
        "Being taken away; Authorized says why."
    };
    let roles = ConditionType::RoleAssignmentsReady;
    let had_roles = !status.role_assignments.is_empty();
    [
        ConditionType::IdentityReady,
        ConditionType::FederatedCredentialsReady,
        ConditionType::ServiceAccountsReady,
    ]
    .into_iter()
    .chain(had_roles.then_some(roles))
    .map(|kind| match kind {
        ConditionType::IdentityReady => draft(
            kind,
            FALSE,
            Reason::NotPermitted,
            "The binding may not use it; Authorized says why.".to_owned(),
        ),
        kind => draft(kind, FALSE, Reason::NotPermitted, message.to_owned()),
    })
    .collect()
}
