//! What is sent, and what is understood of the answers.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use uuid::Uuid;
use wio_azure::{Azure, Budgets, Cloud, Endpoints, Exchange};
use wio_core::fault::AzureCause;
use wio_core::observed::Tags;
use wio_testkit::azure::credential;

use crate::given::{
    CLIENT_ID, PRINCIPAL_ID, Request, TENANT_ID, TOKEN, answered, carrier, credential_body, desired_credential,
    error_response, granted, id, identity_body, json_response, name, resource_id, response,
};

fn tags() -> Tags {
    Tags::from([("team".to_owned(), "shop".to_owned())])
}

fn line(request: &Request) -> String {
    format!("{} {}", request.method(), request.uri())
}

fn header<'a>(request: &'a Request, name: &str) -> &'a str {
    request
        .headers()
        .get(name)
        .unwrap_or_else(|| panic!("no {name}"))
        .to_str()
        .unwrap()
}

fn body(request: &Request) -> Value {
    serde_json::from_slice(request.body()).unwrap()
}

#[tokio::test]
async fn an_identity_is_written_and_201_means_created() {
    for (status, created) in [(201, true), (200, false)] {
        let (azure, seen) = answered(vec![json_response(status, &identity_body("orders"))]);
        let put = azure
            .put_identity(&granted("orders"), &name("westeurope"), &tags())
            .await
            .unwrap();
        assert_eq!(put.created, created);
        assert_eq!(put.view.facts.client_id.to_string(), CLIENT_ID);
        assert_eq!(put.view.facts.principal_id.to_string(), PRINCIPAL_ID);
        assert_eq!(put.view.facts.tenant_id.to_string(), TENANT_ID);
        assert_eq!(put.view.tags, tags());
        let request = seen.only();
        assert_eq!(
            line(&request),
            format!(
                "PUT https://management.azure.com{}?api-version=2023-01-31",
                resource_id("orders")
            )
        );
        assert_eq!(
            body(&request),
            json!({"location": "westeurope", "tags": {"team": "shop"}})
        );
        assert_eq!(header(&request, "content-type"), "application/json");
        assert_eq!(header(&request, "authorization"), format!("Bearer {TOKEN}"));
    }
}

#[tokio::test]
async fn only_the_tags_of_an_identity_are_changed_by_a_patch() {
    let (azure, seen) = answered(vec![json_response(200, &identity_body("orders"))]);
    azure.tag_identity(&granted("orders"), &tags()).await.unwrap();
    let request = seen.only();
    assert_eq!(request.method(), "PATCH");
    assert_eq!(body(&request), json!({"tags": {"team": "shop"}}));
}

#[tokio::test]
async fn a_credential_is_written_with_its_three_texts() {
    let credential = desired_credential("orders");
    let subject = credential.subject.as_str();
    let answer = credential_body("orders", credential.name.as_str(), Some(subject));
    let (azure, seen) = answered(vec![json_response(201, &answer)]);
    let written = azure.put_credential(&granted("orders"), &credential).await.unwrap();
    assert!(written.trusts(credential.issuer.as_str(), subject) && written.has_audience(&credential.audience));
    let request = seen.only();
    assert_eq!(request.method(), "PUT");
    assert!(
        request
            .uri()
            .path()
            .ends_with(&format!("/federatedIdentityCredentials/{}", credential.name))
    );
    let expected = json!({"properties": {
        "issuer": credential.issuer.as_str(), "subject": subject, "audiences": ["api://AzureADTokenExchange"]
    }});
    assert_eq!(body(&request), expected);
}

#[tokio::test]
async fn a_flexible_credential_does_not_break_the_list() {
    let foreign = json!({"name": "odd", "properties": {"issuer": null, "audiences": null}});
    let page = json!({"value": [
        credential_body("orders", "plain", Some("s")),
        credential_body("orders", "flexible", None),
        foreign,
        {"name": "bare"},
    ]});
    let (azure, _) = answered(vec![json_response(200, &page)]);
    let found = azure.list_credentials(&id("orders")).await.unwrap();
    let subjects: Vec<_> = found
        .iter()
        .map(|credential| (credential.name.as_str(), credential.subject.as_deref()))
        .collect();
    assert_eq!(
        subjects,
        [("plain", Some("s")), ("flexible", None), ("odd", None), ("bare", None)]
    );
}

#[tokio::test]
async fn an_identity_is_read_and_its_absence_is_no_fault() {
    let shouting = resource_id("ORDERS")
        .to_uppercase()
        .replace("SUBSCRIPTIONS", "subscriptions");
    let mut untagged = identity_body("orders");
    untagged["tags"] = Value::Null;
    untagged["id"] = json!(shouting);
    let (azure, _) = answered(vec![
        json_response(200, &untagged),
        error_response(404, "ResourceNotFound"),
    ]);
    assert_eq!(
        azure.get_identity(&id("orders")).await.unwrap().unwrap().tags,
        Tags::new()
    );
    assert_eq!(azure.get_identity(&id("orders")).await.unwrap(), None);
}

#[tokio::test]
async fn a_404_that_azure_did_not_write_is_not_taken_for_an_absence() {
    let html = || response(404, &[("content-type", "text/html")], "<html>no such page</html>");
    let (azure, _) = answered(vec![html()]);
    azure.get_identity(&id("orders")).await.unwrap_err();
    azure.delete_identity(&granted("orders").revoking()).await.unwrap_err();
    azure
        .delete_credential(&granted("orders").revoking(), &name("wib-one"))
        .await
        .unwrap_err();
}

#[tokio::test]
async fn deleting_what_is_not_there_is_done() {
    for answer in [
        response(200, &[], ""),
        response(204, &[], ""),
        error_response(404, "ResourceNotFound"),
    ] {
        let (azure, seen) = answered(vec![answer]);
        azure.delete_identity(&granted("orders").revoking()).await.unwrap();
        azure
            .delete_credential(&granted("orders").revoking(), &name("wib-one"))
            .await
            .unwrap();
        let lines: Vec<String> = seen.all().iter().map(line).collect();
        let identity = format!("DELETE https://management.azure.com{}", resource_id("orders"));
        assert_eq!(lines[0], format!("{identity}?api-version=2023-01-31"));
        assert_eq!(
            lines[1],
            format!("{identity}/federatedIdentityCredentials/wib-one?api-version=2023-01-31")
        );
        assert!(seen.all().iter().all(|request| request.body().is_empty()));
    }
}

#[tokio::test]
async fn an_answer_about_something_else_is_not_believed() {
    let (azure, _) = answered(vec![json_response(200, &identity_body("mails"))]);
    let fault = azure.get_identity(&id("orders")).await.unwrap_err();
    assert!(
        matches!(&fault.cause, AzureCause::Malformed(why) if why.contains("mails")),
        "{fault}"
    );

    let credential = desired_credential("orders");
    let (azure, _) = answered(vec![json_response(200, &credential_body("orders", "other", Some("s")))]);
    let fault = azure.put_credential(&granted("orders"), &credential).await.unwrap_err();
    assert!(
        matches!(&fault.cause, AzureCause::Malformed(why) if why.contains("other")),
        "{fault}"
    );
}

#[tokio::test]
async fn every_request_says_who_asks_and_has_an_id_of_its_own() {
    let (azure, seen) = answered(vec![error_response(404, "ResourceNotFound")]);
    azure.get_identity(&id("orders")).await.unwrap();
    azure.get_identity(&id("orders")).await.unwrap();
    let ids: Vec<Uuid> = seen
        .all()
        .iter()
        .map(|request| {
            assert!(
                header(request, "user-agent").starts_with("workload-identity-operator/"),
                "{request:?}"
            );
            let correlation = header(request, "x-ms-correlation-request-id");
            assert_eq!(correlation, header(request, "x-ms-client-request-id"));
            correlation.parse().unwrap()
        })
        .collect();
    assert_ne!(ids[0], ids[1]);
}

#[tokio::test]
async fn cloud_endpoint_and_api_version_are_chosen_by_the_caller() {
    let cases = [
        (
            Cloud::UsGovernment,
            None,
            "2024-11-30",
            "https://management.usgovcloudapi.net",
        ),
        (Cloud::China, None, "2023-01-31", "https://management.chinacloudapi.cn"),
        (
            Cloud::Public,
            Some("https://127.0.0.1:8443"),
            "2026-05-31",
            "https://127.0.0.1:8443",
        ),
    ];
    for (cloud, endpoint, version, expected) in cases {
        let (carrier, seen) = carrier(vec![
            json_response(200, &json!({"value": []})),
            json_response(200, &identity_body("orders")),
        ]);
        let azure = Azure::new(
            carrier,
            credential(TOKEN),
            Endpoints::new(cloud, endpoint, name(version)).unwrap(),
        );
        azure.list_credentials(&id("orders")).await.unwrap();
        azure
            .put_identity(&granted("orders"), &name("westeurope"), &tags())
            .await
            .unwrap();
        for request in seen.all() {
            let url = request.uri().to_string();
            assert!(url.starts_with(&format!("{expected}/subscriptions/")), "{url}");
            assert!(url.ends_with(&format!("?api-version={version}")), "{url}");
        }
    }
}

#[tokio::test]
async fn a_callback_is_told_of_every_exchange_and_of_what_is_left() {
    let (azure, _) = answered(vec![
        response(
            200,
            &[
                ("x-ms-ratelimit-remaining-subscription-reads", "11"),
                ("x-ms-ratelimit-remaining-subscription-global-reads", "7"),
            ],
            identity_body("orders").to_string(),
        ),
        error_response(418, "Teapot"),
        response(200, &[], "garbage"),
    ]);
    let told = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&told);
    let untold = azure.clone();
    let azure = azure.on_exchange(move |exchange: &Exchange| log.lock().unwrap().push(exchange.clone()));
    azure.clone().get_identity(&id("orders")).await.unwrap();
    azure.get_identity(&id("orders")).await.unwrap_err();
    azure.list_credentials(&id("orders")).await.unwrap_err();
    let seen: Vec<_> = told
        .lock()
        .unwrap()
        .iter()
        .map(|e| (e.operation.as_str(), e.outcome, e.budgets))
        .collect();
    let left = Budgets {
        reads: Some(7),
        ..Budgets::default()
    };
    assert_eq!(
        seen,
        [
            ("get_identity", "200", left),
            ("get_identity", "4xx", Budgets::default()),
            ("list_credentials", "200", Budgets::default()),
        ]
    );
    untold.list_credentials(&id("orders")).await.unwrap_err();
    assert_eq!(told.lock().unwrap().len(), 3, "a clone made before tells nobody");
}
