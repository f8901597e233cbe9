//! Logs, as JSON for machines or as text for people.

use tracing_subscriber::EnvFilter;

use crate::arguments::{Arguments, LogFormat};

/// The Azure SDK logs every request that fails at info, which the operator says itself, with what it means.
const QUIET: &str = "typespec_client_core=warn";

/// Starts logging to standard error.
pub(crate) fn start(arguments: &Arguments) {
    let filter = EnvFilter::builder().parse_lossy(format!("{QUIET},{}", arguments.log));
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    match arguments.log_format {
        LogFormat::Json => subscriber
            .json()
            .flatten_event(true)
            .with_current_span(true)
            .with_span_list(false)
            .init(),
        LogFormat::Text => subscriber.with_target(false).init(),
    }
}
