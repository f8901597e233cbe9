//! The one pipeline: every request to Azure Resource Manager of every kind goes through it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use azure_core::Error;
use azure_core::credentials::TokenCredential;
use azure_core::error::ErrorKind;
use azure_core::http::headers::{CLIENT_REQUEST_ID, HeaderName, USER_AGENT};
use azure_core::http::policies::{Policy, PolicyResult};
use azure_core::http::{ClientOptions, Context, HttpClient, PipelineSendOptions, Request, RetryOptions, Transport};
use tokio::time::{Instant, timeout};
use url::Origin;
use uuid::Uuid;
use wio_core::fault::AzureCause;

use crate::answer::Answer;
use crate::cloud::Endpoints;
use crate::telemetry::{Operation, Telemetry, label};
use crate::tokens::{Authorize, Tokens};
use crate::transport::Capped;
use crate::urls::Urls;

/// From the first step, getting a token among them, to the last byte of the answer. Identities and federated credentials
/// are written synchronously, in a second or two; what Azure carries out all the same is met by the next try, and a
/// binding should not be without a word for as long as Azure Resource Manager itself waits for a provider, 60 s.
pub(crate) const REQUEST_LIMIT: Duration = Duration::from_secs(45);

const CORRELATION_ID: HeaderName = HeaderName::from_static("x-ms-correlation-request-id");
const PRODUCT: &str = concat!("workload-identity-operator/", env!("CARGO_PKG_VERSION"));

/// The pipeline to Azure Resource Manager.
#[derive(Debug)]
pub(crate) struct Pipeline {
    policies: azure_core::http::Pipeline,
    pub(crate) urls: Urls,
    pub(crate) tokens: Arc<Tokens>,
    pub(crate) telemetry: Telemetry,
}

/// Lets nothing out that is not for the one host that may see the token.
#[derive(Debug)]
struct Guard(Origin);

/// What the guard says, found again in the error that the pipeline returns.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Refusal(String);

// === impl Pipeline ===

impl Pipeline {
    pub(crate) fn new(
        transport: Arc<dyn HttpClient>,
        credential: Arc<dyn TokenCredential>,
        endpoints: Endpoints,
    ) -> Self {
        let tokens = Arc::new(Tokens::new(credential, endpoints.cloud.arm_scope()));
        let options = ClientOptions {
            retry: RetryOptions::none(),
            transport: Some(Transport::new(Arc::new(Capped(transport)))),
            ..ClientOptions::default()
        };
        let guard = Guard(endpoints.arm.origin());
        let policies = azure_core::http::Pipeline::new(
            option_env!("CARGO_PKG_NAME"),
            option_env!("CARGO_PKG_VERSION"),
            options,
            Vec::new(),
            vec![Arc::new(guard), Arc::new(Authorize(Arc::clone(&tokens)))],
            None,
        );
        Self {
            policies,
            urls: Urls::new(endpoints),
            tokens,
            telemetry: Telemetry::default(),
        }
    }

    /// Sends one request, once. An answer with whatever status is an answer.
    pub(crate) async fn send(&self, operation: Operation, mut request: Request) -> Result<Answer, AzureCause> {
        let correlation_id = Uuid::new_v4().to_string();
        request.insert_header(CLIENT_REQUEST_ID, correlation_id.clone());
        request.insert_header(CORRELATION_ID, correlation_id.clone());
        let started = Instant::now();
        let options = PipelineSendOptions {
            skip_checks: true,
            ..PipelineSendOptions::default()
        };
        let context = Context::new();
        let outcome = match timeout(REQUEST_LIMIT, self.policies.send(&context, &mut request, Some(options))).await {
            Ok(Ok(response)) => Ok(Answer::new(response)),
            Ok(Err(error)) => Err(cause(&error)),
            Err(_) => Err(AzureCause::Timeout),
        };
        let duration = started.elapsed();
        tracing::debug!(
            operation = operation.as_str(),
            outcome = label(&outcome),
            status = outcome.as_ref().ok().map(|answer| answer.status),
            correlation_id,
            request_id = outcome.as_ref().ok().and_then(|answer| answer.request_id.as_deref()),
            duration_ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
            "request to Azure"
        );
        self.telemetry.record(operation, &outcome, duration);
        outcome
    }
}

// === impl Guard ===

#[async_trait]
impl Policy for Guard {
    async fn send(&self, ctx: &Context, request: &mut Request, next: &[Arc<dyn Policy>]) -> PolicyResult {
        let url = request.url();
        let Self(allowed) = self;
        if url.origin() != *allowed || !url.username().is_empty() || url.password().is_some() {
            let asked = url.origin().ascii_serialization();
            let refusal = format!(
                "it would go to {asked}, and requests go to {} only",
                allowed.ascii_serialization()
            );
            return Err(Error::new(ErrorKind::Other, Refusal(refusal)));
        }
        let agent = request.headers().get_optional_string(&USER_AGENT).unwrap_or_default();
        request.insert_header(USER_AGENT, format!("{PRODUCT} {agent}"));
        pass_on(ctx, request, next).await
    }
}

/// Lets the policies that come after have the request.
pub(crate) async fn pass_on(ctx: &Context<'_>, request: &mut Request, next: &[Arc<dyn Policy>]) -> PolicyResult {
    match next.split_first() {
        Some((policy, rest)) => policy.send(ctx, request, rest).await,
        None => Err(Error::with_message(ErrorKind::Other, "the pipeline has no transport")),
    }
}

fn cause(error: &Error) -> AzureCause {
    if let Some(Refusal(why)) = error.downcast_ref() {
        return AzureCause::Refused(why.clone());
    }
    match error.kind() {
        ErrorKind::Credential => AzureCause::Credential(error.to_string()),
        ErrorKind::DataConversion => AzureCause::Malformed(error.to_string()),
        _ => AzureCause::Transport(reasons(error)),
    }
}

/// An error and what it came from, each reason once.
pub(crate) fn reasons(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let reason = cause.to_string();
        if !text.contains(&reason) {
            text.push_str(": ");
            text.push_str(&reason);
        }
        source = cause.source();
    }
    text
}
