//! kubectl and Helm, as a person uses them.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::paths::{built, part};
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
        let plugin = built("kubectl-wib", "wio-cli")?;
        let folder = plugin.parent().context("the folder of the plugin")?;
        let others = std::env::var_os("PATH").unwrap_or_default();
        let path = std::iter::once(folder.to_path_buf()).chain(std::env::split_paths(&others));
        let path = std::env::join_paths(path).context("a path with the plugin")?;
        let program = self.with(&[&["wib"], arguments].concat()).env("PATH", path);
        let environment = environment.iter();
        let program = environment.fold(program, |program, (name, value)| program.env(name, *value));
        run(program, input.map(str::as_bytes), DEADLINE).await
    }

    fn with(&self, arguments: &[&str]) -> Program {
        arguments
            .iter()
            .fold(self.program.clone(), |program, argument| program.arg(*argument))
    }
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
