//! An index of the names that bindings of all namespaces choose for their managed identities: the first of two that choose one has it.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher::Event;
use wio_api::WorkloadIdentityBinding;
use wio_core::binding::Binding;
use wio_core::names::IdentityName;
use wio_core::policy::Seniority;

/// How many of those that choose one name a pass looks at. Whoever comes after so many that may not have it is still told apart by the
/// tags of the identity.
const LOOKED_AT: usize = 32;

/// An index of chosen names.
#[derive(Debug, Default)]
pub(super) struct Names(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    now: Listing,
    /// What a list that has begun brought so far.
    listed: Listing,
}

#[derive(Debug, Default)]
struct Listing {
    /// The bindings that choose a name, the eldest first. Azure disregards its case.
    named: HashMap<Box<str>, BTreeSet<Rank>>,
    /// What each binding chose.
    chosen: HashMap<Key, (Box<str>, Rank)>,
}

/// A namespace and a name.
type Key = (Box<str>, Box<str>);

/// The place of a binding among those that choose one name.
type Rank = (Option<Seniority>, Key);

// === impl Names ===

impl Names {
    /// Takes in an event of the watch.
    pub(super) fn take_in(&self, event: &Event<WorkloadIdentityBinding>) {
        let mut state = self.lock();
        match event {
            Event::Apply(binding) => state.now.insert(binding),
            Event::Delete(binding) => state.now.remove(binding),
            Event::Init => state.listed = Listing::default(),
            Event::InitApply(binding) => state.listed.insert(binding),
            Event::InitDone => state.now = std::mem::take(&mut state.listed),
        }
    }

    /// The eldest bindings of any namespace that choose this name for their managed identity.
    pub(super) fn choosing(&self, name: &IdentityName) -> Vec<ObjectRef<WorkloadIdentityBinding>> {
        let state = self.lock();
        let chosen = state.now.named.get(name.as_str().to_ascii_lowercase().as_str());
        let ranks = chosen.into_iter().flatten().take(LOOKED_AT);
        ranks
            .map(|(_, (namespace, name))| ObjectRef::new(name).within(namespace))
            .collect()
    }

    /// A panic elsewhere cannot leave an index half written in a way that matters: each event rewrites what it speaks of.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Listing {
    fn insert(&mut self, binding: &WorkloadIdentityBinding) {
        self.remove(binding);
        let Some((key, chosen)) = key(binding).zip(chosen(binding)) else {
            return;
        };
        let rank = (Binding::seniority_of(binding), key.clone());
        self.named.entry(chosen.clone()).or_default().insert(rank.clone());
        self.chosen.insert(key, (chosen, rank));
    }

    fn remove(&mut self, binding: &WorkloadIdentityBinding) {
        let removed = key(binding).and_then(|key| self.chosen.remove(&key));
        let Some((chosen, rank)) = removed else { return };
        if let Some(ranks) = self.named.get_mut(&chosen) {
            ranks.remove(&rank);
            if ranks.is_empty() {
                self.named.remove(&chosen);
            }
        }
    }
}

fn key(binding: &WorkloadIdentityBinding) -> Option<Key> {
    let metadata = &binding.metadata;
    Some((metadata.namespace.as_deref()?.into(), metadata.name.as_deref()?.into()))
}

/// The name that a binding chooses for its managed identity, unless it is to go.
fn chosen(binding: &WorkloadIdentityBinding) -> Option<Box<str>> {
    let managed = binding.spec.identity.managed.as_ref()?;
    let stays = binding.metadata.deletion_timestamp.is_none();
    let name = managed.name.as_deref().filter(|_| stays)?;
    Some(name.to_ascii_lowercase().into())
}
