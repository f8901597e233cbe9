//! Releasing a service account: our keys go, or the object itself when the binding goes that we created it for and nobody else
//! wrote to it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Client;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use serde_json::{Map, Value};
use wio_api::keys;
use wio_core::fault::Fault;
use wio_core::names::{BindingUid, Namespace, ServiceAccountName, ServiceAccountUid};

use super::wire::{Applied, api, label, read};
use crate::runtime::request::{is_not_found, request};

/// The service account that is meant.
#[derive(Clone, Copy)]
pub(crate) struct Account<'a> {
    pub(crate) name: &'a ServiceAccountName,
    pub(crate) uid: &'a ServiceAccountUid,
    /// The label that it carries; with another one it is not meant any more.
    pub(crate) label: &'a BindingUid,
}

/// What becomes of the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// It stays, and so does the mark that we created it: the binding may take it up again.
    Keep,
    /// It is deleted when we created it and nobody else wrote to it: whoever did has come to rely on it.
    DeleteIfCreated,
}

/// Releases a service account.
pub(crate) async fn release(
    client: &Client,
    namespace: &Namespace,
    account: Account<'_>,
    ending: Ending,
) -> Result<(), Fault> {
    let name = account.name;
    // The cache is never reason enough to take something away: the object that is there now must be the one meant.
    let Some(live) = read(client, namespace, name).await? else {
        return Ok(());
    };
    let ours = live.uid.as_deref() == Some(account.uid.as_str())
        && label(&live, keys::BOUND_BY_LABEL).is_none_or(|bound| bound == account.label.as_str());
    if !ours || live.deletion_timestamp.is_some() {
        return Ok(());
    }
    let created = label(&live, keys::CREATED_LABEL).is_some();
    let released = if ending == Ending::DeleteIfCreated && created && !written_by_others(&live) {
        delete(client, namespace, name, &live).await
    } else {
        strip(client, namespace, account, &live, ending).await
    };
    match released {
        Err(fault) if is_not_found(&fault) => Ok(()),
        other => other,
    }
}

async fn delete(
    client: &Client,
    namespace: &Namespace,
    name: &ServiceAccountName,
    live: &ObjectMeta,
) -> Result<(), Fault> {
    let preconditions = Preconditions {
        uid: live.uid.clone(),
        resource_version: live.resource_version.clone(),
    };
    let parameters = DeleteParams::default().preconditions(preconditions);
    let api = api(client, namespace);
    let deletion = api.delete(name.as_str(), &parameters);
    request(|| format!("delete the service account {name}"), deletion)
        .await
        .map(drop)
}

async fn strip(
    client: &Client,
    namespace: &Namespace,
    account: Account<'_>,
    live: &ObjectMeta,
    ending: Ending,
) -> Result<(), Fault> {
    let name = account.name;
    let created = label(live, keys::CREATED_LABEL)
        .filter(|_| ending == Ending::Keep)
        .map(|value| (keys::CREATED_LABEL.to_owned(), Value::from(value)));
    let body = Applied {
        namespace,
        name,
        uid: Some(account.uid),
        // Another binding may put its own label there meanwhile, with the same field manager.
        version: live.resource_version.as_deref(),
        labels: created.into_iter().collect(),
        annotations: Map::new(),
    };
    let parameters = PatchParams::apply(keys::FIELD_MANAGER);
    let patch = Patch::Apply(body.json());
    let api = api(client, namespace);
    let release = api.patch_metadata(name.as_str(), &parameters, &patch);
    request(|| format!("let go of the service account {name}"), release)
        .await
        .map(drop)
}

fn written_by_others(metadata: &ObjectMeta) -> bool {
    let mut managers = metadata.managed_fields.iter().flatten();
    managers.any(|entry| entry.manager.as_deref() != Some(keys::FIELD_MANAGER))
}
