//! The client of Azure, against doubles of a few lines where the transport matters and against the simulator where
//! Azure does.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod given;
mod hosts;
mod requests;
mod roles;
mod secrets;
mod signing_in;
mod simulated;
mod tls;
mod trouble;
mod writers;
