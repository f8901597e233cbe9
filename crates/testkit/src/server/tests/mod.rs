//! What clients see of the server, through kube's own client.

mod access;
mod applying;
mod faults;
mod following;
mod runtime;
mod tokens;
mod writing;

use k8s_openapi::api::core::v1::ServiceAccount;
use kube::core::Status;
use kube::{Api, Client};
use serde_json::{Value, json};
use wio_api::WorkloadIdentityBinding;

use super::FakeApiServer;

/// A server with namespace `shop`.
fn server() -> FakeApiServer {
    let server = FakeApiServer::new();
    server.create_namespace("shop");
    server
}

fn bindings(client: Client) -> Api<WorkloadIdentityBinding> {
    Api::namespaced(client, "shop")
}

fn accounts(client: Client) -> Api<ServiceAccount> {
    Api::namespaced(client, "shop")
}

fn binding(name: &str) -> Value {
    json!({
        "apiVersion": "workloadidentity.dev/v1alpha1",
        "kind": "WorkloadIdentityBinding",
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {"identity": {"managed": {}}, "serviceAccounts": [{"name": "orders"}]},
    })
}

fn account(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": "shop"}})
}

fn typed<K: serde::de::DeserializeOwned>(object: Value) -> K {
    serde_json::from_value(object).unwrap()
}

/// The status of a refusal.
#[track_caller]
fn refusal<T: std::fmt::Debug>(result: kube::Result<T>) -> Box<Status> {
    match result {
        Err(kube::Error::Api(status)) => status,
        other => panic!("expected a refusal, got {other:?}"),
    }
}
