//! The policies that a request passes before it leaves: the guard of the host, the authorization by a token, and the fence before writes.

use std::sync::Arc;

use async_trait::async_trait;
use azure_core::Error;
use azure_core::error::ErrorKind;
use azure_core::http::headers::{AUTHORIZATION, USER_AGENT};
use azure_core::http::policies::{Policy, PolicyResult};
use azure_core::http::{AsyncRawResponse, Context, Request, StatusCode};
use url::Origin;
use wio_core::fault::AzureCause;
use wio_core::reasons::refuses_token;

use crate::answer::Answer;
use crate::fence::Fence;
use crate::tokens::Tokens;

pub(crate) const PRODUCT: &str = concat!("workload-identity-operator/", env!("CARGO_PKG_VERSION"));

/// The policy that lets no request out but to the one host that may see the token.
#[derive(Debug)]
pub(crate) struct Guard(pub(crate) Origin);

/// The guard's refusal, found again in the error that the pipeline returns.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Refusal(pub(crate) String);

/// The policy that puts the operator's token on requests that the guard let through.
#[derive(Debug)]
pub(crate) struct Authorize(pub(crate) Arc<Tokens>);

/// The policy that lets no write out while the fence does not admit it. It is the last one: a token may take its time.
#[derive(Debug)]
pub(crate) struct Fenced;

/// A write was not let out.
#[derive(Debug, thiserror::Error)]
#[error("the fence does not admit it")]
pub(crate) struct NotAdmitted;

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

// === impl Authorize ===

#[async_trait]
impl Policy for Authorize {
    async fn send(&self, ctx: &Context, request: &mut Request, next: &[Arc<dyn Policy>]) -> PolicyResult {
        let credential_error = |why| Error::with_message(ErrorKind::Credential, why);
        let token = self.0.get().await.map_err(credential_error)?;
        request.insert_header(AUTHORIZATION, format!("Bearer {}", token.secret()));
        let response = pass_on(ctx, request, next).await?;
        if response.status() != StatusCode::Unauthorized {
            return Ok(response);
        }
        // Only the code tells whether it is the token that is refused.
        let response = response.try_into_raw_response().await?;
        if let AzureCause::Answer(answer) = Answer::new(response.clone()).error()
            && refuses_token(&answer)
        {
            self.0.rejected(&token);
        }
        let (status, headers, body) = response.deconstruct();
        Ok(AsyncRawResponse::from_bytes(status, headers, body))
    }
}

// === impl Fenced ===

#[async_trait]
impl Policy for Fenced {
    async fn send(&self, ctx: &Context, request: &mut Request, next: &[Arc<dyn Policy>]) -> PolicyResult {
        if ctx.value::<Fence>().is_some_and(|fence| !fence.admits(request)) {
            return Err(Error::new(ErrorKind::Other, NotAdmitted));
        }
        pass_on(ctx, request, next).await
    }
}

/// Passes the request on to the next policy.
async fn pass_on(ctx: &Context<'_>, request: &mut Request, next: &[Arc<dyn Policy>]) -> PolicyResult {
    match next.split_first() {
        Some((policy, rest)) => policy.send(ctx, request, rest).await,
        None => Err(Error::with_message(ErrorKind::Other, "the pipeline has no transport")),
    }
}
