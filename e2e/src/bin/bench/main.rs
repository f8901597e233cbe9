//! `make bench`: figures of the operator beside their bars, on a real API server and the simulated Azure.

mod figures;
mod measure;
mod process;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use kube::api::PostParams;
use serde_json::{Value, json};
use wio_azure_sim::Limits;
use wio_e2e::cluster::EXISTING;
use wio_e2e::paths::{built, repository};
use wio_e2e::progress::{Progress, Style};
use wio_e2e::wait::until;
use wio_e2e::world::World;

use crate::figures::{Bar, Figure, markdown, plain};
use crate::measure::{Bench, Calls, Mark, binding};
use crate::process::machine;

const PAGE: &str = "docs/bench/README.md";
const DEADLINE: Duration = Duration::from_mins(10);
/// As deployed: no look at Azure falls into a measurement unless it is wanted.
const AS_DEPLOYED: [(&str, &str); 5] = [
    ("WIO_DRIFT_INTERVAL", "30m"),
    ("WIO_SWEEP_INTERVAL", "24h"),
    ("WIO_TEST_PACE", "1"),
    ("WIO_LOG", "info"),
    ("WIO_LOG_FORMAT", "json"),
];

const STARTS: usize = 5;
const SINGLE_BINDINGS: usize = 20;
const ACCOUNTS: usize = 2;
const LATENCY: Duration = Duration::from_millis(200);
const ROLLOUT: usize = 150;
const MANY: usize = 1000;
const IDLE: Duration = Duration::from_secs(15);

/// Prints the figures of docs/bench beside their bars.
#[derive(Debug, Parser)]
#[command(name = "bench")]
struct Arguments {
    /// Write docs/bench/README.md, too.
    #[arg(long)]
    write: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(&Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nbench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &Arguments) -> Result<()> {
    ensure!(
        std::env::var_os(EXISTING).is_none(),
        "the bench starts a control plane of its own: unset {EXISTING}"
    );
    let (progress, style) = (Progress::new(Vec::new()), Style::of_stdout());
    let world = World::start(|part| progress.step(&format!("starting {part}"))).await?;
    let figures = match measured(&world, &progress).await {
        Ok(figures) => figures,
        Err(error) => {
            eprintln!("\n{}", world.report());
            return Err(error);
        }
    };
    progress.step("stopping everything");
    world.stop().await?;
    println!(
        "\n{}\n{}",
        style.heading(&format!("Figures ({})", machine())),
        plain(&figures)
    );
    println!("{}\n{}", style.heading("How long each part took"), progress.times());
    if arguments.write {
        let page = repository().join(PAGE);
        std::fs::create_dir_all(page.parent().unwrap_or(&page))
            .with_context(|| format!("making {}", page.display()))?;
        std::fs::write(&page, markdown(&figures, &machine())).with_context(|| format!("writing {}", page.display()))?;
        println!("{PAGE} was written");
    }
    Ok(())
}

async fn measured(world: &World, progress: &Progress) -> Result<Vec<Figure>> {
    let bench = Bench::new(world).await;
    let mut figures = vec![binary_size()?];
    progress.step("start to watching");
    figures.push(start(&bench).await?);
    progress.step("calls of one new binding");
    figures.extend(new_binding(&bench).await?);
    progress.step("from apply to Ready");
    figures.push(apply_to_ready(&bench).await?);
    progress.step("reconciles with nothing to do");
    figures.extend(nothing_to_do(&bench).await?);
    progress.step(&format!("{ROLLOUT} bindings within Azure's budgets"));
    figures.extend(within_budgets(&bench).await?);
    progress.step(&format!("{MANY} bindings, without limits"));
    figures.extend(many(&bench, progress).await?);
    Ok(figures)
}

fn binary_size() -> Result<Figure> {
    let path = built("workload-identity-operator", "workload-identity-operator")?;
    let bytes = std::fs::metadata(&path)
        .with_context(|| format!("reading {}", path.display()))?
        .len();
    let megabytes = float(bytes) / 1e6;
    Ok(Figure {
        what: "size of the operator's binary",
        measured: format!("{megabytes:.1} MB"),
        bar: Bar::at_most(megabytes, 15.0, "MB"),
        how: "the release build, stripped. The bar is the whole image's, which holds little else; `make image` tells its size."
            .to_owned(),
    })
}

async fn start(bench: &Bench<'_>) -> Result<Figure> {
    let mut times = Vec::new();
    for _ in 0..STARTS {
        times.push(bench.restart(&AS_DEPLOYED).await?);
    }
    let median = milliseconds(median(times));
    Ok(Figure {
        what: "start to watching",
        measured: format!("{median:.0} ms"),
        bar: Bar::at_most(median, 300.0, "ms"),
        how: format!(
            "from the start of the process until /readyz says that the issuer is known, the caches are filled and a token \
             for Azure was had; median of {STARTS} starts with no bindings."
        ),
    })
}

async fn new_binding(bench: &Bench<'_>) -> Result<[Figure; 3]> {
    bench.world.cluster.namespace("bench-calls").await?;
    // One before, so that the token for Azure and the first connections are there.
    bench.time_to_ready("bench-calls", "warm").await?;
    settled(bench, Mark::default()).await?;
    let mark = bench.mark().await?;
    bench
        .bindings("bench-calls")
        .create(&PostParams::default(), &binding("orders", ACCOUNTS)?)
        .await?;
    let waited = [
        "wait",
        "wib/orders",
        "--for=condition=Ready",
        "--timeout=60s",
        "--namespace=bench-calls",
    ];
    bench.world.cluster.kubectl.run(&waited).await?;
    let calls = settled(bench, mark).await?;
    let how = format!(
        "one binding with a managed identity and {ACCOUNTS} service accounts that do not exist yet, from its creation until \
         nothing more is asked; the simulator's log. Limits as in Azure."
    );
    let writes = calls.azure_writes();
    Ok([
        Figure {
            what: "ARM writes for a new binding with 2 service accounts",
            measured: writes.to_string(),
            bar: Bar::exactly(writes, 1 + ACCOUNTS),
            how: format!("{how} The bar: one PUT for the identity, one for each service account."),
        },
        Figure {
            what: "ARM reads for it",
            measured: calls.azure_reads().to_string(),
            bar: Bar::exactly(calls.azure_reads(), 1),
            how: "the same binding. The bar: one look, so that nothing of others is erased.".to_owned(),
        },
        Figure {
            what: "Kubernetes calls for it",
            measured: calls.kubernetes.len().to_string(),
            bar: Bar::None,
            how: format!(
                "the same binding, by the API server's audit log: {}.",
                calls.kubernetes_by_kind()
            ),
        },
    ])
}

async fn apply_to_ready(bench: &Bench<'_>) -> Result<Figure> {
    bench.world.cluster.namespace("bench-latency").await?;
    bench.azure(json!({ "latencyMs": LATENCY.as_millis() })).await?;
    let mut times = Vec::new();
    for i in 0..SINGLE_BINDINGS {
        times.push(bench.time_to_ready("bench-latency", &format!("single-{i}")).await?);
    }
    bench.azure(json!({ "latencyMs": 0 })).await?;
    let slowest = times.iter().max().copied().unwrap_or_default();
    let floor = milliseconds(LATENCY * 3);
    let (median, slowest) = (milliseconds(median(times)) - floor, milliseconds(slowest) - floor);
    Ok(Figure {
        what: "apply to Ready, less the simulated latency",
        measured: format!("{median:.0} ms (slowest {slowest:.0} ms)"),
        bar: Bar::at_most(median, floor * 0.1, "ms"),
        how: format!(
            "from sending the binding until a watch shows Ready=True, less the three calls to Azure of {} ms each (look, identity, \
             one credential); median of {SINGLE_BINDINGS}, one after the other. The bar: 1.10 × the floor. Limits as in Azure.",
            LATENCY.as_millis()
        ),
    })
}

async fn nothing_to_do(bench: &Bench<'_>) -> Result<[Figure; 3]> {
    let bindings = bench.count().await?;
    // Each look reads the identity and the list of its credentials.
    let looks = bindings * 2;
    bench
        .restart(&[("WIO_DRIFT_INTERVAL", "2s"), ("WIO_SWEEP_INTERVAL", "2s")])
        .await?;
    let mark = bench.mark().await?;
    let calls = until("every binding to be looked at twice", DEADLINE, async || {
        let calls = bench.since(mark).await?;
        Ok((calls.azure.len() >= looks * 2).then_some(calls))
    })
    .await?;
    bench.restart(&AS_DEPLOYED).await?;
    let (azure, kubernetes) = (calls.azure_writes(), calls.kubernetes_writes());
    let how = format!("{bindings} Ready bindings with --drift-interval 2s, until {looks} looks at Azure were made.");
    Ok([
        Figure {
            what: "ARM writes in no-op reconciles",
            measured: azure.to_string(),
            bar: Bar::exactly(azure, 0),
            how: format!("{how} Limits as in Azure."),
        },
        Figure {
            what: "Kubernetes writes in them",
            measured: kubernetes.to_string(),
            bar: Bar::exactly(kubernetes, 0),
            how: format!("the same; all that was asked of Kubernetes: {}.", or_nothing(&calls.kubernetes_by_kind())),
        },
        Figure {
            what: "ARM reads in each of them",
            measured: format!("{:.1}", float(calls.azure_reads()) / float(looks)),
            bar: Bar::None,
            how: "the same: the identity, and the list of its credentials. Between two looks (30 minutes, give or take a \
                  fifth) a reconcile asks nothing."
                .to_owned(),
        },
    ])
}

async fn within_budgets(bench: &Bench<'_>) -> Result<[Figure; 2]> {
    bench.azure(json!({ "latencyMs": LATENCY.as_millis() })).await?;
    let limits = Limits::default();
    // The floor is that of full budgets, and the window in which the bindings before this were created may still be open.
    tokio::time::sleep(limits.creations_in_subscription.window).await;
    let mark = bench.mark().await?;
    let took = bench.roll_out("bench-rollout", ROLLOUT, DEADLINE).await?.as_secs_f64();
    let calls = bench.since(mark).await?;
    bench.azure(json!({ "latencyMs": 0 })).await?;
    let (writes, windows) = (
        ROLLOUT * 2,
        ROLLOUT.div_ceil(limits.creations_in_subscription.count as usize),
    );
    let by_writes = (float(writes) - f64::from(limits.writes.capacity)) / limits.writes.per_second;
    let by_creations = float(windows - 1) * limits.creations_in_subscription.window.as_secs_f64();
    // A look, the identity, a credential.
    let floor = by_writes.max(by_creations) + 3.0 * LATENCY.as_secs_f64();
    let (throttled, concurrent) = (calls.azure_answered(429), calls.azure_answered(409));
    Ok([
        Figure {
            what: "150 new bindings, beside the floor that Azure's budgets set",
            measured: format!("{took:.1} s = {:.2} × the floor", took / floor),
            bar: Bar::at_most(took / floor, 1.05, "×"),
            how: format!(
                "until all are Ready, begun with full budgets. Limits as in Azure (writes {} + {}/s, {} new identities in {} s), {} ms a call: floor \
                 {floor:.1} s.",
                limits.writes.capacity,
                limits.writes.per_second,
                limits.creations_in_subscription.count,
                limits.creations_in_subscription.window.as_secs(),
                LATENCY.as_millis()
            ),
        },
        Figure {
            what: "429 and 409 answers among them",
            measured: format!("{throttled} and {concurrent}"),
            bar: Bar::exactly(throttled + concurrent, 0),
            how: "the same rollout.".to_owned(),
        },
    ])
}

async fn many(bench: &Bench<'_>, progress: &Progress) -> Result<Vec<Figure>> {
    bench.azure(json!({ "limits": Value::Null })).await?;
    let missing = MANY.saturating_sub(bench.count().await?);
    bench.roll_out("bench-many", missing, DEADLINE).await?;
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
    let mut figures = vec![
        Figure {
            what: "memory with 1,000 bindings",
            measured: format!("{:.1} MiB", mebibytes(resident)),
            bar: Bar::at_most(mebibytes(resident), 24.0, "MiB"),
            how: format!(
                "resident (VmRSS) after the last of {MANY} was Ready; at its highest (VmHWM) {:.1} MiB. {missing} of them were \
                 created at once, {unlimited}.",
                mebibytes(highest)
            ),
        },
        Figure {
            what: "memory after a restart with them",
            measured: format!("{:.1} MiB", mebibytes(after_restart)),
            bar: Bar::at_most(mebibytes(after_restart), 24.0, "MiB"),
            how: format!(
                "resident (VmRSS) {} s after the start; at its highest (VmHWM) {:.1} MiB.",
                IDLE.as_secs(),
                mebibytes(highest_after_restart)
            ),
        },
    ];
    figures.extend(of_a_restart(restarted, &restart));
    figures.push(Figure {
        what: "idle CPU with 1,000 bindings",
        measured: format!("{millicores:.1} millicores"),
        bar: Bar::at_most(millicores, 5.0, "millicores"),
        how: format!("user and system time over {} s.", IDLE.as_secs()),
    });
    Ok(figures)
}

/// How long it took to be ready again, and what was asked of Azure and Kubernetes.
fn of_a_restart(took: Duration, calls: &Calls) -> [Figure; 3] {
    let writes = calls.azure_writes() + calls.kubernetes_writes();
    [
        Figure {
            what: "restart with 1,000 Ready bindings",
            measured: format!("{:.2} s", took.as_secs_f64()),
            bar: Bar::at_most(took.as_secs_f64(), 5.0, "s"),
            how: "until /readyz answers 200.".to_owned(),
        },
        Figure {
            what: "writes after it, ARM and Kubernetes",
            measured: writes.to_string(),
            bar: Bar::exactly(writes, 0),
            how: format!(
                "the same; all that was asked of Kubernetes: {}.",
                or_nothing(&calls.kubernetes_by_kind())
            ),
        },
        Figure {
            what: "ARM reads after it",
            measured: calls.azure_reads().to_string(),
            bar: Bar::at_most(float(calls.azure_reads()), 25.0, ""),
            how: "the same, until nothing was asked for half a second.".to_owned(),
        },
    ]
}

/// What was asked since the mark, once nothing more is asked for half a second.
async fn settled(bench: &Bench<'_>, mark: Mark) -> Result<Calls> {
    let mut before = None;
    until("the operator to come to rest", DEADLINE, async || {
        let calls = bench.since(mark).await?;
        let asked = calls.azure.len() + calls.kubernetes.len();
        if before.replace(asked) == Some(asked) {
            return Ok(Some(calls));
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
        Ok(None)
    })
    .await
}

fn or_nothing(text: &str) -> &str {
    if text.is_empty() { "nothing" } else { text }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn mebibytes(bytes: u64) -> f64 {
    float(bytes) / f64::from(1 << 20)
}

#[expect(clippy::cast_precision_loss, reason = "figures for people, far below 2^52")]
fn float(number: impl TryInto<u64>) -> f64 {
    number.try_into().unwrap_or_default() as f64
}
