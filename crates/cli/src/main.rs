//! `kubectl wib`: asks what works, what does not, and why.

use std::process::ExitCode;

use wio_cli::{Arguments, Ending};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments = match Arguments::from_command_line() {
        Ok(arguments) => arguments,
        Err(told) => return told.into(),
    };
    // kube takes the TLS provider that is chosen here.
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        anstream::eprintln!("error: another TLS provider was installed before");
        return Ending::Failed.into();
    }
    match wio_cli::run(arguments, &mut anstream::stdout()).await {
        Ok(ending) => ending.into(),
        // Whoever reads no further, such as head, knows.
        Err(error) if reads_no_further(&error) => Ending::Failed.into(),
        Err(error) => {
            anstream::eprintln!("error: {}", told(&error));
            Ending::Failed.into()
        }
    }
}

/// Whether nobody reads what is written any more. A connection that breaks is told of with what it was for.
fn reads_no_further(error: &anyhow::Error) -> bool {
    let error = error.downcast_ref::<std::io::Error>();
    error.is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}

/// An error with its causes, without those that it tells itself.
fn told(error: &anyhow::Error) -> String {
    error
        .chain()
        .map(ToString::to_string)
        .fold(String::new(), |told, cause| {
            if told.is_empty() {
                cause
            } else if told.contains(&cause) {
                told
            } else {
                format!("{told}: {cause}")
            }
        })
}
