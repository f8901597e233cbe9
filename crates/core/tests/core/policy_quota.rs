//! Who comes first when a namespace may not hold everything.

use std::collections::BTreeMap;

use jiff::Timestamp;
use proptest::prelude::*;
use wio_core::policy::{Seniority, Tally};

use crate::given::{cases, name};

/// A binding of the namespace: its time, its name, and its credentials or that it is counted no more.
type Change = ((Option<i64>, String), Option<usize>);

fn any_change() -> impl Strategy<Value = Change> {
    let binding = (prop::option::weighted(0.9, 0..4_i64), "[a-c]");
    let credentials = prop::option::weighted(0.8, prop_oneof![9 => 0..21_usize, 1 => Just(usize::MAX)]);
    (binding, credentials)
}

fn seniority((created, text): &(Option<i64>, String)) -> Seniority {
    let created = created.map(|second| Timestamp::from_second(second).unwrap());
    Seniority::new(created, name(text))
}

proptest! {
    #![proptest_config(cases(1000))]

    #[test]
    fn counting_gives_the_sum_of_what_comes_before_and_ends_at_the_limit(
        changes in prop::collection::vec(any_change(), 0..16), asking in any_change(),
        limit in prop_oneof![9 => 0..100_usize, 1 => Just(usize::MAX)],
    ) {
        let mut tally = Tally::default();
        let mut counted: BTreeMap<(Option<i64>, String), usize> = BTreeMap::new();
        for (binding, credentials) in changes {
            if let Some(credentials) = credentials {
                tally.count(seniority(&binding), credentials);
                counted.insert(binding, credentials);
            } else {
                tally.forget(&seniority(&binding));
                counted.remove(&binding);
            }
        }
        prop_assert_eq!(tally.is_empty(), counted.is_empty());
        let asking = asking.0;
        // Older ones, then by name; one without a time was never stored and comes last.
        let key = |(created, text): &(Option<i64>, String)| (created.unwrap_or(i64::MAX), text.clone());
        let before = counted.iter().filter(|(binding, _)| key(binding) < key(&asking));
        let sum = before.fold(0_usize, |sum, (_, credentials)| sum.saturating_add(*credentials));
        prop_assert_eq!(tally.before(&seniority(&asking), limit), sum.min(limit));
    }
}
