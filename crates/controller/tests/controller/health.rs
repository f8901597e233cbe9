//! Health and metrics, over a real socket and in real time.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use wio_azure_sim::Fault;
use wio_testkit::fixtures::{binding, policy};
use wio_testkit::{Effect, Matcher};

use crate::world::*;

/// Status and body of a GET.
pub async fn get(world: &World, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(world.address()).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

async fn until_ready(world: &World) {
    while get(world, "/readyz").await.0 != 200 {
        tokio::task::yield_now().await;
    }
}

/// What /readyz says that the operator waits for.
async fn why_unready(world: &World) -> String {
    let (status, why) = get(world, "/readyz").await;
    assert_eq!(status, 503);
    why
}

#[tokio::test]
async fn the_operator_is_alive_at_once_and_ready_when_it_can_work() {
    let mut world = World::new();
    let lists = Matcher::any().client(OPERATOR).resource("serviceaccounts");
    let fault = world.cluster.inject(lists, Effect::internal_error());
    world.start().await;
    assert_eq!(get(&world, "/livez").await, (200, "alive\n".to_owned()));
    world.until("it tried", |_| fault.hits() > 0).await;
    let why = why_unready(&world).await;
    assert!(why.contains("the caches are not filled yet"), "{why}");
    fault.remove();
    tokio::time::timeout(Duration::from_secs(30), until_ready(&world))
        .await
        .unwrap();
    world.stop().await;
}

#[tokio::test]
async fn readiness_says_what_is_missing() {
    let mut world = World::new();
    let discovery = Matcher::any().path("/.well-known/openid-configuration");
    let fault = world.cluster.inject(discovery, Effect::forbidden());
    world.start().await;
    world.until("it tried", |_| fault.hits() > 0).await;
    let why = why_unready(&world).await;
    assert!(why.contains("discovery document") && why.contains("403"), "{why}");
    world.stop().await;
}

#[tokio::test]
async fn the_operator_is_ready_when_admission_knows_the_policies() {
    let mut world = World::new();
    let writes = Matcher::writes().resource("workloadidentityeffectivepolicies");
    let fault = world.cluster.inject(writes, Effect::forbidden());
    world.start().await;
    world.until("it tried twice", |_| fault.hits() > 1).await;
    let why = why_unready(&world).await;
    assert!(
        why.contains("could not write the effective policy") && why.contains("403"),
        "{why}"
    );
    fault.remove();
    tokio::time::timeout(Duration::from_secs(30), until_ready(&world))
        .await
        .unwrap();
    world.stop().await;
}

#[tokio::test]
async fn metrics_count_by_few_labels() {
    let mut world = World::new();
    world.azure.inject(
        Fault::on("PUT")
            .path("wib-shop-sick")
            .forever()
            .respond(403, "AuthorizationFailed"),
    );
    let broken = policy("broken").role("No Such Role", &["/subscriptions/00000000-0000-0000-0000-000000000001"]);
    world.cluster.seed(broken.build());
    world.start().await;
    world.create(binding(NAMESPACE, "sick").managed().service_account("sick"));
    world.says("sick", wio_api::Reason::AuthorizationFailed).await;
    world.create(
        binding(NAMESPACE, "orders")
            .managed()
            .service_account("orders")
            .service_account("invoices"),
    );
    world.ready("orders").await;
    let cached = "wio_bindings{ready=\"True\",reason=\"Succeeded\"} 1";
    let seen = async {
        loop {
            let text = get(&world, "/metrics").await.1;
            if text.contains(cached) {
                return text;
            }
        }
    };
    let text = tokio::time::timeout(Duration::from_secs(30), seen).await.unwrap();
    for line in [
        cached,
        "wio_bindings{ready=\"False\",reason=\"AuthorizationFailed\"} 1",
        "wio_reconciles_total{reason=\"AuthorizationFailed\"} ",
        "wio_azure_requests_total{operation=\"put_identity\",outcome=\"4xx\"} ",
        "wio_azure_requests_total{operation=\"put_identity\",outcome=\"201\"} 1",
        "wio_azure_requests_total{operation=\"put_credential\",outcome=\"201\"} 2",
        "wio_azure_remaining_requests{kind=\"writes\"} 19",
        "wio_azure_request_duration_seconds_count{operation=\"put_credential\"} 2",
        "wio_reconcile_duration_seconds_count ",
        "wio_apply_to_ready_seconds_count 1",
        "wio_bindings_nearly_full 0",
        "wio_build_info{version=\"",
        "wio_watches_total{resource=\"workloadidentitybindings\"} 1",
        "process_cpu_seconds_total ",
        "process_resident_memory_bytes ",
        "wio_policies 2",
        "wio_policy_problems 1",
        "wio_held{cause=\"policies\"} 0",
        "wio_held{cause=\"settings\"} 0",
        "wio_watch_age_seconds{resource=\"workloadidentitybindings\"} 0",
        "wio_watch_age_seconds{resource=\"workloadidentitypolicies\"} 0",
        "wio_watch_age_seconds{resource=\"namespaces\"} 0",
        "wio_watch_age_seconds{resource=\"serviceaccounts\"} 0",
        "# EOF",
    ] {
        assert!(text.contains(line), "{line} is missing in\n{text}");
    }
    for name in ["orders", "shop", "sick"] {
        assert!(!text.contains(name), "a name of an object is a label in\n{text}");
    }
    world.stop().await;
}

/// Admission was silently stale: what passed once was never asked again.
#[tokio::test]
async fn a_merged_policy_that_cannot_be_written_any_more_shows_in_readiness_and_metrics() {
    let mut world = World::new();
    world.start().await;
    let ready = tokio::time::timeout(Duration::from_secs(30), until_ready(&world));
    ready.await.unwrap();
    let writes = Matcher::writes().resource("workloadidentityeffectivepolicies");
    let fault = world.cluster.inject(writes, Effect::forbidden());
    world.cluster.seed(policy("another").namespace(NAMESPACE).build());
    world.until("it tried", |_| fault.hits() > 0).await;
    world.until("it tried twice", |_| fault.hits() > 1).await;
    let why = why_unready(&world).await;
    assert!(why.contains("policies as they were"), "{why}");
    assert!(get(&world, "/metrics").await.1.contains("wio_admission_stale 1"));
    fault.remove();
    tokio::time::timeout(Duration::from_secs(30), until_ready(&world))
        .await
        .unwrap();
    assert!(get(&world, "/metrics").await.1.contains("wio_admission_stale 0"));
    world.stop().await;
}
