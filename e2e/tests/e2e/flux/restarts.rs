//! A Deployment in Git that the operator restarts: each side writes what is its own, and once.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Result, ensure};
use serde_json::json;
use wio_api::RestartResult;
use wio_e2e::world::World;

use super::{Site, each_once, of_their_account, with};
use crate::harness::{Case, case};
use crate::restarts::{owner, pod_of, restarted, rollouts, runs, told};

const DEPLOYMENT: &str = "deployment.yaml";
const WRITE: &str = "patch deployments app";

pub(super) fn cases() -> Vec<Case> {
    vec![case!(
        a_restart_outlives_fluxs_reconciles_and_a_change_in_git_and_is_no_second_one
    )]
}

fn of_deployments(mut writes: BTreeMap<String, usize>) -> BTreeMap<String, usize> {
    writes.retain(|what, _| what.contains(" deployments"));
    writes
}

async fn a_restart_outlives_fluxs_reconciles_and_a_change_in_git_and_is_no_second_one(world: Arc<World>) -> Result<()> {
    let mut site = Site::new(&world, "flux-restart").await?;
    site.put_account(&json!({}));
    site.repository
        .put(DEPLOYMENT, &owner("flux-restart", "Deployment", "app"));
    // A pod is ready when the test says so.
    let revision = site.begin(json!({ "wait": false })).await?;
    site.kustomization.applied(&revision).await?;
    let first = pod_of(&site.namespace, "app", "").await?;

    let mark = site.mark()?;
    site.put_binding(&with(of_their_account("Report"), "rollout", json!("Restart")));
    site.commit_well().await?;
    restarted(&site.namespace, "Deployment", "app").await?;
    // In the midst of the rollout, and after it.
    site.kustomization.reconcile_well().await?;
    let second = pod_of(&site.namespace, "app", &first).await?;
    runs(&site.namespace, &second).await?;
    told(&site.namespace, "app", RestartResult::Restarted).await?;
    for _ in 0..3 {
        site.kustomization.reconcile_well().await?;
    }
    site.namespace.looked_at("app", "after-flux").await?;
    let client_id = restarted(&site.namespace, "Deployment", "app").await?;
    ensure!(
        rollouts(&site.namespace, "app").await? == "2",
        "it was rolled out once more"
    );
    let writes = site.writes(mark)?;
    each_once(&of_deployments(writes.ours), &[WRITE])?;
    each_once(&of_deployments(writes.flux), &[])?;

    let mark = site.mark()?;
    site.repository.edit(DEPLOYMENT, "app:1", "app:2")?;
    site.commit_well().await?;
    let third = pod_of(&site.namespace, "app", &second).await?;
    runs(&site.namespace, &third).await?;
    site.namespace.looked_at("app", "after-git").await?;
    site.kustomization.reconcile_well().await?;
    ensure!(
        restarted(&site.namespace, "Deployment", "app").await? == client_id,
        "the identity is another one"
    );
    ensure!(
        rollouts(&site.namespace, "app").await? == "3",
        "it was rolled out once more"
    );
    told(&site.namespace, "app", RestartResult::Restarted).await?;
    let writes = site.writes(mark)?;
    each_once(&of_deployments(writes.ours), &[])?;
    each_once(&of_deployments(writes.flux), &[WRITE])
}
