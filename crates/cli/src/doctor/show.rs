//! What was found, for people: a tree for each scenario, or the commands alone.

use std::io::{self, Write};

use crate::output::tree::{Mark, Node};
use crate::output::{plain, shell};

use super::finding::{Examination, Finding, Level, Scenario};

/// A tree for each scenario, and a line that counts.
pub(crate) fn trees(found: &Examination) -> Vec<Node> {
    let mut trees: Vec<Node> = Scenario::ALL
        .iter()
        .map(|scenario| of_scenario(*scenario, found))
        .collect();
    let counts = format!(
        "{} red, {} yellow, {} green, {} unknown, {} not looked at",
        found.red, found.yellow, found.green, found.unknown, found.not_looked_at
    );
    let worst = match (found.red, found.yellow + found.unknown) {
        (0, 0) => Mark::Good,
        (0, _) => Mark::Waiting,
        _ => Mark::Bad,
    };
    trees.push(Node::new(worst, counts));
    trees
}

fn of_scenario(scenario: Scenario, found: &Examination) -> Node {
    let of_it = || found.checks.iter().filter(|one| one.scenario == scenario);
    let worst = of_it().map(|one| mark(one.level)).max().unwrap_or(Mark::None);
    Node::new(worst, scenario.title()).with(of_it().map(of_check))
}

fn of_check(found: &Finding) -> Node {
    let text = match found.level {
        Level::Unknown => format!("{}: unknown: {}", found.title, found.says),
        Level::NotLookedAt => format!("- {}: not looked at: {}", found.title, found.says),
        _ => format!("{}: {}", found.title, found.says),
    };
    let mut below: Vec<Node> = found.details.iter().map(Node::plain).collect();
    below.extend(found.fix.iter().map(|command| Node::plain(format!("mend: {command}"))));
    if matches!(found.level, Level::Yellow | Level::Red) {
        below.push(Node::plain(format!("why: {}", found.page)));
    }
    Node::new(mark(found.level), text).with(below)
}

const fn mark(level: Level) -> Mark {
    match level {
        Level::Green => Mark::Good,
        Level::Yellow | Level::Unknown => Mark::Waiting,
        Level::Red => Mark::Bad,
        Level::NotLookedAt => Mark::None,
    }
}

/// Writes the commands that mend what is red or yellow, each under what it is for, as a shell takes them. Nothing runs them.
pub(crate) fn commands(found: &Examination, out: &mut impl Write) -> io::Result<()> {
    let mut any = false;
    for one in found.checks.iter().filter(|one| !one.fix.is_empty()) {
        any = true;
        writeln!(
            out,
            "{}",
            shell::comment(&format!("{}: {} ({})", one.title, one.says, one.page))
        )?;
        for command in &one.fix {
            writeln!(out, "{}", plain(command))?;
        }
    }
    if !any {
        writeln!(out, "{}", shell::comment("there is nothing to mend"))?;
    }
    Ok(())
}
