//! Holds the simulator to reality: recorded exchanges, the specification's own examples, and what Microsoft documents.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod activity_log;
mod cloud;
mod common;
mod credentials;
mod entra;
mod examples;
mod faults;
mod identities;
mod lagging;
mod limits;
mod managed_clusters;
mod meaning;
mod quoted_errors;
mod recordings;
mod refusals;
mod roles;
mod server;
mod state;
mod tokens;
