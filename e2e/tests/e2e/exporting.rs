//! The ConfigMap that the ids of an identity are exported into.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use wio_api::{ConditionType, Reason};
use wio_e2e::namespace::{DEADLINE, Namespace};
use wio_e2e::wait::until;
use wio_e2e::world::World;

use crate::harness::{Case, case};

pub(crate) fn cases() -> Vec<Case> {
    vec![case!(ids_are_exported_into_a_config_map_that_is_nobody_elses)]
}

/// A ConfigMap; none when it is not there.
async fn config_map(namespace: &Namespace<'_>, name: &str) -> Result<Option<Value>> {
    let text = namespace
        .kubectl(&["get", "configmap", name, "--ignore-not-found", "--output=json"])
        .await?;
    Ok((!text.trim().is_empty())
        .then(|| serde_json::from_str(&text))
        .transpose()?)
}

/// Changes an exported ConfigMap by hand, and waits until it is as it was.
pub(crate) async fn is_put_back(namespace: &Namespace<'_>, name: &str) -> Result<()> {
    let before = config_map(namespace, name).await?.context("it is missing")?;
    let by_hand = r#"{"data":{"clientId":"by-hand"}}"#;
    namespace
        .kubectl(&["patch", "configmap", name, "--type=merge", "--patch", by_hand])
        .await?;
    until("the value to be put back", DEADLINE, async || {
        let found = config_map(namespace, name).await?;
        Ok(found.filter(|found| found.get("data") == before.get("data")).map(drop))
    })
    .await
}

async fn ids_are_exported_into_a_config_map_that_is_nobody_elses(world: Arc<World>) -> Result<()> {
    let namespace = world.namespace("exporting").await?;
    let spec = |name: &str| {
        json!({
            "identity": { "managed": {} },
            "serviceAccounts": [{ "name": "orders" }],
            "export": { "configMap": { "name": name } },
        })
    };
    let refused = namespace.try_to_bind("shop", &spec("kube-root-ca.crt")).await?;
    ensure!(
        refused.as_ref().is_err_and(|why| why.contains("choose another one")),
        "{refused:?}"
    );
    namespace
        .kubectl(&["create", "configmap", "ids", "--from-literal=clientId=theirs"])
        .await?;
    namespace.bind("shop", &spec("ids")).await?;
    let told = namespace
        .condition("shop", ConditionType::Ready, "False", Reason::ExportConflict)
        .await?;
    ensure!(told.contains("ConfigMap ids"), "{told}");
    let theirs = config_map(&namespace, "ids").await?.context("it is gone")?;
    ensure!(
        theirs.get("data") == Some(&json!({ "clientId": "theirs" })),
        "{theirs:#}"
    );

    namespace.bind("shop", &spec("shop-ids")).await?;
    namespace.ready("shop").await?;
    let status = namespace.binding("shop").await?.status.unwrap_or_default();
    let identity = status.identity.context("no identity in the status")?;
    let ids = json!({
        "clientId": identity.client_id,
        "tenantId": identity.tenant_id,
        "principalId": identity.principal_id,
    });
    let exported = config_map(&namespace, "shop-ids").await?.context("it is missing")?;
    ensure!(exported.get("data") == Some(&ids), "{exported:#}");

    is_put_back(&namespace, "shop-ids").await?;
    namespace.delete("shop").await?;
    ensure!(config_map(&namespace, "shop-ids").await?.is_none(), "it is left");
    ensure!(config_map(&namespace, "ids").await?.is_some(), "it was somebody else's");
    Ok(())
}
