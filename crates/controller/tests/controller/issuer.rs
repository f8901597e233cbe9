use std::time::Duration;

use tokio::time::{Instant, sleep};
use wio_api::Reason;
use wio_testkit::fixtures::binding;
use wio_testkit::{Effect, Matcher};

use crate::world::*;

const DISCOVERY: &str = "/.well-known/openid-configuration";
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
        let changed = Instant::now();
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
    let discovery = Matcher::any().path(DISCOVERY);
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
        let discovery = Matcher::any().path(DISCOVERY);
        let fault = world.cluster.inject(discovery, Effect::internal_error());
        world.until("it was looked at", |_| fault.hits() >= 3).await;
        assert!(world.cluster_writes().is_empty());
        fault.remove();
    })
    .await;
}

/// How often the operator asked who issues tokens.
fn looks(world: &World) -> usize {
    let requests = world.cluster.requests();
    let looks = requests.iter().filter(|request| request.path == DISCOVERY);
    looks.count()
}

async fn looked_again(world: &World) {
    let before = looks(world);
    world.until("it was looked at", |world| looks(world) > before).await;
}

fn writes(world: &World) -> Vec<String> {
    let asked = world.azure.requests();
    let writes = asked.iter().filter(|request| request.writes);
    writes
        .map(|request| format!("{} {}", request.method, request.path))
        .collect()
}

/// One API server of several that was started with another flag answered one look, and every credential of the cluster was
/// deleted and made anew.
#[tokio::test(start_paused = true)]
async fn an_odd_answer_costs_nothing() {
    story(async |world| {
        world.create(binding(NAMESPACE, "orders").managed().service_account("orders"));
        let ready = world.ready("orders").await;
        world.forget_requests();
        world.cluster.set_issuer("https://kubernetes.default.svc.cluster.local");
        looked_again(world).await;
        world.cluster.set_issuer(wio_testkit::DEFAULT_ISSUER);
        sleep(DRIFT).await;
        assert_eq!(writes(world), [""; 0]);
        assert_eq!(world.binding("orders"), ready);
    })
    .await;
}

/// Two API servers behind one address, restarted one after the other.
#[tokio::test(start_paused = true)]
async fn an_issuer_that_alternates_writes_nothing_and_is_told() {
    story(async |world| {
        world.create(binding(NAMESPACE, "orders").managed().service_account("orders"));
        let ready = world.ready("orders").await;
        world.forget_requests();
        let begun = Instant::now();
        for _ in 0..10 {
            for issuer in [NEW_ISSUER, wio_testkit::DEFAULT_ISSUER] {
                world.cluster.set_issuer(issuer);
                looked_again(world).await;
            }
        }
        assert!(
            begun.elapsed() < Duration::from_mins(20),
            "the looks come closer: {:?}",
            begun.elapsed()
        );
        assert_eq!(writes(world), [""; 0]);
        assert_eq!(world.binding("orders"), ready);
        let told = crate::health::get(world, "/metrics").await.1;
        assert!(told.contains("wio_issuer{state=\"alternating\"} 1"), "{told}");
        assert!(told.contains("wio_issuer{state=\"settled\"} 0"), "{told}");
    })
    .await;
}

/// Everything would change for one cause, and one look is not enough for that, whether or not the operator was there before.
#[tokio::test(start_paused = true)]
async fn a_restarted_operator_does_not_believe_one_look_either() {
    story(async |world| {
        world.create(binding(NAMESPACE, "orders").managed().service_account("orders"));
        let ready = world.ready("orders").await;
        world.stop().await;
        world.cluster.set_issuer(NEW_ISSUER);
        world.forget_requests();
        world.start().await;
        world.create(binding(NAMESPACE, "late").managed().service_account("late"));
        world.says("late", Reason::IssuerUnconfirmed).await;
        sleep(Duration::from_mins(1)).await;
        assert_eq!((writes(world), world.binding("orders")), (Vec::new(), ready));
        world.cluster.set_issuer(wio_testkit::DEFAULT_ISSUER);
        world.ready("late").await;
        let trusted = world
            .azure
            .snapshot()
            .identities
            .into_iter()
            .flat_map(|identity| identity.credentials);
        assert!(
            trusted
                .into_iter()
                .all(|credential| credential.issuer == wio_testkit::DEFAULT_ISSUER)
        );
    })
    .await;
}
