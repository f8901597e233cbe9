//! Pods as the admission webhook leaves them, and what the kubelet would make of their volumes.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::{Container, Pod, ServiceAccountTokenProjection};
use kube::api::PostParams;
use kube::{Api, Client};
use serde_json::json;

use crate::token::TokenRequest;

/// The label on which the webhook acts.
pub const USE_LABEL: &str = "azure.workload.identity/use";

/// A projected service account token: where the container finds it, and what is to be minted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProjectedToken {
    /// The path in the container.
    pub path: String,
    /// The audience; `None` is the API server.
    pub audience: Option<String>,
    /// How long it is to be valid, in seconds.
    pub seconds: Option<i64>,
}

/// Creates a pod of a service account, with the webhook's label, and returns it as admission left it. No node runs it.
pub async fn create(client: &Client, namespace: &str, name: &str, service_account: &str) -> Result<Pod> {
    let pod = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": { "name": name, "namespace": namespace, "labels": { USE_LABEL: "true" } },
        "spec": {
            "serviceAccountName": service_account,
            "containers": [{ "name": "main", "image": "registry.example/app:1" }],
        },
    });
    let pod: Pod = serde_json::from_value(pod).context("writing a pod")?;
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    pods.create(&PostParams::default(), &pod)
        .await
        .with_context(|| format!("creating the pod {namespace}/{name}"))
}

/// The variables of its first container that have a plain value.
pub fn environment(pod: &Pod) -> Result<BTreeMap<String, String>> {
    let variables = main_container(pod)?.env.iter().flatten();
    Ok(variables
        .filter_map(|variable| Some((variable.name.clone(), variable.value.clone()?)))
        .collect())
}

/// The token that the pod finds at this path.
pub fn projected_token(pod: &Pod, path: &str) -> Result<ProjectedToken> {
    let spec = pod.spec.as_ref().context("the pod has no spec")?;
    let mounts = main_container(pod)?.volume_mounts.iter().flatten();
    let projections = mounts.flat_map(|mount| {
        let volumes = spec.volumes.iter().flatten().filter(|volume| volume.name == mount.name);
        let sources = volumes.flat_map(|volume| volume.projected.iter().flat_map(|it| it.sources.iter().flatten()));
        sources
            .filter_map(|source| source.service_account_token.as_ref())
            .map(|token| ProjectedToken::at(mount.mount_path.as_str(), token))
    });
    let found: Vec<ProjectedToken> = projections.collect();
    let token = found.iter().find(|token| token.path == path);
    token
        .cloned()
        .with_context(|| format!("no token is mounted at {path}, only {found:?}"))
}

/// Mints what the kubelet would write into the pod's volume.
pub async fn mint(client: &Client, pod: &Pod, token: &ProjectedToken) -> Result<String> {
    let spec = pod.spec.as_ref().context("the pod has no spec")?;
    let service_account = spec
        .service_account_name
        .as_deref()
        .context("the pod has no service account")?;
    let namespace = pod.metadata.namespace.as_deref().context("the pod has no namespace")?;
    TokenRequest {
        audience: token.audience.clone(),
        seconds: token.seconds,
        pod: None,
    }
    .for_pod(pod)
    .mint(client, namespace, service_account)
    .await
}

fn main_container(pod: &Pod) -> Result<&Container> {
    pod.spec
        .as_ref()
        .and_then(|spec| spec.containers.first())
        .context("the pod has no container")
}

// === impl ProjectedToken ===

impl ProjectedToken {
    fn at(folder: &str, projection: &ServiceAccountTokenProjection) -> Self {
        Self {
            path: format!("{}/{}", folder.trim_end_matches('/'), projection.path),
            audience: projection.audience.clone(),
            seconds: projection.expiration_seconds,
        }
    }
}
