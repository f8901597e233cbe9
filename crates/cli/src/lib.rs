//! `kubectl wib`, the plugin: every command is a function of a client and of a place to write to.

mod arguments;
mod azure;
mod bootstrap;
mod commands;
mod doctor;
mod ending;
mod explain;
mod importing;
mod manual;
mod output;
mod pages;
mod planning;
mod pods;
mod report;
mod session;
mod verify;

use std::io::Write;

pub use arguments::{Arguments, Command};
pub use ending::Ending;
pub use manual::{Page, pages};
pub use session::Session;

/// Carries a command out, against the cluster that the arguments choose where it needs one.
///
/// # Errors
/// Why it could not be carried out.
pub async fn run(arguments: Arguments, out: &mut impl Write) -> anyhow::Result<Ending> {
    if let Some(ending) = manual::answer(&arguments.command, out)? {
        return Ok(ending);
    }
    let connection = &arguments.connection;
    let session = Session::open(&connection.choice(), connection.namespace.as_deref()).await?;
    carry_out(&arguments.command, &session, out).await
}

/// Carries a command out in a session.
///
/// # Errors
/// Why it could not be carried out.
pub async fn carry_out(command: &Command, session: &Session, out: &mut impl Write) -> anyhow::Result<Ending> {
    match command {
        Command::Status(asked) => commands::status::run(asked, session, out).await,
        Command::Import(asked) => commands::import::run(asked, session, out).await,
        Command::Doctor(asked) => commands::doctor::run(asked, session, out).await,
        Command::Plan(asked) => commands::plan::run(asked, session, out).await,
        Command::Bootstrap(asked) => commands::bootstrap::run(asked, session, out).await,
        Command::Verify(asked) => commands::verify::run(asked, session, out).await,
        Command::Reconcile(asked) => commands::reconcile::run(asked, session, out).await,
        Command::Suspend(asked) => commands::suspend::suspend(asked, session, out).await,
        Command::Resume(asked) => commands::suspend::resume(asked, session, out).await,
        // What asks no cluster was answered before.
        Command::Explain(_) | Command::Completion { .. } | Command::Man { .. } => Ok(Ending::Well),
    }
}
