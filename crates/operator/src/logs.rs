//! Logs, as JSON for machines or as text for people.

use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt, registry};

use crate::arguments::{Arguments, LogFormat};
use crate::traces::Traces;

/// The Azure SDK logs every request that fails at info, which the operator says itself, with what it means. A span that is for traces alone
/// would stand in the place of the one that names the binding.
const QUIET: &str = "typespec_client_core=warn,wio_traces=off";

/// Starts logging to standard error, and sending traces.
pub(crate) fn start(arguments: &Arguments, traces: &Traces) {
    let filter = EnvFilter::builder().parse_lossy(format!("{QUIET},{}", arguments.log));
    let logs = fmt::layer().with_writer(std::io::stderr);
    let logs: Box<dyn Layer<Registry> + Send + Sync> = match arguments.log_format {
        LogFormat::Json => logs
            .json()
            .flatten_event(true)
            .with_current_span(true)
            .with_span_list(false)
            .boxed(),
        LogFormat::Text => logs.with_target(false).boxed(),
    };
    registry().with(logs.with_filter(filter)).with(traces.layer()).init();
}
