//! The status of policies: that admission decides by them, and what of them cannot be used.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::sleep;
use wio_api::{ConditionType, Reason, WorkloadIdentityEffectivePolicy, WorkloadIdentityPolicy};
use wio_testkit::fixtures::policy;
use wio_testkit::kstatus::{self, State};
use wio_testkit::{Effect, Matcher};

use crate::world::*;

const MERGED: &str = "workloadidentityeffectivepolicies";
const POLICIES: &str = "workloadidentitypolicies";

const VAULT: &str = "/subscriptions/6f2e1c1d-52a4-4d0c-8d2f-0c6a2d0b7a11/resourceGroups/vault";

fn payments() -> WorkloadIdentityPolicy {
    policy("payments").namespace(NAMESPACE).role("Reader", &[VAULT]).build()
}

/// One whose role has a slip of the pen.
fn misspelt() -> WorkloadIdentityPolicy {
    let namespace = policy("payments").namespace(NAMESPACE);
    namespace.role("Key Vault Secret Userz", &[VAULT]).build()
}

fn shown(world: &World, name: &str) -> Value {
    world.cluster.get_json::<WorkloadIdentityPolicy>("", name)
}

fn state(world: &World, name: &str) -> State {
    kstatus::compute(&shown(world, name)).state
}

async fn is(world: &World, name: &str, wanted: State) -> WorkloadIdentityPolicy {
    let what = format!("policy {name} is {wanted:?}");
    world.until(&what, |world| state(world, name) == wanted).await;
    world.cluster.get("", name).unwrap()
}

fn said(policy: &WorkloadIdentityPolicy) -> &str {
    let status = policy.status.as_ref().unwrap();
    &status.condition(ConditionType::Ready).unwrap().message
}

/// How often statuses of policies were written.
fn writes(world: &World) -> usize {
    let all = world.cluster_writes();
    all.iter()
        .filter(|request| request.resource == POLICIES && request.subresource == "status")
        .count()
}

/// A misspelt role was Ready to Flux and Healthy to Argo CD, and nobody was told but who read the merged policy.
#[tokio::test(start_paused = true)]
async fn a_policy_with_a_part_that_cannot_be_used_is_stalled_and_says_which() {
    story(async |world| {
        world.cluster.seed(misspelt());
        let stalled = is(world, "payments", State::Failed).await;
        assert!(
            said(&stalled).starts_with("spec.roles[0].role grants nothing: ")
                && said(&stalled).contains("Key Vault Secret Userz")
                && said(&stalled).ends_with("Everything else in it counts."),
            "{}",
            said(&stalled)
        );
        let merged = world.cluster.get_json::<WorkloadIdentityEffectivePolicy>("", "cluster");
        assert_eq!(merged["spec"]["policies"][0]["name"], "payments", "the rest counts");
        world
            .until("it is told", |world| world.events() == ["Warning InvalidSpec"])
            .await;

        let mend = |object: &mut Value| object["spec"]["roles"][0]["role"] = json!("Reader");
        world.cluster.edit::<WorkloadIdentityPolicy>("", "payments", mend);
        is(world, "payments", State::Current).await;
        world
            .until("that it is over is told", |world| {
                world.events() == ["Warning InvalidSpec", "Normal Succeeded"]
            })
            .await;
    })
    .await;
}

/// Tools apply bindings once policies are ready; a binding that admission refuses then fails for good.
#[tokio::test(start_paused = true)]
async fn a_policy_is_ready_only_once_admission_decides_by_it() {
    story(async |world| {
        is(world, "shared", State::Current).await;
        let away = Matcher::writes().client(OPERATOR).resource(MERGED);
        let fault = world.cluster.inject(away, Effect::forbidden());
        world.cluster.seed(payments());
        world
            .until("it says why it waits", |world| {
                let policy: WorkloadIdentityPolicy = world.cluster.get("", "payments").unwrap();
                let status = policy.status.unwrap_or_default();
                status.condition(ConditionType::Reconciling).is_some()
            })
            .await;
        assert_eq!(state(world, "payments"), State::InProgress);
        let waits: WorkloadIdentityPolicy = world.cluster.get("", "payments").unwrap();
        assert!(
            said(&waits).starts_with("Admission goes on with the policies as they were: "),
            "{}",
            said(&waits)
        );
        sleep(Duration::from_mins(5)).await;
        assert_eq!(state(world, "payments"), State::InProgress);
        fault.remove();
        is(world, "payments", State::Current).await;
        let log = world.cluster_writes();
        let landed = log
            .iter()
            .rposition(|request| request.resource == MERGED && request.changed);
        let ready = log
            .iter()
            .rposition(|request| request.resource == POLICIES && request.name == "payments");
        assert!(landed < ready, "{log:#?}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_edit_is_observed_and_its_time_stays_unless_something_changed() {
    story(async |world| {
        world.cluster.seed(payments());
        let before = is(world, "payments", State::Current).await;
        sleep(Duration::from_mins(10)).await;
        let allow = |object: &mut Value| object["spec"]["maxRoleAssignments"] = json!(7);
        world.cluster.edit::<WorkloadIdentityPolicy>("", "payments", allow);
        assert_eq!(state(world, "payments"), State::InProgress, "not before it was seen");
        let after = is(world, "payments", State::Current).await;
        let time = |policy: &WorkloadIdentityPolicy| {
            policy.status.clone().unwrap().conditions[0]
                .last_transition_time
                .clone()
        };
        assert_eq!(time(&before), time(&after));
        assert_eq!(world.events(), Vec::<String>::new(), "nothing went wrong");
    })
    .await;
}

/// The status of each is written once, and each of those writes comes back by the watch.
#[tokio::test(start_paused = true)]
async fn many_policies_are_told_about_once_each() {
    const MANY: usize = 300;
    story(async |world| {
        is(world, "shared", State::Current).await;
        world.forget_requests();
        for n in 0..MANY {
            world
                .cluster
                .seed(policy(&format!("team-{n}")).namespace(&format!("team-{n}")).build());
        }
        is(world, &format!("team-{}", MANY - 1), State::Current).await;
        sleep(Duration::from_mins(1)).await;
        let ready = |n: usize| state(world, &format!("team-{n}")) == State::Current;
        assert!((0..MANY).all(ready));
        assert_eq!(writes(world), MANY);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_forged_status_is_put_right_and_who_goes_on_forging_is_answered_in_growing_pauses() {
    story(async |world| {
        world.cluster.seed(misspelt());
        is(world, "payments", State::Failed).await;
        world.forget_requests();
        for _ in 0..200 {
            let forge = |object: &mut Value| {
                object["status"]["conditions"] = json!([{
                    "type": "Ready", "status": "True", "reason": "Succeeded", "message": "All is well.",
                    "observedGeneration": 1, "lastTransitionTime": "2026-01-01T00:00:00Z",
                }]);
            };
            world.cluster.edit::<WorkloadIdentityPolicy>("", "payments", forge);
            sleep(Duration::from_secs(1)).await;
        }
        assert!((2..40).contains(&writes(world)), "{} writes", writes(world));
        is(world, "payments", State::Failed).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_status_that_cannot_be_written_is_tried_again_and_keeps_nobody_waiting() {
    story(async |world| {
        let refused = Matcher::writes().client(OPERATOR).resource(POLICIES).name("payments");
        let fault = world.cluster.inject(refused, Effect::forbidden());
        world.cluster.seed(payments());
        world.cluster.seed(policy("zoo").namespace("zoo").build());
        is(world, "zoo", State::Current).await;
        sleep(Duration::from_mins(30)).await;
        assert!((2..40).contains(&writes(world)), "{} writes", writes(world));
        fault.remove();
        is(world, "payments", State::Current).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_policy_that_was_written_anew_is_told_about_anew() {
    story(async |world| {
        world.cluster.seed(payments());
        is(world, "payments", State::Current).await;
        world.cluster.delete::<WorkloadIdentityPolicy>("", "payments");
        world.cluster.seed(payments());
        is(world, "payments", State::Current).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_restart_writes_no_status_anew() {
    story(async |world| {
        world.cluster.seed(misspelt());
        is(world, "payments", State::Failed).await;
        world.stop().await;
        world.forget_requests();
        world.start().await;
        sleep(Duration::from_mins(10)).await;
        assert_eq!(writes(world), 0);
        assert_eq!(world.notes(Reason::InvalidSpec.as_str()).len(), 1);
    })
    .await;
}

/// A pipeline that adds namespace after namespace to a policy was taken for somebody who changes its status back: the last edits were observed
/// minutes later, and whoever waits for the policy waited for that.
#[tokio::test(start_paused = true)]
async fn each_edit_of_a_policy_is_observed_at_once_however_many_came_before() {
    story(async |world| {
        world.cluster.seed(payments());
        is(world, "payments", State::Current).await;
        for n in 0..20 {
            let allow = |object: &mut Value| object["spec"]["maxRoleAssignments"] = json!(n);
            world.cluster.edit::<WorkloadIdentityPolicy>("", "payments", allow);
            sleep(Duration::from_secs(5)).await;
            assert_eq!(state(world, "payments"), State::Current, "edit {n}");
        }
    })
    .await;
}

/// One write that failed for a second cost two statuses and two Events for each policy, and to Flux none of them was ready.
#[tokio::test(start_paused = true)]
async fn what_admission_knows_stays_ready_while_another_policy_cannot_be_made_known() {
    story(async |world| {
        for n in 0..20 {
            world
                .cluster
                .seed(policy(&format!("team-{n}")).namespace(&format!("team-{n}")).build());
        }
        is(world, "team-19", State::Current).await;
        sleep(Duration::from_mins(1)).await;
        world.forget_requests();
        let away = Matcher::writes().client(OPERATOR).resource(MERGED);
        let fault = world.cluster.inject(away, Effect::forbidden());
        world.cluster.seed(payments());
        sleep(Duration::from_mins(1)).await;
        assert_eq!(state(world, "payments"), State::InProgress);
        assert_eq!(state(world, "team-0"), State::Current);
        fault.remove();
        is(world, "payments", State::Current).await;
        sleep(Duration::from_mins(1)).await;
        assert_eq!(writes(world), 2, "that it waits, and that it is ready");
    })
    .await;
}
