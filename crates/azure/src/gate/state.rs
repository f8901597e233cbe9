//! The gate as a state machine: it is asked before every request and told of every answer, and knows nothing of tasks.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use super::bucket::{Bucket, Sent};
use super::budget::{Budget, Kind, Need, Shortage};
use super::lane::{LEFT_BY_LISTS, Lane};
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
    /// The last creation that was promised to a long roll-out.
    spaced: HashMap<Budget, Instant>,
}

/// Where somebody stands who asks for a promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Not in the queue: behind all who are.
    Outside,
    /// In turn, of a namespace of which so many wait.
    InTurn { waiting: usize },
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

/// A roll-out of which more wait draws evenly on the creations, and not on all of a window at once. It takes as long, give or take a window, and
/// others find room at any time, where they would wait for the next window. Of a shorter one that window would be too much.
const LONG: usize = 300;

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

    /// What belongs to no binding: lists and the activity log, which look for many at once, and the sweep for orphans.
    pub(super) const fn of_nobody() -> Self {
        Self {
            lane: Lane::Look,
            namespace: None,
        }
    }

    /// How many requests it leaves in a budget for those before it. A list goes before the looks of single bindings, which it spares.
    const fn leaves(&self) -> f64 {
        match self.namespace {
            Some(_) => self.lane.leaves(),
            None => LEFT_BY_LISTS,
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
        standing: Standing,
        now: Instant,
    ) -> Result<(), Shortage> {
        let shortages = need
            .0
            .iter()
            .filter_map(|(budget, count)| self.shortage(asker, (budget, *count), standing, now));
        if let Some(worst) = shortages.max_by_key(|shortage| shortage.ready_in) {
            return Err(worst);
        }
        for (budget, count) in &need.0 {
            self.bucket(budget, now).promise(*count);
            self.note_creator(asker, budget, standing, now);
        }
        Ok(())
    }

    /// What keeps somebody from drawing on a budget.
    fn shortage(
        &mut self,
        asker: &Asker,
        (budget, count): (&Budget, u32),
        standing: Standing,
        now: Instant,
    ) -> Option<Shortage> {
        let in_turn = standing != Standing::Outside;
        let behind = !in_turn && self.bucket(budget, now).wanted.is_some_and(|lane| lane <= asker.lane);
        let spaced = self.spaced_until(budget, standing);
        // What draws evenly leaves room by that.
        let leaves = if is_spaced(budget, standing) {
            0.0
        } else {
            self.leaves(asker, budget, now)
        };
        let needs = f64::from(count) + budget.left_by(asker.leaves()) + leaves;
        let bucket = self.bucket(budget, now);
        let waits = behind || spaced.is_some_and(|until| now < until);
        if !waits && bucket.free(now) >= needs {
            return None;
        }
        let admitted = bucket.admits_at(needs, now);
        let ready = spaced.map_or(admitted, |until| admitted.max(until));
        Some(Shortage {
            budget: budget.clone(),
            ready_in: ready.saturating_duration_since(now),
        })
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
        standing: Standing,
        now: Instant,
    ) -> Result<Drawn, Shortage> {
        let mut rest = Need::default();
        for budget in budgets.iter().filter(|budget| !promised.contains(budget)) {
            rest.add(budget.clone());
        }
        self.promise(asker, &rest, standing, now)?;
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

    /// How many creations a namespace leaves to others.
    fn leaves(&self, asker: &Asker, budget: &Budget, now: Instant) -> f64 {
        let created = match (&budget.kind, &asker.namespace) {
            (Kind::Creations(_), Some(namespace)) => self.creators.get(&(budget.clone(), namespace.clone())),
            _ => None,
        };
        let lately = created.into_iter().flatten().filter(|at| now < **at + CREATED_LATELY);
        lately.map(|_| 1.0).sum()
    }

    /// Before when a long roll-out creates nothing more.
    fn spaced_until(&self, budget: &Budget, standing: Standing) -> Option<Instant> {
        let last = self.spaced.get(budget).filter(|_| is_spaced(budget, standing))?;
        Some(*last + budget.size().pace(1))
    }

    fn note_creator(&mut self, asker: &Asker, budget: &Budget, standing: Standing, now: Instant) {
        if is_spaced(budget, standing) {
            self.spaced.insert(budget.clone(), now);
        }
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

fn is_spaced(budget: &Budget, standing: Standing) -> bool {
    let is_long = matches!(standing, Standing::InTurn { waiting } if waiting > LONG);
    is_long && matches!(budget.kind, Kind::Creations(_))
}
