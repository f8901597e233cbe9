//! In the place of traces in an operator that was built without them (docs/traces.md).

use tracing_subscriber::layer::Identity;

/// The traces that are sent: none.
pub(crate) struct Traces;

// === impl Traces ===

impl Traces {
    /// None, whatever the environment asks for.
    #[allow(clippy::unnecessary_wraps, reason = "with traces it can fail")]
    pub(crate) fn from_environment() -> anyhow::Result<Self> {
        Ok(Self)
    }

    /// What has the operator's spans sent: nothing.
    #[allow(clippy::unused_self, reason = "with traces it is asked")]
    pub(crate) fn layer(&self) -> Option<Identity> {
        None
    }

    /// Sends what was not sent yet: nothing.
    #[allow(clippy::unused_async, reason = "with traces it waits")]
    pub(crate) async fn flush(self) {}
}
