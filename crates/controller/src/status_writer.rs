//! The one writer of status.

use jiff::Timestamp;
use kube::api::{Api, Patch, PatchParams};
use serde_json::{Value, json};
use wio_api::{GROUP, WorkloadIdentityBinding, WorkloadIdentityBindingStatus, keys};
use wio_core::config::Cluster;
use wio_core::fault::Fault;
use wio_core::outcome::Outcome;
use wio_core::plan::Plan;
use wio_core::status::{announcing, status, transition};

use crate::context::Context;
use crate::kubernetes::{is_not_found, request};
use crate::memory::{OwnWrite, Remembered};

/// Writes the status that an outcome makes, and an Event when Ready changed; nothing when it is what stands there.
pub(crate) async fn write(
    ctx: &Context,
    binding: &WorkloadIdentityBinding,
    cluster: &Cluster,
    outcome: &Outcome,
    remembered: &mut Remembered,
) -> Result<(), Fault> {
    let metadata = &binding.metadata;
    let previous = binding.status.as_ref();
    let generation = metadata.generation.unwrap_or_default();
    let deleting = metadata.deletion_timestamp.is_some();
    let next = status(previous, generation, deleting, Some(cluster), outcome, Timestamp::now());
    if previous == Some(&next) {
        return Ok(());
    }
    match put(ctx, binding, &next).await {
        Ok(written) => remembered.written = OwnWrite::of(&written),
        Err(fault) if is_not_found(&fault) => return Ok(()),
        Err(fault) => return Err(fault),
    }
    if let Some(transition) = transition(previous, &next) {
        ctx.events.publish(binding, transition).await;
    }
    Ok(())
}

/// Writes down where roles are about to be assigned, before they are, unless it is written down already.
pub(crate) async fn announce(
    ctx: &Context,
    binding: &WorkloadIdentityBinding,
    plan: &Plan,
    remembered: &mut Remembered,
) -> Result<(), Fault> {
    let Some(next) = announcing(binding.status.as_ref(), plan) else {
        return Ok(());
    };
    let written = put(ctx, binding, &next).await?;
    remembered.written = OwnWrite::of(&written);
    Ok(())
}

async fn put(
    ctx: &Context,
    binding: &WorkloadIdentityBinding,
    next: &WorkloadIdentityBindingStatus,
) -> Result<WorkloadIdentityBinding, Fault> {
    let metadata = &binding.metadata;
    let name = metadata.name.as_deref().unwrap_or_default();
    let namespace = metadata.namespace.as_deref().unwrap_or_default();
    let api: Api<WorkloadIdentityBinding> = Api::namespaced(ctx.client.clone(), namespace);
    // The UID keeps us from writing to another object of the same name. Force: status is ours alone.
    let patch = Patch::Apply(json!({
        "apiVersion": format!("{GROUP}/v1alpha1"),
        "kind": "WorkloadIdentityBinding",
        "metadata": { "name": name, "namespace": namespace, "uid": metadata.uid },
        "status": next,
    }));
    let parameters = PatchParams::apply(keys::STATUS_FIELD_MANAGER).force();
    let what = || "write the binding's status".to_owned();
    let written = request(what, api.patch_status(name, &parameters, &patch)).await?;
    let (found, wanted) = (json!(written.status), json!(next));
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
