//! Reads the documents of token issuers over HTTPS.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use async_trait::async_trait;
use reqwest::{Certificate, Client};
use serde_json::Value;

use crate::entra::issuers::{IssuerDocuments, Unreachable};

/// Entra waits no longer for an issuer.
const PATIENCE: Duration = Duration::from_secs(10);

/// An HTTPS client.
#[derive(Debug)]
pub(super) struct IssuerClient {
    web: Client,
}

// === impl IssuerClient ===

impl IssuerClient {
    /// Trusts the authorities of the file alone; without one, those of the system.
    pub(super) fn new(authority: Option<&Path>) -> Result<Self> {
        let mut builder = Client::builder().timeout(PATIENCE).https_only(true);
        if let Some(path) = authority {
            let pem = std::fs::read(path).with_context(|| format!("reading {}", path.display()))?;
            let certificates =
                Certificate::from_pem_bundle(&pem).with_context(|| format!("reading {}", path.display()))?;
            // The issuers of tests are on this machine.
            builder = builder.tls_certs_only(certificates).no_proxy();
        }
        Ok(Self {
            web: builder.build().context("making an HTTPS client for token issuers")?,
        })
    }
}

#[async_trait]
impl IssuerDocuments for IssuerClient {
    async fn fetch(&self, url: &str) -> Result<Value, Unreachable> {
        let fetched = async { self.web.get(url).send().await?.error_for_status()?.json().await };
        fetched.await.map_err(|error: reqwest::Error| {
            let error = anyhow::Error::from(error.without_url());
            Unreachable {
                url: url.to_owned(),
                reason: format!("{error:#}"),
            }
        })
    }
}
