//! Tokens of service accounts, as `TokenRequest` gives them.
//! <https://kubernetes.io/docs/reference/kubernetes-api/authentication-resources/token-request-v1/>

use std::sync::Arc;

use serde_json::{Value, json};

use super::answer::{self, Answer};
use super::json::metadata;
use super::resource::ResourceType;
use super::store::{ObjectKey, Store};

/// What makes a signed token of claims.
pub(crate) type Signer = Arc<dyn Fn(&Value) -> String + Send + Sync>;

/// Who issues tokens.
pub(crate) struct Issuer<'a> {
    /// The `iss` of its tokens.
    pub(crate) url: &'a str,
    /// Nothing signs before a test says what does.
    pub(crate) sign: Option<&'a Signer>,
}

/// The shortest life of a token, in seconds.
const SHORTEST: i64 = 600;
/// The life of one for which none was asked.
const USUAL: i64 = 3600;

/// The `TokenRequest` with its token, of a service account that exists.
pub(crate) fn request(
    store: &Store,
    resource: &ResourceType,
    key: &ObjectKey,
    body: &Value,
    issuer: &Issuer<'_>,
) -> Answer<Value> {
    let (namespace, name) = key;
    let account = store
        .get(resource, key)
        .ok_or_else(|| answer::not_found(resource, name))?;
    let seconds = body
        .pointer("/spec/expirationSeconds")
        .and_then(Value::as_i64)
        .unwrap_or(USUAL);
    if seconds < SHORTEST {
        let why = "may not specify a duration less than 10 minutes";
        return Err(answer::invalid(
            resource,
            name,
            "FieldValueInvalid",
            "spec.expirationSeconds",
            why,
        ));
    }
    let sign = issuer
        .sign
        .ok_or_else(|| answer::internal("the test gave the server nothing to sign tokens with"))?;
    let asked = body.pointer("/spec/audiences").filter(|asked| **asked != json!([]));
    let audiences = asked.cloned().unwrap_or_else(|| json!([issuer.url]));
    let now = store.time();
    let expires = now.as_second() + seconds;
    let token = sign(&json!({
        "iss": issuer.url,
        "sub": format!("system:serviceaccount:{namespace}:{name}"),
        "aud": audiences,
        "iat": now.as_second(),
        "nbf": now.as_second(),
        "exp": expires,
        "kubernetes.io": {
            "namespace": namespace,
            "serviceaccount": { "name": name, "uid": metadata(&account, "uid") },
        },
    }));
    Ok(json!({
        "kind": "TokenRequest",
        "apiVersion": "authentication.k8s.io/v1",
        "metadata": { "name": name, "namespace": namespace },
        "spec": { "audiences": audiences, "expirationSeconds": seconds },
        "status": { "token": token, "expirationTimestamp": store.stamp(expires) },
    }))
}
