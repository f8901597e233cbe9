//! The rules that a write has to keep: addresses, preconditions, and which fields it reaches.

use serde_json::{Value, json};

use super::answer::{self, Answer};
use super::apply::ManagerId;
use super::json::{is_empty, metadata, set, set_metadata, text, texts, unset_metadata};
use super::resource::ResourceType;
use super::schema::{first_unknown, prune_and_default};
use super::store::ObjectKey;
use super::write::{Part, WriteOptions};

/// Metadata that only the server sets.
pub(super) const SERVER_METADATA: [&str; 8] = [
    "name",
    "namespace",
    "uid",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generation",
    "resourceVersion",
];

/// Prunes and defaults by the schema and drops empty metadata maps, as decoding into Go types does.
pub(super) fn shape(resource: &ResourceType, options: &WriteOptions, object: &mut Value) -> Answer<()> {
    for field in [
        "annotations",
        "labels",
        "finalizers",
        "ownerReferences",
        "managedFields",
    ] {
        if is_empty(metadata(object, field)) {
            unset_metadata(object, field);
        }
    }
    let Some(schema) = &resource.schema else { return Ok(()) };
    let unknown = prune_and_default(object, schema);
    if options.strict && !unknown.is_empty() {
        let fields: Vec<String> = unknown.iter().map(|field| format!("unknown field {field:?}")).collect();
        return Err(answer::bad_request(&format!(
            "strict decoding error: {}",
            fields.join(", ")
        )));
    }
    Ok(())
}

pub(super) fn is_namespace(resource: &ResourceType) -> bool {
    resource.group.is_empty() && resource.plural == "namespaces"
}

pub(super) fn manager_id(resource: &ResourceType, options: &WriteOptions, applies: bool) -> ManagerId {
    ManagerId {
        name: options.manager.clone(),
        applies,
        subresource: if options.part == Part::Status {
            "status".to_owned()
        } else {
            String::new()
        },
        api_version: resource.api_version().to_owned(),
    }
}

pub(super) fn check_type(resource: &ResourceType, object: &Value) -> Answer<()> {
    if !object.is_object() || object.get("metadata").is_some_and(|metadata| !metadata.is_object()) {
        return Err(answer::bad_request(
            "the body of the request is not an object with metadata",
        ));
    }
    let (api_version, kind) = (resource.api_version(), &resource.kind);
    if object["apiVersion"] == api_version && object["kind"] == kind.as_str() {
        return Ok(());
    }
    // Built-in types are decoded by the path, so clients may leave the type out.
    if resource.schema.is_none() && object.get("apiVersion").is_none() && object.get("kind").is_none() {
        return Ok(());
    }
    Err(answer::bad_request(&format!(
        "{} {} in version {} cannot be handled as a {kind} in version {api_version}",
        object["kind"], resource.plural, object["apiVersion"]
    )))
}

/// An applied field that the schema does not have is an error, whatever the field validation.
pub(super) fn check_declared(resource: &ResourceType, key: &ObjectKey, config: &Value) -> Answer<()> {
    let Some(schema) = &resource.schema else { return Ok(()) };
    match first_unknown(config, schema) {
        None => Ok(()),
        Some(field) => Err(answer::internal(&format!(
            "failed to create typed patch object ({}/{}; {}, Kind={}): .{field}: field not declared in schema",
            key.0,
            key.1,
            resource.api_version(),
            resource.kind
        ))),
    }
}

/// Whether nothing but the times of managers differs: such a write is none.
pub(super) fn equal_but_for_times(old: &Value, new: &Value) -> bool {
    fn managers(object: &Value) -> Option<&Vec<Value>> {
        metadata(object, "managedFields").as_array()
    }
    let same_managers = || match (managers(old), managers(new)) {
        (Some(old), Some(new)) => {
            old.len() == new.len() && old.iter().zip(new).all(|(old, new)| same_but(old, new, "time"))
        }
        (old, new) => old == new,
    };
    let same_metadata = || match (old.get("metadata"), new.get("metadata")) {
        (Some(old), Some(new)) => same_but(old, new, "managedFields"),
        (old, new) => old == new,
    };
    same_but(old, new, "metadata") && same_metadata() && same_managers()
}

/// Whether two objects have the same fields but for this one.
fn same_but(old: &Value, new: &Value, field: &str) -> bool {
    fn but<'a>(object: &'a Value, field: &str) -> impl Iterator<Item = (&'a String, &'a Value)> {
        let all = object.as_object().into_iter().flatten();
        all.filter(move |(name, _)| *name != field)
    }
    but(old, field).eq(but(new, field))
}

pub(super) fn check_address(resource: &ResourceType, key: &ObjectKey, object: &Value) -> Answer<()> {
    if let Some(name) = text(object, "name").filter(|name| *name != key.1) {
        let why = format!(
            "the name of the object ({name}) does not match the name on the URL ({})",
            key.1
        );
        return Err(answer::bad_request(&why));
    }
    let namespace = text(object, "namespace").filter(|namespace| resource.namespaced && *namespace != key.0);
    match namespace {
        Some(_) => Err(answer::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        )),
        None => Ok(()),
    }
}

pub(super) fn check_preconditions(
    resource: &ResourceType,
    name: &str,
    old: &Value,
    uid: Option<&str>,
    version: Option<&str>,
) -> Answer<()> {
    let found = text(old, "uid").unwrap_or_default();
    if let Some(uid) = uid.filter(|uid| *uid != found) {
        return Err(answer::other_uid(resource, name, uid, found));
    }
    if version.is_some_and(|version| text(old, "resourceVersion") != Some(version)) {
        return Err(answer::modified_meanwhile(resource, name));
    }
    Ok(())
}

/// Leaves in a new or applied object only the part that the write reaches.
pub(super) fn isolate(resource: &ResourceType, part: Part, object: &mut Value) {
    let Some(root) = object.as_object_mut().filter(|_| resource.status) else {
        return;
    };
    match part {
        Part::Main => {
            root.remove("status");
        }
        Part::Status => {
            root.retain(|name, _| ["apiVersion", "kind", "metadata", "status"].contains(&name.as_str()));
            if let Some(metadata) = root.get_mut("metadata").and_then(Value::as_object_mut) {
                metadata.retain(|name, _| SERVER_METADATA.contains(&name.as_str()));
            }
        }
        Part::Whole => {}
    }
}

/// Puts back the part of the old object that the write does not reach.
pub(super) fn isolate_update(resource: &ResourceType, part: Part, old: &Value, object: &mut Value) {
    if !resource.status {
        return;
    }
    match part {
        Part::Whole => {}
        Part::Main => {
            if let Some(root) = object.as_object_mut() {
                root.remove("status");
                root.extend(old.get("status").map(|status| ("status".to_owned(), status.clone())));
            }
        }
        Part::Status => {
            let mut kept = old.clone();
            let managed = metadata(object, "managedFields").clone();
            if let Some(root) = kept.as_object_mut() {
                root.remove("status");
                root.extend(object.get("status").map(|status| ("status".to_owned(), status.clone())));
            }
            set_metadata(&mut kept, "managedFields", managed);
            *object = kept;
        }
    }
}

pub(super) fn keep_server_metadata(old: &Value, object: &mut Value) {
    for field in SERVER_METADATA {
        match metadata(old, field) {
            Value::Null => unset_metadata(object, field),
            value if value == metadata(object, field) => {}
            value => set_metadata(object, field, value.clone()),
        }
    }
    for field in ["apiVersion", "kind"] {
        if let Some(value) = old.get(field).filter(|value| object.get(field) != Some(value)) {
            set(object, field, value.clone());
        }
    }
}

/// Whether two objects have the same of what the generation counts: all but metadata and status.
pub(super) fn same_spec(old: &Value, new: &Value) -> bool {
    fn counted(object: &Value) -> impl Iterator<Item = (&String, &Value)> {
        let root = object.as_object().into_iter().flatten();
        root.filter(|(name, _)| !["apiVersion", "kind", "metadata", "status"].contains(&name.as_str()))
    }
    counted(old).eq(counted(new))
}

pub(super) fn raise_generation(object: &mut Value) {
    if let Some(generation) = metadata(object, "generation").as_i64() {
        set_metadata(object, "generation", json!(generation + 1));
    }
}

pub(super) fn key_of(object: &Value) -> ObjectKey {
    let part = |field| text(object, field).unwrap_or_default().to_owned();
    (part("namespace"), part("name"))
}

pub(super) fn has_finalizers(object: &Value) -> bool {
    !texts(object, "finalizers").is_empty()
}
