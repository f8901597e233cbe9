//! The domain, held to its rules from outside.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod admission;
mod authorization;
mod claims;
mod crd_guard;
mod denials;
mod differences;
mod dispositions;
mod given;
mod grants;
mod known_state;
mod messages;
mod names;
mod orphans;
mod patterns;
mod planning;
mod policies;
mod refusals;
mod removal;
mod role_names;
mod role_statuses;
mod roles;
mod seeds;
mod sharing;
mod statuses;
mod validation;
mod worlds;
