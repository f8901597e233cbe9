//! The public keys of token issuers, as far as Entra read them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jsonwebtoken::DecodingKey;
use serde_json::Value;

use super::issuers::{IssuerDocuments, Unreachable, discovery_url};

/// Reads the key sets of issuers, and keeps them until a token names a key that is not among them.
#[derive(Debug)]
pub(crate) struct IssuerKeys {
    documents: Arc<dyn IssuerDocuments>,
    kept: Mutex<HashMap<String, Vec<PublicKey>>>,
}

/// An RSA key as a key set holds it.
#[derive(Debug, Clone)]
struct PublicKey {
    id: Option<String>,
    modulus: String,
    exponent: String,
}

// === impl IssuerKeys ===

impl IssuerKeys {
    pub(crate) fn new(documents: Arc<dyn IssuerDocuments>) -> Self {
        Self {
            documents,
            kept: Mutex::default(),
        }
    }

    /// The issuer's key with this id; without an id, its only key. `None` when it publishes no such RSA key.
    pub(super) async fn find(&self, issuer: &str, id: Option<&str>) -> Result<Option<DecodingKey>, Unreachable> {
        let kept = self.lock().get(issuer).and_then(|keys| pick(keys, id));
        if kept.is_some() {
            return Ok(kept);
        }
        let keys = self.read(issuer).await?;
        let found = pick(&keys, id);
        self.lock().insert(issuer.to_owned(), keys);
        Ok(found)
    }

    async fn read(&self, issuer: &str) -> Result<Vec<PublicKey>, Unreachable> {
        let url = discovery_url(issuer);
        let discovery = self.documents.fetch(&url).await?;
        let field = |name: &str| discovery.get(name).and_then(Value::as_str);
        if field("issuer") != Some(issuer) {
            let reason = format!("its issuer is not {issuer}");
            return Err(Unreachable { url, reason });
        }
        let Some(keys_url) = field("jwks_uri") else {
            return Err(Unreachable {
                url,
                reason: "it has no jwks_uri".to_owned(),
            });
        };
        let key_set = self.documents.fetch(keys_url).await?;
        let keys = key_set
            .get("keys")
            .and_then(Value::as_array)
            .map(Vec::as_slice)
            .unwrap_or_default();
        Ok(keys.iter().filter_map(PublicKey::read).collect())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Vec<PublicKey>>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn pick(keys: &[PublicKey], id: Option<&str>) -> Option<DecodingKey> {
    let key = match (id, keys) {
        (Some(id), _) => keys.iter().find(|key| key.id.as_deref() == Some(id)),
        (None, [only]) => Some(only),
        (None, _) => None,
    }?;
    DecodingKey::from_rsa_components(&key.modulus, &key.exponent).ok()
}

// === impl PublicKey ===

impl PublicKey {
    fn read(key: &Value) -> Option<Self> {
        let field = |name: &str| key.get(name).and_then(Value::as_str).map(str::to_owned);
        if field("kty").as_deref() != Some("RSA") {
            return None;
        }
        Some(Self {
            id: field("kid"),
            modulus: field("n")?,
            exponent: field("e")?,
        })
    }
}
