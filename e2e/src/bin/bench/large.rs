//! `make bench-large`: a restart with thousands of bindings that are Ready. They are written as an operator leaves them, in Kubernetes and
//! in Azure, since Azure's budgets let ten thousand new identities take three quarters of an hour.

use std::time::Duration;

use anyhow::Result;
use tokio::time::{Instant, sleep, sleep_until};
use wio_e2e::progress::Progress;
use wio_e2e::wait::until;

use crate::asked::Calls;
use crate::figures::{Bar, Figure};
use crate::measure::Bench;
use crate::seed::{IN_A_NAMESPACE, Seeder};
use crate::{AS_DEPLOYED, DEADLINE, float, mebibytes};

/// The operator is at rest when it computed less than this in a second.
const REST: Duration = Duration::from_millis(30);
const IDLE: Duration = Duration::from_mins(1);
/// When bindings begin to look at Azure for themselves after a start: a tenth of the drift interval of 30 minutes, and a little more. All is listed
/// once by then.
const LOOKS_BEGIN: Duration = Duration::from_secs(190);
/// The bars of memory: so many MiB with so many bindings.
const MEMORY: [(usize, f64); 3] = [(1_000, 24.0), (10_000, 64.0), (50_000, 256.0)];

/// Writes so many Ready bindings, beside those that are there already; then measures a restart with them and a minute in which they look in their turn, and what so
/// many service accounts add that nobody binds.
pub(crate) async fn large(
    seeder: &Seeder<'_, '_>,
    progress: &Progress,
    (count, strangers): (usize, usize),
) -> Result<Vec<Figure>> {
    let bench = seeder.bench();
    let there = bench.count().await?;
    bench.stop().await?;
    progress.step(&format!("writing {} Ready bindings", count.saturating_sub(there)));
    seeder.bindings(there..count).await?;
    progress.step(&format!(
        "a restart with {count} bindings, and a minute from {} s on, when they look in their turn",
        LOOKS_BEGIN.as_secs()
    ));
    let mut figures = restarted(bench, count).await?;
    if strangers > 0 {
        progress.step(&format!("the same with {strangers} service accounts that nobody binds"));
        figures.push(beside_strangers(seeder, strangers).await?);
    }
    Ok(figures)
}

async fn beside_strangers(seeder: &Seeder<'_, '_>, strangers: usize) -> Result<Figure> {
    let bench = seeder.bench();
    let before = bench.process().await?.memory()?.0;
    seeder.strangers(strangers).await?;
    let start = Instant::now();
    bench.restart(&AS_DEPLOYED).await?;
    // As long after the start as without them.
    sleep_until(start + LOOKS_BEGIN + IDLE).await;
    let after = bench.process().await?.memory()?.0;
    let more = mebibytes(after) - mebibytes(before);
    Ok(Figure {
        what: format!("memory for {strangers} service accounts that nobody binds"),
        measured: format!("{more:.1} MiB"),
        bar: Bar::at_most(more, 1.0, "MiB"),
        how: format!(
            "resident (VmRSS) {} s after the start, less that before they were there.",
            (LOOKS_BEGIN + IDLE).as_secs()
        ),
    })
}

fn memory_bar(count: usize, mebibytes: f64) -> Bar {
    let bar = MEMORY.iter().find(|(bindings, _)| count <= *bindings);
    bar.map_or(Bar::None, |(_, bar)| Bar::at_most(mebibytes, *bar, "MiB"))
}

async fn restarted(bench: &Bench<'_>, count: usize) -> Result<Vec<Figure>> {
    let mark = bench.mark().await?;
    let start = Instant::now();
    let ready = bench.restart(&AS_DEPLOYED).await?;
    let running = bench.process().await?;
    at_rest(bench).await?;
    let restart = running.cpu()?;
    sleep_until(start + LOOKS_BEGIN).await;
    let calls = bench.since(mark).await?;
    let (mark, before) = (bench.mark().await?, running.cpu()?);
    sleep(IDLE).await;
    let asked_at_rest = bench.since(mark).await?.azure_reads();
    let idle = running.cpu()?.saturating_sub(before).as_secs_f64();
    let millicores = 1000.0 * idle / IDLE.as_secs_f64();
    let (resident, highest) = running.memory()?;
    let mut figures = vec![
        Figure {
            what: format!("memory after a restart with {count} bindings"),
            measured: format!("{:.1} MiB", mebibytes(resident)),
            bar: memory_bar(count, mebibytes(resident)),
            how: format!(
                "resident (VmRSS) {} s after the start; at its highest (VmHWM) {:.1} MiB. Each has a managed identity and a service \
                 account; {IN_A_NAMESPACE} are in a namespace.",
                (LOOKS_BEGIN + IDLE).as_secs(),
                mebibytes(highest)
            ),
        },
        idle_figure(count, millicores, asked_at_rest),
    ];
    figures.extend(of_a_restart(count, (ready, restart), &calls));
    Ok(figures)
}

fn idle_figure(count: usize, millicores: f64, reads: usize) -> Figure {
    Figure {
        what: format!("CPU at rest with {count} bindings"),
        measured: format!("{millicores:.1} millicores"),
        bar: Bar::at_most(millicores, 5.0, "millicores"),
        how: format!(
            "user and system time over {} s from {} s after the start on, in which bindings look in their turn, and {reads} ARM reads were sent.",
            IDLE.as_secs(),
            LOOKS_BEGIN.as_secs()
        ),
    }
}

/// What a restart cost, until the operator was at rest.
fn of_a_restart(count: usize, (ready, cpu): (Duration, Duration), calls: &Calls) -> Vec<Figure> {
    let writes = calls.azure_writes() + calls.kubernetes_writes();
    vec![
        Figure {
            what: format!("restart with {count} bindings"),
            measured: format!("{:.2} s", ready.as_secs_f64()),
            bar: Bar::at_most(ready.as_secs_f64(), 5.0, "s"),
            how: "until /readyz answers 200.".to_owned(),
        },
        Figure {
            what: format!("CPU of a restart with {count} bindings"),
            measured: format!("{:.2} s", cpu.as_secs_f64()),
            bar: Bar::at_most(cpu.as_secs_f64(), 5.0, "s"),
            how: "user and system time until every binding was reconciled and the operator was at rest.".to_owned(),
        },
        Figure {
            what: format!("writes after a restart with {count} bindings, ARM and Kubernetes"),
            measured: writes.to_string(),
            bar: Bar::exactly(writes, 0),
            how: format!(
                "in the {} s after the start, before bindings look in their turn; all that was asked of Kubernetes: {}.",
                LOOKS_BEGIN.as_secs(),
                calls.kubernetes_by_kind()
            ),
        },
        Figure {
            what: format!("ARM reads after a restart with {count} bindings"),
            measured: calls.azure_reads().to_string(),
            bar: Bar::at_most(float(calls.azure_reads()), 25.0, ""),
            how: "in the same time: the pages of the first lists.".to_owned(),
        },
    ]
}

/// Waits until the operator computes next to nothing.
pub(crate) async fn at_rest(bench: &Bench<'_>) -> Result<()> {
    let running = bench.process().await?;
    until("the operator to come to rest", DEADLINE, async || {
        let before = running.cpu()?;
        sleep(Duration::from_secs(1)).await;
        Ok((running.cpu()?.saturating_sub(before) < REST).then_some(()))
    })
    .await
}
