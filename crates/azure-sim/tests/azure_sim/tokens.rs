//! A cluster that signs service account tokens, and the exchange of them for access tokens.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::Request;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, decode_header, encode};
use serde_json::{Map, Value, json};
use tokio::time::Instant;
use url::form_urlencoded;
use wio_azure_sim::{Config, KnownIssuers, Simulator};

use crate::cloud::{AUDIENCE, Answer, Cloud, ISSUER, TOKEN, file, json_file};

pub(crate) const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
pub(crate) const ARM_SCOPE: &str = "https://management.azure.com/.default";

/// A token issuer whose documents Entra can read, until it is out of reach.
#[derive(Clone)]
pub(crate) struct Cluster {
    pub(crate) issuers: KnownIssuers,
    began: (SystemTime, Instant),
}

/// A cloud whose Entra reaches a cluster.
pub(crate) struct Entra {
    pub(crate) cloud: Cloud,
    pub(crate) cluster: Cluster,
}

/// The keys in `tests/keys`.
#[derive(Clone, Copy)]
pub(crate) enum Key {
    /// Its public half is published.
    Cluster,
    /// Nobody published its public half, unless a test does.
    Stranger,
}

// === impl Key ===

impl Key {
    fn name(self) -> &'static str {
        match self {
            Self::Cluster => "cluster",
            Self::Stranger => "stranger",
        }
    }

    pub(crate) fn public(self) -> Value {
        json_file(&format!("keys/test-only-{}.jwks.json", self.name()))
    }

    fn private(self) -> EncodingKey {
        let pem = std::fs::read(file(&format!("keys/test-only-{}-key.pem", self.name()))).unwrap();
        EncodingKey::from_rsa_pem(&pem).unwrap()
    }
}

// === impl Cluster ===

impl Cluster {
    pub(crate) fn new() -> Self {
        let issuers = KnownIssuers::default();
        issuers.publish(ISSUER, Key::Cluster.public());
        Self {
            issuers,
            began: (SystemTime::now(), Instant::now()),
        }
    }

    /// Now, in seconds, by the clock that a paused test advances.
    pub(crate) fn now(&self) -> i64 {
        let wall = self.began.0 + self.began.1.elapsed();
        wall.duration_since(UNIX_EPOCH).unwrap().as_secs().try_into().unwrap()
    }

    /// The claims of a good token of a service account.
    pub(crate) fn claims(&self, subject: &str) -> Value {
        let now = self.now();
        json!({"iss": ISSUER, "sub": subject, "aud": [AUDIENCE], "iat": now, "nbf": now, "exp": now + 3600})
    }

    /// A good token.
    pub(crate) fn token(&self, subject: &str) -> String {
        sign(Key::Cluster, "cluster-1", &self.claims(subject))
    }

    /// A good token, but for these claims.
    pub(crate) fn token_with(&self, subject: &str, changes: &Value) -> String {
        let mut claims = self.claims(subject);
        claims
            .as_object_mut()
            .unwrap()
            .extend(changes.as_object().unwrap().clone());
        sign(Key::Cluster, "cluster-1", &claims)
    }
}

pub(crate) fn sign(key: Key, id: &str, claims: &Value) -> String {
    let header = Header {
        kid: Some(id.to_owned()),
        ..Header::new(Algorithm::RS256)
    };
    encode(&header, claims, &key.private()).unwrap()
}

// === impl Entra ===

impl Entra {
    pub(crate) async fn new(config: Config, cluster: Cluster) -> Self {
        let simulator = Simulator::with_issuers(config.with_static_token(TOKEN), Arc::new(cluster.issuers.clone()));
        let cloud = Cloud::of(simulator);
        cloud
            .put(crate::cloud::GROUP, &json!({"location": "westeurope"}))
            .await
            .expect_status(201);
        Self { cloud, cluster }
    }

    pub(crate) fn tenant(&self) -> String {
        self.cloud.simulator.config().tenant_id.to_string()
    }

    /// Presents an assertion for a token for Azure Resource Manager.
    pub(crate) async fn exchange(&self, client: &str, assertion: &str) -> Answer {
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", client),
            ("scope", ARM_SCOPE),
            ("client_assertion_type", JWT_BEARER),
            ("client_assertion", assertion),
        ];
        self.ask(&self.tenant(), &form).await
    }

    /// Sends a form to a tenant's token endpoint.
    pub(crate) async fn ask(&self, tenant: &str, form: &[(&str, &str)]) -> Answer {
        self.post(&format!("/{tenant}/oauth2/v2.0/token"), form).await
    }

    /// Sends a form.
    pub(crate) async fn post(&self, path: &str, form: &[(&str, &str)]) -> Answer {
        let body = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(form)
            .finish();
        let request = Request::post(path)
            .header("host", "login.microsoftonline.com")
            .header("content-type", "application/x-www-form-urlencoded")
            .body(Bytes::from(body))
            .unwrap();
        self.cloud.handle(request).await.unwrap()
    }

    /// Reads a document without a token.
    pub(crate) async fn read(&self, path: &str) -> Answer {
        let request = Request::get(path)
            .header("host", "login.microsoftonline.com")
            .body(Bytes::new())
            .unwrap();
        self.cloud.handle(request).await.unwrap()
    }

    /// The claims of an access token, checked as an API checks them: by the keys that the tenant publishes.
    pub(crate) async fn verified(&self, token: &str) -> Map<String, Value> {
        let document = self
            .read(&format!("/{}/v2.0/.well-known/openid-configuration", self.tenant()))
            .await;
        let keys_url = document.body["jwks_uri"].as_str().unwrap().to_owned();
        let keys = self
            .read(keys_url.strip_prefix("https://login.microsoftonline.com").unwrap())
            .await
            .body;
        let id = decode_header(token).unwrap().kid.unwrap();
        let key = keys["keys"]
            .as_array()
            .unwrap()
            .iter()
            .find(|key| key["kid"] == *id)
            .unwrap();
        let key = DecodingKey::from_rsa_components(key["n"].as_str().unwrap(), key["e"].as_str().unwrap()).unwrap();
        let mut validation = Validation::new(Algorithm::RS256);
        validation.validate_aud = false;
        // Judged by the cluster's clock, which a paused test advances.
        validation.validate_exp = false;
        decode(token, &key, &validation).unwrap().claims
    }
}

// === impl Answer ===

impl Answer {
    /// Fails unless Entra refused with this code, in its form.
    #[track_caller]
    pub(crate) fn expect_aadsts(self, code: u32) -> Self {
        let description = self.body["error_description"]
            .as_str()
            .unwrap_or_else(|| panic!("{self:#?}"));
        assert!(description.starts_with(&format!("AADSTS{code}: ")), "{self:#?}");
        for part in ["Trace ID: ", "Correlation ID: ", "Timestamp: "] {
            assert!(description.contains(part), "{self:#?}");
        }
        assert_eq!(self.body["error_codes"], json!([code]), "{self:#?}");
        assert!(
            self.body["error_uri"]
                .as_str()
                .unwrap()
                .ends_with(&format!("error?code={code}")),
            "{self:#?}"
        );
        for id in ["trace_id", "correlation_id"] {
            assert!(description.contains(self.body[id].as_str().unwrap()), "{self:#?}");
        }
        assert!([400, 401].contains(&self.status.as_u16()), "{self:#?}");
        assert!(self.body.get("access_token").is_none());
        self
    }

    /// The access token of an answer of Entra.
    #[track_caller]
    pub(crate) fn access_token(self) -> String {
        let answer = self.expect_status(200);
        assert_eq!(answer.body["token_type"], "Bearer");
        answer.body["access_token"].as_str().unwrap().to_owned()
    }
}
