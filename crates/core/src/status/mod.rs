//! The status that an outcome makes, by the rules that `kubectl wait`, Flux and Argo CD compute readiness with (kstatus).

mod anew;
mod conditions;
mod draft;
mod ending;
mod facts;
mod issuers;
mod of_policy;
mod parts;
mod patience;
mod permission;
mod proven;
mod rewritten;
mod roles;
mod subject;
mod transition;
mod workloads;
mod write;

pub use anew::made_anew;
pub use ending::{ended, ending, farewell};
pub use of_policy::{Admission, of_policy, told_of_policy};
pub use patience::{NEW_FOR, problems, ready_after};
pub use proven::unproven;
pub use rewritten::{rewrites, told_of, with_rewrites};
pub use subject::{BELIEVED_FOR, FailedLooks, Subject};
pub use transition::{Told, transitions};
pub use workloads::{Sight, misses_some, with_workloads};
pub use write::{announcing, status, tells_of_writes};
