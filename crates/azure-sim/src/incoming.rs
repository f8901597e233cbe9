//! A request as the simulator reads it.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Uri, header};
use serde_json::{Map, Value};

use crate::answer::{Answer, Outcome};
use crate::target::{ResourceKind, Target, segments};

/// Which of the simulated services a request is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Service {
    Arm(Target),
    /// The segments of the path, lower-case.
    Entra(Vec<String>),
    InstanceMetadata,
    /// Where the parts of the cloud are.
    CloudMetadata,
    Admin,
}

/// A request, taken apart once.
#[derive(Debug, Clone)]
pub(crate) struct Incoming {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) raw_query: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) service: Service,
    /// `https://host[:port]` under which the caller reached the simulator; links in answers begin with it.
    pub(crate) base: String,
    query: BTreeMap<String, String>,
}

// === impl Incoming ===

impl Incoming {
    pub(crate) fn new(request: Request<Bytes>) -> Self {
        let (parts, body) = request.into_parts();
        let path = parts.uri.path().to_owned();
        let raw_query = parts.uri.query().unwrap_or_default().to_owned();
        let query = url::form_urlencoded::parse(raw_query.as_bytes())
            .map(|(key, value)| (key.to_lowercase(), value.into_owned()))
            .collect();
        let base = base(&parts.uri, &parts.headers);
        Self {
            service: Service::of(&path),
            method: parts.method,
            path,
            raw_query,
            headers: parts.headers,
            body,
            base,
            query,
        }
    }

    /// A query parameter; its name in lower case.
    pub(crate) fn query(&self, name: &str) -> Option<&str> {
        self.query.get(name).map(String::as_str)
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    pub(crate) fn kind(&self) -> ResourceKind {
        match &self.service {
            Service::Arm(target) => target.kind(),
            Service::Entra(path) if path.last().is_some_and(|last| last == "token") => ResourceKind::Token,
            Service::Entra(_) | Service::CloudMetadata => ResourceKind::Discovery,
            Service::InstanceMetadata => ResourceKind::InstanceMetadata,
            Service::Admin => ResourceKind::Other,
        }
    }

    /// Whether the request asks ARM to change something.
    pub(crate) fn writes(&self) -> bool {
        matches!(self.service, Service::Arm(_)) && !matches!(self.method, Method::GET | Method::HEAD)
    }

    /// The body as a JSON object.
    pub(crate) fn json(&self) -> Outcome<Map<String, Value>> {
        let malformed = |reason: String| {
            let message = format!("The request content was invalid and could not be deserialized: '{reason}'.");
            Answer::bad_request("InvalidRequestContent", message)
        };
        match serde_json::from_slice(&self.body) {
            Ok(Value::Object(object)) => Ok(object),
            Ok(_) => Err(malformed("a JSON object is expected".to_owned())),
            Err(error) => Err(malformed(error.to_string())),
        }
    }

    /// The body as the fields of a form.
    pub(crate) fn form(&self) -> BTreeMap<String, String> {
        url::form_urlencoded::parse(&self.body).into_owned().collect()
    }

    /// The body as the log keeps it: JSON as it is, a form without the assertion, which is a secret.
    pub(crate) fn logged_body(&self) -> Option<Value> {
        if self.body.is_empty() {
            return None;
        }
        if self.kind() != ResourceKind::Token {
            let text = || Value::String(String::from_utf8_lossy(&self.body).into_owned());
            return Some(serde_json::from_slice(&self.body).unwrap_or_else(|_| text()));
        }
        let kept = self.form().into_iter().map(|(name, value)| {
            let secret = ["client_assertion", "client_secret", "assertion"].contains(&name.as_str());
            (
                name,
                Value::String(if secret { "<redacted>".to_owned() } else { value }),
            )
        });
        Some(Value::Object(kept.collect()))
    }
}

fn base(uri: &Uri, headers: &HeaderMap) -> String {
    let host = headers.get(header::HOST).and_then(|value| value.to_str().ok());
    let authority = uri.authority().map(http::uri::Authority::as_str).or(host);
    format!("https://{}", authority.unwrap_or("management.azure.com"))
}

// === impl Service ===

impl Service {
    fn of(path: &str) -> Self {
        let segments: Vec<String> = segments(path).iter().map(|segment| segment.to_lowercase()).collect();
        match segments.first().map(String::as_str) {
            Some("_sim") => Self::Admin,
            Some("metadata") if segments.get(1).is_some_and(|second| second == "endpoints") => Self::CloudMetadata,
            Some("metadata") => Self::InstanceMetadata,
            Some("subscriptions" | "providers") | None => Self::Arm(Target::parse(path)),
            Some(_) => Self::Entra(segments),
        }
    }
}
