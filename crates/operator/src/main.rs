//! The Workload Identity Operator: arguments and wiring.

mod arguments;
mod ask;
mod durations;
mod listener;
mod logs;
mod signals;
mod start;
#[cfg_attr(not(feature = "otlp"), path = "untraced.rs")]
mod traces;

use std::process::ExitCode;

use clap::Parser;

use crate::arguments::Arguments;

// It waits for answers and computes little: one thread is enough, and threads of their own would each keep memory.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    if let Some(url) = ask::asked(std::env::args().skip(1)) {
        return ask::answered(&url).await;
    }
    let arguments = Arguments::parse();
    let Some(traces) = start::set_out(&arguments) else {
        return ExitCode::FAILURE;
    };
    let ended = run(arguments).await;
    traces.flush().await;
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let azure = arguments.azure()?;
    let client =
        kube::Client::try_from(wio_kubeconfig::config_or_in_cluster(&wio_kubeconfig::Choice::default()).await?)?;
    let listener = arguments.listener().await?;
    let (shutdown, second) = signals::listen()?;
    tokio::select! {
        ended = wio_controller::run(client, azure, arguments.settings(), listener, shutdown) => Ok(ended?),
        () = second => anyhow::bail!("a second signal came: reconciles under way are left"),
    }
}
