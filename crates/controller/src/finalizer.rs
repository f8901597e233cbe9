//! Our finalizer: there before the first write to Azure, gone only when Azure confirmed the deletion.

use kube::api::{Api, Patch, PatchParams};
use serde_json::json;
use wio_api::{WorkloadIdentityBinding, keys};
use wio_core::binding::{has_finalizer, may_have_something};
use wio_core::fault::Fault;

use crate::context::Context;
use crate::kubernetes::{is_not_found, request};
use crate::memory::{OwnWrite, Remembered};

/// Whether it was taken off though something was made, as the status says: whoever does so must not keep what a policy takes away.
pub(crate) fn was_taken_off(binding: &WorkloadIdentityBinding) -> bool {
    may_have_something(binding) && !has_finalizer(binding)
}

/// Sets the finalizer.
pub(crate) async fn set(
    ctx: &Context,
    binding: &WorkloadIdentityBinding,
    remembered: &mut Remembered,
) -> Result<(), Fault> {
    let mut finalizers = binding.metadata.finalizers.clone().unwrap_or_default();
    finalizers.push(keys::FINALIZER.to_owned());
    let written = write(ctx, binding, &finalizers).await?;
    remembered.written = OwnWrite::of(&written);
    Ok(())
}

/// Removes the finalizer and lets the deletion go on.
pub(crate) async fn remove(ctx: &Context, binding: &WorkloadIdentityBinding) -> Result<(), Fault> {
    let mut finalizers = binding.metadata.finalizers.clone().unwrap_or_default();
    finalizers.retain(|finalizer| finalizer != keys::FINALIZER);
    match write(ctx, binding, &finalizers).await {
        Err(fault) if is_not_found(&fault) => Ok(()),
        other => other.map(drop),
    }
}

/// The resource version keeps us from writing over a finalizer that someone else set or removed in the meantime, and
/// from writing to another object of the same name.
async fn write(
    ctx: &Context,
    binding: &WorkloadIdentityBinding,
    finalizers: &[String],
) -> Result<WorkloadIdentityBinding, Fault> {
    let name = binding.metadata.name.as_deref().unwrap_or_default();
    let namespace = binding.metadata.namespace.as_deref().unwrap_or_default();
    let api: Api<WorkloadIdentityBinding> = Api::namespaced(ctx.client.clone(), namespace);
    let patch = Patch::Merge(json!({
        "metadata": { "resourceVersion": binding.metadata.resource_version, "finalizers": finalizers }
    }));
    let parameters = PatchParams {
        field_manager: Some(keys::FIELD_MANAGER.to_owned()),
        ..PatchParams::default()
    };
    request(
        || "write the binding's finalizer".to_owned(),
        api.patch(name, &parameters, &patch),
    )
    .await
}
