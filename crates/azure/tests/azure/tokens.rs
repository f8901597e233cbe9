//! The operator's token: had late, replaced when Azure rejects it, and unknown to the cloud.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use azure_core::credentials::{AccessToken, TokenCredential, TokenRequestOptions};
use azure_core::error::ErrorKind;
use azure_core::time::OffsetDateTime;
use wio_azure::Azure;
use wio_core::fault::AzureCause;

use crate::fixtures::{carrier, cloud, error_response, id, identity_body, json_response, public};

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

/// One tenant's mistyped subscription cost everybody a token at each of its tries.
#[tokio::test(start_paused = true)]
async fn a_token_that_is_refused_for_what_was_asked_is_kept() {
    for code in ["InvalidAuthenticationTokenTenant", "InvalidAuthenticationTokenAudience"] {
        let good = || json_response(200, &identity_body("orders"));
        let (carrier, seen) = carrier(vec![good(), error_response(401, code), good()]);
        let azure = Azure::new(carrier, Arc::new(Flaky::default()), public());
        azure.get_identity(&id("orders")).await.unwrap();
        tokio::time::advance(Duration::from_mins(5)).await;
        let fault = azure.get_identity(&id("orders")).await.unwrap_err();
        assert!(fault.to_string().contains(code), "{fault}");
        azure.get_identity(&id("orders")).await.unwrap();
        let last = seen.all().last().unwrap().headers()["authorization"].clone();
        assert_eq!(last, "Bearer token-0", "{code}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_that_the_cloud_does_not_know_is_refused() {
    let (azure, simulator) = cloud(|_| {}).await;
    simulator.reconfigure(|config| config.static_tokens.clear());
    let fault = azure.get_identity(&id("orders")).await.unwrap_err();
    assert!(
        matches!(&fault.cause, AzureCause::Answer(answer) if answer.status == 401),
        "{fault}"
    );
}
