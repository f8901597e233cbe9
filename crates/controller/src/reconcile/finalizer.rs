//! Our finalizer: there before the first write to Azure, gone only when Azure confirmed the deletion.

use kube::Client;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;
use wio_api::{WorkloadIdentityBinding, keys};
use wio_core::binding::{Binding, Finalizer};
use wio_core::desired::Desired;
use wio_core::fault::Fault;
use wio_core::verdict::Verdict;

use super::knowledge::Memory;
use crate::runtime::own_write::OwnWrite;
use crate::runtime::request::{is_not_found, request};

/// Sets the finalizer where it must be: before anything is made for a binding, and again when somebody took it off though
/// something was.
pub(crate) async fn ensure(
    client: &Client,
    object: &WorkloadIdentityBinding,
    binding: &Binding,
    verdict: &Verdict,
    memory: &mut Memory,
) -> Result<(), Fault> {
    if !is_needed(binding, verdict) {
        return Ok(());
    }
    let mut finalizers = object.metadata.finalizers.clone().unwrap_or_default();
    finalizers.push(keys::FINALIZER.to_owned());
    let written = write(client, object, &finalizers).await?;
    memory.written = OwnWrite::of(&written);
    memory.seen_live = is_as_seen(&written, object);
    Ok(())
}

/// Whether the API server shows a binding as it was decided about.
pub(super) fn is_as_seen(shown: &WorkloadIdentityBinding, seen: &WorkloadIdentityBinding) -> bool {
    let (shown, seen) = (&shown.metadata, &seen.metadata);
    shown.uid == seen.uid && shown.generation == seen.generation && shown.deletion_timestamp.is_none()
}

fn is_needed(binding: &Binding, verdict: &Verdict) -> bool {
    if binding.lifecycle.deleting || binding.lifecycle.finalizer == Finalizer::Set {
        return false;
    }
    let gives = match verdict {
        Verdict::Pursue(desired) => matches!(&**desired, Desired::Bound(bound) if !bound.suspended),
        Verdict::Orphan(_) | Verdict::Release | Verdict::Hold(_) => false,
    };
    gives || binding.lost_finalizer()
}

/// Takes the finalizer off and lets the deletion go on.
pub(crate) async fn release(client: &Client, object: &WorkloadIdentityBinding) -> Result<(), Fault> {
    let mut finalizers = object.metadata.finalizers.clone().unwrap_or_default();
    finalizers.retain(|finalizer| finalizer != keys::FINALIZER);
    match write(client, object, &finalizers).await {
        Err(fault) if is_not_found(&fault) => Ok(()),
        other => other.map(drop),
    }
}

/// The resource version keeps us from writing over a finalizer that someone else set or removed in the meantime, and
/// from writing to another object of the same name.
async fn write(
    client: &Client,
    object: &WorkloadIdentityBinding,
    finalizers: &[String],
) -> Result<WorkloadIdentityBinding, Fault> {
    let name = object.metadata.name.as_deref().unwrap_or_default();
    let namespace = object.metadata.namespace.as_deref().unwrap_or_default();
    let api: Api<WorkloadIdentityBinding> = Api::namespaced(client.clone(), namespace);
    let patch = Patch::Merge(json!({
        "metadata": { "resourceVersion": object.metadata.resource_version, "finalizers": finalizers }
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
