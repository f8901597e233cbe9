//! A binding as kube's controller knows it: its name alone. The controller keeps every object that it may reconcile, and the cache keeps
//! them packed.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::PartialObjectMeta;
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher::Event;
use wio_api::WorkloadIdentityBinding;

/// The name of a binding, in the form that kube's controller takes.
pub(crate) type Handle = PartialObjectMeta<WorkloadIdentityBinding>;

/// The handle of a binding.
pub(crate) fn handle(binding: &WorkloadIdentityBinding) -> Handle {
    let metadata = &binding.metadata;
    Handle {
        types: None,
        metadata: ObjectMeta {
            name: metadata.name.clone(),
            namespace: metadata.namespace.clone(),
            ..ObjectMeta::default()
        },
        ..Handle::default()
    }
}

/// What a watch told, by handles.
pub(super) fn event(event: &Event<WorkloadIdentityBinding>) -> Event<Handle> {
    match event {
        Event::Apply(binding) => Event::Apply(handle(binding)),
        Event::Delete(binding) => Event::Delete(handle(binding)),
        Event::Init => Event::Init,
        Event::InitApply(binding) => Event::InitApply(handle(binding)),
        Event::InitDone => Event::InitDone,
    }
}

/// A reference to a binding by its handle.
pub(crate) fn of_handle(key: ObjectRef<WorkloadIdentityBinding>) -> ObjectRef<Handle> {
    key.into_kind_unchecked(())
}

/// A reference to the binding of a handle.
pub(crate) fn of_binding(key: ObjectRef<Handle>) -> ObjectRef<WorkloadIdentityBinding> {
    key.into_kind_unchecked(())
}
