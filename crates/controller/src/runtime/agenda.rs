//! Whose turn it is, and when. Each has one turn at a time. Who is asked for alone has it at the earliest moment that was asked for; those that were
//! asked for among many, as by a change that all of them rest on, have theirs when nobody else's is due, and every so often in any case.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use std::ops::Bound::{Excluded, Unbounded};
use std::time::Duration;

use tokio::time::Instant;

/// How many turns others may have in a row while some wait that were asked for among many: every fourth one is theirs. What all of them rest on may
/// be a policy that takes trust away, so they are not to wait for the end of a rollout; and with three of four turns who is asked for alone waits
/// a third longer than without them, and no more.
const OTHERS_IN_A_ROW: u8 = 3;

/// Somebody who is to have a turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Asked<K> {
    /// By something that happened to him.
    Alone(K),
    /// By something that all or many rest on.
    AmongMany(K),
}

/// Who waits for a turn, and whose turn is under way.
#[derive(Debug)]
pub(crate) struct Agenda<K> {
    /// What times count from.
    start: Instant,
    /// When the turn is of each who was asked for alone.
    alone: HashMap<K, Since>,
    /// The same, by time.
    by_time: BTreeSet<(Since, K)>,
    /// Who was asked for among many. They have their turns by name, round and round: nobody waits for longer than one round, and a place in it takes
    /// no room.
    among_many: BTreeSet<K>,
    /// Whose turn was the last one of theirs.
    last: Option<K>,
    /// How many turns others have had since while some of them waited.
    others: u8,
    /// Whose turn is under way.
    under_way: HashMap<K, Again>,
}

/// Nanoseconds since the start: half as long as an `Instant`, of which there are two for each who waits.
type Since = u64;

/// What was asked for while a turn is under way.
#[derive(Debug, Default)]
struct Again {
    alone: Option<Instant>,
    among_many: bool,
}

// === impl Agenda ===

impl<K> Default for Agenda<K> {
    fn default() -> Self {
        Self {
            start: Instant::now(),
            alone: HashMap::new(),
            by_time: BTreeSet::new(),
            among_many: BTreeSet::new(),
            last: None,
            others: 0,
            under_way: HashMap::new(),
        }
    }
}

impl<K: Clone + Ord + Hash> Agenda<K> {
    /// Somebody is to have a turn, now or as soon as it is his.
    pub(crate) fn ask(&mut self, asked: Asked<K>, now: Instant) {
        match asked {
            Asked::Alone(who) => self.ask_alone(who, now),
            Asked::AmongMany(who) => self.ask_among_many(who),
        }
    }

    /// Somebody is to have a turn then. Who waits for an earlier one has that, and who has one at present has another one after it.
    fn ask_alone(&mut self, who: K, at: Instant) {
        if let Some(again) = self.under_way.get_mut(&who) {
            again.alone = earliest(again.alone, Some(at));
            return;
        }
        let at = self.since(at);
        match self.alone.get(&who) {
            Some(before) if *before <= at => return,
            Some(before) => {
                self.by_time.remove(&(*before, who.clone()));
            }
            None => {}
        }
        self.by_time.insert((at, who.clone()));
        self.alone.insert(who, at);
    }

    /// Somebody is to have a turn among many. Who is also asked for alone has it when the first of both comes.
    fn ask_among_many(&mut self, who: K) {
        match self.under_way.get_mut(&who) {
            Some(again) => again.among_many = true,
            None => {
                self.among_many.insert(who);
            }
        }
    }

    /// When the next turn is.
    pub(crate) fn due(&self, now: Instant) -> Option<Instant> {
        if self.among_many.is_empty() {
            let (at, _) = self.by_time.first()?;
            return Some(self.start + Duration::from_nanos(*at));
        }
        Some(now)
    }

    /// Begins the next turn, if its time has come. It is all that was asked for until now.
    pub(crate) fn begin(&mut self, now: Instant) -> Option<K> {
        let who = self.next(now)?;
        if let Some(at) = self.alone.remove(&who) {
            self.by_time.remove(&(at, who.clone()));
        }
        self.among_many.remove(&who);
        self.under_way.insert(who.clone(), Again::default());
        Some(who)
    }

    /// Whose turn it is.
    fn next(&mut self, now: Instant) -> Option<K> {
        let now = self.since(now);
        let alone = self.by_time.first().filter(|(at, _)| *at <= now);
        let alone = alone.map(|(_, who)| who.clone());
        match (alone, self.next_of_many()) {
            (Some(who), Some(_)) if self.others < OTHERS_IN_A_ROW => {
                self.others += 1;
                Some(who)
            }
            (_, Some(who)) => {
                self.others = 0;
                self.last = Some(who.clone());
                Some(who)
            }
            (alone, None) => alone,
        }
    }

    fn next_of_many(&self) -> Option<K> {
        let after = self.last.as_ref().map_or(Unbounded, Excluded);
        let mut left = self.among_many.range((after, Unbounded));
        left.next().or_else(|| self.among_many.first()).cloned()
    }

    /// A turn has ended; the next one is then, or when it was asked for meanwhile.
    pub(crate) fn ended(&mut self, who: K, next: Option<Instant>) {
        let again = self.under_way.remove(&who).unwrap_or_default();
        if again.among_many {
            self.ask_among_many(who.clone());
        }
        if let Some(at) = earliest(again.alone, next) {
            self.ask_alone(who, at);
        }
    }

    fn since(&self, at: Instant) -> Since {
        let since = at.saturating_duration_since(self.start);
        since.as_nanos().try_into().unwrap_or(Since::MAX)
    }
}

fn earliest(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    one.into_iter().chain(other).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An agenda, and a moment so many seconds after one that is always the same.
    fn agenda() -> (Agenda<&'static str>, impl Fn(u64) -> Instant) {
        let agenda = Agenda::default();
        let start = agenda.start;
        (agenda, move |seconds| start + Duration::from_secs(seconds))
    }

    /// Those whose turns come now, each of which ends before the next one begins.
    fn turns<K: Clone + Ord + Hash>(agenda: &mut Agenda<K>, now: Instant) -> Vec<K> {
        let turn = || {
            let who = agenda.begin(now)?;
            agenda.ended(who.clone(), None);
            Some(who)
        };
        std::iter::from_fn(turn).collect()
    }

    fn ask_all<K: Clone + Ord + Hash>(agenda: &mut Agenda<K>, all: impl IntoIterator<Item = K>) {
        all.into_iter().for_each(|who| agenda.ask_among_many(who));
    }

    #[test]
    fn turns_come_in_order_of_time_and_none_too_early() {
        let (mut agenda, at) = agenda();
        for (who, seconds) in [("b", 2), ("a", 3), ("c", 1)] {
            agenda.ask_alone(who, at(seconds));
        }
        assert_eq!((agenda.due(at(0)), agenda.begin(at(0))), (Some(at(1)), None));
        assert_eq!(
            [agenda.begin(at(2)), agenda.begin(at(2)), agenda.begin(at(2))],
            [Some("c"), Some("b"), None]
        );
        assert_eq!(agenda.due(at(2)), Some(at(3)));
    }

    #[test]
    fn who_asks_twice_has_the_earlier_turn_and_no_second_one() {
        let (mut agenda, at) = agenda();
        for seconds in [5, 2, 7] {
            agenda.ask_alone("a", at(seconds));
        }
        assert_eq!((agenda.due(at(0)), agenda.begin(at(2))), (Some(at(2)), Some("a")));
        assert_eq!(agenda.begin(at(9)), None);
    }

    #[test]
    fn who_asks_during_his_turn_has_another_one_when_it_ended() {
        let (mut agenda, at) = agenda();
        agenda.ask_alone("a", at(0));
        assert_eq!(agenda.begin(at(0)), Some("a"));
        agenda.ask_alone("a", at(1));
        assert_eq!(
            (agenda.due(at(1)), agenda.begin(at(1))),
            (None, None),
            "never two at once"
        );
        agenda.ended("a", Some(at(60)));
        assert_eq!(agenda.begin(at(1)), Some("a"));
        agenda.ended("a", Some(at(60)));
        assert_eq!(agenda.due(at(1)), Some(at(60)), "what was asked for was given");
    }

    /// What is not waited for takes no memory.
    #[test]
    fn who_asks_for_no_other_turn_is_forgotten() {
        let (mut agenda, at) = agenda();
        agenda.ask_alone("a", at(0));
        agenda.ask_among_many("a");
        agenda.ask_among_many("b");
        assert_eq!(turns(&mut agenda, at(0)), ["a", "b"]);
        assert!(agenda.due(at(0)).is_none() && agenda.by_time.is_empty() && agenda.among_many.is_empty());
        assert!(agenda.alone.is_empty() && agenda.under_way.is_empty());
    }

    /// A change of a policy asked for all of 50,000, and a deletion right after it had its turn when they had had theirs.
    #[test]
    fn who_is_asked_for_alone_does_not_wait_behind_all_others() {
        let (mut agenda, at) = agenda();
        ask_all(&mut agenda, ["a", "b", "c", "d"]);
        assert_eq!(agenda.begin(at(0)), Some("a"));
        agenda.ask_alone("deleted", at(1));
        assert_eq!(turns(&mut agenda, at(1)), ["deleted", "b", "c", "d"]);
    }

    #[test]
    fn who_is_also_among_many_moves_forward_and_has_one_turn() {
        let (mut agenda, at) = agenda();
        ask_all(&mut agenda, ["a", "b", "c"]);
        agenda.ask_alone("c", at(1));
        ask_all(&mut agenda, ["a", "b", "c"]);
        assert_eq!(turns(&mut agenda, at(1)), ["c", "a", "b"]);
    }

    /// A binding on its way to Ready looks again after two seconds, whatever happens to all meanwhile.
    #[test]
    fn whose_pause_is_over_does_not_wait_behind_those_who_are_asked_for_among_many() {
        let (mut agenda, at) = agenda();
        agenda.ask_alone("z", at(2));
        ask_all(&mut agenda, ["a", "b", "z"]);
        assert_eq!(agenda.begin(at(1)), Some("a"));
        assert_eq!(turns(&mut agenda, at(2)), ["z", "b"]);
    }

    #[test]
    fn who_has_had_a_turn_among_many_does_not_have_that_of_a_pause_from_before() {
        let (mut agenda, at) = agenda();
        agenda.ask_alone("a", at(60));
        agenda.ask_among_many("a");
        assert_eq!(agenda.due(at(1)), Some(at(1)));
        assert_eq!(turns(&mut agenda, at(1)), ["a"]);
        assert_eq!(agenda.due(at(1)), None, "he tells himself when the next one is");
    }

    #[test]
    fn who_is_asked_for_among_many_during_his_turn_has_another_one_when_it_ended() {
        let (mut agenda, at) = agenda();
        agenda.ask_alone("a", at(0));
        agenda.begin(at(0));
        agenda.ask_among_many("a");
        assert_eq!((agenda.due(at(1)), agenda.begin(at(1))), (None, None));
        agenda.ended("a", Some(at(60)));
        assert_eq!(agenda.begin(at(1)), Some("a"));
        agenda.ended("a", Some(at(60)));
        assert_eq!(agenda.due(at(1)), Some(at(60)));
    }

    #[test]
    fn every_fourth_turn_is_one_of_many_however_many_others_come() {
        let (mut agenda, at) = agenda();
        ask_all(&mut agenda, ["many 1", "many 2", "many 3"]);
        let mut seen = Vec::new();
        for second in 0..12 {
            agenda.ask_alone("a", at(second));
            agenda.ask_alone("b", at(second));
            let who = agenda.begin(at(second)).unwrap();
            agenda.ended(who, None);
            seen.push(who);
        }
        let of_many: Vec<_> = seen.chunks(4).map(|four| four[3]).collect();
        assert_eq!(of_many, ["many 1", "many 2", "many 3"], "{seen:?}");
        assert_eq!(seen.iter().filter(|who| who.starts_with("many")).count(), 3, "{seen:?}");
    }

    /// A policy that is edited again and again asks for all each time.
    #[test]
    fn nobody_waits_among_many_for_longer_than_one_round() {
        let (mut agenda, at) = agenda();
        let mut turn = || {
            ask_all(&mut agenda, ["a", "b", "c"]);
            let who = agenda.begin(at(0)).unwrap();
            agenda.ended(who, None);
            who
        };
        let turns: Vec<_> = (0..6).map(|_| turn()).collect();
        assert_eq!(turns, ["a", "b", "c", "a", "b", "c"]);
    }

    /// What may happen to an agenda of three.
    #[derive(Clone, Copy, Debug)]
    enum Step {
        Alone(usize),
        Later(usize),
        All,
        Begin,
        /// The turn that is under way for the longest ends.
        End,
    }

    const STEPS: [Step; 8] = [
        Step::Alone(0),
        Step::Alone(1),
        Step::Alone(2),
        Step::Later(0),
        Step::Later(2),
        Step::All,
        Step::Begin,
        Step::End,
    ];

    /// Whether each has asked since his last turn began, and whose turns are under way.
    #[derive(Default)]
    struct Model {
        asked: [bool; 3],
        under_way: Vec<usize>,
    }

    impl Model {
        fn begins(&mut self, who: Option<usize>) {
            let Some(who) = who else { return };
            assert!(self.asked[who], "{who} did not ask");
            assert!(!self.under_way.contains(&who), "{who} has two turns at once");
            self.asked[who] = false;
            self.under_way.push(who);
        }
    }

    #[test]
    fn nobody_who_asked_is_lost_and_nobody_has_a_turn_that_he_did_not_ask_for() {
        const LENGTH: u32 = 5;
        for number in 0..STEPS.len().pow(LENGTH) {
            let steps = (0..LENGTH).map(|place| STEPS[number / STEPS.len().pow(place) % STEPS.len()]);
            play(steps);
        }
    }

    fn play(steps: impl Iterator<Item = Step>) {
        let (mut agenda, mut model) = (Agenda::default(), Model::default());
        let (now, later) = (agenda.start, agenda.start + Duration::from_secs(1));
        for step in steps {
            match step {
                Step::Alone(who) | Step::Later(who) => {
                    let at = if matches!(step, Step::Later(_)) { later } else { now };
                    agenda.ask_alone(who, at);
                    model.asked[who] = true;
                }
                Step::All => {
                    ask_all(&mut agenda, 0..3);
                    model.asked = [true; 3];
                }
                Step::Begin => model.begins(agenda.begin(now)),
                Step::End if model.under_way.is_empty() => {}
                Step::End => agenda.ended(model.under_way.remove(0), None),
            }
        }
        for who in std::mem::take(&mut model.under_way) {
            agenda.ended(who, None);
        }
        while let Some(who) = agenda.begin(later) {
            model.begins(Some(who));
        }
        assert_eq!(model.asked, [false; 3], "somebody who asked had no turn");
    }
}
