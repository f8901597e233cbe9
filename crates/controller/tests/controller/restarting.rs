use std::time::Duration;

use tokio::time::sleep;
use wio_api::keys;
use wio_azure_sim::Fault;
use wio_testkit::Verb;
use wio_testkit::fixtures::binding;

use crate::world::*;

#[tokio::test(start_paused = true)]
async fn a_restart_writes_nothing_and_asks_azure_nothing_at_once() {
    story(async |world| {
        world.create_many(20);
        world.all_ready(20).await;
        world.stop().await;
        world.forget_requests();
        world.start().await;
        sleep(Duration::from_secs(10)).await;
        let looks = world.asked().len();
        assert!(looks <= 4, "{looks} requests: the looks are spread over an interval");
        let account_reads = world
            .cluster
            .requests()
            .iter()
            .filter(|request| request.verb == Verb::Get && request.resource == "serviceaccounts")
            .count();
        assert_eq!(account_reads, 0, "the cache knows them");
        sleep(DRIFT).await;
        assert!(world.cluster_writes().is_empty(), "{:?}", world.cluster_writes());
        let asked = world.azure.requests();
        assert!(asked.iter().all(|request| !request.writes), "{asked:?}");
        assert!(
            asked.len() >= 40,
            "each was looked at within an interval: {}",
            asked.len()
        );
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_ends_the_step_that_is_under_way_and_no_other_begins() {
    story(async |world| {
        world
            .azure
            .reconfigure(|config| config.latency = Duration::from_secs(3));
        world.create(
            binding(NAMESPACE, "orders")
                .managed()
                .service_account("orders")
                .service_account("invoices"),
        );
        world
            .until("the identity is under way", |world| world.asked().len() == 2)
            .await;
        world.stop().await;
        assert_eq!(world.asked(), ["GET identity: 404", "PUT identity: 201"]);
        world
            .azure
            .reconfigure(|config| config.latency = Duration::from_millis(50));
        world.start().await;
        world.ready("orders").await;
        assert_eq!(world.credentials(), 2);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_spec_changed_while_the_operator_was_away_is_carried_out() {
    story(async |world| {
        world.create(
            binding(NAMESPACE, "orders")
                .managed()
                .service_account("orders")
                .service_account("invoices"),
        );
        world.ready("orders").await;
        world.stop().await;
        world.edit("orders", |object| {
            object["spec"]["serviceAccounts"].as_array_mut().unwrap().truncate(1);
        });
        world.start().await;
        world.ready("orders").await;
        assert_eq!(world.identity().credentials.len(), 1);
        assert_eq!(world.annotation("invoices", keys::CLIENT_ID_ANNOTATION), None);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_binding_deleted_while_the_operator_was_away_is_removed() {
    story(async |world| {
        world.create(binding(NAMESPACE, "orders").managed().service_account("orders"));
        world.ready("orders").await;
        world.stop().await;
        world.delete("orders");
        world.start().await;
        world.gone("orders").await;
        assert!(!world.has_identity());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn bindings_to_a_shared_identity_do_not_all_look_at_it_after_a_restart() {
    story(async |world| {
        let pipeline = foreign_credential("pipeline", "repo:shop/orders:ref:refs/heads/main");
        let id = world.foreign_identity(SHARED_GROUP, "payments", vec![pipeline]);
        for n in 0..10 {
            let name = format!("b{n}");
            world.create(binding(NAMESPACE, &name).existing(&id).service_account(&name));
        }
        world.all_ready(10).await;
        // Each has seen the credentials of all others by then.
        sleep(DRIFT * 2).await;
        world.stop().await;
        world.forget_requests();
        world
            .azure
            .inject(Fault::any().forever().respond(429, "TooManyRequests"));
        world.start().await;
        sleep(Duration::from_secs(10)).await;
        let looks = world.asked().len();
        assert!(looks <= 4, "{looks} requests: the looks are spread over an interval");
        sleep(DRIFT / 2).await;
        world.all_ready(10).await;
        let tells_only = |write: &wio_testkit::ApiRequest| write.subresource == "status";
        assert!(
            world.cluster_writes().iter().all(tells_only),
            "{:?}",
            world.cluster_writes()
        );
        world.azure.clear_faults();
        sleep(DRIFT * 2).await;
    })
    .await;
}
