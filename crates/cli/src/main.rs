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
            anstream::eprintln!("error: {error:#}");
            Ending::Failed.into()
        }
    }
}
