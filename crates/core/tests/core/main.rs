//! The domain, held to its rules from outside.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::too_many_lines,
    clippy::cognitive_complexity,
    reason = "a test fails by panicking"
)]

mod absence;
mod admission;
mod admission_refusals;
mod argocd;
mod authorize;
mod authorize_orphan;
mod authorize_properties;
mod authorize_recorded;
mod binding;
mod cluster;
mod crd_guard;
mod denial;
mod drift;
mod election;
mod entra;
mod fault;
mod given;
mod held;
mod known_state;
mod lua;
mod names;
mod names_role;
mod obstacles;
mod own_cluster;
mod ownership;
mod plan;
mod plan_differences;
mod plan_export;
mod plan_removal;
mod plan_roles;
mod policy;
mod policy_merged;
mod policy_patterns;
mod policy_quota;
mod policy_status;
mod policy_vanished;
mod proving;
mod reasons;
mod recorded;
mod retiring;
mod seeds;
mod service_account;
mod settings_change;
mod sharing;
mod sharing_claims;
mod snapshot;
mod spec;
mod status;
mod status_endings;
mod status_messages;
mod status_roles;
mod traces;
mod verdict;
mod worlds;
