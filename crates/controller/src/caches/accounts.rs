//! The service accounts that carry a binding's label, by name and by that label: of each what is used of it, and not the object.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::PartialObjectMeta;
use kube::runtime::watcher::Event;
use tokio::sync::watch;
use wio_core::names::{Namespace, ServiceAccountName};
use wio_core::owner::Owner;
use wio_core::service_account::Texts;

use super::few::{self, Few};
use super::joined::Joined;
use super::visits::Visits;
use crate::runtime::hash::hash;

/// A service account as the watch brings it: its metadata.
pub(crate) type AccountMeta = PartialObjectMeta<ServiceAccount>;

/// The service accounts that carry a label. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Accounts(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    filled: watch::Sender<bool>,
    visits: Visits,
}

#[derive(Debug, Default)]
struct State {
    now: Namespaces,
    /// What a list that has begun brought so far.
    listed: Namespaces,
}

type Namespaces = HashMap<Box<str>, OfNamespace>;

/// The service accounts of a namespace.
#[derive(Debug, Default)]
struct OfNamespace {
    by_name: HashMap<Arc<str>, Arc<Account>>,
    /// The names by the hash of the UID in the label. A hash that two have costs one more comparison.
    marked: HashMap<u64, Few<Arc<str>>>,
}

/// What is used of a service account. All of it is text as somebody wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Account {
    is_going: bool,
    is_created_by_us: bool,
    /// In the order of [`Account::texts`]; the last one is its version.
    texts: Joined<7>,
}

// === impl Accounts ===

impl Accounts {
    pub(crate) fn new(visits: Visits) -> Self {
        Self(Arc::new(Shared {
            state: Mutex::default(),
            filled: watch::Sender::new(false),
            visits,
        }))
    }

    /// Whether an event shows a service account as it was not seen before. To be asked before the event is taken in.
    pub(crate) fn is_changed_by(&self, event: &Event<AccountMeta>) -> bool {
        match event {
            Event::Apply(account) | Event::InitApply(account) => !self.has_seen(&account.metadata),
            Event::Delete(_) => true,
            Event::Init | Event::InitDone => false,
        }
    }

    /// Whether it was seen at this version.
    fn has_seen(&self, metadata: &ObjectMeta) -> bool {
        let state = self.lock();
        let seen = key(metadata).and_then(|(namespace, name)| state.now.get(namespace)?.by_name.get(name));
        seen.is_some_and(|seen| {
            let texts = seen.texts();
            (texts.uid, seen.version()) == (metadata.uid.as_deref(), metadata.resource_version.as_deref())
        })
    }

    /// Takes in an event of the watch.
    pub(crate) fn take_in(&self, event: &Event<AccountMeta>) {
        let mut state = self.lock();
        match event {
            Event::Apply(account) => insert(&mut state.now, &account.metadata),
            Event::Delete(account) => remove(&mut state.now, &account.metadata),
            Event::Init => state.listed = Namespaces::new(),
            Event::InitApply(account) => insert(&mut state.listed, &account.metadata),
            Event::InitDone => {
                state.now = std::mem::take(&mut state.listed);
                drop(state);
                self.0.filled.send_replace(true);
            }
        }
    }

    /// Whether all were listed once.
    pub(crate) fn are_filled(&self) -> bool {
        *self.0.filled.borrow()
    }

    /// Completes when all were listed once.
    pub(crate) async fn filled(&self) -> bool {
        self.0.filled.subscribe().wait_for(|filled| *filled).await.is_ok()
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.lock().now.values().map(|all| all.by_name.len()).sum()
    }

    pub(crate) fn get(&self, namespace: &Namespace, name: &ServiceAccountName) -> Option<Arc<Account>> {
        self.0.visits.add(1);
        let state = self.lock();
        state.now.get(namespace.as_str())?.by_name.get(name.as_str()).cloned()
    }

    /// Those that carry the label of a binding, in its namespace.
    pub(crate) fn marked(&self, owner: &Owner) -> BTreeSet<ServiceAccountName> {
        let state = self.lock();
        let of_namespace = state.now.get(owner.namespace.as_str());
        let marked = of_namespace.map_or_else(Vec::new, |all| all.marked(owner.uid.as_str()));
        self.0.visits.add(marked.len().max(1));
        let names = marked.into_iter();
        names.filter_map(|name| name.parse().ok()).collect()
    }

    /// Those of a namespace.
    pub(crate) fn of_namespace(&self, namespace: &Namespace) -> Vec<(ServiceAccountName, Arc<Account>)> {
        let state = self.lock();
        let all = state.now.get(namespace.as_str()).into_iter();
        let all = all.flat_map(|all| &all.by_name);
        let all: Vec<_> = all
            .filter_map(|(name, account)| Some((name.parse().ok()?, Arc::clone(account))))
            .collect();
        self.0.visits.add(all.len());
        all
    }

    /// A panic elsewhere cannot leave it half written in a way that matters: each event rewrites what it speaks of.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn insert(namespaces: &mut Namespaces, metadata: &ObjectMeta) {
    remove(namespaces, metadata);
    let Some((namespace, name)) = key(metadata) else { return };
    let account = Account::of(metadata);
    let all = namespaces.entry(namespace.into()).or_default();
    let name: Arc<str> = name.into();
    if let Some(uid) = account.bound_by() {
        few::add(&mut all.marked, hash(uid), Arc::clone(&name));
    }
    all.by_name.insert(name, Arc::new(account));
}

fn remove(namespaces: &mut Namespaces, metadata: &ObjectMeta) {
    let Some((namespace, name)) = key(metadata) else { return };
    let Some(all) = namespaces.get_mut(namespace) else {
        return;
    };
    let Some(account) = all.by_name.remove(name) else {
        return;
    };
    if let Some(uid) = account.bound_by() {
        few::take(&mut all.marked, &hash(uid), name);
    }
    if all.by_name.is_empty() {
        namespaces.remove(namespace);
    }
}

fn key(metadata: &ObjectMeta) -> Option<(&str, &str)> {
    Some((metadata.namespace.as_deref()?, metadata.name.as_deref()?))
}

// === impl OfNamespace ===

impl OfNamespace {
    /// The names of those that carry this UID in the label.
    fn marked(&self, uid: &str) -> Vec<&str> {
        let names = self.marked.get(&hash(uid)).into_iter().flat_map(Few::iter);
        let carries = |name: &&Arc<str>| {
            let account = self.by_name.get(*name);
            account.is_some_and(|account| account.bound_by() == Some(uid))
        };
        names.filter(carries).map(AsRef::as_ref).collect()
    }
}

// === impl Account ===

impl Account {
    /// What is used of a service account's metadata, after it was cut to what is kept ([`super::kept`]).
    pub(crate) fn of(metadata: &ObjectMeta) -> Self {
        // A lifetime that somebody else wrote was cut off.
        let texts = Texts::of(metadata, true);
        Self {
            is_going: texts.is_going,
            is_created_by_us: texts.is_created_by_us,
            texts: Joined::of([
                texts.uid,
                texts.bound_by,
                texts.binding,
                texts.client_id,
                texts.tenant_id,
                texts.token_expiration,
                metadata.resource_version.as_deref(),
            ]),
        }
    }

    /// The same, to be read.
    pub(crate) fn texts(&self) -> Texts<'_> {
        let [uid, bound_by, binding, client_id, tenant_id, token_expiration, _] = self.texts.texts();
        Texts {
            uid,
            is_going: self.is_going,
            is_created_by_us: self.is_created_by_us,
            bound_by,
            binding,
            client_id,
            tenant_id,
            token_expiration,
        }
    }

    /// The UID of the binding whose label it carries.
    pub(crate) fn bound_by(&self) -> Option<&str> {
        self.texts().bound_by
    }

    /// Its version.
    pub(crate) fn version(&self) -> Option<&str> {
        let [.., version] = self.texts.texts();
        version
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use wio_api::keys;

    use super::*;

    fn account(name: &str, label: &str) -> AccountMeta {
        serde_json::from_value(json!({
            "metadata": { "namespace": "shop", "name": name, "uid": name, "labels": { (keys::BOUND_BY_LABEL): label } },
        }))
        .unwrap()
    }

    fn owner(namespace: &str, uid: &str) -> Owner {
        Owner {
            cluster: wio_testkit::CLUSTER_UID.parse().unwrap(),
            namespace: namespace.parse().unwrap(),
            name: "orders".parse().unwrap(),
            uid: uid.parse().unwrap(),
        }
    }

    fn marked(accounts: &Accounts, uid: &str) -> Vec<String> {
        let marked = accounts.marked(&owner("shop", uid));
        marked.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_label_is_found_as_long_as_it_stands() {
        let accounts = Accounts::new(Visits::default());
        accounts.take_in(&Event::Apply(account("a", "u")));
        accounts.take_in(&Event::Apply(account("b", "u")));
        assert_eq!(marked(&accounts, "u"), ["a", "b"]);
        assert_eq!(
            accounts.marked(&owner("mail", "u")),
            BTreeSet::new(),
            "in its own namespace alone"
        );
        accounts.take_in(&Event::Apply(account("a", "v")));
        assert_eq!(
            (marked(&accounts, "u"), marked(&accounts, "v")),
            (vec!["b".to_owned()], vec!["a".to_owned()])
        );
        accounts.take_in(&Event::Delete(account("b", "u")));
        assert_eq!(marked(&accounts, "u"), [""; 0]);
        assert_eq!(accounts.len(), 1);
    }

    /// A watch that begins anew lists all of them, and a pass over each binding would follow.
    #[test]
    fn what_a_list_shows_again_is_no_change() {
        let accounts = Accounts::new(Visits::default());
        let at = |version: &str| {
            let mut account = account("a", "u");
            account.metadata.resource_version = Some(version.to_owned());
            account
        };
        assert!(accounts.is_changed_by(&Event::Apply(at("1"))));
        accounts.take_in(&Event::Apply(at("1")));
        accounts.take_in(&Event::Init);
        assert!(!accounts.is_changed_by(&Event::InitApply(at("1"))));
        assert!(accounts.is_changed_by(&Event::InitApply(at("2"))));
        assert!(accounts.is_changed_by(&Event::Delete(at("1"))));
    }

    #[test]
    fn a_list_replaces_what_was_there_when_it_is_whole() {
        let accounts = Accounts::new(Visits::default());
        accounts.take_in(&Event::Apply(account("a", "u")));
        accounts.take_in(&Event::Init);
        accounts.take_in(&Event::InitApply(account("b", "u")));
        assert_eq!(marked(&accounts, "u"), ["a"]);
        accounts.take_in(&Event::InitDone);
        assert_eq!(marked(&accounts, "u"), ["b"]);
    }
}
