//! What a test does itself, as a user or another controller: past faults, the log and the client.

use std::sync::Arc;
use std::time::Duration;

use kube::Resource;
use kube::core::Status;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout_at};

use super::FakeApiServer;
use super::resource::ResourceType;
use super::rules::key_of;
use super::store::{ObjectKey, Store};
use super::write::{Configuration, DeleteOptions, Part, WriteOptions};

/// The field manager of what tests edit.
pub(super) const USER: &str = "test-user";

pub(super) fn options(manager: &str) -> WriteOptions {
    WriteOptions {
        part: Part::Whole,
        manager: manager.to_owned(),
        dry_run: false,
        strict: false,
    }
}

impl FakeApiServer {
    /// Creates the object as it is given, with its past: UID, generation, timestamps, and status, which no manager owns.
    /// Returns it as stored.
    ///
    /// # Panics
    /// When the server refuses it.
    #[allow(clippy::must_use_candidate, reason = "it is called to create")]
    pub fn seed(&self, object: impl Serialize) -> Value {
        let object = json!(object);
        let created = self.with_object(&object, |store, resource, key| {
            store.create(resource, &key.0, &options(USER), object.clone())
        });
        succeed("seed", &object, created)
    }

    /// Creates a namespace.
    ///
    /// # Panics
    /// When it exists.
    #[allow(clippy::must_use_candidate, reason = "it is called to create")]
    pub fn create_namespace(&self, name: &str) -> Value {
        self.seed(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}))
    }

    /// Server-side apply by the manager; creates the object when it is not there. Status is left alone.
    ///
    /// # Errors
    /// As the API server answers: conflicts with other managers among them.
    pub fn apply_as(&self, manager: &str, object: impl Serialize, force: bool) -> Result<Value, Box<Status>> {
        self.apply_part(Part::Main, manager, &json!(object), force)
    }

    /// Server-side apply by the manager to the status of an object that is there.
    ///
    /// # Errors
    /// As the API server answers: conflicts with other managers among them.
    pub fn apply_status_as(&self, manager: &str, object: impl Serialize, force: bool) -> Result<Value, Box<Status>> {
        self.apply_part(Part::Status, manager, &json!(object), force)
    }

    fn apply_part(&self, part: Part, manager: &str, object: &Value, force: bool) -> Result<Value, Box<Status>> {
        let options = WriteOptions {
            part,
            ..options(manager)
        };
        let applied = self.with_object(object, |store, resource, key| {
            let configuration = Configuration {
                object: object.clone(),
                force,
            };
            store.apply(resource, key, &options, configuration)
        });
        applied.map(|object| (*object).clone())
    }

    /// Changes any part of the object, as a user who replaces it. The namespace is empty for cluster-scoped kinds.
    ///
    /// # Panics
    /// When the object does not exist or the server refuses it.
    pub fn edit<K: Resource<DynamicType = ()>>(
        &self,
        namespace: &str,
        name: &str,
        change: impl FnOnce(&mut Value),
    ) -> Value {
        let edited = self.with::<K, _>(namespace, name, |store, resource, key| {
            let mut object = store
                .get(resource, key)
                .map(|object| (*object).clone())
                .unwrap_or_default();
            change(&mut object);
            store.replace(resource, key, &options(USER), object)
        });
        succeed("edit", &json!({"namespace": namespace, "name": name}), edited)
    }

    /// Deletes the object, which may wait for its finalizers.
    ///
    /// # Panics
    /// When the object does not exist.
    pub fn delete<K: Resource<DynamicType = ()>>(&self, namespace: &str, name: &str) {
        let deleted = self.with::<K, _>(namespace, name, |store, resource, key| {
            store
                .delete(resource, key, &DeleteOptions::default())
                .map(|_| Arc::new(Value::Null))
        });
        succeed("delete", &json!({"namespace": namespace, "name": name}), deleted);
    }

    /// The object as it is, or None.
    ///
    /// # Panics
    /// When it cannot be read as the type.
    #[must_use]
    pub fn get<K: Resource<DynamicType = ()> + DeserializeOwned>(&self, namespace: &str, name: &str) -> Option<K> {
        let object = self.with::<K, _>(namespace, name, |store, resource, key| store.get(resource, key));
        object.map(|object| decode(&object))
    }

    /// The object as JSON, or null.
    #[must_use]
    pub fn get_json<K: Resource<DynamicType = ()>>(&self, namespace: &str, name: &str) -> Value {
        let object = self.with::<K, _>(namespace, name, |store, resource, key| store.get(resource, key));
        object.map(|object| (*object).clone()).unwrap_or_default()
    }

    /// All objects of the kind, by namespace and name.
    ///
    /// # Panics
    /// When one cannot be read as the type.
    #[must_use]
    pub fn list<K: Resource<DynamicType = ()> + DeserializeOwned>(&self) -> Vec<K> {
        self.with::<K, _>("", "", |store, resource, _| {
            store.objects(resource).map(|(_, object)| decode(object)).collect()
        })
    }

    /// All objects of the kind as they are kept, by namespace and name: the same object is the same allocation.
    #[must_use]
    pub fn objects<K: Resource<DynamicType = ()>>(&self) -> Vec<Arc<Value>> {
        self.with::<K, _>("", "", |store, resource, _| {
            store.objects(resource).map(|(_, object)| Arc::clone(object)).collect()
        })
    }

    /// Counts up with each change of the kind, told to watches or lost to them.
    #[must_use]
    pub fn changes_of<K: Resource<DynamicType = ()>>(&self) -> tokio::sync::watch::Receiver<u64> {
        let id = self.with::<K, _>("", "", |_, resource, _| resource.id().clone());
        self.shared.changes_of(&id)
    }

    /// Counts up with each change and at least once with each request.
    #[must_use]
    pub fn activity(&self) -> tokio::sync::watch::Receiver<u64> {
        self.shared.activity.subscribe()
    }

    /// Sets how long the waits below last. Default: five minutes of tokio's time.
    pub fn set_deadline(&self, deadline: Duration) {
        self.shared.lock().deadline = deadline;
    }

    /// Waits until the function, called after each change and each request, returns something.
    ///
    /// # Panics
    /// When it did not before the deadline; the message says what was waited for and what was asked of the server last.
    #[allow(clippy::panic, reason = "it is an assertion")]
    pub async fn wait_until<T>(&self, what: &str, mut condition: impl FnMut(&Self) -> Option<T>) -> T {
        let waited = self.wait(&mut condition).await;
        waited.unwrap_or_else(|| panic!("waited in vain until {what}\n{}", self.last_requests()))
    }

    /// Waits until the object exists and the condition holds for it; returns it.
    ///
    /// # Panics
    /// When it did not before the deadline; the message shows the object as it is.
    #[allow(clippy::panic, reason = "it is an assertion")]
    pub async fn wait_for<K>(&self, namespace: &str, name: &str, mut condition: impl FnMut(&K) -> bool) -> K
    where
        K: Resource<DynamicType = ()> + DeserializeOwned,
    {
        let waited = self
            .wait(&mut |server: &Self| server.get::<K>(namespace, name).filter(|object| condition(object)))
            .await;
        waited.unwrap_or_else(|| {
            let object = self.get_json::<K>(namespace, name);
            let kind = K::kind(&());
            panic!(
                "waited in vain for {kind} {namespace}/{name}; it is {object:#}\n{}",
                self.last_requests()
            )
        })
    }

    /// Waits until the object does not exist.
    ///
    /// # Panics
    /// When it still does at the deadline; the message shows the object as it is.
    #[allow(clippy::panic, reason = "it is an assertion")]
    pub async fn wait_gone<K: Resource<DynamicType = ()>>(&self, namespace: &str, name: &str) {
        let gone = self
            .wait(&mut |server: &Self| server.get_json::<K>(namespace, name).is_null().then_some(()))
            .await;
        if gone.is_none() {
            let object = self.get_json::<K>(namespace, name);
            let kind = K::kind(&());
            panic!(
                "waited in vain for the end of {kind} {namespace}/{name}; it is {object:#}\n{}",
                self.last_requests()
            );
        }
    }

    async fn wait<T>(&self, condition: &mut impl FnMut(&Self) -> Option<T>) -> Option<T> {
        let mut activity = self.shared.activity.subscribe();
        let deadline = Instant::now() + self.shared.lock().deadline;
        loop {
            activity.mark_unchanged();
            if let Some(found) = condition(self) {
                return Some(found);
            }
            if !matches!(timeout_at(deadline, activity.changed()).await, Ok(Ok(()))) {
                return condition(self);
            }
        }
    }

    fn last_requests(&self) -> String {
        let requests = self.requests();
        let last = requests.len().saturating_sub(10);
        let lines: Vec<String> = requests
            .iter()
            .skip(last)
            .map(|request| format!("  {request}"))
            .collect();
        format!("the last requests of {} were:\n{}", requests.len(), lines.join("\n"))
    }

    fn with<K: Resource<DynamicType = ()>, T>(
        &self,
        namespace: &str,
        name: &str,
        act: impl FnOnce(&mut Store, &Arc<ResourceType>, &ObjectKey) -> T,
    ) -> T {
        self.with_type(
            &K::api_version(&()),
            &K::kind(&()),
            &(namespace.to_owned(), name.to_owned()),
            act,
        )
    }

    fn with_object<T>(&self, object: &Value, act: impl FnOnce(&mut Store, &Arc<ResourceType>, &ObjectKey) -> T) -> T {
        let text = |field: &str| object[field].as_str().unwrap_or_default();
        self.with_type(text("apiVersion"), text("kind"), &key_of(object), act)
    }

    #[allow(clippy::panic, reason = "a kind that is not served is a fault of the test")]
    fn with_type<T>(
        &self,
        api_version: &str,
        kind: &str,
        key: &ObjectKey,
        act: impl FnOnce(&mut Store, &Arc<ResourceType>, &ObjectKey) -> T,
    ) -> T {
        let mut state = self.shared.lock();
        let Some(resource) = state.store.by_kind(api_version, kind) else {
            panic!("the server does not serve {kind:?} of {api_version:?}")
        };
        let before = state.store.revision();
        let result = act(&mut state.store, &resource, key);
        let changed = state.store.revision() != before;
        drop(state);
        if changed {
            self.shared.tell_written();
        }
        result
    }
}

#[allow(clippy::panic, reason = "what a test does to the server has to succeed")]
fn succeed(verb: &str, object: &Value, result: Result<Arc<Value>, Box<Status>>) -> Value {
    match result {
        Ok(object) => (*object).clone(),
        Err(status) => panic!("cannot {verb} {object}: {status}"),
    }
}

#[allow(clippy::panic, reason = "an object of the wrong shape is a fault of the test")]
fn decode<K: DeserializeOwned>(object: &Value) -> K {
    serde_json::from_value(object.clone()).unwrap_or_else(|error| panic!("{error} in {object:#}"))
}
