//! Our finalizer: there before the first write to Azure, gone only when Azure confirmed the deletion.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Client;
use kube::api::{Api, ListParams, PartialObjectMeta, Patch, PatchParams};
use serde_json::json;
use wio_api::{WorkloadIdentityBinding, keys};
use wio_core::binding::{Binding, Finalizer};
use wio_core::desired::Desired;
use wio_core::fault::Fault;
use wio_core::verdict::Verdict;

use super::footing::is_as_decided;
use super::knowledge::{Knowledge, Memory};
use super::writes::Begun;
use crate::caches::kept::has_more_finalizers;
use crate::runtime::own_write::OwnWrite;
use crate::runtime::request::{is_not_found, malformed, request};

/// A finalizer that is to be set before anything is made for a binding.
pub(crate) struct Unset<'a> {
    client: &'a Client,
    object: &'a WorkloadIdentityBinding,
    binding: &'a Binding,
}

/// The metadata of a binding as it was when the finalizer had been set.
pub(crate) struct Set(PartialObjectMeta<WorkloadIdentityBinding>);

// === impl Unset ===

impl<'a> Unset<'a> {
    /// The finalizer that is missing where something is to be made, or was made before somebody took it off; none when it is there, or is not
    /// needed.
    pub(crate) fn where_needed(
        client: &'a Client,
        object: &'a WorkloadIdentityBinding,
        binding: &'a Binding,
        verdict: &Verdict,
    ) -> Option<Self> {
        is_needed(binding, verdict).then_some(Self {
            client,
            object,
            binding,
        })
    }

    fn may_be_set_beside_a_look(&self, memory: &Memory) -> bool {
        matches!(memory.azure, Knowledge::Unread) && !self.binding.lost_finalizer()
    }

    /// Sets it.
    pub(crate) async fn set(&self) -> Result<Set, Fault> {
        let add = |finalizers: &mut Vec<String>| finalizers.push(keys::FINALIZER.to_owned());
        change(self.client, self.object, add).await.map(Set)
    }

    /// Sets it, and remembers that.
    pub(crate) async fn set_now(&self, memory: &mut Memory) -> Result<(), Fault> {
        let set = self.set().await?;
        self.remember(&set, memory);
        Ok(())
    }

    /// Remembers that it was set.
    pub(crate) fn remember(&self, Set(written): &Set, memory: &mut Memory) {
        memory.written = OwnWrite::of(written);
        memory.shown.see_binding(is_as_decided(&written.metadata, self.binding));
        memory.begun = self.begun(memory.begun);
    }

    /// Who may have written for the binding, once this process has set the finalizer.
    pub(crate) fn begun(&self, mut begun: Begun) -> Begun {
        begun.finalizer_is_set(&self.binding.recorded);
        begun
    }
}

/// Sets an unset finalizer, but leaves that of a new binding, which is given something, to be set beside its first look. One that could not
/// be set then goes before the next look.
pub(crate) async fn set<'a>(
    unset: Option<Unset<'a>>,
    gives: bool,
    memory: &mut Memory,
) -> Result<Option<Unset<'a>>, Fault> {
    match unset {
        Some(unset) if gives && unset.may_be_set_beside_a_look(memory) => Ok(Some(unset)),
        Some(unset) => unset.set_now(memory).await.map(|()| None),
        None => Ok(None),
    }
}

fn is_needed(binding: &Binding, verdict: &Verdict) -> bool {
    if binding.lifecycle.deleting || binding.lifecycle.finalizer == Finalizer::Set {
        return false;
    }
    let gives = match verdict {
        Verdict::Pursue(desired) => matches!(&**desired, Desired::Bound(bound) if !bound.suspended),
        Verdict::Orphan(_) | Verdict::Release(_) | Verdict::Hold(_) => false,
    };
    gives || binding.lost_finalizer()
}

/// Takes the finalizer off and lets the deletion go on.
pub(crate) async fn release(client: &Client, object: &WorkloadIdentityBinding) -> Result<(), Fault> {
    let remove = |finalizers: &mut Vec<String>| finalizers.retain(|finalizer| finalizer != keys::FINALIZER);
    match change(client, object, remove).await {
        Err(fault) if is_not_found(&fault) => Ok(()),
        other => other.map(drop),
    }
}

/// Changes the finalizers: those in the cache, or, where it does not hold all of them, those that stand there now.
async fn change(
    client: &Client,
    object: &WorkloadIdentityBinding,
    change: impl Fn(&mut Vec<String>),
) -> Result<PartialObjectMeta<WorkloadIdentityBinding>, Fault> {
    if !has_more_finalizers(&object.metadata) {
        return write(client, &object.metadata, change).await;
    }
    let live = live(client, &object.metadata).await?;
    write(client, &live, change).await
}

/// The binding's metadata as it is now, by a list of it alone: so the operator needs no right that the caches do not need.
async fn live(client: &Client, metadata: &ObjectMeta) -> Result<ObjectMeta, Fault> {
    let this = format!("metadata.name={}", metadata.name.as_deref().unwrap_or_default());
    let read = || "read the binding's finalizers".to_owned();
    let this = ListParams::default().fields(&this);
    let found = request(read, api(client, metadata).list_metadata(&this)).await?;
    let live = found.items.into_iter().map(|found| found.metadata);
    live.into_iter()
        .find(|found| found.uid == metadata.uid)
        .ok_or_else(|| malformed(read(), "it is gone by now"))
}

fn api(client: &Client, metadata: &ObjectMeta) -> Api<WorkloadIdentityBinding> {
    Api::namespaced(client.clone(), metadata.namespace.as_deref().unwrap_or_default())
}

/// The resource version keeps us from writing over a finalizer that someone else set or removed in the meantime, and
/// from writing to another object of the same name.
async fn write(
    client: &Client,
    metadata: &ObjectMeta,
    change: impl Fn(&mut Vec<String>),
) -> Result<PartialObjectMeta<WorkloadIdentityBinding>, Fault> {
    let mut finalizers = metadata.finalizers.clone().unwrap_or_default();
    change(&mut finalizers);
    let patch = Patch::Merge(json!({
        "metadata": { "resourceVersion": metadata.resource_version, "finalizers": finalizers }
    }));
    let parameters = PatchParams {
        field_manager: Some(keys::FIELD_MANAGER.to_owned()),
        ..PatchParams::default()
    };
    let name = metadata.name.as_deref().unwrap_or_default();
    request(
        || "write the binding's finalizer".to_owned(),
        api(client, metadata).patch_metadata(name, &parameters, &patch),
    )
    .await
}
