//! The schema as it is installed, and what its rules let in.

mod rules;
mod schema;
