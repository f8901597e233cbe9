//! The public keys of token issuers, as far as Entra read them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jsonwebtoken::DecodingKey;
use serde_json::Value;
use tokio::time::Instant;

use super::issuers::{IssuerDocuments, Unreachable, discovery_url};

/// Reads the key sets of issuers, and keeps them until a token names a key that is not among them and their time is over.
#[derive(Debug)]
pub(crate) struct IssuerKeys {
    documents: Arc<dyn IssuerDocuments>,
    kept: Mutex<HashMap<String, Kept>>,
}

/// The keys of an issuer, none at first, and since when they are kept.
#[derive(Debug, Clone)]
struct Kept {
    keys: Vec<PublicKey>,
    since: Instant,
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

    /// The issuer's key with this id; without an id, its only key. `None` when it publishes no such RSA key, or did not
    /// when its keys were last read and that is less than `keep` ago.
    pub(super) async fn find(
        &self,
        issuer: &str,
        id: Option<&str>,
        keep: Duration,
    ) -> Result<Option<DecodingKey>, Unreachable> {
        let kept = self.kept(issuer);
        let found = pick(&kept.keys, id);
        if found.is_some() || kept.since.elapsed() < keep {
            return Ok(found);
        }
        let keys = self.read(issuer).await?;
        let found = pick(&keys, id);
        let since = Instant::now();
        self.lock().insert(issuer.to_owned(), Kept { keys, since });
        Ok(found)
    }

    /// What is kept of the issuer, which may be met for the first time.
    fn kept(&self, issuer: &str) -> Kept {
        let met = || Kept {
            keys: Vec::new(),
            since: Instant::now(),
        };
        self.lock().entry(issuer.to_owned()).or_insert_with(met).clone()
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

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Kept>> {
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
