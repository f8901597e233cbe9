//! The domain, held to its rules from outside.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod authorization;
mod differences;
mod dispositions;
mod given;
mod messages;
mod names;
mod planning;
mod presuming;
mod removal;
mod seeds;
mod statuses;
mod validation;
mod worlds;
