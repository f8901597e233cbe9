//! Makes a plan that breaks a rule smaller, as long as it still breaks it.

use crate::campaign::judge_elsewhere;

/// How many plays it may cost.
const PLAYS: usize = 400;

/// The numbers of the fewest acts that still break the same rule, by delta debugging.
#[must_use]
pub fn shrink(seed: u64, acts: usize, rule: &str) -> Vec<usize> {
    let mut plays = 0;
    let mut fails = |candidate: &[usize]| {
        plays += 1;
        let broken = || judge_elsewhere(seed, Some(candidate)).breaches;
        plays <= PLAYS && broken().iter().any(|breach| breach.rule == rule)
    };
    let mut smallest: Vec<usize> = (0..acts).collect();
    let mut size = acts.div_ceil(2).max(1);
    loop {
        let (mut from, before) = (0, smallest.len());
        while from < smallest.len() {
            let mut candidate = smallest.clone();
            let to = (from + size).min(candidate.len());
            candidate.drain(from..to);
            if fails(&candidate) {
                smallest = candidate;
            } else {
                from = to;
            }
        }
        if size > 1 {
            size = size.div_ceil(2);
        } else if smallest.len() == before {
            return smallest;
        }
    }
}
