//! The pods of bound service accounts: looked at when something changed or somebody asked, at the drift interval, and soon again while some lack a token. They are
//! never watched, so that the cluster's other pods cost nothing.

pub(crate) mod look;
mod owners;
mod pods;
mod restarts;
pub(crate) mod schedule;
pub(crate) mod turns;
