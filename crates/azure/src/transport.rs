//! HTTP transports: an HTTPS client in production, anything in tests, and the bounds that hold for both.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use azure_core::Error;
use azure_core::error::ErrorKind;
use azure_core::http::headers::CONTENT_LENGTH;
use azure_core::http::{AsyncRawResponse, HttpClient, Request};
use futures::TryStreamExt;
use futures::future::ready;
use reqwest::redirect;

/// The longest body that is read, after decompression.
pub(crate) const BODY_LIMIT_BYTES: usize = 4 * 1024 * 1024;

const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// Azure's front ends close idle connections after some minutes; ours go first.
const IDLE_LIMIT: Duration = Duration::from_secs(90);
const IDLE_CONNECTIONS_PER_HOST: usize = 16;
/// A connection that a firewall dropped silently is noticed by this and not by the next request.
const KEEP_ALIVE: Duration = Duration::from_secs(30);

/// The HTTPS client for Azure Resource Manager and Entra. It trusts what the system trusts, or the certificates in
/// `SSL_CERT_FILE`, obeys `HTTPS_PROXY` and `NO_PROXY`, follows no redirect and speaks nothing but TLS.
///
/// The process must have installed its TLS provider before (docs/adr/0003).
pub(crate) fn https() -> reqwest::Result<Arc<dyn HttpClient>> {
    Ok(Arc::new(builder().https_only(true).build()?))
}

/// The client for the instance metadata service, which is at a link-local address, without TLS, and never behind a
/// proxy.
pub(crate) fn instance_metadata() -> reqwest::Result<Arc<dyn HttpClient>> {
    Ok(Arc::new(builder().no_proxy().build()?))
}

fn builder() -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .redirect(redirect::Policy::none())
        .connect_timeout(CONNECT_LIMIT)
        .pool_idle_timeout(IDLE_LIMIT)
        .pool_max_idle_per_host(IDLE_CONNECTIONS_PER_HOST)
        .tcp_keepalive(KEEP_ALIVE)
}

/// A transport that reads no body beyond [`BODY_LIMIT_BYTES`].
#[derive(Debug)]
pub(crate) struct Capped(pub(crate) Arc<dyn HttpClient>);

// === impl Capped ===

#[async_trait]
impl HttpClient for Capped {
    async fn execute_request(&self, request: &Request) -> azure_core::Result<AsyncRawResponse> {
        let response = self.0.execute_request(request).await?;
        let (status, headers, body) = response.deconstruct();
        let announced = headers
            .get_optional_str(&CONTENT_LENGTH)
            .and_then(|length| length.parse().ok());
        if announced.is_some_and(|length: usize| length > BODY_LIMIT_BYTES) {
            return Err(too_long());
        }
        let mut left = BODY_LIMIT_BYTES;
        let capped = body.and_then(move |chunk| {
            ready(match left.checked_sub(chunk.len()) {
                Some(rest) => {
                    left = rest;
                    Ok(chunk)
                }
                None => Err(too_long()),
            })
        });
        Ok(AsyncRawResponse::new(status, headers, Box::pin(capped)))
    }
}

fn too_long() -> Error {
    let words = format!("it is longer than {} MiB", BODY_LIMIT_BYTES / 1024 / 1024);
    Error::with_message(ErrorKind::DataConversion, words)
}
