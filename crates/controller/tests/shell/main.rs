//! The operator as a whole, between an API server and an Azure that are both in this process, under paused time.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

mod accounts;
mod azure_faults;
mod crashing;
mod creating;
mod deleting;
mod drift;
mod existing;
mod health;
mod issuer;
mod kubernetes_faults;
mod policies;
mod restarting;
mod roles;
mod suspending;
mod world;
