//! A status of ours on the wire.

use std::fmt::Debug;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use kube::api::{Api, Patch, PatchParams};
use kube::core::object::HasStatus;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use wio_api::keys;
use wio_core::fault::Fault;

use crate::runtime::request::request;

/// Writes a status, and leaves nothing of what anybody else wrote there. `whose` says it in words.
pub(crate) async fn put<K>(
    api: &Api<K>,
    metadata: &ObjectMeta,
    next: &(impl Serialize + Sync),
    whose: &str,
) -> Result<K, Fault>
where
    K: Resource<DynamicType = ()> + HasStatus<Status: Serialize> + Clone + DeserializeOwned + Debug,
{
    let name = metadata.name.as_deref().unwrap_or_default();
    // The UID keeps us from writing to another object of the same name. Force: status is ours alone.
    let about = ObjectMeta {
        name: metadata.name.clone(),
        namespace: metadata.namespace.clone(),
        uid: metadata.uid.clone(),
        ..ObjectMeta::default()
    };
    let patch = Patch::Apply(json!({
        "apiVersion": K::api_version(&()),
        "kind": K::kind(&()),
        "metadata": about,
        "status": next,
    }));
    let parameters = PatchParams::apply(keys::STATUS_FIELD_MANAGER).force();
    let what = || format!("write {whose} status");
    let written = request(what, api.patch_status(name, &parameters, &patch)).await?;
    let (found, wanted) = (json!(written.status()), json!(next));
    if found == wanted {
        return Ok(written);
    }
    // Server-side apply keeps what another manager put into a list: a forged status would stand there for ever.
    let parameters = PatchParams {
        field_manager: Some(keys::STATUS_FIELD_MANAGER.to_owned()),
        ..PatchParams::default()
    };
    let patch = Patch::Merge(json!({ "status": instead_of(&found, wanted) }));
    request(what, api.patch_status(name, &parameters, &patch)).await
}

/// A merge patch that leaves nothing of what was found beside what is wanted.
fn instead_of(found: &Value, mut wanted: Value) -> Value {
    if let (Some(found), Some(wanted)) = (found.as_object(), wanted.as_object_mut()) {
        for key in found.keys() {
            wanted.entry(key).or_insert(Value::Null);
        }
    }
    wanted
}
