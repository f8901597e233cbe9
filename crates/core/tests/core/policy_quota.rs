//! Who comes first when a namespace may not hold everything.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use proptest::prelude::*;
use wio_core::names::BindingName;
use wio_core::policy::{Each, Limited, Limits, Seniority, Tally, Usage};

use crate::given::{cases, name};

/// A binding of the namespace: its time and its name.
type Key = (Option<i64>, String);

/// A binding, and what it asks for or that it is counted no more.
type Change = (Key, Option<Usage>);

fn any_number() -> impl Strategy<Value = usize> {
    prop_oneof![9 => 0..21_usize, 1 => Just(usize::MAX)]
}

fn any_usage() -> impl Strategy<Value = Usage> {
    (any_number(), 0..2_usize, any_number()).prop_map(
        |(federated_credentials, managed_identities, role_assignments)| Each {
            federated_credentials,
            managed_identities,
            role_assignments,
        },
    )
}

fn any_limits() -> impl Strategy<Value = Limits> {
    let limit = || prop::option::of(prop_oneof![9 => 0..60_usize, 1 => Just(usize::MAX)]);
    (limit(), limit(), limit()).prop_map(|(federated_credentials, managed_identities, role_assignments)| Each {
        federated_credentials,
        managed_identities,
        role_assignments,
    })
}

fn any_change() -> impl Strategy<Value = Change> {
    let binding = (prop::option::weighted(0.9, 0..4_i64), "[a-c]");
    (binding, prop::option::weighted(0.8, any_usage()))
}

fn seniority((created, text): &Key) -> Seniority {
    let created = created.map(|second| Timestamp::from_second(second).unwrap());
    Seniority::new(created, name(text))
}

/// Older ones, then by name; one without a time was never stored and comes last.
fn rank((created, text): &Key) -> (i64, String) {
    (created.unwrap_or(i64::MAX), text.clone())
}

fn counted(changes: &[Change]) -> (Tally, BTreeMap<Key, Usage>) {
    let mut tally = Tally::default();
    let mut counted = BTreeMap::new();
    for (binding, asked) in changes {
        if let Some(asked) = asked {
            tally.count(seniority(binding), *asked);
            counted.insert(binding.clone(), *asked);
        } else {
            tally.forget(&seniority(binding));
            counted.remove(binding);
        }
    }
    (tally, counted)
}

/// The sum of what comes before a binding.
fn before(counted: &BTreeMap<Key, Usage>, asking: &Key) -> Usage {
    let older = counted.iter().filter(|(binding, _)| rank(binding) < rank(asking));
    older.fold(Usage::default(), |sum, (_, asked)| sum.and(asked))
}

/// The bindings for which there is no room.
fn without_room(counted: &BTreeMap<Key, Usage>, limits: &Limits) -> BTreeSet<Key> {
    let full = |(binding, asks): (&Key, &Usage)| {
        limits
            .exceeded(&before(counted, binding), asks)
            .map(|_| binding.clone())
    };
    counted.iter().filter_map(full).collect()
}

proptest! {
    #![proptest_config(cases(1000))]

    #[test]
    fn counting_gives_the_sum_of_what_comes_before_and_ends_at_the_limit(
        changes in prop::collection::vec(any_change(), 0..16), asking in any_change(), limits in any_limits(),
    ) {
        let (tally, counted) = counted(&changes);
        prop_assert_eq!(tally == Tally::default(), counted.is_empty());
        let found = tally.before(&seniority(&asking.0), &limits);
        let sum = before(&counted, &asking.0);
        for what in Limited::ALL {
            // Beyond the other limits nothing more is counted, which makes no difference to any answer.
            prop_assert!(found.of(what) <= sum.of(what).min(limits.of(what).unwrap_or_default()));
        }
        for asks in [1, 5].map(|n| Each { federated_credentials: n, managed_identities: n, role_assignments: n }) {
            prop_assert_eq!(limits.exceeded(&found, &asks).is_some(), limits.exceeded(&sum, &asks).is_some());
        }
    }

    /// An older binding that grew left its namespace over the limit for half an hour, and freed room woke nobody.
    #[test]
    fn whoever_loses_or_gains_room_by_a_change_is_told_and_nobody_else(
        changes in prop::collection::vec(any_change(), 0..16), change in any_change(), limits in any_limits(),
    ) {
        let (tally, counted_before) = counted(&changes);
        let turned: BTreeSet<BindingName> =
            tally.turned_by(&seniority(&change.0), change.1.as_ref(), &limits).into_iter().collect();
        let counted_after = counted(&[changes, vec![change.clone()]].concat()).1;
        let [mut was, mut is] = [&counted_before, &counted_after].map(|counted| without_room(counted, &limits));
        was.remove(&change.0);
        is.remove(&change.0);
        let expected: BTreeSet<BindingName> = was.symmetric_difference(&is).map(|(_, text)| name(text)).collect();
        prop_assert_eq!(turned, expected);
    }
}

#[test]
fn what_is_not_asked_for_is_no_reason_to_refuse_anything() {
    let limits = Limits {
        role_assignments: Some(2),
        ..Limits::default()
    };
    let roles = |role_assignments| Usage {
        federated_credentials: 1,
        managed_identities: 1,
        role_assignments,
    };
    assert_eq!(limits.exceeded(&roles(9), &roles(0)), None);
    assert_eq!(limits.exceeded(&roles(1), &roles(1)), None);
    assert_eq!(limits.exceeded(&roles(1), &roles(2)), Some(Limited::RoleAssignments));
}
