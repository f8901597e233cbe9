use std::time::Duration;

use tokio::time::{Instant, sleep};
use wio_api::{Reason, WorkloadIdentityBinding};
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

fn ask_for_a_look(world: &World, value: &str) {
    world.edit("orders", |object| {
        object["metadata"]["annotations"] = serde_json::json!({ wio_api::keys::RECONCILE_AT_ANNOTATION: value });
    });
}

/// Whoever had mended what the status asks for could only wait for ten minutes or have the operator restarted.
#[tokio::test(start_paused = true)]
async fn a_look_that_is_asked_for_is_taken_at_once_also_of_what_is_stalled() {
    story(async |world| {
        world
            .azure
            .inject(Fault::any().forever().respond(403, "AuthorizationFailed"));
        create_orders(world);
        world.says("orders", Reason::AuthorizationFailed).await;
        sleep(Duration::from_hours(1)).await;
        world.azure.clear_faults();
        let cured = Instant::now();
        ask_for_a_look(world, "now");
        let ready = world.ready("orders").await;
        assert!(cured.elapsed() < Duration::from_secs(5), "{:?}", cured.elapsed());
        assert_eq!(ready.status.unwrap().last_handled_reconcile_at.as_deref(), Some("now"));
        assert_whole(world);
    })
    .await;
}

/// It is everybody's budget that is spent.
#[tokio::test(start_paused = true)]
async fn looks_that_are_asked_for_all_the_time_are_taken_now_and_then() {
    story(async |world| {
        create_orders(world);
        world.ready("orders").await;
        sleep(Duration::from_mins(1)).await;
        world.forget_requests();
        for n in 0..600 {
            ask_for_a_look(world, &n.to_string());
            sleep(Duration::from_millis(100)).await;
        }
        let looks = world
            .asked()
            .iter()
            .filter(|line| line.starts_with("GET identity:"))
            .count();
        assert!((5..=8).contains(&looks), "{looks} in a minute");
        let heeded = |world: &World| world.binding("orders").status.unwrap().last_handled_reconcile_at;
        world
            .until("the last one is taken", |world| heeded(world).as_deref() == Some("599"))
            .await;
        // A restart takes none again. The first look for drift is anywhere within an interval: here in hardly any of the next seconds.
        world.crash().await;
        world.drift_interval = DRIFT * 30;
        world.forget_requests();
        world.start().await;
        sleep(Duration::from_secs(20)).await;
        let looks = world
            .asked()
            .iter()
            .filter(|line| line.starts_with("GET identity:"))
            .count();
        assert_eq!(looks, 0, "{:?}", world.asked());
    })
    .await;
}

/// The operator's own finalizer had it try again within 30 ms.
#[tokio::test(start_paused = true)]
async fn the_first_failure_is_paused_after_like_any_other() {
    story(async |world| {
        world.azure.inject(
            Fault::on("PUT")
                .forever()
                .respond(409, "MissingSubscriptionRegistration"),
        );
        create_orders(world);
        let told = world.says("orders", Reason::ProviderNotRegistered).await;
        assert_eq!(condition(&told, "Stalled").status, "True");
        for kind in ["Ready", "IdentityReady"] {
            let condition = condition(&told, kind);
            assert_eq!(condition.reason, "ProviderNotRegistered", "{kind}");
            assert!(
                condition.message.contains("az provider register"),
                "{}",
                condition.message
            );
        }
        sleep(Duration::from_secs(5)).await;
        let tries = world.asked().iter().filter(|line| line.starts_with("PUT")).count();
        assert_eq!(tries, 1, "{:?}", world.asked());
        world.azure.clear_faults();
        world.ready("orders").await;
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
            world.asked()[1..].iter().all(|line| !line.starts_with("GET")),
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

/// Each hung for most of a minute in one of a few places for all, and another team's revocation did not happen in a day.
#[tokio::test(start_paused = true)]
async fn a_namespace_that_hangs_keeps_no_other_waiting() {
    let mut world = World::new();
    world.cluster.create_namespace("bank");
    world.start().await;
    let of_bank = |name: &str| binding("bank", name).managed().service_account(name);
    let is_ready = |binding: &WorkloadIdentityBinding| {
        find_condition(binding, "Ready").is_some_and(|ready| ready.status == "True")
    };
    world.create(of_bank("first"));
    world.cluster.wait_for("bank", "first", is_ready).await;
    let hanging = Fault::on("PUT").kind(ResourceKind::Identity).path("wib-shop-");
    world.azure.inject(hanging.forever().hang());
    world.create_many(200);
    sleep(Duration::from_secs(5)).await;
    let begun = Instant::now();
    world.cluster.delete::<WorkloadIdentityBinding>("bank", "first");
    world
        .cluster
        .wait_gone::<WorkloadIdentityBinding>("bank", "first")
        .await;
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(5), "trust went after {took:?}");
    world.create(of_bank("second"));
    world.cluster.wait_for("bank", "second", is_ready).await;
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(10), "a new one was ready after {took:?}");
    world.azure.clear_faults();
    world.all_ready(200).await;
}
