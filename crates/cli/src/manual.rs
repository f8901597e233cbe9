//! What the plugin says without a cluster: help, manual pages, completion, explanations.

use std::io::Write;

use anyhow::Context;
use clap::CommandFactory;

use crate::arguments::{Arguments, Command};
use crate::commands::explain;
use crate::ending::Ending;

/// The width of help on a page.
const WIDTH: usize = 110;

/// The help of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The command, such as `status`; empty for the program itself.
    pub command: String,
    /// Its help.
    pub help: String,
}

/// The help of the program and of each command, in their order.
#[must_use]
pub fn pages() -> Vec<Page> {
    let mut program = Arguments::command().term_width(WIDTH);
    program.build();
    let own = Page {
        command: String::new(),
        help: program.render_long_help().to_string(),
    };
    let shown = program.get_subcommands().filter(|one| one.get_name() != "help");
    let commands = shown.map(|command| Page {
        command: command.get_name().to_owned(),
        help: command.clone().term_width(WIDTH).render_long_help().to_string(),
    });
    std::iter::once(own).chain(commands).collect()
}

/// Answers a command that asks no cluster; none when it asks one.
pub(crate) fn answer(command: &Command, out: &mut impl Write) -> anyhow::Result<Option<Ending>> {
    let mut program = Arguments::command();
    match command {
        Command::Completion { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut program, "kubectl-wib", &mut script);
            out.write_all(&script)?;
        }
        Command::Man { folder } => {
            clap_mangen::generate_to(program, folder).with_context(|| folder.display().to_string())?;
            writeln!(
                out,
                "manual pages are in {}; man -M takes the folder above one that is named man1",
                folder.display()
            )?;
        }
        Command::Explain(asked) => return explain::run(asked, out).map(Some),
        Command::Status(_)
        | Command::Import(_)
        | Command::Doctor(_)
        | Command::Plan(_)
        | Command::Bootstrap(_)
        | Command::Verify(_)
        | Command::Reconcile(_)
        | Command::Suspend(_)
        | Command::Resume(_) => return Ok(None),
    }
    Ok(Some(Ending::Well))
}
