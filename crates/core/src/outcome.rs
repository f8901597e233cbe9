//! What a reconcile came to. A status can only be made from one.

use wio_api::Reason;

use crate::authorize::NotPermitted;
use crate::binding::InvalidField;
use crate::desired::Desired;
use crate::disposition::{Disposition, disposition};
use crate::fault::{Blocked, Fault};
use crate::observed::Observed;
use crate::plan::{Plan, plan};

/// What a reconcile came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The binding was refused before anything was looked at; nothing was written.
    Refused(Blocked),
    /// The world could not be observed; nothing was written.
    Unobserved(Fault),
    /// The world was observed, and the plan carried out as far as it went.
    Observed(Box<Reconciled>),
}

/// The world after a reconcile, and what kept it from being as desired.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reconciled {
    /// What was asked for.
    pub desired: Desired,
    /// The world as it is now.
    pub observed: Observed,
    /// What went wrong on the way.
    pub faults: Vec<Fault>,
    /// Whether nothing was written because the binding is suspended.
    pub suspended: bool,
}

/// What stands between a binding and being ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What to do about it.
    pub disposition: Disposition,
    /// What is wrong, with which resource, and what to do next.
    pub message: String,
}

impl Outcome {
    /// The spec cannot be used.
    #[must_use]
    pub fn invalid(fields: &[InvalidField]) -> Self {
        let list: Vec<String> = fields.iter().map(ToString::to_string).collect();
        Self::Refused(Blocked {
            reason: Reason::InvalidSpec,
            message: list.join("; "),
        })
    }

    /// The spec asks for what is not allowed.
    #[must_use]
    pub fn denied(denied: &NotPermitted) -> Self {
        Self::Refused(Blocked {
            reason: Reason::NotPermitted,
            message: denied.to_string(),
        })
    }

    /// Everything that stands between the binding and being ready; empty when it is.
    #[must_use]
    pub fn problems(&self) -> Vec<Problem> {
        match self {
            Self::Refused(blocked) => vec![Problem::of(&Fault::Blocked(blocked.clone()))],
            Self::Unobserved(fault) => vec![Problem::of(fault)],
            Self::Observed(reconciled) => reconciled.problems(),
        }
    }

    /// Whether a deletion is complete: nothing is left to take away and nothing went wrong.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        matches!(self, Self::Observed(r) if matches!(r.desired, Desired::Gone(_)) && r.faults.is_empty() && r.rest().is_empty())
    }

    /// Whether everything is as the spec asks.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.problems().is_empty()
    }
}

impl Reconciled {
    /// What is still to be done.
    #[must_use]
    pub fn rest(&self) -> Plan {
        plan(&self.desired, &self.observed)
    }

    fn problems(&self) -> Vec<Problem> {
        let rest = self.rest();
        let blocked = rest.blocked.iter().cloned().map(Fault::Blocked);
        let mut problems: Vec<Problem> = self
            .faults
            .iter()
            .cloned()
            .chain(blocked)
            .map(|fault| Problem::of(&fault))
            .collect();
        if self.suspended && rest.has_steps() {
            let steps = rest.revocations.len() + rest.grants.len();
            problems.push(Problem {
                disposition: Disposition::Terminal {
                    reason: Reason::Suspended,
                },
                message: if steps == 1 {
                    "spec.suspend is true and 1 change waits; set it to false to have it made".to_owned()
                } else {
                    format!("spec.suspend is true and {steps} changes wait; set it to false to have them made")
                },
            });
        } else if problems.is_empty() && rest.has_steps() {
            problems.push(Problem {
                disposition: Disposition::Wait {
                    reason: Reason::Progressing,
                },
                message: "Azure or the cluster changed while the operator was at work; it looks again".to_owned(),
            });
        }
        problems
    }
}

impl Problem {
    fn of(fault: &Fault) -> Self {
        let disposition = disposition(fault);
        let message = match (fault, next_step(disposition.reason())) {
            (Fault::Azure(_) | Fault::Kubernetes(_), Some(next)) => {
                format!("{}. {next}", fault.to_string().trim_end_matches('.'))
            }
            // What blocks tells the way out itself.
            _ => fault.to_string(),
        };
        Self { disposition, message }
    }
}

/// What to do about an error of Azure or Kubernetes, whose own words tell at best what is wrong.
const fn next_step(reason: Reason) -> Option<&'static str> {
    Some(match reason {
        Reason::AuthorizationFailed => {
            "Give the operator's own identity a role that allows it; the operator tries again by itself"
        }
        Reason::CredentialUnavailable => "Check the operator's own credentials; it tries again by itself",
        Reason::DisallowedByPolicy => "Make the spec agree with that Azure Policy, or have an exemption made",
        Reason::ScopeLocked => "Have the lock removed; the operator tries again by itself",
        Reason::ResourceGroupNotFound => "Create it, or correct the operator's configuration or the spec",
        Reason::RegionUnsupported => "Federated credentials need an identity in another region",
        Reason::ReplicationPending => {
            "Azure can take four minutes to know a new identity everywhere; the operator tries again by itself"
        }
        Reason::ConcurrentWrites => "Somebody else changes the same identity; the operator tries again by itself",
        Reason::IdentityNotFound => "The operator looks again",
        Reason::Throttled
        | Reason::AzureUnavailable
        | Reason::KubernetesUnavailable
        | Reason::RoleAssignmentLimitExceeded => "The operator tries again by itself",
        Reason::AzureRejected => "Change what Azure objects to in the spec or in the operator's configuration",
        Reason::KubernetesRejected => {
            "Check the operator's RBAC, quotas and admission webhooks; the operator tries again by itself"
        }
        _ => return None,
    })
}
