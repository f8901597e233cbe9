//! The activity log: late, out of order, of everybody's writes.

use std::time::Duration;

use serde_json::{Value, json};
use wio_azure_sim::{Config, Limits};

use crate::cloud::{Answer, Cloud, SUBSCRIPTION, TOKEN, credential, identity};

const LOG: &str = "/providers/Microsoft.Insights/eventtypes/management/values?api-version=2015-04-01";
const SINCE: &str = "eventTimestamp%20ge%20%272020-01-01T00:00:00Z%27";
const LATEST: Duration = Duration::from_mins(20);

async fn read(cloud: &Cloud, query: &str) -> Answer {
    let path = format!("/subscriptions/{SUBSCRIPTION}{LOG}{query}");
    cloud.send("GET", &path, None).await
}

/// What the log says of identities and credentials, page by page: operation, status, sub-status and when.
async fn entries(cloud: &Cloud) -> Vec<Value> {
    let query = format!("&$filter={SINCE}%20and%20resourceProvider%20eq%20%27Microsoft.ManagedIdentity%27");
    let mut page = read(cloud, &query).await.expect_status(200);
    let mut entries = Vec::new();
    loop {
        entries.extend(page.body["value"].as_array().unwrap().iter().cloned());
        let Some(next) = page.body["nextLink"].as_str() else {
            return entries;
        };
        let path = next.strip_prefix("https://management.azure.com").unwrap();
        page = cloud.send("GET", path, None).await.expect_status(200);
    }
}

fn said(entry: &Value) -> (&str, &str, &str) {
    let text = |name: &str| entry[name]["value"].as_str().unwrap();
    (text("operationName"), text("status"), text("subStatus"))
}

#[tokio::test(start_paused = true)]
async fn a_write_is_told_of_in_two_entries_between_three_and_twenty_minutes_later() {
    let cloud = Cloud::new(Config::default()).await;
    cloud.put_identity("ide").await.expect_status(201);
    cloud.put_credential("ide", "one", "a").await.expect_status(201);
    cloud.get(&credential("ide", "one")).await.expect_status(200);
    cloud.delete(&credential("ide", "one")).await.expect_status(200);
    tokio::time::sleep(Duration::from_secs(179)).await;
    assert!(entries(&cloud).await.is_empty(), "too early");
    tokio::time::sleep(LATEST).await;
    let found = entries(&cloud).await;
    let resource = "Microsoft.ManagedIdentity/userAssignedIdentities";
    let (write, credential_write, delete) = (
        format!("{resource}/write"),
        format!("{resource}/federatedIdentityCredentials/write"),
        format!("{resource}/federatedIdentityCredentials/delete"),
    );
    let expected = [
        (delete.as_str(), "Succeeded", "OK"),
        (delete.as_str(), "Started", ""),
        (credential_write.as_str(), "Succeeded", "Created"),
        (credential_write.as_str(), "Started", ""),
        (write.as_str(), "Succeeded", "Created"),
        (write.as_str(), "Started", ""),
    ];
    assert_eq!(found.iter().map(said).collect::<Vec<_>>(), expected);
    let about = found[0]["resourceId"].as_str().unwrap();
    assert_eq!(about.to_lowercase(), credential("ide", "one").to_lowercase());
    let caller = Config::static_principal(TOKEN).to_string();
    assert_eq!(found[0]["claims"]["appid"], json!(caller));
}

#[tokio::test(start_paused = true)]
async fn entries_come_out_of_order_and_in_pages_and_only_with_the_fields_that_were_asked_for() {
    let cloud = Cloud::new(Config {
        page_size: 7,
        ..Config::default()
    })
    .await;
    for n in 0..20 {
        cloud.put_identity(&format!("ide-{n}")).await.expect_status(201);
    }
    let mut counts = Vec::new();
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_mins(1)).await;
        counts.push(entries(&cloud).await.len());
    }
    assert!(counts.is_sorted() && counts.last() == Some(&40), "{counts:?}");
    assert!(
        counts[10] > 0 && counts[10] < 40,
        "some are later than others: {counts:?}"
    );
    let query = format!("&$filter={SINCE}&$select=eventTimestamp,resourceId");
    let page = read(&cloud, &query).await.expect_status(200);
    let keys: Vec<&String> = page.body["value"][0].as_object().unwrap().keys().collect();
    assert_eq!(keys, ["eventTimestamp", "resourceId"]);
}

#[tokio::test(start_paused = true)]
async fn a_refused_write_is_told_of_as_one_that_failed() {
    let cloud = Cloud::new(Config::default()).await;
    cloud.put(&identity("no"), &json!({})).await.expect_status(400);
    tokio::time::sleep(LATEST).await;
    assert_eq!(said(&entries(&cloud).await[0]).1, "Failed");
}

#[tokio::test]
async fn a_filter_must_say_a_start_and_may_say_nothing_that_is_not_documented() {
    let cloud = Cloud::new(Config::default()).await;
    for query in [
        "",
        "&$filter=resourceProvider%20eq%20%27x%27",
        &format!("&$filter={SINCE}%20and%20caller%20eq%20%27me%27"),
        &format!("&$filter={SINCE}%20and%20resourceProvider%20eq%20%27a%27%20and%20resourceGroupName%20eq%20%27b%27"),
    ] {
        read(&cloud, query).await.expect_error(400, "BadRequest");
    }
    let elsewhere =
        format!("/providers/Microsoft.Insights/eventtypes/management/values?api-version=2015-04-01&$filter={SINCE}");
    cloud
        .send("GET", &elsewhere, None)
        .await
        .expect_error(404, "InvalidResourceType");
}

#[tokio::test]
async fn the_log_is_forbidden_without_its_permission_and_draws_on_the_reads() {
    let limits = Limits {
        reads: wio_azure_sim::Budget {
            capacity: 2,
            per_second: 0.001,
        },
        ..Limits::default()
    };
    let cloud = Cloud::empty(Config {
        limits: Some(limits),
        ..Config::default()
    });
    let query = format!("&$filter={SINCE}");
    read(&cloud, &query).await.expect_status(200);
    cloud.simulator.reconfigure(|config| config.authorization = true);
    read(&cloud, &query).await.expect_error(403, "AuthorizationFailed");
    read(&cloud, &query)
        .await
        .expect_error(429, "SubscriptionRequestsThrottled");
}
