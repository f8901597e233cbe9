//! A service account, what its pods present, and a token of it, with the caller's rights.

use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Pod, ServiceAccount};
use kube::api::{ListParams, PostParams};
use kube::{Api, ResourceExt};
use wio_api::keys;
use wio_azure::Token;

use crate::session::{Session, told};

/// The shortest life that the API server gives a token: it is thrown away at once.
const SECONDS: i64 = 600;
/// The most pods that are looked at.
const MOST_PODS: u32 = 100;
/// The volume in which the pod webhook projects the token.
const WEBHOOKS_VOLUME: &str = "azure-identity-token";

/// A service account's annotations that decide what its pods ask Entra for; none when it may not be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Carried {
    pub(crate) client_id: Option<String>,
    pub(crate) tenant_id: Option<String>,
}

/// What a service account carries; none when the caller may not look.
///
/// # Errors
/// When there is no such service account.
pub(crate) async fn carried(session: &Session, account: &str) -> Result<Option<Carried>, String> {
    let accounts: Api<ServiceAccount> = Api::namespaced(session.client.clone(), &session.namespace);
    match accounts.get_opt(account).await {
        Ok(Some(found)) => {
            let carries = |key| found.annotations().get(key).cloned();
            Ok(Some(Carried {
                client_id: carries(keys::CLIENT_ID_ANNOTATION),
                tenant_id: carries(keys::TENANT_ID_ANNOTATION),
            }))
        }
        Ok(None) => Err("it is not there".to_owned()),
        Err(_) => Ok(None),
    }
}

/// The audience of the tokens that the pod webhook gave running pods of a service account: another one than this where there is one. None
/// when no pod has a token, and when the caller may not look.
pub(crate) async fn audience_of_pods(session: &Session, account: &str, than: &str) -> Option<String> {
    let pods: Api<Pod> = Api::namespaced(session.client.clone(), &session.namespace);
    let of_account = ListParams::default()
        .fields(&format!("spec.serviceAccountName={account}"))
        .limit(MOST_PODS);
    let pods = pods.list(&of_account).await.ok()?;
    let mut audiences: Vec<String> = pods.iter().filter_map(audience_of).collect();
    audiences.sort_by_key(|audience| audience == than);
    audiences.into_iter().next()
}

/// The audience of a pod's token for Entra, as the webhook wrote it into the pod.
fn audience_of(pod: &Pod) -> Option<String> {
    let over = ["Succeeded", "Failed"];
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    if phase.is_some_and(|phase| over.contains(&phase)) {
        return None;
    }
    let mut volumes = pod.spec.as_ref()?.volumes.iter().flatten();
    let volume = volumes.find(|volume| volume.name == WEBHOOKS_VOLUME)?;
    let sources = volume.projected.as_ref()?.sources.as_ref()?;
    let mut tokens = sources
        .iter()
        .filter_map(|source| source.service_account_token.as_ref());
    tokens.find_map(|token| token.audience.clone())
}

/// A token of a service account for an audience.
pub(crate) async fn mint(session: &Session, account: &str, audience: &str) -> Result<Token, String> {
    let request = TokenRequest {
        spec: TokenRequestSpec {
            audiences: vec![audience.to_owned()],
            expiration_seconds: Some(SECONDS),
            ..TokenRequestSpec::default()
        },
        ..TokenRequest::default()
    };
    let accounts: Api<ServiceAccount> = Api::namespaced(session.client.clone(), &session.namespace);
    let asked = accounts
        .create_token_request(account, &PostParams::default(), &request)
        .await;
    let answer = asked.map_err(|error| format!("the API server gives no token of it: {:#}", told(error)))?;
    let status = answer.status.ok_or("the API server's answer holds no token")?;
    Ok(Token::from(status.token))
}
