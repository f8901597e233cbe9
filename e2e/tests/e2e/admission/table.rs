//! What is tried at admission, and what it says.

use serde_json::{Value, json};
use wio_e2e::operator::NODE_GROUP;
use wio_e2e::simulator::{LOCATION, OTHER_GROUP, PLATFORM_GROUP, RESOURCE_GROUP, SUBSCRIPTION, group_id, identity_id};

/// A binding, and either nothing or parts of the message with which it is refused.
pub(super) type Tried = (Value, &'static [&'static str]);

pub(super) fn policies() -> [Value; 3] {
    let policy = |name: &str, spec: Value| {
        json!({
            "apiVersion": "workloadidentity.dev/v1alpha1",
            "kind": "WorkloadIdentityPolicy",
            "metadata": { "name": name },
            "spec": spec,
        })
    };
    [
        policy(
            "admission-one",
            json!({
                "namespaces": { "names": ["admission"] },
                "serviceAccounts": ["orders", "batch-*", "*-job"],
                "existingIdentities": [
                    identity_id(OTHER_GROUP, "shop-*"),
                    identity_id("Team-*", "*"),
                    format!("/subscriptions/*/resourceGroups/anywhere/{PROVIDER}/exactly"),
                ],
                "managedIdentities": [{
                    "subscriptionId": SUBSCRIPTION, "resourceGroup": OTHER_GROUP, "namePrefix": "Shop-", "locations": ["northeurope"],
                }],
                "roles": [
                    { "role": "Reader", "scopes": [group_id("team-a")] },
                    { "role": "7f951dda-4ed3-4680-a7ca-43fe172d538d", "scopes": [format!("/subscriptions/{SUBSCRIPTION}")] },
                    { "role": "Owner", "scopes": [group_id("team-a")] },
                ],
                "maxFederatedCredentials": 3,
                "allowOrphan": true,
            }),
        ),
        policy(
            "admission-two",
            json!({
                "namespaces": { "selector": { "matchExpressions": [
                    { "key": "admission.example.com/tier", "operator": "In", "values": ["one", "two"] },
                    { "key": "admission.example.com/closed", "operator": "DoesNotExist" },
                ] } },
                "existingIdentities": [identity_id(OTHER_GROUP, "two"), identity_id(NODE_GROUP, "*")],
            }),
        ),
        policy(
            "admission-broken",
            json!({
                "namespaces": { "names": ["admission"] },
                "roles": [{ "role": "No Such Role", "scopes": [group_id("team-a")] }],
            }),
        ),
    ]
}

const PROVIDER: &str = "providers/Microsoft.ManagedIdentity/userAssignedIdentities";

pub(super) fn binding(identity: &Value, accounts: &[&str]) -> Value {
    let accounts: Vec<Value> = accounts.iter().map(|name| json!({ "name": name })).collect();
    json!({ "identity": identity, "serviceAccounts": accounts })
}

pub(super) fn of(id: &str, accounts: &[&str]) -> Value {
    binding(&json!({ "existing": { "resourceId": id } }), accounts)
}

pub(super) fn existing(name: &str, accounts: &[&str]) -> Value {
    of(&identity_id(OTHER_GROUP, name), accounts)
}

fn managed(fields: &Value) -> Value {
    binding(&json!({ "managed": fields }), &["orders"])
}

pub(super) fn with(mut spec: Value, field: &str, value: &Value) -> Value {
    if let Some(fields) = spec.as_object_mut() {
        fields.insert(field.to_owned(), value.clone());
    }
    spec
}

fn roles(accounts: &[&str], roles: &[(&str, &str)]) -> Value {
    let roles: Vec<Value> = roles
        .iter()
        .map(|(role, scope)| json!({ "role": role, "scope": scope }))
        .collect();
    with(
        binding(&json!({ "managed": {} }), accounts),
        "roleAssignments",
        &json!(roles),
    )
}

/// What is tried. Beside the policies of the test stands that of the harness, which is for every namespace.
#[allow(clippy::too_many_lines, reason = "it is a table")]
pub(super) fn tried() -> Vec<Tried> {
    const EXISTING: &str = "spec.identity.existing.resourceId is not permitted";
    let elsewhere = "11111111-2222-4333-8444-555555555555";
    let role_id = |guid: &str| format!("/providers/Microsoft.Authorization/roleDefinitions/{guid}");
    let acr_pull = role_id("7F951DDA-4ED3-4680-A7CA-43FE172D538D");
    let owner = role_id("8e3af657-a8ff-443c-a75c-2fe8c4bcb635");
    let (team_a, evil) = (group_id("team-a"), group_id("team-a-evil"));
    let vault = format!("{}/providers/Microsoft.KeyVault/vaults/one", group_id("TEAM-A"));
    let orphan = |spec| with(spec, "deletionPolicy", &json!("Orphan"));
    vec![
        // By default.
        (managed(&json!({})), &[]),
        (managed(&json!({ "name": "Admission_any-name", "adopt": true })), &[]),
        (
            managed(&json!({ "name": "admission-any-name" })),
            &[
                "spec.identity.managed.name is not permitted: it asks for admission-any-name",
                "under a derived name or one that begins with admission_",
            ],
        ),
        (
            managed(&json!({ "name": "wib-admission-tried-aaaaaaaaaaaaaaaa" })),
            &["names that begin with wib- are the operator's own"],
        ),
        (
            managed(
                &json!({ "subscriptionId": SUBSCRIPTION, "resourceGroup": RESOURCE_GROUP.to_uppercase(), "location": LOCATION }),
            ),
            &[],
        ),
        (
            managed(&json!({ "location": "northeurope" })),
            &[
                "spec.identity.managed.location is not permitted: it asks for northeurope",
                "leave it out",
            ],
        ),
        // Existing identities.
        (existing("shop-orders", &["orders"]), &[]),
        (existing("SHOP-ORDERS", &["batch-1", "night-job"]), &[]),
        (of(&identity_id("TEAM-x", "anything"), &["orders"]), &[]),
        (
            of(
                &format!("/subscriptions/{elsewhere}/resourceGroups/anywhere/{PROVIDER}/exactly"),
                &["orders"],
            ),
            &[],
        ),
        (existing("two", &["nobody-else"]), &[]),
        (
            existing("bank", &["orders"]),
            &[
                EXISTING,
                "userAssignedIdentities/bank",
                "platform team",
                "for namespace admission",
            ],
        ),
        (existing("xshop-orders", &["orders"]), &[EXISTING]),
        (
            of(&identity_id("Team-x", "WIB-shop-orders-aaaaaaaaaaaaaaaa"), &["orders"]),
            &[EXISTING, "as the operator derives it for one binding"],
        ),
        (of(&identity_id("team", "anything"), &["orders"]), &[EXISTING]),
        (of(&identity_id("other2", "shop-orders"), &["orders"]), &[EXISTING]),
        (
            of(
                &format!("/subscriptions/{elsewhere}/resourceGroups/anywhere/{PROVIDER}/exactly-not"),
                &["orders"],
            ),
            &[EXISTING],
        ),
        (
            of(
                &format!("/subscriptions/{elsewhere}/resourceGroups/{OTHER_GROUP}/{PROVIDER}/shop-orders"),
                &["orders"],
            ),
            &[EXISTING],
        ),
        (
            existing("shop-orders", &["orders", "mails"]),
            &[
                "spec.serviceAccounts[1].name is not permitted: service account mails may not have",
                "admission-one gives it to others",
            ],
        ),
        (
            of(&identity_id(&NODE_GROUP.to_uppercase(), "kubelet"), &["orders"]),
            &[EXISTING, "one of the cluster's own identities", "use another identity"],
        ),
        // Managed identities elsewhere.
        (
            managed(&json!({ "resourceGroup": "Other", "location": "northeurope" })),
            &[],
        ),
        (
            managed(&json!({ "resourceGroup": OTHER_GROUP, "location": "northeurope", "name": "sHoP-1" })),
            &[],
        ),
        (
            managed(&json!({ "resourceGroup": OTHER_GROUP })),
            &["spec.identity.managed.location is not permitted: it asks for westeurope"],
        ),
        (
            managed(&json!({ "resourceGroup": OTHER_GROUP, "location": "northeurope", "name": "bank-1" })),
            &["spec.identity.managed.name is not permitted: it asks for bank-1"],
        ),
        (
            managed(&json!({ "resourceGroup": PLATFORM_GROUP })),
            &["spec.identity.managed.resourceGroup is not permitted: it asks for platform"],
        ),
        (
            managed(&json!({ "subscriptionId": elsewhere })),
            &["spec.identity.managed.subscriptionId is not permitted: it asks for 11111111-"],
        ),
        (
            managed(&json!({ "resourceGroup": NODE_GROUP })),
            &["spec.identity.managed.resourceGroup", "the cluster's own"],
        ),
        // Roles.
        (roles(&["orders"], &[("reader", &vault), (&acr_pull, &evil)]), &[]),
        (
            roles(&["orders"], &[("acdd72a7-3385-48ef-bd42-f606fba81ae7", &team_a)]),
            &[],
        ),
        (
            roles(&["orders"], &[("Reader", &evil)]),
            &["spec.roleAssignments[].scope is not permitted", "Reader at"],
        ),
        (
            roles(&["orders"], &[("Reader", &format!("/subscriptions/{SUBSCRIPTION}"))]),
            &["spec.roleAssignments[].scope is not permitted"],
        ),
        (
            roles(&["orders"], &[("Reader", &team_a), ("Contributor", &team_a)]),
            &[
                "spec.roleAssignments[].role is not permitted",
                "gives Contributor at",
                "spec.roles",
            ],
        ),
        (
            roles(&["orders"], &[("No Such Role", &team_a)]),
            &["spec.roleAssignments[].role", "No Such Role"],
        ),
        (
            roles(&["orders", "mails"], &[("Reader", &team_a)]),
            &["spec.serviceAccounts[1].name is not permitted: service account mails may not have Reader at"],
        ),
        (
            roles(&["orders"], &[(&owner, &team_a)]),
            &[
                "spec.roleAssignments[].role is not permitted",
                "give itself any other",
                "does not manage access",
            ],
        ),
        // How many, and what is left behind.
        (
            binding(&json!({ "managed": {} }), &["a", "b", "c", "d"]),
            &[
                "spec.serviceAccounts is not permitted",
                "may hold 3 federated credentials",
                "asks for 4",
            ],
        ),
        (orphan(managed(&json!({}))), &[]),
        (orphan(existing("shop-orders", &["orders"])), &[]),
        (
            orphan(existing("two", &["mails"])),
            &[
                "spec.deletionPolicy is not permitted",
                "service account mails",
                "RetainIdentity",
                "spec.allowOrphan",
            ],
        ),
    ]
}
