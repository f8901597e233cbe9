//! What the server answers: `Status` bodies as the API server words them, and the forms of objects.
//! See <https://kubernetes.io/docs/reference/using-api/api-concepts/>.

use kube::core::Status;
use kube::core::response::{StatusCause, StatusDetails};
use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use super::apply::Conflict;
use super::json::metadata;
use super::resource::ResourceType;

/// The result of an operation: a fault is the `Status` that the client gets.
pub(crate) type Answer<T> = Result<T, Box<Status>>;

/// A failure that is about no object.
pub(crate) fn failure(code: u16, reason: &str, message: &str) -> Box<Status> {
    Status::failure(message, reason).with_code(code).boxed()
}

/// A failure that is about an object of the resource.
fn about(code: u16, reason: &str, message: &str, resource: &ResourceType, name: &str) -> Box<Status> {
    let mut status = failure(code, reason, message);
    status.details = Some(StatusDetails {
        name: name.to_owned(),
        group: resource.group.clone(),
        kind: resource.plural.clone(),
        uid: String::new(),
        causes: Vec::new(),
        retry_after_seconds: 0,
    });
    status
}

fn because(mut status: Box<Status>, reason: &str, message: &str, field: &str) -> Box<Status> {
    if let Some(details) = &mut status.details {
        details.causes.push(StatusCause {
            reason: reason.to_owned(),
            message: message.to_owned(),
            field: field.to_owned(),
        });
    }
    status
}

pub(crate) fn bad_request(message: &str) -> Box<Status> {
    failure(400, "BadRequest", message)
}

pub(crate) fn internal(message: &str) -> Box<Status> {
    failure(500, "InternalError", message)
}

pub(crate) fn not_found(resource: &ResourceType, name: &str) -> Box<Status> {
    let message = format!("{} {name:?} not found", resource.qualified());
    about(404, "NotFound", &message, resource, name)
}

pub(crate) fn path_not_found() -> Box<Status> {
    failure(404, "NotFound", "the server could not find the requested resource")
}

pub(crate) fn already_exists(resource: &ResourceType, name: &str) -> Box<Status> {
    let message = format!("{} {name:?} already exists", resource.qualified());
    about(409, "AlreadyExists", &message, resource, name)
}

pub(crate) fn conflict(resource: &ResourceType, name: &str, why: &str) -> Box<Status> {
    let message = format!(
        "Operation cannot be fulfilled on {} {name:?}: {why}",
        resource.qualified()
    );
    about(409, "Conflict", &message, resource, name)
}

pub(crate) fn modified_meanwhile(resource: &ResourceType, name: &str) -> Box<Status> {
    let why = "the object has been modified; please apply your changes to the latest version and try again";
    conflict(resource, name, why)
}

pub(crate) fn other_uid(resource: &ResourceType, name: &str, wanted: &str, found: &str) -> Box<Status> {
    let why = format!("Precondition failed: UID in precondition: {wanted}, UID in object meta: {found}");
    conflict(resource, name, &why)
}

pub(crate) fn invalid(resource: &ResourceType, name: &str, kind: &str, field: &str, why: &str) -> Box<Status> {
    let group = if resource.group.is_empty() {
        String::new()
    } else {
        format!(".{}", resource.group)
    };
    let message = format!("{}{group} {name:?} is invalid: {field}: {why}", resource.kind);
    because(about(422, "Invalid", &message, resource, name), kind, why, field)
}

pub(crate) fn terminating(resource: &ResourceType, name: &str, namespace: &str) -> Box<Status> {
    let message = format!(
        "{} {name:?} is forbidden: unable to create new content in namespace {namespace} because it is being terminated",
        resource.qualified()
    );
    let cause = format!("namespace {namespace} is being terminated");
    because(
        about(403, "Forbidden", &message, resource, name),
        "NamespaceTerminating",
        &cause,
        "metadata.namespace",
    )
}

pub(crate) fn expired(message: &str) -> Box<Status> {
    failure(410, "Expired", message)
}

/// The refusal of an apply over other managers' fields: one cause a field.
pub(crate) fn apply_conflict(conflicts: &[Conflict]) -> Box<Status> {
    let message = if let [conflict] = conflicts {
        format!(
            "Apply failed with 1 conflict: {}: {}",
            conflict.message(),
            conflict.field()
        )
    } else {
        let lines: Vec<String> = conflicts
            .iter()
            .map(|c| format!("{}: {}", c.message(), c.field()))
            .collect();
        format!("Apply failed with {} conflicts: {}", conflicts.len(), lines.join("\n"))
    };
    let mut status = failure(409, "Conflict", &message);
    let cause = |conflict: &Conflict| StatusCause {
        reason: "FieldManagerConflict".to_owned(),
        message: conflict.message(),
        field: conflict.field(),
    };
    status.details = Some(StatusDetails {
        name: String::new(),
        group: String::new(),
        kind: String::new(),
        uid: String::new(),
        causes: conflicts.iter().map(cause).collect(),
        retry_after_seconds: 0,
    });
    status
}

/// The answer to a deletion that is done.
pub(crate) fn deleted(resource: &ResourceType, object: &Value) -> Value {
    json!({
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": {
            "name": metadata(object, "name"),
            "group": resource.group,
            "kind": resource.plural,
            "uid": metadata(object, "uid"),
        },
    })
}

/// In which form the client asked for objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Whole,
    /// `PartialObjectMetadata`.
    Metadata,
}

impl Form {
    pub(crate) fn accepted(accept: &str) -> Self {
        if accept.contains("as=PartialObjectMetadata") {
            Self::Metadata
        } else {
            Self::Whole
        }
    }

    /// The object as text.
    pub(crate) fn object(self, object: &Value) -> String {
        match self {
            Self::Whole => written(object),
            Self::Metadata => written(&Described::of(object)),
        }
    }

    /// A list of objects as text.
    pub(crate) fn list(self, resource: &ResourceType, metadata: &Value, items: &[&Value]) -> String {
        if self == Self::Metadata {
            return written(&Listed {
                kind: "PartialObjectMetadataList",
                api_version: "meta.k8s.io/v1",
                metadata,
                items: items.iter().map(|item| Described::of(item)).collect(),
            });
        }
        let kind = &format!("{}List", resource.kind);
        let api_version = resource.api_version();
        if resource.schema.is_some() {
            return written(&Listed {
                kind,
                api_version,
                metadata,
                items: items.to_vec(),
            });
        }
        // Built-in types leave the type out of items; custom resources keep it.
        written(&Listed {
            kind,
            api_version,
            metadata,
            items: items.iter().map(|item| Untyped(item)).collect(),
        })
    }
}

fn written(what: &impl Serialize) -> String {
    serde_json::to_string(what).unwrap_or_default()
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Listed<'a, T> {
    kind: &'a str,
    api_version: &'a str,
    metadata: &'a Value,
    items: Vec<T>,
}

/// The metadata of an object.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Described<'a> {
    kind: &'static str,
    api_version: &'static str,
    metadata: &'a Value,
}

/// An object without its type.
struct Untyped<'a>(&'a Value);

impl<'a> Described<'a> {
    fn of(object: &'a Value) -> Self {
        Self {
            kind: "PartialObjectMetadata",
            api_version: "meta.k8s.io/v1",
            metadata: &object["metadata"],
        }
    }
}

impl Serialize for Untyped<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let fields = self.0.as_object().into_iter().flatten();
        serializer.collect_map(fields.filter(|(name, _)| !["kind", "apiVersion"].contains(&name.as_str())))
    }
}
