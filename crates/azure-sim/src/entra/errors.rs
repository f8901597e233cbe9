//! The form that Entra gives to errors.

use http::StatusCode;
use jiff::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::answer::Answer;
use crate::incoming::Incoming;

/// An error of [Entra](https://learn.microsoft.com/entra/identity-platform/reference-error-codes).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EntraError {
    status: StatusCode,
    error: &'static str,
    /// The number behind `AADSTS`.
    pub(super) code: u32,
    message: String,
}

/// What an error says, before it is given a time and the ids of a request.
struct Said<'a> {
    status: StatusCode,
    error: &'a str,
    code: &'a str,
    message: &'a str,
}

// === impl EntraError ===

impl EntraError {
    pub(super) fn invalid_request(code: u32, message: impl Into<String>) -> Self {
        Self::new("invalid_request", code, message)
    }

    pub(super) fn new(error: &'static str, code: u32, message: impl Into<String>) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            error,
            code,
            message: message.into(),
        }
    }

    /// A refusal of the client's credential: 401 since 2023, 400 before.
    pub(super) fn invalid_client(code: u32, message: impl Into<String>) -> Self {
        Self {
            status: StatusCode::UNAUTHORIZED,
            ..Self::new("invalid_client", code, message)
        }
    }

    pub(super) fn answer(self, incoming: &Incoming, now: Timestamp) -> Answer {
        let Self {
            status,
            error,
            code,
            message,
        } = self;
        let said = Said {
            status,
            error,
            code: &format!("AADSTS{code}"),
            message: &message,
        };
        said.answer(incoming, now)
    }
}

/// A scripted fault in Entra's form. A code as `AADSTS70021` is put where Entra puts it; any other is the OAuth error.
pub(crate) fn scripted(incoming: &Incoming, status: StatusCode, code: &str, message: &str, now: Timestamp) -> Answer {
    if code.starts_with("AADSTS") {
        let said = Said {
            status,
            error: "invalid_client",
            code,
            message,
        };
        return said.answer(incoming, now);
    }
    let body = json!({ "error": code, "error_description": message, "error_codes": [] });
    Answer {
        error_code: Some(code.to_owned()),
        ..Answer::json(status, body)
    }
}

// === impl Said ===

impl Said<'_> {
    fn answer(&self, incoming: &Incoming, now: Timestamp) -> Answer {
        let Self {
            status,
            error,
            code,
            message,
        } = *self;
        let trace_id = Uuid::new_v4();
        let sent = incoming
            .header("client-request-id")
            .and_then(|id| Uuid::try_parse(id).ok());
        let correlation_id = sent.unwrap_or_else(Uuid::new_v4);
        let timestamp = now.strftime("%Y-%m-%d %H:%M:%SZ").to_string();
        let number = code.trim_start_matches("AADSTS").parse::<u32>().ok();
        let description =
            format!("{code}: {message} Trace ID: {trace_id} Correlation ID: {correlation_id} Timestamp: {timestamp}");
        let body = json!({
            "error": error,
            "error_description": description,
            "error_codes": number.map_or_else(Vec::new, |number| vec![Value::from(number)]),
            "timestamp": timestamp,
            "trace_id": trace_id,
            "correlation_id": correlation_id,
            "error_uri": format!("{}/error?code={}", incoming.base, number.unwrap_or_default()),
        });
        let answer = Answer {
            error_code: Some(code.to_owned()),
            ..Answer::json(status, body)
        };
        answer
            .with_header("cache-control", "no-store, no-cache")
            .with_header("x-ms-request-id", trace_id.to_string())
    }
}
