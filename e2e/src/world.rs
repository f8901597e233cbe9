//! Everything at once: what a test or the demo works with.

use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::cluster::Cluster;
use crate::paths::repository;
use crate::process::tail;
use crate::scratch::Scratch;
use crate::webhook::Webhook;

/// The parts, running. They stop in the order of the fields.
pub struct World {
    _webhook: Webhook,
    /// The cluster.
    pub cluster: Cluster,
    authority_host: String,
    scratch: Scratch,
}

// === impl World ===

impl World {
    /// Starts everything.
    pub async fn start() -> Result<Self> {
        // Two of our dependencies could bring a TLS provider; this program has one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let scratch = Scratch::new()?;
        Self::start_in(scratch).await
    }

    async fn start_in(scratch: Scratch) -> Result<Self> {
        let cluster = Cluster::start(&scratch).await?;
        let authority_host = "https://127.0.0.1:1/".to_owned();
        let webhook = Webhook::start(
            &scratch,
            &cluster,
            &authority_host,
            "7e4a9d30-5b1f-4c26-8f0e-2d6c91ab3e57",
        )
        .await?;
        Ok(Self {
            _webhook: webhook,
            cluster,
            authority_host,
            scratch,
        })
    }

    /// The address of Entra, as the webhook gives it to pods.
    #[must_use]
    pub fn authority_host(&self) -> &str {
        &self.authority_host
    }

    /// Makes a namespace for one test, with a name that begins with this.
    pub async fn namespace(&self, name: &str) -> Result<String> {
        self.cluster.namespace(name).await?;
        Ok(name.to_owned())
    }

    /// The end of every log, and a copy of all logs that stays.
    #[must_use]
    pub fn report(&self) -> String {
        let kept = repository().join(".build/e2e/failed");
        match keep(&self.scratch.logs(), &kept) {
            Ok(tails) => format!("{}\n\nall logs are kept in {}", tails.join("\n"), kept.display()),
            Err(error) => format!("the logs could not be kept: {error:#}"),
        }
    }

    /// Removes what was installed in a cluster that outlives this run; what runs stops by being dropped.
    pub async fn stop(self) -> Result<()> {
        self.cluster.clean().await
    }
}

/// Copies logs into a folder in the place of those that lay there. Returns the end of each.
fn keep(logs: &std::path::Path, kept: &std::path::Path) -> Result<Vec<String>> {
    let _ = std::fs::remove_dir_all(kept);
    std::fs::create_dir_all(kept).with_context(|| format!("making {}", kept.display()))?;
    let mut files: Vec<PathBuf> = Vec::new();
    for entry in std::fs::read_dir(logs).with_context(|| format!("reading {}", logs.display()))? {
        files.push(entry.context("reading the folder of logs")?.path());
    }
    files.sort();
    for file in &files {
        let name = file.file_name().unwrap_or_default();
        std::fs::copy(file, kept.join(name)).with_context(|| format!("keeping {}", file.display()))?;
    }
    files
        .iter()
        .filter(|file| file.extension().is_some_and(|it| it == "log"))
        .map(|file| tail(file))
        .collect()
}
