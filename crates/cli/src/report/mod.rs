//! What is reported about a binding: gathered with the caller's rights, judged by the core, shown as a tree or as data.

mod data;
mod gather;
mod judge;
mod next_step;
mod show;
#[cfg(test)]
mod tests;

pub(crate) use data::Report;
pub(crate) use gather::{Looked, gather};
pub(crate) use judge::report;
pub(crate) use show::tree;
