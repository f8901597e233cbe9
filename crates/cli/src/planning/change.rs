//! Changes that somebody means to apply: read from files, rehearsed by the API server, put into the world.

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use kube::api::PostParams;
use kube::{Api, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use wio_api::{WorkloadIdentityBinding, WorkloadIdentityPolicy};

use super::world::{Key, World, key};
use crate::session::{Session, told};

/// How a refusal of our own admission names itself.
const OUR_ADMISSION: &str = "ValidatingAdmissionPolicy 'workload-identity-operator";

/// The UID of a binding that no API server gave one: names do not depend on it.
const NOT_STORED: &str = "00000000-0000-4000-8000-000000000000";

/// A change that somebody means to apply.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Change {
    /// A binding is created or changed.
    Binding(Box<WorkloadIdentityBinding>),
    /// A policy is created or changed.
    Policy(Box<WorkloadIdentityPolicy>),
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
            for document in serde_yaml_ng::Deserializer::from_str(&text) {
                let value = serde_yaml_ng::Value::deserialize(document).with_context(|| path.display().to_string())?;
                changes.extend(Self::parse(value, namespace).with_context(|| path.display().to_string())?);
            }
        }
        if changes.is_empty() {
            bail!("there is no WorkloadIdentityBinding and no WorkloadIdentityPolicy in it");
        }
        Ok(changes)
    }

    fn parse(value: serde_yaml_ng::Value, namespace: &str) -> anyhow::Result<Vec<Self>> {
        let text = |field: &str| {
            value
                .get(field)
                .and_then(serde_yaml_ng::Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        let (group, kind) = (text("apiVersion"), text("kind"));
        if kind == "List" {
            let items = value
                .get("items")
                .and_then(serde_yaml_ng::Value::as_sequence)
                .cloned()
                .unwrap_or_default();
            let parsed: anyhow::Result<Vec<_>> = items.into_iter().map(|item| Self::parse(item, namespace)).collect();
            return Ok(parsed?.into_iter().flatten().collect());
        }
        if !group.starts_with("workloadidentity.dev/") {
            return Ok(Vec::new());
        }
        Ok(match kind.as_str() {
            "WorkloadIdentityBinding" => {
                let mut binding: WorkloadIdentityBinding = serde_yaml_ng::from_value(value)?;
                binding.metadata.namespace.get_or_insert_with(|| namespace.to_owned());
                vec![Self::Binding(Box::new(binding))]
            }
            "WorkloadIdentityPolicy" => vec![Self::Policy(Box::new(serde_yaml_ng::from_value(value)?))],
            _ => Vec::new(),
        })
    }

    fn place(&self) -> String {
        match self {
            Self::Binding(binding) => {
                format!(
                    "WorkloadIdentityBinding {}/{}",
                    binding.namespace().unwrap_or_default(),
                    binding.name_any()
                )
            }
            Self::Policy(policy) => format!("WorkloadIdentityPolicy {}", policy.name_any()),
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
    let brings_policies = changes.iter().any(|change| matches!(change, Change::Policy(_)));
    for change in changes {
        let object = change.place();
        let as_written = match &change {
            Change::Binding(binding) if brings_policies => Some(binding.clone()),
            Change::Binding(_) | Change::Policy(_) => None,
        };
        let rehearsed = match change {
            Change::Binding(binding) => of_binding(*binding, session, world).await.map(|key| keys.extend(key)),
            Change::Policy(policy) => of_policy(*policy, session, world).await,
        };
        match rehearsed.map_err(anyhow::Error::downcast::<kube::Error>) {
            Ok(()) => {}
            Err(Ok(kube::Error::Api(status))) if (400..500).contains(&status.code) => {
                let mut why = told(kube::Error::Api(status)).to_string();
                if let Some(binding) = as_written.filter(|_| why.contains(OUR_ADMISSION)) {
                    why += ". For admission the policies of the same files count when they have been applied; for what follows they do";
                    keys.extend(put(*binding, world));
                }
                refused.push(Refusal { object, why });
            }
            Err(Ok(error)) => return Err(told(error).context(object)),
            Err(Err(error)) => return Err(error.context(object)),
        }
    }
    Ok((keys, refused))
}

/// Puts a binding into the world as it is written, as it would be stored if admission knew the policies that come with it.
fn put(mut wanted: WorkloadIdentityBinding, world: &mut World) -> Option<Key> {
    let which = key(&wanted)?;
    if let Some(live) = world.binding(&which) {
        with_bookkeeping_of(&mut wanted, live);
        let metadata = &mut wanted.metadata;
        metadata
            .creation_timestamp
            .clone_from(&live.metadata.creation_timestamp);
        metadata.generation = live.metadata.generation.map(|generation| generation + 1);
        wanted.status.clone_from(&live.status);
    } else {
        wanted.metadata.uid = Some(NOT_STORED.to_owned());
        wanted.metadata.generation = Some(1);
    }
    world.replace(wanted);
    Some(which)
}

async fn of_binding(
    mut wanted: WorkloadIdentityBinding,
    session: &Session,
    world: &mut World,
) -> anyhow::Result<Option<Key>> {
    let namespace = wanted.namespace().unwrap_or_default();
    let api: Api<WorkloadIdentityBinding> = Api::namespaced(session.client.clone(), &namespace);
    let live = key(&wanted).and_then(|which| world.binding(&which));
    if let Some(live) = live {
        with_bookkeeping_of(&mut wanted, live);
    }
    let mut stored = stored(&api, &wanted, live.is_some()).await?;
    stored.status = live.and_then(|live| live.status.clone());
    let which = key(&stored);
    world.replace(stored);
    Ok(which)
}

async fn of_policy(mut wanted: WorkloadIdentityPolicy, session: &Session, world: &mut World) -> anyhow::Result<()> {
    let api: Api<WorkloadIdentityPolicy> = Api::all(session.client.clone());
    let live = world.policies.iter().find(|one| one.name_any() == wanted.name_any());
    if let Some(live) = live {
        with_bookkeeping_of(&mut wanted, live);
    }
    let stored = stored(&api, &wanted, live.is_some()).await?;
    world.policies.retain(|one| one.name_any() != stored.name_any());
    world.policies.push(stored);
    Ok(())
}

/// What is kept when an object is applied again: who it is, its finalizers, and annotations that the file does not name.
fn with_bookkeeping_of<K: Resource>(wanted: &mut K, live: &K) {
    let annotations = live.annotations().clone();
    let meta = wanted.meta_mut();
    let before = live.meta();
    meta.uid.clone_from(&before.uid);
    meta.resource_version.clone_from(&before.resource_version);
    meta.finalizers.clone_from(&before.finalizers);
    for (key, value) in annotations {
        meta.annotations.get_or_insert_default().entry(key).or_insert(value);
    }
}

/// The object as the API server would store it.
async fn stored<K>(api: &Api<K>, wanted: &K, replaces: bool) -> anyhow::Result<K>
where
    K: Clone + DeserializeOwned + Serialize + Resource + std::fmt::Debug,
{
    let rehearsal = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    Ok(if replaces {
        api.replace(&wanted.name_any(), &rehearsal, wanted).await?
    } else {
        api.create(&rehearsal, wanted).await?
    })
}
