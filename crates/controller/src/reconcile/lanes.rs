//! The lanes of passes: what takes trust away does not wait behind what gives it, and no namespace has all places of a lane. A pass whose
//! request hangs keeps its place for most of a minute; with one lane for all, two hundred bindings of one namespace kept another's
//! revocation waiting for a day.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use kube::runtime::reflector::ObjectRef;
use tokio::sync::mpsc;
use wio_api::WorkloadIdentityBinding;
use wio_core::desired::Desired;
use wio_core::verdict::Verdict;

use crate::runtime::metrics::Passes;

type Key = ObjectRef<WorkloadIdentityBinding>;

/// How many passes may be decided at once beside those that have a place: what waits for one holds nothing.
const DECIDING: u16 = 4;

/// The lane that a pass needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lane {
    /// It may give something.
    Giving,
    /// It takes away, and nothing else.
    Taking,
}

/// The places of both lanes, and who waits for one.
#[derive(Debug)]
pub(crate) struct Lanes {
    state: Mutex<State>,
    wake: mpsc::UnboundedSender<Key>,
    passes: Passes,
}

#[derive(Debug)]
struct State {
    giving: Places,
    taking: Places,
}

#[derive(Debug)]
struct Places {
    all: usize,
    free: usize,
    /// The most that one namespace has of them.
    of_one: usize,
    held: HashMap<String, usize>,
    /// Who waits, by namespace.
    waiting: HashMap<String, Line>,
    /// The namespaces of which somebody waits, in turn.
    turns: VecDeque<String>,
    /// How many wait.
    line: usize,
}

/// Those of one namespace that wait.
#[derive(Debug, Default)]
struct Line {
    keys: VecDeque<Key>,
    known: HashSet<Key>,
}

/// A place in a lane, for one pass. The next one is woken when it is dropped.
#[must_use]
#[derive(Debug)]
pub(crate) struct Place<'a> {
    lanes: &'a Lanes,
    lane: Lane,
    namespace: String,
}

// === impl Lane ===

impl Lane {
    /// The lane for what a verdict means; none when Azure is not touched.
    pub(crate) fn of(verdict: &Verdict) -> Option<Self> {
        match verdict {
            Verdict::Pursue(desired) => Some(match **desired {
                Desired::Bound(_) => Self::Giving,
                Desired::Denied(_) | Desired::Gone(_) => Self::Taking,
            }),
            Verdict::Orphan(_) => Some(Self::Taking),
            Verdict::Release(_) | Verdict::Hold(_) => None,
        }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Giving => "giving",
            Self::Taking => "taking",
        }
    }
}

// === impl Lanes ===

impl Lanes {
    /// Places for so many passes of one namespace at once, and some more for others.
    pub(crate) fn new(concurrency: u16, wake: mpsc::UnboundedSender<Key>, passes: Passes) -> Self {
        let (giving, taking) = (giving(concurrency), taking(concurrency));
        let lanes = Self {
            state: Mutex::new(State {
                giving: Places::new(giving.into(), concurrency.into()),
                taking: Places::new(taking.into(), usize::from(taking / 2)),
            }),
            wake,
            passes,
        };
        lanes.tell(&lanes.lock());
        lanes
    }

    /// How many passes are to be begun at once, so that there is always room to decide about one more.
    pub(crate) const fn passes(concurrency: u16) -> u16 {
        giving(concurrency)
            .saturating_add(taking(concurrency))
            .saturating_add(DECIDING)
    }

    /// A place for a pass over a binding. Without one it ends, and is begun anew when there is one.
    pub(crate) fn enter(&self, lane: Lane, key: &Key) -> Option<Place<'_>> {
        let namespace = key.namespace.clone().unwrap_or_default();
        let mut state = self.lock();
        let State { giving, taking } = &mut *state;
        let entered = match lane {
            Lane::Taking if taking.enter(&namespace) => Some(Lane::Taking),
            Lane::Giving | Lane::Taking => giving.enter(&namespace).then_some(Lane::Giving),
        };
        if entered.is_none() {
            state.of(lane).wait(key);
        }
        self.tell(&state);
        entered.map(|lane| Place {
            lanes: self,
            lane,
            namespace,
        })
    }

    /// Wakes whoever waits for a place that is free. Also called when somebody who was woken needed none.
    pub(crate) fn hand_on(&self) {
        let mut state = self.lock();
        let State { giving, taking } = &mut *state;
        let woken = [taking.next(), giving.next()].concat();
        self.tell(&state);
        drop(state);
        for key in woken {
            // Whoever listens ends with the operator.
            let _ = self.wake.send(key);
        }
    }

    fn leave(&self, lane: Lane, namespace: &str) {
        self.lock().of(lane).leave(namespace);
        self.hand_on();
    }

    /// Whoever reads the metrics.
    fn tell(&self, state: &State) {
        for (lane, places) in [(Lane::Giving, &state.giving), (Lane::Taking, &state.taking)] {
            self.passes.are(lane.as_str(), places.all - places.free, places.line);
        }
    }

    /// A panic elsewhere cannot leave counts half written in a way that matters.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const fn giving(concurrency: u16) -> u16 {
    concurrency.saturating_add(reserved(concurrency))
}

const fn taking(concurrency: u16) -> u16 {
    2 * reserved(concurrency)
}

const fn reserved(concurrency: u16) -> u16 {
    if concurrency < 8 { 2 } else { concurrency / 4 }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.lanes.leave(self.lane, &self.namespace);
    }
}

impl State {
    const fn of(&mut self, lane: Lane) -> &mut Places {
        match lane {
            Lane::Giving => &mut self.giving,
            Lane::Taking => &mut self.taking,
        }
    }
}

// === impl Places ===

impl Places {
    fn new(free: usize, of_one: usize) -> Self {
        Self {
            all: free,
            free,
            of_one,
            held: HashMap::new(),
            waiting: HashMap::new(),
            turns: VecDeque::new(),
            line: 0,
        }
    }

    /// Whether a namespace may have one more, beside so many that are about to enter.
    fn has_room_for(&self, namespace: &str, beside: usize) -> bool {
        let held = self.held.get(namespace).copied().unwrap_or_default();
        self.free > 0 && held + beside < self.of_one
    }

    fn enter(&mut self, namespace: &str) -> bool {
        let enters = self.has_room_for(namespace, 0);
        if enters {
            self.free -= 1;
            *self.held.entry(namespace.to_owned()).or_default() += 1;
        }
        enters
    }

    fn leave(&mut self, namespace: &str) {
        self.free += 1;
        if let Some(held) = self.held.get_mut(namespace) {
            *held -= 1;
            if *held == 0 {
                self.held.remove(namespace);
            }
        }
    }

    fn wait(&mut self, key: &Key) {
        let namespace = key.namespace.clone().unwrap_or_default();
        let line = self.waiting.entry(namespace.clone()).or_default();
        if line.keys.is_empty() {
            self.turns.push_back(namespace);
        }
        if line.known.insert(key.clone()) {
            line.keys.push_back(key.clone());
            self.line += 1;
        }
    }

    /// Those that may try now, as many as there are free places, namespaces in turn. However many wait, no more namespaces are looked at
    /// than there are places: a namespace without room has some of them.
    fn next(&mut self) -> Vec<Key> {
        let mut woken: Vec<Key> = Vec::new();
        let mut passed_over = 0;
        while woken.len() < self.free && passed_over < self.turns.len() {
            let Some(namespace) = self.turns.pop_front() else { break };
            let beside = woken
                .iter()
                .filter(|other| other.namespace.as_ref() == Some(&namespace));
            if !self.has_room_for(&namespace, beside.count()) {
                passed_over += 1;
                self.turns.push_back(namespace);
                continue;
            }
            passed_over = 0;
            let Some(line) = self.waiting.get_mut(&namespace) else {
                continue;
            };
            let next = line.next();
            self.line -= usize::from(next.is_some());
            woken.extend(next);
            if line.keys.is_empty() {
                self.waiting.remove(&namespace);
            } else {
                self.turns.push_back(namespace);
            }
        }
        woken
    }
}

// === impl Line ===

impl Line {
    fn next(&mut self) -> Option<Key> {
        let key = self.keys.pop_front()?;
        self.known.remove(&key);
        Some(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONCURRENCY: u16 = 4;

    fn key(namespace: &str, n: usize) -> Key {
        ObjectRef::new(&format!("b{n}")).within(namespace)
    }

    fn lanes() -> (Lanes, mpsc::UnboundedReceiver<Key>) {
        let (wake, woken) = mpsc::unbounded_channel();
        (Lanes::new(CONCURRENCY, wake, Passes::default()), woken)
    }

    fn fill<'a>(lanes: &'a Lanes, lane: Lane, namespace: &str) -> Vec<Place<'a>> {
        (0..100).filter_map(|n| lanes.enter(lane, &key(namespace, n))).collect()
    }

    #[test]
    fn no_namespace_has_all_places() {
        let (lanes, _woken) = lanes();
        let stuck = fill(&lanes, Lane::Giving, "stuck");
        assert_eq!(stuck.len(), usize::from(CONCURRENCY));
        assert!(lanes.enter(Lane::Giving, &key("shop", 1)).is_some());
        let going = fill(&lanes, Lane::Taking, "stuck");
        assert!(!going.is_empty());
        assert!(lanes.enter(Lane::Taking, &key("shop", 1)).is_some());
    }

    #[test]
    fn what_takes_away_has_a_place_when_all_that_give_hang() {
        let (lanes, _woken) = lanes();
        let _one = fill(&lanes, Lane::Giving, "one");
        let _two = fill(&lanes, Lane::Giving, "two");
        assert!(lanes.enter(Lane::Giving, &key("shop", 1)).is_none());
        assert!(lanes.enter(Lane::Taking, &key("shop", 1)).is_some());
    }

    #[test]
    fn whoever_waits_is_woken_once_for_each_place_that_gets_free() {
        let (lanes, mut woken) = lanes();
        let mut places = fill(&lanes, Lane::Giving, "shop");
        assert!(woken.try_recv().is_err());
        places.pop();
        assert!(woken.try_recv().is_ok());
        lanes.hand_on();
        let more = std::iter::from_fn(|| woken.try_recv().ok()).count();
        assert!(more <= 1, "a place is free as long as nobody entered");
        drop(places);
        assert!(woken.try_recv().is_ok());
    }

    #[test]
    fn whoever_waits_is_not_kept_by_a_namespace_without_room() {
        let (lanes, mut woken) = lanes();
        let _stuck = fill(&lanes, Lane::Giving, "stuck");
        let mut others = fill(&lanes, Lane::Giving, "shop");
        others.pop();
        assert_eq!(woken.try_recv().unwrap().namespace.as_deref(), Some("shop"));
    }

    #[test]
    fn how_many_have_a_place_and_how_many_wait_is_told() {
        let (lanes, mut woken) = lanes();
        let told = || (lanes.passes.told("giving"), lanes.passes.told("taking"));
        let mut places = fill(&lanes, Lane::Giving, "shop");
        let of_one = i64::from(CONCURRENCY);
        assert_eq!(told(), ((of_one, 100 - of_one), (0, 0)));
        let revocation = lanes.enter(Lane::Taking, &key("shop", 1));
        assert_eq!(told(), ((of_one, 100 - of_one), (1, 0)));
        drop(revocation);
        places.pop();
        assert_eq!(
            told(),
            ((of_one - 1, 100 - of_one - 1), (0, 0)),
            "one is woken, and has not come yet"
        );
        let next = woken.try_recv().unwrap();
        let again = lanes.enter(Lane::Giving, &next);
        assert_eq!(told().0, (of_one, 100 - of_one - 1));
        drop((places, again));
        assert_eq!(told().0.0, 0);
    }

    /// Each end of a pass looked through a thousand of those that waited in vain.
    #[test]
    fn of_many_that_wait_only_the_next_are_looked_at() {
        let mut places = Places::new(5, 4);
        let held = [(); 4].map(|()| places.enter("a"));
        assert_eq!(held, [true; 4]);
        (0..9000).for_each(|n| places.wait(&key("a", n)));
        (0..3).for_each(|n| places.wait(&key("b", n)));
        assert_eq!(places.next(), [key("b", 0)], "behind a namespace that has all it may");
        assert!(places.enter("b"));
        assert_eq!(places.next(), []);
        places.leave("a");
        assert_eq!(places.next(), [key("a", 0)]);
        assert_eq!(places.waiting["a"].keys.len(), 8999, "nobody was moved");
    }
}
