//! Trust that stands already, made by other tools, as bindings and the policies that they need.

mod accounts;
mod find;
mod found;
mod pod_identity;
mod resources;
mod terraform;
#[cfg(test)]
mod tests;
mod write;

pub(crate) use find::{Asked, find};
pub(crate) use write::{Only, Written, write};
