//! The activity log, as the client reads it.

use jiff::Timestamp;
use serde_json::{Value, json};
use wio_azure::Followed;
use wio_core::drift::{Change, Changed};
use wio_core::fault::AzureCause;
use wio_core::names::SubscriptionId;

use crate::fixtures::{
    CLIENT_ID, SUBSCRIPTION, answered, cloud, granted, id, json_response, name, request_line, resource_id, tags,
};

const SINCE: &str = "2026-01-01T00:00:00Z";

fn since() -> Timestamp {
    SINCE.parse().unwrap()
}

fn subscription() -> SubscriptionId {
    name(SUBSCRIPTION)
}

#[tokio::test]
async fn the_log_is_asked_for_a_provider_a_start_and_the_fields_that_are_read() {
    let (azure, seen) = answered(vec![json_response(200, &json!({"value": []}))]);
    let read = azure
        .list_changes(subscription(), Followed::Authorization, since())
        .await;
    assert_eq!(read.unwrap().entries, []);
    assert_eq!(
        request_line(&seen.only()),
        format!(
            "GET https://management.azure.com/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Insights/eventtypes/management/values\
             ?api-version=2015-04-01&$filter=eventTimestamp%20ge%20%27{SINCE}%27%20and%20resourceProvider%20eq%20%27\
             Microsoft.Authorization%27&$select=authorization,claims,eventTimestamp,resourceId,status,subStatus"
        )
    );
}

#[tokio::test]
async fn what_is_odd_in_the_log_is_left_out_and_breaks_nothing() {
    let at = "2026-02-03T04:05:06.7890123Z";
    let credential = format!("{}/federatedIdentityCredentials/x", resource_id("orders"));
    let entry = |resource: &str| json!({"resourceId": resource, "eventTimestamp": at});
    let mut known = entry(&credential.to_uppercase().replace("SUBSCRIPTIONS", "subscriptions"));
    known["claims"] = json!({"appid": CLIENT_ID, "groups": "a,b"});
    let by_scope = json!({"authorization": {"scope": resource_id("mails")}, "eventTimestamp": at});
    let mut refused = entry(&credential);
    refused["status"] = json!({"value": "Failed"});
    refused["subStatus"] = json!({"value": "Forbidden"});
    let page: Vec<Value> = vec![
        known,
        json!({}),
        entry("x"),
        entry(&format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/operator")),
        json!({"resourceId": credential, "eventTimestamp": "soon"}),
        refused,
        by_scope,
        json!({"resourceId": null, "claims": null, "status": null, "eventTimestamp": null}),
    ];
    let (azure, _) = answered(vec![json_response(200, &json!({"value": page}))]);
    let read = azure
        .list_changes(subscription(), Followed::ManagedIdentity, since())
        .await;
    let change = |identity: &str, by: Option<&str>| Change {
        of: Changed::Identity(id(identity)),
        at: at.parse().unwrap(),
        by: by.map(name),
    };
    assert_eq!(
        read.unwrap().entries,
        [change("orders", Some(CLIENT_ID)), change("mails", None)]
    );
}

#[tokio::test(start_paused = true)]
async fn what_was_written_is_in_the_log_by_whoever_wrote_it() {
    let (azure, _) = cloud(|_| {}).await;
    azure
        .put_identity(&granted("orders"), &name("westeurope"), &tags("shop"))
        .await
        .unwrap();
    let read = || azure.list_changes(subscription(), Followed::ManagedIdentity, since());
    assert_eq!(read().await.unwrap().entries, [], "it comes late");
    tokio::time::sleep(std::time::Duration::from_mins(20)).await;
    let changes = read().await.unwrap().entries;
    let of: Vec<&Changed> = changes.iter().map(|change| &change.of).collect();
    assert_eq!(of, [&Changed::Identity(id("orders")), &Changed::Identity(id("orders"))]);
    let elsewhere = azure
        .list_changes(subscription(), Followed::Authorization, since())
        .await;
    assert_eq!(elsewhere.unwrap().entries, []);
}

#[tokio::test(start_paused = true)]
async fn a_log_that_may_not_be_read_is_a_fault() {
    let (azure, simulator) = cloud(|_| {}).await;
    simulator.reconfigure(|config| config.authorization = true);
    let read = azure
        .list_changes(subscription(), Followed::ManagedIdentity, since())
        .await;
    let fault = read.unwrap_err().fault;
    assert!(
        matches!(&fault.cause, AzureCause::Answer(answer) if answer.status == 403),
        "{fault}"
    );
    assert!(
        fault
            .to_string()
            .starts_with("could not read the activity log of the subscription"),
        "{fault}"
    );
}
