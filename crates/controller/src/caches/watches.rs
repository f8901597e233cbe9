//! The watches, and the caches that they fill with what is needed and nothing more.

use std::fmt;
use std::future::ready;

use futures::stream::iter;
use futures::{Stream, StreamExt, TryStreamExt};
use kube::runtime::reflector::ObjectRef;
use kube::runtime::reflector::store::Writer;
use kube::runtime::watcher::{self, Event, watcher};
use kube::runtime::{PredicateConfig, WatchStreamExt};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use wio_api::{WorkloadIdentityBinding, WorkloadIdentityPolicy, keys};
use wio_core::policy::Limits;

use crate::caches::accounts::{AccountMeta, Accounts};
use crate::caches::handle::Handle;
use crate::caches::kept;
use crate::caches::stores::{Bindings, NamespaceMeta};
use crate::runtime::backoff::Backoff;
use crate::runtime::hash::hash;
use crate::runtime::pages;

/// The bindings that something was asked of. Fills the cache and its index, and hands each event on after that, with the other bindings
/// for which it makes room in their namespace, or leaves none.
///
/// Each watch has a backoff of its own, and keeps its errors to itself: with one for all, as kube's controller has it, none is listened to
/// while it pauses for the errors of one. After an API server that was away for four seconds the operator was blind for up to a minute.
pub(crate) fn bindings(
    client: Client,
    bindings: Bindings,
    limits: impl Fn(&str) -> Limits + Send + 'static,
    on_event: impl Fn(&Event<WorkloadIdentityBinding>, Vec<ObjectRef<WorkloadIdentityBinding>>) + Send + 'static,
) -> impl Stream<Item = Handle> + Send + 'static {
    let events = watcher(
        Api::<WorkloadIdentityBinding>::all(client),
        watcher::Config::default().page_size(pages::FEW),
    )
    .backoff(Backoff::of_watch())
    .modify(kept::binding)
    .map_ok(move |event| {
        let asking = bindings.asking(&event);
        let turned = bindings.take_in(&event, &limits);
        on_event(&event, turned);
        asking
    });
    without_errors("bindings", events).filter_map(ready)
}

/// The service accounts with a binding's label that changed. Fills the cache with them alone: a cluster has many others.
pub(crate) fn accounts(client: Client, accounts: Accounts) -> impl Stream<Item = AccountMeta> + Send + 'static {
    let of_bindings = watcher::Config::default()
        .labels(keys::BOUND_BY_LABEL)
        .page_size(pages::FEW);
    let events = watcher(Api::<AccountMeta>::all(client), of_bindings)
        .backoff(Backoff::of_watch())
        .modify(kept::account)
        .map_ok(move |event| {
            let changed = accounts.is_changed_by(&event);
            accounts.take_in(&event);
            match event {
                Event::Apply(account) | Event::InitApply(account) | Event::Delete(account) => {
                    changed.then_some(account)
                }
                Event::Init | Event::InitDone => None,
            }
        });
    without_errors("service accounts", events).filter_map(ready)
}

/// One item for each change of any policy, also of those that a watch that began anew does not tell of. Fills the cache, and empties it when the API server does not know
/// policies any more.
pub(crate) fn policies(
    client: Client,
    writer: Writer<WorkloadIdentityPolicy>,
) -> impl Stream<Item = ()> + Send + 'static {
    let events = watcher(
        Api::<WorkloadIdentityPolicy>::all(client),
        watcher::Config::default().page_size(pages::FEW),
    )
    .backoff(Backoff::of_watch())
    .modify(kept::policy);
    let events = none_without_definition(events).reflect(writer);
    without_errors("policies", events).filter_map(|event| {
        let changed = matches!(event, Event::Apply(_) | Event::Delete(_) | Event::InitDone);
        ready(changed.then_some(()))
    })
}

/// One object, whenever it changes; none when it is not there.
pub(crate) fn one<K>(
    what: &'static str,
    api: Api<K>,
    name: &str,
) -> impl Stream<Item = Option<K>> + Send + 'static + use<K>
where
    K: Resource + Clone + fmt::Debug + DeserializeOwned + Send + 'static,
{
    let events = watcher::watch_object(api, name).backoff(Backoff::of_watch());
    without_errors(what, events)
}

/// The namespaces whose labels changed. Fills the cache with the labels of all.
pub(crate) fn namespaces(
    client: Client,
    writer: Writer<NamespaceMeta>,
) -> impl Stream<Item = NamespaceMeta> + Send + 'static {
    let events = watcher(
        Api::<NamespaceMeta>::all(client),
        watcher::Config::default().page_size(pages::FEW),
    )
    .backoff(Backoff::of_watch())
    .modify(kept::namespace)
    .reflect(writer)
    .touched_objects()
    .predicate_filter(labelled, PredicateConfig::default());
    without_errors("namespaces", events)
}

#[expect(clippy::unnecessary_wraps, reason = "the shape of kube's predicates")]
fn labelled(namespace: &NamespaceMeta) -> Option<u64> {
    Some(hash(&namespace.metadata.labels))
}

/// The bindings of a namespace.
pub(crate) fn bindings_in(namespace: &NamespaceMeta, bindings: &Bindings) -> Vec<ObjectRef<WorkloadIdentityBinding>> {
    let name = namespace.metadata.name.as_deref();
    name.map(|name| bindings.index.of_namespace(name)).unwrap_or_default()
}

/// Has a list that the API server has no such resource for say that there are none, once they were listed: their definition is gone, and with it they are. It may go
/// before the watch told of their end. What that means is for the guard on the definitions to say.
fn none_without_definition<K: Send + 'static>(
    events: impl Stream<Item = watcher::Result<Event<K>>> + Send + 'static,
) -> impl Stream<Item = watcher::Result<Event<K>>> + Send + 'static {
    let mut listed = false;
    events.flat_map(move |event| {
        listed |= matches!(event, Ok(Event::InitDone));
        let gone = listed && matches!(&event, Err(watcher::Error::InitialListFailed(error)) if is_unknown(error));
        let none = if gone {
            vec![Ok(Event::Init), Ok(Event::InitDone)]
        } else {
            Vec::new()
        };
        iter(std::iter::once(event).chain(none))
    })
}

/// Whether the API server does not know what it was asked for.
fn is_unknown(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 404)
}

/// Errors are said here, and go no further.
fn without_errors<K: Send + 'static>(
    what: &'static str,
    events: impl Stream<Item = watcher::Result<K>> + Send + 'static,
) -> impl Stream<Item = K> + Send + 'static {
    events.filter_map(move |event| {
        let event = event.inspect_err(|error| tracing::warn!(%error, "watching {what} failed; trying again"));
        ready(event.ok())
    })
}

/// The binding of its own namespace whose label a service account carries.
pub(crate) fn binding_of(account: &AccountMeta, bindings: &Bindings) -> Option<ObjectRef<WorkloadIdentityBinding>> {
    let uid = account.metadata.labels.as_ref()?.get(keys::BOUND_BY_LABEL)?;
    let namespace = account.metadata.namespace.as_deref()?;
    bindings.index.by_uid(namespace, uid)
}
