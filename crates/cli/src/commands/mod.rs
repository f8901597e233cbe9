//! The commands, a module each.

pub(crate) mod bootstrap;
pub(crate) mod doctor;
pub(crate) mod explain;
pub(crate) mod import;
pub(crate) mod plan;
pub(crate) mod reconcile;
pub(crate) mod status;
pub(crate) mod suspend;
#[cfg(test)]
mod tests;
pub(crate) mod verify;
