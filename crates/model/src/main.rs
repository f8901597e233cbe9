//! `model`: explores the model, and shows that each rule that is broken on purpose is caught.

use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use wio_model::explore::{Explored, explore};
use wio_model::mutant::Mutant;
use wio_model::scenario::{ALL, FOR_MUTANTS, Scenario};

/// Explores what two operators can do with two bindings on one identity.
#[derive(Parser)]
struct Arguments {
    /// The most states that are visited in one scenario.
    #[arg(long, env = "STATES", default_value_t = 30_000_000)]
    states: usize,
    /// The most states that are visited in one scenario to catch a mutant.
    #[arg(long, env = "MUTANT_STATES", default_value_t = 9_000_000)]
    mutant_states: usize,
    /// How many threads.
    #[arg(long, env = "THREADS", default_value_t = 2)]
    threads: usize,
    /// Only this mutant, by a part of its name.
    #[arg(long, env = "MUTANT")]
    mutant: Option<String>,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<bool, String> {
    let begun = Instant::now();
    let mut sound = true;
    if arguments.mutant.is_none() {
        println!("{:<52} {:>10} {:>6} {:>5}", "scenario", "states", "steps", "s");
        for scenario in ALL {
            sound &= is_sound(&scenario, arguments)?;
        }
    }
    println!(
        "\n{:<62} {:<60} {:>9} {:>6}",
        "rule that is left out", "caught by", "states", "steps"
    );
    for mutant in Mutant::ALL {
        let chosen = arguments.mutant.as_ref();
        if chosen.is_none_or(|part| mutant.name().contains(part.as_str())) {
            sound &= is_caught(mutant, arguments)?;
        }
    }
    println!("\n{} s in all", begun.elapsed().as_secs());
    Ok(sound)
}

/// Explores a scenario, and tells the shortest way to a broken rule.
fn is_sound(scenario: &Scenario, arguments: &Arguments) -> Result<bool, String> {
    let begun = Instant::now();
    let found = explore(scenario.bounds, None, (arguments.states, arguments.threads))?;
    let Explored {
        states, steps, whole, ..
    } = found;
    let part = if whole { "" } else { "  (not all of them)" };
    let seconds = begun.elapsed().as_secs();
    println!("{:<52} {states:>10} {steps:>6} {seconds:>5}{part}", scenario.name);
    if let Some((rule, story)) = &found.broken {
        println!("broken: {rule}");
        for action in story {
            println!("  {action}");
        }
    }
    Ok(found.broken.is_none())
}

/// Explores one scenario after the other with a rule left out, until that is seen.
fn is_caught(mutant: Mutant, arguments: &Arguments) -> Result<bool, String> {
    let mut states = 0;
    for scenario in FOR_MUTANTS {
        let found = explore(
            scenario.bounds,
            Some(mutant),
            (arguments.mutant_states, arguments.threads),
        )?;
        states += found.states;
        if let Some((rule, story)) = found.broken {
            println!("{:<62} {rule:<60} {states:>9} {:>6}", mutant.name(), story.len());
            return Ok(true);
        }
    }
    println!("{:<62} {:<60} {states:>9}", mutant.name(), "NOT CAUGHT");
    Ok(false)
}
