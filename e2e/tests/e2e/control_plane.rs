//! The real parts themselves, without the operator.

use std::sync::Arc;

use anyhow::{Result, ensure};
use wio_api::keys::{CLIENT_ID_ANNOTATION, TENANT_ID_ANNOTATION};
use wio_e2e::operator::AUDIENCE;
use wio_e2e::pods;
use wio_e2e::world::World;

use crate::harness::{Case, case};

pub(crate) fn cases() -> Vec<Case> {
    vec![case!(the_real_webhook_injects_what_the_service_account_says)]
}

async fn the_real_webhook_injects_what_the_service_account_says(world: Arc<World>) -> Result<()> {
    let namespace = world.namespace("injected").await?;
    let client_id = "5a3ecf9c-4b5b-4dc8-8e0b-5a7b1a3ff7c0";
    let tenant = "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0";
    namespace.kubectl(&["create", "serviceaccount", "orders"]).await?;
    let annotations = [
        format!("{CLIENT_ID_ANNOTATION}={client_id}"),
        format!("{TENANT_ID_ANNOTATION}={tenant}"),
    ];
    namespace
        .annotate("orders", &annotations.each_ref().map(String::as_str))
        .await?;
    let pod = namespace.pod("injected", "orders").await?;

    let environment = pods::environment(&pod)?;
    let expected = [
        ("AZURE_CLIENT_ID", client_id),
        ("AZURE_TENANT_ID", tenant),
        ("AZURE_AUTHORITY_HOST", world.simulator.url()),
    ];
    for (name, value) in expected {
        let found = environment.get(name).map(String::as_str);
        ensure!(found == Some(value), "{name} should be {value}, in {environment:?}");
    }
    let path = environment
        .get("AZURE_FEDERATED_TOKEN_FILE")
        .map(String::as_str)
        .unwrap_or_default();
    let token = pods::projected_token(&pod, path)?;
    ensure!(token.audience.as_deref() == Some(AUDIENCE), "{token:?}");
    let minted = pods::mint(&world.cluster.client, &pod, &token).await?;
    ensure!(minted.split('.').count() == 3, "{minted} is not a token");
    Ok(())
}
