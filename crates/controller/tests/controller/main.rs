//! The operator as a whole, between an API server and an Azure that are both in this process, under paused time.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::too_many_lines,
    clippy::cognitive_complexity,
    missing_docs
)]

mod abuse;
mod accounts;
mod admission;
mod audit;
mod azure_faults;
mod budgets;
mod crashing;
mod creating;
mod deleting;
mod disappearing;
mod drift;
mod electing;
mod ending;
mod existing;
mod exporting;
mod feeds;
mod health;
mod issuer;
mod kubernetes_faults;
mod lagging;
mod late_deletions;
mod log;
mod namespaces;
mod orphans;
mod overtaken;
mod own_cluster;
mod ownership;
mod policies;
mod policy_status;
mod proving;
mod recreating;
mod restarting;
mod roles;
mod rollout;
mod settings_changed;
mod sharing;
mod suspending;
mod two_operators;
mod unreadable;
mod unreadable_places;
mod workloads;
mod world;
