//! The shell around the core: watches, observation, execution, status, events, finalizer, metrics.
//!
//! ```text
//! watch ─► dereference ─► validate ─► authorize ─► observe ─► plan ─► execute ─► status
//!          (accounts)     (core)      (core)       (observe)  (core)  (execute)  (status_writer)
//! ```

mod abandoned;
mod accounts;
mod cluster;
mod context;
mod definitions;
mod effective;
mod events;
mod execute;
mod finalizer;
mod health;
mod jitter;
mod kubernetes;
mod memory;
mod metrics;
mod observe;
mod pace;
mod policies;
mod reconcile;
mod run;
mod settings;
mod sharing;
mod status_writer;
mod watches;

pub use run::run;
pub use settings::Settings;
