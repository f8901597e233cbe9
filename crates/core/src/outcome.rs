//! What a reconcile came to. A status can only be made from one.

use wio_api::{DeletionPolicy, Reason};

use crate::authorize::NotPermitted;
use crate::binding::InvalidField;
use crate::desired::Desired;
use crate::disposition::{Disposition, disposition};
use crate::fault::{Blocked, Fault};
use crate::observed::{Observed, ObservedRoleAssignments};
use crate::plan::{Plan, plan};

/// What a reconcile came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The binding was refused before anything was looked at; nothing was written.
    Refused(Blocked),
    /// What the binding may have could not be decided: nothing was given, and nothing was taken away.
    Undecided(Blocked),
    /// The world could not be observed; nothing was written.
    Unobserved {
        /// What was asked for.
        desired: Box<Desired>,
        /// Why it could not.
        fault: Fault,
    },
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

    /// The spec asks for what is not allowed, and nothing of it can be there: the binding never got the finalizer, which comes
    /// before everything else. Whatever can have something is to be [`Desired::Denied`].
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
            Self::Refused(blocked) | Self::Undecided(blocked) => vec![Problem::of(&Fault::Blocked(blocked.clone()))],
            Self::Unobserved { desired, fault } => [Some(Problem::of(fault)), denial(desired)]
                .into_iter()
                .flatten()
                .collect(),
            Self::Observed(reconciled) => reconciled.problems(),
        }
    }

    /// Whether a deletion is complete: nothing is left to take away and nothing went wrong.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        matches!(self, Self::Observed(reconciled) if reconciled.is_gone())
    }

    /// Whether everything is as the spec asks.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.problems().is_empty()
    }
}

impl Reconciled {
    fn is_gone(&self) -> bool {
        matches!(self.desired, Desired::Gone(_))
            && self.faults.is_empty()
            && self.unseen_roles().is_none()
            && self.rest().is_empty()
    }

    /// Why the role assignments are not known, where that matters. What is left to the user's care needs no look.
    fn unseen_roles(&self) -> Option<Fault> {
        let orphaned = matches!(&self.desired, Desired::Gone(removal) if removal.policy == DeletionPolicy::Orphan);
        match &self.observed.role_assignments {
            ObservedRoleAssignments::Unknown(fault) if !orphaned => Some(Fault::Azure(fault.clone())),
            _ => None,
        }
    }

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
            .chain(self.unseen_roles())
            .chain(blocked)
            .map(|fault| Problem::of(&fault))
            .collect();
        if let Some(denial) = denial(&self.desired) {
            if problems.is_empty() && rest.has_steps() {
                problems.push(another_look());
            }
            problems.push(denial);
            return problems;
        }
        if self.suspended && rest.has_steps() {
            let steps = rest.revocations.len() + rest.grants.len();
            problems.push(Problem {
                disposition: Disposition::Stalled {
                    reason: Reason::Suspended,
                },
                message: if steps == 1 {
                    "spec.suspend is true and 1 change waits; set it to false to have it made".to_owned()
                } else {
                    format!("spec.suspend is true and {steps} changes wait; set it to false to have them made")
                },
            });
        } else if problems.is_empty() && rest.has_steps() {
            problems.push(another_look());
        }
        problems
    }
}

fn another_look() -> Problem {
    Problem {
        disposition: Disposition::Wait {
            reason: Reason::Progressing,
        },
        message: "Azure or the cluster changed while the operator was at work; it looks again".to_owned(),
    }
}

/// That the binding is denied, when it is. Also while it is suspended: otherwise whoever suspends a binding would keep what a
/// policy takes away.
fn denial(desired: &Desired) -> Option<Problem> {
    let Desired::Denied(denial) = desired else {
        return None;
    };
    Some(Problem {
        disposition: Disposition::Stalled {
            reason: Reason::NotPermitted,
        },
        message: format!(
            "{}. Its federated credentials, role assignments and annotations are taken away",
            denial.why().to_string().trim_end_matches('.')
        ),
    })
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
        Reason::PrincipalNotFound => {
            "Azure can take some minutes to know a new identity as one that can have roles; the operator tries again by itself"
        }
        Reason::RoleAccessDenied => {
            "Give the operator's own identity a role that allows it, and whose condition allows this role; the operator tries \
             again by itself"
        }
        Reason::RoleAssignmentExists => {
            "Somebody else assigned the same role; the operator leaves it as it is and looks again"
        }
        Reason::RoleAssignmentConflict => {
            "Another assignment has the name that is derived for this one; find out who made it, and delete it"
        }
        Reason::RoleAssignmentLimitExceeded => {
            "Azure allows 4000 role assignments in a subscription; have some removed, or assign the role at a wider scope"
        }
        Reason::RoleScopeNotFound => "Create it, or correct the scope in spec.roleAssignments",
        Reason::Throttled | Reason::AzureUnavailable | Reason::KubernetesUnavailable => {
            "The operator tries again by itself"
        }
        Reason::AzureRejected => "Change what Azure objects to in the spec or in the operator's configuration",
        Reason::KubernetesRejected => {
            "Check the operator's RBAC, quotas and admission webhooks; the operator tries again by itself"
        }
        _ => return None,
    })
}
