//! The domain, pure: no clock, no randomness, no I/O, no async. Data flows one way:
//!
//! ```text
//! Case ─► verdict ─► Desired ──┐
//!                              ├─► plan ─► (the shell executes) ─► Outcome ─► status
//!                   Observed ──┘
//! ```

pub mod absence;
pub mod active_namespaces;
pub mod authorize;
pub mod binding;
pub mod case;
pub mod cluster;
pub mod config;
pub mod crd_guard;
pub mod desired;
pub mod drift;
pub mod election;
pub mod entra;
pub mod fault;
pub mod held;
pub mod known_state;
pub mod landing;
mod listing;
pub mod names;
mod next_steps;
pub mod observed;
mod observed_roles;
pub mod orphaned;
pub mod orphans;
pub mod outcome;
pub mod own_cluster;
pub mod owner;
mod ownership;
pub mod plan;
pub mod policy;
pub mod reasons;
pub mod recorded;
pub mod role_assignment_scopes;
pub mod role_terms;
pub mod rollout;
pub mod rules;
pub mod service_account;
pub mod settings_change;
pub mod sharing;
pub mod snapshot;
pub mod spec;
pub mod status;
pub mod tags;
pub mod traces;
mod unseen;
pub mod verdict;
pub mod verification;
pub mod workloads;
