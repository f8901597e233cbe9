//! What stands in Git.
#![allow(
    clippy::indexing_slicing,
    reason = "of JSON by keys only, where what is missing is null"
)]

use anyhow::{Context, Result};
use serde_json::{Value, json};
use wio_api::keys::CLIENT_ID_ANNOTATION;
use wio_e2e::paths::repository;
use wio_e2e::simulator::{OTHER_GROUP, identity_id};

/// A client id that is nobody's here.
const ANOTHER: &str = "2b7c1a52-8d4e-4f30-9a61-5c0e7d9b3f14";

pub(super) fn account(namespace: &str, annotations: &Value) -> String {
    json!({
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": { "name": "orders", "namespace": namespace, "annotations": annotations },
    })
    .to_string()
}

pub(super) fn silent(namespace: &str) -> String {
    account(namespace, &json!({ "team": "shop" }))
}

pub(super) fn foreign(namespace: &str) -> String {
    account(namespace, &json!({ "team": "shop", CLIENT_ID_ANNOTATION: ANOTHER }))
}

pub(super) fn binding(namespace: &str, spec: &Value) -> String {
    json!({
        "apiVersion": "workloadidentity.dev/v1alpha1",
        "kind": "WorkloadIdentityBinding",
        "metadata": { "name": "orders", "namespace": namespace },
        "spec": spec,
    })
    .to_string()
}

/// A binding for the service account that stands beside it.
pub(super) fn managed() -> Value {
    json!({ "identity": { "managed": {} }, "serviceAccounts": [{ "name": "orders", "create": false }] })
}

pub(super) fn with(mut spec: Value, field: &str, value: impl Into<Value>) -> Value {
    spec[field] = value.into();
    spec
}

/// A policy and a binding that needs it, in these waves.
pub(super) fn policy_and_binding(namespace: &str, waves: Option<[&str; 2]>) -> Result<Vec<(&'static str, String)>> {
    let id = identity_id(OTHER_GROUP, namespace);
    let policy = json!({
        "apiVersion": "workloadidentity.dev/v1alpha1",
        "kind": "WorkloadIdentityPolicy",
        "metadata": { "name": namespace },
        "spec": { "namespaces": { "names": [namespace] }, "existingIdentities": [id] },
    });
    let spec = json!({ "identity": { "existing": { "resourceId": id } }, "serviceAccounts": [{ "name": "orders" }] });
    let mut objects = [policy, serde_json::from_str(&binding(namespace, &spec))?];
    for (object, wave) in objects.iter_mut().zip(waves.into_iter().flatten()) {
        object["metadata"]["annotations"] = json!({ "argocd.argoproj.io/sync-wave": wave });
    }
    let [policy, binding] = objects.map(|object| object.to_string());
    Ok(vec![("binding.yaml", binding), ("policy.yaml", policy)])
}

/// An Application of `config/argocd/app-of-apps`.
pub(super) fn example(name: &str) -> Result<Value> {
    let path = repository().join(format!("config/argocd/app-of-apps/apps/{name}.yaml"));
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    serde_yaml_ng::from_str(&text).with_context(|| path.display().to_string())
}
