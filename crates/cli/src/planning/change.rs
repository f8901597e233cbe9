//! Changes that somebody means to apply: read from files, rehearsed by the API server, put into the world.

use std::fmt::Debug;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use kube::api::{Patch, PatchParams, ValidationDirective};
use kube::core::Status;
use kube::{Api, ResourceExt};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use wio_api::{WorkloadIdentityBinding, WorkloadIdentityPolicy, keys};

use super::world::{Key, World, key};
use crate::session::{FIELD_MANAGER, Session, told};

/// How a refusal of our own admission names itself.
const OUR_ADMISSION: &str = "ValidatingAdmissionPolicy 'workload-identity-operator";

/// The UID of a binding that no API server gave one: names do not depend on it.
const NOT_STORED: &str = "00000000-0000-4000-8000-000000000000";

/// What the API server or somebody else writes: it is no part of what is meant, also where it stands in a file.
const NOT_MEANT: [&str; 5] = [
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "managedFields",
];

/// An object that somebody means to apply, as it is written: what this version does not know the API server may.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Change {
    kind: Kind,
    object: Value,
}

/// The kinds that make a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Binding,
    Policy,
}

/// An object that the API server would not take.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Refusal {
    pub(crate) object: String,
    pub(crate) why: String,
}

// === impl Change ===

impl Change {
    /// Reads the bindings and policies of files, of which `-` is the standard input. Other kinds are not for this.
    pub(crate) fn read(files: &[PathBuf], namespace: &str) -> anyhow::Result<Vec<Self>> {
        let mut changes = Vec::new();
        for path in files {
            let text = text(path).with_context(|| path.display().to_string())?;
            for document in serde_yaml_ng::Deserializer::from_str(text.trim_start_matches('\u{feff}')) {
                let read = serde_yaml_ng::Value::deserialize(document).map_err(anyhow::Error::from);
                let parsed = read.and_then(|value| Self::parse(value, namespace));
                changes.extend(parsed.with_context(|| path.display().to_string())?);
            }
        }
        if changes.is_empty() && !files.is_empty() {
            bail!("there is no WorkloadIdentityBinding and no WorkloadIdentityPolicy in it");
        }
        Ok(changes)
    }

    fn parse(mut value: serde_yaml_ng::Value, namespace: &str) -> anyhow::Result<Vec<Self>> {
        value.apply_merge()?;
        let text = |field: &str| {
            value
                .get(field)
                .and_then(serde_yaml_ng::Value::as_str)
                .unwrap_or_default()
        };
        // kubectl takes lists of a kind as well.
        if let (true, Some(items)) = (text("kind").ends_with("List"), value.get("items")) {
            let items = items.as_sequence().cloned().unwrap_or_default();
            let parsed: anyhow::Result<Vec<_>> = items.into_iter().map(|item| Self::parse(item, namespace)).collect();
            return Ok(parsed?.into_iter().flatten().collect());
        }
        let kind = match text("kind") {
            _ if !text("apiVersion").starts_with("workloadidentity.dev/") => return Ok(Vec::new()),
            "WorkloadIdentityBinding" => Kind::Binding,
            "WorkloadIdentityPolicy" => Kind::Policy,
            _ => return Ok(Vec::new()),
        };
        let mut object = serde_json::to_value(value)?;
        if let Some(object) = object.as_object_mut() {
            object.remove("status");
        }
        let metadata = object.get_mut("metadata").and_then(Value::as_object_mut);
        let Some(metadata) = metadata.filter(|metadata| metadata.get("name").is_some_and(Value::is_string)) else {
            bail!("a {kind:?} has no metadata.name, without which nothing can be applied");
        };
        metadata.retain(|field, _| !NOT_MEANT.contains(&field.as_str()));
        if kind == Kind::Binding && metadata.get("namespace").is_none_or(Value::is_null) {
            metadata.insert("namespace".to_owned(), namespace.into());
        }
        Ok(vec![Self { kind, object }])
    }

    /// The namespace of a binding.
    pub(crate) fn namespace(&self) -> Option<&str> {
        self.metadata("namespace").filter(|_| self.kind == Kind::Binding)
    }

    fn metadata(&self, field: &str) -> Option<&str> {
        self.object.get("metadata")?.get(field)?.as_str()
    }

    fn name(&self) -> &str {
        self.metadata("name").unwrap_or_default()
    }

    fn place(&self) -> String {
        match self.kind {
            Kind::Binding => {
                let namespace = self.namespace().unwrap_or_default();
                format!("WorkloadIdentityBinding {namespace}/{}", self.name())
            }
            Kind::Policy => format!("WorkloadIdentityPolicy {}", self.name()),
        }
    }

    fn key(&self) -> Option<Key> {
        Some((self.namespace()?.parse().ok()?, self.name().parse().ok()?))
    }

    /// What is changed of the object that is there, as kubectl and GitOps change it: what the file says, and without what it said before. What
    /// others wrote, such as `kubectl wib suspend`, stays.
    fn patch(&self, live: &impl Serialize) -> anyhow::Result<Value> {
        let live = serde_json::to_value(live)?;
        let mut patch = self.object.clone();
        let last_applied = live.pointer("/metadata/annotations/kubectl.kubernetes.io~1last-applied-configuration");
        if let Some(last) = last_applied
            .and_then(Value::as_str)
            .and_then(|text| serde_json::from_str(text).ok())
        {
            without(&mut patch, &last);
        }
        let entries = live.pointer("/metadata/managedFields").and_then(Value::as_array);
        for entry in entries.into_iter().flatten() {
            let text = |field: &str| entry.get(field).and_then(Value::as_str).unwrap_or_default();
            let applied = text("operation") == "Apply" && text("subresource").is_empty();
            if let (true, Some(fields)) = (applied && text("manager") != keys::FIELD_MANAGER, entry.get("fieldsV1")) {
                without_held(&mut patch, fields);
            }
        }
        Ok(patch)
    }
}

/// Takes out of an object what was applied before and is not in it any more.
fn without(patch: &mut Value, last: &Value) {
    let (Some(patch), Some(last)) = (patch.as_object_mut(), last.as_object()) else {
        return;
    };
    for (field, before) in last {
        without(patch.entry(field).or_insert(Value::Null), before);
    }
}

/// The same of what a field manager holds: its fields are keys with `f:` before.
fn without_held(patch: &mut Value, held: &Value) {
    let (Some(patch), Some(held)) = (patch.as_object_mut(), held.as_object()) else {
        return;
    };
    for (field, below) in held
        .iter()
        .filter_map(|(key, below)| Some((key.strip_prefix("f:")?, below)))
    {
        let has_fields = below
            .as_object()
            .is_some_and(|below| below.keys().any(|key| key.starts_with("f:")));
        let nothing = if has_fields { json!({}) } else { Value::Null };
        without_held(patch.entry(field).or_insert(nothing), below);
    }
}

/// Applies a merge patch (RFC 7396).
fn merge(object: &mut Value, patch: &Value) {
    let Some(fields) = patch.as_object() else {
        *object = patch.clone();
        return;
    };
    if !object.is_object() {
        *object = json!({});
    }
    for (field, value) in fields {
        let Some(object) = object.as_object_mut() else { return };
        if value.is_null() {
            object.remove(field);
        } else {
            merge(object.entry(field).or_insert(Value::Null), value);
        }
    }
}

fn text(path: &Path) -> anyhow::Result<String> {
    if path == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text)?;
        return Ok(text);
    }
    Ok(std::fs::read_to_string(path)?)
}

/// Has the API server rehearse the changes (a dry run, by the rules of its admission), and puts into the world what it would store. Returns the
/// bindings that are changed, and what would be refused; that changes nothing.
pub(crate) async fn rehearse(
    changes: Vec<Change>,
    session: &Session,
    world: &mut World,
) -> anyhow::Result<(Vec<Key>, Vec<Refusal>)> {
    let (mut keys, mut refused) = (Vec::new(), Vec::new());
    let brings_policies = changes.iter().any(|change| change.kind == Kind::Policy);
    for change in changes {
        let object = change.place();
        let rehearsed = match change.kind {
            Kind::Binding => of_binding(&change, session, world).await.map(|key| keys.extend(key)),
            Kind::Policy => of_policy(&change, session, world).await,
        };
        match rehearsed.map_err(anyhow::Error::downcast::<kube::Error>) {
            Ok(()) => {}
            Err(Ok(kube::Error::Api(status))) if is_refusal(&status) => {
                let mut why = told(kube::Error::Api(status)).to_string();
                if brings_policies && change.kind == Kind::Binding && why.contains(OUR_ADMISSION) {
                    why += ". For admission the policies of the same files count when they have been applied; for what follows they do";
                    keys.extend(put(&change, world)?);
                }
                refused.push(Refusal { object, why });
            }
            Err(Ok(error)) => return Err(told(error).context(object)),
            Err(Err(error)) => return Err(error.context(object)),
        }
    }
    Ok((keys, refused))
}

/// Whether the API server would not take an object. It calls a field that it does not know an error of its own.
fn is_refusal(status: &Status) -> bool {
    (400..500).contains(&status.code) || status.message.contains("field not declared in schema")
}

/// Puts a binding into the world as it is written, as it would be stored if admission knew the policies that come with it.
fn put(change: &Change, world: &mut World) -> anyhow::Result<Option<Key>> {
    let Some(which) = change.key() else { return Ok(None) };
    let mut wanted: WorkloadIdentityBinding = if let Some(live) = world.binding(&which) {
        let mut object = serde_json::to_value(live)?;
        merge(&mut object, &change.patch(live)?);
        serde_json::from_value(object)?
    } else {
        serde_json::from_value(change.object.clone())?
    };
    let metadata = &mut wanted.metadata;
    metadata.uid.get_or_insert_with(|| NOT_STORED.to_owned());
    metadata.generation = Some(metadata.generation.unwrap_or_default() + 1);
    world.replace(wanted);
    Ok(Some(which))
}

async fn of_binding(change: &Change, session: &Session, world: &mut World) -> anyhow::Result<Option<Key>> {
    let api: Api<WorkloadIdentityBinding> =
        Api::namespaced(session.client.clone(), change.namespace().unwrap_or_default());
    let live = change.key().and_then(|which| world.binding(&which));
    let stored = stored(&api, change, live).await?;
    let which = key(&stored);
    world.replace(stored);
    Ok(which)
}

async fn of_policy(change: &Change, session: &Session, world: &mut World) -> anyhow::Result<()> {
    let api: Api<WorkloadIdentityPolicy> = Api::all(session.client.clone());
    let live = world.policies.iter().find(|one| one.name_any() == change.name());
    let stored = stored(&api, change, live).await?;
    world.policies.retain(|one| one.name_any() != stored.name_any());
    world.policies.push(stored);
    Ok(())
}

/// The object as the API server would store it. It hears of every field that is written, as from kubectl, and refuses what it does not know.
async fn stored<K>(api: &Api<K>, change: &Change, live: Option<&K>) -> anyhow::Result<K>
where
    K: Clone + DeserializeOwned + Serialize + Debug,
{
    let patch = match live {
        Some(live) => Patch::Merge(change.patch(live)?),
        None => Patch::Apply(change.object.clone()),
    };
    let rehearsal = PatchParams {
        dry_run: true,
        force: live.is_none(),
        field_manager: Some(FIELD_MANAGER.to_owned()),
        field_validation: Some(ValidationDirective::Strict),
    };
    Ok(api.patch(change.name(), &rehearsal, &patch).await?)
}
