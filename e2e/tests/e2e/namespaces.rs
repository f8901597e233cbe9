//! Namespaces in which the operator does not act.

use std::sync::Arc;

use anyhow::{Result, ensure};
use serde_json::json;
use wio_e2e::namespace::{DEADLINE, Namespace};
use wio_e2e::operator::USER;
use wio_e2e::wait::until;
use wio_e2e::world::World;

use crate::harness::{Case, case};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        case!(a_namespace_is_left_alone_while_it_is_excluded)
            .alone()
            .on_own_cluster(),
    ]
}

const EXCLUDED: &str = "WIO_EXCLUDE_NAMESPACES";

async fn a_namespace_is_left_alone_while_it_is_excluded(world: Arc<World>) -> Result<()> {
    let (alone, beside) = (world.namespace("left-alone").await?, world.namespace("acted-in").await?);
    exclude(&world, Some(&alone.name)).await?;
    let left = is_left_alone(&alone, &beside).await;
    exclude(&world, None).await?;
    left?;
    alone.ready("orders").await
}

/// Starts the operator anew, so that it acts in all namespaces but this one.
async fn exclude(world: &World, namespace: Option<&str>) -> Result<()> {
    world.operator.lock().await.restart_with(EXCLUDED, namespace).await
}

async fn is_left_alone(alone: &Namespace<'_>, beside: &Namespace<'_>) -> Result<()> {
    let world = alone.world();
    let audit = world.cluster.audit()?;
    let mark = audit.mark()?;
    let spec = json!({ "identity": { "managed": {} }, "serviceAccounts": [{ "name": "orders" }] });
    alone.bind("orders", &spec).await?;
    beside.bind("orders", &spec).await?;
    beside.ready("orders").await?;
    until("the plugin to say that it is left alone", DEADLINE, async || {
        let told = alone.wib(&["status", "orders"], None).await?;
        Ok(told.out.contains("orders (left alone by the operator)").then_some(()))
    })
    .await?;
    let planned = alone.wib(&["plan", "orders"], None).await?;
    ensure!(
        planned.out.contains("is left alone: "),
        "{}{}",
        planned.out,
        planned.err
    );
    let written: Vec<String> = audit
        .since(mark)?
        .iter()
        .filter(|event| event.user == USER && event.namespace == alone.name && event.writes())
        .map(ToString::to_string)
        .collect();
    ensure!(written.is_empty(), "written where it does not act: {written:#?}");
    let binding = alone.binding("orders").await?;
    ensure!(binding.metadata.finalizers.is_none(), "it has a finalizer");
    Ok(())
}
