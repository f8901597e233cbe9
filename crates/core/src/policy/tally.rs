//! What the bindings of a namespace ask for, counted so that no binding pays for the number of the others.

use crate::names::BindingName;

use super::quota::{Limited, Limits, Seniority, Usage};

/// How many bindings a chunk holds at most. A question costs about one step for each chunk and each binding of one chunk.
const CHUNK: usize = 128;

/// What the bindings of one namespace ask for, by seniority.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// In order; none is empty.
    chunks: Vec<Chunk>,
}

/// Some bindings that follow each other.
#[derive(Clone, Debug, Default)]
struct Chunk {
    asked: Vec<(Seniority, Usage)>,
    sum: Usage,
}

/// The usage before a binding as it was, and as it is now.
type Sums = [Usage; 2];

// === impl Tally ===

impl PartialEq for Tally {
    fn eq(&self, other: &Self) -> bool {
        self.all().eq(other.all())
    }
}

impl Eq for Tally {}

impl Tally {
    /// Counts what a binding asks for, instead of what was counted for it before.
    pub fn count(&mut self, binding: Seniority, asked: Usage) {
        self.forget(&binding);
        let at = self.chunk_of(&binding);
        let Some(chunk) = self.chunks.get_mut(at) else {
            self.chunks.push(Chunk::of(vec![(binding, asked)]));
            return;
        };
        if let Some(rest) = chunk.insert(binding, asked) {
            self.chunks.insert(at + 1, rest);
        }
    }

    /// Counts a binding no more.
    pub fn forget(&mut self, binding: &Seniority) {
        let at = self.chunk_of(binding);
        if self.chunks.get_mut(at).is_some_and(|chunk| chunk.remove(binding)) {
            self.join(at);
            self.join(at.saturating_sub(1));
        }
    }

    /// How much comes before what a binding asks for, at most as much as the limits.
    #[must_use]
    pub fn before(&self, binding: &Seniority, limits: &Limits) -> Usage {
        if limits.is_none() {
            return Usage::default();
        }
        let at = self.chunk_of(binding);
        let earlier = self.chunks.iter().take(at).map(|chunk| chunk.sum);
        let own = self.chunks.get(at).map(|chunk| chunk.before(binding));
        let before = earlier.chain(own).fold(Usage::default(), |sum, usage| sum.and(&usage));
        limits.cut(&before)
    }

    /// The bindings that may no longer have what they could, or the other way round, when a binding asks for this from now on, or, without it,
    /// for nothing.
    #[must_use]
    pub fn turned_by(&self, binding: &Seniority, asks: Option<&Usage>, limits: &Limits) -> Vec<BindingName> {
        let at = self.chunk_of(binding);
        let own = self.chunks.get(at);
        let asked = own.and_then(|chunk| chunk.get(binding)).unwrap_or_default();
        let asks = asks.copied().unwrap_or_default();
        if limits.is_none() || asked == asks {
            return Vec::new();
        }
        let before = self.before(binding, limits);
        let mut sums = [before.and(&asked), before.and(&asks)];
        let mut turned = Vec::new();
        let newer = own.map_or(&[][..], |chunk| chunk.after(binding));
        turn(newer, &mut sums, limits, &mut turned);
        for chunk in self.chunks.iter().skip(at + 1) {
            if turns_nobody(&sums, &chunk.sum, limits) {
                sums = sums.map(|sum| sum.and(&chunk.sum));
            } else {
                turn(&chunk.asked, &mut sums, limits, &mut turned);
            }
        }
        turned
    }

    /// The chunk in which a binding is or would be.
    fn chunk_of(&self, binding: &Seniority) -> usize {
        let begins_before = |chunk: &Chunk| chunk.asked.first().is_some_and(|(first, _)| first <= binding);
        self.chunks.partition_point(begins_before).saturating_sub(1)
    }

    /// Joins a chunk that has shrunk with the next one, when there is room for both in one.
    fn join(&mut self, at: usize) {
        let len = |at: usize| self.chunks.get(at).map(|chunk| chunk.asked.len());
        match (len(at), len(at + 1)) {
            (Some(0), _) => drop(self.chunks.remove(at)),
            (Some(one), Some(next)) if one + next <= CHUNK / 2 => {
                let next = self.chunks.remove(at + 1);
                if let Some(chunk) = self.chunks.get_mut(at) {
                    chunk.sum = chunk.sum.and(&next.sum);
                    chunk.asked.extend(next.asked);
                }
            }
            _ => {}
        }
    }

    fn all(&self) -> impl Iterator<Item = &(Seniority, Usage)> {
        self.chunks.iter().flat_map(|chunk| &chunk.asked)
    }
}

/// Takes note of those whose part changes, one after the other.
fn turn(newer: &[(Seniority, Usage)], sums: &mut Sums, limits: &Limits, turned: &mut Vec<BindingName>) {
    for (binding, usage) in newer {
        let [was, is] = sums.map(|sum| limits.exceeded(&sum, usage));
        if was.is_some() != is.is_some() {
            turned.push(binding.name().clone());
        }
        *sums = sums.map(|sum| sum.and(usage));
    }
}

/// Whether each limit means the same for all of a chunk by both sums: both leave room for all of it, or neither for any.
fn turns_nobody(sums: &Sums, chunk: &Usage, limits: &Limits) -> bool {
    Limited::ALL.into_iter().all(|what| {
        let Some(max) = limits.of(what) else { return true };
        let sums = sums.map(|sum| sum.of(what));
        let have_room = sums.into_iter().all(|sum| sum.saturating_add(chunk.of(what)) <= max);
        have_room || sums.into_iter().all(|sum| sum >= max)
    })
}

// === impl Chunk ===

impl Chunk {
    fn of(asked: Vec<(Seniority, Usage)>) -> Self {
        let sum = asked.iter().fold(Usage::default(), |sum, (_, usage)| sum.and(usage));
        Self { asked, sum }
    }

    /// The place of a binding, or where it would be.
    fn place(&self, binding: &Seniority) -> Result<usize, usize> {
        self.asked.binary_search_by(|(other, _)| other.cmp(binding))
    }

    fn get(&self, binding: &Seniority) -> Option<Usage> {
        let at = self.place(binding).ok()?;
        self.asked.get(at).map(|(_, usage)| *usage)
    }

    fn before(&self, binding: &Seniority) -> Usage {
        let (Ok(at) | Err(at)) = self.place(binding);
        let before = self.asked.iter().take(at);
        before.fold(Usage::default(), |sum, (_, usage)| sum.and(usage))
    }

    fn after(&self, binding: &Seniority) -> &[(Seniority, Usage)] {
        let at = self.place(binding).map_or_else(|at| at, |at| at + 1);
        self.asked.get(at..).unwrap_or_default()
    }

    /// Inserts one that is not there. Returns the second half when there is not room for all.
    fn insert(&mut self, binding: Seniority, usage: Usage) -> Option<Self> {
        let (Ok(at) | Err(at)) = self.place(&binding);
        self.asked.insert(at, (binding, usage));
        self.sum = self.sum.and(&usage);
        if self.asked.len() <= CHUNK {
            return None;
        }
        let rest = Self::of(self.asked.split_off(CHUNK / 2));
        *self = Self::of(std::mem::take(&mut self.asked));
        Some(rest)
    }

    /// Removes a binding, and tells whether it was there.
    fn remove(&mut self, binding: &Seniority) -> bool {
        let Ok(at) = self.place(binding) else { return false };
        self.asked.remove(at);
        *self = Self::of(std::mem::take(&mut self.asked));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::super::quota::Each;
    use super::*;

    const MANY: usize = 9000;

    fn binding(n: usize) -> Seniority {
        Seniority::new(None, format!("b{n:05}").parse().unwrap())
    }

    fn tally() -> Tally {
        let mut tally = Tally::default();
        for n in 0..MANY {
            // From both ends and the middle.
            tally.count(binding(n * 7919 % MANY), one());
        }
        tally
    }

    fn one() -> Usage {
        Usage {
            federated_credentials: 1,
            ..Each::default()
        }
    }

    fn at_most(max: usize) -> Limits {
        Limits {
            federated_credentials: Some(max),
            ..Each::default()
        }
    }

    /// Each of 9,000 bindings of a namespace counted all before it at every decision.
    #[test]
    fn of_many_bindings_a_question_visits_a_few_hundred() {
        let mut tally = tally();
        let longest = |tally: &Tally| tally.chunks.iter().map(|chunk| chunk.asked.len()).max();
        assert!(tally.chunks.len() + longest(&tally).unwrap() < 400);
        for n in (0..MANY).filter(|n| n % 9 != 0) {
            tally.forget(&binding(n));
        }
        assert_eq!(tally.all().count(), MANY / 9);
        assert!(tally.chunks.len() < MANY / 9 / (CHUNK / 8), "what shrank is joined");
    }

    #[test]
    fn whole_chunks_that_go_are_missed_by_nobody() {
        let mut tally = tally();
        for n in 0..2000 {
            tally.forget(&binding(n));
            assert!(tally.chunks.iter().all(|chunk| !chunk.asked.is_empty()));
        }
        for n in [2000, 4000, MANY - 1] {
            let before = tally.before(&binding(n), &at_most(MANY)).federated_credentials;
            assert_eq!(before, n - 2000);
        }
    }

    #[test]
    fn only_the_one_at_the_limit_is_turned_however_many_there_are() {
        let tally = tally();
        let turned = |asks: Option<&Usage>, max| tally.turned_by(&binding(5), asks, &at_most(max));
        assert_eq!(turned(None, 6000), [binding(6000).name().clone()]);
        let two = one().and(&one());
        assert_eq!(turned(Some(&two), 6000), [binding(5999).name().clone()]);
        assert_eq!(turned(None, MANY), []);
    }

    /// The same answers as by counting one after the other, across the borders of chunks.
    #[test]
    fn chunks_make_no_difference() {
        let mut tally = Tally::default();
        let mut counted: std::collections::BTreeMap<Seniority, Usage> = std::collections::BTreeMap::new();
        let mut seed = 7_usize;
        let mut any = |below: usize| {
            seed = seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) % below
        };
        for _ in 0..4000 {
            let one = binding(any(700));
            if any(3) == 0 {
                tally.forget(&one);
                counted.remove(&one);
            } else {
                let usage = Usage {
                    federated_credentials: any(4),
                    managed_identities: any(2),
                    role_assignments: any(3),
                };
                tally.count(one.clone(), usage);
                counted.insert(one, usage);
            }
        }
        assert!(tally.chunks.len() > 4);
        for _ in 0..300 {
            let limits = Limits {
                federated_credentials: (any(3) > 0).then(|| any(800)),
                managed_identities: (any(3) > 0).then(|| any(300)),
                role_assignments: (any(3) > 0).then(|| any(600)),
            };
            let one = binding(any(700));
            let asks = Usage {
                federated_credentials: any(9),
                managed_identities: any(2),
                role_assignments: any(9),
            };
            let before = counted
                .range(..&one)
                .fold(Usage::default(), |sum, (_, usage)| sum.and(usage));
            assert_eq!(tally.before(&one, &limits), limits.cut(&before));
            let had = counted.get(&one).copied().unwrap_or_default();
            let mut sums = [before.and(&had), before.and(&asks)];
            let newer: Vec<_> = counted
                .range((std::ops::Bound::Excluded(&one), std::ops::Bound::Unbounded))
                .collect();
            let newer: Vec<_> = newer
                .into_iter()
                .map(|(binding, usage)| (binding.clone(), *usage))
                .collect();
            let mut turned = Vec::new();
            turn(&newer, &mut sums, &limits, &mut turned);
            assert_eq!(tally.turned_by(&one, Some(&asks), &limits), turned);
        }
    }
}
