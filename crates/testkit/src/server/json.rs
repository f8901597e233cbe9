//! Reading and writing objects as JSON. Nothing here fails: what is not there reads as null.

use serde_json::{Map, Value};

static NULL: Value = Value::Null;

/// A field of the metadata, or null.
pub(crate) fn metadata<'a>(object: &'a Value, field: &str) -> &'a Value {
    object
        .get("metadata")
        .and_then(|metadata| metadata.get(field))
        .unwrap_or(&NULL)
}

/// A text field of the metadata; an empty one counts as absent, as in Go.
pub(crate) fn text<'a>(object: &'a Value, field: &str) -> Option<&'a str> {
    metadata(object, field).as_str().filter(|value| !value.is_empty())
}

/// The metadata for writing, made when it is not there; None when the object is not one.
pub(crate) fn metadata_mut(object: &mut Value) -> Option<&mut Map<String, Value>> {
    object
        .as_object_mut()?
        .entry("metadata")
        .or_insert_with(|| Value::Object(Map::new()))
        .as_object_mut()
}

pub(crate) fn set_metadata(object: &mut Value, field: &str, value: Value) {
    if let Some(metadata) = metadata_mut(object) {
        metadata.insert(field.to_owned(), value);
    }
}

pub(crate) fn unset_metadata(object: &mut Value, field: &str) {
    if let Some(metadata) = metadata_mut(object) {
        metadata.remove(field);
    }
}

/// Sets a field at the object's root.
pub(crate) fn set(object: &mut Value, field: &str, value: Value) {
    if let Some(root) = object.as_object_mut() {
        root.insert(field.to_owned(), value);
    }
}

/// The texts of a list in the metadata.
pub(crate) fn texts<'a>(object: &'a Value, field: &str) -> Vec<&'a str> {
    metadata(object, field)
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect()
}

/// Whether the value is null, an empty map or an empty list.
pub(crate) fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(map) => map.is_empty(),
        Value::Array(list) => list.is_empty(),
        _ => false,
    }
}
