//! Everything at once: what a test or the demo works with.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, ensure};
use tokio::sync::{Mutex, OnceCell};

use crate::cluster::{Cluster, EXISTING};
use crate::flux::Flux;
use crate::namespace::Namespace;
use crate::operator::Operator;
use crate::paths::repository;
use crate::process::tail;
use crate::scratch::Scratch;
use crate::simulator::{Simulator, TENANT};
use crate::webhook::Webhook;

/// The parts, running. They stop in the order of the fields.
pub struct World {
    flux: OnceCell<Flux>,
    /// The operator.
    pub operator: Mutex<Operator>,
    _webhook: Webhook,
    /// Azure.
    pub simulator: Simulator,
    /// The cluster.
    pub cluster: Cluster,
    /// The run's folder.
    pub scratch: Scratch,
    /// The namespaces that tests have.
    taken: Mutex<BTreeSet<String>>,
}

// === impl World ===

impl World {
    /// Starts everything. `say` is told what is going on.
    pub async fn start(say: impl Fn(&str)) -> Result<Self> {
        // kube and reqwest share one TLS provider; this fails only when it was chosen before, by us.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let scratch = Scratch::new()?;
        let started = Self::start_in(&scratch, say).await;
        let (operator, webhook, simulator, cluster) =
            started.map_err(|error| anyhow!("{error:#}\n{}", report(&scratch)))?;
        Ok(Self {
            flux: OnceCell::new(),
            operator: Mutex::new(operator),
            _webhook: webhook,
            simulator,
            cluster,
            scratch,
            taken: Mutex::default(),
        })
    }

    async fn start_in(scratch: &Scratch, say: impl Fn(&str)) -> Result<(Operator, Webhook, Simulator, Cluster)> {
        say(match std::env::var_os(EXISTING) {
            Some(_) => "nothing in the place of the cluster that is named",
            None => "the control plane: etcd, kube-apiserver, kube-controller-manager",
        });
        let cluster = Cluster::start(scratch).await.context("starting the control plane")?;
        match Self::start_on(scratch, &cluster, say).await {
            Ok((operator, webhook, simulator)) => Ok((operator, webhook, simulator, cluster)),
            Err(error) => match cluster.clean().await {
                Ok(()) => Err(error),
                Err(left) => Err(error.context(format!("what was installed could not be removed: {left:#}"))),
            },
        }
    }

    async fn start_on(
        scratch: &Scratch,
        cluster: &Cluster,
        say: impl Fn(&str),
    ) -> Result<(Operator, Webhook, Simulator)> {
        say("the simulator in the place of Azure");
        let simulator = Simulator::start(scratch, cluster.authority())
            .await
            .context("starting the simulator")?;
        say("the pod webhook of azure-workload-identity");
        let webhook = Webhook::start(scratch, cluster, simulator.url(), TENANT)
            .await
            .context("starting the webhook")?;
        say("the operator, with the access that config/rbac and config/azure grant");
        let operator = Operator::start(scratch, cluster, &simulator)
            .await
            .context("starting the operator")?;
        Ok((operator, webhook, simulator))
    }

    /// Makes a namespace for one test. Fails when another test has it: both would be right, and one would fail for what the other does.
    pub async fn namespace(&self, name: &str) -> Result<Namespace<'_>> {
        let mut taken = self.taken.lock().await;
        ensure!(taken.insert(name.to_owned()), "another test has the namespace {name}");
        drop(taken);
        self.cluster.namespace(name).await?;
        Ok(Namespace::new(self, name))
    }

    /// Flux, which is started by the first who asks.
    pub async fn flux(&self) -> Result<&Flux> {
        let start = async || Flux::start(&self.scratch, &self.cluster).await;
        self.flux.get_or_try_init(start).await.context("starting Flux")
    }

    /// The end of every log, and where a copy of all logs is kept.
    #[must_use]
    pub fn report(&self) -> String {
        report(&self.scratch)
    }

    /// Removes what was installed in a cluster that outlives this run; what runs stops by being dropped.
    pub async fn stop(self) -> Result<()> {
        self.cluster.clean().await
    }
}

/// The end of every log of a run, and where a copy of all logs is kept.
#[must_use]
pub fn report(scratch: &Scratch) -> String {
    let kept = repository().join(".build/e2e/failed");
    match keep(&scratch.logs(), &kept) {
        Ok(tails) => format!("{}\n\nall logs are kept in {}", tails.join("\n"), kept.display()),
        Err(error) => format!("the logs could not be kept: {error:#}"),
    }
}

/// Copies logs into a folder in the place of those that lay there. Returns the end of each.
fn keep(logs: &Path, kept: &Path) -> Result<Vec<String>> {
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
