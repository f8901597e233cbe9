//! What admission decides with: all policies in one object.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use wio_api::{Reason, WorkloadIdentityEffectivePolicy, WorkloadIdentityPolicy};
use wio_azure_sim::IdentityId;
use wio_testkit::fixtures::{binding, policy};
use wio_testkit::{Effect, Matcher};

use crate::world::*;

const KIND: &str = "workloadidentityeffectivepolicies";

fn effective(world: &World) -> Value {
    world.cluster.get_json::<WorkloadIdentityEffectivePolicy>("", "cluster")["spec"].clone()
}

fn names(world: &World) -> Vec<String> {
    let spec = effective(world);
    let policies = spec["policies"].as_array().into_iter().flatten();
    policies
        .map(|policy| policy["name"].as_str().unwrap().to_owned())
        .collect()
}

async fn merges(world: &World, policies: &[&str]) {
    let what = format!("it merges {policies:?}");
    world.until(&what, |world| names(world) == policies).await;
}

fn elsewhere() -> String {
    IdentityId::new(SUBSCRIPTION, OTHER_GROUP, "*").to_string()
}

fn payments() -> WorkloadIdentityPolicy {
    policy("payments").namespace(NAMESPACE).existing(&elsewhere()).build()
}

fn writes(world: &World) -> usize {
    let all = world.cluster_writes();
    all.iter().filter(|request| request.resource == KIND).count()
}

#[tokio::test(start_paused = true)]
async fn policies_are_merged_at_the_start_and_after_each_change() {
    story(async |world| {
        merges(world, &["shared"]).await;
        let spec = effective(world);
        assert_eq!(
            [&spec["subscriptionId"], &spec["resourceGroup"], &spec["location"]],
            [SUBSCRIPTION, GROUP, "westeurope"]
        );
        world.cluster.seed(payments());
        merges(world, &["payments", "shared"]).await;
        world.cluster.delete::<WorkloadIdentityPolicy>("", "payments");
        merges(world, &["shared"]).await;
        assert_eq!(writes(world), 2);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_people_do_to_the_merged_policies_is_put_right() {
    story(async |world| {
        merges(world, &["shared"]).await;
        let ours = effective(world);
        let forged: [fn(&mut Value); 3] = [
            |object| object["spec"]["policies"] = json!([]),
            |object| object["spec"]["problems"] = json!(["nothing is allowed"]),
            |object| {
                let mut forged = object["spec"]["policies"][0].clone();
                forged["name"] = json!("forged");
                object["spec"]["policies"].as_array_mut().unwrap().push(forged);
            },
        ];
        for forge in forged {
            world
                .cluster
                .edit::<WorkloadIdentityEffectivePolicy>("", "cluster", forge);
            assert_ne!(effective(world), ours);
            world.until("it is put right", |world| effective(world) == ours).await;
        }
        world.cluster.delete::<WorkloadIdentityEffectivePolicy>("", "cluster");
        world.until("it is there again", |world| effective(world) == ours).await;
        assert_eq!(writes(world), 4);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_restart_writes_the_merged_policies_only_when_they_differ() {
    story(async |world| {
        merges(world, &["shared"]).await;
        world.stop().await;
        world.forget_requests();
        world.start().await;
        sleep(Duration::from_mins(1)).await;
        assert_eq!(writes(world), 0);
        world.stop().await;
        world.cluster.seed(payments());
        world.start().await;
        merges(world, &["payments", "shared"]).await;
        assert_eq!(writes(world), 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_policy_that_cannot_be_used_is_told_of_and_stops_no_other() {
    story(async |world| {
        world.cluster.seed(payments());
        let unknown = policy("broken")
            .namespace(NAMESPACE)
            .role("No Such Role", &["/subscriptions/x"]);
        world.cluster.seed(unknown.build());
        for part in [
            "spec.roles[0].role of WorkloadIdentityPolicy broken",
            "spec.roles[0].scopes[0]",
        ] {
            let what = format!("it tells of {part}");
            world
                .until(&what, |world| effective(world)["problems"].to_string().contains(part))
                .await;
        }
        let id = world.foreign_identity(OTHER_GROUP, "orders", Vec::new());
        world.create(binding(NAMESPACE, "orders").existing(&id).service_account("orders"));
        world.ready("orders").await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_merged_policy_that_cannot_be_written_keeps_no_binding_from_its_own() {
    story(async |world| {
        world.stop().await;
        world.cluster.seed(payments());
        let fault = world
            .cluster
            .inject(Matcher::writes().client(OPERATOR).resource(KIND), Effect::forbidden());
        world.start().await;
        world.until("it tried", |_| fault.hits() > 2).await;
        let id = world.foreign_identity(OTHER_GROUP, "orders", Vec::new());
        world.create(binding(NAMESPACE, "orders").existing(&id).service_account("orders"));
        world.ready("orders").await;
        fault.remove();
        merges(world, &["payments", "shared"]).await;
    })
    .await;
}

/// Two writers that do not agree must not wear the API server down.
#[tokio::test(start_paused = true)]
async fn somebody_who_changes_it_again_and_again_is_answered_with_patience() {
    story(async |world| {
        merges(world, &["shared"]).await;
        world.forget_requests();
        let ours = effective(world);
        for _ in 0..50 {
            world
                .cluster
                .edit::<WorkloadIdentityEffectivePolicy>("", "cluster", |object| {
                    object["spec"]["policies"] = json!([]);
                });
            sleep(Duration::from_millis(100)).await;
        }
        let written = writes(world);
        assert!((1..=15).contains(&written), "{written} writes within 5 seconds");
        world.until("it is put right", |world| effective(world) == ours).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_limit_of_credentials_counts_what_older_bindings_of_the_namespace_hold() {
    story(async |world| {
        let limit = policy("limit").namespace(NAMESPACE).max_federated_credentials(1);
        world.cluster.seed(limit.build());
        world.create(binding(NAMESPACE, "orders").managed().service_account("orders"));
        world.ready("orders").await;
        sleep(Duration::from_secs(2)).await;
        world.create(binding(NAMESPACE, "invoices").managed().service_account("invoices"));
        world.says("invoices", Reason::NotPermitted).await;
        world.cluster.delete::<WorkloadIdentityPolicy>("", "limit");
        world.ready("invoices").await;
    })
    .await;
}

/// An older binding that grew left its namespace over the limit until the newer one's next drift check, and a freed place woke nobody.
#[tokio::test(start_paused = true)]
async fn whoever_waits_for_room_in_the_namespace_is_decided_about_when_there_is_and_whoever_has_none_any_more_too() {
    story(async |world| {
        let limit = policy("limit").namespace(NAMESPACE).max_federated_credentials(2);
        world.cluster.seed(limit.build());
        world.create(binding(NAMESPACE, "orders").managed().service_account("orders"));
        world.ready("orders").await;
        sleep(Duration::from_secs(2)).await;
        world.create(binding(NAMESPACE, "invoices").managed().service_account("invoices"));
        world.ready("invoices").await;
        let soon = Instant::now() + Duration::from_secs(10);
        let grow = |names: &'static [&'static str]| {
            move |object: &mut Value| {
                let accounts: Vec<_> = names.iter().map(|name| json!({ "name": name })).collect();
                object["spec"]["serviceAccounts"] = json!(accounts);
            }
        };
        world.edit("orders", grow(&["orders", "mails"]));
        let full = world.says("invoices", Reason::NotPermitted).await;
        assert!(
            message(&full).contains("older bindings hold them all"),
            "{}",
            message(&full)
        );
        world.until("its trust is gone", |world| world.credentials() == 2).await;
        world.edit("orders", grow(&["orders"]));
        world.ready("invoices").await;
        assert!(Instant::now() < soon, "nobody waited for a drift check");
    })
    .await;
}
