//! A thousand bindings, created at once.

use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};
use wio_e2e::progress::Progress;

use crate::asked::Calls;
use crate::beside::beside;
use crate::figures::{Bar, Figure};
use crate::measure::Bench;
use crate::{DEADLINE, float, mebibytes, or_nothing, settled};

pub(crate) const MANY: usize = 1000;
const IDLE: Duration = Duration::from_secs(15);

/// How the operator fares with a thousand bindings: while they wait for Azure's budgets, when they are Ready, and after a restart.
pub(crate) async fn many(bench: &Bench<'_>, progress: &Progress) -> Result<Vec<Figure>> {
    bench.azure(json!({ "limits": Value::Null })).await?;
    let missing = MANY.saturating_sub(bench.count().await?);
    let places = bench.namespaces("bench-many", missing, missing).await?;
    bench.create(&places, missing, missing).await?;
    progress.step("another namespace's bindings beside them");
    let beside = beside(bench).await?;
    progress.step(&format!("until all {MANY} are Ready"));
    bench.until_ready(&places, DEADLINE).await?;
    let (resident, highest) = bench.process().await?.memory()?;
    progress.step(&format!(
        "a restart with {MANY} bindings, and {} s of quiet",
        IDLE.as_secs()
    ));
    let mark = bench.mark().await?;
    let restarted = bench.restart(&[]).await?;
    let restart = settled(bench, mark).await?;
    let running = bench.process().await?;
    let before = running.cpu()?;
    tokio::time::sleep(IDLE).await;
    let millicores = 1000.0 * running.cpu()?.saturating_sub(before).as_secs_f64() / IDLE.as_secs_f64();
    let (after_restart, highest_after_restart) = running.memory()?;
    let unlimited = "as fast as the operator lets itself: it keeps Azure's limits, whether Azure does or not";
    let mut figures = beside;
    figures.extend([
        Figure {
            what: "memory with 1,000 bindings".to_owned(),
            measured: format!("{:.1} MiB", mebibytes(resident)),
            bar: Bar::at_most(mebibytes(resident), 24.0, "MiB"),
            how: format!(
                "resident (VmRSS) after the last of {MANY} was Ready; at its highest (VmHWM) {:.1} MiB. {missing} of them were \
                 created at once, {unlimited}.",
                mebibytes(highest)
            ),
        },
        Figure {
            what: "memory after a restart with them".to_owned(),
            measured: format!("{:.1} MiB", mebibytes(after_restart)),
            bar: Bar::at_most(mebibytes(after_restart), 24.0, "MiB"),
            how: format!(
                "resident (VmRSS) {} s after the start; at its highest (VmHWM) {:.1} MiB.",
                IDLE.as_secs(),
                mebibytes(highest_after_restart)
            ),
        },
    ]);
    figures.extend(of_a_restart(restarted, &restart));
    figures.push(Figure {
        what: "idle CPU with 1,000 bindings".to_owned(),
        measured: format!("{millicores:.1} millicores"),
        bar: Bar::at_most(millicores, 5.0, "millicores"),
        how: format!(
            "user and system time over {} s, in which no binding looks in its turn: make bench-large measures those.",
            IDLE.as_secs()
        ),
    });
    Ok(figures)
}

/// How long it took to be ready again, and what was asked of Azure and Kubernetes.
fn of_a_restart(took: Duration, calls: &Calls) -> [Figure; 3] {
    let writes = calls.azure_writes() + calls.kubernetes_writes();
    [
        Figure {
            what: "restart with 1,000 Ready bindings".to_owned(),
            measured: format!("{:.2} s", took.as_secs_f64()),
            bar: Bar::at_most(took.as_secs_f64(), 5.0, "s"),
            how: "until /readyz answers 200.".to_owned(),
        },
        Figure {
            what: "writes after it, ARM and Kubernetes".to_owned(),
            measured: writes.to_string(),
            bar: Bar::exactly(writes, 0),
            how: format!(
                "the same; all that was asked of Kubernetes: {}.",
                or_nothing(&calls.kubernetes_by_kind())
            ),
        },
        Figure {
            what: "ARM reads after it".to_owned(),
            measured: calls.azure_reads().to_string(),
            bar: Bar::at_most(float(calls.azure_reads()), 25.0, ""),
            how: "the same, until nothing was asked for half a second.".to_owned(),
        },
    ]
}
