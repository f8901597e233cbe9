//! The queue for Azure's budgets: who waits for his turn holds no place, no lock and no task, and is woken with a promise.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kube::runtime::reflector::ObjectRef;
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, sleep_until};
use wio_api::WorkloadIdentityBinding;
use wio_azure::{Budget, Gate, Lane, Need, Promise, Shortage};

use crate::runtime::metrics::Metrics;

type Key = ObjectRef<WorkloadIdentityBinding>;

/// How long a promise is kept for a binding that was woken.
const KEPT: Duration = Duration::from_secs(10);

/// The queue.
#[derive(Debug)]
pub(crate) struct Queue {
    gate: Gate,
    wake: mpsc::UnboundedSender<Key>,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    lanes: BTreeMap<Lane, Classes>,
    waiting: Waiters,
    promised: HashMap<Key, (Promise, Instant)>,
}

/// Those who wait for the same budgets, namespaces in turn.
type Classes = BTreeMap<Vec<Budget>, Turns>;

#[derive(Debug, Default)]
struct Turns {
    namespaces: VecDeque<String>,
    keys: HashMap<String, VecDeque<Key>>,
    /// How many keys there are.
    len: usize,
}

/// Those who wait, and how many of them in each lane.
#[derive(Debug, Default)]
struct Waiters {
    by_key: HashMap<Key, Waiting>,
    lengths: BTreeMap<Lane, usize>,
}

#[derive(Clone, Debug)]
struct Waiting {
    lane: Lane,
    need: Need,
    since: Instant,
}

/// The outcome of a round.
#[derive(Debug, Default)]
struct Round {
    wanted: HashMap<Budget, Lane>,
    next: Option<Instant>,
    woken: Vec<(Key, Waiting)>,
}

// === impl Queue ===

impl Queue {
    pub(crate) fn new(gate: Gate, wake: mpsc::UnboundedSender<Key>) -> Self {
        Self {
            gate,
            wake,
            state: Mutex::default(),
            changed: Notify::new(),
        }
    }

    /// Promises what a namespace needs in a lane, unless it is short or others wait for it here.
    pub(crate) fn promise(&self, who: (Lane, &str), need: &Need) -> Result<Promise, Shortage> {
        self.gate.promise(who, need)
    }

    /// Has a binding wait for its turn; one that waits already keeps its place. Returns about how long it takes.
    pub(crate) fn wait(&self, key: &Key, lane: Lane, need: Need) -> Duration {
        let about = self.lock().wait(key, lane, need);
        self.changed.notify_one();
        about
    }

    /// What was promised to a binding that was woken.
    pub(crate) fn claim(&self, key: &Key) -> Option<Promise> {
        self.lock().promised.remove(key).map(|(promise, _)| promise)
    }

    /// Takes a binding out that does not wait any more.
    pub(crate) fn leave(&self, key: &Key) {
        self.lock().waiting.remove(key);
    }

    /// Wakes those whose turn it is; never returns.
    pub(crate) async fn keep(&self, metrics: &Arc<Metrics>) {
        const MOST: Duration = Duration::from_secs(1);
        loop {
            let round = self.lock().round(&self.gate, Instant::now());
            self.gate.want(&round.wanted);
            for (key, waiting) in round.woken {
                metrics.waited(waiting.lane, waiting.since.elapsed());
                // Whoever listens ends with the operator.
                let _ = self.wake.send(key);
            }
            metrics.queued(self.lock().waiting.lengths());
            // Others' answers change when it is whose turn.
            let next = round.next.map(|next| next.min(Instant::now() + MOST));
            tokio::select! {
                () = self.changed.notified() => {}
                () = at(next) => {}
            }
        }
    }

    /// A panic elsewhere cannot leave the queue half written in a way that matters: each binding is also looked at in time.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

// === impl State ===

impl State {
    fn wait(&mut self, key: &Key, lane: Lane, need: Need) -> Duration {
        let class: Vec<Budget> = need.budgets().cloned().collect();
        let pace = need.pace();
        let before = self.waiting.get(key);
        let keeps_place = before.is_some_and(|waiting| waiting.lane == lane && waiting.need.budgets().eq(class.iter()));
        let since = before.map_or_else(Instant::now, |waiting| waiting.since);
        self.waiting.insert(key, Waiting { lane, need, since });
        let turns = self.lanes.entry(lane).or_default().entry(class).or_default();
        if !keeps_place {
            turns.push(key);
        }
        let ahead = u32::try_from(turns.len).unwrap_or(u32::MAX);
        pace.saturating_mul(ahead)
    }

    fn round(&mut self, gate: &Gate, now: Instant) -> Round {
        self.promised.retain(|_, (_, since)| now < *since + KEPT);
        let mut round = Round::default();
        let Self {
            lanes,
            waiting,
            promised,
        } = self;
        for (lane, classes) in lanes {
            classes.retain(|_, turns| !turns.namespaces.is_empty());
            let mut going: Vec<(&Vec<Budget>, &mut Turns)> = classes.iter_mut().collect();
            // One of each class after the other, so that none takes all that they share.
            while !going.is_empty() {
                going.retain_mut(|(class, turns)| {
                    if class.iter().any(|budget| round.wanted.contains_key(budget)) {
                        return false;
                    }
                    match turns.next(*lane, waiting, gate) {
                        Next::Nobody => false,
                        Next::Turn(key, promise) => {
                            if let Some(entry) = waiting.remove(&key) {
                                round.woken.push((key.clone(), entry));
                            }
                            promised.insert(key, (promise, now));
                            true
                        }
                        Next::Short(shortage) => {
                            let at = now + shortage.ready_in.max(Duration::from_millis(5));
                            round.next = Some(round.next.map_or(at, |next| next.min(at)));
                            round.wanted.insert(shortage.budget, *lane);
                            false
                        }
                    }
                });
            }
        }
        round
    }
}

// === impl Waiters ===

impl Waiters {
    fn get(&self, key: &Key) -> Option<&Waiting> {
        self.by_key.get(key)
    }

    fn insert(&mut self, key: &Key, waiting: Waiting) {
        self.remove(key);
        *self.lengths.entry(waiting.lane).or_default() += 1;
        self.by_key.insert(key.clone(), waiting);
    }

    fn remove(&mut self, key: &Key) -> Option<Waiting> {
        let waiting = self.by_key.remove(key)?;
        if let Some(length) = self.lengths.get_mut(&waiting.lane) {
            *length = length.saturating_sub(1);
        }
        Some(waiting)
    }

    /// How many wait in each lane.
    fn lengths(&self) -> [(Lane, usize); 4] {
        Lane::ALL.map(|lane| (lane, self.lengths.get(&lane).copied().unwrap_or_default()))
    }
}

enum Next {
    Nobody,
    Turn(Key, Promise),
    Short(Shortage),
}

// === impl Turns ===

impl Turns {
    fn push(&mut self, key: &Key) {
        let namespace = key.namespace.clone().unwrap_or_default();
        let keys = self.keys.entry(namespace.clone()).or_default();
        if keys.is_empty() {
            self.namespaces.push_back(namespace);
        }
        keys.push_back(key.clone());
        self.len += 1;
    }

    /// Who is next, if the budgets admit it. Of new identities some are left to namespaces that created few lately: those are
    /// looked for behind the first.
    fn next(&mut self, lane: Lane, waiting: &Waiters, gate: &Gate) -> Next {
        const LOOKED_AT: usize = 64;
        let mut short: Option<Shortage> = None;
        for _ in 0..self.namespaces.len().min(LOOKED_AT) {
            let Some(namespace) = self.namespaces.front().cloned() else {
                break;
            };
            let keys = self.keys.entry(namespace.clone()).or_default();
            // Those that left, or wait elsewhere by now, are skipped.
            let is_here = |key: &Key| waiting.get(key).filter(|waiting| waiting.lane == lane);
            while keys.front().is_some_and(|key| is_here(key).is_none()) {
                keys.pop_front();
                self.len = self.len.saturating_sub(1);
            }
            let Some((key, entry)) = keys.front().and_then(|key| Some((key.clone(), is_here(key)?))) else {
                self.keys.remove(&namespace);
                self.namespaces.pop_front();
                continue;
            };
            self.namespaces.rotate_left(1);
            match gate.promise_in_turn((lane, &namespace), &entry.need, keys.len()) {
                Ok(promise) => {
                    keys.pop_front();
                    self.len = self.len.saturating_sub(1);
                    return Next::Turn(key, promise);
                }
                Err(shortage) => {
                    let ends_first = short.as_ref().is_none_or(|short| shortage.ready_in < short.ready_in);
                    short = if ends_first { Some(shortage) } else { short };
                }
            }
        }
        short.map_or(Next::Nobody, Next::Short)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: usize) -> Key {
        ObjectRef::new(&format!("b{n}")).within(&format!("team-{n}"))
    }

    #[test]
    fn those_who_wait_are_counted_by_lane_as_they_come_and_go() {
        let mut state = State::default();
        for n in 0..3 {
            state.wait(&key(n), Lane::Asked, Need::default());
        }
        state.wait(&key(0), Lane::Revocation, Need::default());
        assert_eq!(state.waiting.lengths()[..2], [(Lane::Revocation, 1), (Lane::Asked, 2)]);
        state.waiting.remove(&key(1));
        state.waiting.remove(&key(1));
        assert_eq!(state.waiting.lengths()[..2], [(Lane::Revocation, 1), (Lane::Asked, 1)]);
    }
}
