//! For tests: an in-process API server, fixtures, the kstatus checker and the abuse suite.

pub mod abuse;
#[cfg(feature = "azure")]
pub mod azure;
pub mod fixtures;
pub mod kstatus;
mod server;

pub use server::{
    ApiRequest, CLUSTER_UID, DEFAULT_DEADLINE, DEFAULT_ISSUER, Effect, FakeApiServer, Fault, Matcher, ResourceType,
    Verb, make_beginning,
};
