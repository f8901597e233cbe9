//! What the status says of pods, as the real API server and the real webhook leave them.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use wio_api::{ConditionType, Reason, WorkloadsStatus};
use wio_e2e::namespace::{DEADLINE, Namespace};
use wio_e2e::pods;
use wio_e2e::wait::until;
use wio_e2e::world::World;

use crate::harness::{Case, case};

pub(crate) fn cases() -> Vec<Case> {
    vec![case!(
        the_status_tells_which_pods_have_no_token_until_they_are_created_anew
    )]
}

async fn the_status_tells_which_pods_have_no_token_until_they_are_created_anew(world: Arc<World>) -> Result<()> {
    let namespace = world.namespace("workloads").await?;
    namespace.kubectl(&["create", "serviceaccount", "orders"]).await?;
    namespace.pod("early", "orders").await?;
    let spec = json!({ "identity": { "managed": {} }, "serviceAccounts": [{ "name": "orders" }] });
    namespace.bind("shop", &spec).await?;
    namespace.ready("shop").await?;
    let missing = namespace
        .condition("shop", ConditionType::WorkloadsReady, "False", Reason::PodsWithoutToken)
        .await?;
    ensure!(missing.contains("Pod/early (1 pod)"), "{missing}");

    // What is created from now on has its token, or asks for none.
    let late = namespace.pod("late", "orders").await?;
    unlabelled(&namespace, "plain").await?;
    let lacking = [
        "Pod/early StartedTooEarly".to_owned(),
        "Pod/plain LabelMissing".to_owned(),
    ];
    tells(&namespace, (1, &lacking)).await?;
    let client_id = namespace.identity("shop").await?.client_id;
    ensure!(
        pods::environment(&late)?.get("AZURE_CLIENT_ID") == Some(&client_id),
        "the status tells of a token that {late:?} does not have"
    );

    namespace
        .kubectl(&["delete", "pod", "early", "--force", "--grace-period=0"])
        .await?;
    namespace.pod("early", "orders").await?;
    // Whoever asks for a look finds its outcome in the status, and waits for no interval.
    let told = namespace.wib(&["reconcile", "shop", "--wait"], None).await?;
    ensure!(told.code == 0, "{}{}", told.out, told.err);
    let status = namespace.binding("shop").await?.status.unwrap_or_default();
    let well = status
        .condition(ConditionType::WorkloadsReady)
        .context("no condition")?;
    ensure!(
        well.status == "True" && well.message == "2 pods have a token of the identity. 1 more does not ask for one.",
        "{well:?}"
    );
    tells(&namespace, (2, &lacking[1..])).await
}

/// Waits until the status tells of so many pods with a token, and of these without.
async fn tells(namespace: &Namespace<'_>, (with_token, lacking): (u32, &[String])) -> Result<()> {
    until("the status to tell of the pods", DEADLINE, async || {
        let status = namespace.binding("shop").await?.status.unwrap_or_default();
        let seen = status.workloads.context("no word of pods")?;
        ensure!(seen.with_token == with_token && told(&seen) == lacking, "{seen:#?}");
        Ok(Some(()))
    })
    .await
}

fn told(seen: &WorkloadsStatus) -> Vec<String> {
    let line = |one: &wio_api::PodsWithoutToken| format!("{} {:?}", one.owner, one.reason);
    seen.lacking.iter().map(line).collect()
}

async fn unlabelled(namespace: &Namespace<'_>, name: &str) -> Result<()> {
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": name, "namespace": namespace.name },
        "spec": {
            "serviceAccountName": "orders",
            "containers": [{ "name": "main", "image": "registry.example/app:1" }],
        },
    });
    namespace.apply(&pod).await
}
