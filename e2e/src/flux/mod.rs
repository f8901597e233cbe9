//! Flux's real kustomize-controller. There is no source-controller: what it would do with a Git server, the harness does with a
//! repository of its own.

mod artifacts;
mod kustomization;
mod repository;

use std::time::Duration;

use anyhow::{Context, Result};
use kube::Client;
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::paths::{flux_definitions, part};
use crate::ports::free_port;
use crate::process::{Process, Program};
use crate::scratch::Scratch;
use crate::tools::Kubectl;
use crate::wait::until;

use artifacts::Artifacts;
pub use kustomization::{Kustomization, Outcome};
pub use repository::{Repository, Source};

/// Flux's namespace.
pub const NAMESPACE: &str = "flux-system";
const SERVICE_ACCOUNT: &str = "kustomize-controller";
/// The controller, as the API server names it.
pub const USER: &str = "system:serviceaccount:flux-system:kustomize-controller";

/// Flux's label by which several controllers share the Kustomizations.
const SHARD: &str = "sharding.fluxcd.io/key";

const START_DEADLINE: Duration = Duration::from_mins(1);
/// Each Kustomization that waits for health has a worker, and tests have several at once.
const WORKERS: &str = "32";

/// A running kustomize-controller. Dropping it stops it.
pub struct Flux {
    _controller: Process,
    artifacts: Artifacts,
    client: Client,
    kubectl: Kubectl,
}

// === impl Flux ===

impl Flux {
    /// Installs its kinds and its access, which is that of Flux's own `cluster-reconciler`, starts it and waits until it is ready.
    pub async fn start(scratch: &Scratch, cluster: &Cluster) -> Result<Self> {
        let kubectl = &cluster.kubectl;
        let definitions = flux_definitions()?;
        let definitions = definitions.to_str().context("the repository's path is not Unicode")?;
        kubectl
            .run(&["apply", "--server-side", "--filename", definitions])
            .await?;
        kubectl.apply(include_str!("../manifests/flux.yaml")).await?;
        let selector = ("watch-label-selector", format!("!{SHARD}"));
        let controller = controller(scratch, cluster, "kustomize-controller", &[selector]).await?;
        // An established kind is served a moment later.
        until("Flux's kinds to be served", START_DEADLINE, async || {
            kubectl
                .run(&[
                    "get",
                    "kustomizations,gitrepositories,ocirepositories,buckets",
                    "--all-namespaces",
                ])
                .await
                .map(Some)
        })
        .await?;
        Ok(Self {
            _controller: controller,
            artifacts: Artifacts::serve().await?,
            client: cluster.client.clone(),
            kubectl: kubectl.clone(),
        })
    }

    /// Starts a second controller with a flag that the first one has not. It takes the Kustomizations of this shard alone; dropping it stops it.
    pub async fn shard(
        scratch: &Scratch,
        cluster: &Cluster,
        shard: &str,
        (flag, value): (&str, &str),
    ) -> Result<Process> {
        let selector = ("watch-label-selector", format!("{SHARD}={shard}"));
        let name = format!("kustomize-controller-{shard}");
        controller(scratch, cluster, &name, &[selector, (flag, value.to_owned())]).await
    }

    /// A repository without a revision yet.
    #[must_use]
    pub fn repository(&self, name: &str) -> Repository<'_> {
        self.source(Source::Git, name)
    }

    /// A source of either kind without a revision yet.
    #[must_use]
    pub fn source(&self, source: Source, name: &str) -> Repository<'_> {
        Repository::new(self, source, name)
    }

    /// Applies a Kustomization: of a folder of a repository, `spec` over what the tests have in common.
    pub async fn kustomization(
        &self,
        repository: &Repository<'_>,
        name: &str,
        spec: Value,
    ) -> Result<Kustomization<'_>> {
        Kustomization::apply(self, repository, name, &json!({}), spec).await
    }

    /// The same for the controller of a shard.
    pub async fn kustomization_of_shard(
        &self,
        shard: &str,
        repository: &Repository<'_>,
        name: &str,
        spec: Value,
    ) -> Result<Kustomization<'_>> {
        Kustomization::apply(self, repository, name, &json!({ SHARD: shard }), spec).await
    }

    /// A Kustomization of Flux's namespace that is there, or will be.
    #[must_use]
    pub fn existing(&self, name: &str) -> Kustomization<'_> {
        self.existing_in(NAMESPACE, name)
    }

    /// A Kustomization of any namespace.
    #[must_use]
    pub fn existing_in(&self, namespace: &str, name: &str) -> Kustomization<'_> {
        Kustomization::new(self, namespace, name)
    }
}

/// Starts the program with the flags that all have, and with these.
async fn controller(scratch: &Scratch, cluster: &Cluster, name: &str, flags: &[(&str, String)]) -> Result<Process> {
    let (metrics, health) = (free_port()?, free_port()?);
    let program = Program::new(part("kustomize-controller")?)
        .flag("metrics-addr", format!("127.0.0.1:{metrics}"))
        .flag("health-addr", format!("127.0.0.1:{health}"))
        .flag("enable-leader-election", "false")
        .flag("concurrent", WORKERS)
        // Soon after what a Kustomization depends on is ready, and not half a minute later.
        .flag("requeue-dependency", "1s")
        .env("RUNTIME_NAMESPACE", NAMESPACE)
        // Of its own: a controller that starts empties it.
        .env("TMPDIR", scratch.folder(&format!("flux/{name}"))?)
        .env(
            "KUBECONFIG",
            cluster.kubeconfig_of(scratch, NAMESPACE, SERVICE_ACCOUNT).await?,
        );
    let program = flags
        .iter()
        .fold(program, |program, (flag, value)| program.flag(flag, value));
    let mut controller = program.start(name, &scratch.logs())?;
    let ready = format!("http://127.0.0.1:{health}/readyz");
    controller.until_healthy(&ready, START_DEADLINE).await?;
    Ok(controller)
}
