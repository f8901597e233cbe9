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
        Err(error) => {
            anstream::eprintln!("error: {}", told(&error));
            Ending::Failed.into()
        }
    }
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
