//! The spec of a binding, every field parsed.

mod parse;
mod types;

pub use parse::{identity_meant, parse};
pub use types::{
    ExistingRef, IdentityRef, InvalidField, ManagedRef, RoleRef, ServiceAccountRef, Spec, TokenExpiration,
};
