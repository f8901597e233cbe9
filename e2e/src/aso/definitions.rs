//! Its kinds and its webhooks, as its release installs them, but with webhooks by address instead of by service.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::paths::azure_service_operator;
use crate::wait::until;

const SERVED_DEADLINE: Duration = Duration::from_mins(1);

/// Installs them. `authority` signed the certificate of the webhooks, which listen on this port.
pub(super) async fn install(cluster: &Cluster, authority: &Path, port: u16) -> Result<()> {
    let authority = std::fs::read(authority).with_context(|| format!("reading {}", authority.display()))?;
    let authority = BASE64_STANDARD.encode(authority);
    let client = |path: &str| json!({ "url": format!("https://127.0.0.1:{port}{path}"), "caBundle": authority });
    let folder = azure_service_operator()?;
    let mut objects = generated(&folder.join("crd"))?;
    for object in &mut objects {
        complete(object, &client("/convert"))?;
    }
    let mut webhooks = generated(&folder.join("webhook"))?;
    for object in &mut webhooks {
        by_address(object, client)?;
    }
    objects.append(&mut webhooks);
    let objects = json!({ "apiVersion": "v1", "kind": "List", "items": objects });
    cluster.kubectl.apply(&objects.to_string()).await?;
    until("its kinds to be served", SERVED_DEADLINE, async || {
        let kinds = "userassignedidentities,federatedidentitycredentials";
        cluster
            .kubectl
            .run(&["get", kinds, "--all-namespaces", "--ignore-not-found", "--output=name"])
            .await
            .map(Some)
    })
    .await
    .map(drop)
}

/// What controller-gen wrote into a folder.
fn generated(folder: &Path) -> Result<Vec<Value>> {
    let mut objects = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))? {
        let path = entry.context("reading a folder")?.path();
        let text = std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        for object in serde_yaml_ng::Deserializer::from_str(&text) {
            objects.push(Value::deserialize(object).with_context(|| format!("reading {}", path.display()))?);
        }
    }
    Ok(objects)
}

/// What its own build adds to a definition: the label without which it takes no care of a kind, and the conversion between versions.
fn complete(definition: &mut Value, convert: &Value) -> Result<()> {
    let field = |definition: &mut Value, place: &str, name: &str, value: Value| {
        let part = definition.pointer_mut(place).and_then(Value::as_object_mut);
        part.map(|part| part.insert(name.to_owned(), value))
            .with_context(|| format!("a definition has no {place}"))
    };
    let label = json!({ "app.kubernetes.io/name": "azure-service-operator" });
    field(definition, "/metadata", "labels", label)?;
    let conversion = json!({
        "strategy": "Webhook",
        "webhook": { "conversionReviewVersions": ["v1"], "clientConfig": convert },
    });
    field(definition, "/spec", "conversion", conversion).map(drop)
}

/// The same registration, but of webhooks at these addresses.
fn by_address(registration: &mut Value, client: impl Fn(&str) -> Value) -> Result<()> {
    let webhooks = registration.pointer_mut("/webhooks").and_then(Value::as_array_mut);
    for webhook in webhooks.context("a registration has no webhooks")? {
        let path = webhook.pointer("/clientConfig/service/path").and_then(Value::as_str);
        let named = client(path.context("a webhook has no path")?);
        if let Some(there) = webhook.pointer_mut("/clientConfig") {
            *there = named;
        }
    }
    Ok(())
}
