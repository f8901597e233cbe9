//! A session: a client, and the namespace that is meant where none is named.

use anyhow::Context;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use serde::Deserialize;
use serde_json::Value;
use wio_api::WorkloadIdentityBinding;
use wio_kubeconfig::Choice;

/// The field manager of what the plugin writes.
pub(crate) const FIELD_MANAGER: &str = "kubectl-wib";

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
}

/// A session with a cluster.
#[derive(Clone)]
pub struct Session {
    /// The client.
    pub client: Client,
    /// The namespace that is meant where none is named.
    pub namespace: String,
}

// === impl Session ===

impl Session {
    /// Opens one with the cluster that is chosen, in a namespace or in that of the kubeconfig's context.
    pub(crate) async fn open(choice: &Choice, namespace: Option<&str>) -> anyhow::Result<Self> {
        let config = wio_kubeconfig::config_or_in_cluster(choice).await?;
        let namespace = namespace.unwrap_or(&config.default_namespace).to_owned();
        Ok(Self {
            client: Client::try_from(config)?,
            namespace,
        })
    }

    /// The bindings of the namespace.
    pub(crate) fn bindings(&self) -> Api<WorkloadIdentityBinding> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// The issuer of the cluster's service account tokens, from its discovery document.
    pub(crate) async fn issuer(&self) -> anyhow::Result<String> {
        let request = http::Request::get("/.well-known/openid-configuration").body(Vec::new())?;
        let discovery: Result<Discovery, kube::Error> = self.client.request(request).await;
        let discovery = discovery.map_err(told);
        Ok(discovery
            .context("the cluster's issuer, from its discovery document")?
            .issuer)
    }

    /// A binding of the namespace.
    pub(crate) async fn binding(&self, name: &str) -> anyhow::Result<WorkloadIdentityBinding> {
        let found = self.bindings().get(name).await;
        found.map_err(told).with_context(|| self.place(name))
    }

    /// Changes some fields of a binding of the namespace.
    pub(crate) async fn patch(&self, name: &str, change: &Value) -> anyhow::Result<WorkloadIdentityBinding> {
        let parameters = PatchParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..PatchParams::default()
        };
        let patched = self.bindings().patch(name, &parameters, &Patch::Merge(change)).await;
        patched.map_err(told).with_context(|| self.place(name))
    }

    fn place(&self, name: &str) -> String {
        format!("WorkloadIdentityBinding {}/{name}", self.namespace)
    }
}

/// An error of the API server in its own words, without what kube puts around them.
pub(crate) fn told(error: kube::Error) -> anyhow::Error {
    match error {
        kube::Error::Api(status) if status.code == 404 && !status.message.contains("not found") => {
            anyhow::anyhow!("this cluster does not know it: is the operator installed?")
        }
        kube::Error::Api(status) => anyhow::anyhow!("{}", status.message),
        other => other.into(),
    }
}
