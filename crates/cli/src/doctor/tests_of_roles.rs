//! The operator's rights in Azure: what is looked at, and what is said of what is missing.

use serde_json::{Value, json};
use wio_api::WorkloadIdentityBinding;
use wio_testkit::FakeApiServer;

use crate::Session;

use super::own_roles::OwnRole;
use super::tests::{CLIENT_ID, SUBSCRIPTION, effective, healthy, of, simulated, told};
use super::{Examination, Finding, Level, Way, examine, gather, trees};

const PRINCIPAL: &str = "1a2b3c4d-0000-4000-8000-0000000091c1";
const VAULT: &str = "/subscriptions/6f2e1c1d-52a4-4d0c-8d2f-0c6a2d0b7a11/resourceGroups/platform";
const SECRETS_USER: &str = "4633458b-17de-408a-b874-0445c86b69e6";
const ROLES: [OwnRole; 6] = [
    OwnRole::Identities,
    OwnRole::FederatedCredentials,
    OwnRole::RoleAssignments,
    OwnRole::RoleAssignmentsReader,
    OwnRole::ActivityLogReader,
    OwnRole::ClusterReader,
];

fn group(name: &str) -> String {
    format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/{name}")
}

fn guid(role: OwnRole) -> String {
    format!("0000000{}-8f0a-4a37-9a6d-5f0c8d5f7e21", role as u8)
}

/// A role of the operator as Azure knows it, given to it at a scope.
fn given(number: usize, role: OwnRole, scope: &str) -> Value {
    json!({
        "name": format!("1000000{number}-8f0a-4a37-9a6d-5f0c8d5f7e21"), "scope": scope, "roleDefinitionId": guid(role),
        "principalId": PRINCIPAL, "principalType": "ServicePrincipal",
        "createdOn": "2026-01-01T00:00:00Z", "updatedOn": "2026-01-01T00:00:00Z", "createdBy": "",
    })
}

fn defined(role: OwnRole) -> Value {
    let defined = role.defined().unwrap();
    json!({
        "name": guid(role), "roleName": defined.name, "custom": true, "permissions": [{ "actions": defined.actions }],
        "assignableScopes": [format!("/subscriptions/{SUBSCRIPTION}")],
    })
}

/// An Azure with the operator's identity, these roles, and these of them given to it.
fn azure(roles: &[OwnRole], assigned: &[(OwnRole, &str)]) -> Value {
    let groups = ["workload-identities", "workload-identities-2", "operator", "platform"];
    let groups = groups.map(|name| json!({ "subscriptionId": SUBSCRIPTION, "name": name, "location": "westeurope" }));
    let assigned = assigned.iter().enumerate();
    json!({
        "resourceGroups": groups,
        "identities": [{
            "id": format!("{}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/operator", group("operator")),
            "location": "westeurope", "clientId": CLIENT_ID, "principalId": PRINCIPAL,
            "isolationScope": "None", "createdAt": "2026-01-01T00:00:00Z", "credentials": [],
        }],
        "roleDefinitions": roles.iter().map(|role| defined(*role)).collect::<Vec<_>>(),
        "roleAssignments": assigned.map(|(number, (role, scope))| given(number, *role, scope)).collect::<Vec<_>>(),
    })
}

async fn examined(server: &FakeApiServer, azure: Option<Value>) -> Examination {
    let way = azure.map(|snapshot| Way {
        azure: Ok(simulated(snapshot)),
        id: None,
    });
    let session = Session {
        client: server.client(),
        namespace: "shop".to_owned(),
    };
    examine(&gather(&session, way.as_ref()).await)
}

async fn rights(server: &FakeApiServer, azure: Option<Value>) -> Finding {
    let found = examined(server, azure).await;
    println!("{}", told(&trees(&found)));
    of(&found, "azure-rights").clone()
}

/// The operator says this of a binding that asks for a role in the vault's group.
fn says(server: &FakeApiServer, authorized: &str, part: &str, reason: &str) {
    server.edit::<WorkloadIdentityBinding>("shop", "orders", |object| {
        object["spec"]["roleAssignments"] = json!([{ "role": "Key Vault Secrets User", "scope": VAULT }]);
    });
    server.edit::<WorkloadIdentityBinding>("shop", "orders", |object| {
        let generation = object["metadata"]["generation"].clone();
        let condition = |kind: &str, status: &str, reason: &str| {
            json!({ "type": kind, "status": status, "reason": reason, "message": "", "observedGeneration": generation, "lastTransitionTime": "2026-01-01T00:00:00Z" })
        };
        let status = if reason == "Succeeded" { "True" } else { "False" };
        object["status"]["conditions"] = json!([condition("Authorized", authorized, "Succeeded"), condition(part, status, reason)]);
    });
}

#[test]
fn the_roles_are_read_from_their_files() {
    for role in ROLES {
        let defined = role.defined().unwrap();
        assert!(defined.name.starts_with("Workload Identity Operator - "), "{defined:?}");
        assert!(!defined.actions.is_empty(), "{defined:?}");
    }
}

#[tokio::test]
async fn without_a_login_it_is_told_by_what_bindings_say() {
    let server = healthy();
    let found = rights(&server, None).await;
    assert_eq!(found.level, Level::Green);
    assert!(found.says.contains("1 is ready; Azure was not asked"), "{found:?}");
    for (part, reason) in [
        ("Ready", "AuthorizationFailed"),
        ("RoleAssignmentsReady", "RoleAccessDenied"),
    ] {
        says(&server, "True", part, reason);
        let found = rights(&server, None).await;
        assert_eq!(found.level, Level::Red);
        assert!(found.says.contains("by their status"), "{found:?}");
        assert!(
            found.details[0].starts_with(&format!("shop/orders: {reason}")),
            "{found:?}"
        );
    }
    server.delete::<WorkloadIdentityBinding>("shop", "orders");
    assert_eq!(rights(&server, None).await.level, Level::NotLookedAt);
}

#[tokio::test]
async fn what_it_lacks_is_named_with_the_command_that_gives_it() {
    use OwnRole::{ActivityLogReader, Identities};
    let server = healthy();
    let subscription = format!("/subscriptions/{SUBSCRIPTION}");
    let own = group("workload-identities")
        .to_uppercase()
        .replace("/SUBSCRIPTIONS/", "/subscriptions/");
    let whole = [(Identities, own.as_str()), (ActivityLogReader, subscription.as_str())];
    let found = rights(&server, Some(azure(&ROLES, &whole))).await;
    assert_eq!((found.level, found.details.len()), (Level::Green, 0));
    assert!(
        found.says.contains(PRINCIPAL) && found.says.contains("2 places"),
        "{found:?}"
    );
    // From above it holds as well.
    let above = [(Identities, subscription.as_str())];
    let found = rights(&server, Some(azure(&ROLES, &above))).await;
    assert_eq!(found.level, Level::Green);
    assert!(
        found.details[0].contains("Microsoft.Insights/eventtypes/values/read; it works without"),
        "{found:?}"
    );

    let beside = group("workload-identities-2");
    let found = rights(&server, Some(azure(&ROLES, &[(Identities, beside.as_str())]))).await;
    assert_eq!(found.level, Level::Red);
    assert!(found.details[0].contains("userAssignedIdentities/write"), "{found:?}");
    let expected = format!(
        "az role assignment create --assignee-object-id {PRINCIPAL} --assignee-principal-type ServicePrincipal --role 'Workload Identity Operator - \
         Identities' --scope {}",
        group("workload-identities")
    );
    assert_eq!(found.fix, [expected]);
    let found = rights(&server, Some(azure(&[], &[]))).await;
    assert!(
        found.fix[0].starts_with("az role definition create") && found.fix[0].contains("roles/identities.json"),
        "{found:?}"
    );
    assert_eq!(found.fix.len(), 2);
}

#[tokio::test]
async fn what_bindings_ask_for_is_needed_once_policies_allow_it() {
    use OwnRole::{Identities, RoleAssignmentsReader};
    let server = healthy();
    let subscription = format!("/subscriptions/{SUBSCRIPTION}");
    let own = group("workload-identities");
    let assigned = [
        (Identities, own.as_str()),
        (RoleAssignmentsReader, subscription.as_str()),
    ];
    says(&server, "False", "Ready", "NotPermitted");
    assert_eq!(
        rights(&server, Some(azure(&ROLES, &assigned))).await.level,
        Level::Green
    );
    says(&server, "True", "Ready", "Succeeded");
    let found = rights(&server, Some(azure(&ROLES, &assigned))).await;
    assert_eq!(found.level, Level::Red);
    assert!(
        found.fix[0].contains(&format!("--scope {VAULT} --condition-version 2.0"))
            && found.fix[0].contains(SECRETS_USER),
        "{found:?}"
    );
    // What was decided of an earlier edit says nothing of this one.
    server.edit::<WorkloadIdentityBinding>("shop", "orders", |object| {
        object["spec"]["suspend"] = json!(true);
    });
    assert_eq!(
        rights(&server, Some(azure(&ROLES, &assigned))).await.level,
        Level::Green
    );
}

#[tokio::test]
async fn who_has_every_role_and_is_refused_all_the_same_is_told_so() {
    let server = healthy();
    let own = group("workload-identities");
    says(&server, "False", "Ready", "AuthorizationFailed");
    let found = rights(&server, Some(azure(&ROLES, &[(OwnRole::Identities, own.as_str())]))).await;
    assert_eq!(found.level, Level::Yellow);
    assert!(found.says.contains("up to ten minutes"), "{found:?}");
}

#[tokio::test]
async fn an_identity_that_is_not_found_is_not_known_to_have_its_roles() {
    let server = healthy();
    effective(&server, |one| {
        one.spec.subscription_id = "00000000-0000-4000-8000-000000000001".to_owned();
    });
    let found = rights(&server, Some(azure(&ROLES, &[]))).await;
    assert_eq!(found.level, Level::Unknown);
    assert!(found.says.contains(CLIENT_ID), "{found:?}");
}
