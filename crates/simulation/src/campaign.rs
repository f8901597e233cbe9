//! As many plans as there is time for.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use crate::chance;
use crate::draw::draw;
use crate::history::History;
use crate::oracles;
use crate::plan::Plan;
use crate::play::play;

/// What a play came to.
#[derive(Debug, Default)]
pub struct Result {
    /// What happened; none when the play itself broke down, or was in another process.
    pub history: Option<History>,
    /// Which faults fired, by their kinds.
    pub fired: BTreeMap<String, usize>,
    /// The rules that were broken.
    pub breaches: Vec<Breach>,
    /// How many times each oracle had something to judge, in the order of [`oracles::ALL`].
    pub cases: Vec<usize>,
}

/// A broken rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Breach {
    /// The rule's number, or what else went wrong.
    pub rule: String,
    /// What happened.
    pub what: String,
}

/// What many plays came to.
#[derive(Debug, Default)]
pub struct Tally {
    /// How many plans were played.
    pub plans: u64,
    /// How many times each kind of act or fault happened.
    pub fired: BTreeMap<String, usize>,
    /// How many times each oracle had something to judge.
    pub cases: Vec<usize>,
    /// The seeds whose plans broke something.
    pub failed: Vec<(u64, Vec<Breach>)>,
}

/// The plan of a seed.
#[must_use]
pub fn plan_of(seed: u64) -> Plan {
    draw(seed)
}

/// Plays a plan in a thread of its own, which has drawn nothing yet, and judges it. Only the first play of a process follows from its seed
/// alone: libraries count what was made before.
#[must_use]
pub fn judge_here(plan: &Plan) -> Result {
    chance::prepare();
    wio_testkit::make_definitions();
    std::thread::scope(|scope| {
        let builder = std::thread::Builder::new().stack_size(8 << 20);
        let played = builder.spawn_scoped(scope, || judge(plan));
        let played = played.map(std::thread::ScopedJoinHandle::join);
        match played {
            Ok(Ok(result)) => result,
            _ => Result::failed("it panicked"),
        }
    })
}

/// Plays so many acts of a seed's plan in a process of its own, by their numbers, and judges them; none: all of them.
#[must_use]
pub fn judge_elsewhere(seed: u64, acts: Option<&[usize]>) -> Result {
    let mut command = match std::env::current_exe() {
        Ok(program) => Command::new(program),
        Err(error) => return Result::failed(&error.to_string()),
    };
    command.args(["play", &seed.to_string(), "--given"]);
    if let Some(acts) = acts {
        command.args(["--acts", &numbers(acts)]);
    }
    // Nobody reads where an error came from, and looking that up is a tenth of a play.
    command.env("RUST_BACKTRACE", "0");
    match answer_of(command) {
        Ok(output) if output.status.success() => Result::read(&String::from_utf8_lossy(&output.stdout)),
        Ok(output) => Result::failed(&String::from_utf8_lossy(&output.stderr)),
        Err(error) => Result::failed(&error.to_string()),
    }
}

/// What a process answers that is given the definitions of our resources: making them takes longer than reading them.
fn answer_of(mut command: Command) -> std::io::Result<Output> {
    static DEFINITIONS: OnceLock<String> = OnceLock::new();
    let definitions = DEFINITIONS.get_or_init(wio_testkit::definitions);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn()?;
    if let Some(mut given) = child.stdin.take() {
        given.write_all(definitions.as_bytes())?;
    }
    child.wait_with_output()
}

/// Numbers as an argument.
#[must_use]
pub fn numbers(acts: &[usize]) -> String {
    let acts: Vec<String> = acts.iter().map(ToString::to_string).collect();
    acts.join(",")
}

fn judge(plan: &Plan) -> Result {
    let history = match play(plan) {
        Ok(history) => history,
        Err(what) => return Result::failed(&what),
    };
    let mut breaches = Vec::new();
    let mut cases = Vec::new();
    for oracle in oracles::ALL {
        let judged = (oracle.judge)(&history);
        cases.push(judged.cases);
        breaches.extend(judged.broken.map(|what| Breach {
            rule: oracle.rule.to_owned(),
            what,
        }));
    }
    if let Some(what) = &history.end {
        let rule = if what.starts_with("rule 7") { "7" } else { "end" };
        breaches.push(Breach {
            rule: rule.to_owned(),
            what: what.clone(),
        });
    }
    Result {
        fired: history.fired.clone(),
        history: Some(history),
        breaches,
        cases,
    }
}

/// Plays the plans of seeds from `first` on, on so many threads, until there are so many or the time is over.
#[must_use]
pub fn run(first: u64, plans: u64, time: Duration, threads: usize) -> Tally {
    let (next, begun) = (AtomicU64::new(first), Instant::now());
    let tally = Mutex::new(Tally {
        cases: vec![0; oracles::ALL.len()],
        ..Tally::default()
    });
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while begun.elapsed() < time {
                    let seed = next.fetch_add(1, Ordering::SeqCst);
                    if seed >= first.saturating_add(plans) {
                        return;
                    }
                    let result = judge_elsewhere(seed, None);
                    tally.lock().unwrap_or_else(PoisonError::into_inner).add(seed, result);
                }
            });
        }
    });
    tally.into_inner().unwrap_or_else(PoisonError::into_inner)
}

// === impl Result ===

impl Result {
    fn failed(what: &str) -> Self {
        let breach = Breach {
            rule: "play".to_owned(),
            what: what.trim().to_owned(),
        };
        Self {
            breaches: vec![breach],
            ..Self::default()
        }
    }

    /// As lines that [`Result::read`] reads.
    #[must_use]
    pub fn lines(&self) -> String {
        let cases = self.cases.iter().map(|cases| format!("cases\t{cases}\t\n"));
        let fired = self
            .fired
            .iter()
            .map(|(kind, count)| format!("fired\t{count}\t{kind}\n"));
        let breaches = self.breaches.iter();
        let breaches = breaches.map(|breach| format!("broke\t{}\t{}\n", breach.rule, breach.what.replace('\n', " ")));
        cases.chain(fired).chain(breaches).collect()
    }

    fn read(lines: &str) -> Self {
        let mut result = Self::default();
        for line in lines.lines() {
            let mut parts = line.splitn(3, '\t');
            match (parts.next(), parts.next(), parts.next()) {
                (Some("cases"), Some(cases), _) => result.cases.push(cases.parse().unwrap_or_default()),
                (Some("fired"), Some(count), Some(kind)) => {
                    result.fired.insert(kind.to_owned(), count.parse().unwrap_or_default());
                }
                (Some("broke"), Some(rule), Some(what)) => result.breaches.push(Breach {
                    rule: rule.to_owned(),
                    what: what.to_owned(),
                }),
                _ => {}
            }
        }
        result
    }
}

// === impl Tally ===

impl Tally {
    fn add(&mut self, seed: u64, result: Result) {
        self.plans += 1;
        for (kind, count) in result.fired {
            *self.fired.entry(kind).or_default() += count;
        }
        for (sum, cases) in self.cases.iter_mut().zip(result.cases) {
            *sum += cases;
        }
        if !result.breaches.is_empty() {
            self.failed.push((seed, result.breaches));
            self.failed.sort_by_key(|(seed, _)| *seed);
        }
    }
}
