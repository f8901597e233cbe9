//! The shell around the core. One pass over a binding goes through `reconcile`, in this order:
//!
//! ```text
//! watch ─► dereference ─► verdict ─► guard ─► finalizer ─► observe ─► plan ─► execute ─► status
//! caches    (caches)      (core)   (reads k8s) (writes k8s) (reads)   (core)  (writes)  (one write)
//! ```

mod background;
mod caches;
mod reconcile;
mod run;
mod runtime;
mod settings;

pub use run::{Ended, run};
pub use settings::{Clock, LeaseSettings, Settings};
