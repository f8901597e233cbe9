//! What one namespace's long queue for Azure's budgets costs another namespace.

use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use kube::api::{DeleteParams, ListParams};
use wio_api::WorkloadIdentityBinding;
use wio_e2e::wait::until;

use crate::figures::{Bar, Figure};
use crate::measure::{Bench, is_ready};
use crate::{DEADLINE, milliseconds};

const SINGLES: usize = 10;
/// So many of the long queue are Ready when the measurement begins: more than Azure admits in the first 20 s.
const BEYOND_FIRST_WINDOW: usize = 100;
const SECOND: f64 = 1000.0;

/// How long the single bindings of other namespaces take, and their revocations, while one namespace has a long queue.
pub(crate) async fn beside(bench: &Bench<'_>) -> Result<Vec<Figure>> {
    let singles = (0..SINGLES).map(|i| (format!("bench-beside-{i}"), format!("single-{i}")));
    let singles: Vec<(String, String)> = singles.collect();
    for (namespace, _) in &singles {
        bench.world.cluster.namespace(namespace).await?;
    }
    let all = waiting(bench).await?;
    let queued = until("the roll-out to go on after its first window", DEADLINE, async || {
        let queued = waiting(bench).await?;
        Ok((queued + BEYOND_FIRST_WINDOW <= all).then_some(queued))
    })
    .await?;
    let mut times = Vec::new();
    for (namespace, name) in &singles {
        times.push(bench.time_to_ready(namespace, name).await?);
    }
    let mut sent = Vec::new();
    for (namespace, name) in &singles {
        sent.push(until_revoked(bench, namespace, name).await?);
    }
    let left = waiting(bench).await?;
    let slowest = |times: &[Duration]| milliseconds(times.iter().max().copied().unwrap_or_default());
    let (ready, revoked) = (slowest(&times), slowest(&sent));
    Ok(vec![
        Figure {
            what: "a single binding beside another namespace's queue, until it is Ready".to_owned(),
            measured: format!("{ready:.0} ms"),
            bar: Bar::at_most(ready, 2.0 * SECOND, "ms"),
            how: format!(
                "the slowest of {SINGLES}, each of a namespace of its own, one after the other, while another namespace had {queued} bindings that were not Ready (in the \
                 end {left}), after the first 20 s of its roll-out. Azure answers at once; its limits, which the operator keeps to, are the usual ones."
            ),
        },
        Figure {
            what: "a revocation beside it, until it is sent".to_owned(),
            measured: format!("{revoked:.0} ms"),
            bar: Bar::at_most(revoked, SECOND, "ms"),
            how: format!(
                "the slowest of {SINGLES}: from the deletion of the binding until Azure is asked to delete its federated credential."
            ),
        },
    ])
}

/// How many bindings are not Ready.
async fn waiting(bench: &Bench<'_>) -> Result<usize> {
    let all: kube::Api<WorkloadIdentityBinding> = kube::Api::all(bench.world.cluster.client.clone());
    let listed = all.list(&ListParams::default()).await.context("listing bindings")?;
    Ok(listed.iter().filter(|binding| !is_ready(binding)).count())
}

/// Deletes a binding; returns how long it took until Azure was asked to take its trust away.
async fn until_revoked(bench: &Bench<'_>, namespace: &str, name: &str) -> Result<Duration> {
    let deleted = SystemTime::now();
    bench
        .bindings(namespace)
        .delete(name, &DeleteParams::default())
        .await
        .context("deleting a binding")?;
    let about = format!("wib-{namespace}-{name}-");
    let sent = until("the deletion of a credential", DEADLINE, async || {
        let requests = bench.world.simulator.requests_about(&about).await?;
        Ok(requests
            .iter()
            .find(|request| request.method == "DELETE")
            .map(|request| request.at))
    })
    .await?;
    Ok(SystemTime::from(sent).duration_since(deleted).unwrap_or_default())
}
