//! The one writer of the status of bindings.

use kube::Client;
use kube::api::Api;
use wio_api::{WorkloadIdentityBinding, WorkloadIdentityBindingStatus, keys};
use wio_core::binding::{Binding, Lifecycle};
use wio_core::cluster::Cluster;
use wio_core::desired::Desired;
use wio_core::fault::Fault;
use wio_core::landing::Confirmed;
use wio_core::outcome::{Outcome, Problem};
use wio_core::plan::Plan;
use wio_core::recorded::Rewrites;
use wio_core::status::{
    Subject, announcing, ended, ending, made_anew, problems, ready_after, status, tells_of_writes, transitions,
    unproven, with_rewrites, with_workloads,
};

use super::context::Api as Kubernetes;
use super::footing::is_as_decided;
use super::knowledge::Memory;
use super::workloads::look::look;
use crate::runtime::own_status;
use crate::runtime::own_write::OwnWrite;
use crate::runtime::request::is_not_found;

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
    let contested = memory.contested.note();
    let heeded = memory.requests.heeded().map(str::to_owned);
    let subject = Subject {
        previous,
        lifecycle: target.lifecycle,
        cluster: target.cluster,
        heeded: heeded.as_deref(),
        failed_looks: memory.looks.failed(),
        written: memory.begun.may_have_written(),
        contested: contested.as_deref(),
    };
    let now = (api.clock)();
    let problems = problems(subject, outcome, now);
    let next = status(subject, outcome, now);
    let sight = look(api, target.object, (outcome, &next), memory).await;
    let next = with_workloads(next, previous, sight, (target.lifecycle.generation, now));
    memory.begun.wrote(tells_of_writes(&next));
    if previous == Some(&next) {
        told_of_pods(memory);
        return Ok(problems);
    }
    match put(&api.client, target.object, &next).await {
        Ok(written) => memory.written = OwnWrite::of(&written),
        Err(fault) if is_not_found(&fault) => return Ok(problems),
        Err(fault) => return Err(fault),
    }
    told_of_pods(memory);
    if let Some(took) = ready_after(subject, &next, now) {
        api.metrics.became_ready(took);
    }
    for told in transitions(previous, &next) {
        api.events.publish(target.object, told).await;
    }
    Ok(problems)
}

/// The status tells of the pods as they were last seen.
fn told_of_pods(memory: &mut Memory) {
    if let Some(schedule) = memory.workloads.as_mut() {
        schedule.told();
    }
}

/// Writes down which identity is about to be created, where roles are about to be assigned and which other issuer is about to be trusted, before they are, unless it is
/// written down already; and which credentials are about to be written on which others rest. Returns the binding as it was written.
pub(crate) async fn announce(
    api: &Kubernetes,
    object: &WorkloadIdentityBinding,
    binding: &Binding,
    (desired, plan, rewrites): (&Desired, &Plan, &Rewrites),
    memory: &mut Memory,
) -> Result<Option<WorkloadIdentityBinding>, Fault> {
    let previous = object.status.as_ref();
    let now = (api.clock)();
    let next = announcing(previous, desired.revocable().identity(), plan);
    let next = with_rewrites(next, previous, rewrites);
    let Some(next) = made_anew(next, previous, plan, (binding.lifecycle.generation, now)) else {
        return Ok(None);
    };
    let next = unproven(next, previous, (desired, &binding.lifecycle), now);
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
    let namespace = object.metadata.namespace.as_deref().unwrap_or_default();
    let api: Api<WorkloadIdentityBinding> = Api::namespaced(client.clone(), namespace);
    own_status::put(&api, &object.metadata, next, "the binding's").await
}
