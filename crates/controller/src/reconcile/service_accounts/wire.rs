//! Service accounts as the API server takes and shows them.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{Api, Client};
use serde_json::{Map, Value, json};
use wio_api::keys;
use wio_core::fault::Fault;
use wio_core::names::{Namespace, ServiceAccountName, ServiceAccountUid};
use wio_core::observed::Held;

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

pub(super) fn annotation<'a>(meta: &'a ObjectMeta, key: &str) -> Option<&'a str> {
    meta.annotations.as_ref()?.get(key).map(String::as_str)
}

/// The other field managers that hold one of the keys that we write.
pub(super) fn held(meta: &ObjectMeta) -> BTreeMap<&'static str, Held> {
    const KEYS: [(&str, &str); 4] = [
        ("f:labels", keys::BOUND_BY_LABEL),
        ("f:annotations", keys::CLIENT_ID_ANNOTATION),
        ("f:annotations", keys::TENANT_ID_ANNOTATION),
        ("f:annotations", keys::TOKEN_EXPIRATION_ANNOTATION),
    ];
    let mut held = BTreeMap::new();
    let entries = meta.managed_fields.iter().flatten();
    for entry in entries.filter(|entry| entry.manager.as_deref() != Some(keys::FIELD_MANAGER)) {
        let Some(fields) = &entry.fields_v1 else { continue };
        let metadata = fields.0.get("f:metadata");
        for (kind, key) in KEYS {
            let owned = metadata.and_then(|metadata| metadata.get(kind)?.get(format!("f:{key}")));
            let value = label(meta, key).or_else(|| annotation(meta, key));
            if let (Some(_), Some(value)) = (owned, value) {
                let manager = entry.manager.clone().unwrap_or_default();
                let value = value.to_owned();
                held.insert(key, Held { manager, value });
            }
        }
    }
    held
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
