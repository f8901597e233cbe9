//! `bench --pods`: what a look at thousands of pods costs, beside the same operator that does not look at pods.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures::{StreamExt, TryStreamExt, stream};
use wio_e2e::operator::WORKLOADS;
use wio_e2e::pods;
use wio_e2e::progress::Progress;
use wio_e2e::wait::until;

use crate::asked::{Mark, kind};
use crate::figures::{Bar, Figure};
use crate::large::at_rest;
use crate::measure::Bench;
use crate::{AS_DEPLOYED, DEADLINE, mebibytes};

const PLACE: (&str, &str) = ("bench-pods", "orders");
const CREATED_AT_ONCE: usize = 32;

/// What the operator took from its start until it was at rest.
struct Cost {
    highest: u64,
    resident: u64,
    cpu: Duration,
    lists: usize,
}

/// Creates so many pods of one service account, and measures a start with and without a look at them.
pub(crate) async fn many_pods(bench: &Bench<'_>, progress: &Progress, count: usize) -> Result<Vec<Figure>> {
    let (namespace, name) = PLACE;
    bench.world.cluster.namespace(namespace).await?;
    bench.time_to_ready(namespace, name).await?;
    progress.step(&format!("creating {count} pods, which the real webhook changes"));
    let client = &bench.world.cluster.client;
    let account = format!("{name}-0");
    stream::iter(0..count)
        .map(async |n| {
            pods::create(client, namespace, &format!("pod-{n}"), &account)
                .await
                .map(drop)
        })
        .buffer_unordered(CREATED_AT_ONCE)
        .try_collect::<()>()
        .await?;
    progress.step("a start that looks at no pods");
    let without = started(bench, "false").await?;
    progress.step(&format!("a start that looks at {count}"));
    let with = started(bench, "true").await?;
    let seen = seen(bench).await?;
    ensure!(seen == count, "the operator told of {seen} pods, and there are {count}");
    Ok(figures(count, &without, &with))
}

fn figures(count: usize, without: &Cost, with: &Cost) -> Vec<Figure> {
    let more = |with: u64, without: u64| format!("{:+.1} MiB", mebibytes(with) - mebibytes(without));
    let cpu = with.cpu.as_secs_f64() - without.cpu.as_secs_f64();
    let figure = |what: &str, measured: String, how: &str| Figure {
        what: format!("{what} for {count} pods of one service account"),
        measured,
        bar: Bar::None,
        how: how.to_owned(),
    };
    vec![
        figure(
            "lists",
            with.lists.to_string(),
            "pages of the API server's list of pods, by its audit log.",
        ),
        figure(
            "highest memory",
            more(with.highest, without.highest),
            "VmHWM of a start with --workloads until the operator was at rest, less that of one without it.",
        ),
        figure(
            "memory afterwards",
            more(with.resident, without.resident),
            "VmRSS of both when they were at rest.",
        ),
        figure(
            "CPU",
            format!("{cpu:+.2} s"),
            "user and system time of both until then.",
        ),
    ]
}

async fn started(bench: &Bench<'_>, workloads: &str) -> Result<Cost> {
    let mark = bench.mark().await?;
    // Looks are spread over a drift interval after a start.
    let settings = AS_DEPLOYED
        .into_iter()
        .chain([("WIO_DRIFT_INTERVAL", "10s"), (WORKLOADS, workloads)]);
    bench.restart(&settings.collect::<Vec<_>>()).await?;
    let running = bench.process().await?;
    if workloads == "true" {
        until("the operator to look at the pods", DEADLINE, async || {
            Ok((lists(bench, mark).await? > 0).then_some(()))
        })
        .await?;
    }
    at_rest(bench).await?;
    let (resident, highest) = running.memory()?;
    Ok(Cost {
        highest,
        resident,
        cpu: running.cpu()?,
        lists: lists(bench, mark).await?,
    })
}

/// How many pages of pods the operator asked for since the mark.
async fn lists(bench: &Bench<'_>, mark: Mark) -> Result<usize> {
    let calls = bench.since(mark).await?;
    Ok(calls
        .kubernetes
        .iter()
        .filter(|event| kind(event) == "list pods")
        .count())
}

/// How many pods the status of the binding tells of.
async fn seen(bench: &Bench<'_>) -> Result<usize> {
    let (namespace, name) = PLACE;
    let binding = bench
        .bindings(namespace)
        .get(name)
        .await
        .context("reading the binding")?;
    let workloads = binding.status.and_then(|status| status.workloads);
    Ok(workloads.map_or(0, |workloads| workloads.pods as usize))
}
