//! The objects, their revisions and the history that watches read.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use k8s_openapi::jiff::Timestamp;
use serde_json::Value;

use super::json::set_metadata;
use super::resource::{ResourceId, ResourceType};

/// Changes of one resource that are kept for watches; older versions are answered with 410, as a real watch cache does.
const HISTORY_PER_RESOURCE: usize = 100_000;
/// Lists whose further pages can still be asked for.
const OPEN_LISTS: usize = 64;

/// The source of timestamps.
pub(crate) type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Namespace and name; the namespace is empty for cluster-scoped resources.
pub(crate) type ObjectKey = (String, String);

/// A change of one object, as watches tell it.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) revision: u64,
    pub(crate) old: Option<Arc<Value>>,
    /// The object after the change; of a deletion, the object as it was last, at the deletion's version.
    pub(crate) new: Arc<Value>,
    pub(crate) deleted: bool,
}

#[derive(Clone, Default)]
struct Table {
    objects: BTreeMap<ObjectKey, Arc<Value>>,
    history: VecDeque<Change>,
    /// The newest revision that fell off the history.
    forgotten: u64,
    /// How many changes from now on watches never hear of.
    to_lose: usize,
}

/// The snapshot of a list that did not fit into one page.
#[derive(Clone)]
struct OpenList {
    id: u64,
    revision: u64,
    objects: Arc<[Arc<Value>]>,
}

/// Everything that a real API server keeps in etcd and in its watch cache. Copies share the objects.
#[derive(Clone)]
pub(crate) struct Store {
    types: Vec<Arc<ResourceType>>,
    tables: BTreeMap<ResourceId, Table>,
    /// The resources of which something was written since that was asked last.
    written: BTreeSet<ResourceId>,
    revision: u64,
    compacted: u64,
    serial: u64,
    open_lists: VecDeque<OpenList>,
    clock: Clock,
}

impl Store {
    pub(crate) fn new(clock: Clock) -> Self {
        Self {
            types: Vec::new(),
            tables: BTreeMap::new(),
            written: BTreeSet::new(),
            revision: 1,
            compacted: 0,
            serial: 0,
            open_lists: VecDeque::new(),
            clock,
        }
    }

    /// The same with another clock.
    pub(crate) fn with_clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Serves the resource; one of the same group and plural is replaced, its objects stay.
    pub(crate) fn register(&mut self, resource: impl Into<Arc<ResourceType>>) {
        let resource = resource.into();
        self.types.retain(|other| other.id() != resource.id());
        self.tables.entry(resource.id().clone()).or_default();
        self.types.push(resource);
    }

    pub(crate) fn types(&self) -> &[Arc<ResourceType>] {
        &self.types
    }

    pub(crate) fn by_path(&self, group: &str, version: &str, plural: &str) -> Option<Arc<ResourceType>> {
        let found = self
            .types
            .iter()
            .find(|t| t.group == group && t.version == version && t.plural == plural);
        found.cloned()
    }

    pub(crate) fn by_kind(&self, api_version: &str, kind: &str) -> Option<Arc<ResourceType>> {
        self.types
            .iter()
            .find(|t| t.kind == kind && t.api_version() == api_version)
            .cloned()
    }

    pub(crate) fn revision(&self) -> u64 {
        self.revision
    }

    pub(crate) fn now(&self) -> String {
        self.stamp(self.time().as_second())
    }

    pub(crate) fn time(&self) -> Timestamp {
        (self.clock)()
    }

    /// A second as objects have it.
    pub(crate) fn stamp(&self, second: i64) -> String {
        Timestamp::from_second(second)
            .unwrap_or_else(|_| self.time())
            .to_string()
    }

    /// A number that was never given out before.
    pub(crate) fn next_serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    pub(crate) fn get(&self, resource: &ResourceType, key: &ObjectKey) -> Option<Arc<Value>> {
        self.tables.get(resource.id())?.objects.get(key).cloned()
    }

    /// The objects of the resource, by namespace and name.
    pub(crate) fn objects(&self, resource: &ResourceType) -> impl Iterator<Item = (&ObjectKey, &Arc<Value>)> {
        self.tables
            .get(resource.id())
            .into_iter()
            .flat_map(|table| &table.objects)
    }

    /// Stores the object at the next revision.
    pub(crate) fn put(&mut self, resource: &ResourceType, key: ObjectKey, object: Value) -> Arc<Value> {
        let object = self.stamped(object);
        let old = self.table(resource).objects.insert(key, Arc::clone(&object));
        self.record(resource, old, Arc::clone(&object), false);
        object
    }

    /// Removes the object; `last` is what it was in the end.
    pub(crate) fn remove(&mut self, resource: &ResourceType, key: &ObjectKey, last: Value) -> Arc<Value> {
        let last = self.stamped(last);
        let old = self.table(resource).objects.remove(key);
        self.record(resource, old, Arc::clone(&last), true);
        last
    }

    fn stamped(&mut self, mut object: Value) -> Arc<Value> {
        self.revision += 1;
        stamp(&mut object, self.revision);
        Arc::new(object)
    }

    fn record(&mut self, resource: &ResourceType, old: Option<Arc<Value>>, new: Arc<Value>, deleted: bool) {
        let revision = self.revision;
        if !self.written.contains(resource.id()) {
            self.written.insert(resource.id().clone());
        }
        let table = self.table(resource);
        if table.to_lose > 0 {
            table.to_lose -= 1;
            return;
        }
        table.history.push_back(Change {
            revision,
            old,
            new,
            deleted,
        });
        if table.history.len() > HISTORY_PER_RESOURCE {
            table.forgotten = table.history.pop_front().map_or(0, |change| change.revision);
        }
    }

    /// The resources of which something was written since this was asked last.
    pub(crate) fn take_written(&mut self) -> BTreeSet<ResourceId> {
        std::mem::take(&mut self.written)
    }

    fn table(&mut self, resource: &ResourceType) -> &mut Table {
        self.tables.entry(resource.id().clone()).or_default()
    }

    /// The changes after the revision, or None when some of them are forgotten.
    pub(crate) fn changes_after(&self, id: &ResourceId, revision: u64) -> Option<impl Iterator<Item = &Change>> {
        let table = self.tables.get(id)?;
        if revision < table.forgotten {
            return None;
        }
        let start = table.history.partition_point(|change| change.revision <= revision);
        Some(table.history.range(start..))
    }

    pub(crate) fn lose(&mut self, id: &ResourceId, changes: usize) {
        self.tables.entry(id.clone()).or_default().to_lose = changes;
    }

    /// Forgets all versions but the present one: watches cannot start and lists cannot go on from older ones.
    pub(crate) fn compact(&mut self) {
        self.compacted = self.revision;
        self.open_lists.clear();
    }

    pub(crate) fn compacted(&self) -> u64 {
        self.compacted
    }

    /// Keeps the objects of a list for its further pages; returns the list's id.
    pub(crate) fn open_list(&mut self, objects: Arc<[Arc<Value>]>) -> u64 {
        let id = self.next_serial();
        self.open_lists.push_back(OpenList {
            id,
            revision: self.revision,
            objects,
        });
        if self.open_lists.len() > OPEN_LISTS {
            self.open_lists.pop_front();
        }
        id
    }

    /// The revision and objects of an open list.
    pub(crate) fn opened_list(&self, id: u64) -> Option<(u64, Arc<[Arc<Value>]>)> {
        let list = self.open_lists.iter().find(|list| list.id == id)?;
        Some((list.revision, Arc::clone(&list.objects)))
    }
}

/// Writes the resource version into the object.
pub(crate) fn stamp(object: &mut Value, revision: u64) {
    set_metadata(object, "resourceVersion", Value::String(revision.to_string()));
}
