//! Service accounts as the API server takes and shows them.

use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{Api, Client};
use serde_json::{Map, Value, json};
use wio_core::fault::Fault;
use wio_core::names::{Namespace, ServiceAccountName, ServiceAccountUid};

use crate::runtime::request::request;

/// The service accounts of a namespace.
pub(super) fn api(client: &Client, namespace: &Namespace) -> Api<ServiceAccount> {
    Api::namespaced(client.clone(), namespace.as_str())
}

/// Reads a service account's metadata; none when it does not exist.
pub(super) async fn read(
    client: &Client,
    namespace: &Namespace,
    name: &ServiceAccountName,
) -> Result<Option<ObjectMeta>, Fault> {
    let api = api(client, namespace);
    let found = request(
        || format!("read the service account {name}"),
        api.get_metadata_opt(name.as_str()),
    )
    .await?;
    Ok(found.map(|account| account.metadata))
}

pub(super) fn label<'a>(meta: &'a ObjectMeta, key: &str) -> Option<&'a str> {
    meta.labels.as_ref()?.get(key).map(String::as_str)
}

/// The object that is applied: with our labels and annotations, and without anything else.
pub(super) struct Applied<'a> {
    pub(super) namespace: &'a Namespace,
    pub(super) name: &'a ServiceAccountName,
    /// The object that is meant; none for one that is to be created.
    pub(super) uid: Option<&'a ServiceAccountUid>,
    /// The version that is meant; none when any is.
    pub(super) version: Option<&'a str>,
    pub(super) labels: Map<String, Value>,
    pub(super) annotations: Map<String, Value>,
}

impl Applied<'_> {
    pub(super) fn json(self) -> Value {
        let mut metadata = Map::from_iter([
            ("name".to_owned(), Value::from(self.name.as_str())),
            ("namespace".to_owned(), Value::from(self.namespace.as_str())),
        ]);
        if let Some(uid) = self.uid {
            metadata.insert("uid".to_owned(), Value::from(uid.as_str()));
        }
        if let Some(version) = self.version {
            metadata.insert("resourceVersion".to_owned(), Value::from(version));
        }
        if !self.labels.is_empty() {
            metadata.insert("labels".to_owned(), Value::from(self.labels));
        }
        if !self.annotations.is_empty() {
            metadata.insert("annotations".to_owned(), Value::from(self.annotations));
        }
        json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata })
    }
}
