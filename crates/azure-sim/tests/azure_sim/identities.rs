//! Resource groups and user-assigned managed identities.

use bytes::Bytes;
use http::Request;
use serde_json::json;
use wio_azure_sim::Config;

use crate::cloud::{Cloud, GROUP, TOKEN, identity};

#[tokio::test]
async fn an_identity_needs_its_resource_group() {
    let cloud = Cloud::empty(Config::default());
    cloud
        .put_identity("ide")
        .await
        .expect_error(404, "ResourceGroupNotFound");
    cloud.get(GROUP).await.expect_error(404, "ResourceGroupNotFound");
}

#[tokio::test]
async fn a_resource_groups_name_keeps_to_the_rule() {
    let cloud = Cloud::empty(Config::default());
    let put = async |name: &str| {
        cloud
            .put(
                &GROUP.replace("/rg", &format!("/{name}")),
                &json!({"location": "westeurope"}),
            )
            .await
    };
    let (longest, too_long) = ("a".repeat(90), "a".repeat(91));
    for name in ["a.", "a%20b", "a$", &too_long] {
        let answer = put(name).await;
        assert_eq!(answer.status, 400, "{name}: {answer:#?}");
    }
    for name in ["a", "a.b", "a_(b)-", &longest] {
        put(name).await.expect_status(201);
    }
}

#[tokio::test]
async fn a_recreated_identity_has_other_ids() {
    let cloud = Cloud::new(Config::default()).await;
    let first = cloud.put_identity("ide").await.expect_status(201);
    cloud.delete(&identity("ide")).await.expect_status(200);
    cloud.delete(&identity("ide")).await.expect_status(204);
    let second = cloud.put_identity("ide").await.expect_status(201);
    assert_ne!(first.property("clientId"), second.property("clientId"));
    assert_ne!(first.property("principalId"), second.property("principalId"));
    assert_eq!(first.property("tenantId"), second.property("tenantId"));
}

#[tokio::test]
async fn a_put_replaces_all_tags_and_a_patch_leaves_what_it_does_not_name() {
    let cloud = Cloud::new(Config::default()).await;
    let body = json!({"location": "westeurope", "tags": {"a": "1", "b": "2"}});
    let created = cloud.put(&identity("ide"), &body).await.expect_status(201);
    let replaced = cloud
        .put(&identity("ide"), &json!({"location": "westeurope", "tags": {"c": "3"}}))
        .await;
    assert_eq!(replaced.expect_status(200).body["tags"], json!({"c": "3"}));

    let tagged = cloud
        .patch(&identity("ide"), &json!({"tags": {"d": "4"}}))
        .await
        .expect_status(200);
    assert_eq!(tagged.body["tags"], json!({"d": "4"}), "the tags are one value");
    assert_eq!(tagged.body["location"], "westeurope");
    assert_eq!(tagged.property("clientId"), created.property("clientId"));
    let isolated = cloud
        .patch(&identity("ide"), &json!({"properties": {"isolationScope": "Regional"}}))
        .await;
    assert_eq!(isolated.expect_status(200).body["tags"], json!({"d": "4"}));
    let bare = cloud.put_identity("ide").await.expect_status(200);
    assert_eq!(bare.body["tags"], json!({}), "a PUT without tags removes them");
}

#[tokio::test]
async fn a_patch_creates_nothing() {
    let cloud = Cloud::new(Config::default()).await;
    let answer = cloud.patch(&identity("ide"), &json!({"tags": {}})).await;
    answer.expect_error(404, "ResourceNotFound");
    assert_eq!(cloud.simulator.snapshot().identities.len(), 0);
}

#[tokio::test]
async fn an_identity_never_moves_to_another_region() {
    let cloud = Cloud::new(Config::default()).await;
    cloud
        .put(&identity("ide"), &json!({"location": "West Europe"}))
        .await
        .expect_status(201);
    cloud
        .put(&identity("ide"), &json!({"location": "westeurope"}))
        .await
        .expect_status(200);
    let answer = cloud.put(&identity("ide"), &json!({"location": "northeurope"})).await;
    answer.expect_error(409, "InvalidResourceLocation");
    cloud
        .put(&identity("other"), &json!({}))
        .await
        .expect_error(400, "LocationRequired");
}

#[tokio::test]
async fn an_identity_is_found_in_any_case_and_keeps_the_case_in_which_it_was_created() {
    let cloud = Cloud::new(Config::default()).await;
    let id = cloud.put_identity("Orders").await.expect_status(201).body["id"].clone();
    for path in [
        identity("orders"),
        identity("ORDERS"),
        identity("Orders").to_uppercase(),
    ] {
        let path = format!("{path}?api-version=2024-11-30");
        assert_eq!(
            cloud.send("GET", &path, None).await.expect_status(200).body["id"],
            id,
            "{path}"
        );
    }
    let written = cloud.put_identity("ORDERS").await.expect_status(200);
    assert_eq!((&written.body["id"], &written.body["name"]), (&id, &json!("Orders")));
    assert_eq!(cloud.list(&identity("")).await.0.len(), 1);
}

#[tokio::test]
async fn a_name_that_breaks_the_rule_is_refused() {
    let cloud = Cloud::new(Config::default()).await;
    let (longest, too_long) = ("a".repeat(128), "a".repeat(129));
    for name in ["ab", "-abc", "_abc", "a.b", "a%20b", &too_long] {
        let answer = cloud.put_identity(name).await;
        assert_eq!(answer.status, 400, "{name}: {answer:#?}");
    }
    for name in ["abc", "a-_", "123", &longest] {
        cloud.put_identity(name).await.expect_status(201);
    }
}

#[tokio::test]
async fn every_identity_is_on_exactly_one_page_of_a_list() {
    let cloud = Cloud::new(Config {
        page_size: 2,
        ..Config::default()
    })
    .await;
    for name in ["one", "two", "three", "four", "five"] {
        cloud.put_identity(name).await.expect_status(201);
    }
    let (entries, pages) = cloud.list(&identity("")).await;
    let mut names: Vec<&str> = entries.iter().map(|entry| entry["name"].as_str().unwrap()).collect();
    names.sort_unstable();
    assert_eq!((names, pages), (vec!["five", "four", "one", "three", "two"], 3));

    let everywhere = identity("").replace("/resourceGroups/rg", "");
    assert_eq!(
        cloud.list(&everywhere).await.0.len(),
        5,
        "a subscription lists those of its groups"
    );
    let elsewhere = identity("").replace(
        "00000000-0000-0000-0000-000000000000",
        "00000000-0000-0000-0000-000000000001",
    );
    cloud.get(&elsewhere).await.expect_error(404, "ResourceGroupNotFound");
}

#[tokio::test]
async fn a_list_of_nothing_is_one_empty_page() {
    let cloud = Cloud::new(Config::default()).await;
    let answer = cloud.get(&identity("")).await.expect_status(200);
    assert_eq!(answer.body, json!({"value": []}));
}

#[tokio::test]
async fn a_field_appears_with_the_api_version_that_brought_it() {
    let cloud = Cloud::new(Config::default()).await;
    cloud.put_identity("ide").await.expect_status(201);
    let properties = async |version: &str| {
        let answer = cloud
            .get(&format!("{}?api-version={version}", identity("ide")))
            .await
            .expect_status(200);
        answer.body["properties"]
            .as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect::<Vec<_>>()
    };
    for version in ["2018-11-30", "2022-01-31-preview", "2023-01-31"] {
        assert_eq!(
            properties(version).await,
            ["clientId", "principalId", "tenantId"],
            "{version}"
        );
    }
    assert!(properties("2024-11-30").await.contains(&"isolationScope".to_owned()));
    assert!(
        properties("2026-05-31")
            .await
            .contains(&"assignmentRestrictions".to_owned())
    );
}

#[tokio::test]
async fn a_request_without_a_good_api_version_is_refused() {
    let cloud = Cloud::new(Config::default()).await;
    let answer = cloud.send("GET", &identity("ide"), None).await;
    answer.expect_error(400, "MissingApiVersionParameter");
    let answer = cloud.get(&format!("{}?api-version=1999-01-01", identity("ide"))).await;
    assert_eq!(answer.status, 400, "{answer:#?}");
}

#[tokio::test]
async fn a_request_without_a_good_token_is_refused() {
    let cloud = Cloud::new(Config::default()).await;
    let path = format!("{}?api-version=2024-11-30", identity("ide"));
    let bare = Request::get(&path)
        .header("host", "management.azure.com")
        .body(Bytes::new())
        .unwrap();
    let answer = cloud
        .handle(bare)
        .await
        .unwrap()
        .expect_error(401, "AuthenticationFailed");
    assert!(
        answer.header("www-authenticate").unwrap().starts_with("Bearer "),
        "{answer:#?}"
    );
    let answer = cloud.with_token("somebody").get(&identity("ide")).await;
    answer.expect_error(401, "InvalidAuthenticationToken");
}

#[tokio::test]
async fn a_body_that_is_no_json_is_refused() {
    let cloud = Cloud::new(Config::default()).await;
    let request = Request::put(format!("{}?api-version=2024-11-30", identity("ide")))
        .header("host", "management.azure.com")
        .header("authorization", format!("Bearer {}", crate::cloud::TOKEN))
        .header("content-type", "application/json")
        .body(Bytes::from_static(b"{\"location\": "))
        .unwrap();
    cloud
        .handle(request)
        .await
        .unwrap()
        .expect_error(400, "InvalidRequestContent");
}

#[tokio::test]
async fn every_answer_of_arm_can_be_traced() {
    let cloud = Cloud::new(Config::default()).await;
    let request = Request::get(format!("{}?api-version=2024-11-30", identity("ide")))
        .header("host", "management.azure.com")
        .header("authorization", format!("Bearer {}", crate::cloud::TOKEN))
        .header("x-ms-correlation-request-id", "6a5c2127-d631-48c6-b130-b705bdd875c0")
        .body(Bytes::new())
        .unwrap();
    let answer = cloud.handle(request).await.unwrap().expect_status(404);
    assert_eq!(
        answer.header("x-ms-correlation-request-id"),
        Some("6a5c2127-d631-48c6-b130-b705bdd875c0")
    );
    assert!(answer.header("x-ms-request-id").is_some(), "{answer:#?}");
    let other = cloud.get(&identity("ide")).await;
    assert_ne!(other.header("x-ms-request-id"), answer.header("x-ms-request-id"));
    assert!(
        other.header("x-ms-correlation-request-id").is_some(),
        "one is made up when the caller sends none"
    );
}

#[tokio::test]
async fn an_answer_of_a_provider_names_the_operation_and_one_of_the_gateway_does_not() {
    let cloud = Cloud::new(Config::default()).await;
    let principal = Config::static_principal(TOKEN);
    let tenant = Config::default().tenant_id;
    let written = cloud.put_identity("ide").await.expect_status(201);
    let identifier = written
        .header("x-ms-operation-identifier")
        .expect("a provider answered");
    let who = format!("tenantId={tenant},objectId={principal}/");
    assert!(identifier.starts_with(&who), "{identifier}");
    let read = cloud.get(&identity("ide")).await.expect_status(200);
    assert_ne!(read.header("x-ms-operation-identifier"), Some(identifier));
    for by_arm in [cloud.get(GROUP).await, cloud.get(&identity("none")).await] {
        assert_eq!(by_arm.header("x-ms-operation-identifier"), None, "{by_arm:#?}");
    }
}

/// A client that cuts links, or keeps the first one, never sees the end of an operation.
#[tokio::test]
async fn each_look_at_a_deletion_gives_another_link_of_some_kilobytes() {
    let cloud = Cloud::new(Config::default()).await;
    let mut links = Vec::new();
    let mut answer = cloud.delete(GROUP).await.expect_status(202);
    for _ in 0..3 {
        let link = answer.header("location").unwrap().to_owned();
        assert!((3000..5000).contains(&link.len()), "{} characters", link.len());
        let query = link.split_once('?').unwrap().1;
        let names: Vec<&str> = query
            .split('&')
            .filter_map(|one| one.split_once('='))
            .map(|one| one.0)
            .collect();
        assert_eq!(names, ["api-version", "t", "c", "s", "h"]);
        let path = link.strip_prefix("https://management.azure.com").unwrap();
        answer = cloud.send("GET", path, None).await.expect_status(202);
        assert!(!links.contains(&link));
        links.push(link);
    }
}

#[tokio::test(start_paused = true)]
async fn a_resource_group_takes_its_identities_along_when_it_is_gone() {
    let cloud = Cloud::new(Config::default()).await;
    cloud.put_identity("ide").await.expect_status(201);
    let accepted = cloud.delete(GROUP).await.expect_status(202);
    let operation = accepted
        .header("location")
        .unwrap()
        .strip_prefix("https://management.azure.com")
        .unwrap()
        .to_owned();
    cloud.send("GET", &operation, None).await.expect_status(202);
    tokio::time::advance(std::time::Duration::from_secs(16)).await;
    cloud.send("GET", &operation, None).await.expect_status(200);
    cloud.get(GROUP).await.expect_error(404, "ResourceGroupNotFound");
    cloud
        .put(GROUP, &json!({"location": "westeurope"}))
        .await
        .expect_status(201);
    assert_eq!(cloud.list(&identity("")).await.0.len(), 0);
}
