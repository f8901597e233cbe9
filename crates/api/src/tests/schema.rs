//! The schema as it is installed.

use crate::crd;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinitionVersion;
use serde_json::{Value, json};

fn version() -> CustomResourceDefinitionVersion {
    let mut versions = crd().spec.versions;
    assert_eq!(versions.len(), 1);
    versions.remove(0)
}

fn schema() -> Value {
    json!(version().schema.unwrap().open_api_v3_schema.unwrap())
}

/// Every schema below the given one, with its path.
fn walk<'a>(path: String, schema: &'a Value, found: &mut Vec<(String, &'a Value)>) {
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        walk(format!("{path}.{name}"), field, found);
    }
    for items in ["items", "additionalProperties"] {
        if schema[items].is_object() {
            walk(format!("{path}[]"), &schema[items], found);
        }
    }
    found.push((path, schema));
}

fn each_schema(check: impl Fn(&str, &Value) -> Result<(), String>) {
    let root = schema();
    let mut found = Vec::new();
    walk(String::new(), &root, &mut found);
    assert!(found.len() > 50, "only {} schemas were walked", found.len());
    let problems: Vec<String> = found
        .iter()
        .filter_map(|(path, schema)| check(path, schema).err().map(|problem| format!("{path}: {problem}")))
        .collect();
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn every_field_is_described_in_plain_sentences() {
    each_schema(|path, schema| {
        // The API server describes these itself, and a map's value has no name that one could explain.
        if path.ends_with("[]") {
            return Ok(());
        }
        let text = schema["description"].as_str().unwrap_or_default();
        if text.is_empty() {
            return Err("no description".to_owned());
        }
        if !path.starts_with(".status.conditions[]") {
            if let Some(noise) = ["`", "\n", "{", "[", "Option", "Vec", "::"]
                .iter()
                .find(|noise| text.contains(**noise))
            {
                return Err(format!("{noise:?} in {text:?}"));
            }
            if !text.ends_with('.') {
                return Err(format!("no full stop at the end of {text:?}"));
            }
        }
        Ok(())
    });
}

#[test]
fn no_field_is_nullable_and_every_format_is_one_of_kubernetes() {
    each_schema(|_, schema| {
        if schema.get("nullable").is_some() {
            return Err("it is nullable".to_owned());
        }
        match schema.get("format").and_then(Value::as_str) {
            None | Some("int32" | "int64" | "date-time") => Ok(()),
            Some(format) => Err(format!("format {format}")),
        }
    });
}

#[test]
fn everything_in_the_spec_is_bounded() {
    each_schema(|path, schema| {
        if !path.starts_with(".spec") {
            return Ok(());
        }
        let bound = match schema["type"].as_str() {
            Some("string") if schema.get("enum").is_none() => "maxLength",
            Some("array") => "maxItems",
            Some("object") if schema.get("additionalProperties").is_some() => "maxProperties",
            Some("integer") => "maximum",
            _ => return Ok(()),
        };
        schema.get(bound).map(|_| ()).ok_or_else(|| format!("no {bound}"))
    });
}

#[test]
fn every_rule_says_what_is_wrong_in_one_line() {
    each_schema(|path, schema| {
        let properties = schema["properties"].as_object();
        for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
            let message = rule["message"].as_str().unwrap_or_default();
            if message.len() < 20 || message.contains('\n') {
                return Err(format!("message {message:?}"));
            }
            if let Some(field) = rule["fieldPath"].as_str()
                && !properties.is_some_and(|fields| fields.contains_key(field.trim_start_matches('.')))
            {
                return Err(format!("no field {field} in {path}"));
            }
        }
        Ok(())
    });
}

#[test]
fn a_binding_that_nobody_has_seen_is_not_taken_for_a_ready_one() {
    assert_eq!(
        schema()["properties"]["status"]["default"],
        json!({"observedGeneration": -1})
    );
}

#[test]
fn defaults_are_those_that_the_types_have() {
    let spec = &schema()["properties"]["spec"]["properties"];
    let account = &spec["serviceAccounts"]["items"]["properties"];
    assert_eq!(spec["deletionPolicy"]["default"], "Delete");
    assert_eq!(spec["suspend"]["default"], false);
    assert_eq!(account["create"]["default"], true);
    assert_eq!(account["conflictPolicy"]["default"], "Report");
}

#[test]
fn lists_are_merged_by_what_names_their_items() {
    let root = schema();
    let keys = |path: &str| root.pointer(path).unwrap()["x-kubernetes-list-map-keys"].clone();
    assert_eq!(keys("/properties/spec/properties/serviceAccounts"), json!(["name"]));
    assert_eq!(
        keys("/properties/spec/properties/roleAssignments"),
        json!(["role", "scope"])
    );
    assert_eq!(keys("/properties/status/properties/conditions"), json!(["type"]));
}

#[test]
fn the_columns_fit_a_terminal_and_end_with_the_age() {
    let columns: Vec<(String, bool)> = version()
        .additional_printer_columns
        .unwrap()
        .into_iter()
        .map(|column| (column.name, column.priority.unwrap_or_default() == 0))
        .collect();
    let shown: Vec<&str> = columns
        .iter()
        .filter(|(_, shown)| *shown)
        .map(|(name, _)| name.as_str())
        .collect();
    let wide: Vec<&str> = columns
        .iter()
        .filter(|(_, shown)| !shown)
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(shown, ["Ready", "Reason", "Identity", "Age"]);
    assert_eq!(wide, ["Client ID", "Message"]);
}

#[test]
fn the_binding_has_a_short_name_a_category_and_a_status_subresource() {
    let crd = crd();
    assert_eq!(
        crd.metadata.name.as_deref(),
        Some("workloadidentitybindings.workloadidentity.dev")
    );
    assert_eq!(crd.spec.names.short_names.unwrap(), ["wib"]);
    assert_eq!(crd.spec.names.categories.unwrap(), ["azure-identity"]);
    assert_eq!(crd.spec.scope, "Namespaced");
    assert!(version().subresources.unwrap().status.is_some());
}
