//! `simulate`: plays plans that seeds draw, and tells which rule one breaks.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Parser, Subcommand};
use wio_simulation::campaign::{Tally, digest_elsewhere, judge_elsewhere, judge_here, numbers, plan_of, run};
use wio_simulation::{oracles, shrink, story};

// A quarter of a play went into the C library's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Plays drawn plans of actions and faults against the whole operator.
#[derive(Parser)]
struct Arguments {
    /// Plays this seed alone and tells its story.
    #[arg(long, env = "SEED")]
    seed: Option<u64>,
    /// The first seed.
    #[arg(long, env = "FIRST", default_value_t = 1)]
    first: u64,
    /// The most plans.
    #[arg(long, env = "PLANS", default_value_t = 10_000)]
    plans: u64,
    /// The most time, in seconds.
    #[arg(long, env = "SECONDS_AT_MOST", default_value_t = 60)]
    seconds: u64,
    /// How many plans are played at once.
    #[arg(long, env = "THREADS", default_value_t = 2)]
    threads: u64,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Prints the hashes of the histories of so many plans.
    Digests,
    /// Plays the plan of one seed in this process and prints what it came to, for the program itself.
    Play {
        /// The seed.
        seed: u64,
        /// Only these acts of it, by their numbers.
        #[arg(long, value_delimiter = ',')]
        acts: Option<Vec<usize>>,
        /// Tells its story.
        #[arg(long)]
        story: bool,
        /// Prints the hash of its history.
        #[arg(long)]
        digest: bool,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match &arguments.command {
        Some(Command::Play {
            seed,
            acts,
            story,
            digest,
        }) => play(*seed, acts.as_deref(), (*story, *digest)),
        Some(Command::Digests) => digests(arguments.first, arguments.plans),
        None => match arguments.seed {
            Some(seed) => tell(seed),
            None => campaign(&arguments),
        },
    }
}

/// Plays one plan here.
fn play(seed: u64, acts: Option<&[usize]>, (story, digest): (bool, bool)) -> ExitCode {
    let mut plan = plan_of(seed);
    if let Some(kept) = acts {
        plan.keep(kept);
    }
    let result = judge_here(&plan);
    match &result.history {
        Some(history) if story => println!("{}", story::tell(&plan, history)),
        Some(history) if digest => println!("{}", history.digest()),
        _ => print!("{}", result.lines()),
    }
    ExitCode::SUCCESS
}

fn digests(first: u64, plans: u64) -> ExitCode {
    for seed in first..first.saturating_add(plans) {
        match digest_elsewhere(seed) {
            Ok(digest) => println!("{seed} {digest}"),
            Err(error) => {
                eprintln!("{seed}: {error}");
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}

fn campaign(arguments: &Arguments) -> ExitCode {
    let begun = Instant::now();
    let tally = run(
        arguments.first,
        arguments.plans,
        Duration::from_secs(arguments.seconds),
        arguments.threads,
    );
    let tally = match tally {
        Ok(tally) => tally,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    report(&tally, begun.elapsed());
    match tally.failed.first() {
        Some((seed, _)) => tell(*seed),
        None => ExitCode::SUCCESS,
    }
}

fn report(tally: &Tally, elapsed: Duration) {
    println!(
        "{} plans in {:.1} s, {} of them broke something",
        tally.plans,
        elapsed.as_secs_f64(),
        tally.failed.len()
    );
    println!("\nwhat happened, and how often");
    for (kind, count) in &tally.fired {
        println!("{count:>9}  {kind}");
    }
    println!("\nwhat was judged, and how often");
    for (oracle, cases) in oracles::ALL.iter().zip(&tally.cases) {
        println!("{cases:>9}  rule {}: {}", oracle.rule, oracle.text);
    }
    for (seed, breaches) in tally.failed.iter().take(20) {
        for breach in breaches {
            println!("seed {seed}: rule {}: {}", breach.rule, breach.what);
        }
    }
}

/// Tells the story of a seed, and of the smallest plan that breaks the same.
fn tell(seed: u64) -> ExitCode {
    let result = judge_elsewhere(seed, None);
    let Some(breach) = result.breaches.first() else {
        story_of(seed, None);
        println!("nothing is broken");
        return ExitCode::SUCCESS;
    };
    println!(
        "seed {seed} breaks rule {}: {}\nmaking it smaller",
        breach.rule, breach.what
    );
    let smallest = shrink::shrink(seed, plan_of(seed).acts.len(), &breach.rule);
    story_of(seed, Some(&smallest));
    for breach in judge_elsewhere(seed, Some(&smallest)).breaches {
        println!("rule {}: {}", breach.rule, breach.what);
    }
    println!("to play it again: make simulate SEED={seed}");
    ExitCode::FAILURE
}

fn story_of(seed: u64, acts: Option<&[usize]>) {
    let Ok(program) = std::env::current_exe() else { return };
    let mut play = std::process::Command::new(program);
    play.args(["play", &seed.to_string(), "--story"]);
    if let Some(acts) = acts {
        play.args(["--acts", &numbers(acts)]);
    }
    if let Err(error) = play.status() {
        eprintln!("{error}");
    }
}
