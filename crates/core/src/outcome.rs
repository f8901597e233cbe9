//! The outcome of a reconcile. A status can only be made from one.

use std::time::Duration;

use jiff::Timestamp;
use wio_api::{Reason, VerificationMode};

use crate::desired::Desired;
use crate::fault::{Blocked, Fault};
use crate::landing::{Confirmed, End, Sight, Writes};
use crate::listing::first;
use crate::observed::Observed;
use crate::orphaned::EndMark;
use crate::plan::{GrantStep, Plan, Revocation, plan};
use crate::reasons::{Disposition, disposition, facts};
use crate::recorded::RecordedExchange;
use crate::verification::Proof;

/// The outcome of a reconcile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The verdict or the guard held it: nothing was given, and nothing was taken away.
    Held(Blocked),
    /// The world could not be observed; nothing was written.
    Unobserved {
        /// What was desired; none when nothing was to be looked at.
        desired: Option<Box<Desired>>,
        /// Why it could not.
        fault: Fault,
    },
    /// The world was observed, and the plan carried out as far as it went.
    Reconciled(Box<Reconciled>),
}

/// The world after a reconcile, what kept it from being as desired, and what is left to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reconciled {
    desired: Desired,
    observed: Observed,
    faults: Vec<Fault>,
    rest: Plan,
    /// How long it takes until what was written has certainly arrived; none when nothing is waited for.
    landing: Option<Duration>,
    /// Whether all that got no answer was on its way no more when Azure was last looked at.
    has_landed: bool,
    /// The proof that it is ready, where one is asked for and there is an identity to be proven.
    proof: Option<Proof>,
}

/// A problem that stands between a binding and being ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What to do about it.
    pub disposition: Disposition,
    /// What is wrong, with which resource, and what to do next.
    pub message: String,
}

// === impl Outcome ===

impl Outcome {
    /// What was desired; none when the binding was held.
    #[must_use]
    pub fn desired(&self) -> Option<&Desired> {
        match self {
            Self::Held(_) => None,
            Self::Unobserved { desired, .. } => desired.as_deref(),
            Self::Reconciled(reconciled) => Some(&reconciled.desired),
        }
    }

    /// Everything that stands between the binding and being ready; empty when it is.
    #[must_use]
    pub fn problems(&self) -> Vec<Problem> {
        match self {
            Self::Held(blocked) => vec![Problem::of(&Fault::Blocked(blocked.clone()))],
            Self::Unobserved { desired, fault } => {
                let denial = desired.as_deref().and_then(denial);
                let problem = match desired.as_deref() {
                    Some(Desired::Gone(_)) if is_forbidden(fault) => Problem::of(fault).or_gone(),
                    _ => Problem::of(fault),
                };
                std::iter::once(problem).chain(denial).collect()
            }
            Self::Reconciled(reconciled) => reconciled.problems(),
        }
    }

    /// Confirms that a deletion is complete: nothing is left to take away, nothing went wrong, and nothing that was written can still
    /// arrive.
    ///
    /// # Errors
    /// The outcome, when it is not: with what is waited for, where that is all.
    pub fn confirm(self, writes: Writes, sight: Sight) -> Result<Confirmed, Box<Self>> {
        match self {
            Self::Reconciled(reconciled) if reconciled.is_gone() => match writes.until_landed(sight) {
                None => Ok(Confirmed::new(End::Gone)),
                left => Err(Box::new(Self::Reconciled(Box::new(Reconciled {
                    landing: left,
                    ..*reconciled
                })))),
            },
            other => Err(Box::new(other)),
        }
    }

    /// How long it takes until what was written has certainly arrived, when a deletion waits for that alone.
    #[must_use]
    pub const fn landing(&self) -> Option<Duration> {
        match self {
            Self::Reconciled(reconciled) => reconciled.landing,
            Self::Held(_) | Self::Unobserved { .. } => None,
        }
    }

    /// The same, with what stands of its proof by what was recorded.
    #[must_use]
    pub fn recalling(self, recorded: &[RecordedExchange], now: Timestamp) -> Self {
        match self {
            Self::Reconciled(reconciled) => Self::Reconciled(Box::new(reconciled.recalling(recorded, now))),
            Self::Held(_) | Self::Unobserved { .. } => self,
        }
    }

    /// Whether Ready waits for a proof.
    #[must_use]
    pub fn is_to_be_proven(&self) -> bool {
        matches!(self, Self::Reconciled(reconciled) if reconciled.is_to_be_proven())
    }

    /// The proof, where a token may be exchanged for it now: nothing else is to be done for the binding.
    pub fn provable(&mut self) -> Option<&mut Proof> {
        match self {
            Self::Reconciled(reconciled) if reconciled.others().is_empty() => reconciled.proof.as_mut(),
            Self::Held(_) | Self::Unobserved { .. } | Self::Reconciled(_) => None,
        }
    }

    /// What is to be written on the identity of a binding that is gone, so that it says that it is to stay.
    #[must_use]
    pub fn mark(&self) -> Option<EndMark> {
        match self {
            Self::Reconciled(reconciled) => reconciled.mark(),
            Self::Held(_) | Self::Unobserved { .. } => None,
        }
    }
}

// === impl Reconciled ===

impl Reconciled {
    /// The world as it is after a plan was carried out as far as it went. What is left to do is planned here, once.
    #[must_use]
    pub fn new(desired: Desired, observed: Observed, faults: Vec<Fault>) -> Self {
        Self {
            rest: plan(&desired, &observed),
            desired,
            observed,
            faults,
            landing: None,
            has_landed: true,
            proof: None,
        }
    }

    fn recalling(self, recorded: &[RecordedExchange], now: Timestamp) -> Self {
        let proof = match &self.desired {
            Desired::Bound(desired) => Proof::of(desired, &self.observed, recorded, now),
            Desired::Denied(_) | Desired::Gone(_) => None,
        };
        Self { proof, ..self }
    }

    /// What stands of its proof; none where none is asked for, or nothing can be proven.
    #[must_use]
    pub const fn proof(&self) -> Option<&Proof> {
        self.proof.as_ref()
    }

    /// Whether Ready waits for a proof.
    #[must_use]
    pub fn is_to_be_proven(&self) -> bool {
        matches!(&self.desired, Desired::Bound(binding) if binding.verification == VerificationMode::TokenExchange)
    }

    /// What was asked for.
    #[must_use]
    pub const fn desired(&self) -> &Desired {
        &self.desired
    }

    /// The world as it is now.
    #[must_use]
    pub const fn observed(&self) -> &Observed {
        &self.observed
    }

    /// The same, when something that got no answer may have been on its way when Azure was last looked at.
    #[must_use]
    pub fn before_landing(self) -> Self {
        Self {
            has_landed: false,
            ..self
        }
    }

    /// Whether all that got no answer was on its way no more when Azure was last looked at.
    #[must_use]
    pub const fn has_landed(&self) -> bool {
        self.has_landed
    }

    /// What is still to be done.
    #[must_use]
    pub const fn rest(&self) -> &Plan {
        &self.rest
    }

    /// Whether nothing was written because the binding is suspended.
    #[must_use]
    pub const fn is_suspended(&self) -> bool {
        matches!(&self.desired, Desired::Bound(binding) if binding.suspended)
    }

    /// What is to be written on an identity that outlives its binding.
    fn mark(&self) -> Option<EndMark> {
        match (&self.desired, self.observed.azure.identity.present()) {
            (Desired::Gone(removal), Some(present)) => removal.mark(&present.tags),
            _ => None,
        }
    }

    /// Whether nothing is left to take away of a binding that is deleted, and nothing went wrong.
    fn is_gone(&self) -> bool {
        matches!(self.desired, Desired::Gone(_)) && self.problems().is_empty()
    }

    /// Why the role assignments of some places are not known.
    fn unseen_roles(&self) -> impl Iterator<Item = Fault> {
        let unread = self.observed.azure.role_assignments.unread();
        unread.map(|(_, place)| Fault::Azure(place.why.clone()))
    }

    /// Everything that stands between the binding and being ready. Its proof is asked for when all else is done.
    fn problems(&self) -> Vec<Problem> {
        let others = self.others();
        if !others.is_empty() || !self.is_to_be_proven() {
            return others;
        }
        let problem = |(reason, message)| Problem {
            disposition: Disposition::of(reason, None),
            message,
        };
        match &self.proof {
            Some(proof) => proof.problems().into_iter().map(problem).collect(),
            None => vec![problem((Reason::TokenExchangeAwaited, UNPROVEN.to_owned()))],
        }
    }

    /// The problems but those of its proof.
    fn others(&self) -> Vec<Problem> {
        let blocked = self.rest.blocked.iter().cloned().map(Fault::Blocked);
        let mut problems: Vec<Problem> = self
            .faults
            .iter()
            .cloned()
            .chain(self.unseen_roles())
            .chain(blocked)
            .map(|fault| Problem::of(&fault))
            .collect();
        if self.rest.has_steps() {
            if self.is_suspended() {
                problems.push(suspended(&self.rest));
            } else if problems.is_empty() {
                problems.push(another_look());
            }
        }
        problems.extend(self.landing.map(|_| landing()));
        problems.extend(denial(&self.desired));
        problems
    }
}

/// What is said of a binding of whose proof nothing is known.
const UNPROVEN: &str = "Microsoft Entra was not asked yet for a token of the identity";

fn landing() -> Problem {
    Problem {
        disposition: Disposition::of(Reason::Deleting, None),
        message: "nothing of it is left in Azure as far as can be seen; what was asked of Azure a moment ago may still be carried out, so \
                  the operator looks once more before it lets the binding go"
            .to_owned(),
    }
}

fn suspended(rest: &Plan) -> Problem {
    const TOLD: usize = 6;
    let revocations = rest.revocations.iter().map(Revocation::change);
    let steps: Vec<String> = revocations.chain(rest.grants.iter().map(GrantStep::change)).collect();
    let which = first(&steps, TOLD);
    let (wait, them) = match steps.len() {
        1 => ("1 change waits".to_owned(), "it"),
        n => (format!("{n} changes wait"), "them"),
    };
    Problem {
        disposition: Disposition::of(Reason::Suspended, None),
        message: format!("spec.suspend is true and {wait}: {which}; set it to false to have {them} made"),
    }
}

fn another_look() -> Problem {
    Problem {
        disposition: Disposition::of(Reason::Progressing, None),
        message: "Azure or the cluster changed while the operator was at work; it looks again".to_owned(),
    }
}

/// The problem of a denied binding. Also while it is suspended: otherwise whoever suspends a binding would keep what a
/// policy takes away.
fn denial(desired: &Desired) -> Option<Problem> {
    let Desired::Denied(denial) = desired else {
        return None;
    };
    Some(Problem {
        disposition: Disposition::of(Reason::NotPermitted, None),
        message: format!(
            "{}. Its federated credentials, role assignments and annotations are taken away",
            denial.why().to_string().trim_end_matches('.')
        ),
    })
}

/// Whether Azure said that the operator may not do what it asked.
fn is_forbidden(fault: &Fault) -> bool {
    matches!(fault, Fault::Azure(_)) && disposition(fault).reason() == Reason::AuthorizationFailed
}

// === impl Problem ===

impl Problem {
    /// The same about what is to be gone: a role that was given at a resource group goes with the group, and Azure answers then as
    /// if the group stood and were forbidden.
    fn or_gone(self) -> Self {
        Self {
            message: format!(
                "{}. If its resource group was deleted, the operator's role there went with it: docs/runbook.md, section 7, tells the \
                 way out",
                self.message.trim_end_matches('.')
            ),
            ..self
        }
    }

    fn of(fault: &Fault) -> Self {
        let disposition = disposition(fault);
        let message = match (fault, facts(disposition.reason()).next_step) {
            (Fault::Azure(_) | Fault::Kubernetes(_), Some(next)) => {
                format!("{}. {next}", fault.to_string().trim_end_matches('.'))
            }
            // What blocks tells the way out itself.
            (Fault::Blocked(_), _) | (_, None) => fault.to_string(),
        };
        Self { disposition, message }
    }
}
