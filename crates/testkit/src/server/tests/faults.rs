use std::time::Duration;

use kube::ResourceExt;
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use tokio::time::{Instant, timeout};

use super::super::{Effect, Matcher, Verb};
use super::*;

#[tokio::test]
async fn a_fault_meets_only_what_it_is_for() {
    let server = server();
    server.seed(account("orders"));
    let fault = server.inject(
        Matcher::any()
            .verb(Verb::Get)
            .resource("serviceaccounts")
            .name("orders")
            .skip(1)
            .times(2),
        Effect::unavailable(),
    );
    let api = accounts(server.client());
    api.list(&ListParams::default()).await.unwrap();
    api.get("orders").await.unwrap();
    assert_eq!(refusal(api.get("orders").await).code, 503);
    assert_eq!(refusal(api.get("orders").await).reason, "ServiceUnavailable");
    api.get("orders").await.unwrap();
    assert_eq!(fault.hits(), 2);
}

#[tokio::test]
async fn a_fault_can_be_for_one_client_and_be_removed() {
    let server = server();
    let fault = server.inject(Matcher::any().client("a"), Effect::forbidden());
    let list = ListParams::default();
    assert_eq!(refusal(accounts(server.client_named("a")).list(&list).await).code, 403);
    accounts(server.client_named("b")).list(&list).await.unwrap();
    fault.remove();
    accounts(server.client_named("a")).list(&list).await.unwrap();
    server.inject(Matcher::any(), Effect::internal_error());
    assert_eq!(refusal(accounts(server.client()).list(&list).await).code, 500);
    server.clear_faults();
    accounts(server.client()).list(&list).await.unwrap();
}

#[tokio::test]
async fn a_refused_write_is_not_done() {
    let server = server();
    for effect in [Effect::conflict(), Effect::gone(), Effect::internal_error()] {
        server.inject(Matcher::writes().once(), effect);
        refusal(
            accounts(server.client())
                .create(&PostParams::default(), &typed(account("orders")))
                .await,
        );
    }
    assert_eq!(server.get::<ServiceAccount>("shop", "orders"), None);
    assert!(
        server
            .writes()
            .iter()
            .all(|request| !request.changed && request.status.is_some())
    );
}

#[tokio::test]
async fn an_answer_can_be_lost_after_the_deed() {
    let server = server();
    server.inject(Matcher::writes().once(), Effect::connection_error().after_serving());
    let api = accounts(server.client());
    let lost = api.create(&PostParams::default(), &typed(account("orders"))).await;
    assert!(matches!(lost, Err(kube::Error::Service(_))), "{lost:?}");
    assert_eq!(
        server.get::<ServiceAccount>("shop", "orders").unwrap().name_any(),
        "orders"
    );
    let request = &server.requests()[0];
    assert_eq!((request.status, request.changed), (None, true));
}

#[tokio::test]
async fn a_throttled_client_is_told_when_to_come_again() {
    let server = server();
    server.inject(Matcher::any(), Effect::too_many_requests(7));
    let request = http::Request::get("/api/v1/namespaces")
        .body(kube::client::Body::empty())
        .unwrap();
    let response = server.client().send(request).await.unwrap();
    assert_eq!(
        (response.status().as_u16(), &response.headers()["retry-after"]),
        (429, &http::HeaderValue::from(7))
    );
}

#[tokio::test(start_paused = true)]
async fn a_hanging_request_is_never_answered() {
    let server = server();
    server.inject(Matcher::any(), Effect::hang());
    let api = accounts(server.client());
    timeout(Duration::from_hours(24), api.get("orders")).await.unwrap_err();
    assert_eq!(server.requests()[0].status, None);
}

#[tokio::test(start_paused = true)]
async fn a_slow_answer_takes_its_time() {
    let server = server();
    server.inject(Matcher::any(), Effect::delay(Duration::from_secs(3)));
    let start = Instant::now();
    accounts(server.client()).list(&ListParams::default()).await.unwrap();
    assert_eq!(start.elapsed(), Duration::from_secs(3));
}

#[tokio::test(start_paused = true)]
async fn a_retrying_client_survives_a_short_outage() {
    let server = server();
    server.seed(account("orders"));
    server.inject(Matcher::any().times(3), Effect::unavailable());
    accounts(server.retrying_client("operator"))
        .get("orders")
        .await
        .unwrap();
    assert_eq!(server.requests().len(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_test_waits_for_a_condition_without_polling() {
    let server = server();
    let other = server.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(40)).await;
        other.seed(account("orders"));
        tokio::time::sleep(Duration::from_secs(40)).await;
        let patch = Patch::Merge(json!({"metadata": {"labels": {"a": "b"}}}));
        accounts(other.client())
            .patch("orders", &PatchParams::default(), &patch)
            .await
            .unwrap();
        other.delete::<ServiceAccount>("shop", "orders");
    });
    let start = Instant::now();
    server.wait_for::<ServiceAccount>("shop", "orders", |_| true).await;
    assert_eq!(start.elapsed(), Duration::from_secs(40));
    server
        .wait_until("somebody patched", |server| server.writes().pop())
        .await;
    server.wait_gone::<ServiceAccount>("shop", "orders").await;
    assert_eq!(start.elapsed(), Duration::from_secs(80));
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "waited in vain for ServiceAccount shop/orders")]
async fn a_wait_ends_at_its_deadline() {
    let server = server();
    server.set_deadline(Duration::from_secs(10));
    server.wait_for::<ServiceAccount>("shop", "orders", |_| true).await;
}
