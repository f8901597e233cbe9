//! The watches, and the caches that they fill with what is needed and nothing more.

use std::future::ready;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher, Hash};
use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt, TryStreamExt};
use kube::api::DynamicObject;
use kube::runtime::reflector::store::Writer;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::utils::Backoff;
use kube::runtime::watcher::{self, Event, watcher};
use kube::runtime::{PredicateConfig, WatchStreamExt, predicates};
use kube::{Api, Client, ResourceExt};
use wio_api::{WorkloadIdentityBinding, WorkloadIdentityPolicy, keys};

use crate::abandoned;
use crate::context::{AccountMeta, Context, NamespaceMeta};
use crate::jitter::jittered;

/// How many objects a page of a list holds. A page is in memory as text and as objects at once, with the bookkeeping that
/// is dropped right after: the biggest page decides how much memory a start takes.
const PAGE: u32 = 100;

/// The pauses of one watch while the API server cannot be reached.
///
/// Each watch has its own, and keeps its errors to itself: kube's controller has one backoff for all its streams, and
/// while it pauses for the errors of one it listens to none. After an API server that was away for four seconds the
/// operator was blind for up to a minute.
#[derive(Debug)]
pub(crate) struct Pauses {
    next: Duration,
}

/// The bindings that something was asked of. Fills the cache.
pub(crate) fn bindings(
    client: Client,
    writer: Writer<WorkloadIdentityBinding>,
    ctx: &Arc<Context>,
) -> impl Stream<Item = watcher::Result<WorkloadIdentityBinding>> + Send + 'static {
    let ctx = Arc::clone(ctx);
    let events = watcher(
        Api::<WorkloadIdentityBinding>::all(client),
        watcher::Config::default().page_size(PAGE),
    )
    .backoff(Pauses::default())
    // Two thirds of an object are bookkeeping of field managers and kubectl's copy of what was applied.
    .modify(|binding| {
        binding.managed_fields_mut().clear();
        binding
            .annotations_mut()
            .retain(|key, _| key == keys::DELETE_DESPITE_USERS_ANNOTATION);
        binding.labels_mut().clear();
    })
    .reflect(writer)
    .inspect_ok(move |event| forget_what_is_gone(&ctx, event))
    .applied_objects()
    .predicate_filter(asked_for, PredicateConfig::default());
    without_errors("bindings", events)
}

/// Memory follows the cache: what left it is forgotten. A list that a watch begins anew with tells of no deletion.
fn forget_what_is_gone(ctx: &Context, event: &Event<WorkloadIdentityBinding>) {
    match event {
        Event::Delete(binding) => {
            abandoned::heed(ctx, binding);
            ctx.memory.forget(binding.metadata.uid.as_deref().unwrap_or_default());
        }
        Event::InitDone => {
            let uids = ctx
                .bindings
                .state()
                .iter()
                .filter_map(|binding| binding.uid())
                .collect();
            let vanished = ctx.memory.keep(&uids);
            if uids.is_empty() && vanished > 1 {
                tracing::warn!(
                    vanished,
                    "the list of bindings came back empty; what they had in Azure stands, and nothing is written for it"
                );
            }
        }
        Event::Apply(_) | Event::Init | Event::InitApply(_) => {}
    }
}

/// What a reconcile can be asked for by a binding itself: a new spec, a deletion, the annotation that lets it go on, or a
/// finalizer that is not as we left it. Our own status is not among them.
#[expect(clippy::unnecessary_wraps, reason = "the shape of kube's predicates")]
fn asked_for(binding: &WorkloadIdentityBinding) -> Option<u64> {
    let metadata = &binding.metadata;
    let deleting = metadata.deletion_timestamp.is_some();
    Some(hash(&(
        metadata.generation,
        deleting,
        &metadata.finalizers,
        &metadata.annotations,
    )))
}

/// The service accounts with a binding's mark that changed. Fills the cache with them alone: a cluster has many others.
pub(crate) fn accounts(
    client: Client,
    writer: Writer<AccountMeta>,
) -> impl Stream<Item = watcher::Result<AccountMeta>> + Send + 'static {
    let marked = watcher::Config::default().labels(keys::BOUND_BY_LABEL).page_size(PAGE);
    let events = watcher(Api::<AccountMeta>::all(client), marked)
        .backoff(Pauses::default())
        .modify(|account| {
            account.managed_fields_mut().clear();
            account.labels_mut().retain(|key, _| is_ours(key));
            account.annotations_mut().retain(|key, _| is_ours(key));
        })
        .reflect(writer)
        .touched_objects()
        .predicate_filter(predicates::resource_version, PredicateConfig::default());
    without_errors("service accounts", events)
}

/// One item for each change of any policy, also of those that a watch that began anew does not tell of. Fills the cache.
pub(crate) fn policies(
    client: Client,
    writer: Writer<WorkloadIdentityPolicy>,
) -> impl Stream<Item = ()> + Send + 'static {
    let events = watcher(
        Api::<WorkloadIdentityPolicy>::all(client),
        watcher::Config::default().page_size(PAGE),
    )
    .backoff(Pauses::default())
    .modify(|policy| {
        policy.managed_fields_mut().clear();
        policy.annotations_mut().clear();
    })
    .reflect(writer);
    without_errors("policies", events).filter_map(|event| {
        let changed = matches!(event, Ok(Event::Apply(_) | Event::Delete(_) | Event::InitDone));
        ready(changed.then_some(()))
    })
}

/// One object of the whole cluster, whenever it changes; none when it is not there.
pub(crate) fn one(
    what: &'static str,
    api: Api<DynamicObject>,
    name: &str,
) -> impl Stream<Item = Option<DynamicObject>> + Send + 'static {
    let events = watcher::watch_object(api, name).backoff(Pauses::default());
    without_errors(what, events).filter_map(|event| ready(event.ok()))
}

/// The namespaces whose labels changed. Fills the cache with the labels of all.
pub(crate) fn namespaces(
    client: Client,
    writer: Writer<NamespaceMeta>,
) -> impl Stream<Item = watcher::Result<NamespaceMeta>> + Send + 'static {
    let events = watcher(
        Api::<NamespaceMeta>::all(client),
        watcher::Config::default().page_size(PAGE),
    )
    .backoff(Pauses::default())
    .modify(|namespace| {
        namespace.managed_fields_mut().clear();
        namespace.annotations_mut().clear();
    })
    .reflect(writer)
    .touched_objects()
    .predicate_filter(labelled, PredicateConfig::default());
    without_errors("namespaces", events)
}

#[expect(clippy::unnecessary_wraps, reason = "the shape of kube's predicates")]
fn labelled(namespace: &NamespaceMeta) -> Option<u64> {
    Some(hash(&namespace.metadata.labels))
}

fn hash(value: &impl Hash) -> u64 {
    BuildHasherDefault::<DefaultHasher>::default().hash_one(value)
}

/// The bindings of a namespace.
pub(crate) fn bindings_in(
    namespace: &NamespaceMeta,
    bindings: &Store<WorkloadIdentityBinding>,
) -> Vec<ObjectRef<WorkloadIdentityBinding>> {
    let there = bindings.state_filter(|binding| binding.metadata.namespace == namespace.metadata.name);
    there.iter().map(|binding| ObjectRef::from_obj(&**binding)).collect()
}

/// Errors are said here, and go no further.
fn without_errors<K: Send + 'static>(
    what: &'static str,
    events: impl Stream<Item = watcher::Result<K>> + Send + 'static,
) -> impl Stream<Item = watcher::Result<K>> + Send + 'static {
    events.filter(move |event| {
        if let Err(error) = event {
            tracing::warn!(%error, "watching {what} failed; trying again");
        }
        ready(event.is_ok())
    })
}

fn is_ours(key: &str) -> bool {
    [
        keys::BOUND_BY_LABEL,
        keys::CREATED_LABEL,
        keys::BINDING_ANNOTATION,
        keys::CLIENT_ID_ANNOTATION,
        keys::TENANT_ID_ANNOTATION,
        keys::TOKEN_EXPIRATION_ANNOTATION,
    ]
    .contains(&key)
}

// === impl Pauses ===

impl Pauses {
    const FIRST: Duration = Duration::from_millis(500);
    /// One operator with its few watches may ask this often: a watch that waits longer misses what people do meanwhile.
    const LAST: Duration = Duration::from_secs(10);
}

impl Default for Pauses {
    fn default() -> Self {
        Self { next: Self::FIRST }
    }
}

impl Iterator for Pauses {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let pause = self.next;
        self.next = (pause * 2).min(Self::LAST);
        Some(jittered(pause))
    }
}

impl Backoff for Pauses {
    fn reset(&mut self) {
        *self = Self::default();
    }
}

/// The binding whose mark a service account carries. Its name stands on it too, but may have been edited by hand.
pub(crate) fn binding_of(
    account: &AccountMeta,
    bindings: &Store<WorkloadIdentityBinding>,
) -> Option<ObjectRef<WorkloadIdentityBinding>> {
    let uid = account.metadata.labels.as_ref()?.get(keys::BOUND_BY_LABEL)?;
    let is_meant = |binding: &WorkloadIdentityBinding| binding.metadata.uid.as_ref() == Some(uid);
    let named = account
        .metadata
        .annotations
        .as_ref()
        .and_then(|all| all.get(keys::BINDING_ANNOTATION));
    let named = named.and_then(|name| {
        let key = ObjectRef::new(name).within(account.metadata.namespace.as_deref()?);
        bindings.get(&key).filter(|binding| is_meant(binding))
    });
    let binding = named.or_else(|| bindings.find(is_meant))?;
    Some(ObjectRef::from_obj(&*binding))
}
