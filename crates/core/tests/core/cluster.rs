//! What it takes to believe that the cluster's issuer changed.

use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;
use wio_core::cluster::{Belief, IssuerState, IssuerWatch, Issuers, LONG_ENOUGH, LOOKS, Sight};
use wio_core::names::Issuer;

use crate::given::{CLUSTER, ISSUER, OLD_ISSUER, UID, cases, name};

const THIRD: &str = "https://kubernetes.default.svc.cluster.local";
const ISSUERS: [&str; 3] = [ISSUER, OLD_ISSUER, THIRD];

fn begin(seen: &str, recorded: &[&str]) -> IssuerWatch {
    let recorded: BTreeSet<Issuer> = recorded.iter().map(|text| name(text)).collect();
    IssuerWatch::begin(name(CLUSTER), name(seen), recorded, BTreeSet::new(), Duration::ZERO)
}

/// Looks at these issuers one after the other, each time after the pause that is asked for.
fn look_at<'a>(watch: &mut IssuerWatch, now: &mut Duration, issuers: impl IntoIterator<Item = &'a str>) -> Vec<Sight> {
    issuers
        .into_iter()
        .map(|issuer| {
            *now += watch.pause();
            watch.look(&name(CLUSTER), &name(issuer), *now)
        })
        .collect()
}

proptest! {
    #![proptest_config(cases(400))]

    #[test]
    fn an_issuer_is_believed_only_after_looks_in_a_row_that_took_their_time(
        first in 0..3_usize,
        looks in prop::collection::vec((0..3_usize, 0..90_u64), 0..60),
    ) {
        let mut watch = begin(ISSUERS[first], &[]);
        let mut now = Duration::ZERO;
        let mut row: Vec<(usize, Duration)> = vec![(first, now)];
        for (issuer, seconds) in looks {
            now += Duration::from_secs(seconds);
            if row.last().is_some_and(|(last, _)| *last != issuer) {
                row.clear();
            }
            row.push((issuer, now));
            let before = watch.cluster();
            let sight = watch.look(&name(CLUSTER), &name(ISSUERS[issuer]), now);
            let lasted = row.len() >= LOOKS as usize && now.saturating_sub(row[0].1) >= LONG_ENOUGH;
            let other = before.issuer.as_str() != ISSUERS[issuer];
            prop_assert_eq!(matches!(sight, Sight::Changed { .. }), other && lasted);
            prop_assert_eq!(sight == Sight::Unconfirmed, other && !lasted);
            let believed = if other && lasted { ISSUERS[issuer] } else { before.issuer.as_str() };
            let cluster = watch.cluster();
            prop_assert_eq!((cluster.issuer.as_str(), cluster.belief), (believed, Belief::Believed));
            if other && lasted {
                prop_assert!(cluster.replaced.contains(&before.issuer), "it was seen to be replaced");
            }
            prop_assert!(!cluster.replaced.contains(&cluster.issuer));
        }
    }

    #[test]
    fn what_goes_on_is_believed_whatever_was_seen_before(
        looks in prop::collection::vec(0..3_usize, 0..30), recorded in prop::sample::subsequence(ISSUERS.to_vec(), 0..=3),
    ) {
        let mut watch = begin(THIRD, &recorded);
        let mut now = Duration::ZERO;
        look_at(&mut watch, &mut now, looks.into_iter().map(|n| ISSUERS[n]));
        look_at(&mut watch, &mut now, [OLD_ISSUER; LOOKS as usize + 1]);
        let cluster = watch.cluster();
        prop_assert_eq!((cluster.issuer.as_str(), cluster.belief), (OLD_ISSUER, Belief::Believed));
        prop_assert_eq!(watch.state(), IssuerState::Settled);
    }
}

#[test]
fn a_new_issuer_is_looked_at_more_often_until_it_is_believed() {
    let mut watch = begin(OLD_ISSUER, &[]);
    let seldom = watch.pause();
    let mut now = Duration::ZERO;
    assert_eq!(look_at(&mut watch, &mut now, [ISSUER]), [Sight::Unconfirmed]);
    assert!(watch.pause() < seldom / 5 && watch.state() == IssuerState::Changing);
    let sights = look_at(&mut watch, &mut now, [ISSUER; LOOKS as usize - 1]);
    let changed = Sight::Changed {
        from: Some(name(OLD_ISSUER)),
        to: name(ISSUER),
    };
    assert_eq!(sights.last(), Some(&changed), "{sights:?}");
    assert!(
        now.saturating_sub(seldom) <= LONG_ENOUGH + Duration::from_secs(30),
        "{now:?}"
    );
    assert_eq!((watch.pause(), watch.state()), (seldom, IssuerState::Settled));
}

#[test]
fn an_issuer_that_alternates_is_never_believed_and_told() {
    let mut watch = begin(OLD_ISSUER, &[]);
    let mut now = Duration::ZERO;
    let sights = look_at(&mut watch, &mut now, [ISSUER, OLD_ISSUER].repeat(50));
    assert!(!sights.iter().any(|sight| matches!(sight, Sight::Changed { .. })));
    assert_eq!(watch.state(), IssuerState::Alternating);
    look_at(&mut watch, &mut now, [OLD_ISSUER; LOOKS as usize]);
    assert_eq!(watch.state(), IssuerState::Settled);
}

#[test]
fn after_a_restart_what_the_bindings_record_was_believed() {
    for (recorded, belief) in [
        (&[][..], Belief::Believed),
        (&[OLD_ISSUER, ISSUER], Belief::Believed),
        (&[OLD_ISSUER, THIRD], Belief::Unconfirmed),
    ] {
        assert_eq!(begin(ISSUER, recorded).cluster().belief, belief, "{recorded:?}");
    }
    let mut now = Duration::ZERO;
    let mut odd = begin(ISSUER, &[OLD_ISSUER]);
    assert_eq!(odd.state(), IssuerState::Changing);
    let changed = |to| Sight::Changed {
        from: None,
        to: name(to),
    };
    assert_eq!(
        look_at(&mut odd, &mut now, [OLD_ISSUER]),
        [changed(OLD_ISSUER)],
        "one odd look"
    );
    let mut moved = begin(ISSUER, &[OLD_ISSUER]);
    let sights = look_at(&mut moved, &mut now, [ISSUER; LOOKS as usize - 1]);
    assert_eq!(sights.last(), Some(&changed(ISSUER)), "{sights:?}");
}

#[test]
fn nothing_follows_from_the_answer_of_another_cluster() {
    let mut watch = begin(ISSUER, &[]);
    let before = watch.clone();
    for minutes in 0..60 {
        let now = Duration::from_mins(minutes);
        assert_eq!(watch.look(&name(UID), &name(OLD_ISSUER), now), Sight::OtherCluster);
    }
    assert_eq!(watch, before);
}

/// After a restart nobody knows whether an issuer that is recorded was replaced, or is another cluster's that runs on.
#[test]
fn an_issuer_is_known_to_be_replaced_when_that_was_seen_or_somebody_said_so() {
    let mut now = Duration::ZERO;
    let mut seen = begin(OLD_ISSUER, &[OLD_ISSUER]);
    look_at(&mut seen, &mut now, [ISSUER; LOOKS as usize]);
    let issuers = |watch: &IssuerWatch| Issuers::new(&watch.cluster(), [&name(OLD_ISSUER)]);
    assert!(issuers(&seen).was_replaced(OLD_ISSUER));
    let mut restarted = begin(ISSUER, &[OLD_ISSUER]);
    look_at(&mut restarted, &mut now, [ISSUER; LOOKS as usize]);
    assert!(issuers(&restarted).contains(OLD_ISSUER) && !issuers(&restarted).was_replaced(OLD_ISSUER));
    let named = BTreeSet::from([name(OLD_ISSUER)]);
    let told = IssuerWatch::begin(name(CLUSTER), name(ISSUER), BTreeSet::new(), named, now);
    assert!(issuers(&told).was_replaced(OLD_ISSUER) && !issuers(&told).was_replaced(ISSUER));
}

#[test]
fn each_state_of_the_issuer_has_its_name_in_metrics() {
    assert_eq!(
        IssuerState::ALL.map(IssuerState::as_str),
        ["settled", "changing", "alternating"]
    );
}
