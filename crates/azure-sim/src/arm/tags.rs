//! Tags and regions, as bodies carry them.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::answer::{Answer, Outcome};
use crate::config::TagPolicy;
use crate::names::region;
use crate::target::lies_within;

/// <https://learn.microsoft.com/azure/azure-resource-manager/management/tag-resources#limitations>
const MOST_TAGS: usize = 50;
const LONGEST_NAME: usize = 512;
const LONGEST_VALUE: usize = 256;
const RESERVED: &str = "<>%&\\?/";

/// The tags of a body; `None` when it does not speak of them.
pub(super) fn tags(body: &Map<String, Value>) -> Outcome<Option<BTreeMap<String, String>>> {
    let entries = match body.get("tags") {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Object(entries)) => entries,
        Some(_) => return Err(malformed("'tags' must be an object of strings")),
    };
    if entries.len() > MOST_TAGS {
        let message = format!(
            "The resource has {} tags, more than the {MOST_TAGS} that are allowed.",
            entries.len()
        );
        return Err(Answer::bad_request("TooManyTags", message));
    }
    let mut tags = BTreeMap::new();
    for (name, value) in entries {
        let Some(value) = value.as_str() else {
            return Err(malformed("'tags' must be an object of strings"));
        };
        if name.contains(|c: char| RESERVED.contains(c) || c.is_control()) {
            let message =
                format!("The tag names '{name}' have reserved characters '<,>,%,&,\\,?,/' or control characters.");
            return Err(Answer::bad_request("InvalidTagNameCharacters", message));
        }
        if name.chars().count() > LONGEST_NAME || value.chars().count() > LONGEST_VALUE {
            let message = format!(
                "The tag '{name}' is too long: a name has at most {LONGEST_NAME} characters, a value {LONGEST_VALUE}."
            );
            return Err(Answer::bad_request("InvalidTagLength", message));
        }
        tags.insert(name.clone(), value.to_owned());
    }
    Ok(Some(tags))
}

/// What Azure Policies make of the tags of the resource with this id.
pub(super) fn modify(tags: &mut BTreeMap<String, String>, policies: &[TagPolicy], id: &str) {
    for TagPolicy { scope, tag, value } in policies {
        if !lies_within(id, scope) {
            continue;
        }
        tags.retain(|name, _| !name.eq_ignore_ascii_case(tag));
        if let Some(value) = value {
            tags.insert(tag.clone(), value.clone());
        }
    }
}

/// The region of a body, as it is stored; `None` when it does not speak of it.
pub(super) fn location(body: &Map<String, Value>) -> Outcome<Option<String>> {
    match body.get("location") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.trim().is_empty() => Ok(None),
        Some(Value::String(text)) => {
            let region = region(text);
            if region.chars().all(|c| c.is_ascii_alphanumeric()) {
                return Ok(Some(region));
            }
            let message = format!("The provided location '{text}' is not available.");
            Err(Answer::bad_request("LocationNotAvailableForResourceType", message))
        }
        Some(_) => Err(malformed("'location' must be a string")),
    }
}

/// The answer to a body that has no region where one is needed.
pub(super) fn location_required() -> Answer {
    Answer::bad_request(
        "LocationRequired",
        "The location property is required for this definition.",
    )
}

pub(super) fn malformed(reason: &str) -> Answer {
    let message = format!("The request content was invalid and could not be deserialized: '{reason}'.");
    Answer::bad_request("InvalidRequestContent", message)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn code(body: &Value) -> Option<String> {
        tags(body.as_object().unwrap())
            .err()
            .and_then(|answer| answer.error_code)
    }

    #[test]
    fn tags_keep_to_the_rules() {
        let many: Map<String, Value> = (0..51).map(|n| (n.to_string(), json!("x"))).collect();
        assert_eq!(code(&json!({ "tags": many })).as_deref(), Some("TooManyTags"));
        assert_eq!(
            code(&json!({ "tags": { "a/b": "x" } })).as_deref(),
            Some("InvalidTagNameCharacters")
        );
        assert_eq!(
            code(&json!({ "tags": { "a": "x".repeat(257) } })).as_deref(),
            Some("InvalidTagLength")
        );
        assert_eq!(
            code(&json!({ "tags": { "a": 1 } })).as_deref(),
            Some("InvalidRequestContent")
        );
        assert_eq!(code(&json!({ "tags": { "a": "" } })), None);
    }

    #[test]
    fn a_region_is_stored_in_one_form() {
        let read = |text: &str| location(json!({ "location": text }).as_object().unwrap());
        assert_eq!(read("West Europe"), Ok(Some("westeurope".to_owned())));
        assert_eq!(read(""), Ok(None));
        assert!(read("../x").is_err());
    }
}
