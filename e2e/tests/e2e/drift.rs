//! What somebody changes behind the operator's back.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use wio_api::keys::CLIENT_ID_ANNOTATION;
use wio_api::{ConditionType, Reason};
use wio_azure_sim::Identity;
use wio_e2e::namespace::{DEADLINE, Namespace};
use wio_e2e::operator::AUDIENCE;
use wio_e2e::simulator::Trusted;
use wio_e2e::wait::until;
use wio_e2e::world::World;

use crate::harness::{Case, case};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        case!(a_credential_that_was_edited_or_deleted_is_mended),
        case!(an_identity_that_was_deleted_is_made_anew_with_its_trust),
        case!(an_annotation_edited_by_hand_is_reported_with_who_did_it),
        case!(an_annotation_edited_by_hand_is_mended_when_the_binding_says_force),
        case!(a_deleted_service_account_is_made_anew),
    ]
}

const CLIENT_ID_OF_ANOTHER: &str = "azure.workload.identity/client-id=5a3ecf9c-4b5b-4dc8-8e0b-5a7b1a3ff7c0";

/// A ready binding of one service account, and its identity in Azure.
async fn bound(world: &World, namespace: &Namespace<'_>, account: Value) -> Result<Identity> {
    let spec = json!({ "identity": { "managed": {} }, "serviceAccounts": [account] });
    namespace.bind("shop", &spec).await?;
    namespace.ready("shop").await?;
    let id = namespace.identity("shop").await?.resource_id;
    let found = world.simulator.identity(&id).await?;
    found.with_context(|| format!("{id} does not exist"))
}

async fn a_credential_that_was_edited_or_deleted_is_mended(world: Arc<World>) -> Result<()> {
    let (simulator, namespace) = (&world.simulator, world.namespace("drift").await?);
    let identity = bound(&world, &namespace, json!({ "name": "orders" })).await?;
    let id = identity.id.to_string();
    let credential = identity.credentials.first().context("no credential")?;
    let mended = async |what: &str| {
        until(&format!("the {what} credential to be mended"), DEADLINE, async || {
            let now = simulator.identity(&id).await?;
            Ok((now.as_ref() == Some(&identity)).then_some(()))
        })
        .await
    };

    simulator
        .put_credential(
            &id,
            &credential.name,
            Trusted {
                issuer: &credential.issuer,
                subject: "system:serviceaccount:evil:evil",
                audience: AUDIENCE,
            },
        )
        .await?;
    mended("edited").await?;
    simulator.delete_credential(&id, &credential.name).await?;
    mended("deleted").await?;
    namespace.ready("shop").await?;
    let pod = namespace.pod("orders", "orders").await?;
    namespace.sign_in(&pod).await?.claims().map(drop)
}

async fn an_identity_that_was_deleted_is_made_anew_with_its_trust(world: Arc<World>) -> Result<()> {
    let (simulator, namespace) = (&world.simulator, world.namespace("recreated").await?);
    let old = bound(&world, &namespace, json!({ "name": "orders" })).await?;
    let id = old.id.to_string();
    simulator.delete_identity(&id).await?;
    let account = until("the service account to carry the new client id", DEADLINE, async || {
        let client_id = namespace.annotation("orders", CLIENT_ID_ANNOTATION).await?;
        Ok(client_id.filter(|client_id| *client_id != old.client_id.to_string()))
    })
    .await?;
    namespace.ready("shop").await?;
    let new = simulator.identity(&id).await?.context("the identity is gone")?;
    ensure!(account == new.client_id.to_string(), "{account} is not of {new:?}");
    let pod = namespace.pod("orders", "orders").await?;
    let sign_in = namespace.sign_in(&pod).await?;
    let oid = sign_in.claims()?.get("oid").and_then(Value::as_str);
    ensure!(
        oid == Some(new.principal_id.to_string().as_str()),
        "{oid:?} is not of {new:?}"
    );
    Ok(())
}

async fn an_annotation_edited_by_hand_is_reported_with_who_did_it(world: Arc<World>) -> Result<()> {
    let namespace = world.namespace("conflict").await?;
    let identity = bound(&world, &namespace, json!({ "name": "orders" })).await?;

    namespace.annotate("orders", &[CLIENT_ID_OF_ANOTHER]).await?;
    let message = namespace
        .condition("shop", ConditionType::Ready, "False", Reason::ServiceAccountConflict)
        .await?;
    for part in ["kubectl-annotate", CLIENT_ID_ANNOTATION, "orders"] {
        ensure!(message.contains(part), "{part} is not in: {message}");
    }
    namespace
        .condition("shop", ConditionType::Stalled, "True", Reason::ServiceAccountConflict)
        .await?;

    // The way out that the message tells.
    namespace
        .annotate("orders", &[&format!("{CLIENT_ID_ANNOTATION}-")])
        .await?;
    namespace.ready("shop").await?;
    let mended = namespace.annotation("orders", CLIENT_ID_ANNOTATION).await?;
    ensure!(mended == Some(identity.client_id.to_string()), "{mended:?}");
    Ok(())
}

async fn an_annotation_edited_by_hand_is_mended_when_the_binding_says_force(world: Arc<World>) -> Result<()> {
    let namespace = world.namespace("force").await?;
    let account = json!({ "name": "orders", "conflictPolicy": "Force" });
    let identity = bound(&world, &namespace, account).await?;
    namespace.annotate("orders", &[CLIENT_ID_OF_ANOTHER]).await?;
    until("the annotation to be mended", DEADLINE, async || {
        let now = namespace.annotation("orders", CLIENT_ID_ANNOTATION).await?;
        Ok((now == Some(identity.client_id.to_string())).then_some(()))
    })
    .await
}

async fn a_deleted_service_account_is_made_anew(world: Arc<World>) -> Result<()> {
    let namespace = world.namespace("anew").await?;
    bound(&world, &namespace, json!({ "name": "orders" })).await?;
    let uid = async || {
        Ok::<_, anyhow::Error>(
            namespace
                .service_account("orders")
                .await?
                .and_then(|it| it.metadata.uid),
        )
    };
    let old = uid().await?;
    namespace.kubectl(&["delete", "serviceaccount/orders"]).await?;
    let new = until("the service account to be made anew", DEADLINE, async || {
        Ok(uid().await?.filter(|new| Some(new) != old.as_ref()))
    })
    .await?;
    until("the status to name it", DEADLINE, async || {
        let status = namespace.binding("shop").await?.status.unwrap_or_default();
        Ok(status
            .service_accounts
            .iter()
            .any(|account| account.uid == new)
            .then_some(()))
    })
    .await?;
    namespace.ready("shop").await
}
