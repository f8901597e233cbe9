//! Parts that go away in the middle of the work.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use wio_azure_sim::LoggedRequest;
use wio_e2e::namespace::DEADLINE;
use wio_e2e::operator::{DRIFT_INTERVAL, SHORT, USER};
use wio_e2e::process::Signal;
use wio_e2e::wait::until;
use wio_e2e::world::World;

use crate::harness::{Case, case};
use crate::rollout::Rollout;

pub(crate) fn cases() -> Vec<Case> {
    vec![
        case!(an_operator_killed_during_a_rollout_ends_in_the_same_state).alone(),
        case!(a_restarted_operator_writes_nothing).alone().on_own_cluster(),
        case!(an_api_server_restarted_during_a_rollout_changes_nothing_of_its_end)
            .alone()
            .on_own_cluster(),
    ]
}

const BINDINGS: usize = 50;
/// Chooses the moment of the crash; the same number chooses the same moment.
const SEED: &str = "WIO_E2E_SEED";
/// So that requests are under way when the operator is killed.
const LATENCY_MS: u64 = 50;

async fn an_operator_killed_during_a_rollout_ends_in_the_same_state(world: Arc<World>) -> Result<()> {
    let seed = match std::env::var(SEED) {
        Ok(text) => text
            .parse()
            .with_context(|| format!("{SEED} should be a number, and is {text:?}"))?,
        Err(_) => uuid::Uuid::new_v4().as_u64_pair().1 % 1_000_000,
    };
    // Every binding takes two writes to Azure; the crash comes between the first and the last of them.
    let crash_after = 1 + usize::try_from(seed)? % (2 * BINDINGS - 2);
    println!(
        "{SEED}={seed}: the operator is killed after {crash_after} of {} writes",
        2 * BINDINGS
    );

    world.simulator.configure(&json!({ "latencyMs": LATENCY_MS })).await?;
    let ended = kill_during_rollout(&world, crash_after).await;
    world.simulator.configure(&json!({ "latencyMs": 0 })).await?;
    ended.with_context(|| format!("{SEED}={seed} repeats it"))
}

async fn kill_during_rollout(world: &World, crash_after: usize) -> Result<()> {
    let rollout = Rollout::new(world, "crash", BINDINGS).await?;
    let crash = async {
        let what = format!("{crash_after} writes");
        until(&what, DEADLINE, async || {
            Ok((rollout.progress().await? >= crash_after).then_some(()))
        })
        .await?;
        world.operator.lock().await.end(Signal::Kill).await
    };
    let (code, ()) = futures::try_join!(crash, rollout.apply())?;
    ensure!(code == 128 + 9, "the operator ended by itself with {code}");
    world.operator.lock().await.run().await?;
    rollout.namespace.all_ready().await?;
    rollout.must_be_complete().await?;
    rollout.remove().await
}

/// A restart learns from the status what is there, and has nothing to change.
async fn a_restarted_operator_writes_nothing(world: Arc<World>) -> Result<()> {
    let ended = restart_quietly(&world).await;
    let mut operator = world.operator.lock().await;
    operator.set(DRIFT_INTERVAL, SHORT);
    operator.restart(Signal::Terminate).await?;
    ended
}

async fn restart_quietly(world: &World) -> Result<()> {
    let audit = world.cluster.audit()?;
    let rollout = Rollout::new(world, "restart", 10).await?;
    rollout.apply().await?;
    rollout.namespace.all_ready().await?;

    let mut operator = world.operator.lock().await;
    let principal = operator.principal().principal_id.clone();
    let code = operator.end(Signal::Terminate).await?;
    ensure!(code == 0, "asked to end, it ended with {code}");
    let ours = |request: &LoggedRequest| request.principal.as_ref() == Some(&principal);
    let (mark, before) = (audit.mark()?, world.simulator.requests().await?.len());
    operator.set(DRIFT_INTERVAL, "1h");
    operator.run().await?;
    let bindings = world
        .cluster
        .kubectl
        .run(&["get", "wib", "--all-namespaces", "--output=name"])
        .await?;
    let bindings = bindings.lines().count();
    until("every binding to be reconciled", DEADLINE, async || {
        let reconciles = reconciles(&operator.metrics().await?);
        Ok((reconciles >= bindings).then_some(()))
    })
    .await?;

    let azure: Vec<LoggedRequest> = world.simulator.requests().await?.split_off(before);
    // What Azure refused before the restart, as faults that another test stages, is tried and refused again, and wrote nothing.
    let carried_out = |it: &LoggedRequest| it.status.is_none_or(|status| status < 400);
    let azure: Vec<_> = azure
        .into_iter()
        .filter(|it| it.writes && ours(it) && carried_out(it))
        .collect();
    ensure!(azure.is_empty(), "written to Azure: {azure:#?}");
    let kubernetes: Vec<String> = audit
        .since(mark)?
        .iter()
        // What was refused before the restart, as a conflict that another test left, is refused again and wrote nothing.
        .filter(|event| event.user == USER && event.writes() && event.code < 400)
        .map(ToString::to_string)
        .collect();
    ensure!(kubernetes.is_empty(), "written to Kubernetes: {kubernetes:#?}");
    Ok(())
}

/// How many reconciles the metrics tell of.
fn reconciles(metrics: &str) -> usize {
    let counts = metrics.lines().filter(|line| line.starts_with("wio_reconciles_total{"));
    counts
        .filter_map(|line| line.rsplit_once(' ')?.1.parse::<usize>().ok())
        .sum()
}

async fn an_api_server_restarted_during_a_rollout_changes_nothing_of_its_end(world: Arc<World>) -> Result<()> {
    let control_plane = world.cluster.own().context("it needs a control plane of its own")?;
    let rollout = Rollout::new(&world, "outage", 20).await?;
    rollout.apply().await?;
    until("the rollout to begin", DEADLINE, async || {
        Ok((rollout.progress().await? > 0).then_some(()))
    })
    .await?;
    control_plane.restart_api_server(&world.cluster.client).await?;
    rollout.namespace.all_ready().await?;
    rollout.must_be_complete().await?;
    rollout.remove().await
}
