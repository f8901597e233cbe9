//! What the operator serves, scraped by a real Prometheus: the dashboard's queries find it, and the alert rules are understood. `make alerts` runs these.
#![allow(
    clippy::indexing_slicing,
    reason = "of JSON by keys only, where what is missing is null"
)]

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use wio_e2e::namespace::DEADLINE;
use wio_e2e::paths::repository;
use wio_e2e::prometheus::Prometheus;
use wio_e2e::wait::until;
use wio_e2e::world::World;

use crate::harness::{Case, case};

pub(crate) fn cases() -> Vec<Case> {
    vec![case!(each_query_of_the_dashboard_and_each_alert_rule_finds_what_is_served).on_request()]
}

async fn each_query_of_the_dashboard_and_each_alert_rule_finds_what_is_served(world: Arc<World>) -> Result<()> {
    let address = world.operator.lock().await.address().to_owned();
    let prometheus = Prometheus::start(&world.scratch, &address).await?;
    let namespace = world.namespace("dashboard").await?;
    let spec = json!({ "identity": { "managed": {} }, "serviceAccounts": [{ "name": "orders" }] });
    namespace.bind("shop", &spec).await?;
    namespace.ready("shop").await?;
    let queries = queries()?;
    ensure!(queries.len() >= 20, "the dashboard asks for {queries:?}");
    until("series of every query", DEADLINE, async || {
        let mut without = Vec::new();
        for query in &queries {
            if prometheus.query(query).await?.is_empty() {
                without.push(query);
            }
        }
        ensure!(without.is_empty(), "nothing is found by {without:#?}");
        Ok(Some(()))
    })
    .await?;
    until("each rule to be judged", DEADLINE, async || {
        let rules = prometheus.rules().await?;
        ensure!(rules.len() >= 20, "there are only {rules:?}");
        let unwell: Vec<&Value> = rules.iter().filter(|rule| rule["health"] != "ok").collect();
        ensure!(unwell.is_empty(), "{unwell:#?}");
        Ok(Some(()))
    })
    .await
}

/// The dashboard's queries, with what Grafana puts in for its variables.
fn queries() -> Result<Vec<String>> {
    let path = repository().join("charts/workload-identity-operator/files/dashboard.json");
    let text = std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    let dashboard: Value = serde_json::from_str(&text)?;
    let panels = dashboard["panels"].as_array().into_iter().flatten();
    let targets = panels.flat_map(|panel| panel["targets"].as_array().into_iter().flatten());
    let queries = targets.filter_map(|target| target["expr"].as_str());
    Ok(queries.map(|query| query.replace("$__rate_interval", "1m")).collect())
}
