//! Who calls Azure Resource Manager, and what the caller may do.

pub(crate) mod actions;
pub(crate) mod built_in_roles;
pub(crate) mod caller;
mod condition_tokens;
pub(crate) mod conditions;
mod patterns;
pub(crate) mod rights;
