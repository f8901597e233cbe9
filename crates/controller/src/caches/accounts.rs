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
use super::visits::Visits;

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
    by_name: HashMap<Box<str>, Arc<Account>>,
    /// The names by the UID in the label.
    marked: HashMap<Box<str>, Few<Box<str>>>,
}

/// What is used of a service account. All of it is text as somebody wrote it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) uid: Option<Box<str>>,
    pub(crate) version: Option<Box<str>>,
    pub(crate) is_going: bool,
    pub(crate) is_created_by_us: bool,
    /// The UID of the binding whose label it carries.
    pub(crate) bound_by: Option<Box<str>>,
    /// That binding's name.
    pub(crate) binding: Option<Box<str>>,
    pub(crate) client_id: Option<Box<str>>,
    pub(crate) tenant_id: Option<Box<str>>,
    pub(crate) token_expiration: Option<Box<str>>,
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
        let marked = of_namespace.and_then(|all| all.marked.get(owner.uid.as_str()));
        self.0.visits.add(marked.map_or(1, Few::len));
        let names = marked.into_iter().flat_map(Few::iter);
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
    if let Some(uid) = &account.bound_by {
        few::add(&mut all.marked, uid.clone(), name.into());
    }
    all.by_name.insert(name.into(), Arc::new(account));
}

fn remove(namespaces: &mut Namespaces, metadata: &ObjectMeta) {
    let Some((namespace, name)) = key(metadata) else { return };
    let Some(all) = namespaces.get_mut(namespace) else {
        return;
    };
    let Some(account) = all.by_name.remove(name) else {
        return;
    };
    if let Some(uid) = &account.bound_by {
        few::take(&mut all.marked, uid.as_ref(), name);
    }
    if all.by_name.is_empty() {
        namespaces.remove(namespace);
    }
}

fn key(metadata: &ObjectMeta) -> Option<(&str, &str)> {
    Some((metadata.namespace.as_deref()?, metadata.name.as_deref()?))
}

// === impl Account ===

impl Account {
    /// What is used of a service account's metadata, after it was cut to what is kept ([`super::kept`]).
    pub(crate) fn of(metadata: &ObjectMeta) -> Self {
        // A lifetime that somebody else wrote was cut off.
        let texts = Texts::of(metadata, true);
        let boxed = |text: Option<&str>| text.map(Box::from);
        Self {
            uid: boxed(texts.uid),
            version: boxed(metadata.resource_version.as_deref()),
            is_going: texts.is_going,
            is_created_by_us: texts.is_created_by_us,
            bound_by: boxed(texts.bound_by),
            binding: boxed(texts.binding),
            client_id: boxed(texts.client_id),
            tenant_id: boxed(texts.tenant_id),
            token_expiration: boxed(texts.token_expiration),
        }
    }

    /// The same, to be read.
    pub(crate) fn texts(&self) -> Texts<'_> {
        Texts {
            uid: self.uid.as_deref(),
            is_going: self.is_going,
            is_created_by_us: self.is_created_by_us,
            bound_by: self.bound_by.as_deref(),
            binding: self.binding.as_deref(),
            client_id: self.client_id.as_deref(),
            tenant_id: self.tenant_id.as_deref(),
            token_expiration: self.token_expiration.as_deref(),
        }
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
