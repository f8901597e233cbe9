//! Policies that vanish: one by one, together, and for a moment.

use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;
use wio_api::Reason;
use wio_core::names::PolicyName;
use wio_core::policy::{MASS, Policies, QUIET, Vanished, Vanishing};
use wio_testkit::fixtures::policy;

use crate::given::{cases, name};

const LONG_AGO: Duration = Duration::from_hours(1);

fn names(all: &[&str]) -> BTreeSet<PolicyName> {
    all.iter().map(|text| name(text)).collect()
}

fn standing(all: &BTreeSet<PolicyName>) -> Policies {
    let built: Vec<_> = all
        .iter()
        .map(|name| policy(name.as_str()).namespace("shop").build())
        .collect();
    Policies::parse(&built)
}

/// What became of those that stood before, by a watch that shows what a list does.
fn see(vanishing: &mut Vanishing, policies: &Policies, time: Duration) -> Vanished {
    vanishing.see(policies, time);
    vanishing.prove(policies.names());
    vanishing.see(policies, time)
}

/// An operator that has believed in these policies for long.
fn believing(all: &BTreeSet<PolicyName>) -> Vanishing {
    let mut vanishing = Vanishing::default();
    vanishing.learn(all.clone(), BTreeSet::new(), None);
    assert_eq!(see(&mut vanishing, &standing(all), Duration::ZERO), Vanished::None);
    vanishing
}

proptest! {
    #![proptest_config(cases(300))]

    /// Policies that a tool prunes are deleted one by one, some milliseconds apart. What rested on the first of them was taken away before
    /// the last was gone.
    #[test]
    fn however_far_apart_many_policies_go_nothing_that_rested_on_them_ends_before_the_word(
        count in MASS..8, gaps in prop::collection::vec(0..29_999_u64, 8), restarts in prop::collection::vec(any::<bool>(), 8),
        later in 0..100_000_u64,
    ) {
        let all: BTreeSet<PolicyName> = (0..count).map(|n| name(&format!("policy-{n}"))).collect();
        let mut vanishing = believing(&all);
        let mut left = all.clone();
        let mut time = LONG_AGO;
        for (gap, restart) in gaps.iter().zip(restarts).take(count) {
            time += Duration::from_millis(*gap);
            left.pop_first();
            if restart {
                let kept = vanishing.believed().unwrap().clone();
                vanishing = Vanishing::default();
                let gone = kept.difference(&left).cloned().collect();
                vanishing.learn(left.clone(), gone, None);
                time = Duration::ZERO;
            }
            let seen = see(&mut vanishing, &standing(&left), time);
            for lost in all.difference(&left) {
                prop_assert!(seen.confirm(&BTreeSet::from([lost.clone()])).is_err(), "{:?}", seen);
            }
        }
        let held = see(&mut vanishing, &standing(&left), time + QUIET + Duration::from_millis(later));
        let Vanished::Held(vanished, word) = &held else { panic!("{held:?}") };
        prop_assert_eq!(vanished, &all);
        let mut another = vanishing.clone();
        another.learn(BTreeSet::new(), BTreeSet::new(), Some(format!("{word}x")));
        prop_assert_eq!(&see(&mut another, &standing(&left), time + LONG_AGO), &held);
        vanishing.learn(BTreeSet::new(), BTreeSet::new(), Some(word.clone()));
        prop_assert_eq!(see(&mut vanishing, &standing(&left), time + LONG_AGO), Vanished::None);
        prop_assert_eq!(vanishing.believed(), Some(&left));
    }

    /// Deleted and created anew, as a forced replacement does.
    #[test]
    fn a_policy_that_comes_back_within_the_quiet_time_took_nothing_with_it(away in 0..29_999_u64) {
        let all = names(&["payments", "shared"]);
        let mut vanishing = believing(&all);
        let gone = see(&mut vanishing, &standing(&names(&["shared"])), LONG_AGO);
        let blocked = gone.confirm(&names(&["payments"])).unwrap_err();
        prop_assert_eq!(blocked.reason, Reason::NotDecided);
        let back = see(&mut vanishing, &standing(&all), LONG_AGO + Duration::from_millis(away));
        prop_assert_eq!(back, Vanished::None);
    }
}

/// Three policies vanished, and the watch told of two: taken for a wish, their end took what rested on them, where that of three is taken for an accident
/// (`make simulate SEED=41718` before it was mended).
#[test]
fn the_end_of_policies_waits_for_a_list_that_shows_the_same() {
    let mut vanishing = believing(&names(&["a", "b", "c"]));
    let left = standing(&names(&["c"]));
    let is_unproven = |seen: Vanished| matches!(seen, Vanished::Unproven(_));
    vanishing.see(&left, LONG_AGO);
    assert_eq!(vanishing.quiet_in(LONG_AGO + QUIET / 3), QUIET * 2 / 3);
    let quiet = LONG_AGO + QUIET;
    assert_eq!(vanishing.quiet_in(quiet), Duration::ZERO);
    let blocked = vanishing.see(&left, quiet).confirm(&names(&["a"])).unwrap_err();
    assert_eq!(blocked.reason, Reason::NotDecided);
    assert!(
        blocked.message.contains("when a list of the policies shows the same"),
        "{}",
        blocked.message
    );
    for (shown, why) in [
        (&[][..], "c went as well"),
        (&["a", "c"], "a is back"),
        (&["a", "b"], "both"),
    ] {
        vanishing.prove(names(shown));
        assert!(is_unproven(vanishing.see(&left, quiet)), "{why}");
    }
    // What was shown before another one went says nothing about that one.
    vanishing.prove(names(&["c", "new"]));
    let fewer = standing(&names(&["b", "c"]));
    vanishing.see(&fewer, quiet);
    assert!(is_unproven(vanishing.see(&fewer, quiet + QUIET)));
    vanishing.prove(names(&["b", "c", "new"]));
    assert_eq!(vanishing.see(&fewer, quiet + QUIET), Vanished::None);
}

#[test]
fn one_policy_that_goes_is_acted_upon_when_the_set_was_quiet() {
    let mut vanishing = believing(&names(&["payments", "shared"]));
    let left = standing(&names(&["shared"]));
    let at = |seconds| LONG_AGO + Duration::from_secs(seconds);
    assert!(matches!(see(&mut vanishing, &left, at(0)), Vanished::Settling(_)));
    assert!(matches!(see(&mut vanishing, &left, at(29)), Vanished::Settling(_)));
    assert_eq!(see(&mut vanishing, &left, at(30)), Vanished::None);
    assert_eq!(vanishing.believed(), Some(&names(&["shared"])));
}

#[test]
fn those_that_disappeared_are_named() {
    let told = |stood: &[&str]| {
        let gone = believing(&names(stood)).see(&Policies::default(), LONG_AGO);
        gone.confirm(&names(stood)).unwrap_err().message
    };
    for (stood, words) in [
        (&["a"][..], "WorkloadIdentityPolicy a disappeared a moment ago"),
        (&["a", "b"], "WorkloadIdentityPolicies a, b disappeared a moment ago"),
    ] {
        assert!(told(stood).starts_with(words), "{}", told(stood));
    }
}

#[test]
fn all_of_several_are_many_and_the_only_one_is_not() {
    let end = |stood: &[&str]| {
        let mut vanishing = believing(&names(stood));
        see(&mut vanishing, &Policies::default(), LONG_AGO);
        see(&mut vanishing, &Policies::default(), 2 * LONG_AGO)
    };
    assert_eq!(end(&["a"]), Vanished::None);
    assert!(matches!(end(&["a", "b"]), Vanished::Held(..)));
}

#[test]
fn a_policy_that_comes_says_nothing_about_those_that_are_held_not_even_after_a_restart() {
    let mut vanishing = believing(&names(&["a", "b"]));
    see(&mut vanishing, &Policies::default(), LONG_AGO);
    assert!(matches!(
        see(&mut vanishing, &Policies::default(), 2 * LONG_AGO),
        Vanished::Held(..)
    ));
    let new = standing(&names(&["c"]));
    for restarts in [false, true] {
        if restarts {
            vanishing = Vanishing::default();
            vanishing.learn(names(&["c"]), names(&["a", "b"]), None);
        }
        see(&mut vanishing, &new, 3 * LONG_AGO);
        assert!(
            matches!(see(&mut vanishing, &new, 4 * LONG_AGO), Vanished::Held(..)),
            "{restarts}"
        );
    }
}

#[test]
fn the_end_of_a_single_policy_is_acted_upon_after_a_restart_too() {
    let mut vanishing = Vanishing::default();
    vanishing.learn(names(&["b"]), names(&["a"]), None);
    let left = standing(&names(&["b"]));
    assert!(matches!(see(&mut vanishing, &left, LONG_AGO), Vanished::Settling(_)));
    assert_eq!(see(&mut vanishing, &left, LONG_AGO + QUIET), Vanished::None);
}

/// A word that fits every set would confirm a loss that nobody has seen.
#[test]
fn the_word_for_the_end_of_some_policies_is_none_for_that_of_others() {
    let word = |stood: &[&str]| {
        let mut vanishing = believing(&names(stood));
        see(&mut vanishing, &Policies::default(), LONG_AGO);
        match see(&mut vanishing, &Policies::default(), 2 * LONG_AGO) {
            Vanished::Held(_, word) => word,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(word(&["a", "b"]), word(&["b", "a"]));
    assert_ne!(word(&["a", "b"]), word(&["a", "c"]));
    assert_ne!(word(&["a", "b"]), word(&["ab", "c"]));
}

/// One policy that vanished would otherwise keep trust from ending that another one allowed and does not allow any more.
#[test]
fn what_rests_on_other_policies_does_not_wait() {
    let mut vanishing = believing(&names(&["a", "b", "c", "d"]));
    let left = standing(&names(&["d"]));
    let gone = names(&["a", "b", "c"]);
    for waiting in [
        vanishing.see(&left, LONG_AGO),
        Vanished::Unproven(gone),
        vanishing.see(&left, LONG_AGO + QUIET),
    ] {
        for relied_on in [&[][..], &["d"], &["z"]] {
            waiting.confirm(&names(relied_on)).unwrap();
        }
        waiting.confirm(&names(&["a", "d"])).unwrap_err();
    }
}

#[test]
fn before_it_is_known_what_stood_nothing_is_decided() {
    let mut vanishing = Vanishing::default();
    let unknown = see(&mut vanishing, &standing(&names(&["a"])), LONG_AGO);
    assert_eq!(unknown.confirm(&names(&[])).unwrap_err().reason, Reason::NotDecided);
    assert_eq!(vanishing.believed(), None);
    vanishing.learn(BTreeSet::new(), BTreeSet::new(), None);
    assert_eq!(see(&mut vanishing, &standing(&names(&["a"])), LONG_AGO), Vanished::None);
}
