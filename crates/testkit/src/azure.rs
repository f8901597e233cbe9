//! Carries the Azure client's requests to a function instead of a network: to the simulator, or to a test's own double.
//!
//! ```ignore
//! let simulator = Simulator::new(Config::default().with_static_token(TOKEN));
//! let transport = azure::transport(move |request| {
//!     let simulator = simulator.clone();
//!     async move { simulator.handle(request).await }
//! });
//! let client = Azure::new(transport, azure::credential(TOKEN), endpoints);
//! ```

use std::error::Error as StdError;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use azure_core::Error;
use azure_core::credentials::{AccessToken, Secret, TokenCredential, TokenRequestOptions};
use azure_core::error::ErrorKind;
use azure_core::http::headers::Headers;
use azure_core::http::{AsyncRawResponse, Body, HttpClient, Request, StatusCode};
use azure_core::time::OffsetDateTime;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use bytes::Bytes;

/// A transport that hands each request to `handle`. An error of it is a connection that broke.
pub fn transport<H, F, E>(handle: H) -> Arc<dyn HttpClient>
where
    H: Fn(http::Request<Bytes>) -> F + Send + Sync + 'static,
    F: Future<Output = Result<http::Response<Bytes>, E>> + Send + 'static,
    E: StdError + Send + Sync + 'static,
{
    Arc::new(InProcess(handle))
}

/// A credential that has this token and no other.
#[must_use]
pub fn credential(token: &str) -> Arc<dyn TokenCredential> {
    Arc::new(StaticToken(Secret::new(token.to_owned())))
}

/// A token as Entra issues it to an application for Azure Resource Manager, as far as its holder reads it; nobody signed it.
#[must_use]
pub fn token_of(client_id: &str) -> String {
    let part = |json: serde_json::Value| BASE64_URL_SAFE_NO_PAD.encode(json.to_string());
    let header = part(serde_json::json!({ "alg": "RS256", "typ": "JWT" }));
    let claims = part(serde_json::json!({ "aud": "https://management.azure.com", "ver": "1.0", "appid": client_id }));
    format!("{header}.{claims}.c2lnbmF0dXJl")
}

struct InProcess<H>(H);

#[derive(Debug)]
struct StaticToken(Secret);

// === impl InProcess ===

impl<H> fmt::Debug for InProcess<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InProcess")
    }
}

#[async_trait]
impl<H, F, E> HttpClient for InProcess<H>
where
    H: Fn(http::Request<Bytes>) -> F + Send + Sync,
    F: Future<Output = Result<http::Response<Bytes>, E>> + Send,
    E: StdError + Send + Sync + 'static,
{
    async fn execute_request(&self, request: &Request) -> azure_core::Result<AsyncRawResponse> {
        let request = outgoing(request).map_err(|error| Error::new(ErrorKind::Other, error))?;
        let handling = (self.0)(request);
        let response = handling.await.map_err(|error| Error::new(ErrorKind::Io, error))?;
        let (parts, body) = response.into_parts();
        let mut headers = Headers::new();
        for (name, value) in &parts.headers {
            headers.insert(name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned());
        }
        Ok(AsyncRawResponse::from_bytes(
            StatusCode::from(parts.status.as_u16()),
            headers,
            body,
        ))
    }
}

fn outgoing(request: &Request) -> http::Result<http::Request<Bytes>> {
    let mut outgoing = http::Request::builder()
        .method(request.method().as_str())
        .uri(request.url().as_str());
    for (name, value) in request.headers().iter() {
        outgoing = outgoing.header(name.as_str(), value.as_str());
    }
    let body = match request.body() {
        Body::Bytes(bytes) => bytes.clone(),
        Body::SeekableStream(_) => Bytes::new(),
    };
    outgoing.body(body)
}

// === impl StaticToken ===

#[async_trait]
impl TokenCredential for StaticToken {
    async fn get_token(&self, _: &[&str], _: Option<TokenRequestOptions<'_>>) -> azure_core::Result<AccessToken> {
        const LIFETIME: Duration = Duration::from_hours(24);
        Ok(AccessToken::new(self.0.clone(), OffsetDateTime::now_utc() + LIFETIME))
    }
}
