//! What the operator was told at start.

use std::time::Duration;

use wio_core::config::OperatorConfig;

/// What the operator was told at start.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Defaults and permissions of bindings.
    pub config: OperatorConfig,
    /// How often Azure is looked at for a binding that is ready, give or take a fifth.
    pub drift_interval: Duration,
    /// The most bindings that are reconciled at once.
    pub concurrency: u16,
    /// The pod's name, for Events.
    pub instance: Option<String>,
}
