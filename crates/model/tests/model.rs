//! A small part of what `make model` explores.

#![allow(clippy::unwrap_used, reason = "it is a test")]

use wio_model::explore::explore;
use wio_model::mutant::Mutant;
use wio_model::scenario::{SMALLEST, WITH_A_FAULT};

#[test]
fn whatever_one_person_changes_breaks_no_rule_and_comes_to_rest() {
    let found = explore(SMALLEST.bounds, None, (100_000, 2)).unwrap();
    assert_eq!(found.broken, None);
    assert!(found.whole && found.states > 1_000, "{found:?}");
}

/// What counts as trust that somebody relies on was changed in the core and not in the rules of the model: the whole model said so when it was next run by
/// hand, after 61,000 states with one fault.
#[test]
fn one_change_and_one_fault_break_no_rule_as_far_as_there_is_time_to_look() {
    let found = explore(WITH_A_FAULT.bounds, None, (250_000, 2)).unwrap();
    assert_eq!(found.broken, None);
    assert!(found.states > 60_000, "{found:?}");
}

#[test]
fn a_rule_that_is_left_out_is_seen() {
    for mutant in [Mutant::NoFinalizer, Mutant::SharersAreForgotten, Mutant::TrustEndsLast] {
        let found = explore(SMALLEST.bounds, Some(mutant), (100_000, 2)).unwrap();
        assert!(found.broken.is_some(), "{mutant:?}: {found:?}");
    }
}
