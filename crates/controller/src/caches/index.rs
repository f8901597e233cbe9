//! The bindings in the cache, packed, and an index of them: which of a namespace may share what, and how much they ask for of what policies
//! limit. No pass looks at every binding there is.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::num::NonZeroU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher::Event;
use wio_api::WorkloadIdentityBinding;
use wio_core::active_namespaces::ActiveNamespaces;
use wio_core::binding::{Binding, has_finalizer, usage};
use wio_core::names::{BindingName, BindingUid, IdentityId, IdentityName, ServiceAccountName};
use wio_core::policy::{Limits, Seniority, Tally, Usage};

use super::asked::Ask;
use super::few::{self, Few};
use super::glance::{Glance, Mark, short};
use super::handle::Handle;
use super::names::Names;
use super::packed::{Packed, Unpacked};
use super::visits::Visits;
use crate::runtime::hash::hash;
use crate::runtime::packing::Packer;

/// An index of the bindings in the cache.
#[derive(Debug, Default)]
pub(crate) struct Index {
    state: Mutex<State>,
    names: Names,
    visits: Visits,
}

#[derive(Debug, Default)]
struct State {
    packer: Packer,
    unpacked: Unpacked,
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
    claimed: HashMap<u64, Few<Arc<str>>>,
    /// The names by the hashes of the UIDs. A hash that two have costs one more comparison.
    uids: HashMap<u64, Few<Arc<str>>>,
    /// What is indexed for each binding.
    entries: HashMap<Arc<str>, Entry>,
}

#[derive(Debug)]
struct Entry {
    packed: Packed,
    glance: Glance,
    ask: Ask,
    uid: Option<Box<str>>,
    seniority: Option<Seniority>,
    claims: Box<[u64]>,
}

/// A binding of which the status names an identity.
#[derive(Debug)]
pub(crate) struct WithIdentity {
    pub(crate) key: ObjectRef<WorkloadIdentityBinding>,
    pub(crate) uid: BindingUid,
    /// The identity, in short.
    pub(crate) identity: NonZeroU64,
}

// === impl Index ===

impl Index {
    pub(crate) fn new(visits: Visits) -> Self {
        Self {
            visits,
            ..Self::default()
        }
    }

    /// Takes in an event of the watch. Returns the other bindings that have no room in their namespace any more, or have it now, by the
    /// limits of that namespace.
    pub(crate) fn take_in(
        &self,
        event: &Event<WorkloadIdentityBinding>,
        limits: impl Fn(&str) -> Limits,
    ) -> Vec<ObjectRef<WorkloadIdentityBinding>> {
        self.names.take_in(event);
        let mut state = self.lock();
        let State {
            packer, now, listed, ..
        } = &mut *state;
        match event {
            Event::Apply(binding) => return put(now, (binding, packer), limits),
            Event::Delete(binding) => return take(now, binding, limits),
            Event::Init => *listed = Namespaces::new(),
            Event::InitApply(binding) => insert(listed, (binding, packer)),
            Event::InitDone => {
                let before = std::mem::replace(now, std::mem::take(listed));
                return recounted(&before, now, limits);
            }
        }
        Vec::new()
    }

    /// Whether a binding asks for something that it did not ask for when it was last taken in.
    pub(crate) fn asks(&self, binding: &WorkloadIdentityBinding) -> bool {
        let state = self.lock();
        let before =
            entry(&state.now, binding).filter(|before| before.uid.as_deref() == binding.metadata.uid.as_deref());
        before.is_none_or(|before| Ask::of(binding).is_new_after(&before.ask))
    }

    /// A binding as it was last seen.
    pub(crate) fn get(&self, namespace: &str, name: &str) -> Option<Arc<WorkloadIdentityBinding>> {
        self.visits.add(1);
        let packed = {
            let state = self.lock();
            let packed = &state.now.get(namespace)?.entries.get(name)?.packed;
            if let Some(binding) = state.unpacked.get(packed) {
                return Some(binding);
            }
            packed.clone()
        };
        let binding = packed.unpack();
        if let Some(binding) = &binding {
            self.lock().unpacked.keep(&packed, binding);
        } else {
            tracing::error!(namespace, name, "the cache cannot read the binding that it keeps");
        }
        binding
    }

    /// All of them, one at a time: nothing that is done for each binding may ask for them.
    pub(crate) fn all(&self) -> impl Iterator<Item = Arc<WorkloadIdentityBinding>> + use<> {
        unpacked(self.all_that(|_| true))
    }

    /// Those that have this: no other is unpacked.
    pub(crate) fn all_with(&self, mark: Mark) -> impl Iterator<Item = Arc<WorkloadIdentityBinding>> + use<> {
        unpacked(self.all_that(|glance| glance.has(mark)))
    }

    /// One with an identity in each resource group where there are some.
    pub(crate) fn one_of_each_group(&self) -> impl Iterator<Item = Arc<WorkloadIdentityBinding>> + use<> {
        let mut seen = HashSet::new();
        let is_first = |glance: &Glance| glance.group.is_some_and(|group| seen.insert(group));
        unpacked(self.all_that(is_first))
    }

    fn all_that(&self, mut is_one: impl FnMut(&Glance) -> bool) -> Vec<Packed> {
        let state = self.lock();
        let entries = state.now.values().flat_map(|all| all.entries.values());
        let those = entries.filter(|entry| is_one(&entry.glance));
        let those: Vec<Packed> = those.map(|entry| entry.packed.clone()).collect();
        self.visits.add(those.len());
        those
    }

    /// The namespaces in which there are some.
    pub(crate) fn namespaces(&self) -> Vec<Box<str>> {
        self.lock().now.keys().cloned().collect()
    }

    /// The bindings of a namespace of which the status names an identity in this resource group, in short. None is unpacked.
    pub(crate) fn with_identities_in(&self, namespace: &str, group: NonZeroU64) -> Vec<WithIdentity> {
        self.with_identities(namespace, |glance| glance.group == Some(group))
    }

    /// The bindings of a namespace of which the status names one of these identities, in short. None is unpacked.
    pub(crate) fn with_any_of(&self, namespace: &str, is_one: impl Fn(NonZeroU64) -> bool) -> Vec<WithIdentity> {
        self.with_identities(namespace, |glance| glance.identity.is_some_and(&is_one))
    }

    fn with_identities(&self, namespace: &str, is_one: impl Fn(&Glance) -> bool) -> Vec<WithIdentity> {
        let state = self.lock();
        let entries = state.now.get(namespace).into_iter().flat_map(|all| &all.entries);
        let those = entries.filter(|(_, entry)| is_one(&entry.glance));
        let with = those.filter_map(|(name, entry)| {
            Some(WithIdentity {
                key: ObjectRef::new(name).within(namespace),
                uid: entry.uid.as_deref()?.parse().ok()?,
                identity: entry.glance.identity?,
            })
        });
        let with: Vec<WithIdentity> = with.collect();
        self.visits.add(with.len());
        with
    }

    /// Whether a binding is there whose status names this identity. It is not unpacked.
    pub(crate) fn has_identity(&self, namespace: &str, name: &str, id: &IdentityId) -> bool {
        let state = self.lock();
        let bindings = state.now.get(namespace);
        let entry = bindings.and_then(|bindings| bindings.entries.get(name));
        entry.is_some_and(|entry| entry.glance.identity.is_some() && entry.glance.identity == short(id))
    }

    /// Shows each of them at a glance, with the name of its namespace.
    pub(crate) fn glance(&self, mut show: impl FnMut(&str, &Glance)) {
        let state = self.lock();
        for (namespace, all) in &state.now {
            all.entries.values().for_each(|entry| show(namespace, &entry.glance));
        }
    }

    /// The UIDs of all of them.
    pub(crate) fn uids(&self) -> HashSet<String> {
        let state = self.lock();
        let entries = state.now.values().flat_map(|all| all.entries.values());
        entries
            .filter_map(|entry| entry.uid.as_deref().map(str::to_owned))
            .collect()
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.lock().now.values().map(|all| all.entries.len()).sum()
    }

    /// How many there are in the namespaces in which the operator acts.
    pub(crate) fn len_of(&self, active: &ActiveNamespaces) -> usize {
        let state = self.lock();
        let within = state.now.iter().filter(|(namespace, _)| active.contains(namespace));
        within.map(|(_, all)| all.entries.len()).sum()
    }

    /// The eldest bindings of any namespace that choose this name for their managed identity.
    pub(crate) fn choosing(&self, name: &IdentityName) -> Vec<ObjectRef<WorkloadIdentityBinding>> {
        self.visited(self.names.choosing(name))
    }

    /// The bindings of a namespace.
    pub(crate) fn of_namespace(&self, namespace: &str) -> Vec<ObjectRef<WorkloadIdentityBinding>> {
        let state = self.lock();
        let entries = state.now.get(namespace).into_iter().flat_map(|all| all.entries.keys());
        self.visited(entries.map(|name| ObjectRef::new(name).within(namespace)).collect())
    }

    /// All of them by name: nothing that is done for each binding may ask for them.
    pub(crate) fn handles(&self) -> Vec<Handle> {
        let state = self.lock();
        let names = state
            .now
            .iter()
            .flat_map(|(namespace, all)| all.entries.keys().map(move |name| (namespace, name)));
        let found: Vec<Handle> = names.map(|(namespace, name)| Handle::new(namespace, name)).collect();
        self.visits.add(found.len());
        found
    }

    /// The binding of a namespace that has this UID.
    pub(crate) fn by_uid(&self, namespace: &str, uid: &str) -> Option<ObjectRef<WorkloadIdentityBinding>> {
        let state = self.lock();
        let bindings = state.now.get(namespace)?;
        let mut names = bindings.uids.get(&hash(uid))?.iter();
        let has_it = |name: &&Arc<str>| {
            let entry = bindings.entries.get(*name);
            entry.is_some_and(|entry| entry.uid.as_deref() == Some(uid))
        };
        names.find(has_it).map(|name| ObjectRef::new(name).within(namespace))
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
            .flat_map(Few::iter)
            .map(AsRef::as_ref)
            .collect();
        let found = found.into_iter();
        self.visited(found.map(|name| ObjectRef::new(name).within(namespace)).collect())
    }

    /// How much of a namespace comes before what a binding asks for, at most as much as the limits.
    pub(crate) fn used_before(&self, namespace: &str, binding: &Seniority, limits: &Limits) -> Usage {
        if limits.is_none() {
            return Usage::default();
        }
        let state = self.lock();
        let bindings = state.now.get(namespace);
        bindings.map_or_else(Usage::default, |bindings| bindings.tally.before(binding, limits))
    }

    fn visited(&self, found: Vec<ObjectRef<WorkloadIdentityBinding>>) -> Vec<ObjectRef<WorkloadIdentityBinding>> {
        self.visits.add(found.len());
        found
    }

    /// A panic elsewhere cannot leave an index half written in a way that matters: each event rewrites what it speaks of.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One at a time, so that they are never objects all at once.
fn unpacked(all: Vec<Packed>) -> impl Iterator<Item = Arc<WorkloadIdentityBinding>> {
    all.into_iter().filter_map(|packed| packed.unpack())
}

fn insert(namespaces: &mut Namespaces, (binding, packer): (&WorkloadIdentityBinding, &mut Packer)) {
    remove(namespaces, binding);
    let Some((namespace, name)) = key(binding) else { return };
    let bindings = namespaces.entry(namespace.into()).or_default();
    let seniority = Binding::seniority_of(binding);
    if let Some(seniority) = seniority.clone() {
        bindings.tally.count(seniority, usage(binding));
    }
    let name: Arc<str> = name.into();
    let claims: Box<[u64]> = if may_share(binding) {
        claims(binding).collect()
    } else {
        Box::default()
    };
    for claim in &claims {
        few::add(&mut bindings.claimed, *claim, Arc::clone(&name));
    }
    let uid: Option<Box<str>> = binding.metadata.uid.as_deref().map(Into::into);
    if let Some(uid) = &uid {
        few::add(&mut bindings.uids, hash(uid.as_ref()), Arc::clone(&name));
    }
    let glance = Glance::of(binding);
    let entry = Entry {
        packed: Packed::of(binding, packer, glance.is_ready()),
        glance,
        ask: Ask::of(binding),
        uid,
        seniority,
        claims,
    };
    bindings.entries.insert(name, entry);
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
    if let Some(uid) = &entry.uid {
        few::take(&mut bindings.uids, &hash(uid.as_ref()), name);
    }
    for claim in &entry.claims {
        few::take(&mut bindings.claimed, claim, name);
    }
    if bindings.entries.is_empty() {
        namespaces.remove(namespace);
    }
}

/// Indexes a binding as it is now. Returns the others to which that makes a difference.
fn put(
    namespaces: &mut Namespaces,
    (binding, packer): (&WorkloadIdentityBinding, &mut Packer),
    limits: impl Fn(&str) -> Limits,
) -> Vec<ObjectRef<WorkloadIdentityBinding>> {
    // One of the same name that was deleted meanwhile was another one, with another place among the bindings.
    let is_another = entry(namespaces, binding).is_some_and(|entry| entry.seniority != Binding::seniority_of(binding));
    let mut turned = if is_another {
        take(namespaces, binding, &limits)
    } else {
        Vec::new()
    };
    if let Some(seniority) = Binding::seniority_of(binding) {
        turned.extend(turned_by(
            namespaces,
            binding,
            &seniority,
            Some(&usage(binding)),
            limits,
        ));
    }
    insert(namespaces, (binding, packer));
    turned
}

/// Indexes a binding no more. Returns the others to which that makes a difference.
fn take(
    namespaces: &mut Namespaces,
    binding: &WorkloadIdentityBinding,
    limits: impl Fn(&str) -> Limits,
) -> Vec<ObjectRef<WorkloadIdentityBinding>> {
    let seniority = entry(namespaces, binding).and_then(|entry| entry.seniority.clone());
    let turned = seniority.map(|seniority| turned_by(namespaces, binding, &seniority, None, limits));
    remove(namespaces, binding);
    turned.unwrap_or_default()
}

fn entry<'a>(namespaces: &'a Namespaces, binding: &WorkloadIdentityBinding) -> Option<&'a Entry> {
    let (namespace, name) = key(binding)?;
    namespaces.get(namespace)?.entries.get(name)
}

/// The other bindings to which it makes a difference that one asks for this from now on.
fn turned_by(
    namespaces: &Namespaces,
    binding: &WorkloadIdentityBinding,
    seniority: &Seniority,
    asks: Option<&Usage>,
    limits: impl Fn(&str) -> Limits,
) -> Vec<ObjectRef<WorkloadIdentityBinding>> {
    let Some((namespace, bindings)) =
        key(binding).and_then(|(namespace, _)| Some((namespace, namespaces.get(namespace)?)))
    else {
        return Vec::new();
    };
    let turned = bindings.tally.turned_by(seniority, asks, &limits(namespace));
    let key = |name: BindingName| ObjectRef::new(name.as_str()).within(namespace);
    turned.into_iter().map(key).collect()
}

/// The bindings of the limited namespaces in which a list that a watch began anew with counts otherwise than was counted before.
fn recounted(
    before: &Namespaces,
    now: &Namespaces,
    limits: impl Fn(&str) -> Limits,
) -> Vec<ObjectRef<WorkloadIdentityBinding>> {
    let differs = |namespace: &str, bindings: &Bindings| {
        let before = before.get(namespace);
        before.is_some_and(|before| before.tally != bindings.tally) && !limits(namespace).is_none()
    };
    let namespaces = now.iter().filter(|(namespace, bindings)| differs(namespace, bindings));
    let names = namespaces.flat_map(|(namespace, bindings)| bindings.entries.keys().map(move |name| (namespace, name)));
    names
        .map(|(namespace, name)| ObjectRef::new(name).within(namespace))
        .collect()
}

fn key(binding: &WorkloadIdentityBinding) -> Option<(&str, &str)> {
    Some((
        binding.metadata.namespace.as_deref()?,
        binding.metadata.name.as_deref()?,
    ))
}

/// Whether a binding can have a part in anything: it has our finalizer or had it. One that was never allowed anything costs the others of its namespace
/// nothing, however many there are. Of one that is to go what its status tells of counts until it is gone.
fn may_share(binding: &WorkloadIdentityBinding) -> bool {
    let made = binding.status.as_ref().is_some_and(|status| status.identity.is_some());
    made || has_finalizer(binding)
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
    let existing = spec.identity.existing.as_ref();
    let by_id = existing.and_then(|existing| existing.resource_id.as_deref());
    let by_name = existing.and_then(|existing| existing.resource_group.as_deref().zip(existing.name.as_deref()));
    let recorded = status.and_then(|status| status.identity.as_ref());
    let ids = by_id
        .into_iter()
        .chain(recorded.map(|identity| identity.resource_id.as_str()));
    let identities = ids
        .map(hash_of_identity)
        .chain(by_name.map(|(group, name)| hash_of_named(group, name)));
    accounts.map(hash).chain(identities)
}

/// Of an identity's id only group and name count: the subscription may be left to the operator. Who shares an identity is decided by its whole
/// id, of those that are found by this.
fn hash_of_identity(id: &str) -> u64 {
    const GROUP: usize = 4;
    let group = id.split('/').nth(GROUP).unwrap_or_default();
    hash_of_named(group, id.rsplit('/').next().unwrap_or_default())
}

/// Azure disregards the case of names.
fn hash_of_named(group: &str, name: &str) -> u64 {
    hash(&format!("{group}/{name}").to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use wio_core::names::ResourceGroupId;
    use wio_testkit::fixtures::binding;

    use super::*;

    fn of_accounts(name: &str, accounts: &[&str]) -> WorkloadIdentityBinding {
        let start = binding("shop", name).managed();
        accounts
            .iter()
            .fold(start, |built, account| built.service_account(account))
            .build()
    }

    fn two(_: &str) -> Limits {
        Limits {
            federated_credentials: Some(2),
            ..Limits::default()
        }
    }

    fn listed(index: &Index, bindings: Vec<WorkloadIdentityBinding>) -> Vec<String> {
        index.take_in(&Event::Init, two);
        for binding in bindings {
            index.take_in(&Event::InitApply(binding), two);
        }
        names(index.take_in(&Event::InitDone, two))
    }

    fn names(keys: Vec<ObjectRef<WorkloadIdentityBinding>>) -> Vec<String> {
        let mut names: Vec<String> = keys.into_iter().map(|key| key.name).collect();
        names.sort();
        names
    }

    /// A watch that begins anew tells of no deletion, and whoever waited for that would wait for the next drift check.
    #[test]
    fn room_that_came_while_nothing_was_watched_is_noticed_with_the_next_list() {
        let index = Index::default();
        let [a, b] = [of_accounts("a", &["a", "b"]), of_accounts("b", &["c"])];
        assert_eq!(listed(&index, vec![a.clone(), b.clone()]), Vec::<String>::new());
        assert_eq!(
            listed(&index, vec![a, b.clone()]),
            Vec::<String>::new(),
            "nothing is new"
        );
        assert_eq!(listed(&index, vec![b]), ["b"]);
    }

    #[test]
    fn only_those_are_named_for_whom_a_change_makes_a_difference() {
        let index = Index::default();
        let each = [("a", &["a"][..]), ("b", &["b"]), ("c", &["c"])];
        listed(&index, each.map(|(name, accounts)| of_accounts(name, accounts)).into());
        let grown = Event::Apply(of_accounts("a", &["a", "x"]));
        assert_eq!(names(index.take_in(&grown, two)), ["b"], "c had no room before either");
        assert_eq!(names(index.take_in(&grown, two)), Vec::<String>::new());
        let gone = Event::Delete(of_accounts("a", &["a", "x"]));
        assert_eq!(names(index.take_in(&gone, two)), ["b", "c"]);
        let unlimited = Event::Delete(of_accounts("b", &["b"]));
        assert_eq!(
            names(index.take_in(&unlimited, |_| Limits::default())),
            Vec::<String>::new()
        );
    }

    /// A label can be written by whoever may write service accounts: it must not have another namespace's binding reconciled.
    #[test]
    fn a_uid_is_looked_for_in_its_own_namespace_alone() {
        let index = Index::default();
        let object = binding("shop", "orders").uid("u").build();
        index.take_in(&Event::Apply(object.clone()), two);
        assert_eq!(index.by_uid("shop", "u"), Some(ObjectRef::from_obj(&object)));
        assert_eq!(index.by_uid("evil", "u"), None);
        let anew = binding("shop", "orders").uid("v").build();
        index.take_in(&Event::Apply(anew.clone()), two);
        assert_eq!(index.by_uid("shop", "u"), None, "the one that is gone");
        index.take_in(&Event::Delete(anew), two);
        assert_eq!(index.by_uid("shop", "v"), None);
    }

    const GROUP: &str = "/subscriptions/6f2e1c1d-52a4-4d0c-8d2f-0c6a2d0b7a11/resourceGroups/shared";

    fn id(name: &str) -> IdentityId {
        let id = format!("{GROUP}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{name}");
        id.parse().unwrap()
    }

    /// A binding whose status names an identity, and has more of this.
    fn had(name: &str, identity: &str, origin: &str, more: &Value) -> WorkloadIdentityBinding {
        let guid = "6f2e1c1d-52a4-4d0c-8d2f-0c6a2d0b7a11";
        let mut status = json!({ "identity": {
            "resourceId": id(identity).to_string(), "name": identity, "origin": origin,
            "clientId": guid, "principalId": guid, "tenantId": guid,
        }});
        status
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        let built = binding("shop", name).managed().uid(name);
        built.status(serde_json::from_value(status).unwrap()).build()
    }

    /// Each look for those with roles, with something by a policy or with an identity of somebody else's unpacked all bindings.
    #[test]
    fn what_few_have_is_found_without_a_look_at_all() {
        let visits = Visits::default();
        let index = Index::new(visits.clone());
        let none = json!({});
        let few = [
            had("referenced", "theirs", "Referenced", &none),
            had("by-policy", "identity-b", "Created", &json!({ "authorizedBy": ["p"] })),
            had(
                "with-roles",
                "identity-c",
                "Created",
                &json!({ "roleAssignmentScopes": [GROUP] }),
            ),
        ];
        let many = (0..50).map(|n| had(&format!("plain-{n}"), &format!("identity-{n}"), "Created", &none));
        listed(&index, few.into_iter().chain(many).collect());
        let before = visits.so_far();
        let found = [Mark::Referenced, Mark::ByPolicy, Mark::Roles].map(|mark| {
            let names = index
                .all_with(mark)
                .map(|binding| binding.metadata.name.clone().unwrap());
            names.collect::<Vec<_>>()
        });
        assert_eq!(found, [["referenced"], ["by-policy"], ["with-roles"]]);
        assert_eq!(index.one_of_each_group().count(), 1);
        assert_eq!(visits.so_far() - before, 4);
    }

    #[test]
    fn the_identity_that_a_status_names_is_known_without_a_look() {
        let index = Index::default();
        let with = had("orders", "wib-orders", "Created", &json!({}));
        listed(&index, vec![with, of_accounts("new", &["a"])]);
        assert!(
            index.has_identity("shop", "orders", &id("WIB-orders")),
            "Azure disregards the case"
        );
        assert!(!index.has_identity("shop", "orders", &id("another")));
        assert!(!index.has_identity("shop", "new", &id("wib-orders")));
        assert!(!index.has_identity("evil", "orders", &id("wib-orders")));
        let group = |id: &str| short(&id.parse::<ResourceGroupId>().unwrap()).unwrap();
        let [one] = &index.with_identities_in("shop", group(&GROUP.replace("shared", "SHARED")))[..] else {
            unreachable!("a new binding has none")
        };
        assert_eq!(
            (one.key.name.as_str(), Some(one.identity)),
            ("orders", short(&id("wib-orders")))
        );
        let elsewhere = group(&GROUP.replace("shared", "elsewhere"));
        assert!(index.with_identities_in("shop", elsewhere).is_empty());
        let any_of = |wanted: &str| {
            let wanted = short(&id(wanted)).unwrap();
            index.with_any_of("shop", |identity| identity == wanted).len()
        };
        assert_eq!((any_of("wib-orders"), any_of("another")), (1, 0));
        assert_eq!(index.namespaces(), ["shop".into()]);
    }
}
