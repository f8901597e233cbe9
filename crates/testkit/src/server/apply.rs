//! Server-side apply and field managers.
//! See <https://kubernetes.io/docs/reference/using-api/server-side-apply/>.

use serde_json::{Map, Value, json};

use super::fields::{Comparison, FieldSet, Lists, Path, Segment, display};
use super::json::{is_empty, metadata, set_metadata, unset_metadata};

/// Metadata that the server keeps and no manager owns.
const UNOWNED_METADATA: [&str; 10] = [
    "name",
    "namespace",
    "creationTimestamp",
    "selfLink",
    "uid",
    "generation",
    "managedFields",
    "resourceVersion",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
];

/// Who writes, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ManagerId {
    pub(crate) name: String,
    /// Server-side apply; otherwise create, replace or patch.
    pub(crate) applies: bool,
    pub(crate) subresource: String,
    pub(crate) api_version: String,
}

/// A write by a manager.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Writer<'a> {
    pub(crate) id: &'a ManagerId,
    pub(crate) lists: &'a Lists,
    /// When it writes.
    pub(crate) time: &'a str,
}

impl ManagerId {
    fn same_as(&self, other: &Self) -> bool {
        // An applier keeps its identity across API versions.
        self.name == other.name
            && self.applies == other.applies
            && self.subresource == other.subresource
            && (self.applies || self.api_version == other.api_version)
    }

    /// As conflict messages name it; only appliers go without the version.
    fn describe(&self) -> String {
        let mut text = format!("{:?}", self.name);
        if !self.subresource.is_empty() {
            text = format!("{text} with subresource {:?}", self.subresource);
        }
        if self.applies {
            text
        } else {
            format!("{text} using {}", self.api_version)
        }
    }
}

/// An entry of `metadata.managedFields`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Manager {
    id: ManagerId,
    time: String,
    fields: FieldSet,
}

/// The managers of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Managers(Vec<Manager>);

/// A field that another manager holds with another value.
#[derive(Debug)]
pub(crate) struct Conflict {
    manager: String,
    path: Path,
}

impl Conflict {
    /// As `details.causes` has it.
    pub(crate) fn message(&self) -> String {
        format!("conflict with {}", self.manager)
    }

    pub(crate) fn field(&self) -> String {
        display(&self.path)
    }
}

/// Why an apply was refused.
#[derive(Debug)]
pub(crate) enum Refusal {
    Conflicts(Vec<Conflict>),
    Malformed(String),
}

impl Managers {
    pub(crate) fn of(object: &Value) -> Self {
        let entries = metadata(object, "managedFields").as_array().into_iter().flatten();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Self(
            entries
                .map(|entry| Manager {
                    id: ManagerId {
                        name: text(&entry["manager"]),
                        applies: entry["operation"] == "Apply",
                        subresource: text(&entry["subresource"]),
                        api_version: text(&entry["apiVersion"]),
                    },
                    time: text(&entry["time"]),
                    fields: FieldSet::decode(&entry["fieldsV1"]),
                })
                .collect(),
        )
    }

    /// Writes the managers into the object.
    pub(crate) fn store_in(mut self, object: &mut Value) {
        self.0.retain(|manager| !manager.fields.is_empty());
        self.0
            .sort_by(|a, b| (!a.id.applies, &a.time, &a.id.name).cmp(&(!b.id.applies, &b.time, &b.id.name)));
        let entries: Vec<Value> = self.0.iter().map(encode_manager).collect();
        if entries.is_empty() {
            unset_metadata(object, "managedFields");
        } else {
            set_metadata(object, "managedFields", Value::Array(entries));
        }
    }

    fn fields(&self, id: &ManagerId) -> FieldSet {
        self.0
            .iter()
            .find(|manager| manager.id.same_as(id))
            .map(|manager| manager.fields.clone())
            .unwrap_or_default()
    }

    fn others(&self, id: &ManagerId) -> impl Iterator<Item = &Manager> {
        self.0.iter().filter(move |manager| !manager.id.same_as(id))
    }

    /// Takes from every other manager what was written or removed.
    fn take_from_others(&mut self, id: &ManagerId, comparison: &Comparison) {
        for manager in self.0.iter_mut().filter(|manager| !manager.id.same_as(id)) {
            let fields = &mut manager.fields.0;
            for path in comparison.written() {
                fields.remove(path);
            }
            fields.retain(|path| !removed(path, comparison));
        }
    }

    fn set(&mut self, id: &ManagerId, fields: FieldSet, time: &str) {
        if let Some(manager) = self.0.iter_mut().find(|manager| manager.id.same_as(id)) {
            manager.id = id.clone();
            manager.fields = fields;
            time.clone_into(&mut manager.time);
        } else {
            self.0.push(Manager {
                id: id.clone(),
                time: time.to_owned(),
                fields,
            });
        }
    }

    /// The managers after a create, replace or patch that made `new` of `old`.
    pub(crate) fn after_update(&self, writer: Writer<'_>, old: &Value, new: &Value) -> Self {
        let Writer { id, lists, time } = writer;
        let comparison = Comparison::between(&owned_part(old), &owned_part(new), lists);
        let mut managers = self.clone();
        managers.take_from_others(id, &comparison);
        let before = managers.fields(id);
        let mut fields = before.clone();
        fields.0.retain(|path| !removed(path, &comparison));
        fields.0.extend(comparison.written().cloned());
        if fields != before || comparison.written().next().is_some() {
            managers.set(id, fields, time);
        }
        managers
    }
}

fn removed(path: &[Segment], comparison: &Comparison) -> bool {
    (1..=path.len()).any(|length| {
        path.get(..length)
            .is_some_and(|prefix| comparison.removed.contains(prefix))
    })
}

fn encode_manager(manager: &Manager) -> Value {
    let mut entry = json!({
        "manager": manager.id.name,
        "operation": if manager.id.applies { "Apply" } else { "Update" },
        "apiVersion": manager.id.api_version,
        "time": manager.time,
        "fieldsType": "FieldsV1",
        "fieldsV1": manager.fields.encode(),
    });
    if let Some(entry) = entry.as_object_mut().filter(|_| !manager.id.subresource.is_empty()) {
        entry.insert("subresource".to_owned(), Value::String(manager.id.subresource.clone()));
    }
    entry
}

/// The object without what no manager can own.
pub(crate) fn owned_part(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(root) = object.as_object_mut() {
        root.remove("apiVersion");
        root.remove("kind");
        if let Some(metadata) = root.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.retain(|name, _| !UNOWNED_METADATA.contains(&name.as_str()));
            if metadata.is_empty() {
                root.remove("metadata");
            }
        }
    }
    object
}

/// Applies the configuration to the live object: merges it, removes what this manager applied before and does not any
/// more, and keeps the managers.
///
/// # Errors
/// Conflicts with other managers when `force` is not set; a configuration whose list maps are malformed.
pub(crate) fn apply(live: &Value, config: &Value, writer: Writer<'_>, force: bool) -> Result<Value, Refusal> {
    let Writer { id, lists, time } = writer;
    let mut config = owned_part(config);
    drop_nulls(&mut config);
    let fields = FieldSet::of(&config, lists)
        .map_err(|error| Refusal::Malformed(format!("failed to create typed patch object: {error}")))?;
    let mut managers = Managers::of(live);
    let before = managers.fields(id);

    let mut object = live.clone();
    merge(&mut object, &config, lists, &mut Vec::new());
    let owned = |path: &[Segment]| fields.contains(path) || managers.others(id).any(|m| m.fields.contains(path));
    for path in before.0.difference(&fields.0).filter(|path| !names_its_item(path)) {
        let wanted = fields.reaches_into(path) || managers.others(id).any(|m| m.fields.reaches_into(path));
        if !wanted {
            remove(&mut object, path, &owned, lists, &mut Vec::new());
        }
    }

    let comparison = Comparison::between(&owned_part(live), &owned_part(&object), lists);
    let mut conflicts: Vec<Conflict> = Vec::new();
    for other in managers.others(id) {
        let held = comparison.written().filter(|path| other.fields.contains(path));
        conflicts.extend(held.map(|path| Conflict {
            manager: other.id.describe(),
            path: path.clone(),
        }));
    }
    if !force && !conflicts.is_empty() {
        return Err(Refusal::Conflicts(conflicts));
    }
    managers.take_from_others(id, &comparison);
    let changed = owned_part(live) != owned_part(&object);
    if changed || fields != before {
        managers.set(id, fields, time);
    }
    managers.store_in(&mut object);
    Ok(object)
}

/// Whether the field is one of the keys of the list item that it is in: it goes only with the item.
fn names_its_item(path: &[Segment]) -> bool {
    let [.., Segment::Key(keys), Segment::Field(name)] = path else {
        return false;
    };
    serde_json::from_str::<Map<String, Value>>(keys).is_ok_and(|keys| keys.contains_key(name))
}

fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, value| !value.is_null());
            map.values_mut().for_each(drop_nulls);
        }
        Value::Array(list) => list.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

/// Merges maps and non-atomic lists, replaces all else.
fn merge(live: &mut Value, config: &Value, lists: &Lists, path: &mut Path) {
    match (&mut *live, config) {
        (Value::Object(live), Value::Object(config)) => {
            for (name, value) in config {
                path.push(Segment::Field(name.clone()));
                merge(live.entry(name.clone()).or_insert(Value::Null), value, lists, path);
                path.pop();
            }
        }
        (Value::Array(old), Value::Array(new)) => {
            let merged = match (lists.items(path, old), lists.items(path, new)) {
                (Ok(Some(old)), Ok(Some(new))) => merge_items(&old, &new, lists, path),
                _ => new.clone(),
            };
            *old = merged;
        }
        (live, Value::Object(config)) => {
            *live = Value::Object(Map::new());
            merge(live, &Value::Object(config.clone()), lists, path);
        }
        (live, config) => *live = config.clone(),
    }
}

/// The new items in their order, and the old ones that are not among them where they stood: after what stood before.
fn merge_items(old: &[(Segment, &Value)], new: &[(Segment, &Value)], lists: &Lists, path: &mut Path) -> Vec<Value> {
    let find = |items: &[(Segment, &Value)], segment: &Segment| items.iter().position(|(other, _)| other == segment);
    let mut merged = Vec::new();
    let mut taken = 0;
    let mut take_until = |end: usize, merged: &mut Vec<Value>| {
        for (segment, value) in new.get(taken..end).unwrap_or_default() {
            let mut item = find(old, segment)
                .and_then(|at| old.get(at))
                .map(|(_, value)| (*value).clone());
            path.push(segment.clone());
            merge(item.get_or_insert(Value::Null), value, lists, path);
            path.pop();
            merged.extend(item);
        }
        taken = taken.max(end);
        new.get(taken..)
            .unwrap_or_default()
            .iter()
            .find(|(segment, _)| find(old, segment).is_some())
    };
    let mut next_common = take_until(0, &mut merged);
    for (segment, value) in old {
        match find(new, segment) {
            None => merged.push((*value).clone()),
            Some(at) if next_common.is_some_and(|(next, _)| next == segment) => {
                next_common = take_until(at + 1, &mut merged);
            }
            Some(_) => {}
        }
    }
    take_until(new.len(), &mut merged);
    merged
}

/// Removes the field, and what it leaves empty above it unless somebody owns that.
fn remove(value: &mut Value, path: &[Segment], owned: &impl Fn(&[Segment]) -> bool, lists: &Lists, above: &mut Path) {
    let Some((head, rest)) = path.split_first() else { return };
    let position = match (&*value, head) {
        (Value::Array(list), _) => {
            let items = lists.items(above, list).ok().flatten().unwrap_or_default();
            items.iter().position(|(segment, _)| segment == head)
        }
        _ => None,
    };
    let child = match (&mut *value, head) {
        (Value::Object(map), Segment::Field(name)) => map.get_mut(name),
        (Value::Array(list), _) => position.and_then(|position| list.get_mut(position)),
        _ => None,
    };
    let Some(child) = child else { return };
    above.push(head.clone());
    let gone = if rest.is_empty() {
        // A map that others have filled stays.
        !matches!((&*child, head), (Value::Object(map), Segment::Field(_)) if !map.is_empty())
    } else {
        remove(child, rest, owned, lists, above);
        is_empty(child) && !owned(above)
    };
    above.pop();
    if gone {
        match (value, head) {
            (Value::Object(map), Segment::Field(name)) => {
                map.remove(name);
            }
            (Value::Array(list), _) => {
                if let Some(position) = position {
                    list.remove(position);
                }
            }
            _ => {}
        }
    }
}
