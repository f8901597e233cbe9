//! Runs the tests against one set of real parts, which are gone afterwards whatever happened.

use std::panic::AssertUnwindSafe;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use futures::FutureExt;
use futures::future::LocalBoxFuture;
use libtest_mimic::{Arguments, Failed, Trial};
use tokio::runtime::{Handle, Runtime};
use tokio::sync::{OnceCell, RwLock};
use wio_e2e::cluster::EXISTING;
use wio_e2e::world::World;

/// No test takes longer, unless something hangs.
const DEADLINE: Duration = Duration::from_mins(5);

/// Tests wait most of their time, so more of them run at once than there are cores.
const AT_ONCE: usize = 8;

/// A test.
pub(crate) struct Case {
    name: &'static str,
    alone: bool,
    on_own_cluster: bool,
    on_request: bool,
    run: fn(Arc<World>) -> LocalBoxFuture<'static, Result<()>>,
}

/// An async function as a test.
macro_rules! case {
    ($test:ident) => {
        $crate::harness::Case::new(stringify!($test), |world| Box::pin($test(world)))
    };
}
pub(crate) use case;

/// What all tests share.
#[derive(Default)]
struct Shared {
    /// Started by the first test, so that listing tests starts nothing.
    world: OnceCell<Result<Arc<World>, String>>,
    /// Held for writing by a test that runs alone.
    turns: RwLock<()>,
    times: Mutex<Vec<(String, Duration)>>,
    /// Which test failed, and why.
    failures: Mutex<Vec<(String, String)>>,
}

/// Runs the tests that the command line asks for.
pub(crate) fn run(modules: Vec<(&'static str, Vec<Case>)>) -> Result<ExitCode> {
    let runtime = Runtime::new()?;
    let shared = Arc::new(Shared::default());
    let mut cases: Vec<(String, Case)> = modules
        .into_iter()
        .flat_map(|(module, cases)| {
            cases
                .into_iter()
                .map(move |case| (format!("{module}::{}", case.name), case))
        })
        .collect();
    // One that runs alone makes the others wait, so those come last.
    cases.sort_by_key(|(_, case)| case.alone);
    let trials = cases
        .into_iter()
        .map(|(title, case)| trial(title, case, &shared, runtime.handle()));
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(AT_ONCE);
    let conclusion = libtest_mimic::run(&arguments, trials.collect());
    // Every test has ended, so this is the last that holds the parts.
    let shared = Arc::into_inner(shared).ok_or_else(|| anyhow!("a test is still running"))?;
    print_times(shared.times.into_inner().unwrap_or_else(PoisonError::into_inner));
    let failures = shared.failures.into_inner().unwrap_or_else(PoisonError::into_inner);
    if let Some(Ok(world)) = shared.world.into_inner() {
        let world = Arc::into_inner(world).ok_or_else(|| anyhow!("a test still uses the parts"))?;
        if conclusion.has_failed() {
            eprintln!("\n{}", world.report());
        }
        // Last, where whoever sees the end of a long output finds them.
        for (title, why) in failures {
            eprintln!("\n{title} failed: {why}");
        }
        runtime.block_on(world.stop())?;
    }
    Ok(conclusion.exit_code())
}

fn trial(title: String, case: Case, shared: &Arc<Shared>, runtime: &Handle) -> Trial {
    let left_out = case.on_request || (case.on_own_cluster && std::env::var_os(EXISTING).is_some());
    let (shared, runtime, name) = (Arc::clone(shared), runtime.clone(), title.clone());
    Trial::test(name, move || runtime.block_on(shared.attempt(title, case))).with_ignored_flag(left_out)
}

// === impl Case ===

impl Case {
    pub(crate) fn new(name: &'static str, run: fn(Arc<World>) -> LocalBoxFuture<'static, Result<()>>) -> Self {
        Self {
            name,
            alone: false,
            on_own_cluster: false,
            on_request: false,
            run,
        }
    }

    /// It does something to the parts that other tests would notice, such as restarting the API server.
    pub(crate) fn alone(self) -> Self {
        Self { alone: true, ..self }
    }

    /// It needs a control plane of our own: its audit log, or to restart it.
    pub(crate) fn on_own_cluster(self) -> Self {
        Self {
            on_own_cluster: true,
            ..self
        }
    }

    /// It needs parts that are made only when they are asked for by name, and runs with `--ignored`.
    pub(crate) fn on_request(self) -> Self {
        Self {
            on_request: true,
            ..self
        }
    }
}

// === impl Shared ===

impl Shared {
    async fn attempt(&self, title: String, case: Case) -> Result<(), Failed> {
        let world = self.world().await?;
        let _turn = if case.alone {
            (Some(self.turns.write().await), None)
        } else {
            (None, Some(self.turns.read().await))
        };
        let begin = Instant::now();
        let ended = tokio::time::timeout(DEADLINE, AssertUnwindSafe((case.run)(world)).catch_unwind()).await;
        self.took(title.clone(), begin.elapsed());
        let why = match ended {
            Err(_) => format!("it did not end within {DEADLINE:?}"),
            Ok(Err(panic)) => std::panic::resume_unwind(panic),
            Ok(Ok(Err(error))) => format!("{error:#}"),
            Ok(Ok(Ok(()))) => return Ok(()),
        };
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        failures.push((title, why.clone()));
        Err(why.into())
    }

    async fn world(&self) -> Result<Arc<World>, Failed> {
        let start = async || {
            let begin = Instant::now();
            let world = World::start(|_| ())
                .await
                .map(Arc::new)
                .map_err(|error| format!("starting the parts: {error:#}"));
            self.took("(starting the parts)".to_owned(), begin.elapsed());
            world
        };
        self.world.get_or_init(start).await.clone().map_err(Failed::from)
    }

    fn took(&self, title: String, time: Duration) {
        self.times
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push((title, time));
    }
}

fn print_times(mut times: Vec<(String, Duration)>) {
    times.sort_by_key(|(_, time)| std::cmp::Reverse(*time));
    println!("how long each test took");
    for (title, time) in times {
        println!("{:>8.1} s  {title}", time.as_secs_f64());
    }
}
