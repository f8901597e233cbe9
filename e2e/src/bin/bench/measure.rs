//! Each figure's measurement.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures::{StreamExt, TryStreamExt, stream};
use kube::api::{ListParams, PostParams, WatchEvent, WatchParams};
use kube::{Api, Client};
use serde_json::{Value, json};
use wio_api::WorkloadIdentityBinding;
use wio_e2e::operator::USER;
use wio_e2e::process::Signal;
use wio_e2e::wait::until;
use wio_e2e::world::World;

use crate::asked::{Asks, Calls, Mark};
use crate::process::Running;

/// As many as a person with kubectl and a pipeline of GitOps would send at once.
pub(crate) const CREATED_AT_ONCE: usize = 16;

/// The world, as the bench uses it.
pub(crate) struct Bench<'w> {
    pub(crate) world: &'w World,
    asks: Asks<'w>,
}

// === impl Bench ===

impl<'w> Bench<'w> {
    pub(crate) async fn new(world: &'w World) -> Self {
        let asks = Asks {
            simulator: &world.simulator,
            cluster: &world.cluster,
            principal: world.operator.lock().await.principal().principal_id.clone(),
            user: USER,
        };
        Self { world, asks }
    }

    /// Starts the operator, anew where it runs, with these settings. Returns how long it took until it was ready.
    pub(crate) async fn restart(&self, settings: &[(&str, &str)]) -> Result<Duration> {
        let mut operator = self.world.operator.lock().await;
        if operator.id().is_ok() {
            operator.end(Signal::Terminate).await?;
        }
        for (name, value) in settings {
            operator.set(name, value);
        }
        let ready = format!("{}/readyz", operator.address());
        let web = reqwest::Client::builder()
            .no_proxy()
            .build()
            .context("making an HTTP client")?;
        let begin = Instant::now();
        // The harness looks seldom; this looks all the time.
        let watched = async {
            while !web
                .get(&ready)
                .send()
                .await
                .is_ok_and(|answer| answer.status().is_success())
            {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            Ok(begin.elapsed())
        };
        // It never is, when it cannot be started.
        tokio::try_join!(operator.run(), watched).map(|((), took)| took)
    }

    /// Ends the operator.
    pub(crate) async fn stop(&self) -> Result<()> {
        self.world.operator.lock().await.end(Signal::Terminate).await.map(drop)
    }

    /// The operator's process.
    pub(crate) async fn process(&self) -> Result<Running> {
        Ok(Running::new(self.world.operator.lock().await.id()?))
    }

    /// The bindings of a namespace.
    pub(crate) fn bindings(&self, namespace: &str) -> Api<WorkloadIdentityBinding> {
        Api::namespaced(self.client(), namespace)
    }

    fn client(&self) -> Client {
        self.world.cluster.client.clone()
    }

    /// Sets the simulated Azure.
    pub(crate) async fn azure(&self, settings: Value) -> Result<()> {
        self.world.simulator.configure(&settings).await
    }

    pub(crate) async fn mark(&self) -> Result<Mark> {
        self.asks.mark().await
    }

    /// What the operator asked since the mark.
    pub(crate) async fn since(&self, mark: Mark) -> Result<Calls> {
        self.asks.since(mark).await
    }

    /// Creates a binding and returns how long it took from the request until its status said Ready. The request goes over a connection
    /// that is open: what it costs to open one is not the operator's.
    pub(crate) async fn time_to_ready(&self, namespace: &str, name: &str) -> Result<Duration> {
        let bindings = self.bindings(namespace);
        let of_it = WatchParams::default().fields(&format!("metadata.name={name}"));
        let mut watch = bindings.watch(&of_it, "0").await.context("watching a binding")?.boxed();
        bindings.get_opt(name).await.context("looking for a binding")?;
        let begin = Instant::now();
        bindings
            .create(&PostParams::default(), &binding(name, 1)?)
            .await
            .context("creating a binding")?;
        while let Some(event) = watch.try_next().await.context("watching a binding")? {
            if let WatchEvent::Added(seen) | WatchEvent::Modified(seen) = event
                && is_ready(&seen)
            {
                return Ok(begin.elapsed());
            }
        }
        anyhow::bail!("the watch of {name} ended before it was Ready")
    }

    /// Creates many bindings over several namespaces, and returns how long it took until all were Ready.
    pub(crate) async fn roll_out(&self, prefix: &str, count: usize, deadline: Duration) -> Result<Duration> {
        const IN_A_NAMESPACE: usize = 100;
        let namespaces = self.namespaces(prefix, count, IN_A_NAMESPACE).await?;
        let begin = Instant::now();
        self.create(&namespaces, count, IN_A_NAMESPACE).await?;
        self.until_ready(&namespaces, deadline).await?;
        Ok(begin.elapsed())
    }

    /// Creates the namespaces of so many bindings, so many in each.
    pub(crate) async fn namespaces(&self, prefix: &str, count: usize, in_a_namespace: usize) -> Result<Vec<String>> {
        let places = 0..count.div_ceil(in_a_namespace.max(1));
        let namespaces: Vec<String> = places.map(|i| format!("{prefix}-{i}")).collect();
        for namespace in &namespaces {
            self.world.cluster.namespace(namespace).await?;
        }
        Ok(namespaces)
    }

    /// Creates many bindings, so many in each of these namespaces.
    pub(crate) async fn create(&self, namespaces: &[String], count: usize, in_a_namespace: usize) -> Result<()> {
        stream::iter(0..count)
            .map(async |i| {
                let namespace = namespaces
                    .get(i / in_a_namespace.max(1))
                    .context("too few namespaces")?;
                let name = format!("binding-{i}");
                let created = self
                    .bindings(namespace)
                    .create(&PostParams::default(), &binding(&name, 1)?)
                    .await;
                created
                    .map(drop)
                    .with_context(|| format!("creating {namespace}/{name}"))
            })
            .buffer_unordered(CREATED_AT_ONCE)
            .try_collect::<()>()
            .await
    }

    /// Waits until all bindings of these namespaces are Ready.
    pub(crate) async fn until_ready(&self, namespaces: &[String], deadline: Duration) -> Result<()> {
        until("all bindings to be Ready", deadline, async || {
            let (mut ready, mut all) = (0, 0);
            for namespace in namespaces {
                let listed = self.bindings(namespace).list(&ListParams::default()).await?;
                ready += listed.iter().filter(|binding| is_ready(binding)).count();
                all += listed.items.len();
            }
            ensure!(ready == all, "{ready} of {all} are");
            Ok(Some(()))
        })
        .await
    }

    /// How many bindings there are.
    pub(crate) async fn count(&self) -> Result<usize> {
        let all: Api<WorkloadIdentityBinding> = Api::all(self.client());
        Ok(all
            .list_metadata(&ListParams::default())
            .await
            .context("listing bindings")?
            .items
            .len())
    }
}

/// A binding with a managed identity.
pub(crate) fn binding(name: &str, accounts: usize) -> Result<WorkloadIdentityBinding> {
    let accounts: Vec<Value> = (0..accounts)
        .map(|i| json!({ "name": format!("{name}-{i}") }))
        .collect();
    let binding = json!({
        "apiVersion": "workloadidentity.dev/v1alpha1",
        "kind": "WorkloadIdentityBinding",
        "metadata": { "name": name },
        "spec": { "identity": { "managed": {} }, "serviceAccounts": accounts },
    });
    serde_json::from_value(binding).context("writing a binding")
}

pub(crate) fn is_ready(binding: &WorkloadIdentityBinding) -> bool {
    let conditions = binding.status.iter().flat_map(|status| &status.conditions);
    conditions
        .into_iter()
        .any(|condition| condition.type_ == "Ready" && condition.status == "True")
}
