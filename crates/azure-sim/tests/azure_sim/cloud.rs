//! A simulated cloud and a caller of it.

use std::path::PathBuf;

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use serde_json::{Value, json};
use wio_azure_sim::{Config, ConnectionDropped, Simulator};

pub(crate) const SUBSCRIPTION: &str = "00000000-0000-0000-0000-000000000000";
pub(crate) const GROUP: &str = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/rg";
pub(crate) const TOKEN: &str = "the-tests";
pub(crate) const ISSUER: &str = "https://oidc.example/cluster/";
pub(crate) const AUDIENCE: &str = "api://AzureADTokenExchange";

const IDENTITY_API: &str = "2024-11-30";
const ROLE_API: &str = "2022-04-01";
const GROUP_API: &str = "2021-04-01";

/// A simulator and somebody with a token for it.
#[derive(Clone)]
pub(crate) struct Cloud {
    pub(crate) simulator: Simulator,
    token: String,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// JSON, or null when there was no body.
    pub(crate) body: Value,
}

// === impl Cloud ===

impl Cloud {
    /// A cloud with these settings and the resource group [`GROUP`].
    pub(crate) async fn new(config: Config) -> Self {
        let cloud = Self::empty(config);
        cloud
            .put(GROUP, &json!({"location": "westeurope"}))
            .await
            .expect_status(201);
        cloud
    }

    /// A cloud in which nothing exists.
    pub(crate) fn empty(config: Config) -> Self {
        Self::of(Simulator::new(config.with_static_token(TOKEN)))
    }

    pub(crate) fn of(simulator: Simulator) -> Self {
        Self {
            simulator,
            token: TOKEN.to_owned(),
        }
    }

    /// The same cloud, called with another token.
    pub(crate) fn with_token(&self, token: &str) -> Self {
        Self {
            simulator: self.simulator.clone(),
            token: token.to_owned(),
        }
    }

    pub(crate) async fn put(&self, id: &str, body: &Value) -> Answer {
        self.send("PUT", &versioned(id), Some(body)).await
    }

    pub(crate) async fn patch(&self, id: &str, body: &Value) -> Answer {
        self.send("PATCH", &versioned(id), Some(body)).await
    }

    pub(crate) async fn get(&self, id: &str) -> Answer {
        self.send("GET", &versioned(id), None).await
    }

    pub(crate) async fn delete(&self, id: &str) -> Answer {
        self.send("DELETE", &versioned(id), None).await
    }

    /// Writes the identity `name` in [`GROUP`].
    pub(crate) async fn put_identity(&self, name: &str) -> Answer {
        self.put(&identity(name), &json!({"location": "westeurope"})).await
    }

    /// Writes a credential of an identity in [`GROUP`] that trusts `subject`.
    pub(crate) async fn put_credential(&self, owner: &str, name: &str, subject: &str) -> Answer {
        self.put(&credential(owner, name), &trust(ISSUER, subject, AUDIENCE))
            .await
    }

    /// All entries of a list, page by page, and how many pages there were.
    pub(crate) async fn list(&self, id: &str) -> (Vec<Value>, usize) {
        let mut page = self.get(id).await.expect_status(200);
        let mut entries = Vec::new();
        for pages in 1..1000 {
            entries.extend(
                page.body["value"]
                    .as_array()
                    .expect("a list has a value")
                    .iter()
                    .cloned(),
            );
            let Some(next) = page.body["nextLink"].as_str() else {
                return (entries, pages);
            };
            let path = next
                .strip_prefix("https://management.azure.com")
                .expect("the link stays on the host asked");
            page = self.send("GET", path, None).await.expect_status(200);
        }
        panic!("the list has no end");
    }

    /// Sends a request with the caller's token to a path with its query.
    pub(crate) async fn send(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        self.try_send(method, path, body)
            .await
            .expect("the connection stays open")
    }

    pub(crate) async fn try_send(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Answer, ConnectionDropped> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "management.azure.com")
            .header("authorization", format!("Bearer {}", self.token));
        if body.is_some() {
            request = request.header("content-type", "application/json");
        }
        let bytes = body.map(|body| Bytes::from(body.to_string())).unwrap_or_default();
        self.handle(request.body(bytes).expect("a good request")).await
    }

    /// Sends any request.
    pub(crate) async fn handle(&self, request: Request<Bytes>) -> Result<Answer, ConnectionDropped> {
        let (parts, bytes) = self.simulator.handle(request).await?.into_parts();
        let body = if bytes.is_empty() {
            Value::Null
        } else {
            serde_json::from_slice(&bytes).expect("JSON")
        };
        Ok(Answer {
            status: parts.status,
            headers: parts.headers,
            body,
        })
    }
}

// === impl Answer ===

impl Answer {
    #[track_caller]
    pub(crate) fn expect_status(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self:#?}");
        self
    }

    /// Fails unless the answer is an error of ARM with this status and code.
    #[track_caller]
    pub(crate) fn expect_error(self, status: u16, code: &str) -> Self {
        let answer = self.expect_status(status);
        assert_eq!(answer.body["error"]["code"], code, "{answer:#?}");
        assert!(answer.message().len() > 10, "an error says what is wrong: {answer:#?}");
        answer
    }

    /// The text of an error of ARM.
    #[track_caller]
    pub(crate) fn message(&self) -> &str {
        self.body["error"]["message"]
            .as_str()
            .unwrap_or_else(|| panic!("no error message: {self:#?}"))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .get(name)
            .map(|value| value.to_str().expect("headers are text"))
    }

    /// A header that is a number.
    #[track_caller]
    pub(crate) fn number(&self, name: &str) -> u64 {
        let value = self.header(name).unwrap_or_else(|| panic!("no {name}: {self:#?}"));
        value.parse().unwrap_or_else(|_| panic!("{name} is {value}"))
    }

    /// A property of a resource that is text.
    #[track_caller]
    pub(crate) fn property(&self, name: &str) -> String {
        self.body["properties"][name]
            .as_str()
            .unwrap_or_else(|| panic!("no {name}: {self:#?}"))
            .to_owned()
    }
}

/// The id of an identity in [`GROUP`].
pub(crate) fn identity(name: &str) -> String {
    format!("{GROUP}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{name}")
}

/// The id of a credential of an identity in [`GROUP`].
pub(crate) fn credential(owner: &str, name: &str) -> String {
    format!("{}/federatedIdentityCredentials/{name}", identity(owner))
}

/// The body of a credential.
pub(crate) fn trust(issuer: &str, subject: &str, audience: &str) -> Value {
    json!({"properties": {"issuer": issuer, "subject": subject, "audiences": [audience]}})
}

/// A file below the crate's `tests`.
pub(crate) fn file(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests").join(path)
}

/// A JSON file below the crate's `tests`.
pub(crate) fn json_file(path: &str) -> Value {
    let path = file(path);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A path with an api-version that its type has, unless it names one.
fn versioned(path: &str) -> String {
    if path.contains("api-version=") {
        return path.to_owned();
    }
    let version = if path.contains("Microsoft.Authorization") {
        ROLE_API
    } else if path.contains("Microsoft.ManagedIdentity") {
        IDENTITY_API
    } else {
        GROUP_API
    };
    let joint = if path.contains('?') { '&' } else { '?' };
    format!("{path}{joint}api-version={version}")
}
