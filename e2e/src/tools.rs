//! kubectl and Helm, as a person uses them.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::paths::{built, part, repository};
use crate::process::{Ended, Program, output, run};
use crate::scratch::Scratch;

/// Longer than anything that a command is told to wait for.
const DEADLINE: Duration = Duration::from_mins(5);

/// kubectl, with the access of a kubeconfig.
#[derive(Clone, Debug)]
pub struct Kubectl {
    program: Program,
}

/// Helm, with the access of a kubeconfig.
#[derive(Clone, Debug)]
pub struct Helm {
    program: Program,
}

/// A tool whose caches and settings lie in the run's folder.
fn tool(name: &str, scratch: &Scratch, kubeconfig: &Path) -> Result<Program> {
    let home: PathBuf = scratch.folder("home")?;
    Ok(Program::new(part(name)?)
        .env("HOME", home)
        .env("KUBECONFIG", kubeconfig))
}

// === impl Kubectl ===

impl Kubectl {
    /// kubectl with this kubeconfig's access.
    pub fn new(scratch: &Scratch, kubeconfig: &Path) -> Result<Self> {
        Ok(Self {
            program: tool("kubectl", scratch, kubeconfig)?,
        })
    }

    /// Runs it and returns what it prints.
    pub async fn run(&self, arguments: &[&str]) -> Result<String> {
        output(self.with(arguments), None, DEADLINE).await
    }

    /// Applies manifests in YAML or JSON, server-side.
    pub async fn apply(&self, manifests: &str) -> Result<String> {
        output(
            self.with(&["apply", "--server-side", "--filename=-"]),
            Some(manifests.as_bytes()),
            DEADLINE,
        )
        .await
    }

    /// Has the API server and its webhooks judge what would come of creating objects.
    pub async fn try_out(&self, manifests: &str) -> Result<String> {
        output(
            self.with(&["create", "--dry-run=server", "--filename=-"]),
            Some(manifests.as_bytes()),
            DEADLINE,
        )
        .await
    }

    /// Reads objects as JSON: `get(&["wib", "orders", "--namespace=shop"])`.
    pub async fn get(&self, arguments: &[&str]) -> Result<Value> {
        let text = self.run(&[&["get", "--output=json"], arguments].concat()).await?;
        serde_json::from_str(&text).context("reading what kubectl printed")
    }

    /// Runs the plugin as `kubectl wib`, which finds it on the path, with manifests as its input; its exit code is part of what it says.
    pub async fn wib(&self, arguments: &[&str], input: Option<&str>, environment: &[(&str, &OsStr)]) -> Result<Ended> {
        let path = before_others(&[built("kubectl-wib", "wio-cli")?])?;
        let program = self.with(&[&["wib"], arguments].concat()).env("PATH", path);
        let environment = environment.iter();
        let program = environment.fold(program, |program, (name, value)| program.env(name, *value));
        run(program, input.map(str::as_bytes), DEADLINE).await
    }

    /// Has a shell run commands with kubectl and the plugin among them, in the repository, and returns what they print.
    pub async fn shell(&self, commands: &str) -> Result<String> {
        let path = before_others(&[part("kubectl")?, built("kubectl-wib", "wio-cli")?])?;
        let repository = repository();
        let folder = repository.to_str().context("the repository's path is not Unicode")?;
        let script = format!("set -eo pipefail\ncd '{folder}'\n{commands}");
        let shell = self.program.clone().replaced("/bin/bash").env("PATH", path);
        output(shell.arg("-c").arg(script), None, DEADLINE).await
    }

    fn with(&self, arguments: &[&str]) -> Program {
        arguments
            .iter()
            .fold(self.program.clone(), |program, argument| program.arg(*argument))
    }
}

/// A search path that finds these programs first.
fn before_others(programs: &[PathBuf]) -> Result<OsString> {
    let folders = programs
        .iter()
        .filter_map(|program| program.parent().map(Path::to_path_buf));
    let others = std::env::var_os("PATH").unwrap_or_default();
    std::env::join_paths(folders.chain(std::env::split_paths(&others))).context("a search path")
}

// === impl Helm ===

impl Helm {
    pub(crate) fn new(scratch: &Scratch, kubeconfig: &Path) -> Result<Self> {
        Ok(Self {
            program: tool("helm", scratch, kubeconfig)?,
        })
    }

    /// Runs it and returns what it prints.
    pub async fn run(&self, arguments: &[&str]) -> Result<String> {
        let program = arguments
            .iter()
            .fold(self.program.clone(), |program, argument| program.arg(*argument));
        output(program, None, DEADLINE).await
    }
}
