//! An index of the bindings in the cache: which of a namespace may share what, and how many federated credentials they ask for.
//!
//! It is kept by the events of the watch, right after the cache, so that no pass looks at every binding there is.

use std::collections::{BTreeSet, HashMap};
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher::Event;
use wio_api::{WorkloadIdentityBinding, keys};
use wio_core::names::{IdentityId, ServiceAccountName};
use wio_core::policy::{Seniority, Tally};

/// An index of the bindings in the cache.
#[derive(Debug, Default)]
pub(crate) struct Index(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    now: Namespaces,
    /// What a list that has begun brought so far.
    listed: Namespaces,
}

type Namespaces = HashMap<Box<str>, Bindings>;

/// The bindings of a namespace.
#[derive(Debug, Default)]
struct Bindings {
    tally: Tally,
    /// The names of the bindings that may share a thing, by its hash. A hash that two things have costs one more comparison.
    claimed: HashMap<u64, BTreeSet<Arc<str>>>,
    /// What is indexed for each binding.
    entries: HashMap<Arc<str>, Entry>,
}

#[derive(Debug)]
struct Entry {
    seniority: Option<Seniority>,
    claims: Box<[u64]>,
}

// === impl Index ===

impl Index {
    /// Takes in an event of the watch.
    pub(crate) fn take_in(&self, event: &Event<WorkloadIdentityBinding>) {
        let mut state = self.lock();
        match event {
            Event::Apply(binding) => insert(&mut state.now, binding),
            Event::Delete(binding) => remove(&mut state.now, binding),
            Event::Init => state.listed = Namespaces::new(),
            Event::InitApply(binding) => insert(&mut state.listed, binding),
            Event::InitDone => state.now = std::mem::take(&mut state.listed),
        }
    }

    /// The bindings of a namespace.
    pub(crate) fn of_namespace(&self, namespace: &str) -> Vec<ObjectRef<WorkloadIdentityBinding>> {
        let state = self.lock();
        let entries = state.now.get(namespace).into_iter().flat_map(|all| all.entries.keys());
        entries.map(|name| ObjectRef::new(name).within(namespace)).collect()
    }

    /// The bindings of a namespace that may share something of this: a service account, or the identity, and with it roles.
    pub(crate) fn sharing(
        &self,
        namespace: &str,
        accounts: &BTreeSet<ServiceAccountName>,
        identities: &[IdentityId],
    ) -> Vec<ObjectRef<WorkloadIdentityBinding>> {
        let state = self.lock();
        let Some(bindings) = state.now.get(namespace) else {
            return Vec::new();
        };
        let accounts = accounts.iter().map(|account| hash(account.as_str()));
        let identities = identities.iter().map(|id| hash_of_identity(&id.to_string()));
        let found: BTreeSet<&str> = accounts
            .chain(identities)
            .filter_map(|claim| bindings.claimed.get(&claim))
            .flatten()
            .map(AsRef::as_ref)
            .collect();
        found
            .into_iter()
            .map(|name| ObjectRef::new(name).within(namespace))
            .collect()
    }

    /// How many federated credentials of a namespace come before those of a binding, at most as many as the limit.
    pub(crate) fn credentials_before(&self, namespace: &str, binding: &Seniority, limit: usize) -> usize {
        let state = self.lock();
        let bindings = state.now.get(namespace);
        bindings.map_or(0, |bindings| bindings.tally.before(binding, limit))
    }

    /// A panic elsewhere cannot leave an index half written in a way that matters: each event rewrites what it speaks of.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn insert(namespaces: &mut Namespaces, binding: &WorkloadIdentityBinding) {
    remove(namespaces, binding);
    let Some((namespace, name)) = key(binding) else { return };
    let bindings = namespaces.entry(namespace.into()).or_default();
    let created = binding.metadata.creation_timestamp.as_ref().map(|time| time.0);
    let seniority = name.parse().ok().map(|name| Seniority::new(created, name));
    if let Some(seniority) = seniority.clone() {
        bindings.tally.count(seniority, binding.spec.service_accounts.len());
    }
    let name: Arc<str> = name.into();
    let claims: Box<[u64]> = if may_share(binding) {
        claims(binding).collect()
    } else {
        Box::default()
    };
    for claim in &claims {
        bindings.claimed.entry(*claim).or_default().insert(Arc::clone(&name));
    }
    bindings.entries.insert(name, Entry { seniority, claims });
}

fn remove(namespaces: &mut Namespaces, binding: &WorkloadIdentityBinding) {
    let Some((namespace, name)) = key(binding) else { return };
    let Some(bindings) = namespaces.get_mut(namespace) else {
        return;
    };
    let Some(entry) = bindings.entries.remove(name) else {
        return;
    };
    if let Some(seniority) = &entry.seniority {
        bindings.tally.forget(seniority);
    }
    for claim in &entry.claims {
        if let Some(names) = bindings.claimed.get_mut(claim) {
            names.remove(name);
            if names.is_empty() {
                bindings.claimed.remove(claim);
            }
        }
    }
    if bindings.entries.is_empty() {
        namespaces.remove(namespace);
    }
}

fn key(binding: &WorkloadIdentityBinding) -> Option<(&str, &str)> {
    Some((
        binding.metadata.namespace.as_deref()?,
        binding.metadata.name.as_deref()?,
    ))
}

/// Whether a binding can have a part in anything: it is not to go, and has our finalizer or had it. One that was never allowed
/// anything costs the others of its namespace nothing, however many there are.
fn may_share(binding: &WorkloadIdentityBinding) -> bool {
    let metadata = &binding.metadata;
    let finalizers = metadata.finalizers.iter().flatten();
    let made = binding.status.as_ref().is_some_and(|status| status.identity.is_some());
    metadata.deletion_timestamp.is_none() && (made || finalizers.into_iter().any(|one| one == keys::FINALIZER))
}

/// The hashes of what a binding has, had or asks for: names of service accounts, and the identity.
fn claims(binding: &WorkloadIdentityBinding) -> impl Iterator<Item = u64> {
    let spec = &binding.spec;
    let status = binding.status.as_ref();
    let asked = spec.service_accounts.iter().map(|account| account.name.as_str());
    let trusted = status.into_iter().flat_map(|status| &status.federated_credentials);
    let annotated = status.into_iter().flat_map(|status| &status.service_accounts);
    let accounts = asked
        .chain(trusted.map(|credential| credential.service_account.as_str()))
        .chain(annotated.map(|account| account.name.as_str()));
    let existing = spec
        .identity
        .existing
        .as_ref()
        .map(|existing| existing.resource_id.as_str());
    let recorded = status.and_then(|status| status.identity.as_ref());
    let identities = existing
        .into_iter()
        .chain(recorded.map(|identity| identity.resource_id.as_str()));
    accounts.map(hash).chain(identities.map(hash_of_identity))
}

/// Azure disregards the case of ids.
fn hash_of_identity(id: &str) -> u64 {
    hash(&id.to_ascii_lowercase())
}

fn hash(text: &str) -> u64 {
    BuildHasherDefault::<DefaultHasher>::default().hash_one(text)
}
