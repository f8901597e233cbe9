//! Tokens of service accounts.

use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use kube::api::PostParams;
use serde_json::{Value, json};

use super::{accounts, server};
use crate::server::{CLUSTER_UID, DEFAULT_ISSUER, FakeApiServer};

async fn asked(server: &FakeApiServer, account: &str, spec: TokenRequestSpec) -> Result<Value, u16> {
    let request = TokenRequest {
        spec,
        ..TokenRequest::default()
    };
    let answer = accounts(server.client())
        .create_token_request(account, &PostParams::default(), &request)
        .await;
    match answer {
        Ok(answer) => Ok(serde_json::from_str(&answer.status.unwrap().token).unwrap()),
        Err(kube::Error::Api(status)) => Err(status.code),
        Err(other) => panic!("{other}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_account_that_exists_gets_a_token_of_the_clusters_issuer() {
    let server = server();
    let account = json!({
        "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "namespace": "shop", "name": "orders", "uid": CLUSTER_UID },
    });
    server.seed(account);
    assert_eq!(
        asked(&server, "orders", TokenRequestSpec::default()).await,
        Err(500),
        "nothing signs yet"
    );
    server.sign_tokens_with(Value::to_string);
    let claims = asked(&server, "orders", TokenRequestSpec::default()).await.unwrap();
    assert_eq!(claims["iss"], DEFAULT_ISSUER);
    assert_eq!(claims["sub"], "system:serviceaccount:shop:orders");
    assert_eq!(claims["aud"], json!([DEFAULT_ISSUER]));
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 3600);
    let short = |seconds| TokenRequestSpec {
        audiences: vec!["api://a".to_owned()],
        expiration_seconds: Some(seconds),
        ..TokenRequestSpec::default()
    };
    let claims = asked(&server, "orders", short(600)).await.unwrap();
    assert_eq!(claims["aud"], json!(["api://a"]));
    assert_eq!(asked(&server, "orders", short(599)).await, Err(422));
    assert_eq!(asked(&server, "other", short(600)).await, Err(404));
}
