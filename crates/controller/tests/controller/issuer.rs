use wio_testkit::fixtures::binding;
use wio_testkit::{Effect, Matcher};

use crate::world::*;

const NEW_ISSUER: &str = "https://issuer.example/cluster-made-anew/";

/// Waits until so many credentials trust the issuer, and none another one.
async fn until_trusted(world: &World, issuer: &str, count: usize) {
    let trusted = |world: &World| {
        let credentials = world.identity().credentials;
        credentials.len() == count && credentials.iter().all(|credential| credential.issuer == issuer)
    };
    world.until("the issuer is trusted", trusted).await;
}

#[tokio::test(start_paused = true)]
async fn trust_follows_the_issuer() {
    story(async |world| {
        world.create(
            binding(NAMESPACE, "orders")
                .managed()
                .service_account("orders")
                .service_account("invoices"),
        );
        world.ready("orders").await;
        world.cluster.set_issuer(NEW_ISSUER);
        let changed = tokio::time::Instant::now();
        until_trusted(world, NEW_ISSUER, 2).await;
        assert!(changed.elapsed() < DRIFT / 3, "long before the next look at Azure");
        let ready = world.ready("orders").await;
        assert_eq!(ready.status.unwrap().issuer.as_deref(), Some(NEW_ISSUER));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_issuer_that_changed_while_the_operator_was_away_is_noticed() {
    story(async |world| {
        world.create(binding(NAMESPACE, "orders").managed().service_account("orders"));
        world.ready("orders").await;
        world.stop().await;
        world.cluster.set_issuer(NEW_ISSUER);
        world.start().await;
        until_trusted(world, NEW_ISSUER, 1).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_issuer_without_its_final_slash_is_another_issuer() {
    story(async |world| {
        let bare = wio_testkit::DEFAULT_ISSUER.trim_end_matches('/');
        world.create(binding(NAMESPACE, "orders").managed().service_account("orders"));
        world.ready("orders").await;
        world.cluster.set_issuer(bare);
        until_trusted(world, bare, 1).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn nothing_is_done_before_the_issuer_is_known() {
    let mut world = World::new();
    let discovery = Matcher::any().path("/.well-known/openid-configuration");
    let fault = world.cluster.inject(discovery, Effect::forbidden());
    world.create(binding(NAMESPACE, "orders").managed().service_account("orders"));
    world.start().await;
    world.until("it was asked for again", |_| fault.hits() >= 4).await;
    assert_eq!((world.asked(), world.cluster_writes().len()), (Vec::new(), 0));
    fault.remove();
    world.ready("orders").await;
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_issuer_stays_as_it_was_while_it_cannot_be_read() {
    story(async |world| {
        world.create(binding(NAMESPACE, "orders").managed().service_account("orders"));
        world.ready("orders").await;
        world.forget_requests();
        let discovery = Matcher::any().path("/.well-known/openid-configuration");
        let fault = world.cluster.inject(discovery, Effect::internal_error());
        world.until("it was looked at", |_| fault.hits() >= 3).await;
        assert!(world.cluster_writes().is_empty());
        fault.remove();
    })
    .await;
}
