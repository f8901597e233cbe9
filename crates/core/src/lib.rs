//! The domain, pure: no clock, no randomness, no I/O, no async. Data flows one way:
//!
//! ```text
//! validate ─► authorize ─► Desired ─┐
//!                                   ├─► plan ─► (the shell executes) ─► Outcome ─► status
//!                         Observed ─┘
//! ```

pub mod authorize;
pub mod binding;
pub mod config;
pub mod crd_guard;
pub mod desired;
pub mod disposition;
pub mod fault;
pub mod known_state;
pub mod names;
pub mod observed;
pub mod outcome;
pub mod plan;
pub mod policy;
pub mod role_assignment_scopes;
pub mod sharing;
pub mod status;
