//! Drift as lists and the activity log show it: whether what they say is a reason to look at Azure for a binding.
//!
//! **A feed only detects.** Nothing is written, given up or taken for gone because of it: at most a binding reads Azure for itself once
//! more (docs/adr/0024).

mod correction;
mod identity;
mod log;
mod pace;
mod roles;

pub use correction::{CorrectedKind, Corrections, changed_back};
pub use identity::{Listed, differs};
pub use log::{Change, Changed, Entry, LOG_SETTLES_IN, is_news};
pub use pace::{Share, least_pause, sweep_interval};
pub use roles::ListedRoles;
