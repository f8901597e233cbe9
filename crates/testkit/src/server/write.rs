//! Creating, replacing, patching, applying and deleting objects by the API server's rules.
//! See <https://kubernetes.io/docs/reference/using-api/api-concepts/> and the API conventions on metadata.

use std::sync::Arc;

use serde_json::{Value, json};

use super::answer::{self, Answer};
use super::apply::{self, Managers, Refusal, Writer};
use super::json::{is_empty, metadata, set, set_metadata, text, texts, unset_metadata};
use super::patch::Patch;
use super::resource::ResourceType;
use super::rules::{
    SERVER_METADATA, check_address, check_declared, check_preconditions, check_type, equal_but_for_times,
    has_finalizers, is_namespace, isolate, isolate_update, keep_server_metadata, key_of, manager_id, raise_generation,
    same_spec, shape,
};
use super::store::{ObjectKey, Store};

/// Which part of an object a write reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// All but status, where status is a subresource.
    Main,
    Status,
    /// Everything: what a test does behind the server's back.
    Whole,
}

/// How a write is made.
#[derive(Clone, Debug)]
pub(crate) struct WriteOptions {
    pub(crate) part: Part,
    pub(crate) manager: String,
    pub(crate) dry_run: bool,
    /// Unknown fields are refused instead of pruned.
    pub(crate) strict: bool,
}

/// A configuration to be applied.
#[derive(Clone, Debug)]
pub(crate) struct Configuration {
    pub(crate) object: Value,
    /// Fields are taken from the managers that hold them.
    pub(crate) force: bool,
}

/// An object as it stands before a write.
#[derive(Clone, Copy)]
struct Standing<'a> {
    resource: &'a Arc<ResourceType>,
    key: &'a ObjectKey,
    object: &'a Arc<Value>,
}

/// Conditions of a deletion.
#[derive(Clone, Debug, Default)]
pub(crate) struct DeleteOptions {
    pub(crate) uid: Option<String>,
    pub(crate) resource_version: Option<String>,
    pub(crate) dry_run: bool,
}

/// What a deletion did.
pub(crate) enum Deletion {
    /// The object is gone; this is what it was.
    Done(Arc<Value>),
    /// The object waits for its finalizers.
    Waits(Arc<Value>),
}

impl Store {
    /// # Errors
    /// As the API server answers.
    pub(crate) fn create(
        &mut self,
        resource: &Arc<ResourceType>,
        namespace: &str,
        options: &WriteOptions,
        object: Value,
    ) -> Answer<Arc<Value>> {
        if text(&object, "resourceVersion").is_some() {
            return Err(answer::internal(
                "resourceVersion should not be set on objects to be created",
            ));
        }
        let mut object = object;
        self.prepare_new(resource, namespace, options.part, &mut object)?;
        shape(resource, options, &mut object)?;
        let id = manager_id(resource, options, false);
        // Status is not of this write: a default or seeded one is nobody's.
        let mut written = object.clone();
        if let Some(written) = written.as_object_mut().filter(|_| resource.status) {
            written.remove("status");
        }
        let writer = Writer {
            id: &id,
            lists: &resource.lists,
            time: &self.now(),
        };
        let managers = Managers::default().after_update(writer, &json!({}), &written);
        managers.store_in(&mut object);
        Ok(self.store_new(resource, options, object))
    }

    /// # Errors
    /// As the API server answers.
    pub(crate) fn replace(
        &mut self,
        resource: &Arc<ResourceType>,
        key: &ObjectKey,
        options: &WriteOptions,
        object: Value,
    ) -> Answer<Arc<Value>> {
        check_address(resource, key, &object)?;
        let old = &self.existing(resource, key)?;
        if text(&object, "resourceVersion").is_none() && !resource.unconditional_update {
            let why = "Invalid value: 0x0: must be specified for an update";
            return Err(answer::invalid(
                resource,
                &key.1,
                "FieldValueInvalid",
                "metadata.resourceVersion",
                why,
            ));
        }
        let standing = Standing {
            resource,
            key,
            object: old,
        };
        self.update(standing, options, object)
    }

    /// # Errors
    /// As the API server answers.
    pub(crate) fn patch(
        &mut self,
        resource: &Arc<ResourceType>,
        key: &ObjectKey,
        options: &WriteOptions,
        patch: &Patch,
    ) -> Answer<Arc<Value>> {
        let old = &self.existing(resource, key)?;
        let object = patch.apply_to(old)?;
        let standing = Standing {
            resource,
            key,
            object: old,
        };
        self.update(standing, options, object)
    }

    /// # Errors
    /// As the API server answers.
    pub(crate) fn apply(
        &mut self,
        resource: &Arc<ResourceType>,
        key: &ObjectKey,
        options: &WriteOptions,
        configuration: Configuration,
    ) -> Answer<Arc<Value>> {
        let Configuration {
            object: mut config,
            force,
        } = configuration;
        check_type(resource, &config)?;
        check_address(resource, key, &config)?;
        if !is_empty(metadata(&config, "managedFields")) {
            return Err(answer::bad_request("metadata.managedFields must be nil"));
        }
        check_declared(resource, key, &config)?;
        let id = manager_id(resource, options, true);
        isolate(resource, options.part, &mut config);
        let refused = |refusal| match refusal {
            Refusal::Conflicts(conflicts) => answer::apply_conflict(&conflicts),
            Refusal::Malformed(why) => answer::internal(&why),
        };
        let writer = Writer {
            id: &id,
            lists: &resource.lists,
            time: &self.now(),
        };
        let Some(old) = self.get(resource, key) else {
            if options.part == Part::Status {
                return Err(answer::not_found(resource, &key.1));
            }
            if let Some(uid) = text(&config, "uid") {
                let why =
                    format!("uid mismatch: the provided object specified uid {uid}, and no existing object was found");
                return Err(answer::conflict(resource, &key.1, &why));
            }
            let empty =
                json!({"apiVersion": resource.api_version(), "kind": resource.kind, "metadata": {"name": key.1}});
            let mut object = apply::apply(&empty, &config, writer, force).map_err(refused)?;
            self.prepare_new(resource, &key.0, options.part, &mut object)?;
            shape(resource, options, &mut object)?;
            return Ok(self.store_new(resource, options, object));
        };
        check_preconditions(
            resource,
            &key.1,
            &old,
            text(&config, "uid"),
            text(&config, "resourceVersion"),
        )?;
        let object = apply::apply(&old, &config, writer, force).map_err(refused)?;
        let standing = Standing {
            resource,
            key,
            object: &old,
        };
        self.finish(standing, options, object)
    }

    /// # Errors
    /// As the API server answers.
    pub(crate) fn delete(
        &mut self,
        resource: &Arc<ResourceType>,
        key: &ObjectKey,
        options: &DeleteOptions,
    ) -> Answer<Deletion> {
        let old = self.existing(resource, key)?;
        let (uid, version) = (options.uid.as_deref(), options.resource_version.as_deref());
        check_preconditions(resource, &key.1, &old, uid, version)?;
        let waits = has_finalizers(&old) || (is_namespace(resource) && self.has_contents(&key.1));
        if options.dry_run {
            return Ok(if waits {
                Deletion::Waits(old)
            } else {
                Deletion::Done(old)
            });
        }
        if !waits {
            return Ok(Deletion::Done(self.remove_now(resource, key, (*old).clone())));
        }
        if text(&old, "deletionTimestamp").is_some() {
            return Ok(Deletion::Waits(old));
        }
        let mut object = (*old).clone();
        let now = self.now();
        set_metadata(&mut object, "deletionTimestamp", Value::String(now));
        set_metadata(&mut object, "deletionGracePeriodSeconds", json!(0));
        raise_generation(&mut object);
        if is_namespace(resource) {
            set(&mut object, "status", json!({"phase": "Terminating"}));
        }
        let object = self.put(resource, key.clone(), object);
        if is_namespace(resource) {
            self.empty_namespace(&key.1)?;
        }
        Ok(Deletion::Waits(object))
    }

    /// What the namespace controller does: deletes everything in the namespace, which goes when the last object went.
    fn empty_namespace(&mut self, namespace: &str) -> Answer<()> {
        for resource in self.types().to_vec() {
            let keys: Vec<ObjectKey> = self
                .objects(&resource)
                .map(|(key, _)| key)
                .filter(|key| key.0 == namespace)
                .cloned()
                .collect();
            for key in keys {
                self.delete(&resource, &key, &DeleteOptions::default())?;
            }
        }
        Ok(())
    }

    fn has_contents(&self, namespace: &str) -> bool {
        self.types()
            .iter()
            .any(|resource| self.objects(resource).any(|(key, _)| key.0 == namespace))
    }

    /// Removes the object, and its namespace when that only waited for it.
    fn remove_now(&mut self, resource: &Arc<ResourceType>, key: &ObjectKey, last: Value) -> Arc<Value> {
        let last = self.remove(resource, key, last);
        if resource.namespaced
            && let Some((namespaces, namespace)) = self.namespace(&key.0)
            && text(&namespace, "deletionTimestamp").is_some()
            && !has_finalizers(&namespace)
            && !self.has_contents(&key.0)
        {
            self.remove(&namespaces, &(String::new(), key.0.clone()), (*namespace).clone());
        }
        last
    }

    fn namespace(&self, name: &str) -> Option<(Arc<ResourceType>, Arc<Value>)> {
        let namespaces = self.by_path("", "v1", "namespaces")?;
        let namespace = self.get(&namespaces, &(String::new(), name.to_owned()))?;
        Some((namespaces, namespace))
    }

    fn existing(&self, resource: &ResourceType, key: &ObjectKey) -> Answer<Arc<Value>> {
        self.get(resource, key)
            .ok_or_else(|| answer::not_found(resource, &key.1))
    }

    /// Checks the object's type, address and namespace and sets the metadata that the server sets.
    fn prepare_new(
        &mut self,
        resource: &Arc<ResourceType>,
        namespace: &str,
        part: Part,
        object: &mut Value,
    ) -> Answer<()> {
        check_type(resource, object)?;
        set(object, "apiVersion", Value::String(resource.api_version().to_owned()));
        set(object, "kind", Value::String(resource.kind.clone()));
        if text(object, "name").is_none() {
            let prefix = text(object, "generateName").map(str::to_owned);
            let Some(prefix) = prefix else {
                let why = "Required value: name or generateName is required";
                return Err(answer::invalid(
                    resource,
                    "",
                    "FieldValueRequired",
                    "metadata.name",
                    why,
                ));
            };
            let suffix = self.next_serial();
            set_metadata(object, "name", Value::String(format!("{prefix}{suffix:05}")));
        }
        let name = text(object, "name").unwrap_or_default().to_owned();
        check_address(resource, &(namespace.to_owned(), name.clone()), object)?;
        if self.get(resource, &(namespace.to_owned(), name.clone())).is_some() {
            return Err(answer::already_exists(resource, &name));
        }
        if resource.namespaced {
            let Some((namespaces, found)) = self.namespace(namespace) else {
                let namespaces = self
                    .by_path("", "v1", "namespaces")
                    .ok_or_else(answer::path_not_found)?;
                return Err(answer::not_found(&namespaces, namespace));
            };
            if text(&found, "deletionTimestamp").is_some() && !Arc::ptr_eq(&namespaces, resource) {
                return Err(answer::terminating(resource, &name, namespace));
            }
            set_metadata(object, "namespace", Value::String(namespace.to_owned()));
        }
        // A seeded object may have a past; what a client says about it does not count.
        if part != Part::Whole {
            for field in SERVER_METADATA
                .iter()
                .filter(|field| !["name", "namespace"].contains(field))
            {
                unset_metadata(object, field);
            }
        }
        if text(object, "uid").is_none() {
            let uid = format!("00000000-0000-4000-8000-{:012x}", self.next_serial());
            set_metadata(object, "uid", Value::String(uid));
        }
        if text(object, "creationTimestamp").is_none() {
            let now = self.now();
            set_metadata(object, "creationTimestamp", Value::String(now));
        }
        if resource.generation && metadata(object, "generation").is_null() {
            set_metadata(object, "generation", json!(1));
        }
        isolate(resource, part, object);
        if is_namespace(resource) {
            set(object, "status", json!({"phase": "Active"}));
        }
        Ok(())
    }

    fn store_new(&mut self, resource: &Arc<ResourceType>, options: &WriteOptions, object: Value) -> Arc<Value> {
        if options.dry_run {
            return Arc::new(object);
        }
        let key = key_of(&object);
        self.put(resource, key, object)
    }

    /// A write by something else than apply: the managers follow from the difference.
    fn update(&mut self, standing: Standing<'_>, options: &WriteOptions, mut object: Value) -> Answer<Arc<Value>> {
        let Standing {
            resource,
            key,
            object: old,
        } = standing;
        check_type(resource, &object)?;
        check_preconditions(
            resource,
            &key.1,
            old,
            text(&object, "uid"),
            text(&object, "resourceVersion"),
        )?;
        keep_server_metadata(old, &mut object);
        isolate_update(resource, options.part, old, &mut object);
        shape(resource, options, &mut object)?;
        let id = manager_id(resource, options, false);
        let writer = Writer {
            id: &id,
            lists: &resource.lists,
            time: &self.now(),
        };
        let managers = Managers::of(old).after_update(writer, old, &object);
        managers.store_in(&mut object);
        self.finish(standing, options, object)
    }

    /// The end of every write to an object that exists.
    fn finish(&mut self, standing: Standing<'_>, options: &WriteOptions, mut object: Value) -> Answer<Arc<Value>> {
        let Standing {
            resource,
            key,
            object: old,
        } = standing;
        keep_server_metadata(old, &mut object);
        isolate_update(resource, options.part, old, &mut object);
        shape(resource, options, &mut object)?;
        let deleting = text(old, "deletionTimestamp").is_some();
        if deleting {
            let before = texts(old, "finalizers");
            if let Some(new) = texts(&object, "finalizers")
                .into_iter()
                .find(|name| !before.contains(name))
            {
                let why = format!(
                    "Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string{{{new:?}}}"
                );
                return Err(answer::invalid(
                    resource,
                    &key.1,
                    "FieldValueForbidden",
                    "metadata.finalizers",
                    &why,
                ));
            }
        }
        if resource.generation && !same_spec(old, &object) {
            raise_generation(&mut object);
        }
        if object == **old || equal_but_for_times(old, &object) {
            return Ok(Arc::clone(old));
        }
        if options.dry_run {
            return Ok(Arc::new(object));
        }
        if deleting && !has_finalizers(&object) && !(is_namespace(resource) && self.has_contents(&key.1)) {
            return Ok(self.remove_now(resource, key, object));
        }
        Ok(self.put(resource, key.clone(), object))
    }
}
