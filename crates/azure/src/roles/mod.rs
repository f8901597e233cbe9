//! The resource provider Microsoft.Authorization, as plain requests (docs/adr/0002): role assignments.

mod assignments;
mod wire;
