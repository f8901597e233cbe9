//! Entra: which assertions it takes, with which code it refuses the others, and what its tokens are good for.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::Request;
use serde_json::{Value, json};
use wio_azure_sim::{Config, Fault, ResourceKind};

use crate::cloud::{AUDIENCE, Answer, GROUP, ISSUER, SUBSCRIPTION, credential, identity, trust};
use crate::tokens::{ARM_SCOPE, Cluster, Entra, JWT_BEARER, Key, sign};

const SUBJECT: &str = "system:serviceaccount:shop:orders";

/// An Entra with an identity `orders` that trusts [`SUBJECT`]; gives the identity's answer.
async fn trusting(config: Config) -> (Entra, Answer) {
    let entra = Entra::new(config, Cluster::new()).await;
    let orders = entra.cloud.put_identity("orders").await.expect_status(201);
    entra
        .cloud
        .put_credential("orders", "fic", SUBJECT)
        .await
        .expect_status(201);
    (entra, orders)
}

#[tokio::test]
async fn a_service_account_token_becomes_an_access_token_of_the_identity() {
    let (entra, orders) = trusting(Config::default()).await;
    let answer = entra
        .exchange(&orders.property("clientId"), &entra.cluster.token(SUBJECT))
        .await;
    assert!(answer.number_in_body("expires_in") > 60, "{answer:#?}");
    let claims = entra.verified(&answer.access_token()).await;
    assert_eq!(claims["oid"], orders.property("principalId"));
    assert_eq!(claims["sub"], orders.property("principalId"));
    assert_eq!(claims["appid"], orders.property("clientId"));
    assert_eq!(claims["tid"], orders.property("tenantId"));
    assert_eq!(
        claims["iss"],
        format!("https://sts.windows.net/{}/", orders.property("tenantId"))
    );
    assert_eq!(claims["aud"], "https://management.azure.com");
    assert!(claims["exp"].as_i64().unwrap() > entra.cluster.now());
}

#[tokio::test]
async fn the_token_is_for_what_the_scope_asked_for() {
    let (entra, orders) = trusting(Config::default()).await;
    let (client, assertion) = (orders.property("clientId"), entra.cluster.token(SUBJECT));
    let mut form = form(&client, &assertion);
    form.insert("scope", "https://vault.azure.net/.default");
    let token = entra.ask(&entra.tenant(), &pairs(&form)).await.access_token();
    assert_eq!(entra.verified(&token).await["aud"], "https://vault.azure.net");
    entra.cloud.with_token(&token).get(GROUP).await.expect_status(401);
}

#[tokio::test]
async fn there_is_no_token_for_what_is_not_in_the_tenant() {
    let own = "api://orders".to_owned();
    let config = Config {
        resources: vec![own],
        ..Config::default()
    };
    let (entra, orders) = trusting(config).await;
    let (client, assertion) = (orders.property("clientId"), entra.cluster.token(SUBJECT));
    let ask = async |scope: &'static str, assertion: &str| {
        let mut form = form(&client, assertion);
        form.insert("scope", scope);
        entra.ask(&entra.tenant(), &pairs(&form)).await
    };
    for there in ["api://orders/.default", "https://vault.azure.net//.default"] {
        ask(there, &assertion).await.access_token();
    }
    let refused = ask("api://nobody/.default", &assertion).await.expect_aadsts(500_011);
    assert_eq!(
        (refused.status.as_u16(), &refused.body["error"]),
        (400, &json!("invalid_resource"))
    );
    assert_says(
        &refused,
        "The resource principal named api://nobody was not found in the tenant named",
    );
    let stranger = entra.cluster.token("system:serviceaccount:shop:carts");
    let refused = ask("api://nobody/.default", &stranger).await;
    refused.expect_aadsts(700_213);
}

#[tokio::test]
async fn the_first_version_of_the_token_endpoint_is_asked_for_a_resource() {
    let (entra, orders) = trusting(Config::default()).await;
    let (client, assertion) = (orders.property("clientId"), entra.cluster.token(SUBJECT));
    let path = format!("/{}/oauth2/token", entra.tenant());
    let mut form = form(&client, &assertion);
    entra.post(&path, &pairs(&form)).await.expect_aadsts(900_144);
    form.remove("scope");
    form.insert("resource", "https://management.azure.com/");
    let answer = entra.post(&path, &pairs(&form)).await.expect_status(200);
    assert_eq!(answer.body["resource"], "https://management.azure.com/");
    for number in ["expires_in", "ext_expires_in", "expires_on", "not_before"] {
        let text = answer.body[number].as_str().unwrap_or_default();
        assert!(text.parse::<u64>().is_ok(), "{number}: {answer:#?}");
    }
    let token = answer.access_token();
    assert_eq!(entra.verified(&token).await["aud"], "https://management.azure.com/");
    entra.cloud.with_token(&token).get(GROUP).await.expect_status(200);
    form.insert("resource", "api://nobody");
    entra.post(&path, &pairs(&form)).await.expect_aadsts(500_011);
    let elsewhere = format!("/{}/oauth2/token", uuid::Uuid::nil());
    entra.post(&elsewhere, &pairs(&form)).await.expect_aadsts(90_002);
}

/// Each code of the table in which the operator's users look: how it comes about.
#[tokio::test]
async fn every_documented_code_comes_about_as_documented() {
    let (entra, orders) = trusting(Config::default()).await;
    let client = orders.property("clientId");
    let cluster = &entra.cluster;
    let exchange = async |assertion: String| entra.exchange(&client, &assertion).await;

    let bare = entra.cloud.put_identity("bare").await.property("clientId");
    entra
        .exchange(&bare, &cluster.token(SUBJECT))
        .await
        .expect_aadsts(70_025);

    let without_slash = json!({"iss": ISSUER.trim_end_matches('/')});
    let refused = exchange(cluster.token_with(SUBJECT, &without_slash))
        .await
        .expect_aadsts(700_211);
    assert_says(&refused, "issuer 'https://oidc.example/cluster'");
    let refused = exchange(cluster.token_with(SUBJECT, &json!({"aud": ["api://other"]})))
        .await
        .expect_aadsts(700_212);
    assert_says(&refused, "audience 'api://other'");
    let refused = exchange(cluster.token("system:serviceaccount:shop:carts"))
        .await
        .expect_aadsts(700_213);
    assert_says(&refused, "subject 'system:serviceaccount:shop:carts'");
    let refused = exchange(cluster.token("system:serviceaccount:shop:Orders"))
        .await
        .expect_aadsts(7_002_138);
    assert_says(&refused, "case-insensitive");

    let nobody = uuid::Uuid::nil().to_string();
    let refused = entra
        .exchange(&nobody, &cluster.token(SUBJECT))
        .await
        .expect_aadsts(700_016);
    assert_says(&refused, &nobody);
    assert_says(&refused, &entra.tenant());

    let now = cluster.now();
    exchange(cluster.token_with(SUBJECT, &json!({"exp": now - 1})))
        .await
        .expect_aadsts(700_024);
    exchange(cluster.token_with(SUBJECT, &json!({"nbf": now + 3600, "exp": now + 7200})))
        .await
        .expect_aadsts(700_024);

    cluster.issuers.withdraw(ISSUER);
    exchange(cluster.token(SUBJECT)).await.expect_aadsts(90_061);
}

#[tokio::test]
async fn a_refused_assertion_is_unauthorized() {
    let (entra, orders) = trusting(Config::default()).await;
    let client = orders.property("clientId");
    let bare = entra.cloud.put_identity("bare").await.property("clientId");
    let none = entra.exchange(&bare, &entra.cluster.token(SUBJECT)).await;
    assert_says(
        &none,
        "The client 'bare' has no configured federated identity credentials.",
    );
    let other = entra
        .exchange(&client, &entra.cluster.token("system:serviceaccount:shop:carts"))
        .await;
    let mut form = form(&client, "");
    form.remove("client_assertion");
    let silent = entra.ask(&entra.tenant(), &pairs(&form)).await.expect_aadsts(7_000_216);
    for answer in [none, other, silent] {
        assert_eq!(
            (answer.status.as_u16(), &answer.body["error"]),
            (401, &json!("invalid_client"))
        );
    }
}

#[tokio::test]
async fn a_token_of_entra_itself_is_no_assertion() {
    let (entra, orders) = trusting(Config::default()).await;
    let issuer = "https://sts.windows.net/7e4a9d30-5b1f-4c26-8f0e-2d6c91ab3e57/";
    let body = trust(issuer, SUBJECT, AUDIENCE);
    entra
        .cloud
        .put(&credential("orders", "own"), &body)
        .await
        .expect_status(201);
    let assertion = entra.cluster.token_with(SUBJECT, &json!({"iss": issuer}));
    let refused = entra.exchange(&orders.property("clientId"), &assertion).await;
    refused.expect_aadsts(700_222);
}

#[tokio::test(start_paused = true)]
async fn a_new_issuer_and_a_new_key_are_unknown_until_entra_reads_the_keys_again() {
    let kept = Duration::from_mins(30);
    let (entra, orders) = trusting(Config {
        issuer_keys: kept,
        ..Config::default()
    })
    .await;
    let client = orders.property("clientId");
    let refused = entra
        .exchange(&client, &entra.cluster.token(SUBJECT))
        .await
        .expect_aadsts(7_000_272);
    assert_says(
        &refused,
        "The certificate with identifier cluster-1 used to sign the federated credential",
    );
    tokio::time::advance(kept).await;
    entra
        .exchange(&client, &entra.cluster.token(SUBJECT))
        .await
        .access_token();
    entra.cluster.issuers.publish(ISSUER, Key::Stranger.public());
    let signed_anew = || sign(Key::Stranger, "stranger-1", &entra.cluster.claims(SUBJECT));
    entra.exchange(&client, &signed_anew()).await.expect_aadsts(7_000_272);
    entra
        .exchange(&client, &entra.cluster.token(SUBJECT))
        .await
        .access_token();
    tokio::time::advance(kept).await;
    entra.exchange(&client, &signed_anew()).await.access_token();
}

#[tokio::test(start_paused = true)]
async fn a_second_region_of_entra_refuses_what_the_first_has_let_pass() {
    let later = Duration::from_mins(2);
    let (entra, orders) = trusting(Config {
        slow_region: later,
        ..Config::default()
    })
    .await;
    let client = orders.property("clientId");
    let exchange = async || entra.exchange(&client, &entra.cluster.token(SUBJECT)).await;
    exchange().await.access_token();
    exchange().await.expect_aadsts(70_025);
    exchange().await.access_token();
    tokio::time::advance(later).await;
    exchange().await.access_token();
    exchange().await.access_token();
}

/// Two codes need what the simulator has no model of: the general code that Entra gave before it had one for each part of
/// an assertion, and a tenant's policy. They are scripted, and come in Entra's form.
#[tokio::test]
async fn the_codes_that_need_a_script_come_in_entras_form() {
    let (entra, orders) = trusting(Config::default()).await;
    for code in [70_021, 7_002_381] {
        let fault = Fault::any()
            .kind(ResourceKind::Token)
            .respond(400, &format!("AADSTS{code}"));
        entra.cloud.simulator.inject(fault);
        let answer = entra
            .exchange(&orders.property("clientId"), &entra.cluster.token(SUBJECT))
            .await;
        answer.expect_aadsts(code);
    }
    entra
        .exchange(&orders.property("clientId"), &entra.cluster.token(SUBJECT))
        .await
        .access_token();
}

#[tokio::test]
async fn an_assertion_that_its_issuer_did_not_sign_is_worth_nothing() {
    let (entra, orders) = trusting(Config::default()).await;
    let client = orders.property("clientId");
    let claims = entra.cluster.claims(SUBJECT);
    let forged = entra
        .exchange(&client, &sign(Key::Stranger, "cluster-1", &claims))
        .await;
    assert_refused(&forged);
    let unknown = entra
        .exchange(&client, &sign(Key::Stranger, "stranger-1", &claims))
        .await;
    assert_refused(&unknown);
    let part = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let unsigned = format!(
        "{}.{}.",
        part(&json!({"alg": "none", "kid": "cluster-1"})),
        part(&claims)
    );
    assert_refused(&entra.exchange(&client, &unsigned).await);
    let good = entra.cluster.token(SUBJECT);
    let mut parts: Vec<&str> = good.split('.').collect();
    let other = part(&entra.cluster.claims("system:serviceaccount:shop:carts"));
    parts[1] = &other;
    assert_refused(&entra.exchange(&client, &parts.join(".")).await);
    assert_refused(&entra.exchange(&client, "not-a-token").await);
}

#[tokio::test]
async fn an_issuer_may_change_its_keys() {
    let (entra, orders) = trusting(Config::default()).await;
    let client = orders.property("clientId");
    entra
        .exchange(&client, &entra.cluster.token(SUBJECT))
        .await
        .access_token();
    entra.cluster.issuers.publish(ISSUER, Key::Stranger.public());
    let signed_anew = sign(Key::Stranger, "stranger-1", &entra.cluster.claims(SUBJECT));
    entra.exchange(&client, &signed_anew).await.access_token();
    let signed_before = entra.cluster.token(SUBJECT);
    assert_refused(&entra.exchange(&client, &signed_before).await);
}

#[tokio::test]
async fn a_request_that_is_no_exchange_is_refused_in_entras_form() {
    let (entra, orders) = trusting(Config::default()).await;
    let (client, assertion) = (orders.property("clientId"), entra.cluster.token(SUBJECT));
    let changed = async |name: &'static str, value: &'static str| {
        let mut form = form(&client, &assertion);
        form.insert(name, value);
        entra.ask(&entra.tenant(), &pairs(&form)).await
    };
    for (name, value) in [
        ("grant_type", "password"),
        ("scope", "https://management.azure.com"),
        ("client_assertion", ""),
        ("client_assertion_type", "jwt"),
        ("client_id", ""),
    ] {
        assert_refused(&changed(name, value).await);
    }
    let other_tenant = entra
        .ask(&uuid::Uuid::nil().to_string(), &pairs(&form(&client, &assertion)))
        .await;
    other_tenant.expect_aadsts(90_002);
    let shared = entra.ask("common", &pairs(&form(&client, &assertion))).await;
    shared.expect_aadsts(50_059);
    let mut two = form(&client, &assertion);
    two.insert(
        "scope",
        "https://management.azure.com/.default https://vault.azure.net/.default",
    );
    entra.ask(&entra.tenant(), &pairs(&two)).await.expect_aadsts(28_000);
}

#[tokio::test(start_paused = true)]
async fn entra_hears_of_a_written_and_of_a_deleted_credential_after_a_while() {
    let delay = Duration::from_secs(90);
    let (entra, orders) = trusting(Config {
        credential_propagation: delay,
        ..Config::default()
    })
    .await;
    let client = orders.property("clientId");
    let try_it = async || entra.exchange(&client, &entra.cluster.token(SUBJECT)).await;
    try_it().await.expect_aadsts(70_025);
    tokio::time::advance(delay).await;
    try_it().await.access_token();

    let other = trust(ISSUER, "system:serviceaccount:shop:carts", AUDIENCE);
    entra
        .cloud
        .put(&credential("orders", "fic"), &other)
        .await
        .expect_status(200);
    try_it().await.access_token();
    tokio::time::advance(delay).await;
    try_it().await.expect_aadsts(700_213);

    entra
        .cloud
        .put_credential("orders", "fic", SUBJECT)
        .await
        .expect_status(200);
    tokio::time::advance(delay).await;
    entra
        .cloud
        .delete(&credential("orders", "fic"))
        .await
        .expect_status(200);
    try_it().await.access_token();
    tokio::time::advance(delay).await;
    try_it().await.expect_aadsts(70_025);
}

#[tokio::test(start_paused = true)]
async fn entra_hears_of_a_new_identity_after_a_while() {
    let delay = Duration::from_secs(30);
    let (entra, orders) = trusting(Config {
        identity_propagation: delay,
        ..Config::default()
    })
    .await;
    let client = orders.property("clientId");
    entra
        .exchange(&client, &entra.cluster.token(SUBJECT))
        .await
        .expect_aadsts(700_016);
    tokio::time::advance(delay).await;
    entra
        .exchange(&client, &entra.cluster.token(SUBJECT))
        .await
        .access_token();
    entra.cloud.delete(&identity("orders")).await.expect_status(200);
    entra
        .exchange(&client, &entra.cluster.token(SUBJECT))
        .await
        .expect_aadsts(700_016);
}

#[tokio::test]
async fn a_flexible_credential_lets_nobody_in() {
    let entra = Entra::new(Config::default(), Cluster::new()).await;
    let client = entra.cloud.put_identity("orders").await.property("clientId");
    let body = json!({"properties": {
        "issuer": ISSUER,
        "audiences": [AUDIENCE],
        "claimsMatchingExpression": {"languageVersion": 1, "value": "claims['sub'] matches 'system:serviceaccount:shop:*'"},
    }});
    let id = format!("{}?api-version=2025-05-31-preview", credential("orders", "flexible"));
    entra.cloud.put(&id, &body).await.expect_status(201);
    entra
        .exchange(&client, &entra.cluster.token(SUBJECT))
        .await
        .expect_aadsts(700_213);
}

#[tokio::test(start_paused = true)]
async fn azure_resource_manager_takes_the_token_until_it_expires_or_is_revoked() {
    let (entra, orders) = trusting(Config::default()).await;
    let roles = format!("/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Authorization/roleDefinitions");
    let assignment = format!(
        "{GROUP}/providers/Microsoft.Authorization/roleAssignments/{}",
        uuid::Uuid::nil()
    );
    let grant = json!({"properties": {
        "roleDefinitionId": format!("{roles}/acdd72a7-3385-48ef-bd42-f606fba81ae7"),
        "principalId": orders.property("principalId"),
        "principalType": "ServicePrincipal",
    }});
    entra.cloud.put(&assignment, &grant).await.expect_status(201);
    entra.cloud.simulator.reconfigure(|config| {
        config.authorization = true;
        config.token_lifetime = Duration::from_hours(1);
    });
    let fresh = async || {
        let token = entra
            .exchange(&orders.property("clientId"), &entra.cluster.token(SUBJECT))
            .await
            .access_token();
        entra.cloud.with_token(&token)
    };
    let caller = fresh().await;
    caller.get(&identity("orders")).await.expect_status(200);
    caller
        .put_identity("another")
        .await
        .expect_error(403, "AuthorizationFailed");
    tokio::time::advance(Duration::from_hours(1)).await;
    caller
        .get(&identity("orders"))
        .await
        .expect_error(401, "ExpiredAuthenticationToken");

    let caller = fresh().await;
    caller.get(&identity("orders")).await.expect_status(200);
    tokio::time::advance(Duration::from_secs(1)).await;
    entra.cloud.simulator.reconfigure(|config| config.authorization = false);
    let revoke = format!("{}/revokeTokens?api-version=2023-07-31-preview", identity("orders"));
    entra.cloud.send("POST", &revoke, None).await.expect_status(200);
    caller.get(&identity("orders")).await.expect_status(401);
    tokio::time::advance(Duration::from_secs(1)).await;
    fresh().await.get(&identity("orders")).await.expect_status(200);
}

#[tokio::test]
async fn a_tenant_leads_clients_to_its_token_endpoint() {
    let entra = Entra::new(Config::default(), Cluster::new()).await;
    let tenant = entra.tenant();
    let document = entra
        .read(&format!("/{tenant}/v2.0/.well-known/openid-configuration"))
        .await
        .expect_status(200);
    let expected = format!("https://login.microsoftonline.com/{tenant}/oauth2/v2.0/token");
    assert_eq!(document.body["token_endpoint"], expected);
}

#[tokio::test]
async fn the_managed_identity_endpoint_gives_the_same_tokens() {
    let (entra, orders) = trusting(Config::default()).await;
    let path = |query: &str| format!("/metadata/identity/oauth2/token?api-version=2018-02-01{query}");
    let of = |id: &str| path(&format!("&resource=https%3A%2F%2Fmanagement.azure.com&client_id={id}"));
    let answer = ask_metadata(&entra, &of(&orders.property("clientId")), true).await;
    assert_eq!(answer.body["client_id"], orders.property("clientId"));
    assert!(answer.body["expires_on"].as_str().unwrap().parse::<i64>().unwrap() > entra.cluster.now());
    let claims = entra.verified(&answer.access_token()).await;
    assert_eq!(claims["oid"], orders.property("principalId"));

    let nobody = ask_metadata(&entra, &of(&uuid::Uuid::nil().to_string()), true)
        .await
        .expect_status(400);
    assert_eq!(
        nobody.body,
        json!({"error": "invalid_request", "error_description": "Identity not found"})
    );
    ask_metadata(&entra, &of(&orders.property("clientId")), false)
        .await
        .expect_status(400);
    ask_metadata(&entra, &path(""), true).await.expect_status(400);
}

#[tokio::test]
async fn the_log_keeps_no_assertion() {
    let (entra, orders) = trusting(Config::default()).await;
    let assertion = entra.cluster.token(SUBJECT);
    let token = entra
        .exchange(&orders.property("clientId"), &assertion)
        .await
        .access_token();
    entra.cloud.with_token(&token).get(GROUP).await.expect_status(200);
    let log = serde_json::to_string(&entra.cloud.simulator.requests()).unwrap();
    assert!(log.contains("client_assertion") && log.contains(&orders.property("clientId")));
    for secret in [&assertion, &token] {
        let signature = secret.rsplit('.').next().unwrap();
        assert!(!log.contains(signature));
    }
}

async fn ask_metadata(entra: &Entra, path: &str, with_header: bool) -> Answer {
    let mut request = Request::get(path).header("host", "169.254.169.254");
    if with_header {
        request = request.header("Metadata", "true");
    }
    entra.cloud.handle(request.body(Bytes::new()).unwrap()).await.unwrap()
}

fn form<'a>(client: &'a str, assertion: &'a str) -> BTreeMap<&'a str, &'a str> {
    BTreeMap::from([
        ("grant_type", "client_credentials"),
        ("client_id", client),
        ("scope", ARM_SCOPE),
        ("client_assertion_type", JWT_BEARER),
        ("client_assertion", assertion),
    ])
}

fn pairs<'a>(form: &BTreeMap<&'a str, &'a str>) -> Vec<(&'a str, &'a str)> {
    form.iter().map(|(name, value)| (*name, *value)).collect()
}

#[track_caller]
fn assert_says(answer: &Answer, text: &str) {
    let description = answer.body["error_description"].as_str().unwrap();
    assert!(description.contains(text), "{text} should be in {description}");
}

/// Whatever the code: it is a refusal in Entra's form, and no token.
#[track_caller]
fn assert_refused(answer: &Answer) {
    assert!([400, 401].contains(&answer.status.as_u16()), "{answer:#?}");
    assert!(
        answer.body["error_description"].as_str().unwrap().starts_with("AADSTS"),
        "{answer:#?}"
    );
    assert!(answer.body.get("access_token").is_none(), "{answer:#?}");
}

// === impl Answer ===

impl Answer {
    #[track_caller]
    fn number_in_body(&self, name: &str) -> i64 {
        self.body[name]
            .as_i64()
            .unwrap_or_else(|| panic!("no {name}: {self:#?}"))
    }
}
