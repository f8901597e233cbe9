//! The schema as it is installed, what its rules let in, and what of that this version reads.

mod policy_rules;
mod reading;
mod rules;
mod schema;
