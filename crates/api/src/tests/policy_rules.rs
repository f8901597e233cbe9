//! What the API server lets into a policy. Which patterns it takes, the core's tests hold together with what the core parses.

use super::rules::refusals_by;
use crate::policy_crd;
use serde_json::{Value, json};

const GUID: &str = "6f2e1c1d-52a4-4d0c-8d2f-0c6a2d0b7a11";
const ID: &str = "/subscriptions/6f2e1c1d-52a4-4d0c-8d2f-0c6a2d0b7a11/resourceGroups/shop/providers/\
    Microsoft.ManagedIdentity/userAssignedIdentities/orders";

fn refusals(spec: &Value) -> Vec<String> {
    refusals_by(&policy_crd(), spec, None)
}

#[track_caller]
fn accepted(spec: &Value) {
    assert_eq!(refusals(spec), Vec::<String>::new(), "{spec}");
}

/// Exactly one rule refuses, at this field, with a message that contains this text.
#[track_caller]
fn refused(spec: &Value, field: &str, text: &str) {
    let refusals = refusals(spec);
    assert!(
        matches!(refusals.as_slice(), [one] if one.starts_with(&format!("{field}: ")) && one.contains(text)),
        "{spec}: {refusals:#?}"
    );
}

fn with(field: &str, value: &Value) -> Value {
    json!({"namespaces": {"names": ["shop"]}, field: value})
}

fn selecting(expression: &Value) -> Value {
    json!({"namespaces": {"selector": {"matchExpressions": [expression]}}})
}

#[test]
fn a_policy_is_for_some_namespace() {
    accepted(&json!({"namespaces": {"names": ["shop"]}}));
    accepted(&json!({"namespaces": {"selector": {}}}));
    accepted(&json!({"namespaces": {"names": [], "selector": {"matchLabels": {"team": "shop"}}}}));
    for none in [json!({}), json!({"names": []})] {
        refused(
            &json!({"namespaces": none}),
            "spec.namespaces",
            "at least one namespace",
        );
    }
    for bad in ["", "Shop", "shop*", "*", "-shop", "shop.eu"] {
        refused(
            &json!({"namespaces": {"names": ["shop", bad]}}),
            "spec.namespaces.names[1]",
            "a namespace's name",
        );
    }
}

#[test]
fn a_selector_is_one_that_a_namespace_can_meet() {
    for good in [
        json!({"key": "team", "operator": "In", "values": ["shop", ""]}),
        json!({"key": "example.com/team", "operator": "NotIn", "values": ["shop"]}),
        json!({"key": "team", "operator": "Exists"}),
        json!({"key": "team", "operator": "DoesNotExist", "values": []}),
    ] {
        accepted(&selecting(&good));
    }
    let at = "spec.namespaces.selector.matchExpressions[0]";
    for bad in [
        json!({"key": "team", "operator": "In"}),
        json!({"key": "team", "operator": "NotIn", "values": []}),
        json!({"key": "team", "operator": "Exists", "values": ["shop"]}),
        json!({"key": "team", "operator": "DoesNotExist", "values": ["shop"]}),
    ] {
        refused(&selecting(&bad), &format!("{at}.values"), "In and NotIn need values");
    }
    for bad in ["", "-team", "a/b/c", "Example.com/team", "te am", &"k".repeat(64)] {
        refused(
            &selecting(&json!({"key": bad, "operator": "DoesNotExist"})),
            &format!("{at}.key"),
            "a label's key",
        );
    }
    refused(
        &selecting(&json!({"key": "team", "operator": "NotIn", "values": ["a b"]})),
        &format!("{at}.values[0]"),
        "a label's value",
    );
    for labels in [json!({"te am": "shop"}), json!({"team": "a b"}), json!({"": "shop"})] {
        refused(
            &json!({"namespaces": {"selector": {"matchLabels": labels}}}),
            "spec.namespaces.selector.matchLabels",
            "labels that a namespace can have",
        );
    }
}

#[test]
fn a_pattern_that_cannot_be_used_is_named() {
    let other = ID.replace("/shop/", "/../");
    refused(
        &with("existingIdentities", &json!([ID, other])),
        "spec.existingIdentities[1]",
        "'..' and '%'",
    );
    refused(
        &with("serviceAccounts", &json!(["*", "or*ders"])),
        "spec.serviceAccounts[1]",
        "orders-*",
    );
}

#[test]
fn a_place_has_a_subscription_a_group_and_the_beginning_of_a_name() {
    let place = |field: &str, value: &Value| {
        let mut place = json!({"subscriptionId": GUID, "resourceGroup": "shop", "namePrefix": "", "adopt": true});
        place[field] = value.clone();
        with("managedIdentities", &json!([place]))
    };
    accepted(&place("namePrefix", &json!("shop-")));
    accepted(&place("locations", &json!(["westeurope"])));
    let at = "spec.managedIdentities[0]";
    for (field, bad, text) in [
        ("subscriptionId", "*", "must be a GUID"),
        ("resourceGroup", "*", "1 to 90 letters"),
        ("resourceGroup", "..", "1 to 90 letters"),
        ("namePrefix", "shop-*", "without '*'"),
        ("namePrefix", "-shop", "without '*'"),
        ("namePrefix", "a/b", "without '*'"),
    ] {
        refused(&place(field, &json!(bad)), &format!("{at}.{field}"), text);
    }
    refused(
        &place("locations", &json!(["westeurope", "West Europe"])),
        &format!("{at}.locations[1]"),
        "short name",
    );
}

#[test]
fn a_role_has_scopes_without_wildcards() {
    let group = format!("/subscriptions/{GUID}/resourceGroups/shop");
    let role = |role: &str, scope: &str| with("roles", &json!([{"role": role, "scopes": [group, scope]}]));
    accepted(&role("Key Vault Secrets User", &format!("/subscriptions/{GUID}")));
    accepted(&role(
        "7f951dda-4ed3-4680-a7ca-43fe172d538d",
        "/providers/Microsoft.Management/managementGroups/shop",
    ));
    refused(
        &role("a/b", &format!("/subscriptions/{GUID}")),
        "spec.roles[0].role",
        "built-in role's name",
    );
    for bad in [
        format!("{group}*"),
        "/".to_owned(),
        format!("{group}/../bank"),
        format!("{group}'"),
    ] {
        refused(&role("Reader", &bad), "spec.roles[0].scopes[1]", "Azure resource id");
    }
}
