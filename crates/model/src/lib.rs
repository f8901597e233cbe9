//! A model of two operators, two bindings on one identity, and Azure, explored state by state: what the operators decide and plan is
//! `wio_core`'s own. Only the shell around it is modelled.

mod cast;
mod ending;
pub mod explore;
mod mind;
pub mod model;
pub mod mutant;
mod rest;
pub mod rules;
pub mod scenario;
pub mod shell;
pub mod world;
