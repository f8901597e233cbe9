//! Whose turn it is, and when: each has one turn at a time, and waits for the earliest moment that was asked for.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;

use tokio::time::Instant;

/// Who waits for a turn, and whose turn is under way.
#[derive(Debug)]
pub(crate) struct Agenda<K> {
    waiting: HashMap<K, Instant>,
    /// The same, by time.
    order: BTreeSet<(Instant, K)>,
    /// Whose turn is under way, and for when another one was asked for meanwhile.
    under_way: HashMap<K, Option<Instant>>,
}

// === impl Agenda ===

impl<K> Default for Agenda<K> {
    fn default() -> Self {
        Self {
            waiting: HashMap::new(),
            order: BTreeSet::new(),
            under_way: HashMap::new(),
        }
    }
}

impl<K: Clone + Ord + Hash> Agenda<K> {
    /// Somebody is to have a turn then. Who waits for an earlier one has that, and who has one at present has another one after it.
    pub(crate) fn ask(&mut self, who: K, at: Instant) {
        if let Some(again) = self.under_way.get_mut(&who) {
            *again = earliest(*again, Some(at));
            return;
        }
        match self.waiting.get(&who) {
            Some(before) if *before <= at => return,
            Some(before) => {
                self.order.remove(&(*before, who.clone()));
            }
            None => {}
        }
        self.order.insert((at, who.clone()));
        self.waiting.insert(who, at);
    }

    /// When the next turn is.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.order.first().map(|(at, _)| *at)
    }

    /// Begins the next turn, if its time has come.
    pub(crate) fn begin(&mut self, now: Instant) -> Option<K> {
        self.due().filter(|at| *at <= now)?;
        let (_, who) = self.order.pop_first()?;
        self.waiting.remove(&who);
        self.under_way.insert(who.clone(), None);
        Some(who)
    }

    /// A turn has ended; the next one is then, or when it was asked for meanwhile.
    pub(crate) fn ended(&mut self, who: K, next: Option<Instant>) {
        let again = self.under_way.remove(&who).flatten();
        if let Some(at) = earliest(again, next) {
            self.ask(who, at);
        }
    }
}

fn earliest(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    one.into_iter().chain(other).min()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// An agenda, and a moment so many seconds after one that is always the same.
    fn agenda() -> (Agenda<&'static str>, impl Fn(u64) -> Instant) {
        let now = Instant::now();
        (Agenda::default(), move |seconds| now + Duration::from_secs(seconds))
    }

    #[test]
    fn turns_come_in_order_of_time_and_none_too_early() {
        let (mut agenda, at) = agenda();
        for (who, seconds) in [("b", 2), ("a", 3), ("c", 1)] {
            agenda.ask(who, at(seconds));
        }
        assert_eq!((agenda.due(), agenda.begin(at(0))), (Some(at(1)), None));
        assert_eq!(
            [agenda.begin(at(2)), agenda.begin(at(2)), agenda.begin(at(2))],
            [Some("c"), Some("b"), None]
        );
        assert_eq!(agenda.due(), Some(at(3)));
    }

    #[test]
    fn who_asks_twice_has_the_earlier_turn_and_no_second_one() {
        let (mut agenda, at) = agenda();
        for seconds in [5, 2, 7] {
            agenda.ask("a", at(seconds));
        }
        assert_eq!((agenda.due(), agenda.begin(at(2))), (Some(at(2)), Some("a")));
        assert_eq!(agenda.begin(at(9)), None);
    }

    #[test]
    fn who_asks_during_his_turn_has_another_one_when_it_ended() {
        let (mut agenda, at) = agenda();
        agenda.ask("a", at(0));
        assert_eq!(agenda.begin(at(0)), Some("a"));
        agenda.ask("a", at(1));
        assert_eq!((agenda.due(), agenda.begin(at(1))), (None, None), "never two at once");
        agenda.ended("a", Some(at(60)));
        assert_eq!(agenda.begin(at(1)), Some("a"));
        agenda.ended("a", Some(at(60)));
        assert_eq!(agenda.due(), Some(at(60)), "what was asked for was given");
    }

    /// What is not waited for takes no memory.
    #[test]
    fn who_asks_for_no_other_turn_is_forgotten() {
        let (mut agenda, at) = agenda();
        agenda.ask("a", at(0));
        agenda.begin(at(0));
        agenda.ended("a", None);
        assert!(agenda.due().is_none() && agenda.waiting.is_empty() && agenda.under_way.is_empty());
    }
}
