//! The gate as a state machine: it is asked before every request and told of every answer, and knows nothing of tasks.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use super::bucket::{Bucket, Sent};
use super::budget::{Budget, Kind, Need, Shortage};
use super::lane::Lane;
use crate::budgets::Budgets;

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Asker {
    pub(super) lane: Lane,
    pub(super) namespace: Option<String>,
}

/// All budgets that were ever drawn upon.
#[derive(Debug, Default)]
pub(super) struct State {
    buckets: HashMap<Budget, Bucket>,
    /// When each namespace created its last identities under a budget, as many as matter.
    creators: HashMap<(Budget, String), VecDeque<Instant>>,
}

/// The requests that were sent, by budget.
pub(super) type Drawn = Vec<(Budget, Sent)>;

/// A refusal for want of budget.
#[derive(Clone, Copy, Debug)]
pub(super) struct Refusal {
    pub(super) retry_after: Duration,
}

/// The most creations of a window that a namespace leaves to others, which created less in it: as many as it created itself. One roll-out
/// does not keep the few bindings of another team waiting for the next window, nor these a third team's.
const LEFT_MOST: usize = 5;

/// How long a creation counts.
const CREATED_LATELY: Duration = Duration::from_secs(20);

/// How long a refusal without `Retry-After` closes a budget.
const RETRY_AFTER: Duration = Duration::from_secs(1);

// === impl Asker ===

impl Asker {
    pub(super) fn of(lane: Lane, namespace: &str) -> Self {
        Self {
            lane,
            namespace: Some(namespace.to_owned()),
        }
    }
}

// === impl State ===

impl State {
    /// Promises a need, whole or not at all. Who is not in the queue has to stand behind those in it.
    pub(super) fn promise(
        &mut self,
        asker: &Asker,
        need: &Need,
        is_in_turn: bool,
        now: Instant,
    ) -> Result<(), Shortage> {
        let mut worst: Option<Shortage> = None;
        for (budget, count) in &need.0 {
            let behind = !is_in_turn && self.bucket(budget, now).wanted.is_some_and(|lane| lane <= asker.lane);
            let leaves = self.leaves(asker, budget, now);
            let bucket = self.bucket(budget, now);
            let count = f64::from(*count);
            if !behind && bucket.free(now) >= count + leaves {
                continue;
            }
            let ready_in = bucket.admits_at(count + leaves, now).saturating_duration_since(now);
            if worst.as_ref().is_none_or(|worst| worst.ready_in < ready_in) {
                let budget = budget.clone();
                worst = Some(Shortage { budget, ready_in });
            }
        }
        if let Some(worst) = worst {
            return Err(worst);
        }
        for (budget, count) in &need.0 {
            self.bucket(budget, now).promise(*count);
            self.note_creator(asker, budget, now);
        }
        Ok(())
    }

    /// Takes back what was promised and not drawn.
    pub(super) fn take_back(&mut self, rest: &Need, now: Instant) {
        for (budget, count) in &rest.0 {
            self.bucket(budget, now).take_back(*count);
        }
    }

    /// Sends a request that draws on these budgets, some of which were promised to it.
    pub(super) fn draw(
        &mut self,
        asker: &Asker,
        (budgets, promised): (&[Budget], &[Budget]),
        is_in_turn: bool,
        now: Instant,
    ) -> Result<Drawn, Shortage> {
        let mut rest = Need::default();
        for budget in budgets.iter().filter(|budget| !promised.contains(budget)) {
            rest.add(budget.clone());
        }
        self.promise(asker, &rest, is_in_turn, now)?;
        let drawn = budgets.iter().map(|budget| {
            let bucket = self.bucket(budget, now);
            bucket.take_back(1);
            (budget.clone(), bucket.send(now))
        });
        Ok(drawn.collect())
    }

    /// Takes in what came of a request: what is left by its answer, and whether it was refused. The answer of a refusal tells by what is
    /// left whether Azure Resource Manager refused or whoever is behind it.
    pub(super) fn hear(&mut self, drawn: Drawn, left: Budgets, refusal: Option<Refusal>, now: Instant) {
        let left_of = |budget: &Budget| budget.left(left);
        let by_manager = drawn
            .iter()
            .find_map(|(budget, _)| left_of(budget))
            .is_none_or(|left| left == 0);
        let creates = drawn
            .iter()
            .any(|(budget, _)| matches!(budget.kind, Kind::Creations(_)));
        for (budget, sent) in drawn {
            let refuses = match budget.kind {
                Kind::Calls(_) => by_manager,
                // Entra refuses for itself alone.
                Kind::TokenExchanges => true,
                Kind::Creations(_) => !by_manager,
                Kind::Provider(..) => !by_manager && !creates,
            };
            let bucket = self.bucket(&budget, now);
            bucket.hear(sent, left_of(&budget), now);
            if let (Some(refusal), true) = (refusal, refuses) {
                bucket.refuse(sent, refusal.retry_after.max(RETRY_AFTER), now);
            }
        }
    }

    /// Notes who is first in the queue for each budget.
    pub(super) fn want(&mut self, wanted: &HashMap<Budget, Lane>) {
        for (budget, bucket) in &mut self.buckets {
            bucket.wanted = wanted.get(budget).copied();
        }
    }

    fn leaves(&self, asker: &Asker, budget: &Budget, now: Instant) -> f64 {
        let created = match (&budget.kind, &asker.namespace) {
            (Kind::Creations(_), Some(namespace)) => self.creators.get(&(budget.clone(), namespace.clone())),
            _ => None,
        };
        let lately = created.into_iter().flatten().filter(|at| now < **at + CREATED_LATELY);
        budget.left_by(asker.lane) + lately.map(|_| 1.0).sum::<f64>()
    }

    fn note_creator(&mut self, asker: &Asker, budget: &Budget, now: Instant) {
        if let (Kind::Creations(_), Some(namespace)) = (&budget.kind, &asker.namespace) {
            let lately = |last: &Instant| now < *last + CREATED_LATELY;
            self.creators.retain(|_, created| created.back().is_some_and(lately));
            let created = self.creators.entry((budget.clone(), namespace.clone())).or_default();
            created.push_back(now);
            if created.len() > LEFT_MOST {
                created.pop_front();
            }
        }
    }

    fn bucket(&mut self, budget: &Budget, now: Instant) -> &mut Bucket {
        self.buckets
            .entry(budget.clone())
            .or_insert_with(|| Bucket::new(budget.size(), now))
    }
}
