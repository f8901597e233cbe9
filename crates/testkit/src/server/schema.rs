//! What the API server does to a custom resource because of its structural schema: it prunes unknown fields and nulls
//! and fills in defaults. It does not validate.
//! See <https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/>.

use std::fmt;

use serde_json::{Map, Value};

/// Prunes and defaults the object; returns the paths of the unknown fields that were pruned.
pub(crate) fn prune_and_default(object: &mut Value, schema: &Value) -> Vec<String> {
    let mut unknown = Vec::new();
    let Some(map) = object.as_object_mut() else {
        return unknown;
    };
    let own: Vec<(String, Value)> = ["apiVersion", "kind", "metadata"]
        .iter()
        .filter_map(|name| map.remove(*name).map(|value| ((*name).to_owned(), value)))
        .collect();
    visit(object, schema, &At::Root, &mut unknown);
    if let Some(map) = object.as_object_mut() {
        map.extend(own);
    }
    unknown
}

/// The path of the first field that the schema does not know, in the order in which [`prune_and_default`] tells of them.
pub(crate) fn first_unknown(object: &Value, schema: &Value) -> Option<String> {
    let own = |name: &str| ["apiVersion", "kind", "metadata"].contains(&name);
    unknown_in(object, &Part::of(schema), &At::Root, &own)
}

/// Where something is: written out only when somebody is told of it.
enum At<'a> {
    Root,
    Field(&'a At<'a>, &'a str),
    Item(&'a At<'a>, usize),
}

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Field(Self::Root, name) => f.write_str(name),
            Self::Field(above, name) => write!(f, "{above}.{name}"),
            Self::Item(above, index) => write!(f, "{above}[{index}]"),
        }
    }
}

/// What a schema says of the fields of an object.
struct Part<'a> {
    schema: &'a Value,
    properties: Option<&'a Map<String, Value>>,
    additional: Option<&'a Value>,
    /// Fields that it does not know stay.
    open: bool,
}

impl<'a> Part<'a> {
    fn of(schema: &'a Value) -> Self {
        let additional = schema.get("additionalProperties");
        Self {
            schema,
            properties: schema["properties"].as_object(),
            additional: additional.filter(|additional| additional.is_object()),
            open: additional == Some(&Value::Bool(true)) || schema["x-kubernetes-preserve-unknown-fields"] == true,
        }
    }

    fn field(&self, name: &str) -> Option<&'a Value> {
        let known = self.properties.and_then(|properties| properties.get(name));
        known.or(self.additional)
    }
}

fn unknown_in(value: &Value, part: &Part<'_>, at: &At<'_>, ignored: &dyn Fn(&str) -> bool) -> Option<String> {
    match value {
        Value::Object(map) => {
            let fields = || map.iter().filter(|(name, _)| !ignored(name));
            let mut unknown = fields().filter(|(name, _)| !part.open && part.field(name).is_none());
            let first = unknown.next().map(|(name, _)| At::Field(at, name).to_string());
            first.or_else(|| {
                fields().find_map(|(name, value)| {
                    let schema = part.field(name)?;
                    unknown_in(value, &Part::of(schema), &At::Field(at, name), &|_| false)
                })
            })
        }
        Value::Array(items) => {
            let part = Part::of(&part.schema["items"]);
            let mut items = items.iter().enumerate();
            items.find_map(|(index, item)| unknown_in(item, &part, &At::Item(at, index), &|_| false))
        }
        _ => None,
    }
}

fn visit(value: &mut Value, schema: &Value, at: &At<'_>, unknown: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            let part = Part::of(schema);
            map.retain(|name, value| {
                let Some(schema) = part.field(name) else {
                    if !part.open {
                        unknown.push(At::Field(at, name).to_string());
                    }
                    return part.open;
                };
                !value.is_null() || schema["nullable"] == true
            });
            for (name, property) in part.properties.into_iter().flatten() {
                if let Some(default) = property.get("default").filter(|_| !map.contains_key(name)) {
                    map.insert(name.clone(), default.clone());
                }
            }
            for (name, value) in map.iter_mut() {
                if let Some(schema) = part.field(name) {
                    visit(value, schema, &At::Field(at, name), unknown);
                }
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                visit(item, &schema["items"], &At::Item(at, index), unknown);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn schema() -> Value {
        json!({
            "properties": {
                "spec": {
                    "properties": {
                        "mode": {"type": "string", "default": "On"},
                        "tags": {"additionalProperties": {"type": "string"}},
                        "free": {"x-kubernetes-preserve-unknown-fields": true},
                        "list": {"items": {"properties": {"create": {"default": true}}}},
                    },
                },
                "status": {"properties": {"observedGeneration": {"type": "integer"}}, "default": {"observedGeneration": -1}},
            },
        })
    }

    #[test]
    fn unknown_fields_are_pruned_and_defaults_filled_in() {
        let mut object = json!({
            "kind": "Thing",
            "metadata": {"name": "x", "unknown": 1},
            "spec": {"tags": {"a": "b"}, "free": {"x": {"y": 1}}, "list": [{"typo": 1}], "wrong": {}, "mode": null},
        });
        let unknown = prune_and_default(&mut object, &schema());
        assert_eq!(
            object,
            json!({
                "kind": "Thing",
                "metadata": {"name": "x", "unknown": 1},
                "spec": {"mode": "On", "tags": {"a": "b"}, "free": {"x": {"y": 1}}, "list": [{"create": true}]},
                "status": {"observedGeneration": -1},
            })
        );
        assert_eq!(unknown, ["spec.wrong", "spec.list[0].typo"]);
    }

    #[test]
    fn the_first_unknown_field_is_the_first_that_is_pruned() {
        for spec in [
            json!({"list": [{"typo": 1}], "wrong": {}}),
            json!({"list": [{"create": null}, {"typo": 1}], "mode": null}),
            json!({"tags": {"a": "b"}, "free": {"x": 1}, "list": []}),
        ] {
            let mut object = json!({"kind": "Thing", "metadata": {"unknown": 1}, "spec": spec});
            let first = first_unknown(&object, &schema());
            assert_eq!(first, prune_and_default(&mut object, &schema()).into_iter().next());
        }
    }
}
