//! Whether a binding may have what it asks for, in the words of its status.

use wio_api::{ConditionType, Reason};

use super::draft::{Draft, FALSE, TRUE, UNKNOWN, draft, messages};
use crate::binding::Lifecycle;
use crate::desired::Desired;
use crate::names::PolicyName;
use crate::outcome::{Outcome, Problem};
use crate::plan::Plan;

/// Whether the binding may have what it asks for; nothing about one that is being deleted.
pub(super) fn authorized(lifecycle: &Lifecycle, outcome: &Outcome, problems: &[Problem]) -> Option<Draft> {
    let kind = ConditionType::Authorized;
    if lifecycle.deleting {
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
    let Some(Desired::Bound(bound)) = outcome.desired() else {
        let reason = problems.first().map_or(Reason::NotDecided, |p| p.disposition.reason());
        return Some(draft(kind, UNKNOWN, reason, "Not decided; Ready says why.".to_owned()));
    };
    let names: Vec<&str> = bound.granted.authorized_by().iter().map(PolicyName::as_str).collect();
    let message = match names.as_slice() {
        [] => "Allowed without a policy: the operator creates the identity in its own resource group, and it gets no role.".to_owned(),
        [one] => format!("Allowed by WorkloadIdentityPolicy {one}."),
        more => format!("Allowed by WorkloadIdentityPolicies {}.", more.join(", ")),
    };
    Some(draft(kind, TRUE, Reason::Succeeded, message))
}

/// A part of a binding that may not have it.
pub(super) fn denied(part: ConditionType, rest: &Plan) -> Draft {
    let message = match part {
        ConditionType::IdentityReady => "The binding may not use it; Authorized says why.",
        _ if rest.revocations.is_empty() => "Taken away; Authorized says why.",
        _ => "Being taken away; Authorized says why.",
    };
    draft(part, FALSE, Reason::NotPermitted, message.to_owned())
}
