//! Objects that a newer schema let in are read as far as it goes.

use serde_json::{Value, json};

use crate::{DeletionPolicy, WorkloadIdentityBinding, WorkloadIdentityBindingStatus, WorkloadIdentityPolicy};

fn binding(spec: &Value) -> WorkloadIdentityBinding {
    serde_json::from_value(json!({
        "apiVersion": "workloadidentity.dev/v1alpha1",
        "kind": "WorkloadIdentityBinding",
        "metadata": { "name": "orders", "namespace": "shop" },
        "spec": spec,
    }))
    .unwrap()
}

fn unreadable(binding: &WorkloadIdentityBinding) -> Vec<&str> {
    let fields = binding.spec.unreadable.iter();
    fields.map(|unreadable| unreadable.field.as_str()).collect()
}

#[test]
fn what_can_be_read_is_read_beside_what_cannot() {
    let read = binding(&json!({
        "identity": { "managed": {} },
        "serviceAccounts": [{ "name": "a", "conflictPolicy": "Ask" }, { "name": "b" }, 3],
        "deletionPolicy": "RetainEverything",
        "suspend": "yes",
    }));
    assert_eq!(
        unreadable(&read),
        ["serviceAccounts[0]", "serviceAccounts[2]", "deletionPolicy", "suspend"]
    );
    assert!(read.spec.identity.managed.is_some());
    let names: Vec<&str> = read
        .spec
        .service_accounts
        .iter()
        .map(|account| account.name.as_str())
        .collect();
    assert_eq!(names, ["a", "b"], "what may be trusted already is still claimed");
    assert_eq!(read.spec.deletion_policy, DeletionPolicy::RetainIdentity);
}

#[test]
fn no_spec_and_no_policy_fails_to_be_read() {
    let odd = [
        json!({}),
        json!([]),
        json!("x"),
        json!({ "identity": 1, "serviceAccounts": {}, "roleAssignments": "all" }),
    ];
    for spec in odd {
        binding(&spec);
        let policy = json!({ "apiVersion": "workloadidentity.dev/v1alpha1", "kind": "WorkloadIdentityPolicy", "metadata": {}, "spec": spec });
        serde_json::from_value::<WorkloadIdentityPolicy>(policy).unwrap();
    }
}

#[test]
fn what_is_wrong_is_told_in_few_words() {
    let read = binding(&json!({ "deletionPolicy": "x".repeat(100_000) }));
    assert!(read.spec.unreadable[0].problem.chars().count() <= 200);
}

#[test]
fn notes_on_what_could_not_be_read_are_no_part_of_the_object() {
    let read = binding(&json!({ "suspend": "yes" }));
    assert_eq!(json!(read)["spec"].get("unreadable"), None);
}

/// What a newer operator wrote down may be all that tells of what stands in Azure.
#[test]
fn a_status_keeps_what_cannot_be_read_until_it_is_known_anew() {
    let stands = json!({ "issuer": "https://issuer.example", "identity": { "resourceId": "x", "origin": "Imported" } });
    let mut status: WorkloadIdentityBindingStatus = serde_json::from_value(stands.clone()).unwrap();
    assert_eq!(status.identity, None);
    assert_eq!(json!(status), stands);
    status.replace_unreadable();
    assert_eq!(json!(status), stands);
    status.identity = serde_json::from_value(json!({
        "resourceId": "x", "name": "x", "clientId": "c", "principalId": "p", "tenantId": "t", "origin": "Created",
    }))
    .unwrap();
    status.replace_unreadable();
    assert_eq!(json!(status)["identity"]["origin"], "Created");
    assert!(status.unreadable.is_empty());
}
