//! The one writer of status.

use jiff::Timestamp;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;
use wio_api::{GROUP, WorkloadIdentityBinding, keys};
use wio_core::config::Cluster;
use wio_core::fault::Fault;
use wio_core::outcome::Outcome;
use wio_core::status::{status, transition};

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
    match request(
        || "write the binding's status".to_owned(),
        api.patch_status(name, &parameters, &patch),
    )
    .await
    {
        Ok(written) => remembered.written = OwnWrite::of(&written),
        Err(fault) if is_not_found(&fault) => return Ok(()),
        Err(fault) => return Err(fault),
    }
    if let Some(transition) = transition(previous, &next) {
        ctx.events.publish(binding, transition).await;
    }
    Ok(())
}
