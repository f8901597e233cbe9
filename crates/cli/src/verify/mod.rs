//! Whether Entra gives the service accounts of a binding a token, by asking for one; and if not, why.

mod compare;
mod data;
mod judge;
mod mint;
mod prove;
mod roles;
mod show;
#[cfg(test)]
mod tests;

pub(crate) use data::Verdict;
pub(crate) use prove::{Wanted, verify};
pub(crate) use show::tree;
