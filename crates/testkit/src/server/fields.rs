//! Field sets: which fields of an object a manager owns, in the form that `metadata.managedFields` has.
//! See <https://kubernetes.io/docs/reference/using-api/server-side-apply/#merge-strategy>.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;

use serde_json::{Map, Value, json};

/// How the items of a list are told apart. A list with neither is atomic: owned and replaced as one.
#[derive(Clone, Debug)]
pub(crate) enum ListKind {
    /// By the values of these keys.
    Map(Vec<String>),
    /// By the whole value.
    Set,
}

/// The lists of a resource that are not atomic, by the names on the way to them.
#[derive(Clone, Debug)]
pub(crate) struct Lists(BTreeMap<Vec<String>, ListKind>);

impl Lists {
    /// The lists that every object's metadata has.
    pub(crate) fn of_metadata() -> Self {
        let path = |name: &str| vec!["metadata".to_owned(), name.to_owned()];
        Self(BTreeMap::from([
            (path("finalizers"), ListKind::Set),
            (path("ownerReferences"), ListKind::Map(vec!["uid".to_owned()])),
        ]))
    }

    pub(crate) fn add(&mut self, path: Vec<String>, kind: ListKind) {
        self.0.insert(path, kind);
    }

    /// Adds every list that the structural schema declares as map or set.
    pub(crate) fn add_from_schema(&mut self, schema: &Value) {
        self.walk_schema(schema, &mut Vec::new());
    }

    fn walk_schema(&mut self, schema: &Value, path: &mut Vec<String>) {
        match schema["x-kubernetes-list-type"].as_str() {
            Some("map") => {
                let keys = schema["x-kubernetes-list-map-keys"].as_array().into_iter().flatten();
                let keys = keys.filter_map(Value::as_str).map(str::to_owned).collect();
                self.add(path.clone(), ListKind::Map(keys));
            }
            Some("set") => self.add(path.clone(), ListKind::Set),
            _ => {}
        }
        if let Some(items) = schema.get("items") {
            self.walk_schema(items, path);
        }
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            path.push(name.clone());
            self.walk_schema(property, path);
            path.pop();
        }
    }

    fn kind(&self, path: &[Segment]) -> Option<&ListKind> {
        let names = || {
            path.iter().filter_map(|segment| match segment {
                Segment::Field(name) => Some(&**name),
                Segment::Key(_) | Segment::Item(_) => None,
            })
        };
        let mut found = self
            .0
            .iter()
            .filter(|(at, _)| at.iter().map(String::as_str).eq(names()));
        found.next().map(|(_, kind)| kind)
    }

    /// The items of the list at the path with what tells them apart, or None when the list is atomic.
    ///
    /// # Errors
    /// When an item lacks a key or two items have the same one.
    pub(crate) fn items<'a>(&self, path: &[Segment], list: &'a [Value]) -> Result<Option<Items<'a>>, String> {
        let Some(kind) = self.kind(path) else { return Ok(None) };
        let mut items: Items<'a> = Vec::with_capacity(list.len());
        for (index, value) in list.iter().enumerate() {
            let segment = match kind {
                ListKind::Set => Segment::Item(value.to_string().into()),
                ListKind::Map(keys) => {
                    let mut found = Map::new();
                    for key in keys {
                        let Some(part) = value.get(key) else {
                            let path = display(path);
                            return Err(format!(
                                "{path}: element {index}: associative list with keys has an element that omits key field {key:?}"
                            ));
                        };
                        found.insert(key.clone(), part.clone());
                    }
                    Segment::Key(Value::Object(found).to_string().into())
                }
            };
            if items.iter().any(|(other, _)| *other == segment) {
                return Err(format!("{}: duplicate entries for key {segment}", display(path)));
            }
            items.push((segment, value));
        }
        Ok(Some(items))
    }
}

/// The items of a list, each with what tells it from the others.
pub(crate) type Items<'a> = Vec<(Segment, &'a Value)>;

/// One step on the way to a field. Copies are cheap: each field of a set has all the steps to it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Segment {
    /// A field of an object or an entry of a map.
    Field(Arc<str>),
    /// The item of a list map, by its keys as JSON.
    Key(Arc<str>),
    /// The item of a set, as JSON.
    Item(Arc<str>),
}

impl std::fmt::Display for Segment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Field(name) => write!(f, ".{name}"),
            Self::Item(value) => write!(f, "[={value}]"),
            Self::Key(keys) => {
                let keys: BTreeMap<String, Value> = serde_json::from_str(keys).unwrap_or_default();
                let keys: Vec<String> = keys.iter().map(|(key, value)| format!("{key}={value}")).collect();
                write!(f, "[{}]", keys.join(","))
            }
        }
    }
}

/// The way to a field from the object's root.
pub(crate) type Path = Vec<Segment>;

/// A path as conflicts name it: `.metadata.annotations.azure.workload.identity/client-id`.
pub(crate) fn display(path: &[Segment]) -> String {
    path.iter().fold(String::new(), |mut text, segment| {
        let _ = write!(text, "{segment}");
        text
    })
}

/// A set of fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct FieldSet(pub(crate) BTreeSet<Path>);

impl FieldSet {
    pub(crate) fn contains(&self, path: &[Segment]) -> bool {
        self.0.contains(path)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the path itself or a field below it is in the set.
    pub(crate) fn reaches_into(&self, path: &[Segment]) -> bool {
        self.0
            .range(path.to_vec()..)
            .next()
            .is_some_and(|first| first.starts_with(path))
    }

    /// The fields that a manager owns who applied the value: leaves, list items, and empty maps.
    ///
    /// # Errors
    /// When a list map's items cannot be told apart.
    pub(crate) fn of(value: &Value, lists: &Lists) -> Result<Self, String> {
        let mut set = Self::default();
        set.collect(value, lists, &mut Vec::new())?;
        Ok(set)
    }

    fn collect(&mut self, value: &Value, lists: &Lists, path: &mut Path) -> Result<(), String> {
        match value {
            Value::Object(map) if path.is_empty() || !map.is_empty() => {
                for (name, value) in map {
                    path.push(Segment::Field(name.as_str().into()));
                    self.collect(value, lists, path)?;
                    path.pop();
                }
            }
            Value::Array(list) => match lists.items(path, list)? {
                Some(items) => {
                    for (segment, value) in items {
                        path.push(segment);
                        self.0.insert(path.clone());
                        if value.is_object() {
                            self.collect(value, lists, path)?;
                        }
                        path.pop();
                    }
                }
                None => {
                    self.0.insert(path.clone());
                }
            },
            _ => {
                self.0.insert(path.clone());
            }
        }
        Ok(())
    }

    /// The set in the form `fieldsV1`.
    pub(crate) fn encode(&self) -> Value {
        let paths: Vec<&[Segment]> = self.0.iter().map(Vec::as_slice).collect();
        Value::Object(encode(&paths))
    }

    /// The set from the form `fieldsV1`; what is not understood is left out.
    pub(crate) fn decode(fields: &Value) -> Self {
        let mut set = Self::default();
        set.read(fields, &mut Vec::new());
        set
    }

    fn read(&mut self, fields: &Value, path: &mut Path) {
        let Some(map) = fields.as_object() else { return };
        if !path.is_empty() && (map.is_empty() || map.contains_key(".")) {
            self.0.insert(path.clone());
        }
        for (name, value) in map {
            let Some((tag, rest)) = name.split_once(':') else {
                continue;
            };
            path.push(match tag {
                "f" => Segment::Field(rest.into()),
                "k" => Segment::Key(rest.into()),
                "v" => Segment::Item(rest.into()),
                _ => continue,
            });
            self.read(value, path);
            path.pop();
        }
    }
}

/// The node of a `fieldsV1` tree with these fields below it, which are in order.
fn encode(paths: &[&[Segment]]) -> Map<String, Value> {
    let mut node = Map::new();
    for same in paths.chunk_by(|one, other| one.first() == other.first()) {
        let Some(segment) = same.first().and_then(|path| path.first()) else {
            // The node itself is in the set; one that has nothing else says the same without this mark.
            if same.len() < paths.len() {
                node.insert(".".to_owned(), json!({}));
            }
            continue;
        };
        let name = match segment {
            Segment::Field(name) => format!("f:{name}"),
            Segment::Key(keys) => format!("k:{keys}"),
            Segment::Item(value) => format!("v:{value}"),
        };
        let below: Vec<&[Segment]> = same.iter().filter_map(|path| path.get(1..)).collect();
        node.insert(name, Value::Object(encode(&below)));
    }
    node
}

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

/// What a manager can own of the object: all but its type and what the server keeps of its metadata.
fn owned(object: &Value) -> impl Iterator<Item = (&String, &Value)> {
    let owned = |name: &str, value: &Value| match name {
        "apiVersion" | "kind" => false,
        "metadata" => value.as_object().is_none_or(|all| owned_metadata(all).next().is_some()),
        _ => true,
    };
    let root = object.as_object().into_iter().flatten();
    root.filter(move |(name, value)| owned(name, value))
}

fn owned_metadata(metadata: &Map<String, Value>) -> impl Iterator<Item = (&String, &Value)> {
    metadata
        .iter()
        .filter(|(name, _)| !UNOWNED_METADATA.contains(&name.as_str()))
}

/// Whether two objects have the same of what managers can own.
pub(crate) fn same_owned(old: &Value, new: &Value) -> bool {
    let (mut old, mut new) = (owned(old), owned(new));
    loop {
        match (old.next(), new.next()) {
            (None, None) => return true,
            (Some((name, old)), Some((other, new))) if name == other => {
                let same = match (old, new) {
                    (Value::Object(old), Value::Object(new)) if name == "metadata" => {
                        owned_metadata(old).eq(owned_metadata(new))
                    }
                    _ => old == new,
                };
                if !same {
                    return false;
                }
            }
            _ => return false,
        }
    }
}

/// The object without what no manager can own.
pub(crate) fn owned_part(object: &Value) -> Value {
    let mut part: Map<String, Value> = owned(object)
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    if let Some(metadata) = part.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.retain(|name, _| !UNOWNED_METADATA.contains(&name.as_str()));
    }
    Value::Object(part)
}

/// What is different between two objects.
#[derive(Debug, Default)]
pub(crate) struct Comparison {
    pub(crate) added: FieldSet,
    pub(crate) modified: FieldSet,
    pub(crate) removed: FieldSet,
}

impl Comparison {
    /// What is different of what managers can own.
    pub(crate) fn between(old: &Value, new: &Value, lists: &Lists) -> Self {
        let mut comparison = Self::default();
        let path = &mut Vec::new();
        side_by_side(owned(old), owned(new), |name, old, new| {
            path.push(Segment::Field(name.into()));
            match (old, new) {
                (Some(Value::Object(old)), Some(Value::Object(new))) if name == "metadata" => {
                    let (old, new) = (owned_metadata(old), owned_metadata(new));
                    side_by_side(old, new, |name, old, new| {
                        comparison.field((name, old, new), lists, path);
                    });
                }
                (Some(old), None) if name == "metadata" => comparison.metadata((old, false), lists, path),
                (None, Some(new)) if name == "metadata" => comparison.metadata((new, true), lists, path),
                _ => comparison.visit(old, new, lists, path),
            }
            path.pop();
        });
        comparison
    }

    /// Fields that have a value that they did not have before.
    pub(crate) fn written(&self) -> impl Iterator<Item = &Path> {
        self.added.0.iter().chain(&self.modified.0)
    }

    /// Metadata of which managers can own something, and that was added or removed as a whole.
    fn metadata(&mut self, (metadata, added): (&Value, bool), lists: &Lists, path: &mut Path) {
        let metadata = owned_part(&json!({ "metadata": metadata }));
        let metadata = metadata.get("metadata");
        let (old, new) = if added { (None, metadata) } else { (metadata, None) };
        self.visit(old, new, lists, path);
    }

    fn field(&mut self, (name, old, new): (&str, Option<&Value>, Option<&Value>), lists: &Lists, path: &mut Path) {
        if old != new {
            path.push(Segment::Field(name.into()));
            self.differ(old, new, lists, path);
            path.pop();
        }
    }

    fn visit(&mut self, old: Option<&Value>, new: Option<&Value>, lists: &Lists, path: &mut Path) {
        if old != new {
            self.differ(old, new, lists, path);
        }
    }

    fn differ(&mut self, old: Option<&Value>, new: Option<&Value>, lists: &Lists, path: &mut Path) {
        match (old, new) {
            (None, _) => self.added.0.insert(path.clone()),
            (_, None) => self.removed.0.insert(path.clone()),
            _ => false,
        };
        if let (None | Some(Value::Object(_)), None | Some(Value::Object(_))) = (old, new) {
            let [old, new] = [old, new].map(|value| value.and_then(Value::as_object).into_iter().flatten());
            side_by_side(old, new, |name, old, new| {
                self.field((name, old, new), lists, path);
            });
            return;
        }
        let children = children(old, lists, path).zip(children(new, lists, path));
        let Some((old_children, new_children)) = children else {
            if old.is_some() && new.is_some() {
                self.modified.0.insert(path.clone());
            }
            return;
        };
        let segments: BTreeSet<&Segment> = old_children.keys().chain(new_children.keys()).collect();
        for segment in segments {
            path.push(segment.clone());
            self.visit(
                old_children.get(segment).copied(),
                new_children.get(segment).copied(),
                lists,
                path,
            );
            path.pop();
        }
    }
}

/// Shows each field that one of two objects has, whose fields are in order, with what each of them has there.
fn side_by_side<'a>(
    old: impl Iterator<Item = (&'a String, &'a Value)>,
    new: impl Iterator<Item = (&'a String, &'a Value)>,
    mut show: impl FnMut(&str, Option<&'a Value>, Option<&'a Value>),
) {
    let (mut old, mut new) = (old.peekable(), new.peekable());
    loop {
        let first = match (old.peek(), new.peek()) {
            (None, None) => return,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some((one, _)), Some((other, _))) => one.cmp(other),
        };
        let left = if first.is_le() { old.next() } else { None };
        let right = if first.is_ge() { new.next() } else { None };
        if let Some((name, _)) = left.or(right) {
            show(name, left.map(|(_, value)| value), right.map(|(_, value)| value));
        }
    }
}

/// What can be compared one by one below the path: None for a leaf, nothing for a value that is not there.
fn children<'a>(value: Option<&'a Value>, lists: &Lists, path: &[Segment]) -> Option<BTreeMap<Segment, &'a Value>> {
    match value {
        None => Some(BTreeMap::new()),
        Some(Value::Object(map)) => Some(
            map.iter()
                .map(|(name, value)| (Segment::Field(name.as_str().into()), value))
                .collect(),
        ),
        Some(Value::Array(list)) => lists
            .items(path, list)
            .ok()
            .flatten()
            .map(|items| items.into_iter().collect()),
        Some(_) => None,
    }
}
