//! Errors as users quoted them in public issue threads: the simulator gives each in the same situation.

use std::time::Duration;

use serde_json::{Value, json};
use wio_azure_sim::Config;

use crate::cloud::{AUDIENCE, Answer, Cloud, ISSUER, SUBSCRIPTION, json_file, trust};
use crate::tokens::{Cluster, Entra};

const CONCURRENT: usize = 0;
const PRINCIPAL_NOT_FOUND: usize = 1;
const GRAPH_NOT_FOUND: usize = 2;
const WRONG_SUBJECT: usize = 3;
const WRONG_CASE: usize = 4;

fn quoted(index: usize) -> Value {
    json_file("recordings/quoted_errors.json")["errors"][index].clone()
}

#[test]
fn every_quoted_error_has_its_test() {
    let errors = json_file("recordings/quoted_errors.json")["errors"]
        .as_array()
        .unwrap()
        .len();
    assert_eq!(
        errors,
        [
            CONCURRENT,
            PRINCIPAL_NOT_FOUND,
            GRAPH_NOT_FOUND,
            WRONG_SUBJECT,
            WRONG_CASE
        ]
        .len()
    );
}

#[tokio::test(start_paused = true)]
async fn two_writes_at_once_to_one_identity_are_refused_as_quoted() {
    let cloud = Cloud::empty(Config {
        latency: Duration::from_secs(1),
        ..Config::default()
    });
    let group = format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/MyRg");
    let identity = format!("{group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/MyManagedIdentity");
    cloud
        .put(&group, &json!({"location": "westeurope"}))
        .await
        .expect_status(201);
    cloud
        .put(&identity, &json!({"location": "westeurope"}))
        .await
        .expect_status(201);
    let write = async |name: &str, subject: &str| {
        let id = format!("{identity}/federatedIdentityCredentials/{name}");
        cloud.put(&id, &trust(ISSUER, subject, AUDIENCE)).await
    };
    let (first, second) = tokio::join!(write("fic-1", "a"), write("fic-2", "b"));
    first.expect_status(201);
    assert_quoted(CONCURRENT, &second);
}

#[tokio::test(start_paused = true)]
async fn a_principal_that_is_not_replicated_yet_is_refused_as_quoted() {
    let principal = "0f14a80d-42e5-4d57-afe0-46acf9dfae05";
    let tenant = "c7cb8e56-3c8d-431c-a94c-866e27a25b45";
    let cloud = Cloud::new(Config {
        tenant_id: tenant.parse().unwrap(),
        ..Config::default()
    })
    .await;
    let id = format!(
        "/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Authorization/roleAssignments/05c5a614-a7d6-4502-b150-c2fb455033ff"
    );
    let reader = format!(
        "/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Authorization/roleDefinitions/acdd72a7-3385-48ef-bd42-f606fba81ae7"
    );
    let body = json!({"properties": {"roleDefinitionId": reader, "principalId": principal}});
    assert_quoted(PRINCIPAL_NOT_FOUND, &cloud.put(&id, &body).await);
}

/// The quotation breaks off within the message and gives the code that older api-versions had. What is held to here is
/// the situation, the status, and for the newest api-version that the message speaks of Microsoft Graph.
#[tokio::test(start_paused = true)]
async fn a_credential_written_too_soon_after_its_identity_is_not_found_as_quoted() {
    let cloud = Cloud::new(Config {
        parent_replication: Duration::from_mins(1),
        ..Config::default()
    })
    .await;
    cloud.put_identity("ide").await.expect_status(201);
    let id = format!("{}?api-version=2026-04-30", crate::cloud::credential("ide", "fic"));
    let answer = cloud.put(&id, &trust(ISSUER, "a", AUDIENCE)).await;
    assert_eq!(quoted(GRAPH_NOT_FOUND)["status"], answer.status.as_u16());
    let graph = |text: &str| text.replace(' ', "").to_lowercase().contains("msgraphresource");
    assert!(graph(
        quoted(GRAPH_NOT_FOUND)["body"]["error"]["message"].as_str().unwrap()
    ));
    assert!(
        graph(answer.message()) || graph(answer.body["error"]["code"].as_str().unwrap()),
        "{answer:#?}"
    );
}

#[tokio::test(start_paused = true)]
async fn an_assertion_with_another_subject_is_refused_as_quoted() {
    let (entra, identity) = trusting("system:serviceaccount:shop:orders").await;
    let answer = entra
        .exchange(&identity, &entra.cluster.token("system:serviceaccount:shop:carts"))
        .await;
    assert_quoted_by_entra(WRONG_SUBJECT, &answer, "system:serviceaccount:shop:carts");
}

#[tokio::test(start_paused = true)]
async fn an_assertion_with_the_subject_in_other_letter_case_is_refused_as_quoted() {
    let (entra, identity) = trusting("system:serviceaccount:shop:orders").await;
    let answer = entra
        .exchange(&identity, &entra.cluster.token("system:serviceaccount:Shop:orders"))
        .await;
    assert_quoted_by_entra(WRONG_CASE, &answer, "system:serviceaccount:Shop:orders");
}

/// An identity that trusts one subject of a cluster; gives its client id.
async fn trusting(subject: &str) -> (Entra, String) {
    let entra = Entra::new(Config::default(), Cluster::new()).await;
    let identity = entra
        .cloud
        .put_identity("ide")
        .await
        .expect_status(201)
        .property("clientId");
    entra
        .cloud
        .put_credential("ide", "fic", subject)
        .await
        .expect_status(201);
    (entra, identity)
}

#[track_caller]
fn assert_quoted(index: usize, answer: &Answer) {
    let quoted = quoted(index);
    assert_eq!(quoted["status"], answer.status.as_u16(), "{answer:#?}");
    assert_eq!(quoted["body"]["error"]["code"], answer.body["error"]["code"]);
    assert_eq!(quoted["body"]["error"]["message"], answer.body["error"]["message"]);
}

/// `...` in a quotation stands for whatever follows.
#[track_caller]
fn assert_quoted_by_entra(index: usize, answer: &Answer, subject: &str) {
    let quoted = quoted(index);
    // The quotations give 400 as it was in 2022; such refusals are 401 since 2023.
    assert_eq!(quoted["status"], 400);
    assert_eq!(answer.status, 401, "{answer:#?}");
    assert_eq!(quoted["body"]["error"], answer.body["error"]);
    let pattern = quoted["body"]["error_description"]
        .as_str()
        .unwrap()
        .replace("<sub>", subject);
    let description = answer.body["error_description"].as_str().unwrap();
    let beginning = pattern.trim_end_matches('.').trim_end_matches(" ..").trim_end();
    assert!(
        description.starts_with(beginning),
        "{description}\nshould begin with\n{beginning}"
    );
}
