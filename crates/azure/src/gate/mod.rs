//! The gate on Azure's budgets, which the pipeline asks before every request: how much Azure admits, who goes first when that is short, and
//! when everybody has to wait (docs/adr/0023).
//!
//! A pass asks for a promise of what its plan needs. Without one it ends and waits in a queue that holds nothing; with one its requests leave
//! at once. What a pass needs beside its promise waits for a moment, and not longer.

mod bucket;
mod budget;
mod lane;
mod state;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use azure_core::http::{Method, Request};
use tokio::time::{Instant, sleep};
use wio_core::fault::BudgetShort;
use wio_core::names::{Location, SubscriptionId};

pub use budget::{Budget, Need, Shortage};
use budget::{Call, Kind, Provider};
pub use lane::Lane;
use state::{Asker, Drawn, Refusal, Standing, State};

use crate::answer::Answer;
use crate::budgets::Budgets;

tokio::task_local! {
    /// The errand that the requests of this task belong to.
    static ERRAND: Arc<Errand>;
}

/// How long a request waits in the midst of a pass for what was not promised to it.
const PATIENCE: Duration = Duration::from_secs(2);

/// The gate. Clones are the same one.
#[derive(Clone, Debug, Default)]
pub struct Gate(Arc<Mutex<State>>);

/// What requests are for: a pass over a binding, or a sweep.
#[derive(Debug)]
pub struct Errand {
    asker: Asker,
    promises: Mutex<Vec<Promise>>,
}

/// A promise of requests. What of it was not drawn goes back when it is dropped.
#[must_use]
#[derive(Debug)]
pub struct Promise {
    gate: Gate,
    rest: Need,
}

/// A request that left; whoever has it tells the gate of its end.
#[must_use]
pub(crate) struct Leave {
    gate: Gate,
    drawn: Drawn,
}

// === impl Errand ===

impl Errand {
    /// An errand of a lane for a namespace.
    #[must_use]
    pub fn new(lane: Lane, namespace: &str) -> Self {
        Self {
            asker: Asker::of(lane, namespace),
            promises: Mutex::default(),
        }
    }

    /// Has the requests of a future belong to this errand.
    pub async fn run<T>(self: Arc<Self>, work: impl Future<Output = T>) -> T {
        ERRAND.scope(self, work).await
    }

    /// Keeps a promise for its requests.
    pub fn keep(&self, promise: Promise) {
        self.promises
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(promise);
    }

    /// What of a need was not promised to it yet.
    #[must_use]
    pub fn missing(&self, need: &Need) -> Need {
        let promises = self.promises.lock().unwrap_or_else(PoisonError::into_inner);
        let held = |budget: &Budget| promises.iter().filter_map(|promise| promise.rest.0.get(budget)).sum();
        let missing = need.0.iter().filter_map(|(budget, count)| {
            let missing = count.saturating_sub(held(budget));
            (missing > 0).then(|| (budget.clone(), missing))
        });
        Need(missing.collect())
    }

    /// Takes one request of each budget out of what was promised, and tells of which.
    fn redeem(&self, budgets: &[Budget]) -> Vec<Budget> {
        let mut promises = self.promises.lock().unwrap_or_else(PoisonError::into_inner);
        let redeemed = budgets
            .iter()
            .filter(|budget| promises.iter_mut().any(|promise| promise.redeem(budget)));
        redeemed.cloned().collect()
    }
}

// === impl Promise ===

impl Promise {
    fn redeem(&mut self, budget: &Budget) -> bool {
        let Some(count) = self.rest.0.get_mut(budget).filter(|count| **count > 0) else {
            return false;
        };
        *count -= 1;
        true
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        self.gate.lock().take_back(&self.rest, Instant::now());
    }
}

// === impl Gate ===

impl Gate {
    /// Promises what a namespace needs in a lane, unless it is short or others wait for it in the queue.
    ///
    /// # Errors
    /// The budget that takes longest.
    pub fn promise(&self, (lane, namespace): (Lane, &str), need: &Need) -> Result<Promise, Shortage> {
        self.promise_to(&Asker::of(lane, namespace), need, Standing::Outside)
    }

    /// Promises it to the first one in the queue, of a namespace of which so many wait.
    ///
    /// # Errors
    /// The budget that takes longest.
    pub fn promise_in_turn(
        &self,
        (lane, namespace): (Lane, &str),
        need: &Need,
        waiting: usize,
    ) -> Result<Promise, Shortage> {
        self.promise_to(&Asker::of(lane, namespace), need, Standing::InTurn { waiting })
    }

    fn promise_to(&self, asker: &Asker, need: &Need, standing: Standing) -> Result<Promise, Shortage> {
        self.lock().promise(asker, need, standing, Instant::now())?;
        Ok(Promise {
            gate: self.clone(),
            rest: need.clone(),
        })
    }

    /// Promises what the errand of this task needs, at once or not at all, so that it does not wait with what it holds.
    ///
    /// # Errors
    /// The budget that takes longest.
    pub fn admit(&self, need: &Need) -> Result<(), Shortage> {
        let Ok(errand) = ERRAND.try_with(Arc::clone) else {
            return Ok(());
        };
        let missing = errand.missing(need);
        if !missing.is_empty() {
            errand.keep(self.promise_to(&errand.asker, &missing, Standing::Outside)?);
        }
        Ok(())
    }

    /// Learns for which budgets somebody waits in the queue, and in which lane.
    pub fn want(&self, wanted: &HashMap<Budget, Lane>) {
        self.lock().want(wanted);
    }

    /// Lets a request leave when its budgets admit it.
    pub(crate) async fn pass(&self, budgets: &[Budget]) -> Result<Leave, BudgetShort> {
        let errand = ERRAND.try_with(Arc::clone).ok();
        let alone = Asker::of_nobody();
        let (asker, promised) = match &errand {
            Some(errand) => (&errand.asker, errand.redeem(budgets)),
            None => (&alone, Vec::new()),
        };
        let deadline = errand.as_ref().map(|_| Instant::now() + PATIENCE);
        // Whoever has begun goes on before others begin.
        let standing = if promised.is_empty() {
            Standing::Outside
        } else {
            Standing::InTurn { waiting: 1 }
        };
        loop {
            let now = Instant::now();
            let drawn = self.lock().draw(asker, (budgets, &promised), standing, now);
            let Shortage { budget, ready_in } = match drawn {
                Ok(drawn) => {
                    let gate = self.clone();
                    return Ok(Leave { gate, drawn });
                }
                Err(shortage) => shortage,
            };
            let pause = ready_in.max(Duration::from_millis(10));
            if deadline.is_some_and(|deadline| deadline < now + pause) {
                self.give_back(&promised);
                return Err(BudgetShort {
                    budget: budget.to_string(),
                    ready_in,
                });
            }
            sleep(pause).await;
        }
    }

    fn give_back(&self, promised: &[Budget]) {
        let mut rest = Need::default();
        promised.iter().cloned().for_each(|budget| rest.add(budget));
        self.lock().take_back(&rest, Instant::now());
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Leave ===

impl Leave {
    /// Tells the gate what came of the request.
    pub(crate) fn ended(self, answer: Option<&Answer>) {
        let refused = answer.filter(|answer| answer.status == 429);
        let refused = refused.map(|answer| answer.retry_after.unwrap_or_default());
        self.came_to(answer.map(|answer| answer.budgets).unwrap_or_default(), refused);
    }

    /// The same for a request whose answer says nothing of what is left: how long it asked to wait, when it was refused for want of budget.
    pub(crate) fn refused(self, retry_after: Option<Duration>) {
        self.came_to(Budgets::default(), retry_after);
    }

    fn came_to(mut self, left: Budgets, refused: Option<Duration>) {
        let refusal = refused.map(|retry_after| Refusal {
            retry_after: retry_after.min(wio_core::reasons::MAX_RETRY_AFTER),
        });
        let drawn = std::mem::take(&mut self.drawn);
        self.gate.lock().hear(drawn, left, refusal, Instant::now());
    }
}

impl Drop for Leave {
    fn drop(&mut self) {
        let drawn = std::mem::take(&mut self.drawn);
        if !drawn.is_empty() {
            self.gate.lock().hear(drawn, Budgets::default(), None, Instant::now());
        }
    }
}

// === impl Budget ===

impl Budget {
    /// The budgets that a request draws on.
    pub(crate) fn of(request: &Request, region: Option<&Location>) -> Vec<Self> {
        let call = match request.method() {
            Method::Get | Method::Head => Call::Read,
            Method::Delete => Call::Delete,
            _ => Call::Write,
        };
        let path = request.url().path();
        let subscription = subscription(path);
        let provider = if path.contains("/Microsoft.Authorization/") {
            Provider::Authorization
        } else if path.contains("/Microsoft.Insights/") {
            Provider::Insights
        } else {
            Provider::ManagedIdentity
        };
        let mut budgets = vec![
            Self::calls(subscription, call),
            Self::of_provider(subscription, provider, call),
        ];
        if let (Some(subscription), Some(region)) = (subscription, region) {
            budgets.push(Self::creations(subscription, region.clone()));
        }
        budgets
    }

    /// What an answer says is left of it.
    fn left(&self, left: Budgets) -> Option<u64> {
        match self.kind {
            Kind::Calls(Call::Read) => left.reads,
            Kind::Calls(Call::Write) => left.writes,
            Kind::Calls(Call::Delete) => left.deletes,
            Kind::Provider(..) | Kind::Creations(_) | Kind::TokenExchanges => None,
        }
    }
}

/// The subscription that a path lies in.
fn subscription(path: &str) -> Option<SubscriptionId> {
    let mut segments = path.split('/').skip(1);
    let first = segments.next()?;
    first.eq_ignore_ascii_case("subscriptions").then_some(())?;
    segments.next()?.parse().ok()
}
