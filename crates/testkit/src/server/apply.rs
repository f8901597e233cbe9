//! Server-side apply and field managers.
//! See <https://kubernetes.io/docs/reference/using-api/server-side-apply/>.

use serde_json::{Map, Value};

use super::fields::{Comparison, FieldSet, Lists, Path, Segment, display, owned_part, same_owned};
use super::json::{is_empty, metadata, set_metadata, unset_metadata};

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
    /// The fields in the form `fieldsV1`, as long as they are as they were read.
    encoded: Option<Value>,
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
                    encoded: entry.get("fieldsV1").cloned(),
                })
                .collect(),
        )
    }

    /// Writes the managers into the object.
    pub(crate) fn store_in(mut self, object: &mut Value) {
        self.0.retain(|manager| !manager.fields.is_empty());
        self.0
            .sort_by(|a, b| (!a.id.applies, &a.time, &a.id.name).cmp(&(!b.id.applies, &b.time, &b.id.name)));
        let entries: Vec<Value> = self.0.into_iter().map(encode_manager).collect();
        if entries.is_empty() {
            unset_metadata(object, "managedFields");
        } else {
            set_metadata(object, "managedFields", Value::Array(entries));
        }
    }

    fn fields(&self, id: &ManagerId) -> FieldSet {
        let mut same = self.0.iter().filter(|manager| manager.id.same_as(id));
        same.next().map(|manager| manager.fields.clone()).unwrap_or_default()
    }

    /// The manager, made when it is not there: one without fields is not kept.
    fn entry(&mut self, id: &ManagerId) -> Option<&mut Manager> {
        let at = self.0.iter().position(|manager| manager.id.same_as(id));
        if at.is_none() {
            self.0.push(Manager {
                id: id.clone(),
                time: String::new(),
                fields: FieldSet::default(),
                encoded: None,
            });
        }
        at.map_or_else(|| self.0.len().checked_sub(1), Some)
            .and_then(|at| self.0.get_mut(at))
    }

    fn others(&self, id: &ManagerId) -> impl Iterator<Item = &Manager> {
        self.0.iter().filter(move |manager| !manager.id.same_as(id))
    }

    /// Takes from every other manager what was written or removed.
    fn take_from_others(&mut self, id: &ManagerId, comparison: &Comparison) {
        for manager in self.0.iter_mut().filter(|manager| !manager.id.same_as(id)) {
            let fields = &mut manager.fields.0;
            let before = fields.len();
            for path in comparison.written() {
                fields.remove(path);
            }
            drop_removed(&mut manager.fields, comparison);
            if manager.fields.0.len() != before {
                manager.encoded = None;
            }
        }
    }

    fn set(&mut self, id: &ManagerId, fields: FieldSet, time: &str) {
        if let Some(manager) = self.entry(id) {
            manager.id = id.clone();
            manager.fields = fields;
            manager.encoded = None;
            time.clone_into(&mut manager.time);
        }
    }

    /// The managers after a create, replace or patch that made `new` of `old`.
    pub(crate) fn after_update(mut self, writer: Writer<'_>, old: &Value, new: &Value) -> Self {
        let Writer { id, lists, time } = writer;
        let comparison = Comparison::between(old, new, lists);
        self.take_from_others(id, &comparison);
        if let Some(manager) = self.entry(id) {
            let before = manager.fields.0.len();
            drop_removed(&mut manager.fields, &comparison);
            let mut changed = manager.fields.0.len() != before;
            let mut wrote = false;
            for path in comparison.written() {
                wrote = true;
                changed |= manager.fields.0.insert(path.clone());
            }
            if changed {
                manager.encoded = None;
            }
            if changed || wrote {
                manager.id = id.clone();
                time.clone_into(&mut manager.time);
            }
        }
        self
    }
}

fn drop_removed(fields: &mut FieldSet, comparison: &Comparison) {
    if !comparison.removed.is_empty() {
        fields.0.retain(|path| !removed(path, comparison));
    }
}

fn removed(path: &[Segment], comparison: &Comparison) -> bool {
    (1..=path.len()).any(|length| {
        path.get(..length)
            .is_some_and(|prefix| comparison.removed.contains(prefix))
    })
}

fn encode_manager(manager: Manager) -> Value {
    let fields = manager.encoded.unwrap_or_else(|| manager.fields.encode());
    let mut entry = Map::new();
    let mut say = |name: &str, value: String| entry.insert(name.to_owned(), Value::String(value));
    say(
        "operation",
        if manager.id.applies { "Apply" } else { "Update" }.to_owned(),
    );
    say("manager", manager.id.name);
    say("apiVersion", manager.id.api_version);
    say("time", manager.time);
    say("fieldsType", "FieldsV1".to_owned());
    if !manager.id.subresource.is_empty() {
        say("subresource", manager.id.subresource);
    }
    entry.insert("fieldsV1".to_owned(), fields);
    Value::Object(entry)
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

    let comparison = Comparison::between(live, &object, lists);
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
    if fields != before || !same_owned(live, &object) {
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
    serde_json::from_str::<Map<String, Value>>(keys).is_ok_and(|keys| keys.contains_key(&**name))
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
                path.push(Segment::Field(name.as_str().into()));
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
        (Value::Object(map), Segment::Field(name)) => map.get_mut(&**name),
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
                map.remove(&**name);
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
