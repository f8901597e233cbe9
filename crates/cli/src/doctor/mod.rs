//! What an installation and the identities around it are like: gathered with the caller's rights, judged check by check, shown with what
//! mends it.

mod access;
mod checks;
mod facts;
mod finding;
mod gather;
mod own_roles;
mod show;
#[cfg(test)]
pub(crate) mod tests;
#[cfg(test)]
mod tests_of_roles;
mod words;

pub(crate) use checks::examine;
pub(crate) use facts::{Facts, Unseen};
pub(crate) use finding::{Examination, Finding, Level};
pub(crate) use gather::{Way, gather, is_on_azure, lacks_at, region};
pub(crate) use own_roles::OwnRole;
pub(crate) use show::{commands, trees};
