//! What an installation and the identities around it are like: gathered with the caller's rights, judged check by check, shown with what
//! mends it.

mod access;
mod checks;
mod facts;
mod finding;
mod gather;
mod show;
#[cfg(test)]
pub(crate) mod tests;
mod words;

pub(crate) use checks::examine;
pub(crate) use finding::{Examination, Finding, Level};
pub(crate) use gather::{Way, gather, region};
pub(crate) use show::{commands, trees};
