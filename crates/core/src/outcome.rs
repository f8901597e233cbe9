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
                message: format!("spec.suspend is true and {steps} changes wait; set it to false to have them made"),
            });
        } else if problems.is_empty() && rest.has_steps() {
            problems.push(Problem {
                disposition: Disposition::Wait {
                    reason: Reason::Progressing,
                },
                message: "the world changed while the plan was carried out; looking again".to_owned(),
            });
        }
        problems
    }
}

impl Problem {
    fn of(fault: &Fault) -> Self {
        Self {
            disposition: disposition(fault),
            message: fault.to_string(),
        }
    }
}
