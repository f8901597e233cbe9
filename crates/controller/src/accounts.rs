//! Service accounts: seen through the cache or a read, and written by server-side apply of our keys alone.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Api, DeleteParams, Patch, PatchParams, Preconditions};
use kube::runtime::reflector::ObjectRef;
use serde_json::{Map, Value, json};
use wio_api::{ConflictPolicy, WorkloadIdentityBinding, keys};
use wio_core::binding::Owner;
use wio_core::desired::DesiredServiceAccount;
use wio_core::fault::Fault;
use wio_core::names::{BindingUid, ServiceAccountName, ServiceAccountUid};
use wio_core::observed::{BoundBy, IdentityFacts, ObservedServiceAccount};
use wio_core::sharing::Claims;

use crate::context::{AccountMeta, Context};
use crate::kubernetes::{is_not_found, request, unreadable};
use crate::memory::{OwnWrite, Remembered, WrittenAccount};

pub(crate) type Seen = BTreeMap<ServiceAccountName, ObservedServiceAccount>;

/// The service accounts that a binding has, had or asks for, or that carry its mark.
///
/// Those with a mark are in the cache. What is not there is read: it may exist without a mark.
pub(crate) async fn observe(
    ctx: &Context,
    binding: &WorkloadIdentityBinding,
    owner: &Owner,
    remembered: &mut Remembered,
) -> Result<Seen, Fault> {
    let mut seen = marked(ctx, owner);
    for name in &Claims::of(binding).accounts {
        let account = match cached(ctx, owner, name) {
            Some(cached) => match remembered.accounts.get(name) {
                Some(written) if written.write.is_missing_in(cached.metadata.resource_version.as_deref()) => {
                    Some(written.result.clone())
                }
                _ => look(ctx, owner, &cached.metadata),
            },
            None => read(ctx, owner, name).await?.and_then(|meta| look(ctx, owner, &meta)),
        };
        match account {
            Some(account) => seen.insert(name.clone(), account),
            None => seen.remove(name),
        };
    }
    remembered.accounts.retain(|name, written| {
        cached(ctx, owner, name)
            .is_some_and(|cached| written.write.is_missing_in(cached.metadata.resource_version.as_deref()))
    });
    Ok(seen)
}

fn cached(ctx: &Context, owner: &Owner, name: &ServiceAccountName) -> Option<Arc<AccountMeta>> {
    ctx.accounts
        .get(&ObjectRef::new(name.as_str()).within(owner.namespace.as_str()))
}

/// Those that carry this binding's mark, from the cache.
fn marked(ctx: &Context, owner: &Owner) -> Seen {
    let marked = ctx.accounts.state_filter(|account| {
        account.metadata.namespace.as_deref() == Some(owner.namespace.as_str())
            && label(&account.metadata, keys::BOUND_BY_LABEL) == Some(owner.uid.as_str())
    });
    let named = |account: &AccountMeta| {
        let name = account.metadata.name.as_deref()?.parse().ok()?;
        Some((name, look(ctx, owner, &account.metadata)?))
    };
    marked.iter().filter_map(|account| named(account)).collect()
}

async fn read(ctx: &Context, owner: &Owner, name: &ServiceAccountName) -> Result<Option<ObjectMeta>, Fault> {
    let api = api(ctx, owner);
    let found = request(
        || format!("read the service account {name}"),
        api.get_metadata_opt(name.as_str()),
    )
    .await?;
    Ok(found.map(|account| account.metadata))
}

/// What a service account's metadata says. One that is being deleted is as good as gone: what we would write on it
/// goes with it.
fn look(ctx: &Context, owner: &Owner, meta: &ObjectMeta) -> Option<ObservedServiceAccount> {
    if meta.deletion_timestamp.is_some() {
        return None;
    }
    let annotation = |key: &str| meta.annotations.as_ref()?.get(key).cloned();
    Some(ObservedServiceAccount {
        uid: meta.uid.as_deref()?.parse().ok()?,
        client_id: annotation(keys::CLIENT_ID_ANNOTATION),
        tenant_id: annotation(keys::TENANT_ID_ANNOTATION),
        token_expiration: annotation(keys::TOKEN_EXPIRATION_ANNOTATION),
        bound_by: bound_by(ctx, owner, meta),
        created_by_us: label(meta, keys::CREATED_LABEL).is_some(),
    })
}

fn bound_by(ctx: &Context, owner: &Owner, meta: &ObjectMeta) -> BoundBy {
    let Some(uid) = label(meta, keys::BOUND_BY_LABEL) else {
        return BoundBy::Nobody;
    };
    let other = meta
        .annotations
        .as_ref()
        .and_then(|all| all.get(keys::BINDING_ANNOTATION))
        .and_then(|binding| {
            let key = ObjectRef::<WorkloadIdentityBinding>::new(binding).within(owner.namespace.as_str());
            ctx.bindings.get(&key)
        });
    // A mark that is no UID was not made by us.
    let Ok(mark) = uid.parse() else {
        return BoundBy::Nobody;
    };
    if uid == owner.uid.as_str() {
        // Whoever writes our UID on a service account of another binding must not have us let go of it.
        return match other.filter(|other| other.metadata.uid.as_deref() != Some(uid) && binds(other, meta)) {
            Some(other) => BoundBy::Other {
                binding: other.metadata.name.clone().unwrap_or_default(),
                uid: other
                    .metadata
                    .uid
                    .as_deref()
                    .and_then(|uid| uid.parse().ok())
                    .unwrap_or(mark),
            },
            None => BoundBy::Us,
        };
    }
    match other {
        Some(other) if other.metadata.uid.as_deref() == Some(uid) => BoundBy::Other {
            binding: other.metadata.name.clone().unwrap_or_default(),
            uid: mark,
        },
        _ => BoundBy::Gone { uid: mark },
    }
}

fn binds(binding: &WorkloadIdentityBinding, account: &ObjectMeta) -> bool {
    let mut accounts = binding.spec.service_accounts.iter();
    accounts.any(|bound| Some(&bound.name) == account.name.as_ref())
}

fn label<'a>(meta: &'a ObjectMeta, key: &str) -> Option<&'a str> {
    meta.labels.as_ref()?.get(key).map(String::as_str)
}

fn api(ctx: &Context, owner: &Owner) -> Api<ServiceAccount> {
    Api::namespaced(ctx.client.clone(), owner.namespace.as_str())
}

/// Creates or annotates a service account. Never an object of another UID than the one that was seen.
pub(crate) async fn apply(
    ctx: &Context,
    owner: &Owner,
    wanted: &DesiredServiceAccount,
    seen: Option<&ObservedServiceAccount>,
    facts: &IdentityFacts,
    remembered: &mut Remembered,
) -> Result<ObservedServiceAccount, Fault> {
    let name = &wanted.name;
    let created_by_us = seen.is_none_or(|seen| seen.created_by_us);
    let mut labels = Map::from_iter([(keys::BOUND_BY_LABEL.to_owned(), Value::from(owner.uid.as_str()))]);
    if created_by_us {
        labels.insert(keys::CREATED_LABEL.to_owned(), Value::from("true"));
    }
    let mut annotations = Map::from_iter([
        (keys::BINDING_ANNOTATION.to_owned(), Value::from(owner.name.as_str())),
        (
            keys::CLIENT_ID_ANNOTATION.to_owned(),
            Value::from(facts.client_id.to_string()),
        ),
        (
            keys::TENANT_ID_ANNOTATION.to_owned(),
            Value::from(facts.tenant_id.to_string()),
        ),
    ]);
    if let Some(seconds) = wanted.token_expiration {
        annotations.insert(
            keys::TOKEN_EXPIRATION_ANNOTATION.to_owned(),
            Value::from(seconds.to_string()),
        );
    }
    let mut parameters = PatchParams::apply(keys::FIELD_MANAGER);
    parameters.force = wanted.conflict_policy == ConflictPolicy::Force;
    let body = body(owner, name, seen.map(|seen| &seen.uid), &labels, &annotations);
    let written = request(
        || format!("annotate the service account {name}"),
        api(ctx, owner).patch_metadata(name.as_str(), &parameters, &Patch::Apply(body)),
    )
    .await?;
    let Some(uid) = written.metadata.uid.as_deref().and_then(|uid| uid.parse().ok()) else {
        return Err(unreadable(
            format!("annotate the service account {name}"),
            "its answer carries no UID",
        ));
    };
    let result = ObservedServiceAccount {
        uid,
        client_id: Some(facts.client_id.to_string()),
        tenant_id: Some(facts.tenant_id.to_string()),
        token_expiration: wanted.token_expiration.map(|seconds| seconds.to_string()),
        bound_by: BoundBy::Us,
        created_by_us,
    };
    if let Some(write) = OwnWrite::of(&written) {
        remembered.accounts.insert(
            name.clone(),
            WrittenAccount {
                write,
                result: result.clone(),
            },
        );
    }
    Ok(result)
}

/// Lets go of a service account: removes our keys, or the object itself when we created it and nobody else wrote to it.
pub(crate) async fn release(
    ctx: &Context,
    owner: &Owner,
    name: &ServiceAccountName,
    uid: &ServiceAccountUid,
    mark: &BindingUid,
    delete: bool,
) -> Result<(), Fault> {
    // The cache is never reason enough to take something away: the object that is there now must be the one meant.
    let Some(live) = read(ctx, owner, name).await? else {
        return Ok(());
    };
    let ours = live.uid.as_deref() == Some(uid.as_str())
        && label(&live, keys::BOUND_BY_LABEL).is_none_or(|bound| bound == mark.as_str());
    if !ours || live.deletion_timestamp.is_some() {
        return Ok(());
    }
    let api = api(ctx, owner);
    if delete && label(&live, keys::CREATED_LABEL).is_some() && !written_by_others(&live) {
        let preconditions = Preconditions {
            uid: live.uid.clone(),
            resource_version: live.resource_version.clone(),
        };
        let parameters = DeleteParams::default().preconditions(preconditions);
        let deletion = api.delete(name.as_str(), &parameters);
        return ignore_missing(request(|| format!("delete the service account {name}"), deletion).await);
    }
    let mut body = body(owner, name, Some(uid), &Map::new(), &Map::new());
    // A sibling may put its own mark there meanwhile, with the same field manager.
    if let Some(metadata) = body.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.insert("resourceVersion".to_owned(), json!(live.resource_version));
    }
    let parameters = PatchParams::apply(keys::FIELD_MANAGER);
    let patch = Patch::Apply(body);
    let release = api.patch_metadata(name.as_str(), &parameters, &patch);
    ignore_missing(request(|| format!("let go of the service account {name}"), release).await)
}

/// Somebody who writes to a service account that we created has come to rely on it.
fn written_by_others(meta: &ObjectMeta) -> bool {
    let managers = meta.managed_fields.iter().flatten();
    managers
        .into_iter()
        .any(|entry| entry.manager.as_deref() != Some(keys::FIELD_MANAGER))
}

fn ignore_missing<T>(result: Result<T, Fault>) -> Result<(), Fault> {
    match result {
        Err(fault) if is_not_found(&fault) => Ok(()),
        other => other.map(drop),
    }
}

fn body(
    owner: &Owner,
    name: &ServiceAccountName,
    uid: Option<&ServiceAccountUid>,
    labels: &Map<String, Value>,
    annotations: &Map<String, Value>,
) -> Value {
    let mut metadata = Map::from_iter([
        ("name".to_owned(), Value::from(name.as_str())),
        ("namespace".to_owned(), Value::from(owner.namespace.as_str())),
    ]);
    if let Some(uid) = uid {
        metadata.insert("uid".to_owned(), Value::from(uid.as_str()));
    }
    if !labels.is_empty() {
        metadata.insert("labels".to_owned(), Value::from(labels.clone()));
    }
    if !annotations.is_empty() {
        metadata.insert("annotations".to_owned(), Value::from(annotations.clone()));
    }
    json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata })
}
