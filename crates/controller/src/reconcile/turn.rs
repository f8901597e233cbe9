//! The turn of a pass at Azure's budgets: it goes on with a promise, or waits without holding anything.

use std::sync::Arc;
use std::time::Duration;

use kube::runtime::reflector::ObjectRef;
use tokio::time::Instant;
use wio_api::WorkloadIdentityBinding;
use wio_azure::{Errand, Lane, Need};
use wio_core::binding::Binding;
use wio_core::desired::Desired;
use wio_core::fault::{AzureCause, AzureFault, BudgetShort, Fault};
use wio_core::names::IdentityId;
use wio_core::outcome::Outcome;
use wio_core::plan::Plan;
use wio_core::verdict::Verdict;

use super::context::Context;
use super::knowledge::{Knowledge, Memory, Waiting};
use super::needs;
use super::queue::Queue;
use crate::runtime::jitter::jittered;

/// How long a binding waits before its status says so: most waits are over before anybody could read of them.
const TOLD_AFTER: Duration = Duration::from_secs(15);

/// The shortest pause after Azure refused for want of budget.
const SHORTEST: Duration = Duration::from_secs(1);

/// The turn of a pass.
pub(super) struct Turn<'a> {
    queue: &'a Queue,
    key: ObjectRef<WorkloadIdentityBinding>,
    errand: Arc<Errand>,
    /// Whether a person waits for what is given.
    asked: bool,
}

/// A wait for Azure's budgets.
#[derive(Debug)]
pub(super) struct Waits {
    /// The pause before the next try; none when the queue wakes it.
    pub(super) pause: Option<Duration>,
    why: Box<AzureFault>,
    about: Duration,
}

// === impl Turn ===

impl<'a> Turn<'a> {
    /// The turn of a pass over a binding, with what was promised to it.
    pub(super) fn begin(ctx: &'a Context, binding: &Binding, verdict: &Verdict) -> Self {
        let (owner, lifecycle) = (&binding.owner, &binding.lifecycle);
        let queue = &ctx.books.queue;
        let key = ObjectRef::new(owner.name.as_str()).within(owner.namespace.as_str());
        let asked = binding.recorded.progress.ready != Some(lifecycle.generation);
        let lane = match verdict {
            Verdict::Pursue(desired) => match **desired {
                Desired::Bound(_) if asked => Lane::Asked,
                Desired::Bound(_) => Lane::Look,
                Desired::Denied(_) | Desired::Gone(_) => Lane::Revocation,
            },
            Verdict::Orphan(_) | Verdict::Release(_) | Verdict::Hold(_) => Lane::Revocation,
        };
        let errand = Arc::new(Errand::new(lane, owner.namespace.as_str()));
        queue.claim(&key).into_iter().for_each(|promise| errand.keep(promise));
        Self {
            queue,
            key,
            errand,
            asked,
        }
    }

    /// What the requests of the pass belong to.
    pub(super) fn errand(&self) -> Arc<Errand> {
        Arc::clone(&self.errand)
    }

    /// Has a new binding wait before it looks at Azure, when there is no budget for what it asks for.
    pub(super) fn for_new(&self, binding: &Binding, desired: &Desired, memory: &Memory) -> Result<(), Waits> {
        let unseen = matches!(memory.azure, Knowledge::Unread | Knowledge::Invalid);
        match desired {
            Desired::Bound(bound) if unseen && !bound.suspended && binding.recorded.identity.is_none() => {
                self.ask(self.giving(), &needs::of_new(bound))
            }
            Desired::Bound(_) | Desired::Denied(_) | Desired::Gone(_) => Ok(()),
        }
    }

    /// Asks for what a plan takes away.
    pub(super) fn for_revocations(&self, identity: &IdentityId, plan: &Plan) -> Result<(), Waits> {
        self.ask(Lane::Revocation, &needs::of_revocations(identity, &plan.revocations))
    }

    /// Asks for what a plan gives.
    pub(super) fn for_grants(&self, identity: &IdentityId, plan: &Plan) -> Result<(), Waits> {
        self.ask(self.giving(), &needs::of_grants(identity, &plan.grants))
    }

    /// Asks for as many token exchanges. A binding that is proven again waits behind those that people wait for.
    pub(super) fn for_exchanges(&self, count: usize) -> Result<(), Waits> {
        let mut need = Need::default();
        (0..count).for_each(|_| need.exchange_token());
        let lane = if self.asked { Lane::Asked } else { Lane::Look };
        self.ask(lane, &need)
    }

    fn ask(&self, lane: Lane, need: &Need) -> Result<(), Waits> {
        let missing = self.errand.missing(need);
        if missing.is_empty() {
            return Ok(());
        }
        let namespace = self.key.namespace.as_deref().unwrap_or_default();
        match self.queue.promise((lane, namespace), &missing) {
            Ok(promise) => {
                self.errand.keep(promise);
                Ok(())
            }
            Err(shortage) => {
                let about = shortage.ready_in.max(self.queue.wait(&self.key, lane, need.clone()));
                let short = BudgetShort {
                    budget: shortage.budget.to_string(),
                    ready_in: about,
                };
                Err(Waits {
                    pause: None,
                    why: Box::new(AzureFault {
                        operation: "go on".to_owned(),
                        cause: AzureCause::Budget(short),
                    }),
                    about,
                })
            }
        }
    }

    const fn giving(&self) -> Lane {
        if self.asked { Lane::Asked } else { Lane::Mending }
    }
}

// === impl Waits ===

impl Waits {
    /// The wait that follows from faults, when all of them say that a budget is spent.
    pub(super) fn after(faults: &[Fault]) -> Option<Self> {
        let mut waits = None;
        for fault in faults {
            let Fault::Azure(why) = fault else { return None };
            if !why.cause.is_throttled() {
                return None;
            }
            let about = asked_for(&why.cause).max(SHORTEST);
            waits = Some(Self {
                pause: Some(jittered(about + about / 4)),
                why: Box::new(why.clone()),
                about,
            });
        }
        waits
    }

    /// What people are told of it: nothing while it is short, and once; and nothing in the place of what a person has to mend, who has not asked for a
    /// look since.
    pub(super) fn outcome(self, desired: Desired, memory: &mut Memory) -> Option<Outcome> {
        let (generation, errand) = (memory.shown.generation(), super::errand::Errand::of(&desired));
        let is_stalled = generation.is_some_and(|generation| memory.failures.is_stalled(generation, errand));
        if is_stalled && memory.requests.heeded().is_none() {
            return None;
        }
        let now = Instant::now();
        let waiting = memory.waiting.get_or_insert(Waiting {
            since: now,
            told: false,
        });
        let is_long = self.about.max(now.duration_since(waiting.since)) >= TOLD_AFTER;
        if waiting.told || !is_long {
            return None;
        }
        waiting.told = true;
        Some(Outcome::Unobserved {
            desired: Some(Box::new(desired)),
            fault: Fault::Azure(*self.why),
        })
    }
}

fn asked_for(cause: &AzureCause) -> Duration {
    match cause {
        AzureCause::Budget(short) => short.ready_in,
        AzureCause::Answer(answer) => answer.retry_after.unwrap_or_default(),
        _ => Duration::ZERO,
    }
    .min(wio_core::reasons::MAX_RETRY_AFTER)
}
