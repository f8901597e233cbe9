//! The schema as it is installed.

use crate::{crd, effective_policy_crd, policy_crd};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, CustomResourceDefinitionVersion,
};
use serde_json::{Value, json};

fn version(crd: CustomResourceDefinition) -> CustomResourceDefinitionVersion {
    let mut versions = crd.spec.versions;
    assert_eq!(versions.len(), 1);
    versions.remove(0)
}

fn schema_of(crd: CustomResourceDefinition) -> Value {
    json!(version(crd).schema.unwrap().open_api_v3_schema.unwrap())
}

fn schema() -> Value {
    schema_of(crd())
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
    each_schema_of([(crd(), 50), (policy_crd(), 25), (effective_policy_crd(), 25)], check);
}

fn each_schema_of<const N: usize>(
    crds: [(CustomResourceDefinition, usize); N],
    check: impl Fn(&str, &Value) -> Result<(), String>,
) {
    for (crd, at_least) in crds {
        let kind = crd.spec.names.kind.clone();
        let root = schema_of(crd);
        let mut found = Vec::new();
        walk(String::new(), &root, &mut found);
        assert!(
            found.len() > at_least,
            "only {} schemas of {kind} were walked",
            found.len()
        );
        let problems: Vec<String> = found
            .iter()
            .filter_map(|(path, schema)| {
                check(path, schema)
                    .err()
                    .map(|problem| format!("{kind}{path}: {problem}"))
            })
            .collect();
        assert!(problems.is_empty(), "{}", problems.join("\n"));
    }
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
fn everything_that_people_write_in_a_spec_is_bounded() {
    each_schema_of([(crd(), 50), (policy_crd(), 25)], |path, schema| {
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
    assert_eq!(spec["deletionPolicy"]["default"], "Delete");
    assert_eq!(spec["suspend"]["default"], false);
    assert_eq!(
        spec["identity"]["properties"]["managed"]["properties"]["adopt"]["default"],
        false
    );
    let policy = schema_of(policy_crd());
    assert_eq!(
        policy["properties"]["spec"]["properties"]["allowOrphan"]["default"],
        false
    );
}

/// The API server filled in fields of items that nobody had applied, and `kubectl apply` of an unchanged file took them out again, for ever.
#[test]
fn no_item_of_a_list_has_a_default_in_the_schema() {
    each_schema(|path, schema| match schema.get("default") {
        Some(default) if path.contains("[]") => Err(format!("the default {default}")),
        _ => Ok(()),
    });
}

#[test]
fn what_an_item_leaves_out_is_supplied_where_it_is_read() {
    let account: crate::BoundServiceAccount = serde_json::from_value(json!({"name": "orders"})).unwrap();
    assert!(account.create);
    assert_eq!(account.conflict_policy, crate::ConflictPolicy::Report);
    let place = json!({"subscriptionId": "6f2e1c1d-52a4-4d0c-8d2f-0c6a2d0b7a11", "resourceGroup": "team"});
    let place: crate::ManagedIdentityPermission = serde_json::from_value(place).unwrap();
    assert!(!place.adopt && place.name_prefix.is_empty());
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
    let policy = schema_of(policy_crd());
    let spec = &policy["properties"]["spec"]["properties"];
    assert_eq!(spec["roles"]["x-kubernetes-list-map-keys"], json!(["role"]));
    for set in [
        &root["properties"]["status"]["properties"]["authorizedBy"],
        &spec["existingIdentities"],
        &spec["serviceAccounts"],
        &spec["namespaces"]["properties"]["names"],
        &spec["roles"]["items"]["properties"]["scopes"],
    ] {
        assert_eq!(set["x-kubernetes-list-type"], "set", "{set}");
    }
}

#[test]
fn a_list_whose_absence_means_everything_cannot_be_empty() {
    let policy = schema_of(policy_crd());
    let spec = &policy["properties"]["spec"]["properties"];
    let place = &spec["managedIdentities"]["items"]["properties"];
    for list in [
        &spec["serviceAccounts"],
        &place["locations"],
        &spec["roles"]["items"]["properties"]["scopes"],
    ] {
        assert_eq!(list["minItems"], 1, "{list}");
    }
}

#[test]
fn the_columns_fit_a_terminal_and_end_with_the_age() {
    assert_columns(
        crd(),
        &["Ready", "Reason", "Identity", "Age"],
        &["Client ID", "Message"],
    );
    assert_columns(
        policy_crd(),
        &["Ready", "Reason", "Namespaces", "Selector", "Max Credentials", "Age"],
        &["Service Accounts", "Identities", "Managed", "Roles", "Message"],
    );
    assert_columns(
        effective_policy_crd(),
        &["Resource Group", "Location", "Problems", "Age"],
        &["Locked Roles", "Protected"],
    );
}

#[test]
fn there_is_one_effective_policy_and_it_is_the_clusters() {
    let crd = effective_policy_crd();
    assert_eq!(
        crd.metadata.name.as_deref(),
        Some("workloadidentityeffectivepolicies.workloadidentity.dev")
    );
    assert_eq!(crd.spec.names.short_names.as_deref(), Some(&["wiep".to_owned()][..]));
    assert_eq!(crd.spec.scope, "Cluster");
    let root = schema_of(crd);
    assert_eq!(
        root["x-kubernetes-validations"][0]["rule"],
        "self.metadata.name == 'cluster'"
    );
    assert_eq!(root["properties"].get("status"), None);
}

/// What an apply leaves out stays as another writer set it, and admission would read that.
#[test]
fn nothing_of_the_effective_policy_is_left_to_another_writer() {
    // The operator always writes them; they are absent only where an older one wrote.
    let spec = crate::WorkloadIdentityEffectivePolicySpec {
        defaults: Some(crate::EffectiveDefaults::default()),
        ..Default::default()
    };
    let written = serde_json::to_value(spec).unwrap();
    let root = schema_of(effective_policy_crd());
    let spec = &root["properties"]["spec"]["properties"];
    for (name, field) in spec.as_object().unwrap() {
        assert!(written.get(name).is_some(), "{name} is left out when it is empty");
        assert_eq!(
            field.get("x-kubernetes-list-type"),
            None,
            "{name} is not written as a whole"
        );
    }
}

#[track_caller]
fn assert_columns(crd: CustomResourceDefinition, always: &[&str], only_wide: &[&str]) {
    let columns: Vec<(String, bool)> = version(crd)
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
    assert_eq!((shown.as_slice(), wide.as_slice()), (always, only_wide));
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
    assert!(version(self::crd()).subresources.unwrap().status.is_some());
}

#[test]
fn the_policy_is_the_clusters_and_has_a_status_subresource() {
    let crd = policy_crd();
    assert_eq!(
        crd.metadata.name.as_deref(),
        Some("workloadidentitypolicies.workloadidentity.dev")
    );
    assert_eq!(crd.spec.names.short_names.as_deref(), Some(&["wip".to_owned()][..]));
    assert_eq!(
        crd.spec.names.categories.as_deref(),
        Some(&["azure-identity".to_owned()][..])
    );
    assert_eq!(crd.spec.scope, "Cluster");
    assert!(version(crd.clone()).subresources.unwrap().status.is_some());
    let status = &schema_of(crd)["properties"]["status"];
    assert_eq!(status["default"], json!({"observedGeneration": -1}));
}
