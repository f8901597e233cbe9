//! The status of a policy, for every kind of what there is to say.

use jiff::Timestamp;
use serde_json::json;
use wio_api::{ConditionType, Reason, WorkloadIdentityPolicy, WorkloadIdentityPolicyStatus};
use wio_core::fault::{Fault, KubernetesCause, KubernetesFault};
use wio_core::policy::Policies;
use wio_core::status::{Admission, of_policy, told_of_policy};
use wio_testkit::fixtures::{PolicyBuilder, policy};
use wio_testkit::kstatus::{self, State};

use crate::given::{EXISTING, VAULT};

fn now() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

fn lagging() -> Admission {
    Admission::LagsBehind(Fault::Kubernetes(KubernetesFault {
        operation: "write the effective policy".to_owned(),
        cause: KubernetesCause::Transport("connection refused".to_owned()),
    }))
}

fn seen(policy: PolicyBuilder) -> WorkloadIdentityPolicy {
    let mut policy = policy.build();
    policy.metadata.generation = Some(3);
    policy
}

fn status(policy: &WorkloadIdentityPolicy, admission: &Admission) -> WorkloadIdentityPolicyStatus {
    of_policy(policy, &Policies::parse([policy]), admission, now())
}

/// What tools make of it, Ready's reason and message.
fn verdict(policy: &WorkloadIdentityPolicy, admission: &Admission) -> (State, String, String) {
    let mut policy = policy.clone();
    policy.status = Some(status(&policy, admission));
    let object = json!(policy);
    kstatus::assert_kept(&object);
    let ready = policy.status.unwrap().condition(ConditionType::Ready).unwrap().clone();
    (kstatus::compute(&object).state, ready.reason, ready.message)
}

#[test]
fn a_policy_that_counts_is_ready() {
    let fine = seen(policy("p").namespace("shop").existing(EXISTING));
    let (state, reason, _) = verdict(&fine, &Admission::Knows);
    assert_eq!((state, reason.as_str()), (State::Current, "Succeeded"));
}

#[test]
fn every_part_that_grants_nothing_is_named() {
    let broken = seen(
        policy("p")
            .namespace("shop")
            .role("Redaer", &[VAULT])
            .existing("/subscriptions/x"),
    );
    let (state, reason, message) = verdict(&broken, &Admission::Knows);
    assert_eq!((state, reason.as_str()), (State::Failed, "InvalidSpec"));
    for part in [
        "spec.roles[0].role grants nothing",
        "Redaer",
        "spec.existingIdentities[0] grants nothing",
        "Everything else",
    ] {
        assert!(message.contains(part), "{part:?} is not in {message}");
    }
}

#[test]
fn the_slips_of_another_policy_are_not_its_own() {
    let (fine, broken) = (
        seen(policy("p").namespace("shop")),
        seen(policy("q").role("Redaer", &[VAULT])),
    );
    let policies = Policies::parse([&fine, &broken]);
    let status = of_policy(&fine, &policies, &Admission::Knows, now());
    assert!(status.condition(ConditionType::Stalled).is_none());
}

#[test]
fn of_a_field_that_this_version_cannot_read_it_is_said_that_nothing_counts() {
    let mut spec = json!(policy("p").namespace("shop").build().spec);
    spec["roles"] = json!("all of them");
    let mut newer = seen(policy("p"));
    newer.spec = serde_json::from_value(spec).unwrap();
    let (state, _, message) = verdict(&newer, &Admission::Knows);
    assert_eq!(state, State::Failed);
    assert!(
        message.contains("spec.roles") && message.contains("nothing in it counts"),
        "{message}"
    );
}

#[test]
fn while_admission_does_not_know_it_nothing_stalls() {
    let broken = seen(policy("p").namespace("shop").role("Redaer", &[VAULT]));
    let (state, reason, message) = verdict(&broken, &lagging());
    assert_eq!((state, reason.as_str()), (State::InProgress, "KubernetesUnavailable"));
    assert!(message.contains("could not write the effective policy"), "{message}");
}

/// One change that cannot be written is no word about the others.
#[test]
fn a_policy_that_admission_knows_as_it_is_stays_ready_while_another_one_cannot_be_written() {
    let mut known = seen(policy("p").namespace("shop"));
    known.status = Some(status(&known, &Admission::Knows));
    assert_eq!(Some(status(&known, &lagging())), known.status);
    known.metadata.generation = Some(4);
    assert_ne!(Some(status(&known, &lagging())), known.status);
}

#[test]
fn people_are_told_of_what_is_wrong_and_of_its_end_alone() {
    let fine = status(&seen(policy("p").namespace("shop")), &Admission::Knows);
    let broken = status(
        &seen(policy("p").namespace("shop").role("Redaer", &[VAULT])),
        &Admission::Knows,
    );
    let told = |previous, next| told_of_policy(previous, next).map(|told| (told.warning, told.reason));
    assert_eq!(told(None, &fine), None);
    assert_eq!(told(Some(&fine), &fine), None);
    assert_eq!(told(Some(&broken), &broken), None);
    let warning = Some((true, Reason::InvalidSpec.to_string()));
    assert_eq!(
        [told(None, &broken), told(Some(&fine), &broken)],
        [warning.clone(), warning]
    );
    assert_eq!(told(Some(&broken), &fine), Some((false, Reason::Succeeded.to_string())));
}
