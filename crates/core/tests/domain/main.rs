//! The domain, held to its rules from outside.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod authorization;
mod denials;
mod differences;
mod dispositions;
mod given;
mod grants;
mod messages;
mod names;
mod patterns;
mod planning;
mod policies;
mod presuming;
mod removal;
mod role_names;
mod role_statuses;
mod roles;
mod seeds;
mod statuses;
mod validation;
mod worlds;
