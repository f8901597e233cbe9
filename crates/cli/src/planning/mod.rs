//! What the operator would do: the core's own verdict and plan, about a cluster as it is and as it would be.

mod change;
mod compare;
mod foresee;
mod minting;
mod read;
mod restarting;
mod show;
#[cfg(test)]
pub(crate) mod tests;
mod world;

pub(crate) use change::{Change, rehearse};
pub(crate) use compare::Comparison;
pub(crate) use foresee::in_doubt;
pub(crate) use minting::consider;
pub(crate) use read::read;
pub(crate) use restarting::foresee_restarts;
pub(crate) use show::{Forecasts, Named, write};
pub(crate) use world::{Key, World};
