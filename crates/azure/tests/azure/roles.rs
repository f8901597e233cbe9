//! Role assignments: what is sent, what is understood, and what Azure's own rules make of it.

use http::Request;
use serde_json::{Value, json};
use wio_azure_sim::{Fault, ResourceKind, Simulator};
use wio_core::absence::Deletion;
use wio_core::desired::DesiredBinding;
use wio_core::fault::{AzureCause, AzureFault, Fault as Trouble};
use wio_core::names::{PrincipalId, RoleAssignmentName, RoleDefinitionGuid, Scope};
use wio_core::observed::Tags;
use wio_core::reasons::{Disposition, disposition};

use wio_api::Reason;
use wio_azure::{Azure, NoClock};

use crate::fixtures::{
    PRINCIPAL_ID, Response, SUBSCRIPTION, TOKEN, answered, cloud, desired_with, error_response, json_response, name,
    response,
};

const GROUP: &str = "/subscriptions/6f2e1c1d-52a4-4d0c-8d2f-0c6a2d0b7a11/resourceGroups/operator";
const VAULT: &str = "/subscriptions/6f2e1c1d-52a4-4d0c-8d2f-0c6a2d0b7a11/resourceGroups/operator/providers/\
                     Microsoft.KeyVault/vaults/orders";
const SECRETS_USER: &str = "4633458b-17de-408a-b874-0445c86b69e6";
const SOMEBODY_ELSES: &str = "05c5a614-a7d6-4502-b150-c2fb455033ff";

fn secrets_user() -> DesiredBinding {
    desired_with("orders", &[("Key Vault Secrets User", VAULT)])
}

fn scope(text: &str) -> Scope {
    name(text)
}

/// An identity in the cloud; gives its principal.
async fn identity(azure: &Azure, binding: &DesiredBinding) -> PrincipalId {
    let put = azure
        .put_identity(&binding.granted, &name("westeurope"), &Tags::new())
        .await
        .unwrap();
    put.view.facts.principal_id
}

/// What somebody else does to the cloud.
async fn by_hand(simulator: &Simulator, method: &str, path: &str, body: &Value) -> Value {
    let request = Request::builder()
        .method(method)
        .uri(format!("https://management.azure.com{path}?api-version=2022-04-01"))
        .header("authorization", format!("Bearer {TOKEN}"))
        .header("content-type", "application/json")
        .body(
            if body.is_null() {
                String::new()
            } else {
                body.to_string()
            }
            .into(),
        )
        .unwrap();
    let answer = simulator.handle(request).await.unwrap();
    assert!(answer.status().is_success(), "{answer:?}");
    serde_json::from_slice(answer.body()).unwrap()
}

async fn assigned_by_hand(simulator: &Simulator, at: &str, called: &str, role: &str, principal: PrincipalId) {
    let path = format!("{at}/providers/Microsoft.Authorization/roleAssignments/{called}");
    let body = json!({"properties": {
        "roleDefinitionId": format!("/providers/Microsoft.Authorization/roleDefinitions/{role}"),
        "principalId": principal.to_string(),
        "principalType": "ServicePrincipal",
    }});
    by_hand(simulator, "PUT", &path, &body).await;
}

fn reason(fault: AzureFault) -> Reason {
    disposition(&Trouble::Azure(fault)).reason()
}

fn ours(binding: &DesiredBinding, principal: PrincipalId) -> RoleAssignmentName {
    let role = &binding.roles[0];
    binding
        .owner
        .role_assignment_name(role.scope(), principal, role.definition())
}

/// An assignment as Azure shows it.
fn body(called: &str, at: &str, definition: &str, principal: &str) -> Value {
    json!({
        "id": format!("{at}/providers/Microsoft.Authorization/roleAssignments/{called}"),
        "name": called,
        "type": "Microsoft.Authorization/roleAssignments",
        "properties": {"scope": at, "roleDefinitionId": definition, "principalId": principal, "principalType": "ServicePrincipal"},
    })
}

#[tokio::test(start_paused = true)]
async fn roles_are_given_listed_over_pages_and_taken_away() {
    let (azure, simulator) = cloud(|config| config.page_size = 2).await;
    let scopes: Vec<String> = (0..5).map(|number| format!("{VAULT}{number}")).collect();
    let roles: Vec<(&str, &str)> = scopes
        .iter()
        .map(|at| ("Key Vault Secrets User", at.as_str()))
        .collect();
    let binding = desired_with("orders", &roles);
    let principal = identity(&azure, &binding).await;
    let subscription = scope(&format!("/subscriptions/{SUBSCRIPTION}"));
    assert_eq!(azure.list_role_assignments(&subscription, principal).await.unwrap(), []);
    for role in &binding.roles {
        let put = || azure.put_role_assignment(&binding.granted, &binding.owner, role, principal);
        let written = put().await.unwrap();
        assert!(binding.owner.owns_assignment(&written) && role.is_given_by(&written, principal));
        assert_eq!(put().await.unwrap(), written, "a second time changes nothing");
    }
    assigned_by_hand(&simulator, GROUP, SOMEBODY_ELSES, SECRETS_USER, name(PRINCIPAL_ID)).await;

    let listed = azure.list_role_assignments(&subscription, principal).await.unwrap();
    assert_eq!(listed.len(), 5, "over three pages, and those of nobody else");
    assert!(listed.iter().all(|seen| binding.owner.owns_assignment(seen)));
    let below = azure.list_role_assignments(&scope(VAULT), principal).await.unwrap();
    assert_eq!(below, [], "none holds there");

    let revoke = binding.granted.revocable();
    for seen in &listed {
        let at = scope(&seen.scope);
        azure.delete_role_assignment(&revoke, &at, seen.name).await.unwrap();
        azure.delete_role_assignment(&revoke, &at, seen.name).await.unwrap();
    }
    assert_eq!(azure.list_role_assignments(&subscription, principal).await.unwrap(), []);
    assert_eq!(simulator.snapshot().role_assignments.len(), 1, "somebody else's stays");
}

#[tokio::test(start_paused = true)]
async fn an_equal_assignment_of_somebody_else_is_found_and_never_becomes_ours() {
    let (azure, simulator) = cloud(|_| {}).await;
    let binding = secrets_user();
    let principal = identity(&azure, &binding).await;
    let reader = "acdd72a7-3385-48ef-bd42-f606fba81ae7";
    let other = "b0f43c54-e787-4862-89b1-a653fa9cf747";
    assigned_by_hand(&simulator, GROUP, other, reader, principal).await;
    assigned_by_hand(&simulator, VAULT, SOMEBODY_ELSES, SECRETS_USER, principal).await;
    let put = || azure.put_role_assignment(&binding.granted, &binding.owner, &binding.roles[0], principal);
    let found = put().await.unwrap();
    assert_eq!(found.name, name(SOMEBODY_ELSES));
    assert!(!binding.owner.owns_assignment(&found));

    // A list that does not show it yet, or cannot be had, is no proof of anything.
    for unlisted in [
        Fault::on("GET")
            .kind(ResourceKind::RoleAssignment)
            .respond(500, "InternalServerError"),
        Fault::on("GET")
            .kind(ResourceKind::RoleAssignment)
            .respond(404, "ResourceNotFound"),
    ] {
        simulator.inject(unlisted);
        assert_eq!(reason(put().await.unwrap_err()), Reason::RoleAssignmentExists);
    }
}

#[tokio::test(start_paused = true)]
async fn what_azure_refuses_is_told_apart() {
    let (azure, simulator) = cloud(|config| config.role_assignment_limit = 1).await;
    let binding = secrets_user();
    let principal = identity(&azure, &binding).await;
    let put = || azure.put_role_assignment(&binding.granted, &binding.owner, &binding.roles[0], principal);

    simulator.inject(
        Fault::on("PUT")
            .kind(ResourceKind::RoleAssignment)
            .respond(400, "PrincipalNotFound"),
    );
    let fault = Trouble::Azure(put().await.unwrap_err());
    assert_eq!(
        disposition(&fault),
        Disposition::Wait {
            reason: Reason::PrincipalNotFound
        }
    );

    let derived = ours(&binding, principal).to_string();
    let owner = RoleDefinitionGuid::OWNER.to_string();
    assigned_by_hand(&simulator, VAULT, &derived, &owner, principal).await;
    let fault = put().await.unwrap_err();
    assert!(
        matches!(&fault.cause, AzureCause::Answer(answer) if answer.code == "RoleAssignmentUpdateNotPermitted"),
        "{fault}"
    );
    assert_eq!(reason(fault), Reason::RoleAssignmentConflict);
    let taken = format!("{VAULT}/providers/Microsoft.Authorization/roleAssignments/{derived}");
    by_hand(&simulator, "DELETE", &taken, &Value::Null).await;

    assigned_by_hand(&simulator, GROUP, SOMEBODY_ELSES, &owner, name(PRINCIPAL_ID)).await;
    assert_eq!(reason(put().await.unwrap_err()), Reason::RoleAssignmentLimitExceeded);
}

#[tokio::test(start_paused = true)]
async fn a_new_identity_can_have_roles_at_once_because_its_type_is_said() {
    let (azure, _) = cloud(|config| config.principal_replication = std::time::Duration::from_mins(2)).await;
    let binding = secrets_user();
    let principal = identity(&azure, &binding).await;
    azure
        .put_role_assignment(&binding.granted, &binding.owner, &binding.roles[0], principal)
        .await
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_lost_permission_is_named_with_the_scope_where_it_is_missing() {
    let (azure, simulator) = cloud(|_| {}).await;
    let binding = secrets_user();
    let principal = identity(&azure, &binding).await;
    simulator.reconfigure(|config| config.authorization = true);
    let role = &binding.roles[0];
    let faults = [
        (
            "write",
            azure
                .put_role_assignment(&binding.granted, &binding.owner, role, principal)
                .await
                .unwrap_err(),
        ),
        (
            "read",
            azure.list_role_assignments(role.scope(), principal).await.unwrap_err(),
        ),
        (
            "delete",
            azure
                .delete_role_assignment(&binding.granted.revocable(), role.scope(), ours(&binding, principal))
                .await
                .unwrap_err(),
        ),
    ];
    for (verb, fault) in faults {
        let missing = format!("does not allow Microsoft.Authorization/roleAssignments/{verb} at {VAULT}");
        assert!(fault.to_string().contains(&missing), "{fault}");
        assert_eq!(reason(fault), Reason::RoleAccessDenied);
    }
}

#[tokio::test(start_paused = true)]
async fn a_scope_that_is_not_there_is_named_and_has_no_assignments() {
    let (azure, _) = cloud(|_| {}).await;
    let nowhere = VAULT.replace("/operator/", "/nowhere/");
    let binding = desired_with("orders", &[("Key Vault Secrets User", &nowhere)]);
    let principal = identity(&azure, &binding).await;
    let fault = azure
        .put_role_assignment(&binding.granted, &binding.owner, &binding.roles[0], principal)
        .await
        .unwrap_err();
    assert_eq!(fault.cause, AzureCause::RoleScopeNotFound(name(&nowhere)));
    assert_eq!(reason(fault), Reason::RoleScopeNotFound);
    assert_eq!(
        azure.list_role_assignments(&scope(&nowhere), principal).await.unwrap(),
        []
    );
}

#[tokio::test]
async fn deleting_what_is_not_there_is_done_and_what_may_only_be_invisible_is_not() {
    let binding = secrets_user();
    let revoke = binding.granted.revocable();
    let delete = async |answer: Response| {
        let (azure, seen) = answered(vec![answer]);
        let done = azure
            .delete_role_assignment(&revoke, &scope(VAULT), name(SOMEBODY_ELSES))
            .await;
        let request = seen.only();
        assert_eq!(
            format!("{} {}", request.method(), request.uri()),
            format!(
                "DELETE https://management.azure.com{VAULT}/providers/Microsoft.Authorization/roleAssignments/\
                 {SOMEBODY_ELSES}?api-version=2022-04-01"
            )
        );
        done
    };
    let shown = body(SOMEBODY_ELSES, VAULT, "x", PRINCIPAL_ID);
    for answer in [
        json_response(200, &shown),
        response(204, &[], ""),
        error_response(404, "RoleAssignmentNotFound"),
        error_response(404, "ResourceNotFound"),
        error_response(404, "ResourceGroupNotFound"),
    ] {
        delete(answer).await.unwrap();
    }
    for answer in [
        error_response(404, "SubscriptionNotFound"),
        error_response(404, "InvalidResourceType"),
        response(404, &[("content-type", "text/html")], "<html>no such page</html>"),
        error_response(409, "ScopeLocked"),
    ] {
        delete(answer).await.unwrap_err();
    }
}

#[tokio::test]
async fn a_role_is_asked_for_in_the_subscription_with_the_type_of_its_principal() {
    let binding = secrets_user();
    let principal = name(PRINCIPAL_ID);
    let derived = ours(&binding, principal).to_string();
    // As Azure answers: without the subscription, and in another case.
    let definition = format!(
        "/providers/Microsoft.Authorization/RoleDefinitions/{}",
        SECRETS_USER.to_uppercase()
    );
    let shown = body(
        &derived.to_uppercase(),
        &VAULT.to_uppercase(),
        &definition,
        &PRINCIPAL_ID.to_uppercase(),
    );
    let (azure, seen) = answered(vec![json_response(201, &shown)]);
    let written = azure
        .put_role_assignment(&binding.granted, &binding.owner, &binding.roles[0], principal)
        .await
        .unwrap();
    assert!(
        binding.owner.owns_assignment(&written),
        "in whatever case it comes back"
    );
    let request = seen.only();
    assert_eq!(
        format!("{} {}", request.method(), request.uri()),
        format!(
            "PUT https://management.azure.com{VAULT}/providers/Microsoft.Authorization/roleAssignments/{derived}\
             ?api-version=2022-04-01"
        )
    );
    let sent: Value = serde_json::from_slice(request.body()).unwrap();
    assert_eq!(
        sent,
        json!({"properties": {
            "roleDefinitionId":
                format!("/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Authorization/roleDefinitions/{SECRETS_USER}"),
            "principalId": PRINCIPAL_ID,
            "principalType": "ServicePrincipal",
        }})
    );
}

#[tokio::test]
async fn an_answer_about_another_assignment_is_not_believed() {
    let binding = secrets_user();
    let principal = name(PRINCIPAL_ID);
    let derived = ours(&binding, principal).to_string();
    for shown in [
        body(SOMEBODY_ELSES, VAULT, SECRETS_USER, PRINCIPAL_ID),
        body(&derived, GROUP, SECRETS_USER, PRINCIPAL_ID),
        body(&derived, VAULT, "acdd72a7-3385-48ef-bd42-f606fba81ae7", PRINCIPAL_ID),
        body(&derived, VAULT, SECRETS_USER, SOMEBODY_ELSES),
        body("x", VAULT, SECRETS_USER, PRINCIPAL_ID),
        json!({}),
    ] {
        let (azure, _) = answered(vec![json_response(200, &shown)]);
        let fault = azure
            .put_role_assignment(&binding.granted, &binding.owner, &binding.roles[0], principal)
            .await
            .unwrap_err();
        assert!(matches!(fault.cause, AzureCause::Malformed(_)), "{shown}: {fault}");
    }
}

/// A permission of one binding must not serve another one, whose policy may give it nothing.
#[tokio::test]
async fn a_role_that_the_witness_does_not_permit_never_leaves() {
    let (azure, seen) = answered(vec![error_response(500, "InternalServerError")]);
    let binding = secrets_user();
    let without = desired_with("orders", &[("Reader", GROUP)]);
    let fault = azure
        .put_role_assignment(&without.granted, &binding.owner, &binding.roles[0], name(PRINCIPAL_ID))
        .await
        .unwrap_err();
    assert!(matches!(fault.cause, AzureCause::Refused(_)), "{fault}");
    assert_eq!(seen.count(), 0);
}

#[tokio::test]
async fn a_list_is_filtered_by_the_principal_and_keeps_what_is_odd() {
    let definition = format!(
        "/subscriptions/{SUBSCRIPTION}/PROVIDERS/x/roleDefinitions/{}",
        SECRETS_USER.to_uppercase()
    );
    let first = json!({
        "value": [body(SOMEBODY_ELSES, "/", &definition, PRINCIPAL_ID), body("x", VAULT, &definition, PRINCIPAL_ID)],
        "nextLink": format!("https://management.azure.com{GROUP}/providers/Microsoft.Authorization/roleAssignments?%24skiptoken=a"),
    });
    let last = json!({"value": [], "nextLink": ""});
    let (azure, seen) = answered(vec![json_response(200, &first), json_response(200, &last)]);
    let found = azure
        .list_role_assignments(&scope(GROUP), name(PRINCIPAL_ID))
        .await
        .unwrap();
    let [root] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!((root.scope.as_str(), root.definition), ("/", name(SECRETS_USER)));
    assert_eq!(
        root.id(),
        format!("/providers/Microsoft.Authorization/roleAssignments/{SOMEBODY_ELSES}")
    );
    let urls: Vec<String> = seen.all().iter().map(|request| request.uri().to_string()).collect();
    let all = format!("https://management.azure.com{GROUP}/providers/Microsoft.Authorization/roleAssignments");
    assert_eq!(
        urls,
        [
            format!("{all}?api-version=2022-04-01&$filter=principalId%20eq%20%27{PRINCIPAL_ID}%27"),
            format!("{all}?%24skiptoken=a&api-version=2022-04-01"),
        ]
    );
}

/// Names lead to GUIDs by a table of ours; the simulator has one of its own.
#[tokio::test]
async fn the_names_of_built_in_roles_mean_what_they_mean_in_azure() {
    let (_, simulator) = cloud(|config| config.page_size = 1000).await;
    let path = format!("/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Authorization/roleDefinitions");
    let listed = by_hand(&simulator, "GET", &path, &Value::Null).await;
    let roles = listed["value"].as_array().unwrap();
    assert!(roles.len() > 10);
    for role in roles {
        let called = role["properties"]["roleName"].as_str().unwrap();
        let known: RoleDefinitionGuid = name(called);
        assert_eq!(known.to_string(), role["name"].as_str().unwrap(), "{called}");
        assert_eq!(known.built_in_name(), Some(called));
    }
}

/// A role that a condition withheld was never given, and may not be taken away either: the deletion of its binding waited for ever.
#[tokio::test(start_paused = true)]
async fn what_may_not_be_deleted_is_looked_for_before_it_is_said_to_stand() {
    let (azure, simulator) = cloud(|_| {}).await;
    let binding = secrets_user();
    let principal = identity(&azure, &binding).await;
    let forbidden = Fault::on("DELETE").kind(ResourceKind::RoleAssignment).forever();
    simulator.inject(forbidden.respond(403, "AuthorizationFailed"));
    let (role, revoke) = (&binding.roles[0], binding.granted.revocable());
    let delete = async || {
        azure
            .delete_role_assignment(&revoke, role.scope(), ours(&binding, principal))
            .await
    };
    assert_eq!(delete().await.unwrap(), Deletion::NotThere);
    azure
        .put_role_assignment(&binding.granted, &binding.owner, role, principal)
        .await
        .unwrap();
    assert_eq!(reason(delete().await.unwrap_err()), Reason::RoleAccessDenied);
}

#[tokio::test]
async fn what_a_principal_may_do_is_read_by_its_client_id_its_assignments_and_their_roles() {
    let (azure, simulator) = cloud(|_| ()).await;
    let binding = secrets_user();
    let principal = identity(&azure, &binding).await;
    assigned_by_hand(&simulator, GROUP, SOMEBODY_ELSES, SECRETS_USER, principal).await;
    let elsewhere = "b0f43c54-e787-4862-89b1-a653fa9cf747";
    assigned_by_hand(&simulator, GROUP, elsewhere, SECRETS_USER, name(PRINCIPAL_ID)).await;

    let subscription = scope(&format!("/subscriptions/{SUBSCRIPTION}"));
    let held = azure.list_roles_held(&subscription, principal).await.unwrap();
    let held: Vec<_> = held.iter().map(|one| (one.name, one.definition)).collect();
    assert_eq!(held, [(name(SOMEBODY_ELSES), name(SECRETS_USER))]);

    let role = azure
        .get_role(&subscription, name(SECRETS_USER))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(role.name, "Key Vault Secrets User");
    assert!(!role.allows("Microsoft.Authorization/roleAssignments/write"));
    let none: RoleDefinitionGuid = name("00000000-e787-4862-89b1-a653fa9cf747");
    assert_eq!(azure.get_role(&subscription, none).await.unwrap(), None);

    let view = azure.get_identity(binding.granted.identity()).await.unwrap().unwrap();
    let found = azure
        .find_identity(name(SUBSCRIPTION), view.facts.client_id)
        .await
        .unwrap();
    assert_eq!(found.unwrap().id, *binding.granted.identity());
    assert_eq!(
        azure
            .find_identity(name(SUBSCRIPTION), name(PRINCIPAL_ID))
            .await
            .unwrap(),
        None
    );
    // What could not be read is no answer.
    simulator.inject(Fault::on("GET").respond(500, "InternalServerError").times(3));
    assert!(azure.get_role(&subscription, none).await.is_err());
    assert!(azure.list_roles_held(&subscription, principal).await.is_err());
    assert!(
        azure
            .find_identity(name(SUBSCRIPTION), view.facts.client_id)
            .await
            .is_err()
    );
}

#[tokio::test]
async fn the_clock_of_entra_is_the_date_of_whatever_it_answers() {
    let date = "Sat, 28 Nov 2026 09:45:00 GMT";
    let (azure, _) = answered(vec![response(404, &[("date", date)], ""), response(200, &[], "")]);
    let time = azure.time_of_entra().await.unwrap();
    assert_eq!(time.to_string(), "2026-11-28T09:45:00Z");
    assert_eq!(azure.time_of_entra().await, Err(NoClock::NoDate));
}
