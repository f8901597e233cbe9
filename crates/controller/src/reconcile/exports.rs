//! The ConfigMaps that bindings export their identity's ids into: read when a binding looks, written by server-side apply, and watched by
//! nobody, so that the cluster's other ConfigMaps cost nothing.

use std::collections::{BTreeMap, BTreeSet};

use futures::future::try_join_all;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace as NamespaceObject};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, Preconditions};
use kube::{Api, Client, Resource, ResourceExt};
use serde_json::{Value, json};
use wio_api::{WorkloadIdentityBinding, keys};
use wio_core::binding::Binding;
use wio_core::desired::Desired;
use wio_core::fault::Fault;
use wio_core::names::{BindingUid, ConfigMapName, ConfigMapUid, Namespace};
use wio_core::observed::{IdentityFacts, ObservedExport};
use wio_core::owner::Owner;

use crate::runtime::request::{is_forbidden, is_not_found, malformed, request};

/// What was last seen or written of each; none where there was none.
pub(super) type Seen = BTreeMap<ConfigMapName, Option<ObservedExport>>;

/// The ConfigMaps that a pass has to look at: the one that is wanted, and those that are written down.
pub(super) fn names(binding: &Binding, desired: &Desired) -> BTreeSet<ConfigMapName> {
    let recorded = binding.recorded.exports.iter();
    match desired {
        Desired::Bound(bound) => recorded.chain(&bound.export).cloned().collect(),
        Desired::Gone(_) => recorded.cloned().collect(),
        // Nothing rests on them, and they stay.
        Desired::Denied(_) => BTreeSet::new(),
    }
}

/// Whether what is remembered is enough: it is known of each, and nobody stands in the way who may have gone since.
pub(super) fn suffices(seen: &Seen, names: &BTreeSet<ConfigMapName>) -> bool {
    let ours = |name| {
        seen.get(name)
            .is_some_and(|seen| seen.as_ref().is_none_or(|seen| seen.ours))
    };
    names.iter().all(ours)
}

/// Reads them.
pub(super) async fn read_all(client: &Client, owner: &Owner, names: BTreeSet<ConfigMapName>) -> Result<Seen, Fault> {
    let reads = names.into_iter().map(async |name| {
        let live = read(client, &owner.namespace, &name).await?;
        let seen = live.and_then(|live| observed(&live, &owner.uid));
        Ok((name, seen))
    });
    Ok(try_join_all(reads).await?.into_iter().collect())
}

/// Reads them for a binding that goes. The right to may have gone before it: when a namespace is deleted a RoleBinding there goes at once, and nobody can make it
/// again. ConfigMaps go with their namespace, so there are none then.
pub(super) async fn read_last(client: &Client, owner: &Owner, names: BTreeSet<ConfigMapName>) -> Result<Seen, Fault> {
    match read_all(client, owner, names.clone()).await {
        Err(fault) if is_forbidden(&fault) && goes(client, &owner.namespace).await? => {
            Ok(names.into_iter().map(|name| (name, None)).collect())
        }
        read => read,
    }
}

/// Whether a namespace is being deleted: by a list of it alone, so that the operator needs no right that the caches do not need.
async fn goes(client: &Client, namespace: &Namespace) -> Result<bool, Fault> {
    let all: Api<NamespaceObject> = Api::all(client.clone());
    let this = ListParams::default().fields(&format!("metadata.name={namespace}"));
    let found = request(|| format!("read the namespace {namespace}"), all.list_metadata(&this)).await?;
    Ok(found.items.iter().any(|one| one.metadata.deletion_timestamp.is_some()))
}

/// Writes the ids into a ConfigMap. One that is not there is created and never applied: another one may have come meanwhile, and is nobody's
/// to write here. One that is there is applied as it was seen, and never another one under its name.
pub(super) async fn apply(
    client: &Client,
    owner: &Owner,
    (name, seen): (&ConfigMapName, Option<&ObservedExport>),
    facts: &IdentityFacts,
) -> Result<ObservedExport, Fault> {
    let operation = || format!("write the ConfigMap {name}");
    let api = api(client, &owner.namespace);
    let body = body(owner, (name, seen.map(|seen| &seen.uid)), facts);
    let written = if seen.is_some() {
        let parameters = PatchParams::apply(keys::FIELD_MANAGER).force();
        request(operation, api.patch(name.as_str(), &parameters, &Patch::Apply(body))).await?
    } else {
        let parameters = PostParams {
            field_manager: Some(keys::FIELD_MANAGER.to_owned()),
            ..PostParams::default()
        };
        let new: ConfigMap = serde_json::from_value(body).map_err(|_| malformed(operation(), "it is none"))?;
        request(operation, api.create(&parameters, &new)).await?
    };
    observed(&written, &owner.uid).ok_or_else(|| malformed(operation(), "it carries no UID"))
}

/// Deletes a ConfigMap, unless it is another one than was seen, or is not ours any more.
pub(super) async fn delete(
    client: &Client,
    namespace: &Namespace,
    (name, uid, label): (&ConfigMapName, &ConfigMapUid, &BindingUid),
) -> Result<(), Fault> {
    let Some(live) = read(client, namespace, name).await? else {
        return Ok(());
    };
    let ours = observed(&live, label).is_some_and(|seen| seen.ours && seen.uid == *uid);
    if !ours || live.metadata.deletion_timestamp.is_some() {
        return Ok(());
    }
    let parameters = DeleteParams::default().preconditions(Preconditions {
        uid: live.metadata.uid.clone(),
        resource_version: live.metadata.resource_version.clone(),
    });
    let api = api(client, namespace);
    let deletion = api.delete(name.as_str(), &parameters);
    match request(|| format!("delete the ConfigMap {name}"), deletion).await {
        Err(fault) if is_not_found(&fault) => Ok(()),
        other => other.map(drop),
    }
}

fn api(client: &Client, namespace: &Namespace) -> Api<ConfigMap> {
    Api::namespaced(client.clone(), namespace.as_str())
}

async fn read(client: &Client, namespace: &Namespace, name: &ConfigMapName) -> Result<Option<ConfigMap>, Fault> {
    let api = api(client, namespace);
    request(|| format!("read the ConfigMap {name}"), api.get_opt(name.as_str())).await
}

fn observed(live: &ConfigMap, binding: &BindingUid) -> Option<ObservedExport> {
    Some(ObservedExport {
        uid: live.metadata.uid.as_deref()?.parse().ok()?,
        ours: live.labels().get(keys::BOUND_BY_LABEL).map(String::as_str) == Some(binding.as_str()),
        owned: is_owned(&live.metadata, binding),
        holds: held(live),
    })
}

fn is_owned(metadata: &ObjectMeta, binding: &BindingUid) -> bool {
    let mut owners = metadata.owner_references.iter().flatten();
    owners.any(|reference| reference.uid == binding.as_str())
}

fn held(live: &ConfigMap) -> Option<IdentityFacts> {
    let data = live.data.as_ref()?;
    let value = |key: &str| data.get(key).map(String::as_str);
    Some(IdentityFacts {
        client_id: value(keys::EXPORTED_CLIENT_ID)?.parse().ok()?,
        tenant_id: value(keys::EXPORTED_TENANT_ID)?.parse().ok()?,
        principal_id: value(keys::EXPORTED_PRINCIPAL_ID)?.parse().ok()?,
    })
}

fn body(owner: &Owner, (name, uid): (&ConfigMapName, Option<&ConfigMapUid>), facts: &IdentityFacts) -> Value {
    let mut body = json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": name.as_str(),
            "namespace": owner.namespace.as_str(),
            "labels": { keys::BOUND_BY_LABEL: owner.uid.as_str() },
            "ownerReferences": [{
                "apiVersion": WorkloadIdentityBinding::api_version(&()),
                "kind": WorkloadIdentityBinding::kind(&()),
                "name": owner.name.as_str(),
                "uid": owner.uid.as_str(),
            }],
        },
        "data": {
            keys::EXPORTED_CLIENT_ID: facts.client_id.to_string(),
            keys::EXPORTED_TENANT_ID: facts.tenant_id.to_string(),
            keys::EXPORTED_PRINCIPAL_ID: facts.principal_id.to_string(),
        },
    });
    if let (Some(uid), Some(metadata)) = (uid, body.get_mut("metadata").and_then(Value::as_object_mut)) {
        metadata.insert("uid".to_owned(), Value::from(uid.as_str()));
    }
    body
}
