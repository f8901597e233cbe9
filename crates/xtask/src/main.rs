//! `cargo xtask`: writes what is generated, verifies what is committed, and packs image and plugin.
#![allow(
    clippy::indexing_slicing,
    reason = "of JSON by keys only, where what is missing is null"
)]

mod alerts;
mod argocd;
mod azure;
mod built_in_roles;
mod chart;
mod circles;
mod cli;
mod dependabot;
mod deployment;
mod files;
mod functions;
mod image;
mod layers;
mod map;
mod mentions;
mod modules;
mod plugin;
mod purity;
mod rbac;
mod reference;
mod remote_base;
mod rendered;
mod renders;
#[cfg(test)]
mod tests;
mod uses;
mod values;
mod verify;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use cargo_metadata::MetadataCommand;
use clap::{Parser, Subcommand};

/// Generates and verifies the committed manifests and the API reference.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Write the CRD, RBAC, the chart's share of both, the roles in Azure, and the API reference.
    Generate,
    /// Fail when a generated file is not what would be generated, when a crate or a module depends the wrong way, when the core
    /// names what it must not, when the documentation does not name every module, or when Dependabot is not told of every folder.
    Verify,
    /// Render config/default with kubectl and the chart with Helm, and fail where they install different things, or where the chart renders
    /// something else than its snapshots for a set of values.
    Compare {
        /// Write the snapshots anew.
        #[arg(long)]
        renew: bool,
        /// The kubectl to render with.
        #[arg(long, value_name = "PATH", default_value = "kubectl")]
        kubectl: PathBuf,
        /// The Helm to render with.
        #[arg(long, value_name = "PATH", default_value = "helm")]
        helm: PathBuf,
    },
    /// Write the operator's image, an OCI layout, from binaries that were built; `make image` builds them.
    Image(image::Request),
    /// Write the plugin's archives, and its manifests for krew and Flux, from binaries that were built; `hack/plugin` builds them.
    Plugin(plugin::Request),
    /// Render the chart's alert rules with Helm and try them with promtool.
    Alerts {
        /// The Helm to render with.
        #[arg(long, value_name = "PATH", default_value = "helm")]
        helm: PathBuf,
        /// The promtool to try them with.
        #[arg(long, value_name = "PATH", default_value = "promtool")]
        promtool: PathBuf,
    },
}

fn main() -> ExitCode {
    match run(&Arguments::parse().task) {
        Ok(problems) if problems.is_empty() => ExitCode::SUCCESS,
        Ok(problems) => {
            eprintln!("{}", problems.join("\n\n"));
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Does the task and returns what it found wrong.
fn run(task: &Task) -> anyhow::Result<Vec<String>> {
    let workspace = MetadataCommand::new()
        .no_deps()
        .exec()
        .context("cannot read the workspace")?;
    let root = workspace.workspace_root.as_std_path();
    match task {
        Task::Generate => generate(root).map(|()| Vec::new()),
        Task::Verify => verify::problems(&workspace),
        Task::Compare { renew, kubectl, helm } => {
            let mut problems = rendered::differences(root, kubectl, helm)?;
            problems.extend(renders::differences(root, helm, *renew)?);
            Ok(problems)
        }
        Task::Image(request) => {
            let written = image::write(request)?;
            println!("{}", written.digest);
            for line in written.lines {
                println!("  {line}");
            }
            Ok(written.problems)
        }
        Task::Plugin(request) => {
            let license = std::fs::read(root.join("LICENSE")).context("cannot read LICENSE")?;
            for name in plugin::write(request, &license)? {
                println!("{name}");
            }
            Ok(Vec::new())
        }
        Task::Alerts { helm, promtool } => alerts::problems(root, helm, promtool),
    }
}

fn generate(root: &Path) -> anyhow::Result<()> {
    for file in files::generated()? {
        if file.write_under(root)? {
            println!("wrote {}", file.path);
        }
    }
    Ok(())
}
