//! Tools that take the token of a service account without a pod, as docs/integrations.md has them: what they ask for and what Entra says to it.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use wio_api::keys::CLIENT_ID_ANNOTATION;
use wio_e2e::documents;
use wio_e2e::namespace::Namespace;
use wio_e2e::token::TokenRequest;
use wio_e2e::world::World;

use crate::harness::{Case, case};

const AUDIENCE: &str = "api://AzureADTokenExchange";

pub(crate) fn cases() -> Vec<Case> {
    vec![case!(the_token_of_each_tools_service_account_is_traded_without_a_pod)]
}

async fn the_token_of_each_tools_service_account_is_traded_without_a_pod(world: Arc<World>) -> Result<()> {
    let namespace = world.namespace("integrations").await?;
    let mut bindings = Vec::new();
    for shown in documents::shown()? {
        if shown.page == "docs/integrations.md" && shown.is("WorkloadIdentityBinding") {
            bindings.push(binding(&namespace, shown.object).await?);
        }
    }
    ensure!(bindings.len() >= 6, "{bindings:?}");
    let specs = bindings.iter().map(|(name, _, spec)| (name.clone(), spec.clone()));
    namespace.bind_all(specs).await?;
    namespace.all_ready().await?;

    let mut before: Option<String> = None;
    for (binding, account, _) in &bindings {
        let identity = namespace.identity(binding).await?;
        let annotated = namespace.annotation(account, CLIENT_ID_ANNOTATION).await?;
        ensure!(
            annotated.as_deref() == Some(&*identity.client_id),
            "{account}: {annotated:?}"
        );
        let request = TokenRequest {
            audience: Some(AUDIENCE.to_owned()),
            ..TokenRequest::default()
        };
        let token = request.mint(&world.cluster.client, &namespace.name, account).await?;
        let (status, answer) = world.simulator.exchange(&identity.client_id, &token).await?;
        ensure!(status == 200, "{account}: {status} {answer}");
        // The same token is of no use for another tool's identity.
        if let Some(other) = before.replace(identity.client_id) {
            let (status, answer) = world.simulator.exchange(&other, &token).await?;
            let refused = answer.to_string().contains("AADSTS700213");
            ensure!(status >= 400 && refused, "{account} as {other}: {status} {answer}");
        }
    }
    Ok(())
}

/// A binding's name, its service account and its spec, in a namespace of the test. Roles are left out: they need a policy and no token says them.
async fn binding(namespace: &Namespace<'_>, mut object: Value) -> Result<(String, String, Value)> {
    let text = |object: &Value, at: &str| object.pointer(at).and_then(Value::as_str).map(str::to_owned);
    let name = text(&object, "/metadata/name").context("a binding without a name")?;
    let account = text(&object, "/spec/serviceAccounts/0/name").context("a binding without a service account")?;
    if object.pointer("/spec/serviceAccounts/0/create") == Some(&Value::Bool(false)) {
        namespace.kubectl(&["create", "serviceaccount", &account]).await?;
    }
    let mut spec = object
        .pointer_mut("/spec")
        .map(Value::take)
        .context("a binding without a spec")?;
    if let Some(spec) = spec.as_object_mut() {
        spec.remove("roleAssignments");
    }
    Ok((name, account, spec))
}
