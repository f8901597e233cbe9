//! The resource provider Microsoft.Authorization, as plain requests (docs/adr/0002): role assignments, and roles.

mod assignments;
mod definitions;
mod wire;

pub use definitions::RoleDefinition;
