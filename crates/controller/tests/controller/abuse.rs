//! The abuse suite against the reconciler alone: an API server that admits everything, and Azure that refuses nothing. Each case is
//! judged by what is left in Azure and in the cluster, not by what the binding says alone.

mod facts;
mod play;

use std::panic::{AssertUnwindSafe, catch_unwind};

use wio_testkit::abuse::{Case, Layer, Verdict, cases, record};

use play::play;

/// Longer than any message that somebody has to read.
const SHOWN_CHARS: usize = 600;

/// What is not as it must be, if anything.
fn broken(case: &Case) -> Option<String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    let played = catch_unwind(AssertUnwindSafe(|| runtime.block_on(play(case))));
    let broken = played.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Err(text.unwrap_or_else(|| "it panicked".to_owned()))
    });
    broken.err().map(|text| text.chars().take(SHOWN_CHARS).collect())
}

/// Plays the cases under a heading, each in a world of its own, and tells of all that did not hold.
fn hold(group: &str) {
    let of_group: Vec<&Case> = cases().iter().filter(|case| case.group == group).collect();
    assert!(!of_group.is_empty(), "no case is under {group:?}");
    let mut failed = Vec::new();
    for case in of_group {
        let broken = broken(case);
        failed.extend(broken.iter().map(|why| format!("{}: {why}", case.id)));
        record(&Verdict {
            id: case.id.clone(),
            layer: Layer::Reconciler,
            says: case.reconciler.reason.clone(),
            broken,
        });
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

macro_rules! groups {
    ($($test:ident: $group:literal,)+) => {
        $(#[test]
        fn $test() {
            hold($group);
        })+

        /// A file that no test plays would look as if it held.
        #[test]
        fn every_case_is_played() {
            let played = [$($group),+];
            for case in cases() {
                assert!(played.contains(&case.group.as_str()), "{}", case.group);
            }
        }
    };
}

groups! {
    no_tenant_reaches_the_identity_of_another_team: "identities of other teams",
    nobody_reaches_the_identities_of_the_cluster: "identities of the cluster itself",
    managed_identities_stand_where_they_may_and_take_nothing_over: "places and names of managed identities",
    no_identity_gets_a_role_that_no_policy_gives: "roles",
    no_role_holds_where_no_policy_gives_it: "scopes",
    no_service_account_gets_what_is_for_others: "service accounts and audiences",
    what_was_allowed_once_does_not_outlive_its_policy: "what was allowed once",
    forged_objects_gain_nothing: "forged and hijacked objects",
    what_is_done_in_azure_gains_nothing: "what is done in Azure",
    crowds_and_siblings_gain_nothing: "many and together",
    who_waits_for_a_fault_gains_nothing: "faults at the right moment",
}
