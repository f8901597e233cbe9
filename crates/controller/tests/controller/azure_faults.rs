use std::time::Duration;

use tokio::time::{Instant, sleep};
use wio_api::Reason;
use wio_azure_sim::{Fault, ResourceKind};
use wio_testkit::fixtures::binding;

use crate::world::*;

fn on_credential() -> Fault {
    Fault::on("PUT").kind(ResourceKind::Credential)
}

fn create_orders(world: &World) {
    world.create(
        binding(NAMESPACE, "orders")
            .managed()
            .service_account("orders")
            .service_account("invoices"),
    );
}

/// The state that all paths lead to.
#[track_caller]
fn assert_whole(world: &World) {
    let identity = world.identity();
    assert_eq!(identity.credentials.len(), 2);
    for account in ["orders", "invoices"] {
        let client_id = world.annotation(account, wio_api::keys::CLIENT_ID_ANNOTATION);
        assert_eq!(client_id, Some(identity.client_id.to_string()), "{account}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_missing_permission_is_said_and_heals_when_it_is_granted() {
    story(async |world| {
        world
            .azure
            .inject(Fault::any().forever().respond(403, "AuthorizationFailed"));
        create_orders(world);
        let refused = world.says("orders", Reason::AuthorizationFailed).await;
        assert_eq!(condition(&refused, "Stalled").status, "True");
        assert!(message(&refused).contains("role"), "{}", message(&refused));
        sleep(Duration::from_hours(1)).await;
        let asked = world.asked().len();
        assert!(asked < 30, "{asked} requests in an hour");
        world.azure.clear_faults();
        world.ready("orders").await;
        assert_whole(world);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_lost_permission_is_noticed_and_heals() {
    story(async |world| {
        create_orders(world);
        world.ready("orders").await;
        world
            .azure
            .inject(Fault::any().forever().respond(403, "AuthorizationFailed"));
        world.says("orders", Reason::AuthorizationFailed).await;
        world.azure.clear_faults();
        world.ready("orders").await;
    })
    .await;
}

/// Also when the cluster asks for attention meanwhile: a changed spec, a service account, a problem of another kind.
#[tokio::test(start_paused = true)]
async fn azure_is_not_asked_before_it_wants_to_be() {
    story(async |world| {
        world.azure.inject(
            on_credential()
                .respond(429, "TooManyRequests")
                .header("Retry-After", "90"),
        );
        let orders = binding(NAMESPACE, "orders").managed().service_account("orders");
        world.create(orders.service_account("invoices").not_created());
        let throttled = world.says("orders", Reason::Throttled).await;
        assert_eq!(condition(&throttled, "Reconciling").status, "True");
        let (told, asked) = (Instant::now(), world.asked().len());
        sleep(Duration::from_secs(5)).await;
        world
            .cluster
            .seed(wio_testkit::fixtures::service_account(NAMESPACE, "invoices").build());
        world.edit("orders", |object| {
            object["spec"]["audience"] = serde_json::json!("api://other");
        });
        sleep(Duration::from_secs(84)).await;
        assert_eq!(world.asked().len(), asked, "{:?}", world.asked());
        world.ready("orders").await;
        assert!(told.elapsed() < Duration::from_mins(3), "and soon after");
        assert_whole(world);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn another_writer_is_waited_for() {
    story(async |world| {
        let code = "ConcurrentFederatedIdentityCredentialsWritesForSingleManagedIdentity";
        world.azure.inject(on_credential().times(3).respond(409, code));
        create_orders(world);
        let waiting = world.says("orders", Reason::ConcurrentWrites).await;
        assert_eq!(condition(&waiting, "Ready").status, "Unknown", "it is nobody's fault");
        world.ready("orders").await;
        assert_whole(world);
        assert!(
            world.asked().iter().all(|line| !line.starts_with("GET")),
            "{:?}",
            world.asked()
        );
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_error_of_azures_own_is_tried_again_after_a_look() {
    story(async |world| {
        for status in [500, 503] {
            world
                .azure
                .inject(on_credential().respond(status, "InternalServerError"));
        }
        create_orders(world);
        world.says("orders", Reason::AzureUnavailable).await;
        world.ready("orders").await;
        assert_whole(world);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_request_that_hangs_is_given_up_and_tried_again() {
    story(async |world| {
        world.azure.inject(Fault::on("PUT").kind(ResourceKind::Identity).hang());
        create_orders(world);
        let timed_out = world.says("orders", Reason::AzureUnavailable).await;
        assert!(message(&timed_out).contains("in time"), "{}", message(&timed_out));
        world.ready("orders").await;
        assert_whole(world);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_write_whose_answer_was_lost_is_not_made_twice() {
    for lost in [Fault::drop_connection, Fault::hang] {
        for kind in [ResourceKind::Identity, ResourceKind::Credential] {
            story(async |world| {
                world.azure.inject(lost(Fault::on("PUT").kind(kind).execute()));
                create_orders(world);
                world.ready("orders").await;
                assert_whole(world);
                let made = world
                    .asked()
                    .iter()
                    .filter(|line| line.starts_with("PUT") && line.ends_with("201"))
                    .count();
                assert_eq!(made, 2, "{:?}", world.asked());
                assert!(
                    world
                        .asked()
                        .iter()
                        .all(|line| !line.ends_with(": 200") || line.starts_with("GET"))
                );
            })
            .await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn pauses_between_failures_grow() {
    story(async |world| {
        world
            .azure
            .inject(Fault::any().forever().respond(500, "InternalServerError"));
        create_orders(world);
        world.says("orders", Reason::AzureUnavailable).await;
        sleep(Duration::from_mins(30)).await;
        let at: Vec<_> = world.azure.requests().iter().map(|request| request.at).collect();
        assert!(at.len() < 25, "{} requests in half an hour", at.len());
        let pause = |pair: &[jiff::Timestamp]| pair[1].duration_since(pair[0]).as_secs();
        let (first, last) = (pause(&at[..2]), pause(&at[at.len() - 2..]));
        assert!(first <= 2 && last >= 120, "{first} s, then {last} s");
        world.azure.clear_faults();
        world.ready("orders").await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn one_bindings_trouble_does_not_slow_another() {
    story(async |world| {
        world.azure.inject(Fault::any().path("wib-shop-sick").forever().hang());
        world.create(binding(NAMESPACE, "sick").managed().service_account("sick"));
        world.says("sick", Reason::AzureUnavailable).await;
        let begun = Instant::now();
        create_orders(world);
        world.ready("orders").await;
        assert!(begun.elapsed() < Duration::from_secs(2));
        world.azure.clear_faults();
        world.ready("sick").await;
    })
    .await;
}
