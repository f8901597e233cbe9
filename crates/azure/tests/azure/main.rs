//! The client of Azure, against doubles of a few lines where the transport matters and against the simulator where
//! Azure does.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod activity_log;
mod answer;
mod client;
mod cloud;
mod federated_credentials;
mod fixtures;
mod identities;
mod locks;
mod paging;
mod pipeline;
mod proof;
mod roles;
mod secrets;
mod sign_in;
mod telemetry;
mod tokens;
mod transport;
mod urls;
