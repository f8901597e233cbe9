//! What Azure Resource Manager knows of every resource: subscriptions, lists by tag, tags, locks; and where the cloud is.

use serde_json::{Value, json};
use wio_azure_sim::Config;

use crate::cloud::{Cloud, GROUP, SUBSCRIPTION, credential, identity};

const VERSION: &str = "api-version=2022-12-01";

async fn tagged(tags: &Value) -> Cloud {
    let cloud = Cloud::new(Config::default()).await;
    let body = json!({"location": "westeurope", "tags": tags});
    cloud.put(&identity("ide"), &body).await.expect_status(201);
    cloud.put_identity("other").await.expect_status(201);
    cloud
}

#[tokio::test]
async fn the_subscriptions_in_which_there_is_something_are_listed() {
    let cloud = Cloud::new(Config::default()).await;
    let (listed, _) = cloud.list(&format!("/subscriptions?{VERSION}")).await;
    assert_eq!(listed.len(), 1);
    assert_eq!(
        (&listed[0]["subscriptionId"], &listed[0]["state"]),
        (&json!(SUBSCRIPTION), &json!("Enabled"))
    );
    let one = cloud.get(&format!("/subscriptions/{SUBSCRIPTION}?{VERSION}")).await;
    assert_eq!(one.expect_status(200).body, listed[0]);
}

#[tokio::test]
async fn resources_are_listed_by_a_tag_or_by_other_things_and_never_by_both() {
    let cloud = tagged(&json!({"workloadidentity.dev-cluster": "c1", "team": "shop"})).await;
    let list = |filter: &str| {
        let filter = filter.replace(' ', "%20").replace('\'', "%27");
        format!("/subscriptions/{SUBSCRIPTION}/resources?{VERSION}&$filter={filter}")
    };
    let ids = async |filter: &str| {
        let (entries, _) = cloud.list(&list(filter)).await;
        let name = |entry: &Value| entry["name"].as_str().unwrap().to_owned();
        entries.iter().map(name).collect::<Vec<_>>()
    };
    assert_eq!(ids("").await, ["ide", "other"]);
    let by_tag = "tagName eq 'workloadidentity.dev-cluster' and tagValue eq 'c1'";
    assert_eq!(ids(by_tag).await, ["ide"]);
    assert!(ids("tagName eq 'team' and tagValue eq 'x'").await.is_empty());
    let by_type = "resourceType eq 'Microsoft.ManagedIdentity/userAssignedIdentities'";
    assert_eq!(ids(&format!("{by_type} and name eq 'OTHER'")).await, ["other"]);
    for refused in [
        format!("{by_tag} and {by_type}"),
        "colour eq 'red'".to_owned(),
        "x".to_owned(),
    ] {
        let answer = cloud.get(&list(&refused)).await;
        answer.expect_error(400, "InvalidFilterInQueryString");
    }
}

#[tokio::test]
async fn tags_are_merged_replaced_and_deleted_alone() {
    let cloud = tagged(&json!({"team": "shop", "owner": "me"})).await;
    let at = format!(
        "{}/providers/Microsoft.Resources/tags/default?api-version=2024-11-01",
        identity("ide")
    );
    let patch = async |operation: &str, tags: Value| {
        let body = json!({"operation": operation, "properties": {"tags": tags}});
        let answer = cloud.send("PATCH", &at, Some(&body)).await.expect_status(200);
        let read = cloud.get(&identity("ide")).await.expect_status(200);
        assert_eq!(answer.body["properties"]["tags"], read.body["tags"]);
        read.body["tags"].clone()
    };
    let merged = patch("Merge", json!({"Owner": "you", "a.b": "c"})).await;
    assert_eq!(merged, json!({"team": "shop", "Owner": "you", "a.b": "c"}));
    let left = patch("Delete", json!({"TEAM": "whatever"})).await;
    assert_eq!(left, json!({"Owner": "you", "a.b": "c"}));
    assert_eq!(patch("Replace", json!({"x": "y"})).await, json!({"x": "y"}));
    let none = at.replace("/ide/", "/none/");
    cloud
        .send("GET", &none, None)
        .await
        .expect_error(404, "ResourceNotFound");
}

#[tokio::test]
async fn a_lock_is_made_holds_and_is_taken_away() {
    let cloud = tagged(&json!({})).await;
    cloud.put_credential("ide", "one", "a").await.expect_status(201);
    let locks = format!("{}/providers/Microsoft.Authorization/locks", identity("ide"));
    let keep = format!("{locks}/keep?api-version=2016-09-01");
    let body = json!({"properties": {"level": "CanNotDelete", "notes": "ask the owner"}});
    cloud.send("PUT", &keep, Some(&body)).await.expect_status(201);
    cloud.send("PUT", &keep, Some(&body)).await.expect_status(200);
    let read = cloud.send("GET", &keep, None).await.expect_status(200);
    assert_eq!(read.body["properties"], body["properties"]);
    let below = format!("{GROUP}/providers/Microsoft.Authorization/locks?api-version=2016-09-01");
    assert_eq!(cloud.list(&below).await.0.len(), 1);
    cloud
        .delete(&credential("ide", "one"))
        .await
        .expect_error(409, "ScopeLocked");
    cloud.send("DELETE", &keep, None).await.expect_status(200);
    cloud.delete(&credential("ide", "one")).await.expect_status(200);
    cloud.send("GET", &keep, None).await.expect_error(404, "LockNotFound");
    let level = json!({"properties": {"level": "Tight"}});
    cloud.send("PUT", &keep, Some(&level)).await.expect_status(400);
}

#[tokio::test]
async fn microsoft_graph_refuses_everybody() {
    let cloud = Cloud::new(Config::default()).await;
    let answer = cloud.send("GET", "/v1.0/servicePrincipals", None).await;
    answer.expect_error(403, "Authorization_RequestDenied");
}

#[tokio::test]
async fn a_client_that_knows_the_host_alone_finds_the_parts_of_the_cloud() {
    let cloud = Cloud::new(Config::default()).await;
    let request = http::Request::get("/metadata/endpoints?api-version=2022-09-01");
    let request = request
        .header("host", "localhost:8443")
        .body(bytes::Bytes::new())
        .unwrap();
    let found = cloud.handle(request).await.unwrap().expect_status(200);
    assert_eq!(found.body["authentication"]["loginEndpoint"], "https://localhost:8443");
    assert_eq!(found.body["resourceManager"], "https://localhost:8443");
}
