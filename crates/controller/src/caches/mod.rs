//! The caches: what the watches and the cluster's own documents told, and an index of it.

pub(crate) mod accepted;
pub(crate) mod accounts;
mod asked;
pub(crate) mod cluster;
pub(crate) mod configured;
mod few;
pub(crate) mod glance;
pub(crate) mod handle;
pub(crate) mod index;
mod joined;
pub(crate) mod kept;
mod names;
mod packed;
pub(crate) mod policies;
pub(crate) mod policy_watch;
pub(crate) mod stores;
pub(crate) mod visits;
pub(crate) mod watches;
