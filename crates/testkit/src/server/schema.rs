//! What the API server does to a custom resource because of its structural schema: it prunes unknown fields and nulls
//! and fills in defaults. It does not validate.
//! See <https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/>.

use serde_json::Value;

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
    visit(object, schema, "", &mut unknown);
    if let Some(map) = object.as_object_mut() {
        map.extend(own);
    }
    unknown
}

fn visit(value: &mut Value, schema: &Value, path: &str, unknown: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            let properties = schema["properties"].as_object();
            let known = |name: &str| properties.and_then(|properties| properties.get(name));
            let additional = schema
                .get("additionalProperties")
                .filter(|additional| additional.is_object());
            let open = schema["x-kubernetes-preserve-unknown-fields"] == true || schema["additionalProperties"] == true;
            map.retain(|name, value| {
                let Some(schema) = known(name).or(additional) else {
                    if !open {
                        unknown.push(join(path, name));
                    }
                    return open;
                };
                !value.is_null() || schema["nullable"] == true
            });
            for (name, property) in properties.into_iter().flatten() {
                if let Some(default) = property.get("default") {
                    map.entry(name.clone()).or_insert_with(|| default.clone());
                }
            }
            for (name, value) in map.iter_mut() {
                if let Some(schema) = known(name).or(additional) {
                    visit(value, schema, &join(path, name), unknown);
                }
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                visit(item, &schema["items"], &format!("{path}[{index}]"), unknown);
            }
        }
        _ => {}
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
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
}
