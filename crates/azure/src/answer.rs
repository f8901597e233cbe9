//! Answers of Azure Resource Manager: status, body, request id, error code and message.

use std::time::Duration;

use azure_core::http::RawResponse;
use azure_core::http::headers::HeaderName;
use bytes::Bytes;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use wio_core::absence::{Absence, Deletion, Kind};
use wio_core::fault::{AzureAnswer, AzureCause};

use crate::budgets::Budgets;
use crate::retry_after::retry_after;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-ms-request-id");
const ERROR_CODE: HeaderName = HeaderName::from_static("x-ms-error-code");

/// The longest text of an error that is kept.
const MESSAGE_CHARS: usize = 2_000;

/// An answer of Azure, whole, whatever its status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) request_id: Option<String>,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) budgets: Budgets,
    pub(crate) body: Bytes,
    error_code: Option<String>,
}

/// The form of errors: <https://github.com/microsoft/api-guidelines/blob/vNext/azure/Guidelines.md#handling-errors>.
/// Some resource providers leave the outer object away.
#[derive(Default, Deserialize)]
#[serde(default)]
struct ErrorBody {
    error: Option<ErrorDetail>,
    #[serde(flatten)]
    bare: ErrorDetail,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ErrorDetail {
    code: Option<String>,
    message: Option<String>,
}

// === impl Answer ===

impl Answer {
    pub(crate) fn new(response: RawResponse) -> Self {
        let (status, headers, body) = response.deconstruct();
        Self {
            status: u16::from(status),
            request_id: headers.get_optional_string(&REQUEST_ID),
            retry_after: retry_after(&headers),
            budgets: Budgets::of(&headers),
            body: body.into(),
            error_code: headers.get_optional_string(&ERROR_CODE),
        }
    }

    pub(crate) const fn is_success(&self) -> bool {
        matches!(self.status, 200..=299)
    }

    /// The error of an answer that is no success.
    pub(crate) fn error(self) -> AzureCause {
        let body: ErrorBody = serde_json::from_slice(&self.body).unwrap_or_default();
        let detail = body.error.unwrap_or(body.bare);
        AzureCause::Answer(AzureAnswer {
            status: self.status,
            code: detail.code.or(self.error_code).unwrap_or_default(),
            message: detail.message.unwrap_or_default().chars().take(MESSAGE_CHARS).collect(),
            retry_after: self.retry_after,
            request_id: self.request_id,
        })
    }

    /// The body of a success, parsed.
    pub(crate) fn json<T: DeserializeOwned>(&self) -> Result<T, AzureCause> {
        serde_json::from_slice(&self.body).map_err(|error| AzureCause::Malformed(error.to_string()))
    }
}

/// What a request to delete something of this kind found.
pub(crate) fn deletion(kind: Kind, answered: Result<Answer, AzureCause>) -> Result<Deletion, AzureCause> {
    const NO_CONTENT: u16 = 204;
    match answered {
        Ok(answer) if answer.status == NO_CONTENT => Ok(Deletion::NotThere),
        Ok(_) => Ok(Deletion::SeenGoing),
        Err(cause) if Absence::proven(kind, &cause).is_some() => Ok(Deletion::NotThere),
        Err(cause) => Err(cause),
    }
}

#[cfg(test)]
mod tests {
    use azure_core::http::StatusCode;
    use azure_core::http::headers::Headers;

    use super::*;

    fn error(status: u16, body: &str) -> AzureAnswer {
        let mut headers = Headers::new();
        headers.insert(REQUEST_ID, "r1");
        let response = RawResponse::from_bytes(StatusCode::from(status), headers, body.to_owned());
        match Answer::new(response).error() {
            AzureCause::Answer(answer) => answer,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_errors_code_and_message_are_found_where_providers_put_them() {
        let nested = error(
            409,
            r#"{"error":{"code":"ScopeLocked","message":"It is locked.","details":[]}}"#,
        );
        assert_eq!(
            (nested.code.as_str(), nested.message.as_str()),
            ("ScopeLocked", "It is locked.")
        );
        assert_eq!(nested.request_id.as_deref(), Some("r1"));
        let bare = error(400, r#"{"code":"BadRequest","message":"No."}"#);
        assert_eq!((bare.code.as_str(), bare.message.as_str()), ("BadRequest", "No."));
        for body in ["", "<html>Bad Gateway</html>", "[]", "null", r#"{"error":"no"}"#] {
            let other = error(502, body);
            assert_eq!((other.code.as_str(), other.message.as_str()), ("", ""), "{body}");
        }
    }

    #[test]
    fn an_errors_message_is_bounded() {
        let body = format!(r#"{{"error":{{"code":"X","message":"{}"}}}}"#, "ä".repeat(50_000));
        assert_eq!(error(400, &body).message.chars().count(), MESSAGE_CHARS);
    }
}
