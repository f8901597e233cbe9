//! Answers that lag behind what is.

use std::time::Duration;

use serde_json::json;
use wio_azure_sim::Config;

use crate::cloud::{Cloud, GROUP, credential, identity};

const MINUTE: Duration = Duration::from_mins(1);
const IDENTITIES: &str = "/providers/Microsoft.ManagedIdentity/userAssignedIdentities";

async fn names(cloud: &Cloud, list: &str) -> Vec<String> {
    let (entries, _) = cloud.list(list).await;
    let name = |entry: &serde_json::Value| entry["name"].as_str().unwrap().to_owned();
    entries.iter().map(name).collect()
}

async fn pass(duration: Duration) {
    tokio::time::sleep(duration).await;
}

#[tokio::test(start_paused = true)]
async fn a_list_shows_what_was_some_time_ago() {
    let cloud = Cloud::new(Config::default()).await;
    cloud.put_identity("old").await.expect_status(201);
    cloud.put_credential("old", "one", "a").await.expect_status(201);
    cloud.simulator.reconfigure(|config| config.list_lag = MINUTE);
    let list = format!("{GROUP}{IDENTITIES}");
    let of_old = format!("{}/federatedIdentityCredentials", identity("old"));
    cloud.put_identity("new").await.expect_status(201);
    cloud.delete(&credential("old", "one")).await.expect_status(200);
    cloud.put_credential("old", "two", "b").await.expect_status(201);
    assert_eq!(names(&cloud, &list).await, ["old"]);
    assert_eq!(names(&cloud, &of_old).await, ["one"]);
    cloud.get(&identity("new")).await.expect_status(200);
    cloud.get(&credential("old", "one")).await.expect_status(404);
    pass(MINUTE).await;
    assert_eq!(names(&cloud, &list).await, ["new", "old"]);
    assert_eq!(names(&cloud, &of_old).await, ["two"]);
}

#[tokio::test(start_paused = true)]
async fn a_list_within_something_new_is_empty_and_within_something_gone_is_refused() {
    let cloud = Cloud::new(Config::default()).await;
    cloud.put_identity("old").await.expect_status(201);
    cloud.simulator.reconfigure(|config| config.list_lag = MINUTE);
    cloud.put_identity("new").await.expect_status(201);
    cloud.put_credential("new", "one", "a").await.expect_status(201);
    let credentials = |of: &str| format!("{}/federatedIdentityCredentials", identity(of));
    assert!(names(&cloud, &credentials("new")).await.is_empty());
    cloud.delete(&identity("old")).await.expect_status(200);
    cloud
        .get(&credentials("old"))
        .await
        .expect_error(404, "ParentResourceNotFound");
}

#[tokio::test(start_paused = true)]
async fn a_read_shows_what_was_and_a_write_meets_what_is() {
    let cloud = Cloud::new(Config::default()).await;
    cloud.simulator.reconfigure(|config| config.read_lag = MINUTE);
    cloud.put_identity("ide").await.expect_status(201);
    cloud.get(&identity("ide")).await.expect_error(404, "ResourceNotFound");
    cloud.put_credential("ide", "one", "a").await.expect_status(201);
    cloud.get(&credential("ide", "one")).await.expect_error(404, "NotFound");
    pass(MINUTE).await;
    let tagged = json!({"tags": {"owner": "me"}});
    let patched = cloud.patch(&identity("ide"), &tagged).await.expect_status(200);
    assert_eq!(patched.body["tags"]["owner"], "me");
    let read = cloud.get(&identity("ide")).await.expect_status(200);
    assert_eq!(read.body["tags"], json!({}));
    cloud.delete(&identity("ide")).await.expect_status(200);
    cloud.get(&identity("ide")).await.expect_status(200);
    cloud.delete(&identity("ide")).await.expect_status(204);
    pass(MINUTE).await;
    cloud.get(&identity("ide")).await.expect_status(404);
}

#[tokio::test(start_paused = true)]
async fn a_list_of_role_assignments_lags_behind_and_knows_a_group_until_long_after_it_went() {
    let cloud = Cloud::new(Config::default()).await;
    let principal = cloud.put_identity("ide").await.property("principalId");
    cloud.simulator.reconfigure(|config| {
        config.list_lag = MINUTE;
        config.group_deletion = Duration::from_secs(10);
    });
    let subscription = GROUP.split("/resourceGroups").next().unwrap();
    let list = format!(
        "{subscription}/providers/Microsoft.Authorization/roleAssignments?$filter=principalId%20eq%20'{principal}'"
    );
    let id = format!("{GROUP}/providers/Microsoft.Authorization/roleAssignments/05c5a614-a7d6-4502-b150-c2fb455033ff");
    let reader = "/providers/Microsoft.Authorization/roleDefinitions/acdd72a7-3385-48ef-bd42-f606fba81ae7";
    let grant = json!({"properties": {"roleDefinitionId": reader, "principalId": principal}});
    cloud.put(&id, &grant).await.expect_status(201);
    assert_eq!(cloud.list(&list).await.0.len(), 0);
    pass(MINUTE).await;
    assert_eq!(cloud.list(&list).await.0.len(), 1);
    cloud.delete(GROUP).await.expect_status(202);
    pass(Duration::from_secs(11)).await;
    assert_eq!(cloud.list(&list).await.0.len(), 1);
    pass(MINUTE).await;
    assert_eq!(cloud.list(&list).await.0.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_restored_is_a_change_like_any_other() {
    let cloud = Cloud::new(Config::default()).await;
    cloud.put_identity("ide").await.expect_status(201);
    cloud.simulator.reconfigure(|config| config.list_lag = MINUTE);
    let mut snapshot = cloud.simulator.snapshot();
    snapshot.identities.clear();
    cloud.simulator.restore(snapshot);
    let list = format!("{GROUP}{IDENTITIES}");
    assert_eq!(names(&cloud, &list).await, ["ide"]);
    pass(MINUTE).await;
    assert!(names(&cloud, &list).await.is_empty());
}
