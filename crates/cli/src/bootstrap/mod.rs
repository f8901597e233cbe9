//! The commands that make the operator's own identity and install it, filled in from the cluster, and what of it is done.

mod progress;
mod script;
#[cfg(test)]
mod tests;

pub(crate) use progress::{Found, in_azure, in_cluster, trees};
pub(crate) use script::{Aks, Plan, bicep, shell_script, terraform};
