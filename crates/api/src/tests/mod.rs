//! The schema as it is installed, and what its rules let in.

mod policy_rules;
mod rules;
mod schema;
