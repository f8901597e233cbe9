//! Proofs: a service account's token, exchanged at Entra once.

use std::sync::Arc;

use azure_core::http::HttpClient;
use serde_json::json;
use wio_azure::{Asked, NoAccess, Prover, Token};

use crate::fixtures::{CLIENT_ID, Response, Seen, TENANT_ID, TOKEN, carrier, header, json_response, public, response};

const AUTHORITY: &str = "https://login.example.net";
const ASSERTION: &str = "eyJhc3NlcnRpb24.eyJzdWIiOiJ4In0.c2ln";

fn prover(transport: Arc<dyn HttpClient>) -> Prover {
    Prover::new(transport, AUTHORITY, public()).unwrap()
}

async fn exchanged(answer: Response) -> (Result<Token, NoAccess>, Seen) {
    let (transport, seen) = carrier(vec![answer]);
    let assertion = Token::from(ASSERTION.to_owned());
    let prover = prover(transport);
    let asked = Asked {
        tenant: TENANT_ID.parse().unwrap(),
        client: CLIENT_ID.parse().unwrap(),
        scope: prover.arm_scope(),
        assertion: &assertion,
    };
    (prover.exchange(&asked).await, seen)
}

fn given() -> Response {
    json_response(
        200,
        &json!({ "token_type": "Bearer", "expires_in": 3599, "access_token": TOKEN }),
    )
}

#[tokio::test]
async fn the_token_is_sent_to_entra_once_and_is_not_shown() {
    let (token, seen) = exchanged(given()).await;
    let token = token.unwrap();
    let request = seen.only();
    assert_eq!(request.method(), "POST");
    assert_eq!(
        request.uri().to_string(),
        format!("{AUTHORITY}/{TENANT_ID}/oauth2/v2.0/token")
    );
    assert_eq!(header(&request, "content-type"), "application/x-www-form-urlencoded");
    let form: Vec<(String, String)> = url::form_urlencoded::parse(request.body()).into_owned().collect();
    let expected = [
        ("grant_type", "client_credentials"),
        ("client_id", CLIENT_ID),
        ("scope", "https://management.azure.com/.default"),
        (
            "client_assertion_type",
            "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        ),
        ("client_assertion", ASSERTION),
    ];
    assert_eq!(form, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    assert_eq!(format!("{token:?}"), "Token");
}

#[tokio::test]
async fn the_access_token_is_sent_to_azure_resource_manager_and_nowhere_else() {
    let (transport, seen) = carrier(vec![
        given(),
        json_response(
            200,
            &json!({ "value": [], "nextLink": "https://elsewhere.example/subscriptions/x" }),
        ),
    ]);
    let prover = prover(transport);
    let assertion = Token::from(ASSERTION.to_owned());
    let asked = Asked {
        tenant: TENANT_ID.parse().unwrap(),
        client: CLIENT_ID.parse().unwrap(),
        scope: prover.arm_scope(),
        assertion: &assertion,
    };
    let token = prover.exchange(&asked).await.unwrap();
    let scope = "/subscriptions/6f2e1c1d-52a4-4d0c-8d2f-0c6a2d0b7a11".parse().unwrap();
    let azure = prover.azure(&token);
    azure
        .list_role_assignments(&scope, "1a2b3c4d-0000-4000-8000-0000000091c1".parse().unwrap())
        .await
        .unwrap_err();
    let all = seen.all();
    assert_eq!(all.len(), 2, "{all:?}");
    assert_eq!(all[1].uri().host(), Some("management.azure.com"));
    assert_eq!(header(&all[1], "authorization"), format!("Bearer {TOKEN}"));
}

#[test]
fn entra_is_a_host_and_nothing_else() {
    for authority in [
        "",
        "http://login.example.net",
        "https://login.example.net/tenant",
        "https://user@login.example.net",
    ] {
        let (transport, _) = carrier(vec![given()]);
        let error = Prover::new(transport, authority, public()).unwrap_err().to_string();
        assert!(error.contains("authority of Entra"), "{error}");
    }
    let (transport, _) = carrier(vec![given()]);
    let prover = Prover::new(transport, "https://login.example.net:8443/", public()).unwrap();
    assert_eq!(prover.authority(), "https://login.example.net:8443");
}

#[tokio::test]
async fn a_refusal_is_told_in_entras_words_without_a_token() {
    let words = format!("AADSTS700213: No match for '{ASSERTION}'.");
    for (description, codes) in [
        (format!("{words}\r\nTrace ID: t\r\nTimestamp: now"), json!([700_213])),
        (format!("{words} Trace ID: t Correlation ID: c"), json!([])),
    ] {
        let body = json!({
            "error": "invalid_client", "error_description": description, "error_codes": codes, "trace_id": "t",
        });
        for status in [400, 401] {
            let (refused, _) = exchanged(json_response(status, &body)).await;
            match refused {
                Err(NoAccess::Refused(refusal)) => {
                    assert!(!refusal.message.contains("eyJ"), "{refusal}");
                    assert_eq!(
                        (refusal.code, &refusal.trace_id),
                        (Some(700_213), &Some("t".to_owned()))
                    );
                    assert!(
                        refusal.message.starts_with("AADSTS700213: No match for '<token>"),
                        "{refusal}"
                    );
                }
                other => panic!("{other:?}"),
            }
        }
    }
}

#[tokio::test]
async fn what_is_not_entras_answer_proves_nothing() {
    let error = json!({ "error": "server_error", "error_description": "AADSTS90033: busy" });
    let html = |status| response(status, &[("content-type", "text/html")], "<html>Bad Gateway</html>");
    for answer in [
        html(502),
        html(403),
        html(200),
        json_response(200, &json!({ "token_type": "Bearer" })),
        json_response(302, &json!({ "error": "moved" })),
        json_response(429, &error),
        json_response(500, &error),
        response(200, &[], vec![b' '; 5 * 1024 * 1024]),
    ] {
        let status = answer.status();
        match exchanged(answer).await.0 {
            Err(NoAccess::NotTried(_)) => {}
            other => panic!("{status}: {other:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_entra_that_hangs_is_given_up() {
    let transport = wio_testkit::azure::transport(|_| std::future::pending::<Result<Response, std::io::Error>>());
    let assertion = Token::from(ASSERTION.to_owned());
    let prover = prover(transport);
    let asked = Asked {
        tenant: TENANT_ID.parse().unwrap(),
        client: CLIENT_ID.parse().unwrap(),
        scope: prover.arm_scope(),
        assertion: &assertion,
    };
    let given_up = prover.exchange(&asked).await.unwrap_err().to_string();
    assert_eq!(given_up, format!("no answer of {AUTHORITY} within 30 s"));
}
