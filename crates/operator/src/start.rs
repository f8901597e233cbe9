//! What comes before there are logs, and their start.

use crate::arguments::Arguments;
use crate::logs;
use crate::traces::Traces;

/// Chooses the TLS provider, and starts logs and traces. Why it cannot be done is told here: nobody else can log it.
pub(crate) fn set_out(arguments: &Arguments) -> Option<Traces> {
    let traces = traces().inspect_err(|error| eprintln!("error: {error:#}")).ok()?;
    logs::start(arguments, &traces);
    Some(traces)
}

fn traces() -> anyhow::Result<Traces> {
    // kube, the Azure client and traces share one TLS provider, chosen here and not by whichever comes first.
    rustls::crypto::ring::default_provider()
        .install_default()
        .map_err(|_| anyhow::anyhow!("another TLS provider was installed before"))?;
    Traces::from_environment()
}
