//! Runs the tests against one set of real parts, which are gone afterwards whatever happened.

use std::panic::AssertUnwindSafe;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use futures::FutureExt;
use futures::future::BoxFuture;
use libtest_mimic::{Arguments, Failed, Trial};
use tokio::runtime::{Handle, Runtime};
use tokio::sync::{OnceCell, RwLock};
use wio_e2e::world::World;

/// No test takes longer, unless something hangs.
const DEADLINE: Duration = Duration::from_mins(5);

/// A test.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// Whether it does something to the parts that other tests would notice, such as restarting the API server.
    pub(crate) alone: bool,
    pub(crate) run: fn(Arc<World>) -> BoxFuture<'static, Result<()>>,
}

/// The named async functions as tests; after `alone:`, those that run while no other does.
macro_rules! cases {
    ($($test:ident),* $(,)? $(; alone: $($lonely:ident),* $(,)?)?) => {
        vec![
            $($crate::harness::Case { name: stringify!($test), alone: false, run: |world| Box::pin($test(world)) },)*
            $($($crate::harness::Case { name: stringify!($lonely), alone: true, run: |world| Box::pin($lonely(world)) },)*)?
        ]
    };
}
pub(crate) use cases;

/// What all tests share.
#[derive(Default)]
struct Shared {
    /// Started by the first test, so that listing tests starts nothing.
    world: OnceCell<Result<Arc<World>, String>>,
    /// Held for writing by a test that runs alone.
    turns: RwLock<()>,
    times: Mutex<Vec<(String, Duration)>>,
}

/// Runs the tests that the command line asks for.
pub(crate) fn run(modules: Vec<(&'static str, Vec<Case>)>) -> Result<ExitCode> {
    let runtime = Runtime::new()?;
    let shared = Arc::new(Shared::default());
    let cases = modules
        .into_iter()
        .flat_map(|(module, cases)| cases.into_iter().map(move |case| (module, case)));
    let trials = cases.map(|(module, case)| trial(format!("{module}::{}", case.name), case, &shared, runtime.handle()));
    let conclusion = libtest_mimic::run(&Arguments::from_args(), trials.collect());
    // Every test has ended, so this is the last that holds the parts.
    let shared = Arc::into_inner(shared).ok_or_else(|| anyhow!("a test is still running"))?;
    print_times(shared.times.into_inner().unwrap_or_else(PoisonError::into_inner));
    if let Some(Ok(world)) = shared.world.into_inner() {
        let world = Arc::into_inner(world).ok_or_else(|| anyhow!("a test still uses the parts"))?;
        if conclusion.has_failed() {
            eprintln!("\n{}", world.report());
        }
        runtime.block_on(world.stop())?;
    }
    Ok(conclusion.exit_code())
}

fn trial(name: String, case: Case, shared: &Arc<Shared>, runtime: &Handle) -> Trial {
    let (shared, runtime, title) = (Arc::clone(shared), runtime.clone(), name.clone());
    Trial::test(name, move || runtime.block_on(shared.attempt(title, case)))
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
        self.took(title, begin.elapsed());
        match ended {
            Err(_) => Err(format!("it did not end within {DEADLINE:?}").into()),
            Ok(Err(panic)) => std::panic::resume_unwind(panic),
            Ok(Ok(Err(error))) => Err(format!("{error:?}").into()),
            Ok(Ok(Ok(()))) => Ok(()),
        }
    }

    async fn world(&self) -> Result<Arc<World>, Failed> {
        let start = async || {
            let begin = Instant::now();
            let world = World::start()
                .await
                .map(Arc::new)
                .map_err(|error| format!("starting the parts: {error:?}"));
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
