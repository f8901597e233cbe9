//! Federated identity credentials.

use std::time::Duration;

use bytes::Bytes;
use http::Request;
use serde_json::{Value, json};
use wio_azure_sim::Config;

use crate::cloud::{AUDIENCE, Cloud, GROUP, ISSUER, TOKEN, credential, identity, trust};

/// A cloud with the identity `ide`.
async fn cloud(config: Config) -> Cloud {
    let cloud = Cloud::new(config).await;
    cloud.put_identity("ide").await.expect_status(201);
    cloud
}

#[tokio::test]
async fn an_identity_holds_twenty_credentials() {
    let cloud = cloud(Config::default()).await;
    for number in 0..20 {
        cloud
            .put_credential("ide", &format!("fic{number}"), &format!("subject{number}"))
            .await
            .expect_status(201);
    }
    let refused = cloud.put_credential("ide", "fic20", "subject20").await;
    assert!(refused.status.is_client_error(), "{refused:#?}");
    assert!(refused.message().contains("20"), "it names the limit: {refused:#?}");
    cloud.put_credential("ide", "fic3", "another").await.expect_status(200);
    assert_eq!(cloud.list(&credential("ide", "")).await.0.len(), 20);
    cloud.delete(&credential("ide", "fic7")).await.expect_status(200);
    cloud
        .put_credential("ide", "fic20", "subject20")
        .await
        .expect_status(201);
}

#[tokio::test]
async fn issuer_and_subject_are_unique_in_an_identity() {
    let cloud = cloud(Config::default()).await;
    cloud.put_identity("other").await.expect_status(201);
    cloud.put_credential("ide", "first", "subject").await.expect_status(201);
    let refused = cloud.put_credential("ide", "second", "subject").await;
    assert!([400, 409].contains(&refused.status.as_u16()), "{refused:#?}");
    assert_eq!(
        refused.message(),
        "Issuer and subject combination already exists for this Managed Identity."
    );
    cloud.put_credential("ide", "first", "subject").await.expect_status(200);
    cloud
        .put_credential("other", "second", "subject")
        .await
        .expect_status(201);
    let without_slash = trust(ISSUER.trim_end_matches('/'), "subject", AUDIENCE);
    cloud
        .put(&credential("ide", "second"), &without_slash)
        .await
        .expect_status(201);
    cloud.put_credential("ide", "third", "Subject").await.expect_status(201);
    let taken = cloud.put_credential("ide", "third", "subject").await;
    assert!(
        taken.status.is_client_error(),
        "an update may not take what another has: {taken:#?}"
    );
}

#[tokio::test]
async fn issuer_subject_and_audience_come_back_byte_for_byte() {
    let cloud = cloud(Config::default()).await;
    let body = trust(
        "https://Oidc.Example/A/B/",
        "system:serviceaccount:Shop:orders",
        "api://AzureADTokenExchange",
    );
    let id = credential("ide", "Fic");
    assert_eq!(
        cloud.put(&id, &body).await.expect_status(201).body["properties"],
        body["properties"]
    );
    let read = cloud.get(&credential("ide", "FIC")).await.expect_status(200);
    assert_eq!(read.body["properties"], body["properties"]);
    assert_eq!(read.body["name"], "Fic");
    assert!(read.body.get("tags").is_none() && read.body.get("location").is_none() && read.header("etag").is_none());
}

/// Azure knows no conditional requests for credentials: who asks to create and not to overwrite, overwrites.
#[tokio::test]
async fn a_condition_does_not_keep_a_write_from_overwriting() {
    let cloud = cloud(Config::default()).await;
    cloud.put_credential("ide", "fic", "a").await.expect_status(201);
    let request = Request::put(format!("{}?api-version=2024-11-30", credential("ide", "fic")))
        .header("host", "management.azure.com")
        .header("authorization", format!("Bearer {TOKEN}"))
        .header("content-type", "application/json")
        .header("if-none-match", "*")
        .body(Bytes::from(trust(ISSUER, "b", AUDIENCE).to_string()))
        .unwrap();
    let answer = cloud.handle(request).await.unwrap().expect_status(200);
    assert_eq!(answer.property("subject"), "b");
}

#[tokio::test]
async fn a_credential_that_breaks_a_rule_is_refused_and_says_which() {
    let cloud = cloud(Config::default()).await;
    let (longest, long, issuer) = ("a".repeat(600), "a".repeat(601), format!("https://{}", "a".repeat(593)));
    let audiences =
        |audiences: Value| json!({"properties": {"issuer": ISSUER, "subject": "s", "audiences": audiences}});
    let cases = [
        ("two audiences", audiences(json!(["a", "b"])), "must have exactly"),
        ("no audience", audiences(json!([])), "audience"),
        ("an empty subject", trust(ISSUER, "", AUDIENCE), "subject"),
        (
            "no subject",
            json!({"properties": {"issuer": ISSUER, "audiences": [AUDIENCE]}}),
            "subject",
        ),
        ("no properties", json!({}), "empty properties"),
        (
            "an issuer that is no https URL",
            trust("http://oidc.example", "s", AUDIENCE),
            "issuer",
        ),
        ("an issuer that is no URL", trust("cluster", "s", AUDIENCE), "issuer"),
        ("a long issuer", trust(&issuer, "s", AUDIENCE), "600"),
        ("a long subject", trust(ISSUER, &long, AUDIENCE), "600"),
        ("a long audience", trust(ISSUER, "s", &long), "600"),
        (
            "a wildcard in the subject",
            trust(ISSUER, "system:serviceaccount:shop:*", AUDIENCE),
            "ildcard",
        ),
    ];
    for (what, body, said) in cases {
        let answer = cloud.put(&credential("ide", "fic"), &body).await;
        assert_eq!(answer.status, 400, "{what}: {answer:#?}");
        assert!(answer.message().contains(said), "{what}: {answer:#?}");
    }
    assert_eq!(cloud.list(&credential("ide", "")).await.0, [json!(null); 0]);
    cloud
        .put(&credential("ide", "fic"), &trust(ISSUER, &longest, AUDIENCE))
        .await
        .expect_status(201);
}

#[tokio::test]
async fn a_name_that_breaks_the_rule_is_refused() {
    let cloud = cloud(Config::default()).await;
    let (longest, too_long) = ("a".repeat(120), "a".repeat(121));
    for name in ["ab", "-abc", "_abc", "a.b", &too_long] {
        let answer = cloud.put_credential("ide", name, name).await;
        assert_eq!(answer.status, 400, "{name}: {answer:#?}");
        assert!(
            answer.message().contains(&format!("'{name}' is invalid")),
            "{answer:#?}"
        );
    }
    for name in ["abc", "a-_", &longest] {
        cloud.put_credential("ide", name, name).await.expect_status(201);
    }
}

#[tokio::test]
async fn a_credential_that_is_not_there_is_deleted_with_204_and_read_with_404() {
    let cloud = cloud(Config::default()).await;
    cloud.delete(&credential("ide", "fic")).await.expect_status(204);
    let answer = cloud.get(&credential("ide", "fic")).await;
    assert_eq!(answer.status, 404, "{answer:#?}");
    assert!(!answer.body["error"]["code"].as_str().unwrap().is_empty());
    cloud.put_credential("ide", "fic", "a").await.expect_status(201);
    cloud.delete(&credential("ide", "fic")).await.expect_status(200);
    cloud.delete(&credential("ide", "fic")).await.expect_status(204);
}

#[tokio::test]
async fn a_credential_of_no_identity_is_refused() {
    let cloud = Cloud::new(Config::default()).await;
    cloud
        .put_credential("ide", "fic", "a")
        .await
        .expect_error(404, "ParentResourceNotFound");
    for answer in [
        cloud.get(&credential("ide", "")).await,
        cloud.get(&credential("ide", "fic")).await,
    ] {
        assert_eq!(answer.status, 404, "{answer:#?}");
    }
}

#[tokio::test]
async fn a_deleted_identity_takes_its_credentials_along() {
    let cloud = cloud(Config::default()).await;
    cloud.put_credential("ide", "fic", "a").await.expect_status(201);
    cloud.delete(&identity("ide")).await.expect_status(200);
    cloud.put_identity("ide").await.expect_status(201);
    assert_eq!(cloud.list(&credential("ide", "")).await.0.len(), 0);
}

#[tokio::test]
async fn writing_an_identity_again_leaves_its_credentials() {
    let cloud = cloud(Config::default()).await;
    cloud.put_credential("ide", "fic", "a").await.expect_status(201);
    cloud.put_identity("ide").await.expect_status(200);
    assert_eq!(cloud.list(&credential("ide", "")).await.0.len(), 1);
}

#[tokio::test]
async fn every_credential_is_on_exactly_one_page_of_a_list() {
    let cloud = cloud(Config {
        page_size: 3,
        ..Config::default()
    })
    .await;
    for name in ["one", "two", "three", "four", "five", "six", "seven"] {
        cloud.put_credential("ide", name, name).await.expect_status(201);
    }
    let (entries, pages) = cloud.list(&credential("ide", "")).await;
    let mut names: Vec<&str> = entries.iter().map(|entry| entry["name"].as_str().unwrap()).collect();
    names.sort_unstable();
    assert_eq!(names, ["five", "four", "one", "seven", "six", "three", "two"]);
    assert_eq!(pages, 3);
    let wanted = format!("{}?$top=2", credential("ide", ""));
    assert_eq!(
        cloud.get(&wanted).await.expect_status(200).body["value"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
}

#[tokio::test]
async fn a_flexible_credential_turns_up_in_a_list_without_a_subject() {
    let cloud = cloud(Config::default()).await;
    let expression = json!({"languageVersion": 1, "value": "claims['sub'] matches 'system:serviceaccount:ns:*'"});
    let body = json!({"properties": {
        "issuer": ISSUER, "audiences": [AUDIENCE], "claimsMatchingExpression": expression,
    }});
    let flexible = format!("{}?api-version=2025-05-31-preview", credential("ide", "flexible"));
    cloud.put(&flexible, &body).await.expect_status(201);
    let (entries, _) = cloud.list(&credential("ide", "")).await;
    assert!(entries[0]["properties"].get("subject").is_none(), "{entries:?}");
    let stable = cloud.put(&credential("ide", "other"), &body).await;
    assert_eq!(stable.status, 400, "no stable api-version takes one: {stable:#?}");
}

/// A write takes a second here, and the calls of a test arrive in the same moment.
fn slow() -> Config {
    Config {
        latency: Duration::from_secs(1),
        ..Config::default()
    }
}

#[tokio::test(start_paused = true)]
async fn a_second_write_to_one_identity_is_refused_while_the_first_runs() {
    let cloud = cloud(slow()).await;
    let (one, three) = (credential("ide", "one"), credential("IDE", "three"));
    let conflict = "ConcurrentFederatedIdentityCredentialsWritesForSingleManagedIdentity";
    let (first, second, other) = tokio::join!(
        cloud.put_credential("ide", "one", "a"),
        cloud.put_credential("ide", "two", "b"),
        cloud.delete(&three)
    );
    first.expect_status(201);
    second.expect_error(409, conflict);
    other.expect_error(409, conflict);
    let (deleted, written) = tokio::join!(cloud.delete(&one), cloud.put_credential("ide", "two", "b"));
    deleted.expect_status(200);
    written.expect_error(409, conflict);
    cloud.put_credential("ide", "two", "b").await.expect_status(201);
}

#[tokio::test(start_paused = true)]
async fn writes_to_different_identities_and_reads_run_beside_each_other() {
    let cloud = cloud(slow()).await;
    cloud.put_identity("other").await.expect_status(201);
    let (credentials, owner) = (credential("ide", ""), identity("ide"));
    let (one, two, list, read) = tokio::join!(
        cloud.put_credential("ide", "one", "a"),
        cloud.put_credential("other", "one", "a"),
        cloud.get(&credentials),
        cloud.get(&owner)
    );
    one.expect_status(201);
    two.expect_status(201);
    list.expect_status(200);
    read.expect_status(200);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_goes_away_does_not_keep_the_identity_locked() {
    let cloud = cloud(slow()).await;
    let impatient = tokio::time::timeout(Duration::from_millis(100), cloud.put_credential("ide", "one", "a")).await;
    assert!(impatient.is_err());
    tokio::time::sleep(Duration::from_secs(5)).await;
    cloud.put_credential("ide", "two", "b").await.expect_status(201);
}

#[tokio::test(start_paused = true)]
async fn a_credential_written_too_soon_after_its_identity_finds_no_parent_for_a_while() {
    let window = Duration::from_mins(1);
    let cloud = cloud(Config {
        parent_replication: window,
        ..Config::default()
    })
    .await;
    cloud
        .put_credential("ide", "fic", "a")
        .await
        .expect_error(404, "ParentResourceNotFound");
    let newest = format!("{}?api-version=2026-05-31", credential("ide", "fic"));
    let graph = "MsGraphResourceNotFoundOnFederatedIdentityCredentialCreation";
    cloud
        .put(&newest, &trust(ISSUER, "a", AUDIENCE))
        .await
        .expect_error(404, graph);
    cloud.get(&identity("ide")).await.expect_status(200);
    tokio::time::advance(window).await;
    cloud.put_credential("ide", "fic", "a").await.expect_status(201);
    cloud.put_identity("ide").await.expect_status(200);
    cloud.put_credential("ide", "fic", "b").await.expect_status(200);
}

#[tokio::test]
async fn a_region_without_federated_credentials_says_so() {
    let config = Config {
        regions_without_credentials: vec!["eastasia".to_owned()],
        ..Config::default()
    };
    let cloud = Cloud::new(config).await;
    cloud
        .put(&identity("far"), &json!({"location": "East Asia"}))
        .await
        .expect_status(201);
    let answer = cloud.put_credential("far", "fic", "a").await.expect_status(405);
    assert!(
        answer
            .message()
            .contains("Support for federated identity credentials not enabled"),
        "{answer:#?}"
    );
    cloud.put_identity("near").await.expect_status(201);
    cloud.put_credential("near", "fic", "a").await.expect_status(201);
}

#[tokio::test]
async fn a_name_with_dots_and_slashes_reaches_another_resource_as_it_would_in_azure() {
    let cloud = cloud(Config::default()).await;
    let path = format!("{GROUP}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/x%2F..%2Fide");
    let answer = cloud.get(&path).await.expect_status(200);
    assert_eq!(answer.body["name"], "ide");
}
