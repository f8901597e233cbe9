//! Signing in: the operator's own credential, as the environment chooses it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use azure_core::credentials::TokenCredential;
use serde_json::json;
use wio_azure::{Azure, CredentialKind, EnvironmentCredential};
use wio_core::fault::AzureCause;
use wio_core::observed::Tags;

use crate::fixtures::{
    CLIENT_ID, Request, Response, Seen, TENANT_ID, TOKEN, carrier, cloud, error_response, granted, id, identity_body,
    in_process, json_response, name, public,
};

const AUTHORITY: &str = "https://login.example.net";

fn workload(token_file: PathBuf) -> CredentialKind {
    CredentialKind::WorkloadIdentity {
        client_id: CLIENT_ID.to_owned(),
        tenant_id: TENANT_ID.to_owned(),
        token_file,
    }
}

fn token() -> Response {
    json_response(
        200,
        &json!({"token_type": "Bearer", "expires_in": 3599, "access_token": TOKEN}),
    )
}

fn signed_in(kind: CredentialKind, answers: Vec<Response>) -> (Azure, Seen, Seen) {
    let (entra, asked) = carrier(answers);
    let credential = EnvironmentCredential::with(kind, AUTHORITY.to_owned(), entra);
    let (arm, seen) = carrier(vec![
        json_response(200, &identity_body("orders")),
        error_response(401, "X"),
        json_response(200, &identity_body("orders")),
    ]);
    (
        Azure::new(arm, Arc::new(credential) as Arc<dyn TokenCredential>, public()),
        asked,
        seen,
    )
}

fn write(file: &Path, assertion: &str) {
    std::fs::write(file, assertion).unwrap();
}

fn form(request: &Request, field: &str) -> String {
    let fields = url::form_urlencoded::parse(request.body());
    fields
        .into_owned()
        .find(|(name, _)| name == field)
        .unwrap_or_else(|| panic!("no {field}"))
        .1
}

#[tokio::test(start_paused = true)]
async fn a_workload_identity_exchanges_the_token_that_lies_in_the_file_now() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    write(&file, "first");
    let (azure, asked, seen) = signed_in(workload(file.clone()), vec![token()]);
    azure.get_identity(&id("orders")).await.unwrap();
    let exchange = asked.only();
    assert_eq!(exchange.method(), "POST");
    assert_eq!(
        exchange.uri().to_string(),
        format!("{AUTHORITY}/{TENANT_ID}/oauth2/v2.0/token")
    );
    assert_eq!(form(&exchange, "client_assertion"), "first");
    assert_eq!(form(&exchange, "client_id"), CLIENT_ID);
    assert_eq!(form(&exchange, "scope"), "https://management.azure.com/.default");
    assert_eq!(seen.only().headers()["authorization"], format!("Bearer {TOKEN}"));

    // Azure rejects the token, and meanwhile the kubelet has replaced the file.
    write(&file, "second");
    tokio::time::advance(Duration::from_mins(1)).await;
    azure.get_identity(&id("orders")).await.unwrap_err();
    azure.get_identity(&id("orders")).await.unwrap();
    let assertions: Vec<String> = asked
        .all()
        .iter()
        .map(|request| form(request, "client_assertion"))
        .collect();
    assert_eq!(assertions, ["first", "second"]);
}

#[tokio::test]
async fn a_token_file_that_comes_later_heals() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    let (azure, asked, _) = signed_in(workload(file.clone()), vec![token()]);
    let fault = azure.probe().await.unwrap_err();
    assert!(
        matches!(&fault.cause, AzureCause::Credential(why) if why.contains("token")),
        "{fault}"
    );
    assert_eq!(asked.count(), 0);
    write(&file, "assertion");
    azure.probe().await.unwrap();
}

#[tokio::test]
async fn what_entra_says_is_told_and_the_assertion_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    write(&file, "eyJhc3NlcnRpb24.eyJ4.c2ln");
    let refusal = |description: &str| {
        json_response(
            401,
            &json!({"error": "invalid_client", "error_codes": [700_213], "error_description": description}),
        )
    };
    let description = "AADSTS700213: No matching federated identity record found for presented assertion subject 'x'.";
    let multiline = format!("{description}\r\nTrace ID: t");
    let (azure, asked, _) = signed_in(workload(file), vec![refusal(description), refusal(&multiline), token()]);
    for _ in 0..2 {
        let fault = azure.probe().await.unwrap_err();
        let told = fault.to_string();
        assert!(
            told.contains("AADSTS700213: No matching federated identity record"),
            "{told}"
        );
        assert!(!told.contains("eyJ") && !told.contains("Trace ID"), "{told}");
    }
    assert_eq!(asked.count(), 2, "it is asked once each time");
    azure.probe().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_managed_identity_asks_the_node_and_only_so_long() {
    let kind = CredentialKind::ManagedIdentity {
        client_id: Some(CLIENT_ID.to_owned()),
    };
    let answer = json!({"access_token": TOKEN, "expires_on": "4102444800", "token_type": "Bearer", "resource": "r"});
    let (azure, asked, _) = signed_in(kind.clone(), vec![json_response(200, &answer)]);
    azure.probe().await.unwrap();
    let request = asked.only();
    let url = url::Url::parse(&request.uri().to_string()).unwrap();
    assert_eq!(
        (url.host_str(), url.path()),
        (Some("169.254.169.254"), "/metadata/identity/oauth2/token")
    );
    assert!(
        url.query_pairs()
            .any(|(name, value)| name == "client_id" && value == CLIENT_ID),
        "{url}"
    );
    assert_eq!(request.headers()["metadata"], "true");

    let (azure, _, _) = signed_in(kind, vec![error_response(500, "Busy")]);
    let started = tokio::time::Instant::now();
    let fault = azure.probe().await.unwrap_err();
    assert!(matches!(fault.cause, AzureCause::Credential(_)), "{fault}");
    assert!(started.elapsed() <= Duration::from_secs(30), "{:?}", started.elapsed());
}

#[tokio::test(start_paused = true)]
async fn the_client_knows_as_which_application_it_signed_in() {
    let (by_hand, simulator) = cloud(|_| {}).await;
    let put = by_hand
        .put_identity(&granted("orders"), &name("westeurope"), &Tags::new())
        .await
        .unwrap();
    assert_eq!(by_hand.signed_in_as(), None, "its token is no JSON Web Token");

    let kind = CredentialKind::ManagedIdentity { client_id: None };
    let credential = EnvironmentCredential::with(kind, AUTHORITY.to_owned(), in_process(&simulator));
    let azure = Azure::new(in_process(&simulator), Arc::new(credential), public());
    assert_eq!(azure.signed_in_as(), None, "it did not sign in yet");
    azure.get_identity(&id("orders")).await.unwrap().unwrap();
    assert_eq!(azure.signed_in_as(), Some(put.view.facts.client_id));
    assert_eq!(azure.clone().signed_in_as(), azure.signed_in_as());
    let shown = format!("{azure:?}");
    assert!(!shown.contains("eyJ"), "{shown}");
}
