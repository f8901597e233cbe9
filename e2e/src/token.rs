//! Service account tokens, as the kubelet asks for them.

use anyhow::{Context, Result};
use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest as Request, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Pod, ServiceAccount};
use kube::api::PostParams;
use kube::{Api, Client, ResourceExt};

/// What is asked for; by default a token for the API server, of its usual length.
#[derive(Clone, Debug, Default)]
pub struct TokenRequest {
    /// The audience; `None` is the API server.
    pub audience: Option<String>,
    /// How long it is to be valid, in seconds, at least 600.
    pub seconds: Option<i64>,
    /// The pod with which it ends.
    pub pod: Option<BoundObjectReference>,
}

// === impl TokenRequest ===

impl TokenRequest {
    /// Asks the API server for a token of this service account.
    pub async fn mint(self, client: &Client, namespace: &str, service_account: &str) -> Result<String> {
        let request = Request {
            spec: TokenRequestSpec {
                audiences: self.audience.into_iter().collect(),
                bound_object_ref: self.pod,
                expiration_seconds: self.seconds,
            },
            ..Request::default()
        };
        let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), namespace);
        let answer = accounts
            .create_token_request(service_account, &PostParams::default(), &request)
            .await
            .with_context(|| format!("asking for a token of {namespace}/{service_account}"))?;
        Ok(answer.status.context("the answer holds no token")?.token)
    }

    /// Binds the token to a pod, as the kubelet does.
    #[must_use]
    pub fn for_pod(mut self, pod: &Pod) -> Self {
        self.pod = Some(BoundObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Pod".to_owned()),
            name: Some(pod.name_any()),
            uid: pod.uid(),
        });
        self
    }
}
