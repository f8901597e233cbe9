use std::time::Duration;

use tokio::time::sleep;
use wio_api::keys;
use wio_testkit::fixtures::binding;
use wio_testkit::{Effect, Verb};

use crate::world::*;

fn create_orders(world: &World) {
    world.create(
        binding(NAMESPACE, "orders")
            .managed()
            .service_account("orders")
            .service_account("invoices"),
    );
}

/// Each write of the first reconcile meets each fault once, carried out or not.
#[tokio::test(start_paused = true)]
async fn a_write_that_fails_is_made_again() {
    let effects = || {
        [
            Effect::conflict(),
            Effect::internal_error(),
            Effect::unavailable(),
            Effect::too_many_requests(1),
            Effect::connection_error(),
            Effect::connection_error().after_serving(),
            Effect::hang(),
            Effect::hang().after_serving(),
        ]
    };
    for write in 0..5 {
        for effect in effects() {
            story(async |world| {
                let fault = world.cluster.inject(
                    wio_testkit::Matcher::writes().client(OPERATOR).skip(write).once(),
                    effect.clone(),
                );
                create_orders(world);
                world.ready("orders").await;
                world.until("the fault is met", |_| fault.hits() == 1).await;
                assert_eq!(world.identity().credentials.len(), 2);
                let writes = world
                    .asked()
                    .into_iter()
                    .filter(|line| !line.starts_with("GET"))
                    .count();
                assert_eq!(writes, 3, "{write} {effect:?}: {:?}", world.asked());
            })
            .await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn watches_that_break_or_expire_lose_nothing() {
    story(async |world| {
        create_orders(world);
        world.ready("orders").await;
        world.forget_requests();
        for round in 0..2 {
            world.cluster.lose_events("serviceaccounts", 1);
            world.edit_account("orders", |object| {
                object["metadata"]["annotations"]
                    .as_object_mut()
                    .unwrap()
                    .remove(keys::CLIENT_ID_ANNOTATION);
            });
            world.cluster.compact();
            if round == 0 {
                world.cluster.break_watches();
            } else {
                world.cluster.expire_watches();
            }
            world
                .until(&format!("it is mended in round {round}"), |world| {
                    world.annotation("orders", keys::CLIENT_ID_ANNOTATION).is_some()
                })
                .await;
        }
        sleep(Duration::from_mins(1)).await;
        let writes = world.cluster_writes();
        let applies = writes
            .iter()
            .filter(|write| write.resource == "serviceaccounts")
            .count();
        assert_eq!(
            applies,
            2,
            "a new list makes no writes of its own: {:?}",
            world.cluster_writes()
        );
        // Two edits are taken for somebody who goes on, and are told of for an hour.
        sleep(Duration::from_hours(3)).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn watches_that_cannot_be_opened_are_tried_again_without_haste() {
    story(async |world| {
        let watches = by_operator().verb(Verb::Watch);
        let fault = world.cluster.inject(watches, Effect::gone());
        world.cluster.break_watches();
        sleep(Duration::from_mins(10)).await;
        let tries = fault.hits();
        // Each of the five watches at most every ten seconds or so.
        assert!((2..400).contains(&tries), "{tries} in ten minutes");
        fault.remove();
        create_orders(world);
        world.ready("orders").await;
    })
    .await;
}

/// A cache that lags behind our own writes would make us write the status and the Event once more.
#[tokio::test(start_paused = true)]
async fn an_older_copy_is_not_acted_on() {
    story(async |world| {
        create_orders(world);
        world
            .until("the operator saw it", |world| !world.asked().is_empty())
            .await;
        world.cluster.hold_events("workloadidentitybindings");
        world.ready("orders").await;
        sleep(Duration::from_secs(20)).await;
        let writes = world.cluster_writes();
        let statuses = writes.iter().filter(|write| write.subresource == "status").count();
        assert_eq!(
            (statuses, writes.len()),
            (2, 6),
            "the announcement and the end: {writes:#?}"
        );
        assert_eq!(world.events(), ["Normal Succeeded"]);
        world.cluster.release_events("workloadidentitybindings");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_outage_of_the_api_server_is_survived() {
    story(async |world| {
        create_orders(world);
        world.until("it began", |world| !world.asked().is_empty()).await;
        let fault = world.cluster.inject(by_operator(), Effect::connection_error());
        world.cluster.break_watches();
        sleep(Duration::from_mins(20)).await;
        fault.remove();
        world.ready("orders").await;
        let writes = world
            .asked()
            .into_iter()
            .filter(|line| !line.starts_with("GET"))
            .count();
        assert_eq!(writes, 3, "{:?}", world.asked());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_event_that_is_refused_changes_nothing() {
    story(async |world| {
        world
            .cluster
            .inject(by_operator().resource("events"), Effect::forbidden());
        create_orders(world);
        world.ready("orders").await;
        assert_eq!(world.events(), [""; 0]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_finalizer_that_somebody_removed_comes_back() {
    story(async |world| {
        create_orders(world);
        world.ready("orders").await;
        world.edit("orders", |object| {
            object["metadata"]["finalizers"] = serde_json::json!([]);
        });
        world
            .until("it is back", |world| {
                world.binding("orders").metadata.finalizers.is_some()
            })
            .await;
    })
    .await;
}
