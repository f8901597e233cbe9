//! The end-to-end tests: one program, one set of real parts for all of them, a namespace for each.
#![allow(
    clippy::too_many_lines,
    clippy::cognitive_complexity,
    reason = "a test tells one story from its beginning to its end"
)]

mod abuse;
mod admission;
mod argocd;
mod commands;
mod control_plane;
mod crash;
mod dashboard;
mod definitions;
mod deletion;
mod disappearing;
mod doctor;
mod drift;
mod existing;
mod exporting;
mod faults;
mod flux;
mod harness;
mod helm;
mod install;
mod integrations;
mod kubectl;
mod memory;
mod namespaces;
mod permissions;
mod plugin;
mod policies;
mod quiet;
mod release;
mod replicas;
mod restarts;
mod rollout;
mod sdk;
mod staged;
mod tokens;
mod upgrade;
mod workloads;

use std::process::ExitCode;

use anyhow::Result;

fn main() -> Result<ExitCode> {
    harness::run(vec![
        // The longest first.
        ("flux", flux::cases()),
        ("control_plane", control_plane::cases()),
        ("tokens", tokens::cases()),
        ("workloads", workloads::cases()),
        ("existing", existing::cases()),
        ("exporting", exporting::cases()),
        ("drift", drift::cases()),
        ("deletion", deletion::cases()),
        ("faults", faults::cases()),
        ("install", install::cases()),
        ("upgrade", upgrade::cases()),
        ("integrations", integrations::cases()),
        ("helm", helm::cases()),
        ("argocd", argocd::cases()),
        ("release", release::cases()),
        ("quiet", quiet::cases()),
        ("kubectl", kubectl::cases()),
        ("sdk", sdk::cases()),
        ("permissions", permissions::cases()),
        ("policies", policies::cases()),
        ("plugin", plugin::cases()),
        ("staged", staged::cases()),
        ("admission", admission::cases()),
        ("abuse", abuse::cases()),
        ("doctor", doctor::cases()),
        ("crash", crash::cases()),
        ("replicas", replicas::cases()),
        ("restarts", restarts::cases()),
        ("memory", memory::cases()),
        ("namespaces", namespaces::cases()),
        ("definitions", definitions::cases()),
        ("dashboard", dashboard::cases()),
        ("disappearing", disappearing::cases()),
        // The last: it creates all bindings anew.
        ("commands", commands::cases()),
    ])
}
