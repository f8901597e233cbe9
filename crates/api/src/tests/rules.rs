//! What the API server lets in, by the rules in the schema. Lengths and ranges, which need no rule, are proven on a real
//! API server by the end-to-end tests.

use crate::crd;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube_cel::{ErrorKind, Validator};
use serde_json::{Value, json};

const ID: &str = "/subscriptions/6f2e1c1d-52a4-4d0c-8d2f-0c6a2d0b7a11/resourceGroups/shop/providers/\
    Microsoft.ManagedIdentity/userAssignedIdentities/orders";

/// What was refused: `field: message` for each rule that failed.
fn refusals(spec: &Value, old: Option<&Value>) -> Vec<String> {
    refusals_by(&crd(), spec, old)
}

pub(super) fn refusals_by(crd: &CustomResourceDefinition, spec: &Value, old: Option<&Value>) -> Vec<String> {
    let schema = json!(crd.spec.versions[0].schema.as_ref().unwrap().open_api_v3_schema);
    let object = json!({"spec": spec});
    let old = old.map(|old| json!({"spec": old}));
    let Err(errors) = Validator::new().validate(&schema, &object, old.as_ref()) else {
        return Vec::new();
    };
    errors
        .into_vec()
        .into_iter()
        .map(|error| {
            assert_eq!(error.kind, ErrorKind::ValidationFailure, "{error:?}");
            format!("{}: {}", error.field_path, error.message)
        })
        .collect()
}

fn accepted(spec: &Value) {
    assert_eq!(refusals(spec, None), Vec::<String>::new(), "{spec}");
}

/// Exactly one rule refuses, at this field, with a message that contains this text.
fn refused(spec: &Value, old: Option<&Value>, field: &str, text: &str) {
    let refusals = refusals(spec, old);
    assert!(
        matches!(refusals.as_slice(), [one] if one.starts_with(&format!("{field}: ")) && one.contains(text)),
        "{spec}: {refusals:#?}"
    );
}

fn spec(identity: &Value) -> Value {
    json!({"identity": identity, "serviceAccounts": [{"name": "orders"}]})
}

fn managed(field: &str, value: &Value) -> Value {
    spec(&json!({"managed": {field: value}}))
}

fn existing(id: &str) -> Value {
    spec(&json!({"existing": {"resourceId": id}}))
}

/// A spec whose field, by its JSON pointer, has this value.
fn with(pointer: &str, value: &Value) -> Value {
    let mut spec = spec(&json!({"managed": {}}));
    spec[pointer] = value.clone();
    spec
}

#[test]
fn exactly_one_of_managed_and_existing_is_set() {
    accepted(&spec(&json!({"managed": {}})));
    accepted(&existing(ID));
    refused(&spec(&json!({})), None, "spec.identity", "set managed");
    refused(
        &spec(&json!({"managed": {}, "existing": {"resourceId": ID}})),
        None,
        "spec.identity.existing",
        "exclude each other",
    );
}

#[test]
fn an_identity_name_is_one_that_azure_takes() {
    for good in ["abc", "0rders", "orders_2-B", &"a".repeat(128)] {
        accepted(&managed("name", &json!(good)));
    }
    for bad in [
        "",
        "ab",
        "-abc",
        "_abc",
        "a.b",
        "a b",
        "a/b",
        "..",
        "ab%2f",
        "abc\n",
        &"a".repeat(129),
    ] {
        refused(
            &managed("name", &json!(bad)),
            None,
            "spec.identity.managed.name",
            "3 to 128 letters",
        );
    }
}

#[test]
fn a_derived_name_cannot_be_chosen() {
    for good in ["wib", "wibs-orders", "wib_orders", "my-wib-orders"] {
        accepted(&managed("name", &json!(good)));
    }
    for bad in ["wib-shop-orders-5v47tcb6dry2gzmb", "WIB-orders", "Wib-"] {
        refused(
            &managed("name", &json!(bad)),
            None,
            "spec.identity.managed.name",
            "names that begin with wib- are the operator's own",
        );
    }
}

#[test]
fn a_subscription_is_a_guid() {
    accepted(&managed(
        "subscriptionId",
        &json!("6F2e1c1d-52a4-4d0c-8d2f-0c6a2d0b7a11"),
    ));
    for bad in [
        "",
        "shop",
        "{6f2e1c1d-52a4-4d0c-8d2f-0c6a2d0b7a11}",
        "6f2e1c1d52a44d0c8d2f0c6a2d0b7a11",
        "6f2e1c1d-52a4-4d0c-8d2f-0c6a2d0b7a1g",
        "00000000-0000-0000-0000-000000000000",
    ] {
        refused(
            &managed("subscriptionId", &json!(bad)),
            None,
            "spec.identity.managed.subscriptionId",
            "must be a GUID",
        );
    }
}

#[test]
fn a_resource_group_is_a_name_and_no_path() {
    for good in ["a", "rg.shop_(eu)-1", "größe", &"a".repeat(90)] {
        accepted(&managed("resourceGroup", &json!(good)));
    }
    for bad in [
        "",
        "shop.",
        "..",
        "a/b",
        "a b",
        "a%2fb",
        "/subscriptions/x/resourceGroups/shop",
        &"a".repeat(91),
    ] {
        refused(
            &managed("resourceGroup", &json!(bad)),
            None,
            "spec.identity.managed.resourceGroup",
            "1 to 90 letters",
        );
    }
}

#[test]
fn a_location_is_a_short_name() {
    accepted(&managed("location", &json!("westeurope")));
    accepted(&managed("location", &json!("eastus2")));
    for bad in ["", "w", "West Europe", "WestEurope", "west-europe"] {
        refused(
            &managed("location", &json!(bad)),
            None,
            "spec.identity.managed.location",
            "short name",
        );
    }
}

#[test]
fn an_existing_identity_is_named_by_its_id_in_any_case() {
    accepted(&existing(&ID.replace("resourceGroups", "resourcegroups")));
    accepted(&existing(&ID.replace("/subscriptions/", "/SUBSCRIPTIONS/")));
    accepted(&existing(
        &ID.replace("Microsoft.ManagedIdentity", "microsoft.managedidentity"),
    ));
    for bad in [
        String::new(),
        "orders".to_owned(),
        ID.trim_start_matches('/').to_owned(),
        format!("{ID}/"),
        format!("{ID}/federatedIdentityCredentials/x"),
        format!("{ID}?x=y"),
        format!("{ID} "),
        format!("{ID}\n"),
        format!("https://management.azure.com{ID}"),
        ID.replace("/shop/", "/../"),
        ID.replace("/shop/", "/./"),
        ID.replace("/shop/", "//"),
        ID.replace("/shop/", "/sh op/"),
        ID.replace("/shop/", "/shop%2f/"),
        ID.replace("/orders", "/.."),
        ID.replace("/orders", "/or%64ers"),
        ID.replace("Microsoft.ManagedIdentity", "MicrosoftxManagedIdentity"),
        ID.replace("Microsoft.ManagedIdentity", "Microsoft.KeyVault"),
        ID.replace("userAssignedIdentities", "systemAssignedIdentities"),
        ID.replace(
            "6f2e1c1d-52a4-4d0c-8d2f-0c6a2d0b7a11",
            "00000000-0000-0000-0000-000000000000",
        ),
        ID.replace("6f2e1c1d-52a4-4d0c-8d2f-0c6a2d0b7a11", "my-subscription"),
    ] {
        refused(
            &existing(&bad),
            None,
            "spec.identity.existing.resourceId",
            "must be the resource id",
        );
    }
}

#[test]
fn a_service_account_has_a_name_that_kubernetes_takes() {
    let account = |name: &str| with("serviceAccounts", &json!([{"name": name}]));
    for good in ["a", "orders", "orders.v2", "a-b.c-d", &"a".repeat(253)] {
        accepted(&account(good));
    }
    for bad in ["", "Orders", "-a", "a-", "a..b", ".a", "a_b", "shop/orders", "a:b", "*"] {
        refused(
            &account(bad),
            None,
            "spec.serviceAccounts[0].name",
            "a service account's name",
        );
    }
}

#[test]
fn an_existing_identity_is_named_by_its_id_or_by_group_and_name_and_stays_what_it_is() {
    let existing = |value: Value| spec(&json!({ "existing": value }));
    let subscription = "6f2e1c1d-52a4-4d0c-8d2f-0c6a2d0b7a11";
    let named = existing(json!({ "name": "billing", "resourceGroup": "shared" }));
    accepted(&named);
    accepted(&existing(
        json!({ "name": "billing", "resourceGroup": "shared", "subscriptionId": subscription }),
    ));
    for half in [
        json!({}),
        json!({ "name": "billing" }),
        json!({ "resourceGroup": "shared" }),
        json!({ "subscriptionId": subscription }),
        json!({ "resourceId": ID, "name": "billing", "resourceGroup": "shared" }),
        json!({ "resourceId": ID, "subscriptionId": subscription }),
    ] {
        refused(
            &existing(half),
            None,
            "spec.identity.existing",
            "by resourceId alone, or by name and resourceGroup",
        );
    }
    let other = existing(json!({ "name": "bank", "resourceGroup": "shared" }));
    refused(&other, Some(&named), "spec.identity.existing.name", "cannot be changed");
    let elsewhere = existing(json!({ "name": "billing", "resourceGroup": "shared", "subscriptionId": subscription }));
    refused(
        &elsewhere,
        Some(&named),
        "spec.identity.existing.subscriptionId",
        "cannot be changed",
    );
    let by_id = existing(json!({ "resourceId": ID }));
    assert!(!refusals(&by_id, Some(&named)).is_empty());
    assert!(!refusals(&named, Some(&by_id)).is_empty());
}

#[test]
fn a_condition_and_a_description_are_texts_without_control_characters() {
    let scope = "/subscriptions/6f2e1c1d-52a4-4d0c-8d2f-0c6a2d0b7a11";
    for field in ["condition", "description"] {
        let role = |text: &str| {
            with(
                "roleAssignments",
                &json!([{"role": "Reader", "scope": scope, field: text}]),
            )
        };
        for good in ["x", "a\n  b\tc", "@Resource[a:name] StringEquals 'ä'"] {
            accepted(&role(good));
        }
        for bad in [" x", "x\n", "a\u{0}b", "a\u{1b}b"] {
            refused(
                &role(bad),
                None,
                &format!("spec.roleAssignments[0].{field}"),
                "control characters",
            );
        }
    }
}

#[test]
fn ids_are_exported_into_no_config_map_that_the_cluster_itself_makes() {
    let export = |name: &str| with("export", &json!({"configMap": {"name": name}}));
    for good in ["orders-identity", "a", "istio", "my-kube-root-ca.crt"] {
        accepted(&export(good));
    }
    let field = "spec.export.configMap.name";
    for bad in ["", "Orders", "a_b", "../x", "shop/orders"] {
        refused(&export(bad), None, field, "a ConfigMap's name");
    }
    for reserved in [
        "kube-root-ca.crt",
        "kube-anything",
        "istio-ca-root-cert",
        "openshift-service-ca.crt",
    ] {
        refused(&export(reserved), None, field, "choose another one");
    }
}

#[test]
fn an_audience_has_no_white_space_and_no_wildcard() {
    for good in ["api://AzureADTokenExchange", "api://AzureADTokenExchangeUSGov", "x"] {
        accepted(&with("audience", &json!(good)));
    }
    for bad in ["", " ", "a b", "a\tb", "a\u{a0}b", "a\u{0}b", "api://*"] {
        refused(&with("audience", &json!(bad)), None, "spec.audience", "white space");
    }
}

#[test]
fn a_role_is_a_name_a_guid_or_an_id_and_a_scope_leads_nowhere_else() {
    let role = |role: &str, scope: &str| with("roleAssignments", &json!([{"role": role, "scope": scope}]));
    let vault = "/subscriptions/6f2e1c1d-52a4-4d0c-8d2f-0c6a2d0b7a11/resourceGroups/shop/providers/Microsoft.KeyVault/vaults/orders";
    accepted(&role("Key Vault Secrets User", vault));
    accepted(&role(
        "4633458b-17de-408a-b874-0445c86b69e6",
        "/subscriptions/6f2e1c1d-52a4-4d0c-8d2f-0c6a2d0b7a11",
    ));
    accepted(&role("Reader", "/providers/Microsoft.Management/managementGroups/shop"));
    for id in [
        "/providers/Microsoft.Authorization/roleDefinitions/4633458b-17de-408a-b874-0445c86b69e6",
        "/subscriptions/6f2e1c1d-52a4-4d0c-8d2f-0c6a2d0b7a11/providers/microsoft.authorization/ROLEDEFINITIONS/4633458B-17de-408a-b874-0445c86b69e6",
    ] {
        accepted(&role(id, vault));
    }
    for bad in [
        "",
        " Reader",
        "Reader ",
        "/subscriptions/x/roleDefinitions/y",
        "/providers/Microsoft.Authorization/roleDefinitions/Reader",
        "/subscriptions/6f2e1c1d-52a4-4d0c-8d2f-0c6a2d0b7a11/resourceGroups/x/providers/Microsoft.Authorization/roleDefinitions/4633458b-17de-408a-b874-0445c86b69e6",
        "Rea\nder",
    ] {
        refused(
            &role(bad, vault),
            None,
            "spec.roleAssignments[0].role",
            "built-in role's name",
        );
    }
    for bad in [
        String::new(),
        "/".to_owned(),
        "/subscriptions/shop".to_owned(),
        format!("{vault}/"),
        format!("{vault}/../payments"),
        format!("{vault}/."),
        format!("{vault}/secrets"),
        format!("{vault}*"),
        "/providers/Microsoft.Management/managementGroups/shop/more".to_owned(),
        vault.replace("/shop/", "//"),
        vault.replace("/shop/", "/%2e%2e/"),
        vault.replace("/shop/", "/sh op/"),
        "/providers/Microsoft.Authorization".to_owned(),
    ] {
        refused(
            &role("Reader", &bad),
            None,
            "spec.roleAssignments[0].scope",
            "Azure resource id",
        );
    }
}

#[test]
fn tags_are_those_that_azure_takes_and_not_the_operators_own() {
    accepted(&managed(
        "tags",
        &json!({"team": "shop", "cost center": "", &"k".repeat(512): "x"}),
    ));
    for bad in ["", "a<b", "a>b", "a%b", "a&b", "a\\b", "a?b", "a/b", &"k".repeat(513)] {
        refused(
            &managed("tags", &json!({bad: "x"})),
            None,
            "spec.identity.managed.tags",
            "1 to 512 characters",
        );
    }
    for bad in ["workloadidentity.dev-cluster", "WorkloadIdentity.Dev"] {
        refused(
            &managed("tags", &json!({bad: "x"})),
            None,
            "spec.identity.managed.tags",
            "the operator's own",
        );
    }
}

#[test]
fn a_binding_means_the_same_identity_for_ever() {
    let id = "6f2e1c1d-52a4-4d0c-8d2f-0c6a2d0b7a11";
    let other_id = "7f2e1c1d-52a4-4d0c-8d2f-0c6a2d0b7a11";
    for (field, value, other) in [
        ("name", "orders", "payments"),
        ("subscriptionId", id, other_id),
        ("resourceGroup", "shop", "bank"),
        ("location", "westeurope", "northeurope"),
    ] {
        let path = format!("spec.identity.managed.{field}");
        let none = spec(&json!({"managed": {}}));
        let one = managed(field, &json!(value));
        let another = managed(field, &json!(other));
        refused(&another, Some(&one), &path, "cannot be changed");
        refused(&none, Some(&one), &path, "cannot be changed");
        refused(&one, Some(&none), &path, "cannot be changed");
        assert!(refusals(&one, Some(&one)).is_empty());
    }
    refused(
        &existing(&ID.replace("/orders", "/payments")),
        Some(&existing(ID)),
        "spec.identity.existing.resourceId",
        "cannot be changed",
    );
    let managed = spec(&json!({"managed": {}}));
    refused(
        &existing(ID),
        Some(&managed),
        "spec.identity",
        "between managed and existing",
    );
    refused(
        &managed,
        Some(&existing(ID)),
        "spec.identity",
        "between managed and existing",
    );
}

#[test]
fn an_id_may_be_written_in_another_case_because_azure_disregards_it() {
    let as_azure_answers = ID.replace("resourceGroups", "resourcegroups");
    assert!(refusals(&existing(&as_azure_answers), Some(&existing(ID))).is_empty());
    assert!(
        refusals(
            &managed("resourceGroup", &json!("SHOP")),
            Some(&managed("resourceGroup", &json!("shop")))
        )
        .is_empty()
    );
}

#[test]
fn everything_else_may_change() {
    let old = spec(&json!({"managed": {"tags": {"team": "shop"}}}));
    let new = json!({
        "identity": {"managed": {"tags": {"team": "bank"}}},
        "serviceAccounts": [{"name": "payments", "create": false, "conflictPolicy": "Force", "tokenExpirationSeconds": 7200}],
        "audience": "api://other",
        "deletionPolicy": "Orphan",
        "suspend": true,
    });
    assert_eq!(refusals(&new, Some(&old)), Vec::<String>::new());
}
