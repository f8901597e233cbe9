//! What changes while a plan is carried out, and what a cache does not tell.

use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, sleep};
use wio_api::{Reason, WorkloadIdentityPolicy};
use wio_azure_sim::{Fault, IdentityId, ResourceKind};
use wio_testkit::Effect;
use wio_testkit::fixtures::{BindingBuilder, binding, policy};

use crate::world::*;

fn elsewhere() -> String {
    IdentityId::new(SUBSCRIPTION, OTHER_GROUP, "billing").to_string()
}

/// A policy lets the namespace have an identity, and a binding asks for it.
fn allowed(world: &World) -> BindingBuilder {
    world.foreign_identity(OTHER_GROUP, "billing", vec![]);
    let payments = policy("payments").namespace(NAMESPACE).existing(&elsewhere());
    world.cluster.seed(payments.build());
    binding(NAMESPACE, "orders").existing(&elsewhere())
}

fn end_policy(world: &World) {
    world.cluster.delete::<WorkloadIdentityPolicy>("", "payments");
}

fn puts(world: &World) -> usize {
    world
        .asked()
        .iter()
        .filter(|line| line.starts_with("PUT credential"))
        .count()
}

fn credentials(world: &World) -> usize {
    world.identity().credentials.len()
}

/// All twenty were given, one after the other, and taken away after the last one. An answer comes before the operator gives it up, which would end the plan.
#[tokio::test(start_paused = true)]
async fn what_a_policy_ends_in_the_midst_of_a_plan_is_not_given_first() {
    story(async |world| {
        let slow = Fault::on("PUT")
            .kind(ResourceKind::Credential)
            .delay(Duration::from_secs(15));
        world.azure.inject(slow.execute().forever());
        let orders = allowed(world);
        world.create((0..20).fold(orders, |built, n| built.service_account(&format!("account-{n}"))));
        world
            .until("the first is trusted", |world| credentials(world) > 0)
            .await;
        end_policy(world);
        let ended = Instant::now();
        world.says("orders", Reason::NotPermitted).await;
        world.until("nobody is trusted", |world| credentials(world) == 0).await;
        assert!(ended.elapsed() < Duration::from_secs(70), "{:?}", ended.elapsed());
        assert!(puts(world) <= 2, "{:?}", world.asked());
    })
    .await;
}

/// The next account had to wait for ten minutes, and so did the end of the trust that stood.
#[tokio::test(start_paused = true)]
async fn azure_asking_to_wait_with_a_grant_holds_no_revocation_back() {
    story(async |world| {
        let orders = allowed(world);
        world.create(orders.service_account("orders"));
        world.ready("orders").await;
        let busy = Fault::on("PUT")
            .kind(ResourceKind::Credential)
            .respond(429, "TooManyRequests");
        world.azure.inject(busy.header("Retry-After", "600").forever());
        world.edit("orders", |object| {
            object["spec"]["serviceAccounts"]
                .as_array_mut()
                .unwrap()
                .push(json!({ "name": "web" }));
        });
        world.says("orders", Reason::Throttled).await;
        end_policy(world);
        let ended = Instant::now();
        world.until("nobody is trusted", |world| credentials(world) == 0).await;
        // A policy that disappeared is acted upon after half a minute of quiet, and the pauses until then grow.
        assert!(ended.elapsed() < Duration::from_secs(90), "{:?}", ended.elapsed());
        world.says("orders", Reason::NotPermitted).await;
    })
    .await;
}

/// The same within one binding: an account that leaves the spec does not stay trusted because another one has to wait.
#[tokio::test(start_paused = true)]
async fn an_account_that_leaves_the_spec_does_not_wait_for_one_that_comes() {
    story(async |world| {
        let orders = allowed(world);
        world.create(orders.service_account("orders").service_account("web"));
        world.ready("orders").await;
        let busy = Fault::on("PUT")
            .kind(ResourceKind::Credential)
            .respond(429, "TooManyRequests");
        world.azure.inject(busy.header("Retry-After", "600"));
        world.edit("orders", |object| {
            object["spec"]["serviceAccounts"]
                .as_array_mut()
                .unwrap()
                .push(json!({ "name": "invoices" }));
        });
        world.says("orders", Reason::Throttled).await;
        let tried = puts(world);
        world.edit("orders", |object| {
            object["spec"]["serviceAccounts"].as_array_mut().unwrap().remove(0);
        });
        let edited = Instant::now();
        world
            .until("orders is not trusted", |world| credentials(world) == 1)
            .await;
        assert!(edited.elapsed() < Duration::from_secs(10), "{:?}", edited.elapsed());
        assert_eq!(puts(world), tried, "Azure is not asked to give before it wants to be");
        world.ready("orders").await;
        assert!(edited.elapsed() > Duration::from_secs(500));
    })
    .await;
}

/// Its watch of policies failed for a long time, and at each drift look it gave back what a policy had ended.
#[tokio::test(start_paused = true)]
async fn who_does_not_hear_of_policies_gives_nothing_back() {
    story(async |world| {
        let orders = allowed(world);
        world.create(orders.service_account("orders"));
        world.ready("orders").await;
        let policies = by_operator().resource("workloadidentitypolicies");
        world.cluster.inject(policies, Effect::unavailable());
        world.cluster.break_watches();
        sleep(Duration::from_mins(10)).await;
        end_policy(world);
        world.change_azure(|azure| azure.identities[0].credentials.clear());
        world.forget_requests();
        world.says("orders", Reason::NotDecided).await;
        sleep(DRIFT * 3).await;
        assert_eq!((credentials(world), puts(world)), (0, 0));
        world.cluster.clear_faults();
        world.says("orders", Reason::NotPermitted).await;
        assert_eq!(puts(world), 0);
    })
    .await;
}

/// An operator that was cut off from the cluster, and not from Azure, gave back at each drift look what another one had taken away.
#[tokio::test(start_paused = true)]
async fn who_does_not_hear_of_an_edit_gives_nothing_back() {
    story(async |world| {
        let orders = binding(NAMESPACE, "orders").managed();
        world.create(orders.service_account("orders").service_account("web"));
        world.ready("orders").await;
        world.cluster.hold_events("workloadidentitybindings");
        world.edit("orders", |object| {
            object["spec"]["serviceAccounts"].as_array_mut().unwrap().truncate(1);
        });
        world.change_azure(|azure| {
            let credentials = &mut azure.identities[0].credentials;
            credentials.retain(|credential| credential.subject.as_deref().unwrap().ends_with(":orders"));
        });
        world.forget_requests();
        sleep(DRIFT * 4).await;
        assert_eq!((credentials(world), puts(world)), (1, 0));
        let reads = world
            .cluster
            .requests()
            .iter()
            .filter(|request| request.client == OPERATOR)
            .count();
        assert!(reads < 1000, "{reads} requests");
        world.cluster.release_events("workloadidentitybindings");
        world.ready("orders").await;
        assert_eq!(credentials(world), 1);
    })
    .await;
}

/// The event of the status that told of the denial was lost, and a minute later the cache was believed: by it the credential stood, so the service account got the client id
/// back without it, and the binding said Ready.
#[tokio::test(start_paused = true)]
async fn a_cache_that_lost_an_event_is_not_believed_when_what_was_taken_away_is_given_again() {
    story(async |world| {
        // Where it is not known who the operator is, nothing is given by what a status tells.
        world.stop().await;
        world.sign_in_as("5d0c1f6e-3f43-4d0a-8a39-2f6b9a1f2c11");
        world.start().await;
        let orders = allowed(world);
        world.create(orders.service_account("orders"));
        world.ready("orders").await;
        let allow = |world: &World, id: &str| {
            world.cluster.edit::<WorkloadIdentityPolicy>("", "payments", |object| {
                object["spec"]["existingIdentities"] = json!([id]);
            });
        };
        world.cluster.lose_events("workloadidentitybindings", 1);
        allow(world, &elsewhere().replace("billing", "another"));
        world.says("orders", Reason::NotPermitted).await;
        let annotated = |world: &World| {
            world
                .annotation("orders", wio_api::keys::CLIENT_ID_ANNOTATION)
                .is_some()
        };
        assert_eq!((credentials(world), annotated(world)), (0, false));
        // What is given again waits until the cache shows the write, for a minute at most.
        sleep(Duration::from_secs(45)).await;
        allow(world, &elsewhere());
        world.until("the client id is back", annotated).await;
        assert_eq!(credentials(world), 1, "it came after its credential");
        world.ready("orders").await;
    })
    .await;
}
