//! How Entra reads the documents of token issuers.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use serde_json::{Value, json};

/// A way to read the public documents of token issuers.
#[async_trait]
pub trait IssuerDocuments: fmt::Debug + Send + Sync {
    /// The JSON document at this URL.
    ///
    /// # Errors
    ///
    /// When it cannot be had.
    async fn fetch(&self, url: &str) -> Result<Value, Unreachable>;
}

/// A document that Entra could not read, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{url} cannot be read: {reason}")]
pub struct Unreachable {
    /// The URL.
    pub url: String,
    /// Why not.
    pub reason: String,
}

/// Issuers without a server: each with its [key set](https://www.rfc-editor.org/rfc/rfc7517). The clones are one.
#[derive(Debug, Clone, Default)]
pub struct KnownIssuers {
    key_sets: Arc<Mutex<BTreeMap<String, Value>>>,
}

/// Where an issuer's discovery document lies. Whether the issuer ends with `/` makes no difference.
pub(crate) fn discovery_url(issuer: &str) -> String {
    format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'))
}

// === impl KnownIssuers ===

impl KnownIssuers {
    /// Lets this issuer publish this key set, `{"keys": […]}`, in the place of the one before.
    pub fn publish(&self, issuer: &str, key_set: Value) {
        self.key_sets
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(issuer.to_owned(), key_set);
    }

    /// Lets this issuer be out of reach.
    pub fn withdraw(&self, issuer: &str) {
        self.key_sets
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(issuer);
    }
}

#[async_trait]
impl IssuerDocuments for KnownIssuers {
    async fn fetch(&self, url: &str) -> Result<Value, Unreachable> {
        let key_sets = self.key_sets.lock().unwrap_or_else(PoisonError::into_inner);
        for (issuer, key_set) in key_sets.iter() {
            let keys_url = format!("{}/openid/v1/jwks", issuer.trim_end_matches('/'));
            if url == discovery_url(issuer) {
                return Ok(json!({ "issuer": issuer, "jwks_uri": keys_url }));
            }
            if url == keys_url {
                return Ok(key_set.clone());
            }
        }
        Err(Unreachable {
            url: url.to_owned(),
            reason: "no such issuer".to_owned(),
        })
    }
}
