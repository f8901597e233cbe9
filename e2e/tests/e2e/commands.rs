//! The commands of the pages: what a person copies runs. Those of the Azure CLI are tried by `make az`, and the quick start by `make quickstart`.

use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use wio_api::{ConditionType, Reason};
use wio_e2e::cluster::BINDINGS_CRD;
use wio_e2e::namespace::DEADLINE;
use wio_e2e::operator::{NAME, NAMESPACE};
use wio_e2e::paths::repository;
use wio_e2e::process::Signal;
use wio_e2e::wait::until;
use wio_e2e::world::World;

use crate::harness::{Case, case};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        case!(the_commands_of_the_pages_run),
        case!(bindings_whose_definition_was_deleted_come_back_by_the_commands_of_the_runbook)
            .alone()
            .on_own_cluster(),
    ]
}

const RUNBOOK: &str = "docs/runbook.md";
const PAGES: [&str; 6] = [
    RUNBOOK,
    "docs/troubleshooting.md",
    "docs/workloads.md",
    "docs/integrations.md",
    "docs/migration.md",
    "docs/gitops.md",
];

/// What is not here: the Azure CLI; logs, which need a node; the operator's Deployment, which is a process here; and Argo CD.
const ELSEWHERE: [&str; 4] = [
    "az ",
    "kubectl logs",
    "deployment/workload-identity-operator",
    "argocd-cm",
];

/// What takes the binding away: it runs after all others.
const ENDS: &str = "\"finalizers\":null";

async fn the_commands_of_the_pages_run(world: Arc<World>) -> Result<()> {
    let namespace = world.namespace("pages").await?;
    let spec = json!({ "identity": { "managed": {} }, "serviceAccounts": [{ "name": "orders" }] });
    namespace.bind("orders", &spec).await?;
    namespace.ready("orders").await?;
    namespace.apply(&deployment("pages", "orders")).await?;
    namespace.pod("orders", "orders").await?;

    let mut commands = Vec::new();
    for page in PAGES {
        commands.extend(blocks(page)?);
    }
    commands.retain(|block| !ELSEWHERE.iter().any(|elsewhere| block.contains(elsewhere)));
    ensure!(commands.len() >= 12, "found: {commands:#?}");
    let (last, first): (Vec<_>, Vec<_>) = commands.iter().partition(|block| block.contains(ENDS));
    ensure!(!last.is_empty(), "found: {commands:#?}");
    for block in first.into_iter().chain(last) {
        let here = block
            .replace("-n shop", "-n pages")
            .replace("namespace shop", "namespace pages")
            .replace("NAMESPACE", "pages")
            .replace("SERVICE_ACCOUNT", "orders")
            .replace("NAME", "orders");
        world.cluster.kubectl.shell(&here).await?;
    }
    Ok(())
}

/// Somebody deletes the definition of bindings. What is left of them in Azure is taken up by those that are created anew.
async fn bindings_whose_definition_was_deleted_come_back_by_the_commands_of_the_runbook(
    world: Arc<World>,
) -> Result<()> {
    let kubectl = &world.cluster.kubectl;
    let namespace = world.namespace("undone").await?;
    let spec = json!({ "identity": { "managed": {} }, "serviceAccounts": [{ "name": "orders" }] });
    namespace.bind("orders", &spec).await?;
    namespace.ready("orders").await?;
    let before = namespace.binding("orders").await?;
    let identity = namespace.identity("orders").await?;
    namespace.apply(&deployment(NAMESPACE, NAME)).await?;

    kubectl.run(&["delete", "crd", BINDINGS_CRD, "--wait=false"]).await?;
    let (ready, reason) = (ConditionType::Ready, Reason::MassDisappearance);
    namespace.condition("orders", ready, "Unknown", reason).await?;
    let recovery = blocks(RUNBOOK)?;
    let recovery = recovery
        .iter()
        .find(|block| block.contains("bindings.json"))
        .context("the commands that create bindings anew")?;
    let lines: Vec<&str> = recovery.lines().collect();
    let [stops, between @ .., starts] = lines.as_slice() else {
        bail!("too few commands: {recovery}")
    };
    for (line, replicas) in [(stops, "--replicas=0"), (starts, "--replicas=2")] {
        ensure!(line.starts_with("kubectl scale") && line.ends_with(replicas), "{line}");
    }
    // Bindings of other tests are refused that no policy permits any more.
    let between = between.join("\n").replace(
        "kubectl apply -f bindings.json",
        "kubectl apply -f bindings.json || true",
    );
    let between = between.replace("bindings.json", "\"$HOME/bindings.json\"");

    let mut operator = world.operator.lock().await;
    kubectl.shell(stops).await?;
    operator.end(Signal::Terminate).await?;
    let commanded = kubectl.shell(&between).await;
    kubectl.shell(starts).await?;
    operator.run().await?;
    drop(operator);
    commanded?;
    until("the binding to be Ready anew", DEADLINE, async || {
        let after = namespace.find_binding("orders").await?;
        Ok(after.filter(|after| after.metadata.uid != before.metadata.uid))
    })
    .await?;
    namespace.ready("orders").await?;
    let client_id = namespace.identity("orders").await?.client_id;
    ensure!(client_id == identity.client_id, "another identity: {client_id}");
    Ok(())
}

/// A Deployment without pods.
fn deployment(namespace: &str, name: &str) -> Value {
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": { "name": name, "namespace": namespace },
        "spec": {
            "replicas": 0,
            "selector": { "matchLabels": { "app": name } },
            "template": {
                "metadata": { "labels": { "app": name } },
                "spec": { "containers": [{ "name": name, "image": "registry.example/none" }] },
            },
        },
    })
}

/// The commands that a page shows, a block each.
fn blocks(page: &str) -> Result<Vec<String>> {
    let text = std::fs::read_to_string(repository().join(page)).with_context(|| format!("reading {page}"))?;
    let mut blocks: Vec<String> = Vec::new();
    let mut block: Option<Vec<&str>> = None;
    for line in text.lines() {
        match (&mut block, line.trim_start()) {
            (None, "```sh") => block = Some(Vec::new()),
            (Some(lines), "```") => {
                blocks.push(lines.join("\n"));
                block = None;
            }
            (Some(lines), _) => lines.push(line),
            (None, _) => {}
        }
    }
    Ok(blocks)
}
