//! What traces by OTLP cost: the same work by builds without and with them, for docs/traces.md.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use axum::Router;
use axum::body::Bytes;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use wio_azure_sim::ResourceKind;
use wio_e2e::ports::free_port;
use wio_e2e::progress::Progress;

use crate::measure::Bench;
use crate::{AS_DEPLOYED, DEADLINE, float, mebibytes, milliseconds};

/// So many, looked at so often, stay within Azure's budget of reads.
const BINDINGS: usize = 20;
const LOOKING: [(&str, &str); 2] = [("WIO_DRIFT_INTERVAL", "2s"), ("WIO_SWEEP_INTERVAL", "2s")];
/// Until what a start costs is over.
const SETTLED: Duration = Duration::from_secs(5);
const WINDOW: Duration = Duration::from_secs(30);
const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";

/// What OpenTelemetry's collector is to the operator: it takes all that comes, and counts it.
struct Collector {
    address: String,
    requests: Arc<AtomicU64>,
    bytes: Arc<AtomicU64>,
    server: JoinHandle<()>,
}

/// One way to run the operator.
struct Way<'p> {
    name: &'static str,
    program: &'p Path,
    settings: Vec<(&'static str, String)>,
}

// === impl Collector ===

impl Collector {
    async fn serve() -> Result<Self> {
        let (requests, bytes) = (Arc::<AtomicU64>::default(), Arc::<AtomicU64>::default());
        let counted = (Arc::clone(&requests), Arc::clone(&bytes));
        let take = async move |body: Bytes| {
            counted.0.fetch_add(1, Ordering::Relaxed);
            counted
                .1
                .fetch_add(body.len().try_into().unwrap_or_default(), Ordering::Relaxed);
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.context("listening for traces")?;
        let address = format!("http://{}", listener.local_addr().context("listening for traces")?);
        let router = Router::new().fallback(take);
        let server = tokio::spawn(async move {
            // It ends with its owner.
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self {
            address,
            requests,
            bytes,
            server,
        })
    }

    fn counted(&self) -> (u64, u64) {
        (
            self.requests.load(Ordering::Relaxed),
            self.bytes.load(Ordering::Relaxed),
        )
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// A table for docs/traces.md: builds without the feature and with it, and what each way costs.
pub(crate) async fn traces(bench: &Bench<'_>, progress: &Progress, builds: [PathBuf; 2]) -> Result<String> {
    let found = |path: PathBuf| {
        path.canonicalize()
            .with_context(|| format!("looking for {}", path.display()))
    };
    let [without, with] = builds.map(found);
    let (without, with) = (without?, with?);
    bench.restart(&AS_DEPLOYED).await?;
    bench.roll_out("bench-traces", BINDINGS, DEADLINE).await?;
    let collector = Collector::serve().await?;
    let nobody = format!("http://127.0.0.1:{}", free_port()?);
    let sampled = [
        ("OTEL_TRACES_SAMPLER", "parentbased_traceidratio".to_owned()),
        ("OTEL_TRACES_SAMPLER_ARG", "0.1".to_owned()),
    ];
    let way = |name, program, settings: &[(&'static str, String)]| Way {
        name,
        program,
        settings: settings.to_vec(),
    };
    let heard = (ENDPOINT, collector.address.clone());
    // What is set stays set.
    let ways = [
        way("without the feature", &*without, &[]),
        way("with it, no endpoint named", &*with, &[]),
        way("an endpoint where nobody listens", &*with, &[(ENDPOINT, nobody)]),
        way("a collector takes all traces", &*with, &[heard]),
        way("and one trace in ten", &*with, &sampled),
    ];
    let mut table = "| | binary | memory after the start | half a minute later | CPU a reconcile | sent a reconcile | requests in it |\n|---|---|---|---|---|---|---|\n".to_owned();
    for way in ways {
        progress.step(way.name);
        let row = measured(bench, &way, &collector).await?;
        // Writing to a string cannot fail.
        let _ = writeln!(table, "{row}");
    }
    Ok(table)
}

async fn measured(bench: &Bench<'_>, way: &Way<'_>, collector: &Collector) -> Result<String> {
    bench.world.operator.lock().await.replace(way.program);
    let own = way.settings.iter().map(|(name, value)| (*name, value.as_str()));
    let settings: Vec<(&str, &str)> = LOOKING.into_iter().chain(own).collect();
    bench.restart(&settings).await?;
    tokio::time::sleep(SETTLED).await;
    let process = bench.process().await?;
    let ((before, _), begun, sent) = (process.memory()?, process.cpu()?, collector.counted());
    let mark = bench.mark().await?;
    tokio::time::sleep(WINDOW).await;
    let ((after, _), ended, all) = (process.memory()?, process.cpu()?, collector.counted());
    let asked = bench.since(mark).await?.azure;
    // Each reads its identity once, and then the credentials of it.
    let looks = asked
        .iter()
        .filter(|it| it.kind == ResourceKind::Identity && it.method == "GET");
    let looks = float(looks.count()).max(1.0);
    let binary = std::fs::metadata(way.program).context("reading the binary")?.len();
    Ok(format!(
        "| {} | {:.2} MB | {:.1} MiB | {:.1} MiB | {:.2} ms | {:.0} bytes | {} |",
        way.name,
        float(binary) / 1e6,
        mebibytes(before),
        mebibytes(after),
        milliseconds(ended.saturating_sub(begun)) / looks,
        float(all.1 - sent.1) / looks,
        all.0 - sent.0,
    ))
}
