//! As many plans as there is time for.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Write};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::apart::{Apart, without_backtraces};
use crate::chance;
use crate::draw::draw;
use crate::history::History;
use crate::oracles;
use crate::plan::Plan;
use crate::play::play;
use crate::world;

/// How the line begins that ends what is told of a plan, before its seed.
const OVER: &str = "over\t";

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
    prepare();
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

/// What a play finds made, so that copies of this process need not make it again. None of it is chance's.
fn prepare() {
    without_backtraces();
    chance::prepare();
    world::make_beginning();
}

/// Plays so many acts of a seed's plan in a copy of this process, by their numbers, and judges them; none: all of them. This process must have
/// one thread.
#[must_use]
pub fn judge_elsewhere(seed: u64, acts: Option<&[usize]>) -> Result {
    prepare();
    let mut plan = plan_of(seed);
    if let Some(kept) = acts {
        plan.keep(kept);
    }
    let played = Apart::begin(|mut answer| answer.write_all(judge_here(&plan).lines().as_bytes()));
    match played.and_then(Apart::end) {
        Ok(lines) => Result::read(&lines),
        Err(error) => Result::failed(&error.to_string()),
    }
}

/// Plays a seed's plan in a copy of this process, which must have one thread, and gives the hash of its history.
///
/// # Errors
/// When it broke down.
pub fn digest_elsewhere(seed: u64) -> io::Result<String> {
    prepare();
    let digest = move || judge_here(&plan_of(seed)).history.map(|history| history.digest());
    Apart::begin(|mut answer| answer.write_all(digest().unwrap_or_default().as_bytes()))?.end()
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

/// Plays the plans of seeds from `first` on, so many at once, until there are so many or the time is over. This process must have one thread.
///
/// # Errors
/// When no copy of this process can be made.
pub fn run(first: u64, plans: u64, time: Duration, at_once: u64) -> io::Result<Tally> {
    prepare();
    let (begun, end) = (Instant::now(), first.saturating_add(plans));
    let step = usize::try_from(at_once.max(1)).unwrap_or(usize::MAX);
    let players = (first..end).take(step).map(|own| {
        Apart::begin(move |mut answer| {
            for seed in (own..end).step_by(step).take_while(|_| begun.elapsed() < time) {
                let lines = judge_elsewhere(seed, None).lines();
                answer.write_all(format!("{lines}{OVER}{seed}\n").as_bytes())?;
            }
            Ok(())
        })
    });
    let players = players.collect::<io::Result<Vec<Apart>>>()?;
    let tally = Mutex::new(Tally {
        cases: vec![0; oracles::ALL.len()],
        ..Tally::default()
    });
    std::thread::scope(|scope| {
        for player in &players {
            scope.spawn(|| hear(player, &tally));
        }
    });
    for player in players {
        player.end()?;
    }
    Ok(tally.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// Takes in what a player tells of each plan that it played.
fn hear(player: &Apart, tally: &Mutex<Tally>) {
    let mut told = String::new();
    for line in BufReader::new(player.answer()).lines().map_while(io::Result::ok) {
        if let Some(seed) = line.strip_prefix(OVER).and_then(|seed| seed.parse().ok()) {
            let result = Result::read(&std::mem::take(&mut told));
            tally.lock().unwrap_or_else(PoisonError::into_inner).add(seed, result);
        } else {
            told += &line;
            told.push('\n');
        }
    }
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
