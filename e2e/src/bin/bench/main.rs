//! `make bench`: figures of the operator beside their bars, on a real API server and the simulated Azure.

mod asked;
mod beside;
mod figures;
mod large;
mod many;
mod measure;
mod peers;
mod pods;
mod process;
mod seed;
mod traces;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use jiff::Timestamp;
use kube::api::PostParams;
use serde_json::{Value, json};
use wio_azure_sim::{Limits, LoggedRequest, ResourceKind};
use wio_e2e::cluster::EXISTING;
use wio_e2e::operator::WORKLOADS;
use wio_e2e::paths::{built, repository};
use wio_e2e::progress::{Progress, Style};
use wio_e2e::wait::until;
use wio_e2e::world::World;

use crate::asked::{Calls, Mark, kind};
use crate::figures::{Bar, Figure, markdown, plain};
use crate::measure::{Bench, binding};
use crate::process::machine;

const PAGE: &str = "docs/bench/README.md";
const LARGE_PAGE: &str = "docs/bench/large.md";
const DEADLINE: Duration = Duration::from_mins(10);
/// As deployed: no look at Azure falls into a measurement unless it is wanted.
const AS_DEPLOYED: [(&str, &str); 7] = [
    ("WIO_DRIFT_INTERVAL", "30m"),
    ("WIO_SWEEP_INTERVAL", "24h"),
    ("WIO_TEST_PACE", "1"),
    (WORKLOADS, "false"),
    ("WIO_LOG", "info"),
    ("WIO_LOG_FORMAT", "json"),
    // Whatever the shell has: with it each header that an answer of Azure lacks costs the look for where that was found out.
    ("RUST_BACKTRACE", "0"),
];

const STARTS: usize = 5;
const SINGLE_BINDINGS: usize = 20;
const ACCOUNTS: usize = 2;
const LATENCY: Duration = Duration::from_millis(200);
const ROLLOUT: usize = 150;

/// Prints the figures of docs/bench beside their bars.
#[derive(Debug, Parser)]
#[command(name = "bench")]
struct Arguments {
    /// Write the page in docs/bench, too.
    #[arg(long)]
    write: bool,
    /// Measure a restart with so many Ready bindings instead (docs/bench/large.md); given again, then with so many.
    #[arg(long)]
    large: Vec<usize>,
    /// With `--large`: and so many service accounts that nobody binds.
    #[arg(long, default_value_t = 0)]
    strangers: usize,
    /// Measure what traces cost instead, and print the table of docs/traces.md: by a build of the operator without the feature, and one with it.
    #[arg(long, num_args = 2, value_names = ["WITHOUT", "WITH"])]
    traces: Vec<PathBuf>,
    /// Measure Azure Service Operator beside it instead, with so many new bindings (docs/bench/peers.md); given again, then with so many.
    #[arg(long, conflicts_with_all = ["large", "traces", "pods"])]
    peers: Vec<usize>,
    /// Measure what a look at so many pods of one service account costs instead (docs/bench/pods.md).
    #[arg(long, conflicts_with_all = ["write", "large"])]
    pods: Option<usize>,
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
    if !arguments.peers.is_empty() {
        return beside_peers(arguments, &progress, style).await;
    }
    let world = World::start(|part| progress.step(&format!("starting {part}"))).await?;
    if let Ok(builds) = <[PathBuf; 2]>::try_from(arguments.traces.clone()) {
        let table = traces::traces(&Bench::new(&world).await, &progress, builds).await;
        world.stop().await?;
        println!("\n{}\n\n{}", machine(), table?);
        return Ok(());
    }
    let figures = match all(&world, arguments, &progress).await {
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
        let (page, command) = if arguments.large.is_empty() {
            (PAGE, "make bench")
        } else {
            (LARGE_PAGE, "make bench-large")
        };
        written(page, &markdown(command, &figures, &machine()))?;
    }
    Ok(())
}

async fn beside_peers(arguments: &Arguments, progress: &Progress, style: Style) -> Result<()> {
    let sections = peers::peers(&arguments.peers, progress).await?;
    println!(
        "\n{}\n{}",
        style.heading(&format!("Beside Azure Service Operator ({})", machine())),
        peers::plain(&sections)
    );
    println!("{}\n{}", style.heading("How long each part took"), progress.times());
    if arguments.write {
        written(peers::PAGE, &peers::markdown(&sections, &machine()))?;
    }
    Ok(())
}

fn written(page: &str, text: &str) -> Result<()> {
    let path = repository().join(page);
    std::fs::create_dir_all(path.parent().unwrap_or(&path)).with_context(|| format!("making {}", path.display()))?;
    std::fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
    println!("{page} was written");
    Ok(())
}

async fn all(world: &World, arguments: &Arguments, progress: &Progress) -> Result<Vec<Figure>> {
    if arguments.large.is_empty() && arguments.pods.is_none() {
        return measured(world, progress).await;
    }
    let bench = Bench::new(world).await;
    bench.restart(&AS_DEPLOYED).await?;
    bench.azure(json!({ "limits": Value::Null })).await?;
    if let Some(count) = arguments.pods {
        return pods::many_pods(&bench, progress, count).await;
    }
    let seeder = seed::Seeder::new(&bench).await?;
    let mut figures = Vec::new();
    for (n, count) in arguments.large.iter().enumerate() {
        let strangers = if n == 0 { arguments.strangers } else { 0 };
        let more = large::large(&seeder, progress, (*count, strangers)).await?;
        print!("\n{}", plain(&more));
        figures.extend(more);
    }
    Ok(figures)
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
    progress.step(&format!("{} bindings, without limits", many::MANY));
    figures.extend(many::many(&bench, progress).await?);
    Ok(figures)
}

fn binary_size() -> Result<Figure> {
    let path = built("workload-identity-operator", "workload-identity-operator")?;
    let bytes = std::fs::metadata(&path)
        .with_context(|| format!("reading {}", path.display()))?
        .len();
    let megabytes = float(bytes) / 1e6;
    Ok(Figure {
        what: "size of the operator's binary".to_owned(),
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
        what: "start to watching".to_owned(),
        measured: format!("{median:.0} ms"),
        bar: Bar::at_most(median, 300.0, "ms"),
        how: format!(
            "from the start of the process until /readyz says that the issuer is known, the caches are filled and a token \
             for Azure was had; median of {STARTS} starts with no bindings."
        ),
    })
}

async fn new_binding(bench: &Bench<'_>) -> Result<[Figure; 4]> {
    bench.world.cluster.namespace("bench-calls").await?;
    // One before, so that the token for Azure and the first connections are there.
    bench.time_to_ready("bench-calls", "warm").await?;
    settled(bench, Mark::default()).await?;
    let single = calls_of_one(bench, "single", 1).await?;
    let calls = calls_of_one(bench, "orders", ACCOUNTS).await?;
    let how = format!(
        "one binding with a managed identity and {ACCOUNTS} service accounts that do not exist yet, from its creation until \
         nothing more is asked; the simulator's log. Limits as in Azure."
    );
    let writes = calls.azure_writes();
    Ok([
        Figure {
            what: "ARM writes for a new binding with 2 service accounts".to_owned(),
            measured: writes.to_string(),
            bar: Bar::exactly(writes, 1 + ACCOUNTS),
            how: format!("{how} The bar: one PUT for the identity, one for each service account."),
        },
        Figure {
            what: "ARM reads for it".to_owned(),
            measured: calls.azure_reads().to_string(),
            bar: Bar::exactly(calls.azure_reads(), 1),
            how: "the same binding. The bar: one look, so that nothing of others is erased.".to_owned(),
        },
        Figure {
            what: "Kubernetes calls for it".to_owned(),
            measured: calls.kubernetes.len().to_string(),
            bar: Bar::None,
            how: format!(
                "the same binding, by the API server's audit log: {}.",
                calls.kubernetes_by_kind()
            ),
        },
        Figure {
            what: "Kubernetes calls for one with 1 service account".to_owned(),
            measured: single.kubernetes.len().to_string(),
            bar: Bar::at_most(float(single.kubernetes.len()), 4.0, ""),
            how: format!("another one, in the same way: {}.", single.kubernetes_by_kind()),
        },
    ])
}

/// What a new binding costs, from its creation until nothing more is asked.
async fn calls_of_one(bench: &Bench<'_>, name: &str, accounts: usize) -> Result<Calls> {
    let mark = bench.mark().await?;
    bench
        .bindings("bench-calls")
        .create(&PostParams::default(), &binding(name, accounts)?)
        .await?;
    let waited = [
        "wait",
        &format!("wib/{name}"),
        "--for=condition=Ready",
        "--timeout=60s",
        "--namespace=bench-calls",
    ];
    bench.world.cluster.kubectl.run(&waited).await?;
    settled(bench, mark).await
}

async fn apply_to_ready(bench: &Bench<'_>) -> Result<Figure> {
    bench.world.cluster.namespace("bench-latency").await?;
    bench.azure(json!({ "latencyMs": LATENCY.as_millis() })).await?;
    let mark = bench.mark().await?;
    let mut times = Vec::new();
    for i in 0..SINGLE_BINDINGS {
        times.push(bench.time_to_ready("bench-latency", &format!("single-{i}")).await?);
    }
    bench.azure(json!({ "latencyMs": 0 })).await?;
    let calls = bench.since(mark).await?;
    let slowest = times.iter().max().copied().unwrap_or_default();
    let floor = milliseconds(LATENCY * 3);
    let (median, slowest) = (milliseconds(median(times)) - floor, milliseconds(slowest) - floor);
    Ok(Figure {
        what: "apply to Ready, less the simulated latency".to_owned(),
        measured: format!("{median:.1} ms (slowest {slowest:.0} ms)"),
        bar: Bar::at_most(median, 25.0, "ms"),
        how: format!(
            "from sending the binding until a watch shows Ready=True, less the three calls to Azure of {} ms each (look, identity, \
             one credential); median of {SINGLE_BINDINGS}, one after the other. Limits as in Azure. What the API server takes for each \
             call is in it (medians of its audit log): {}.",
            LATENCY.as_millis(),
            api_server_times(&calls)
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
            what: "ARM writes in no-op reconciles".to_owned(),
            measured: azure.to_string(),
            bar: Bar::exactly(azure, 0),
            how: format!("{how} Limits as in Azure."),
        },
        Figure {
            what: "Kubernetes writes in them".to_owned(),
            measured: kubernetes.to_string(),
            bar: Bar::exactly(kubernetes, 0),
            how: format!("the same; all that was asked of Kubernetes: {}.", or_nothing(&calls.kubernetes_by_kind())),
        },
        Figure {
            what: "ARM reads in each of them".to_owned(),
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
    let floor = floor(ROLLOUT, 2);
    // The floor is that of full budgets, and the window in which the bindings before this were created may still be open.
    tokio::time::sleep(limits.creations_in_subscription.window).await;
    let mark = bench.mark().await?;
    let took = bench.roll_out("bench-rollout", ROLLOUT, DEADLINE).await?.as_secs_f64();
    let calls = bench.since(mark).await?;
    bench.azure(json!({ "latencyMs": 0 })).await?;
    let (throttled, concurrent) = (calls.azure_answered(429), calls.azure_answered(409));
    Ok([
        Figure {
            what: "150 new bindings, beside the floor that Azure's budgets set".to_owned(),
            measured: format!("{took:.1} s = {:.2} × the floor", took / floor),
            bar: Bar::at_most(took / floor, 1.05, "×"),
            how: format!(
                "until all are Ready, begun with full budgets. Limits as in Azure (writes {} + {}/s, {} new identities in {} s), {} ms a call: floor \
                 {floor:.1} s. {}",
                limits.writes.capacity,
                limits.writes.per_second,
                limits.creations_in_subscription.count,
                limits.creations_in_subscription.window.as_secs(),
                LATENCY.as_millis(),
                where_it_went(&calls)
            ),
        },
        Figure {
            what: "429 and 409 answers among them".to_owned(),
            measured: format!("{throttled} and {concurrent}"),
            bar: Bar::exactly(throttled + concurrent, 0),
            how: "the same rollout.".to_owned(),
        },
    ])
}

/// When identities were asked for in a rollout, so that what it takes beside the floor can be told.
fn where_it_went(calls: &Calls) -> String {
    let at_once = Limits::default().creations_in_subscription.count as usize;
    let made = |it: &&LoggedRequest| it.method == "PUT" && it.kind == ResourceKind::Identity;
    let asked: Vec<Timestamp> = calls.azure.iter().filter(made).map(|request| request.at).collect();
    let looked = calls.azure.first().map(|request| request.at);
    let seconds = |from: Option<Timestamp>, to: Option<&Timestamp>| {
        let between = from.zip(to.copied()).map(|(from, to)| to.duration_since(from));
        between.unwrap_or_default().as_secs_f64()
    };
    let (first, last_at_once) = (
        asked.first().copied(),
        at_once.checked_sub(1).and_then(|last| asked.get(last)),
    );
    format!(
        "From the first look to the first identity {:.1} s, to the {at_once}th {:.1} s, to the one after it {:.1} s, to the last {:.1} s, and to the last call \
         {:.1} s.",
        seconds(looked, first.as_ref()),
        seconds(looked, last_at_once),
        seconds(looked, asked.get(at_once)),
        seconds(looked, asked.last()),
        seconds(looked, calls.azure.last().map(|request| &request.at)),
    )
}

/// The least time in seconds that Azure's budgets, when they are full, let so many new bindings take, with so many writes each.
fn floor(bindings: usize, writes: usize) -> f64 {
    let limits = Limits::default();
    let windows = bindings.div_ceil(limits.creations_in_subscription.count as usize);
    let by_writes = (float(bindings * writes) - f64::from(limits.writes.capacity)) / limits.writes.per_second;
    let by_creations = float(windows.saturating_sub(1)) * limits.creations_in_subscription.window.as_secs_f64();
    // Three calls follow each other at the least: a look, the identity, a credential.
    by_writes.max(by_creations).max(0.0) + 3.0 * LATENCY.as_secs_f64()
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

/// How long the API server takes for each kind of call, such as `8.1 ms patch serviceaccounts`.
fn api_server_times(calls: &Calls) -> String {
    let mut kinds: BTreeMap<String, Vec<Duration>> = BTreeMap::new();
    for event in &calls.kubernetes {
        kinds.entry(kind(event)).or_default().push(event.took);
    }
    let told = kinds
        .into_iter()
        .map(|(kind, times)| format!("{:.1} ms {kind}", milliseconds(median(times))));
    told.collect::<Vec<_>>().join(", ")
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
