//! A small part of what `make model` explores.

#![allow(clippy::unwrap_used, reason = "it is a test")]

use wio_model::explore::explore;
use wio_model::mutant::Mutant;
use wio_model::scenario::SMALLEST;

#[test]
fn whatever_one_person_changes_breaks_no_rule_and_comes_to_rest() {
    let found = explore(SMALLEST.bounds, None, (100_000, 2)).unwrap();
    assert_eq!(found.broken, None);
    assert!(found.whole && found.states > 1_000, "{found:?}");
}

#[test]
fn a_rule_that_is_left_out_is_seen() {
    for mutant in [Mutant::NoFinalizer, Mutant::SharersAreForgotten, Mutant::TrustEndsLast] {
        let found = explore(SMALLEST.bounds, Some(mutant), (100_000, 2)).unwrap();
        assert!(found.broken.is_some(), "{mutant:?}: {found:?}");
    }
}
