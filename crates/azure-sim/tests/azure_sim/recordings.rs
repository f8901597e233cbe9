//! Every recorded exchange is sent again, in order, and the answer must mean what Azure's meant.

use std::collections::BTreeSet;

use http::{HeaderMap, HeaderValue};
use serde_json::{Map, Value, json};
use wio_azure_sim::Config;

use crate::cloud::{Answer, Cloud, file, json_file};
use crate::meaning::Meaning;

/// What Azure makes up, in the bodies of identities. Tied consistently through a whole recording.
const GENERATED: &[&str] = &["properties.clientId", "properties.principalId", "properties.tenantId"];

/// What is deliberately not compared, and why. Every other recorded header is.
const NOT_COMPARED: &[(&str, &str)] = &[
    (
        "the order of an object's keys",
        "it differs between api-versions, and JSON gives it no meaning",
    ),
    (
        "content-length",
        "the HTTP server's; names were scrubbed after capture, so the recorded one is not even the body's",
    ),
];

/// Headers of which only the presence is compared, and why.
const ONLY_PRESENT: &[(&str, &str)] = &[
    (
        "x-ms-ratelimit-remaining-subscription-writes",
        "the recordings are of the budgets by the hour, before 2024",
    ),
    (
        "x-ms-ratelimit-remaining-subscription-deletes",
        "the recordings are of the budgets by the hour, before 2024",
    ),
    (
        "retry-after",
        "how soon to look again is a hint; a number of seconds it must be",
    ),
];

#[tokio::test(start_paused = true)]
async fn the_azure_service_operators_life_of_an_identity() {
    replay("aso_user_assigned_identity_crud.json", &[], Recorder::Aso).await;
}

#[tokio::test(start_paused = true)]
async fn the_azure_clis_life_of_federated_credentials() {
    let group = (
        "cli_test_federated_identity_credential_000001",
        json!({"location": "eastus2euap"}),
    );
    replay(
        "azure-cli_federated_identity_credential_2023-02-07.json",
        &[group],
        Recorder::AzureCli,
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_azure_clis_life_of_an_identity() {
    let tags = json!({"product": "azurecli", "cause": "automation", "date": "2022-05-19T06:52:12Z"});
    let group = (
        "cli_test_identity_mgmt_000001",
        json!({"location": "westus", "tags": tags}),
    );
    replay(
        "azure-cli_identity_management_2022-05-19.json",
        &[group],
        Recorder::AzureCli,
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_azure_clis_revocation_of_tokens() {
    let group = ("cli_test_revoke_token_000001", json!({"location": "eastus2euap"}));
    replay("azure-cli_revoke_token_2023-12-13.json", &[group], Recorder::AzureCli).await;
}

#[test]
fn every_recording_is_replayed() {
    let replayed = [
        "README.md",
        "aso_user_assigned_identity_crud.json",
        "azure-cli_federated_identity_credential_2023-02-07.json",
        "azure-cli_identity_management_2022-05-19.json",
        "azure-cli_revoke_token_2023-12-13.json",
        "quoted_errors.json",
    ];
    let there: BTreeSet<String> = std::fs::read_dir(file("recordings"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(there, replayed.map(str::to_owned).into());
}

/// Who recorded, which decides what the absence of a header means.
#[derive(Clone, Copy, PartialEq)]
enum Recorder {
    /// Takes all headers about budgets away.
    Aso,
    /// Keeps the remaining writes and deletes; takes away the remaining reads, ids of requests, and Retry-After.
    AzureCli,
}

async fn replay(name: &str, groups: &[(&str, Value)], recorder: Recorder) {
    let recording = json_file(&format!("recordings/{name}"));
    let cloud = Cloud::empty(Config::default());
    for (group, body) in groups {
        let id = format!("/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/{group}");
        cloud.put(&id, body).await.expect_status(201);
    }
    let mut meaning = Meaning::new(GENERATED, &[]);
    let mut differences = Vec::new();
    for (number, exchange) in recording["exchanges"].as_array().unwrap().iter().enumerate() {
        let (request, response) = (&exchange["request"], &exchange["response"]);
        let method = request["method"].as_str().unwrap();
        let version = request["apiVersion"].as_str().unwrap();
        let path = format!("{}?api-version={version}", request["path"].as_str().unwrap());
        let body = request["body"].as_str().map(|text| serde_json::from_str(text).unwrap());
        let answer = cloud.send(method, &path, body.as_ref()).await;
        let found = compare(&mut meaning, response, &answer, recorder);
        differences.extend(
            found
                .into_iter()
                .map(|found| format!("exchange {number} ({method} {path}): {found}")),
        );
    }
    assert!(differences.is_empty(), "{name}:\n{}", differences.join("\n"));
}

fn compare(meaning: &mut Meaning, response: &Value, answer: &Answer, recorder: Recorder) -> Vec<String> {
    if response["status"] != answer.status.as_u16() {
        return vec![format!(
            "the status is {} in Azure, and here {answer:?}",
            response["status"]
        )];
    }
    let text = response["body"].as_str().unwrap();
    let original = if text.is_empty() {
        Value::Null
    } else {
        serde_json::from_str(text).unwrap()
    };
    let mut differences = meaning.differences(&original, &answer.body);
    differences.extend(compare_headers(
        response["headers"].as_object().unwrap(),
        &answer.headers,
        recorder,
    ));
    differences
}

fn compare_headers(original: &Map<String, Value>, answer: &HeaderMap, recorder: Recorder) -> Vec<String> {
    let mut differences = Vec::new();
    let found = |name: &str| {
        answer
            .get(name)
            .map(HeaderValue::to_str)
            .transpose()
            .expect("headers are text")
    };
    for (name, value) in original {
        let value = value.as_str().unwrap();
        if listed(NOT_COMPARED, name) {
            continue;
        }
        match found(name) {
            None => differences.push(format!("the header {name}: {value} is missing")),
            Some(found) if listed(ONLY_PRESENT, name) => {
                if found.parse::<u64>().is_err() {
                    differences.push(format!("the header {name} is no number: {found}"));
                }
            }
            Some(found) if same_header(name, value, found) => {}
            Some(found) => differences.push(format!("the header {name} is {value} in Azure and {found} here")),
        }
    }
    // What the recorder would have kept, and Azure did not send, may not be here either.
    let mut telling = vec!["location", "x-ms-failure-cause", "content-type"];
    if recorder == Recorder::AzureCli {
        telling.extend([
            "x-ms-ratelimit-remaining-subscription-writes",
            "x-ms-ratelimit-remaining-subscription-deletes",
        ]);
    }
    let extra = telling
        .into_iter()
        .filter(|name| !original.contains_key(*name) && answer.contains_key(*name));
    differences.extend(extra.map(|name| format!("Azure sends no header {name}")));
    differences
}

/// An operation's token is opaque: such links are compared up to it, and in their query without the signature, which the recorder
/// takes away.
fn same_header(name: &str, original: &str, found: &str) -> bool {
    let opaque = |link: &str| {
        let (head, tail) = link.split_once("/operationresults/")?;
        let (token, query) = tail.split_once('?')?;
        let signed = ["t=", "c=", "s=", "h="];
        let kept = query
            .split('&')
            .filter(|one| !signed.iter().any(|name| one.starts_with(name)));
        (!token.is_empty()).then(|| (head.to_owned(), kept.collect::<Vec<_>>().join("&")))
    };
    original == found || name == "location" && opaque(original).is_some_and(|link| opaque(found) == Some(link))
}

fn listed(table: &[(&str, &str)], name: &str) -> bool {
    table.iter().any(|(listed, _)| *listed == name)
}
