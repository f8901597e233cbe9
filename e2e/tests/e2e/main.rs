//! The end-to-end tests: one program, one set of real parts for all of them, a namespace for each.

mod control_plane;
mod harness;

use std::process::ExitCode;

use anyhow::Result;

fn main() -> Result<ExitCode> {
    harness::run(vec![("control_plane", control_plane::cases())])
}
