//! Plays drawn plans of actions and faults against the whole operator, and holds each history to the rules of the domain.
//!
//! A seed draws a [`plan::Plan`]; [`play::play`] plays it with the real controller, the fake API server and the simulator of Azure in
//! one thread under paused time, and gives the [`history::History`]; each of [`oracles::ALL`] judges it. A plan that breaks a rule is
//! made smaller by [`shrink::shrink`] and told by [`story::tell`]. The program `simulate` does that for as many seeds as there is time.

mod apart;
pub mod campaign;
mod chance;
mod draw;
pub mod history;
pub mod oracles;
pub mod plan;
pub mod play;
pub mod shrink;
pub mod story;
mod wire;
mod world;
