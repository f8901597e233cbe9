//! The one writer of status.

use kube::Client;
use kube::api::{Api, Patch, PatchParams};
use serde_json::{Value, json};
use wio_api::{GROUP, WorkloadIdentityBinding, WorkloadIdentityBindingStatus, keys};
use wio_core::binding::{Binding, Lifecycle};
use wio_core::cluster::Cluster;
use wio_core::desired::Desired;
use wio_core::fault::Fault;
use wio_core::landing::Confirmed;
use wio_core::outcome::{Outcome, Problem};
use wio_core::plan::Plan;
use wio_core::status::{Subject, announcing, ended, ending, problems, status, tells_of_writes, transitions};

use super::context::Api as Kubernetes;
use super::footing::is_as_decided;
use super::knowledge::Memory;
use crate::runtime::own_write::OwnWrite;
use crate::runtime::request::{is_not_found, request};

/// The binding whose status is written.
#[derive(Clone, Copy)]
pub(crate) struct Target<'a> {
    pub(crate) object: &'a WorkloadIdentityBinding,
    pub(crate) lifecycle: &'a Lifecycle,
    pub(crate) cluster: &'a Cluster,
}

impl<'a> Target<'a> {
    pub(crate) const fn new(
        object: &'a WorkloadIdentityBinding,
        lifecycle: &'a Lifecycle,
        cluster: &'a Cluster,
    ) -> Self {
        Self {
            object,
            lifecycle,
            cluster,
        }
    }

    /// The same binding, as it was written since.
    pub(crate) const fn after(self, written: Option<&'a WorkloadIdentityBinding>) -> Self {
        match written {
            Some(object) => Self { object, ..self },
            None => self,
        }
    }
}

/// Writes the status that an outcome makes, and Events of what people are to learn; nothing when it is what stands there. Returns what stands
/// between the binding and being ready.
pub(crate) async fn write(
    api: &Kubernetes,
    target: Target<'_>,
    outcome: &Outcome,
    memory: &mut Memory,
) -> Result<Vec<Problem>, Fault> {
    let previous = target.object.status.as_ref();
    let subject = Subject {
        previous,
        lifecycle: target.lifecycle,
        cluster: target.cluster,
        heeded: memory.requests.heeded(),
        failed_looks: memory.looks.failed(),
        written: memory.begun.may_have_written(),
    };
    let now = (api.clock)();
    let problems = problems(subject, outcome, now);
    let next = status(subject, outcome, now);
    memory.begun.wrote(tells_of_writes(&next));
    if previous == Some(&next) {
        return Ok(problems);
    }
    match put(&api.client, target.object, &next).await {
        Ok(written) => memory.written = OwnWrite::of(&written),
        Err(fault) if is_not_found(&fault) => return Ok(problems),
        Err(fault) => return Err(fault),
    }
    for told in transitions(previous, &next) {
        api.events.publish(target.object, told).await;
    }
    Ok(problems)
}

/// Writes down which identity is about to be created, where roles are about to be assigned and which other issuer is about to be trusted, before they are, unless it is
/// written down already. Returns the binding as it was written.
pub(crate) async fn announce(
    api: &Kubernetes,
    object: &WorkloadIdentityBinding,
    binding: &Binding,
    (desired, plan): (&Desired, &Plan),
    memory: &mut Memory,
) -> Result<Option<WorkloadIdentityBinding>, Fault> {
    let Some(next) = announcing(object.status.as_ref(), desired.revocable().identity(), plan) else {
        return Ok(None);
    };
    let written = put(&api.client, object, &next).await?;
    memory.written = OwnWrite::of(&written);
    memory.shown.see_binding(is_as_decided(&written.metadata, binding));
    Ok(Some(written))
}

/// Writes down that a deletion has begun, when the status says Ready. Returns the binding as it is then. Where it cannot be written nothing waits for
/// it: what is to be taken away goes first.
pub(crate) async fn begin_ending(
    api: &Kubernetes,
    target: Target<'_>,
    memory: &mut Memory,
) -> Option<WorkloadIdentityBinding> {
    let next = ending(target.object.status.as_ref(), target.lifecycle, (api.clock)())?;
    let written = put(&api.client, target.object, &next)
        .await
        .inspect_err(|fault| tracing::warn!(%fault, "that the deletion has begun is not written down"))
        .ok()?;
    memory.written = OwnWrite::of(&written);
    Some(written)
}

/// Writes down that a deletion is over, where a finalizer of somebody else keeps the object. Returns the binding as it is then.
pub(crate) async fn finish_ending(
    api: &Kubernetes,
    object: &WorkloadIdentityBinding,
    lifecycle: &Lifecycle,
    confirmed: Confirmed,
) -> Result<Option<WorkloadIdentityBinding>, Fault> {
    let finalizers = object.metadata.finalizers.iter().flatten();
    if !finalizers.into_iter().any(|finalizer| finalizer != keys::FINALIZER) {
        return Ok(None);
    }
    let next = ended(object.status.as_ref(), lifecycle, confirmed, (api.clock)());
    match put(&api.client, object, &next).await {
        Ok(written) => Ok(Some(written)),
        Err(fault) if is_not_found(&fault) => Ok(None),
        Err(fault) => Err(fault),
    }
}

async fn put(
    client: &Client,
    object: &WorkloadIdentityBinding,
    next: &WorkloadIdentityBindingStatus,
) -> Result<WorkloadIdentityBinding, Fault> {
    let metadata = &object.metadata;
    let name = metadata.name.as_deref().unwrap_or_default();
    let namespace = metadata.namespace.as_deref().unwrap_or_default();
    let api: Api<WorkloadIdentityBinding> = Api::namespaced(client.clone(), namespace);
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
