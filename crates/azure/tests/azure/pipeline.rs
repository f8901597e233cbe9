//! The pipeline: what every request carries, that it is sent once, and what keeps an answer from coming.

use std::convert::Infallible;
use std::future::pending;
use std::time::Duration;

use tokio::time::Instant;
use uuid::Uuid;
use wio_azure_sim::{Fault, ResourceKind};
use wio_core::fault::AzureCause;
use wio_core::observed::Tags;
use wio_testkit::azure::transport;

use crate::fixtures::{
    Response, answered, client, cloud, desired_credential, error_response, granted, header, id, identity_body,
    json_response, name, response,
};

#[tokio::test]
async fn every_request_says_who_asks_and_has_an_id_of_its_own() {
    let (azure, seen) = answered(vec![error_response(404, "ResourceNotFound")]);
    azure.get_identity(&id("orders")).await.unwrap();
    azure.get_identity(&id("orders")).await.unwrap();
    let ids: Vec<Uuid> = seen
        .all()
        .iter()
        .map(|request| {
            assert!(
                header(request, "user-agent").starts_with("workload-identity-operator/"),
                "{request:?}"
            );
            let correlation = header(request, "x-ms-correlation-request-id");
            assert_eq!(correlation, header(request, "x-ms-client-request-id"));
            correlation.parse().unwrap()
        })
        .collect();
    assert_ne!(ids[0], ids[1]);
}

#[tokio::test]
async fn nothing_is_tried_twice() {
    for status in [408, 409, 429, 500, 502, 503, 504] {
        let (azure, seen) = answered(vec![
            error_response(status, "X"),
            json_response(200, &identity_body("orders")),
        ]);
        azure
            .put_identity(&granted("orders"), &name("westeurope"), &Tags::new())
            .await
            .unwrap_err();
        assert_eq!(seen.count(), 1, "{status}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_never_answers_is_a_timeout() {
    let azure = client(transport(|_| pending::<Result<Response, Infallible>>()));
    let started = Instant::now();
    let fault = azure.get_identity(&id("orders")).await.unwrap_err();
    assert_eq!(fault.cause, AzureCause::Timeout);
    assert!(started.elapsed() < Duration::from_mins(2));
    let fault = azure
        .put_credential(&granted("orders"), &desired_credential("orders"))
        .await
        .unwrap_err();
    assert_eq!(fault.cause, AzureCause::Timeout);
}

#[tokio::test]
async fn a_connection_that_breaks_is_told_with_its_reason() {
    let azure = client(transport(|_| async {
        Err::<Response, _>(std::io::Error::other("connection reset by peer"))
    }));
    let fault = azure.delete_identity(&granted("orders").revocable()).await.unwrap_err();
    assert!(
        matches!(&fault.cause, AzureCause::Transport(why) if why.contains("connection reset by peer")),
        "{fault}"
    );
}

#[tokio::test(start_paused = true)]
async fn lost_answers_are_told_apart_from_refusals() {
    let (azure, simulator) = cloud(|_| {}).await;
    let grant = granted("orders");
    simulator.inject(Fault::on("PUT").kind(ResourceKind::Identity).hang().execute());
    simulator.inject(Fault::on("PUT").kind(ResourceKind::Identity).drop_connection());
    simulator.inject(
        Fault::on("PUT")
            .kind(ResourceKind::Identity)
            .respond(429, "TooManyRequests")
            .header("Retry-After", "7"),
    );
    let causes = [
        azure
            .put_identity(&grant, &name("westeurope"), &Tags::new())
            .await
            .unwrap_err()
            .cause,
        azure
            .put_identity(&grant, &name("westeurope"), &Tags::new())
            .await
            .unwrap_err()
            .cause,
        azure
            .put_identity(&grant, &name("westeurope"), &Tags::new())
            .await
            .unwrap_err()
            .cause,
    ];
    assert_eq!(causes[0], AzureCause::Timeout);
    assert!(matches!(causes[1], AzureCause::Transport(_)), "{:?}", causes[1]);
    let seven = Some(Duration::from_secs(7));
    assert!(
        matches!(&causes[2], AzureCause::Answer(answer) if answer.retry_after == seven),
        "{:?}",
        causes[2]
    );
    let put = azure
        .put_identity(&grant, &name("westeurope"), &Tags::new())
        .await
        .unwrap();
    assert!(
        !put.created,
        "the first one was carried out, though its answer was lost"
    );
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_is_not_followed() {
    let moved = response(307, &[("location", "https://evil.example/")], "");
    let (azure, seen) = answered(vec![moved, json_response(200, &identity_body("orders"))]);
    let fault = azure.get_identity(&id("orders")).await.unwrap_err();
    assert!(matches!(fault.cause, AzureCause::Answer(answer) if answer.status == 307));
    assert_eq!(seen.count(), 1);
}

/// A process that was stopped for longer than its lease, in the midst of getting a token, went on with its write.
#[tokio::test]
async fn a_write_leaves_only_while_it_may_and_a_read_always() {
    let (azure, seen) = answered(vec![json_response(200, &identity_body("orders"))]);
    let azure = azure.writing_while(Duration::from_secs(20), || false);
    azure.get_identity(&id("orders")).await.unwrap();
    let fault = azure
        .put_identity(&granted("orders"), &name("westeurope"), &Tags::new())
        .await
        .unwrap_err();
    assert_eq!(fault.cause, AzureCause::NotAdmitted);
    assert!(fault.cause.is_refusal(), "it was certainly not carried out");
    let fault = azure.delete_identity(&granted("orders").revocable()).await.unwrap_err();
    assert_eq!(fault.cause, AzureCause::NotAdmitted);
    assert_eq!(seen.count(), 1, "the read");
}

#[tokio::test(start_paused = true)]
async fn a_write_ends_on_our_side_within_its_limit() {
    let hanging = || client(transport(|_| pending::<Result<Response, Infallible>>()));
    for (azure, limit) in [
        (hanging(), 20),
        (hanging().writing_while(Duration::from_secs(4), || true), 4),
        (hanging().writing_while(Duration::from_secs(90), || true), 20),
    ] {
        let started = Instant::now();
        let fault = azure
            .put_credential(&granted("orders"), &desired_credential("orders"))
            .await
            .unwrap_err();
        assert_eq!(fault.cause, AzureCause::Timeout);
        assert_eq!(started.elapsed().as_secs(), limit);
    }
}
