//! The operator, its policies and its bindings from one repository, by the Kustomizations of `config/flux`. In a cluster of its own: what Flux
//! takes away here the other tests stand on.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures::StreamExt;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Patch, PatchParams};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use wio_api::{ConditionType, Reason, WorkloadIdentityBinding};
use wio_azure_sim::Credential;
use wio_e2e::audit::{AuditEvent, Mark};
use wio_e2e::cluster::Cluster;
use wio_e2e::flux::{self, Flux, Repository};
use wio_e2e::operator::{NAME, NAMESPACE, Operator};
use wio_e2e::paths::repository;
use wio_e2e::process::Signal;
use wio_e2e::scratch::Scratch;
use wio_e2e::simulator::{PLATFORM_GROUP, Simulator, identity_id};
use wio_e2e::wait::until;
use wio_e2e::world::World;

use crate::harness::{Case, case};
use crate::install::in_repository;

const DEADLINE: Duration = Duration::from_mins(2);

pub(super) fn cases() -> Vec<Case> {
    vec![
        case!(operator_policies_and_bindings_come_from_one_repository_and_each_fails_alone),
        case!(policies_that_are_pruned_together_end_no_trust_and_all_can_leave_in_order),
        case!(the_chart_by_flux_has_fields_that_exist_and_values_that_the_chart_takes),
    ]
}

/// A cluster with Flux, Azure beside it, and the repository with what `config/flux` names.
struct Fleet {
    // In the order in which they stop.
    kubelet: JoinHandle<()>,
    operator: Mutex<Option<Operator>>,
    flux: Flux,
    simulator: Simulator,
    cluster: Cluster,
    scratch: Scratch,
}

// === impl Fleet ===

impl Fleet {
    async fn start() -> Result<Self> {
        let scratch = Scratch::new()?;
        let cluster = Cluster::start(&scratch).await?;
        let simulator = Simulator::start(&scratch, cluster.authority()).await?;
        // What others own of config/samples.
        simulator.put_identity(&payments()).await?;
        let kubectl = &cluster.kubectl;
        kubectl.run(&["create", "namespace", "bank"]).await?;
        kubectl
            .run(&["create", "serviceaccount", "payments", "--namespace=bank"])
            .await?;
        let flux = Flux::start(&scratch, &cluster).await?;
        Ok(Self {
            kubelet: tokio::spawn(kubelet(cluster.client.clone())),
            operator: Mutex::new(None),
            flux,
            simulator,
            cluster,
            scratch,
        })
    }

    /// What lies in the repository of whoever copied `config`.
    fn repository(&self) -> Result<Repository<'_>> {
        let mut repository = self.flux.repository("flux-system");
        for folder in [
            "default",
            "component",
            "crd",
            "rbac",
            "admission",
            "manager",
            "settings",
            "samples",
        ] {
            repository.take(&format!("config/{folder}"))?;
        }
        Ok(repository)
    }

    async fn apply(&self, what: &str) -> Result<()> {
        let apply = ["apply", "--server-side", "--kustomize", &in_repository(what)?];
        self.cluster.kubectl.run(&apply).await.map(drop)
    }

    /// What a node does once Flux made the Deployment: it runs the operator. Then all three must come to be.
    async fn comes_up(&self) -> Result<()> {
        self.apply("config/flux").await?;
        let deployments: Api<Deployment> = Api::namespaced(self.cluster.client.clone(), NAMESPACE);
        until("the Deployment", DEADLINE, async || {
            Ok(deployments.get_opt(NAME).await?)
        })
        .await?;
        let started = Operator::start_installed(&self.scratch, &self.cluster, &self.simulator).await?;
        *self.operator.lock().await = Some(started);
        for name in [OPERATOR, POLICIES, BINDINGS] {
            self.flux.existing(name).ready().await?;
        }
        self.both_ready().await
    }

    async fn binding(&self, (namespace, name): (&str, &str)) -> Result<WorkloadIdentityBinding> {
        let bindings: Api<WorkloadIdentityBinding> = Api::namespaced(self.cluster.client.clone(), namespace);
        bindings
            .get(name)
            .await
            .with_context(|| format!("reading {namespace}/{name}"))
    }

    /// Waits until a condition of a binding has this status and reason.
    async fn says(&self, binding: (&str, &str), kind: ConditionType, status: &str, reason: Reason) -> Result<String> {
        until(
            &format!("{kind}={status} with {reason} on {binding:?}"),
            DEADLINE,
            async || {
                let found = self.binding(binding).await?;
                let conditions = found.status.unwrap_or_default().conditions;
                let condition = conditions.iter().find(|it| it.type_ == kind.as_str());
                let is = condition.is_some_and(|it| it.status == status && it.reason == reason.as_str());
                ensure!(is, "{conditions:#?}");
                Ok(condition.map(|it| it.message.clone()))
            },
        )
        .await
    }

    async fn both_ready(&self) -> Result<()> {
        for binding in [ORDERS, PAYMENTS] {
            self.says(binding, ConditionType::Ready, "True", Reason::Succeeded)
                .await?;
        }
        Ok(())
    }

    /// Whom the identity that the platform team owns trusts.
    async fn trust(&self) -> Result<Vec<Credential>> {
        let identity = self.simulator.identity(&payments()).await?;
        Ok(identity.context("the identity is gone")?.credentials)
    }

    fn mark(&self) -> Result<Mark> {
        self.cluster.audit()?.mark()
    }

    /// What Flux asked to write since then, but what it says of itself.
    fn asked_by_flux(&self, mark: Mark) -> Result<Vec<AuditEvent>> {
        let mut events = self.cluster.audit()?.since(mark)?;
        events.retain(|event| {
            event.user == flux::USER
                && event.writes()
                && event.resource != "events"
                && !event.group.ends_with("fluxcd.io")
        });
        Ok(events)
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        self.kubelet.abort();
    }
}

const OPERATOR: &str = "workload-identity-operator";
const POLICIES: &str = "workload-identity-policies";
const BINDINGS: &str = "workload-identity-bindings";
const ORDERS: (&str, &str) = ("shop", "orders");
const PAYMENTS: (&str, &str) = ("bank", "payments");
const SETTINGS: &str = "config/settings/settings.env";
const PAYMENTS_FILE: &str = "config/samples/bindings/existing.yaml";

fn payments() -> String {
    identity_id(PLATFORM_GROUP, "payments")
}

/// Says of every pod that it runs and is ready, as nodes do.
async fn kubelet(client: Client) {
    let ready = json!({ "status": { "phase": "Running", "conditions": [
        { "type": "Ready", "status": "True" },
        { "type": "ContainersReady", "status": "True" },
    ] } });
    let pods = watcher(Api::<Pod>::all(client.clone()), watcher::Config::default()).default_backoff();
    let mut pods = std::pin::pin!(pods.applied_objects());
    while let Some(pod) = pods.next().await {
        let Ok(pod) = pod else { continue };
        if pod.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Running") {
            continue;
        }
        let of: Api<Pod> = Api::namespaced(client.clone(), &pod.namespace().unwrap_or_default());
        // A pod that has gone is none that must run.
        let _ = of
            .patch_status(&pod.name_any(), &PatchParams::default(), &Patch::Merge(&ready))
            .await;
    }
}

async fn operator_policies_and_bindings_come_from_one_repository_and_each_fails_alone(_: Arc<World>) -> Result<()> {
    let fleet = Fleet::start().await?;
    let beginning = fleet.mark()?;
    let mut repository = fleet.repository()?;
    repository.commit().await?;
    fleet.comes_up().await?;
    // At the first try, however soon after the policies.
    let mut refused = fleet.asked_by_flux(beginning)?;
    refused.retain(|event| event.resource == "workloadidentitybindings" && event.code >= 400);
    ensure!(refused.is_empty(), "{refused:#?}");

    // What the API server filled in is no drift.
    let mark = fleet.mark()?;
    for _ in 0..3 {
        fleet.flux.existing(OPERATOR).reconcile_well().await?;
    }
    let mut asked = fleet.asked_by_flux(mark)?;
    ensure!(asked.iter().any(AuditEvent::is_dry_run), "Flux did not look");
    asked.retain(|event| !event.is_dry_run());
    ensure!(asked.is_empty(), "{asked:#?}");

    an_upgrade_beside_a_refused_binding(&fleet, &mut repository).await?;
    the_operator_is_taken_away_and_put_back(&fleet).await
}

/// One commit with other settings of the operator and with a binding that admission refuses.
async fn an_upgrade_beside_a_refused_binding(fleet: &Fleet, repository: &mut Repository<'_>) -> Result<()> {
    let deployments: Api<Deployment> = Api::namespaced(fleet.cluster.client.clone(), NAMESPACE);
    let before = deployments.get(NAME).await?;
    let trust = fleet.trust().await?;
    let [allowed, refused] = ["payments", "theirs"].map(|name| format!("userAssignedIdentities/{name}"));
    repository.edit(SETTINGS, "WIO_LOCATION=westeurope", "WIO_LOCATION=northeurope")?;
    repository.edit(PAYMENTS_FILE, &allowed, &refused)?;
    let revision = repository.commit().await?;
    let [operator, policies, bindings] = [OPERATOR, POLICIES, BINDINGS].map(|name| fleet.flux.existing(name));
    operator.applied(&revision).await?;
    policies.applied(&revision).await?;
    let after = deployments.get(NAME).await?;
    ensure!(
        before.metadata.generation != after.metadata.generation,
        "the Deployment was not rolled"
    );
    let (_, message) = bindings.failed(&revision).await?;
    ensure!(
        message.contains("WorkloadIdentityBinding/bank/payments dry-run failed"),
        "{message}"
    );
    // The roll ends the operator that ran, and another one begins.
    let mut running = fleet.operator.lock().await;
    running
        .as_mut()
        .context("the operator does not run")?
        .restart(Signal::Terminate)
        .await?;
    fleet.both_ready().await?;
    ensure!(fleet.trust().await? == trust, "the trust is another one");

    repository.edit(PAYMENTS_FILE, &refused, &allowed)?;
    let revision = repository.commit().await?;
    bindings.applied(&revision).await
}

/// The operator's Kustomization, while bindings exist.
async fn the_operator_is_taken_away_and_put_back(fleet: &Fleet) -> Result<()> {
    let trust = fleet.trust().await?;
    let identity =
        async || Ok::<_, anyhow::Error>(fleet.binding(ORDERS).await?.status.and_then(|status| status.identity));
    let before = identity().await?;
    let running = fleet.operator.lock().await.take();
    running
        .context("the operator does not run")?
        .end(Signal::Terminate)
        .await?;
    fleet.flux.existing(OPERATOR).delete().await?;
    let gone = [
        "wait",
        "--for=delete",
        &format!("namespace/{NAMESPACE}"),
        "--timeout=120s",
    ];
    fleet.cluster.kubectl.run(&gone).await?;
    for binding in [ORDERS, PAYMENTS] {
        let found = fleet.binding(binding).await?;
        ensure!(
            found.metadata.deletion_timestamp.is_none(),
            "{binding:?} is being deleted"
        );
    }
    fleet.both_ready().await?;

    fleet.comes_up().await?;
    ensure!(fleet.trust().await? == trust, "the trust is another one");
    let after = identity().await?;
    ensure!(before == after, "{after:?} instead of {before:?}");
    Ok(())
}

/// In the order of docs/gitops.md: nothing hangs, and nothing is left in Azure.
async fn all_of_it_leaves(fleet: &Fleet) -> Result<()> {
    fleet.flux.existing(BINDINGS).delete().await?;
    ensure!(fleet.trust().await?.is_empty(), "trust is left");
    let identities = fleet.simulator.snapshot().await?.identities;
    ensure!(
        !identities.iter().any(|it| it.id.name.starts_with("wib-")),
        "{identities:#?}"
    );
    for name in [POLICIES, OPERATOR] {
        fleet.flux.existing(name).delete().await?;
    }
    Ok(())
}

async fn policies_that_are_pruned_together_end_no_trust_and_all_can_leave_in_order(_: Arc<World>) -> Result<()> {
    let fleet = Fleet::start().await?;
    fleet.repository()?.commit().await?;
    fleet.comes_up().await?;
    let trust = fleet.trust().await?;

    fleet.flux.existing(POLICIES).delete().await?;
    let left = fleet.cluster.kubectl.get(&["wip"]).await?;
    ensure!(left.pointer("/items") == Some(&json!([])), "{left:#}");
    let held = (ConditionType::Authorized, "Unknown", Reason::MassDisappearance);
    fleet.says(PAYMENTS, held.0, held.1, held.2).await?;
    ensure!(fleet.trust().await? == trust, "the trust is another one");
    fleet.apply("config/flux").await?;
    fleet.flux.existing(POLICIES).ready().await?;
    fleet.both_ready().await?;
    ensure!(fleet.trust().await? == trust, "the trust is another one");
    all_of_it_leaves(&fleet).await
}

/// There is no helm-controller here: of the HelmRelease only what the chart is given is tried.
async fn the_chart_by_flux_has_fields_that_exist_and_values_that_the_chart_takes(world: Arc<World>) -> Result<()> {
    let cluster = &world.cluster;
    world.flux().await?;
    let source = in_repository("config/flux/helm/chart.yaml")?;
    let apply = [
        "apply",
        "--server-side",
        "--dry-run=server",
        "--validate=strict",
        "--filename",
        &source,
    ];
    cluster.kubectl.run(&apply).await?;

    let release = std::fs::read_to_string(repository().join("config/flux/helm/release.yaml"))?;
    let release: Value = serde_yaml_ng::from_str(&release).context("config/flux/helm/release.yaml")?;
    let values = release.pointer("/spec/values").context("the release has no values")?;
    let file = world.scratch.write("flux/values.json", values.to_string())?;
    let file = file.to_str().context("the run's path is not Unicode")?;
    let chart = in_repository("charts/workload-identity-operator")?;
    let rendered = cluster.helm.run(&["template", NAME, &chart, "--values", file]).await?;
    let client_id = values.pointer("/azure/clientId").and_then(Value::as_str);
    ensure!(
        rendered.contains(client_id.context("there is no client id")?),
        "{rendered}"
    );
    Ok(())
}
