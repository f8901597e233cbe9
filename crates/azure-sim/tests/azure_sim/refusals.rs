//! What stands above a resource and refuses or changes what is written: subscriptions, locks, policies, and a resource
//! group that goes.

use serde_json::{Value, json};
use uuid::Uuid;
use wio_azure_sim::{Config, Lock, LockLevel, SubscriptionState, TagPolicy};

use crate::cloud::{Cloud, GROUP, SUBSCRIPTION, credential, identity};

const READER: &str = "/providers/Microsoft.Authorization/roleDefinitions/acdd72a7-3385-48ef-bd42-f606fba81ae7";
const NAME: &str = "05c5a614-a7d6-4502-b150-c2fb455033ff";

fn assignment(scope: &str) -> String {
    format!("{scope}/providers/Microsoft.Authorization/roleAssignments/{NAME}")
}

fn grant(principal: &str) -> Value {
    json!({"properties": {"roleDefinitionId": READER, "principalId": principal}})
}

/// A cloud with an identity, a credential and a role at the resource group.
async fn cloud() -> (Cloud, Value) {
    let cloud = Cloud::new(Config::default()).await;
    let principal = cloud.put_identity("ide").await.property("principalId");
    cloud.put_credential("ide", "one", "a").await.expect_status(201);
    let grant = grant(&principal);
    cloud.put(&assignment(GROUP), &grant).await.expect_status(201);
    (cloud, grant)
}

fn lock(cloud: &Cloud, scope: &str, level: LockLevel) {
    let mut snapshot = cloud.simulator.snapshot();
    snapshot.locks = vec![Lock {
        scope: scope.to_owned(),
        name: "keep".to_owned(),
        level,
        notes: None,
    }];
    cloud.simulator.restore(snapshot);
}

fn set(cloud: &Cloud, state: SubscriptionState) {
    let subscription = Uuid::try_parse(SUBSCRIPTION).unwrap();
    cloud.simulator.reconfigure(|config| {
        config.subscription_states.insert(subscription, state);
    });
}

#[tokio::test]
async fn a_lock_against_deletion_holds_below_its_scope_for_credentials_and_roles_too() {
    let (cloud, grant) = cloud().await;
    let subscription = format!("/subscriptions/{SUBSCRIPTION}");
    for scope in [
        &subscription,
        &GROUP.to_uppercase().replace("SUBSCRIPTIONS", "subscriptions"),
    ] {
        lock(&cloud, scope, LockLevel::CanNotDelete);
        for id in [
            identity("ide"),
            credential("ide", "one"),
            assignment(GROUP),
            GROUP.to_owned(),
        ] {
            let answer = cloud.delete(&id).await.expect_error(409, "ScopeLocked");
            let said = format!(
                "The scope '{id}' cannot perform delete operation because following scope(s) are locked: '{scope}'. Please remove the lock and try again."
            );
            assert_eq!(answer.message(), said);
        }
    }
    cloud.put_identity("ide").await.expect_status(200);
    cloud.put_credential("ide", "two", "b").await.expect_status(201);
    cloud.put(&assignment(GROUP), &grant).await.expect_status(200);
}

#[tokio::test]
async fn a_lock_of_an_identity_holds_for_its_credentials_and_keeps_its_group() {
    let (cloud, _) = cloud().await;
    lock(&cloud, &identity("ide"), LockLevel::CanNotDelete);
    cloud
        .delete(&credential("ide", "one"))
        .await
        .expect_error(409, "ScopeLocked");
    cloud.delete(GROUP).await.expect_error(409, "ScopeLocked");
    cloud.delete(&assignment(GROUP)).await.expect_status(200);
    cloud.simulator.restore(wio_azure_sim::Snapshot {
        locks: Vec::new(),
        ..cloud.simulator.snapshot()
    });
    cloud.delete(&credential("ide", "one")).await.expect_status(200);
}

#[tokio::test]
async fn a_read_only_lock_refuses_every_change() {
    let (cloud, grant) = cloud().await;
    lock(&cloud, GROUP, LockLevel::ReadOnly);
    cloud.put_identity("ide").await.expect_error(409, "ScopeLocked");
    cloud
        .patch(&identity("ide"), &json!({"tags": {}}))
        .await
        .expect_error(409, "ScopeLocked");
    cloud
        .put_credential("ide", "two", "b")
        .await
        .expect_error(409, "ScopeLocked");
    cloud
        .put(&assignment(GROUP), &grant)
        .await
        .expect_error(409, "ScopeLocked");
    cloud
        .delete(&credential("ide", "one"))
        .await
        .expect_error(409, "ScopeLocked");
    cloud.get(&identity("ide")).await.expect_status(200);
}

#[tokio::test]
async fn a_provider_that_is_not_registered_refuses_writes_of_its_own_resources() {
    let (cloud, grant) = cloud().await;
    set(&cloud, SubscriptionState::Unregistered);
    let answer = cloud.put_identity("new").await;
    let answer = answer.expect_error(409, "MissingSubscriptionRegistration");
    assert!(answer.message().contains("Microsoft.ManagedIdentity"), "{answer:#?}");
    cloud
        .put_credential("ide", "two", "b")
        .await
        .expect_error(409, "MissingSubscriptionRegistration");
    cloud.put(&assignment(GROUP), &grant).await.expect_status(200);
    cloud.delete(&credential("ide", "one")).await.expect_status(200);
}

#[tokio::test]
async fn a_provider_that_somebody_registers_takes_writes_again() {
    let (cloud, _) = cloud().await;
    set(&cloud, SubscriptionState::Unregistered);
    let provider =
        |namespace: &str| format!("/subscriptions/{SUBSCRIPTION}/providers/{namespace}?api-version=2022-12-01");
    let register = async |namespace: &str| {
        let path = provider(&format!("{namespace}/register"));
        cloud.send("POST", &path, None).await
    };
    let state = async || {
        let answer = cloud.get(&provider("microsoft.managedidentity")).await;
        answer.expect_status(200).body["registrationState"].clone()
    };
    assert_eq!(state().await, "NotRegistered");
    let other = register("Microsoft.Authorization").await.expect_status(200);
    assert_eq!(other.body["registrationState"], "Registered");
    register("Microsoft.Typo")
        .await
        .expect_error(404, "InvalidResourceNamespace");
    assert_eq!(state().await, "NotRegistered");

    let answer = register("Microsoft.ManagedIdentity").await.expect_status(200);
    let id = format!("/subscriptions/{SUBSCRIPTION}/providers/Microsoft.ManagedIdentity");
    assert_eq!(answer.body["id"], id);
    assert_eq!(answer.body["registrationState"], "Registering");
    assert_eq!(
        answer.body["resourceTypes"][0]["resourceType"],
        "userAssignedIdentities"
    );
    assert_eq!(state().await, "Registered");
    cloud.put_identity("new").await.expect_status(201);
    let again = register("Microsoft.ManagedIdentity").await.expect_status(200);
    assert_eq!(again.body["registrationState"], "Registered");
}

#[tokio::test]
async fn who_may_not_write_in_a_disabled_subscription_may_not_register_there() {
    let (cloud, _) = cloud().await;
    set(&cloud, SubscriptionState::Disabled);
    let path =
        format!("/subscriptions/{SUBSCRIPTION}/providers/Microsoft.ManagedIdentity/register?api-version=2022-12-01");
    let answer = cloud.send("POST", &path, None).await;
    answer.expect_error(409, "ReadOnlyDisabledSubscription");
    cloud
        .put_identity("new")
        .await
        .expect_error(409, "ReadOnlyDisabledSubscription");
}

#[tokio::test]
async fn a_disabled_subscription_lets_read_and_delete_alone() {
    let (cloud, grant) = cloud().await;
    set(&cloud, SubscriptionState::Disabled);
    let refused = "ReadOnlyDisabledSubscription";
    cloud.put_identity("ide").await.expect_error(409, refused);
    cloud.put_credential("ide", "two", "b").await.expect_error(409, refused);
    cloud.put(&assignment(GROUP), &grant).await.expect_error(409, refused);
    cloud.get(&identity("ide")).await.expect_status(200);
    cloud.delete(&credential("ide", "one")).await.expect_status(200);
}

#[tokio::test]
async fn a_subscription_of_another_tenant_refuses_a_token_that_is_good_elsewhere() {
    let (cloud, _) = cloud().await;
    set(&cloud, SubscriptionState::OfAnotherTenant);
    let answer = cloud.get(&identity("ide")).await;
    answer.expect_error(401, "InvalidAuthenticationTokenTenant");
    let other = GROUP.replace(SUBSCRIPTION, "00000000-0000-0000-0000-000000000002");
    cloud
        .put(&other, &json!({"location": "westeurope"}))
        .await
        .expect_status(201);
}

#[tokio::test]
async fn a_policy_gives_a_tag_its_value_whatever_is_sent() {
    let (cloud, _) = cloud().await;
    let policy = |tag: &str, value: Option<&str>| TagPolicy {
        scope: GROUP.to_owned(),
        tag: tag.to_owned(),
        value: value.map(str::to_owned),
    };
    cloud.simulator.reconfigure(|config| {
        config.tag_policies = vec![policy("Owner", Some("central")), policy("secret", None)];
    });
    let tags = json!({"owner": "me", "team": "shop", "secret": "x"});
    let body = json!({"location": "westeurope", "tags": tags});
    let modified = json!({"Owner": "central", "team": "shop"});
    let written = cloud.put(&identity("ide"), &body).await.expect_status(200);
    assert_eq!(written.body["tags"], modified);
    let patched = cloud.patch(&identity("ide"), &json!({"tags": tags})).await;
    assert_eq!(patched.expect_status(200).body["tags"], modified);
    let bare = cloud.put_identity("new").await.expect_status(201);
    assert_eq!(bare.body["tags"], json!({"Owner": "central"}));
    let elsewhere = GROUP.replace("/rg", "/other");
    let location = json!({"location": "westeurope", "tags": tags});
    cloud.put(&elsewhere, &location).await.expect_status(201);
    let other = identity("ide").replace(GROUP, &elsewhere);
    assert_eq!(cloud.put(&other, &location).await.expect_status(201).body["tags"], tags);
}

#[tokio::test]
async fn a_body_that_is_not_said_to_be_json_is_refused() {
    let (cloud, _) = cloud().await;
    let request = |content_type: Option<&str>| {
        let mut request = http::Request::put(format!("{}?api-version=2024-11-30", identity("ide")))
            .header("authorization", format!("Bearer {}", crate::cloud::TOKEN));
        if let Some(content_type) = content_type {
            request = request.header("content-type", content_type);
        }
        request.body(r#"{"location": "westeurope"}"#.into()).unwrap()
    };
    let curl = "application/x-www-form-urlencoded";
    for (content_type, said) in [(None, "<null>"), (Some(curl), curl)] {
        let refused = cloud.handle(request(content_type)).await.unwrap();
        let refused = refused.expect_error(415, "UnsupportedMediaType");
        assert!(
            refused
                .message()
                .starts_with(&format!("The content media type '{said}' is not supported."))
        );
    }
    let json = Some("application/json; charset=utf-8");
    cloud.handle(request(json)).await.unwrap().expect_status(200);
}

#[tokio::test]
async fn an_api_version_that_a_type_lacks_is_refused_in_two_ways() {
    let (cloud, _) = cloud().await;
    let id = format!("{}?api-version=2022-04-01", credential("ide", "one"));
    let answer = cloud.get(&id).await.expect_error(400, "NoRegisteredProviderFound");
    assert!(answer.message().contains("2022-04-01"));
    cloud.delete(&id).await.expect_error(404, "InvalidResourceType");
    cloud.get(&credential("ide", "one")).await.expect_status(200);
}

#[tokio::test]
async fn nothing_is_written_in_a_resource_group_that_goes() {
    let (cloud, grant) = cloud().await;
    cloud.delete(GROUP).await.expect_status(202);
    let refused = "ResourceGroupBeingDeleted";
    cloud.put_identity("ide").await.expect_error(409, refused);
    cloud.put_credential("ide", "two", "b").await.expect_error(409, refused);
    cloud.put(&assignment(GROUP), &grant).await.expect_error(409, refused);
    cloud.delete(&credential("ide", "one")).await.expect_status(200);
}
