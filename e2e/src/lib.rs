//! The end-to-end harness: starts the real parts on loopback, and leaves nothing behind. See e2e/README.md.
#![allow(
    clippy::missing_errors_doc,
    reason = "everything here fails when a part fails, with a message for the person who runs it"
)]

pub mod abuse;
pub mod argocd;
pub mod aso;
pub mod audit;
pub mod azure_roles;
pub mod certificates;
pub mod cluster;
pub mod control_plane;
pub mod documents;
pub mod flux;
mod kubeconfig;
pub mod namespace;
pub mod operator;
pub mod paths;
pub mod pods;
pub mod ports;
pub mod process;
pub mod progress;
pub mod prometheus;
pub mod registry;
pub mod scratch;
pub mod simulator;
pub mod token;
pub mod tools;
pub mod wait;
pub mod webhook;
pub mod workload;
pub mod world;
