//! The status that an outcome makes, by the rules that `kubectl wait`, Flux and Argo CD compute readiness with (kstatus).

mod conditions;
mod draft;
mod facts;
mod parts;
mod permission;
mod roles;
mod transition;
mod write;

pub use transition::{Transition, transition};
pub use write::{Subject, announcing, status};
