//! Two replicas, one of which leads, when something happens to that one in the midst of a rollout.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Result, ensure};
use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use serde_json::json;
use wio_azure_sim::LoggedRequest;
use wio_e2e::namespace::DEADLINE;
use wio_e2e::operator::{LEASE, NAME, NAMESPACE, Operator};
use wio_e2e::process::Signal;
use wio_e2e::wait::until;
use wio_e2e::world::World;

use crate::harness::{Case, case};
use crate::rollout::Rollout;

pub(crate) fn cases() -> Vec<Case> {
    vec![
        case!(when_the_leader_is_killed_asked_to_end_or_held_up_the_other_replica_goes_on)
            .alone()
            .on_own_cluster(),
    ]
}

const BINDINGS: usize = 20;
/// So that requests are under way when something happens to the leader.
const LATENCY_MS: u64 = 50;

/// What happens to the leader.
#[derive(Clone, Copy)]
enum Happens {
    Crash,
    OrderlyEnd,
    /// For longer than its lease; then it goes on.
    HeldUp,
}

async fn when_the_leader_is_killed_asked_to_end_or_held_up_the_other_replica_goes_on(world: Arc<World>) -> Result<()> {
    world.simulator.configure(&json!({ "latencyMs": LATENCY_MS })).await?;
    let mut operator = world.operator.lock().await;
    operator.end(Signal::Terminate).await?;
    operator.elect(true);
    let mut second = operator.replica("second")?;
    let ended = three_times(&world, &mut operator, &mut second).await;
    drop(second);
    operator.elect(false);
    let restarted = match operator.id() {
        Ok(_) => operator.restart(Signal::Kill).await,
        Err(_) => operator.run().await,
    };
    world.simulator.configure(&json!({ "latencyMs": 0 })).await?;
    ended.and(restarted)
}

async fn three_times(world: &World, first: &mut Operator, second: &mut Operator) -> Result<()> {
    first.run().await?;
    leads(world, first).await?;
    second.run().await?;
    let killed = rollout(world, "replicas-killed", (first, second), Happens::Crash).await?;
    first.run().await?;
    let ended = rollout(world, "replicas-ended", (second, first), Happens::OrderlyEnd).await?;
    second.run().await?;
    let held_up = rollout(world, "replicas-held-up", (first, second), Happens::HeldUp).await?;
    // A finalizer waits until what an earlier leader sent has landed, so all go at once.
    futures::try_join!(killed.remove(), ended.remove(), held_up.remove()).map(drop)
}

/// A rollout in the midst of which something happens to the leader.
async fn rollout<'w>(
    world: &'w World,
    namespace: &str,
    (leader, other): (&mut Operator, &mut Operator),
    happens: Happens,
) -> Result<Rollout<'w>> {
    let rollout = Rollout::new(world, namespace, BINDINGS).await?;
    let happening = async {
        until("the rollout to be under way", DEADLINE, async || {
            Ok((rollout.progress().await? > BINDINGS / 2).then_some(()))
        })
        .await?;
        let begun = Instant::now();
        match happens {
            Happens::Crash => drop(leader.end(Signal::Kill).await?),
            Happens::OrderlyEnd => {
                let code = leader.end(Signal::Terminate).await?;
                ensure!(code == 0, "asked to end, it ended with {code}");
            }
            Happens::HeldUp => leader.signal(Signal::Stop)?,
        }
        leads(world, other).await?;
        println!(
            "{namespace}: another one leads after {:.1?}, the lease is {LEASE:?}",
            begun.elapsed()
        );
        Ok(())
    };
    let ((), ()) = futures::try_join!(happening, rollout.apply())?;
    rollout.namespace.all_ready().await?;
    rollout.must_be_complete().await?;
    if let Happens::HeldUp = happens {
        goes_on(world, leader).await?;
        // What was handed to its connections is put right by the other one.
        until("all to be as it was", DEADLINE, async || {
            Ok(rollout.must_be_complete().await.ok())
        })
        .await?;
    }
    Ok(rollout)
}

/// Lets a leader go on that was held up for longer than its lease: it ends. What it had handed to its connections when it was held up
/// arrives (docs/adr/0021), one request of each identity, and nothing follows that.
async fn goes_on(world: &World, leader: &mut Operator) -> Result<()> {
    let before = world.simulator.requests().await?.len();
    leader.signal(Signal::Continue)?;
    let (code, log) = leader.has_ended().await?;
    ensure!(
        code == 1 && log.contains("the lease is lost"),
        "it ended with {code}:\n{log}"
    );
    let since = world.simulator.requests().await?.split_off(before);
    let written: Vec<LoggedRequest> = since.into_iter().filter(|request| request.writes).collect();
    println!("{} writes of the one that was held up arrived", written.len());
    let identities: BTreeSet<Option<&str>> = written.iter().map(|request| identity(&request.path)).collect();
    ensure!(identities.len() == written.len(), "written to Azure: {written:#?}");
    Ok(())
}

/// The name of the identity that a path is about.
fn identity(path: &str) -> Option<&str> {
    path.split_once("/userAssignedIdentities/")?.1.split('/').next()
}

/// Waits until an operator holds the Lease.
async fn leads(world: &World, operator: &Operator) -> Result<()> {
    let leases: Api<Lease> = Api::namespaced(world.cluster.client.clone(), NAMESPACE);
    let what = format!("{} to lead", operator.name());
    until(&what, DEADLINE, async || {
        let spec = leases.get_opt(NAME).await?.and_then(|lease| lease.spec);
        let holder = spec.and_then(|spec| spec.holder_identity).unwrap_or_default();
        Ok(holder.starts_with(&format!("{}_", operator.name())).then_some(()))
    })
    .await
}
