//! Merge patches (RFC 7396) and JSON patches (RFC 6902).

use serde_json::Value;

use super::answer::{Answer, bad_request, failure};

/// A patch that is not an apply.
pub(crate) enum Patch {
    Merge(Value),
    Json(json_patch::Patch),
}

/// What a PATCH request's content type asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PatchType {
    Apply,
    Merge,
    Json,
}

impl PatchType {
    /// # Errors
    /// 415 for other types. Strategic merge patches are among them: nothing here sends one.
    pub(crate) fn parse(content_type: &str) -> Answer<Self> {
        match content_type.split(';').next().unwrap_or_default().trim() {
            "application/apply-patch+yaml" => Ok(Self::Apply),
            "application/merge-patch+json" => Ok(Self::Merge),
            "application/json-patch+json" => Ok(Self::Json),
            other => {
                let why = format!("the body of the request was in an unsupported format: {other:?}");
                Err(failure(415, "UnsupportedMediaType", &why))
            }
        }
    }
}

impl Patch {
    /// # Errors
    /// 400 when a JSON patch cannot be read.
    pub(crate) fn json(body: Value) -> Answer<Self> {
        serde_json::from_value(body)
            .map(Self::Json)
            .map_err(|error| bad_request(&error.to_string()))
    }

    /// The patched object.
    ///
    /// # Errors
    /// 422 when an operation of a JSON patch does not fit the object, a `test` among them.
    pub(crate) fn apply_to(&self, object: &Value) -> Answer<Value> {
        let mut object = object.clone();
        match self {
            Self::Merge(patch) => json_patch::merge(&mut object, patch),
            Self::Json(patch) => json_patch::patch(&mut object, patch).map_err(|error| {
                let why = format!("the server rejected our request due to an error in our request: {error}");
                failure(422, "Invalid", &why)
            })?,
        }
        Ok(object)
    }
}
