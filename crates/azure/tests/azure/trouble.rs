//! What goes wrong, said as what it is, and tried once.

use std::convert::Infallible;
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use azure_core::credentials::{AccessToken, TokenCredential, TokenRequestOptions};
use azure_core::error::ErrorKind;
use azure_core::time::OffsetDateTime;
use tokio::time::Instant;
use wio_azure::Azure;
use wio_core::fault::{AzureAnswer, AzureCause};
use wio_core::observed::Tags;
use wio_testkit::azure::transport;

use crate::given::{
    Response, answered, carrier, client, desired_credential, error_response, granted, id, identity_body, json_response,
    name, public, response,
};

#[tokio::test]
async fn an_error_carries_what_azure_said_of_it() {
    let refusal = r#"{"error":{"code":"TooManyRequests","message":"Slow down."}}"#;
    let (azure, seen) = answered(vec![response(
        429,
        &[("retry-after", "17"), ("x-ms-request-id", "r-1")],
        refusal,
    )]);
    let expected = AzureAnswer {
        status: 429,
        code: "TooManyRequests".to_owned(),
        message: "Slow down.".to_owned(),
        retry_after: Some(Duration::from_secs(17)),
        request_id: Some("r-1".to_owned()),
    };
    let credential = desired_credential("orders");
    let grant = granted("orders");
    let faults = [
        azure.get_identity(&id("orders")).await.unwrap_err(),
        azure
            .put_identity(&grant, &name("westeurope"), &Tags::new())
            .await
            .unwrap_err(),
        azure.tag_identity(&grant, &Tags::new()).await.unwrap_err(),
        azure.delete_identity(&grant.revoking()).await.unwrap_err(),
        azure.list_credentials(&id("orders")).await.unwrap_err(),
        azure.put_credential(&grant, &credential).await.unwrap_err(),
        azure
            .delete_credential(&grant.revoking(), &credential.name)
            .await
            .unwrap_err(),
    ];
    for fault in &faults {
        assert_eq!(fault.cause, AzureCause::Answer(expected.clone()));
    }
    assert_eq!(seen.count(), faults.len(), "each was tried once");
    let said: Vec<&str> = faults.iter().map(|fault| fault.operation.as_str()).collect();
    assert_eq!(said[1], "create the managed identity orders");
    assert_eq!(
        said[5],
        format!(
            "write the federated credential {} of the managed identity orders",
            credential.name
        )
    );
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
    let fault = azure.delete_identity(&granted("orders").revoking()).await.unwrap_err();
    assert!(
        matches!(&fault.cause, AzureCause::Transport(why) if why.contains("connection reset by peer")),
        "{fault}"
    );
}

#[tokio::test]
async fn a_success_that_cannot_be_read_is_malformed() {
    let without_client_id = {
        let mut body = identity_body("orders");
        body["properties"]["clientId"] = "".into();
        body.to_string()
    };
    for body in [
        "",
        "garbage",
        "<html>Welcome to the hotel's network</html>",
        "{}",
        "[]",
        "null",
        &without_client_id,
    ] {
        let (azure, _) = answered(vec![response(200, &[], body.to_owned())]);
        let grant = granted("orders");
        for fault in [
            azure.get_identity(&id("orders")).await.unwrap_err(),
            azure
                .put_identity(&grant, &name("westeurope"), &Tags::new())
                .await
                .unwrap_err(),
            azure.list_credentials(&id("orders")).await.unwrap_err(),
            azure
                .put_credential(&grant, &desired_credential("orders"))
                .await
                .unwrap_err(),
        ] {
            assert!(matches!(fault.cause, AzureCause::Malformed(_)), "{body:?}: {fault}");
        }
    }
}

#[tokio::test]
async fn a_body_beyond_all_bounds_is_not_read() {
    let long = "x".repeat(4 * 1024 * 1024 + 1);
    let announced = response(200, &[("content-length", "99999999")], "{}");
    for answer in [response(200, &[], long.clone()), response(500, &[], long), announced] {
        let (azure, _) = answered(vec![answer]);
        let fault = azure.get_identity(&id("orders")).await.unwrap_err();
        assert!(
            matches!(&fault.cause, AzureCause::Malformed(why) if why.contains("4 MiB")),
            "{fault}"
        );
    }
}

/// Counts, and fails while it is told to.
#[derive(Debug, Default)]
struct Flaky {
    asked: AtomicUsize,
    failures: usize,
}

#[async_trait]
impl TokenCredential for Flaky {
    async fn get_token(&self, _: &[&str], _: Option<TokenRequestOptions<'_>>) -> azure_core::Result<AccessToken> {
        let asked = self.asked.fetch_add(1, Ordering::SeqCst);
        if asked < self.failures {
            return Err(azure_core::Error::with_message(
                ErrorKind::Credential,
                "AADSTS700016: unknown application",
            ));
        }
        Ok(AccessToken::new(
            format!("token-{asked}"),
            OffsetDateTime::now_utc() + Duration::from_hours(1),
        ))
    }
}

#[tokio::test]
async fn without_a_token_nothing_leaves_and_permission_that_comes_later_heals() {
    let (carrier, seen) = carrier(vec![json_response(200, &identity_body("orders"))]);
    let azure = Azure::new(
        carrier,
        Arc::new(Flaky {
            failures: 2,
            ..Flaky::default()
        }),
        public(),
    );
    let fault = azure.probe().await.unwrap_err();
    assert_eq!(
        fault.to_string(),
        "could not sign in to Azure: no token for Azure could be had: AADSTS700016: unknown application"
    );
    let fault = azure.get_identity(&id("orders")).await.unwrap_err();
    assert_eq!(
        fault.cause,
        AzureCause::Credential("AADSTS700016: unknown application".to_owned())
    );
    assert_eq!(seen.count(), 0);
    azure.get_identity(&id("orders")).await.unwrap().unwrap();
    azure.probe().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_token_that_azure_rejects_is_replaced_for_the_next_request() {
    let good = || json_response(200, &identity_body("orders"));
    let (carrier, seen) = carrier(vec![good(), error_response(401, "InvalidAuthenticationToken"), good()]);
    let azure = Azure::new(carrier, Arc::new(Flaky::default()), public());
    azure.get_identity(&id("orders")).await.unwrap();
    tokio::time::advance(Duration::from_mins(5)).await;
    azure.get_identity(&id("orders")).await.unwrap_err();
    azure.get_identity(&id("orders")).await.unwrap();
    let tokens: Vec<_> = seen
        .all()
        .iter()
        .map(|request| request.headers()["authorization"].clone())
        .collect();
    assert_eq!(tokens, ["Bearer token-0", "Bearer token-0", "Bearer token-1"]);
}
