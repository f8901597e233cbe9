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

/// What the API server says of the tokens that it issues.
#[derive(Deserialize)]
pub(crate) struct Discovery {
    /// Their issuer.
    pub(crate) issuer: String,
    /// By which algorithms they are signed.
    #[serde(default, rename = "id_token_signing_alg_values_supported")]
    pub(crate) algorithms: Vec<String>,
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

    /// The cluster's discovery document.
    pub(crate) async fn discovery(&self) -> anyhow::Result<Discovery> {
        discovery(&self.client)
            .await
            .context("the cluster's issuer, from its discovery document")
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

/// The discovery document that an API server serves.
pub(crate) async fn discovery(client: &Client) -> anyhow::Result<Discovery> {
    let request = http::Request::get("/.well-known/openid-configuration").body(Vec::new())?;
    client.request(request).await.map_err(told)
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
