//! The resource types that the server serves and what it must know of each.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::{Value, json};

use std::sync::Arc;

use super::fields::{ListKind, Lists};

/// One resource of one API version: how it is addressed and which rules of the API server hold for it.
#[derive(Clone, Debug)]
#[allow(clippy::struct_excessive_bools, reason = "each is a rule that holds or does not")]
pub struct ResourceType {
    /// Made once, as `api_version` is: each request asks for both again and again.
    id: ResourceId,
    api_version: String,
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) plural: String,
    pub(crate) kind: String,
    pub(crate) namespaced: bool,
    /// Status is a subresource: writes to the object leave it alone.
    pub(crate) status: bool,
    /// The server counts `metadata.generation`.
    pub(crate) generation: bool,
    /// A PUT without `metadata.resourceVersion` is accepted.
    pub(crate) unconditional_update: bool,
    /// Dotted fields, beside name and namespace, that field selectors may name.
    pub(crate) selectable: Vec<String>,
    pub(crate) lists: Lists,
    /// The structural schema of a custom resource: defaults and unknown fields follow from it.
    pub(crate) schema: Option<Value>,
}

impl ResourceType {
    /// A built-in resource without status subresource and generation. The group is empty for the core group.
    #[must_use]
    pub fn builtin(group: &str, version: &str, kind: &str, plural: &str) -> Self {
        Self {
            id: ResourceId::new(group, plural),
            api_version: api_version(group, version),
            group: group.to_owned(),
            version: version.to_owned(),
            plural: plural.to_owned(),
            kind: kind.to_owned(),
            namespaced: true,
            status: false,
            generation: false,
            unconditional_update: true,
            selectable: Vec::new(),
            lists: Lists::of_metadata(),
            schema: None,
        }
    }

    /// A custom resource as its definition says: list maps, defaults, unknown fields and the status subresource come
    /// from the schema of the stored version. Validation rules are not evaluated.
    ///
    /// # Panics
    /// When the definition has no stored version with a schema.
    #[must_use]
    pub fn custom(definition: &CustomResourceDefinition) -> Self {
        Self::defined(&json!(definition))
    }

    /// The same of a definition as JSON.
    #[allow(clippy::panic, reason = "a definition that cannot be served is a fault of the test")]
    pub(crate) fn defined(definition: &Value) -> Self {
        let text = |pointer: &str| {
            let found = definition.pointer(pointer).and_then(Value::as_str);
            found.unwrap_or_default().to_owned()
        };
        let versions = definition.pointer("/spec/versions").and_then(Value::as_array);
        let mut stored = versions
            .into_iter()
            .flatten()
            .filter(|one| one.get("storage") == Some(&Value::Bool(true)));
        let version = stored.next();
        let schema = version.and_then(|version| version.pointer("/schema/openAPIV3Schema"));
        let (Some(version), Some(schema)) = (version, schema) else {
            panic!(
                "custom resource definition {:?} has no stored version with a schema",
                text("/metadata/name")
            )
        };
        let mut lists = Lists::of_metadata();
        lists.add_from_schema(schema);
        let name = version.get("name").and_then(Value::as_str).unwrap_or_default();
        let (group, plural) = (text("/spec/group"), text("/spec/names/plural"));
        Self {
            id: ResourceId::new(&group, &plural),
            api_version: api_version(&group, name),
            group,
            version: name.to_owned(),
            plural,
            kind: text("/spec/names/kind"),
            namespaced: text("/spec/scope") == "Namespaced",
            status: version.pointer("/subresources/status").is_some(),
            generation: true,
            unconditional_update: false,
            selectable: Vec::new(),
            lists,
            schema: Some(schema.clone()),
        }
    }

    /// The resource is not in a namespace.
    #[must_use]
    pub fn cluster_scoped(mut self) -> Self {
        self.namespaced = false;
        self
    }

    /// The resource has a status subresource.
    #[must_use]
    pub fn with_status(mut self) -> Self {
        self.status = true;
        self
    }

    /// A PUT must carry a resource version.
    #[must_use]
    pub fn conditional_updates(mut self) -> Self {
        self.unconditional_update = false;
        self
    }

    /// The dotted fields may stand in field selectors.
    #[must_use]
    pub fn selectable(mut self, fields: &[&str]) -> Self {
        self.selectable.extend(fields.iter().map(|&field| field.to_owned()));
        self
    }

    /// The list at the dotted path (through other lists' items) is a map by the keys.
    #[must_use]
    pub fn list_map(mut self, path: &str, keys: &[&str]) -> Self {
        let keys = keys.iter().map(|&key| key.to_owned()).collect();
        self.lists
            .add(path.split('.').map(str::to_owned).collect(), ListKind::Map(keys));
        self
    }

    /// `group/version`, or the version alone in the core group.
    pub(crate) fn api_version(&self) -> &str {
        &self.api_version
    }

    /// The resource as messages name it: `plural.group`.
    pub(crate) fn qualified(&self) -> String {
        if self.group.is_empty() {
            self.plural.clone()
        } else {
            format!("{}.{}", self.plural, self.group)
        }
    }

    pub(crate) const fn id(&self) -> &ResourceId {
        &self.id
    }
}

fn api_version(group: &str, version: &str) -> String {
    if group.is_empty() {
        version.to_owned()
    } else {
        format!("{group}/{version}")
    }
}

/// Group and plural: what objects are stored under.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ResourceId {
    pub(crate) group: Arc<str>,
    pub(crate) plural: Arc<str>,
}

impl ResourceId {
    fn new(group: &str, plural: &str) -> Self {
        Self {
            group: group.into(),
            plural: plural.into(),
        }
    }
}

/// The built-in resources that the operator and the users in tests touch.
pub(crate) fn builtins() -> Vec<ResourceType> {
    vec![
        ResourceType::builtin("", "v1", "Namespace", "namespaces")
            .cluster_scoped()
            .with_status(),
        ResourceType::builtin("", "v1", "ServiceAccount", "serviceaccounts")
            .list_map("secrets", &["name"])
            .list_map("imagePullSecrets", &["name"]),
        ResourceType::builtin("", "v1", "ConfigMap", "configmaps"),
        ResourceType::builtin("", "v1", "Pod", "pods")
            .with_status()
            .selectable(&[
                "spec.nodeName",
                "spec.serviceAccountName",
                "spec.restartPolicy",
                "status.phase",
            ])
            .list_map("spec.containers", &["name"])
            .list_map("spec.containers.env", &["name"])
            .list_map("spec.containers.volumeMounts", &["mountPath"])
            .list_map("spec.initContainers", &["name"])
            .list_map("spec.volumes", &["name"])
            .list_map("status.conditions", &["type"]),
        ResourceType::builtin("", "v1", "Event", "events").selectable(&[
            "involvedObject.kind",
            "involvedObject.name",
            "involvedObject.namespace",
            "involvedObject.uid",
            "reason",
            "type",
        ]),
        ResourceType::builtin("events.k8s.io", "v1", "Event", "events").selectable(&[
            "regarding.kind",
            "regarding.name",
            "regarding.namespace",
            "regarding.uid",
            "reason",
            "type",
        ]),
        ResourceType::builtin(
            "apiextensions.k8s.io",
            "v1",
            "CustomResourceDefinition",
            "customresourcedefinitions",
        )
        .cluster_scoped()
        .with_status(),
        of_apps("Deployment", "deployments"),
        of_apps("ReplicaSet", "replicasets"),
        of_apps("StatefulSet", "statefulsets"),
        of_apps("DaemonSet", "daemonsets"),
        ResourceType::builtin("coordination.k8s.io", "v1", "Lease", "leases").conditional_updates(),
    ]
}

/// A resource that makes pods.
fn of_apps(kind: &str, plural: &str) -> ResourceType {
    let mut resource = ResourceType::builtin("apps", "v1", kind, plural)
        .with_status()
        .list_map("spec.template.spec.containers", &["name"])
        .list_map("spec.template.spec.containers.env", &["name"]);
    resource.generation = true;
    resource
}
