//! What every part of the shell runs on: requests, backoff, Events, metrics, health.

pub(crate) mod agenda;
pub(crate) mod backoff;
pub(crate) mod connections;
pub(crate) mod events;
pub(crate) mod hash;
pub(crate) mod health;
pub(crate) mod heartbeat;
pub(crate) mod jitter;
pub(crate) mod leadership;
pub(crate) mod metrics;
pub(crate) mod own_status;
pub(crate) mod own_write;
pub(crate) mod packing;
pub(crate) mod pages;
pub(crate) mod patience;
pub(crate) mod pulse;
pub(crate) mod request;
pub(crate) mod rounds;
