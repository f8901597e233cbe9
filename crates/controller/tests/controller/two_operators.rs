//! Two operators at once: nothing excludes them for certain.

use std::time::Duration;

use serde_json::json;
use tokio::time::sleep;
use wio_api::{Reason, WorkloadIdentityPolicy};
use wio_azure_sim::IdentityId;
use wio_testkit::fixtures::{binding, policy};
use wio_testkit::{Effect, Matcher};

use crate::world::*;

/// The API server is out of reach for the operator, and Azure is not.
fn cut_off(world: &World) {
    let operator = Matcher::any().client(OPERATOR);
    world.cluster.inject(operator, Effect::hang());
    world.cluster.break_watches();
}

/// What the second one took away was back after the next drift look of the first one, and for good when the binding was gone.
#[tokio::test(start_paused = true)]
async fn an_operator_that_is_cut_off_gives_nothing_back_that_another_one_took_away() {
    story(async |world| {
        let id = IdentityId::new(SUBSCRIPTION, OTHER_GROUP, "billing").to_string();
        world.foreign_identity(OTHER_GROUP, "billing", Vec::new());
        world
            .cluster
            .seed(policy("payments").namespace(NAMESPACE).existing(&id).build());
        world.create(binding(NAMESPACE, "orders").existing(&id).service_account("orders"));
        world.create(binding(NAMESPACE, "web").managed().service_account("web"));
        for name in ["orders", "web"] {
            world.ready(name).await;
        }
        cut_off(world);
        world.start_another().await;
        world.cluster.delete::<WorkloadIdentityPolicy>("", "payments");
        world.says("orders", Reason::NotPermitted).await;
        world
            .until("its trust is taken away", |world| world.credentials() == 1)
            .await;
        world.delete("web");
        world.gone("web").await;
        assert_eq!(world.credentials(), 0);
        for _ in 0..8 {
            sleep(DRIFT).await;
            assert_eq!(world.credentials(), 0, "trust is back");
        }
        world.delete("orders");
        world.gone("orders").await;
        sleep(DRIFT * 2).await;
        assert_eq!(world.credentials(), 0, "trust is back");
        // The node is back, and its pod begins anew.
        world.crash().await;
        world.cluster.clear_faults();
        world.start().await;
        sleep(DRIFT * 2).await;
        assert_eq!(world.credentials(), 0, "trust is back");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn two_operators_that_see_the_same_end_with_the_same_and_do_not_fight() {
    story(async |world| {
        world.start_another().await;
        world.create_many(5);
        world.all_ready(5).await;
        world.edit("b0", |object| {
            object["spec"]["serviceAccounts"] = json!([{ "name": "other" }]);
        });
        world.ready("b0").await;
        assert_eq!(world.credentials(), 5);
        sleep(Duration::from_mins(2)).await;
        world.forget_requests();
        sleep(DRIFT * 2).await;
        world.azure_was_only_read();
        assert_eq!(world.cluster_writes().len(), 0);
        for n in 0..5 {
            world.delete(&format!("b{n}"));
        }
        for n in 0..5 {
            world.gone(&format!("b{n}")).await;
        }
        assert!(!world.has_identity());
        sleep(DRIFT * 2).await;
        assert!(!world.has_identity());
    })
    .await;
}
