//! The status of a binding that goes, and how long one took to be ready.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use wio_api::{Condition, ConditionType, DeletionPolicy, Reason, WorkloadIdentityBindingStatus, keys};
use wio_core::binding::Lifecycle;
use wio_core::desired::Desired;
use wio_core::landing::{Confirmed, Sight, Writes};
use wio_core::outcome::Outcome;
use wio_core::policy::Seniority;
use wio_core::status::{Subject, ended, ending, farewell, ready_after};
use wio_core::verdict::Verdict;
use wio_testkit::fixtures::binding;

use crate::given::{
    self, EXISTING, UID, cluster, config, deleted, desired, generous, gone, lifecycle, managed, name, rules, rules_by,
    verdict_of,
};
use crate::plan_roles::{observed, reconciled, settled};
use crate::status::{at, written};
use crate::worlds::World;

fn lines(status: &WorkloadIdentityBindingStatus) -> Vec<String> {
    let line = |one: &Condition| format!("{} {} {}: {}", one.type_, one.status, one.reason, one.message);
    status.conditions.iter().map(line).collect()
}

fn times(status: &WorkloadIdentityBindingStatus) -> Vec<Timestamp> {
    let all = status.conditions.iter();
    all.map(|condition| condition.last_transition_time.0).collect()
}

/// What comes of a deletion after which nothing is left, or all of it by the binding's own wish.
fn confirmed(policy: DeletionPolicy) -> Confirmed {
    let bound = desired(&managed(&["a"]));
    let outcome = reconciled(gone(&bound, policy), observed(&bound, &World::empty()), Vec::new());
    outcome.confirm(Writes::default(), Sight::Whole).unwrap()
}

#[test]
fn what_is_being_taken_away_is_not_ready_from_the_first_moment() {
    let ready = settled(&desired(&managed(&["a"])));
    let going = ending(Some(&ready), &lifecycle(4, true), at(0)).unwrap();
    assert_eq!(
        lines(&going),
        [
            "Ready False Deleting: What this binding has is being taken away.",
            "Reconciling True Progressing: What this binding has is being taken away.",
        ]
    );
    assert_eq!(
        (going.observed_generation, times(&going)),
        (Some(4), vec![at(0), at(0)])
    );
    assert_eq!(going.identity, ready.identity, "what is to go stays written down");
    assert_eq!(
        ending(Some(&ready), &lifecycle(4, false), at(0)),
        None,
        "it is not being deleted"
    );
    assert_eq!(
        ending(Some(&going), &lifecycle(4, true), at(1)),
        None,
        "it says so already"
    );
    assert_eq!(ending(None, &lifecycle(4, true), at(0)), None);
}

#[test]
fn an_object_that_somebody_elses_finalizer_keeps_says_that_nothing_is_left() {
    let ready = settled(&desired(&managed(&["a"])));
    let going = ending(Some(&ready), &lifecycle(4, true), at(0)).unwrap();
    let over = ended(
        Some(&going),
        &lifecycle(4, true),
        confirmed(DeletionPolicy::Delete),
        at(9),
    );
    assert_eq!(
        lines(&over),
        ["Ready False Deleting: Everything of this binding is removed; a finalizer of somebody else keeps the object."]
    );
    assert_eq!(
        (over.observed_generation, times(&over)),
        (Some(4), vec![at(0)]),
        "it was not ready before"
    );
    assert_eq!((over.identity, over.written), (None, false));
    let sudden = ended(None, &lifecycle(4, true), confirmed(DeletionPolicy::Delete), at(9));
    assert_eq!(times(&sudden), [at(9)]);
    assert_eq!(farewell(confirmed(DeletionPolicy::Delete)), None, "Azure was asked");
}

#[test]
fn a_binding_that_left_what_it_has_says_so() {
    let mut object = deleted(
        binding("shop", "orders")
            .uid(UID)
            .existing(EXISTING)
            .service_account("a")
            .finalizer(keys::FINALIZER)
            .status(given::written()),
        DeletionPolicy::Orphan,
    );
    object.metadata.generation = Some(4);
    let mut allowing = generous();
    allowing.spec.allow_orphan = true;
    let Verdict::Orphan(orphaned) = verdict_of(&object, rules_by(config(), &[allowing])) else {
        panic!()
    };
    assert_eq!(farewell(orphaned.left()), None);
    assert_eq!(
        lines(&ended(None, &lifecycle(4, true), orphaned.left(), at(9))),
        [
            "Ready False Deleting: The operator looks after this binding no more and left what it has; a finalizer of somebody else keeps \
             the object."
        ]
    );
}

#[test]
fn a_binding_for_which_nothing_was_ever_written_goes_with_a_word_of_it() {
    let mut object = managed(&["a"]);
    object.metadata.deletion_timestamp = Some(Time(Timestamp::UNIX_EPOCH));
    let Verdict::Release(never) = verdict_of(&object, rules()) else {
        panic!()
    };
    let told = farewell(never).unwrap();
    assert_eq!(
        (told.warning, told.reason.as_str(), told.message.as_str()),
        (
            false,
            "Deleting",
            "Nothing was ever written to Azure for this binding, so it goes without asking Azure."
        )
    );
    let over = ended(None, &lifecycle(4, true), never, at(9));
    assert!(over.conditions[0].message.starts_with("Everything"));
}

#[test]
fn how_long_it_took_is_told_once_when_a_binding_becomes_ready() {
    let mut life = lifecycle(3, false);
    life.seniority = Seniority::new(Some(at(0)), name("orders"));
    let ready = settled(&desired(&managed(&["a"])));
    let after = |previous: Option<&WorkloadIdentityBindingStatus>, life: &Lifecycle, next, second| {
        let subject = Subject {
            previous,
            lifecycle: life,
            cluster: &cluster(),
            heeded: None,
            failed_looks: None,
            written: false,
            contested: None,
        };
        ready_after(subject, next, at(second)).map(|time| time.as_secs())
    };
    assert_eq!(after(None, &life, &ready, 7), Some(7), "since it was created");
    assert_eq!(after(None, &life, &ready, -7), Some(0), "by a clock that is slow");
    let busy = Outcome::Unobserved {
        desired: Some(Box::new(Desired::Bound(desired(&managed(&["a"]))))),
        fault: wio_core::fault::Fault::Blocked(wio_core::fault::Blocked {
            reason: Reason::AzureUnavailable,
            message: "Azure is away".to_owned(),
        }),
    };
    let working = written(None, 3, false, &busy, at(5));
    assert_eq!(after(None, &life, &working, 7), None, "it is not ready");
    assert_eq!(
        after(Some(&working), &life, &ready, 7),
        Some(2),
        "since the work on this spec began"
    );
    assert_eq!(after(Some(&ready), &life, &ready, 7), None, "it was before");
    let before = written(None, 2, false, &busy, at(5));
    assert_eq!(
        after(Some(&before), &life, &ready, 7),
        None,
        "nobody wrote down when that work began"
    );
    let unseen = WorkloadIdentityBindingStatus {
        observed_generation: Some(-1),
        ..WorkloadIdentityBindingStatus::default()
    };
    assert_eq!(
        after(Some(&unseen), &life, &ready, 7),
        Some(7),
        "nobody has worked on it"
    );
    let first = WorkloadIdentityBindingStatus {
        observed_generation: Some(0),
        ..unseen
    };
    assert_eq!(after(Some(&first), &life, &ready, 7), None);
    let mut suspended = ready.clone();
    suspended.conditions[0].reason = Reason::Suspended.to_string();
    assert_eq!(after(None, &life, &suspended, 7), None);
    let mut unready = ready.clone();
    unready.conditions[0].status = "False".to_owned();
    assert_eq!(unready.conditions[0].type_, ConditionType::Ready.as_str());
    assert_eq!(after(None, &life, &unready, 7), None);
}
