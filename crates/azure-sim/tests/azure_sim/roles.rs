//! Role assignments, and what they allow.

use std::time::Duration;

use serde_json::{Value, json};
use wio_azure_sim::Config;

use crate::cloud::{Answer, Cloud, GROUP, SUBSCRIPTION, credential, identity};

const READER: &str = "acdd72a7-3385-48ef-bd42-f606fba81ae7";
const OWNER: &str = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635";
const ROLE_ADMINISTRATOR: &str = "f58310d9-a9f6-439a-9e8d-f62e7b41a168";
const IDENTITY_CONTRIBUTOR: &str = "e40ec5ca-96e0-45a2-b4ff-59039f2c2b59";
const ONE: &str = "05c5a614-a7d6-4502-b150-c2fb455033ff";
const TWO: &str = "b0f43c54-e787-4862-89b1-a653fa9cf747";

fn assignment(scope: &str, name: &str) -> String {
    format!("{scope}/providers/Microsoft.Authorization/roleAssignments/{name}")
}

fn grant(role: &str, principal: &str) -> Value {
    let role = format!("/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Authorization/roleDefinitions/{role}");
    json!({"properties": {"roleDefinitionId": role, "principalId": principal, "principalType": "ServicePrincipal"}})
}

/// A cloud with an identity; gives its principal id.
async fn cloud(config: Config) -> (Cloud, String) {
    let cloud = Cloud::new(config).await;
    let principal = cloud
        .put_identity("ide")
        .await
        .expect_status(201)
        .property("principalId");
    (cloud, principal)
}

#[tokio::test]
async fn an_assignment_comes_back_with_its_role_in_the_subscription_of_the_request_and_knows_its_creator_later() {
    let (cloud, principal) = cloud(Config::default()).await;
    let written = cloud
        .put(&assignment(GROUP, ONE), &grant(READER, &principal))
        .await
        .expect_status(201);
    let role = format!("/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Authorization/roleDefinitions/{READER}");
    assert_eq!(written.property("roleDefinitionId"), role);
    assert_eq!(written.body["properties"]["createdBy"], Value::Null);
    let read = cloud.get(&assignment(GROUP, ONE)).await.expect_status(200);
    assert_eq!(read.property("roleDefinitionId"), role);
    let creator = Config::static_principal(crate::cloud::TOKEN).to_string();
    assert_eq!(read.property("createdBy"), creator);
    let fraction = written.property("createdOn").split_once('.').unwrap().1.to_owned();
    assert_eq!(fraction.len(), "1234567Z".len());
    let (listed, _) = cloud.list(assignment(GROUP, "").trim_end_matches('/')).await;
    assert_eq!(listed[0]["properties"]["roleDefinitionId"], role);
    assert_eq!(written.property("scope"), GROUP);
    assert_eq!(written.body["id"], assignment(GROUP, ONE));
    assert_eq!(written.property("createdOn"), written.property("updatedOn"));
    let again = cloud
        .put(&assignment(GROUP, ONE), &grant(READER, &principal))
        .await
        .expect_status(200);
    assert_eq!(again.property("createdOn"), written.property("createdOn"));
}

#[tokio::test]
async fn a_grant_that_exists_under_another_name_is_a_conflict() {
    let (cloud, principal) = cloud(Config::default()).await;
    cloud
        .put(&assignment(GROUP, ONE), &grant(READER, &principal))
        .await
        .expect_status(201);
    let answer = cloud.put(&assignment(GROUP, TWO), &grant(READER, &principal)).await;
    let answer = answer.expect_error(409, "RoleAssignmentExists");
    let existing = ONE.replace('-', "");
    assert_eq!(
        answer.message(),
        format!("The role assignment already exists. The ID of the existing role assignment is {existing}.")
    );
    cloud
        .put(&assignment(GROUP, TWO), &grant(OWNER, &principal))
        .await
        .expect_status(201);
}

#[tokio::test]
async fn the_name_of_an_assignment_belongs_to_one_grant() {
    let (cloud, principal) = cloud(Config::default()).await;
    cloud
        .put(&assignment(GROUP, ONE), &grant(READER, &principal))
        .await
        .expect_status(201);
    let answer = cloud.put(&assignment(GROUP, ONE), &grant(OWNER, &principal)).await;
    let answer = answer.expect_error(400, "RoleAssignmentUpdateNotPermitted");
    assert_eq!(
        answer.message(),
        "Tenant ID, application ID, principal ID, and scope are not allowed to be updated."
    );
}

#[tokio::test]
async fn an_assignments_name_is_a_guid() {
    let (cloud, principal) = cloud(Config::default()).await;
    let answer = cloud
        .put(&assignment(GROUP, "reader-of-orders"), &grant(READER, &principal))
        .await;
    answer.expect_error(400, "InvalidRoleAssignmentId");
    cloud
        .delete(&assignment(GROUP, "reader-of-orders"))
        .await
        .expect_error(400, "InvalidRoleAssignmentId");
}

#[tokio::test]
async fn a_condition_must_be_well_formed_and_of_the_second_version() {
    let (cloud, principal) = cloud(Config::default()).await;
    let with = |condition: &str, version: &str| {
        let mut body = grant(READER, &principal);
        body["properties"]["condition"] = json!(condition);
        body["properties"]["conditionVersion"] = json!(version);
        body
    };
    let good = only(READER);
    for (condition, version) in [(good.as_str(), "1.0"), ("@Resource[x] stringEquals 'foo'", "2.0")] {
        let answer = cloud.put(&assignment(GROUP, ONE), &with(condition, version)).await;
        assert_eq!(answer.status, 400, "{answer:#?}");
        assert_eq!(answer.message(), "The given role assignment condition is invalid.");
    }
    cloud
        .put(&assignment(GROUP, ONE), &with(&good, "2.0"))
        .await
        .expect_status(201);
}

/// What people are told to run must be taken by Azure: `config/azure`.
#[tokio::test]
async fn the_conditions_and_definitions_of_the_product_are_taken() {
    let (cloud, principal) = cloud(Config::default()).await;
    let root = crate::cloud::file("../../../config/azure");
    let read = |path: &str| std::fs::read_to_string(root.join(path)).unwrap();
    let roles = std::fs::read_dir(root.join("roles")).unwrap();
    let roles = roles.map(|entry| format!("roles/{}", entry.unwrap().file_name().into_string().unwrap()));
    let definitions = roles.filter(|name| std::path::Path::new(name).extension().is_some_and(|it| it == "json"));
    let definitions: Vec<String> = definitions.chain(["people/binding-editor.json".to_owned()]).collect();
    assert_eq!(definitions.len(), 7);
    for (number, path) in definitions.iter().enumerate() {
        let role: Value = serde_json::from_str(&read(path)).unwrap();
        let body = json!({"properties": {
            "roleName": role["Name"],
            "permissions": [{
                "actions": role["Actions"],
                "notActions": role["NotActions"],
                "dataActions": role["DataActions"],
                "notDataActions": role["NotDataActions"],
            }],
            "assignableScopes": role["AssignableScopes"],
        }});
        let id = format!(
            "{GROUP}/providers/Microsoft.Authorization/roleDefinitions/{}",
            uuid::Uuid::from_u128(number as u128)
        );
        cloud.put(&id, &body).await.expect_status(201);
    }
    for (name, path) in [
        (ONE, "roles/role-assignments.condition"),
        (TWO, "people/binding-editor.condition"),
    ] {
        let role = if name == ONE { READER } else { OWNER };
        let mut body = grant(role, &principal);
        body["properties"]["condition"] = json!(read(path).replace("ROLES", READER));
        body["properties"]["conditionVersion"] = json!("2.0");
        cloud.put(&assignment(GROUP, name), &body).await.expect_status(201);
    }
}

#[tokio::test]
async fn a_definition_with_one_unknown_action_is_refused_whole() {
    let cloud = Cloud::new(Config::default()).await;
    let id = format!("{GROUP}/providers/Microsoft.Authorization/roleDefinitions/{ONE}");
    let role = |description: Option<&str>, action: &str| {
        let permissions = json!([{"actions": ["*/read", action]}]);
        json!({"properties": {"roleName": "mine", "description": description, "permissions": permissions}})
    };
    let typo = "Microsoft.ManagedIdentity/userAssignedIdentity/write";
    let answer = cloud.put(&id, &role(None, typo)).await;
    let answer = answer.expect_error(400, "InvalidActionOrNotAction");
    assert_eq!(
        answer.message(),
        format!("'{typo}' does not match any of the actions supported by the providers.")
    );
    cloud.get(&id).await.expect_status(404);
    let written = cloud
        .put(&id, &role(None, "Microsoft.Authorization/roleAssignments/write"))
        .await;
    let written = written.expect_status(201);
    assert_eq!(written.body["properties"]["description"], Value::Null);
    let creator = Config::static_principal(crate::cloud::TOKEN).to_string();
    for name in ["createdBy", "updatedBy"] {
        assert_eq!(written.property(name), creator);
    }
    assert_eq!(written.property("createdOn"), written.property("updatedOn"));
    let reader = format!("{GROUP}/providers/Microsoft.Authorization/roleDefinitions/{READER}");
    let built_in = cloud.get(&reader).await.expect_status(200);
    assert!(built_in.property("description").starts_with("View all resources"));
}

#[tokio::test]
async fn a_deleted_assignment_is_given_back_once_and_is_then_not_found() {
    let (cloud, principal) = cloud(Config::default()).await;
    let id = assignment(GROUP, ONE);
    let written = cloud.put(&id, &grant(READER, &principal)).await.expect_status(201);
    let deleted = cloud.delete(&id).await.expect_status(200);
    assert_eq!(deleted.body["id"], written.body["id"]);
    cloud.delete(&id).await.expect_status(204);
    cloud.get(&id).await.expect_error(404, "RoleAssignmentNotFound");
}

#[tokio::test]
async fn an_assignment_outlives_its_principal() {
    let (cloud, principal) = cloud(Config::default()).await;
    cloud
        .put(&assignment(GROUP, ONE), &grant(READER, &principal))
        .await
        .expect_status(201);
    cloud.delete(&identity("ide")).await.expect_status(200);
    assert_eq!(
        cloud
            .get(&assignment(GROUP, ONE))
            .await
            .expect_status(200)
            .property("principalId"),
        principal
    );
}

#[tokio::test(start_paused = true)]
async fn a_principal_that_is_not_replicated_is_taken_on_trust_when_its_type_is_said() {
    let window = Duration::from_secs(30);
    let (cloud, principal) = cloud(Config {
        principal_replication: window,
        ..Config::default()
    })
    .await;
    let mut body = grant(READER, &principal);
    body["properties"].as_object_mut().unwrap().remove("principalType");
    cloud
        .put(&assignment(GROUP, ONE), &body)
        .await
        .expect_error(400, "PrincipalNotFound");
    cloud
        .put(&assignment(GROUP, ONE), &grant(READER, &principal))
        .await
        .expect_status(201);
    cloud.delete(&assignment(GROUP, ONE)).await.expect_status(200);
    tokio::time::advance(window).await;
    cloud.put(&assignment(GROUP, ONE), &body).await.expect_status(201);
}

#[tokio::test]
async fn a_subscription_holds_so_many_assignments() {
    let (cloud, principal) = cloud(Config {
        role_assignment_limit: 1,
        ..Config::default()
    })
    .await;
    cloud
        .put(&assignment(GROUP, ONE), &grant(READER, &principal))
        .await
        .expect_status(201);
    cloud
        .put(&assignment(GROUP, ONE), &grant(READER, &principal))
        .await
        .expect_status(200);
    let refused = cloud.put(&assignment(GROUP, TWO), &grant(OWNER, &principal)).await;
    assert!(refused.status.is_client_error(), "{refused:#?}");
    assert_eq!(refused.body["error"]["code"], "RoleAssignmentLimitExceeded");
}

#[tokio::test]
async fn a_list_can_be_of_one_principal_and_comes_in_pages() {
    let (cloud, principal) = cloud(Config {
        page_size: 1,
        ..Config::default()
    })
    .await;
    let other = cloud.put_identity("other").await.property("principalId");
    let subscription = format!("/subscriptions/{SUBSCRIPTION}");
    cloud
        .put(&assignment(&subscription, ONE), &grant(READER, &principal))
        .await
        .expect_status(201);
    cloud
        .put(&assignment(GROUP, TWO), &grant(OWNER, &principal))
        .await
        .expect_status(201);
    cloud
        .put(
            &assignment(GROUP, "11111111-1111-1111-1111-111111111111"),
            &grant(READER, &other),
        )
        .await
        .expect_status(201);
    let list = |scope: &str, filter: &str| format!("{}{filter}", assignment(scope, "").trim_end_matches('/'));
    let of = format!("?$filter=principalId%20eq%20%27{principal}%27");
    let (all, pages) = cloud.list(&list(&subscription, "")).await;
    assert_eq!((all.len(), pages), (3, 3));
    assert_eq!(
        cloud.list(&list(&subscription, &of)).await.0.len(),
        2,
        "what lies below the scope is listed"
    );
    let (here, _) = cloud.list(&list(&subscription, "?$filter=atScope()")).await;
    assert_eq!(here.len(), 1, "at the scope itself or above it");
}

/// A caller that is an identity of the cloud, where rights count.
async fn caller() -> (Cloud, Cloud, String) {
    let principal = Config::static_principal("operator").to_string();
    let cloud = Cloud::new(Config::default().with_static_token("operator")).await;
    let subscription = format!("/subscriptions/{SUBSCRIPTION}");
    let me = Config::static_principal(crate::cloud::TOKEN).to_string();
    cloud
        .put(&assignment(&subscription, ONE), &grant(OWNER, &me))
        .await
        .expect_status(201);
    cloud.simulator.reconfigure(|config| config.authorization = true);
    let operator = cloud.with_token("operator");
    (cloud, operator, principal)
}

#[track_caller]
fn assert_forbidden(answer: Answer, action: &str) {
    let answer = answer.expect_error(403, "AuthorizationFailed");
    assert!(answer.message().contains(action), "{answer:#?}");
}

#[tokio::test]
async fn a_caller_may_do_what_a_role_grants_at_the_scope_or_above_it() {
    let (cloud, operator, principal) = caller().await;
    let write = "Microsoft.ManagedIdentity/userAssignedIdentities/write";
    assert_forbidden(operator.put_identity("ide").await, write);
    cloud
        .put(&assignment(GROUP, TWO), &grant(IDENTITY_CONTRIBUTOR, &principal))
        .await
        .expect_status(201);
    operator.put_identity("ide").await.expect_status(201);
    operator.put_credential("ide", "fic", "a").await.expect_status(201);
    let role = operator
        .put(
            &assignment(GROUP, "11111111-1111-1111-1111-111111111111"),
            &grant(READER, &principal),
        )
        .await;
    assert_forbidden(role, "Microsoft.Authorization/roleAssignments/write");
    // A prefix of characters is no scope.
    let sibling = GROUP.replace("/rg", "/rg2");
    cloud
        .put(&sibling, &json!({"location": "westeurope"}))
        .await
        .expect_status(201);
    let other = identity("ide").replace("/rg/", "/rg2/");
    assert_forbidden(operator.put(&other, &json!({"location": "westeurope"})).await, write);
    cloud.delete(&assignment(GROUP, TWO)).await.expect_status(200);
    assert_forbidden(
        operator.delete(&credential("ide", "fic")).await,
        "federatedIdentityCredentials/delete",
    );
}

/// Microsoft's own example of a delegate who may assign one role to service principals.
fn only(role: &str) -> String {
    let branch = |verb: &str, source: &str| {
        let attribute = format!("@{source}[Microsoft.Authorization/roleAssignments");
        format!(
            "((!(ActionMatches{{'Microsoft.Authorization/roleAssignments/{verb}'}})) OR \
             ({attribute}:RoleDefinitionId] ForAnyOfAnyValues:GuidEquals {{{role}}} AND \
             {attribute}:PrincipalType] ForAnyOfAnyValues:StringEqualsIgnoreCase {{'ServicePrincipal'}}))"
        )
    };
    format!("{} AND {}", branch("write", "Request"), branch("delete", "Resource"))
}

#[tokio::test]
async fn a_caller_assigns_and_deletes_the_roles_that_the_condition_of_its_own_allows_and_no_others() {
    let (cloud, operator, principal) = caller().await;
    let workload = cloud
        .put_identity("ide")
        .await
        .expect_status(201)
        .property("principalId");
    let mut administrator = grant(ROLE_ADMINISTRATOR, &principal);
    administrator["properties"]["condition"] = json!(only(READER));
    administrator["properties"]["conditionVersion"] = json!("2.0");
    cloud
        .put(&assignment(GROUP, TWO), &administrator)
        .await
        .expect_status(201);
    let three = assignment(GROUP, "11111111-1111-1111-1111-111111111111");
    let four = assignment(GROUP, "22222222-2222-2222-2222-222222222222");

    let mut silent = grant(READER, &workload);
    silent["properties"].as_object_mut().unwrap().remove("principalType");
    for refused in [grant(OWNER, &workload), silent] {
        assert_forbidden(
            operator.put(&three, &refused).await,
            "has an authorization with ABAC condition that is not fulfilled to perform action \
             'Microsoft.Authorization/roleAssignments/write'",
        );
    }
    operator.put(&three, &grant(READER, &workload)).await.expect_status(201);

    cloud
        .put(&four, &grant(IDENTITY_CONTRIBUTOR, &workload))
        .await
        .expect_status(201);
    assert_forbidden(
        operator.delete(&four).await,
        "Microsoft.Authorization/roleAssignments/delete",
    );
    operator.delete(&three).await.expect_status(200);
    // What the role grants beside that is not limited.
    operator.get(&four).await.expect_status(200);
}

#[tokio::test(start_paused = true)]
async fn a_new_assignment_grants_nothing_until_it_has_spread() {
    let (cloud, operator, principal) = caller().await;
    let delay = Duration::from_mins(5);
    tokio::time::advance(delay).await;
    cloud.simulator.reconfigure(|config| config.role_propagation = delay);
    cloud
        .put(&assignment(GROUP, TWO), &grant(IDENTITY_CONTRIBUTOR, &principal))
        .await
        .expect_status(201);
    assert_forbidden(operator.put_identity("ide").await, "write");
    tokio::time::advance(delay).await;
    operator.put_identity("ide").await.expect_status(201);
}
