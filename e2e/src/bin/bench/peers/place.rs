//! An operator on an API server and a simulator of its own, and the objects that a person gives it.

use std::collections::HashSet;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, bail};
use futures::{StreamExt, TryStreamExt, stream};
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, PostParams};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use wio_e2e::aso::{self, AzureServiceOperator};
use wio_e2e::cluster::Cluster;
use wio_e2e::operator::{self, Operator};
use wio_e2e::process::Signal;
use wio_e2e::scratch::Scratch;
use wio_e2e::simulator::Simulator;
use wio_e2e::wait::until;
use wio_e2e::world::report;

use super::{ACCOUNTS, DEADLINE};
use crate::AS_DEPLOYED;
use crate::asked::{Asks, Calls, Mark};
use crate::measure::{CREATED_AT_ONCE, binding};
use crate::process::Running;
use crate::seed::IN_A_NAMESPACE;

/// An operator is at rest when it asked nothing for so long: longer than it takes either to become the leader.
pub(super) const QUIET: Duration = Duration::from_secs(30);
/// As the chart has it.
const LEASE: (&str, &str) = ("WIO_LEASE_DURATION", "30s");
const LEASES: &str = "coordination.k8s.io";

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Ours,
    Theirs,
}

/// The parts, running. They stop in the order of the fields.
pub(super) struct Place {
    operator: Either,
    simulator: Simulator,
    cluster: Cluster,
    scratch: Scratch,
    issuer: String,
}

enum Either {
    Ours(Box<Operator>),
    Theirs(Box<AzureServiceOperator>),
}

// === impl Side ===

impl Side {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::Theirs => "Azure Service Operator",
        }
    }
}

// === impl Place ===

impl Place {
    /// Starts everything for one side, with its settings as its chart has them, and with these.
    pub(super) async fn start(side: Side, settings: &[(&str, &str)]) -> Result<Self> {
        let scratch = Scratch::new()?;
        let started = Self::start_in(&scratch, side).await;
        let (operator, simulator, cluster) = started.with_context(|| report(&scratch))?;
        let issuer = cluster.issuer().await?;
        let mut place = Self {
            operator,
            simulator,
            cluster,
            scratch,
            issuer,
        };
        let begun = place.begin(settings).await;
        begun.with_context(|| place.report())?;
        Ok(place)
    }

    /// Starts the operator with its settings. Ours waits for a whole lease before it leads where there was no Lease before: the work begins
    /// after that. The peer leads at once.
    async fn begin(&mut self, settings: &[(&str, &str)]) -> Result<()> {
        self.restart(settings).await?;
        let Either::Ours(ours) = &self.operator else {
            return Ok(());
        };
        until("the operator to lead", DEADLINE, async || {
            let metrics = ours.metrics().await?;
            Ok(metrics.lines().any(|line| line == "wio_leader 1").then_some(()))
        })
        .await
    }

    async fn start_in(scratch: &Scratch, side: Side) -> Result<(Either, Simulator, Cluster)> {
        let cluster = Cluster::start(scratch).await.context("starting the control plane")?;
        let simulator = Simulator::start(scratch, cluster.authority())
            .await
            .context("starting the simulator")?;
        let operator = match side {
            Side::Ours => {
                let mut ours = Operator::start(scratch, &cluster, &simulator).await?;
                ours.elect(true);
                for (name, value) in AS_DEPLOYED.into_iter().chain([LEASE]) {
                    ours.set(name, value);
                }
                Either::Ours(Box::new(ours))
            }
            Side::Theirs => {
                let theirs = AzureServiceOperator::start(scratch, &cluster, &simulator);
                Either::Theirs(Box::new(theirs.await.context("starting Azure Service Operator")?))
            }
        };
        Ok((operator, simulator, cluster))
    }

    /// The end of every log.
    pub(super) fn report(&self) -> String {
        report(&self.scratch)
    }

    /// How long each call to the simulated Azure takes.
    pub(super) async fn latency(&self, latency: Duration) -> Result<()> {
        self.simulator
            .configure(&json!({ "latencyMs": latency.as_millis() }))
            .await
    }

    /// Ends the operator and starts it again with these settings. Gives the places in the logs, and the time, of its start.
    pub(super) async fn restart(&mut self, settings: &[(&str, &str)]) -> Result<(Mark, SystemTime)> {
        match &mut self.operator {
            Either::Ours(ours) => {
                ours.end(Signal::Terminate).await?;
                for (name, value) in settings {
                    ours.set(name, value);
                }
            }
            Either::Theirs(theirs) => {
                theirs.end().await?;
                for (name, value) in settings {
                    theirs.set(name, value);
                }
            }
        }
        let begin = self.now().await?;
        match &mut self.operator {
            Either::Ours(ours) => ours.run().await?,
            Either::Theirs(theirs) => theirs.run().await?,
        }
        Ok(begin)
    }

    pub(super) fn process(&self) -> Result<Running> {
        Ok(Running::new(match &self.operator {
            Either::Ours(ours) => ours.id()?,
            Either::Theirs(theirs) => theirs.id()?,
        }))
    }

    pub(super) async fn mark(&self) -> Result<Mark> {
        self.asks().mark().await
    }

    /// The places in the logs, and the time.
    pub(super) async fn now(&self) -> Result<(Mark, SystemTime)> {
        Ok((self.mark().await?, SystemTime::now()))
    }

    /// What was asked since the mark, but for what the operator does for its Lease.
    pub(super) async fn since(&self, mark: Mark) -> Result<Calls> {
        let mut calls = self.asks().since(mark).await?;
        calls.kubernetes.retain(|event| event.group != LEASES);
        Ok(calls)
    }

    /// Waits until the operator writes nothing to Kubernetes, and asks nothing of Azure. Gives what it asked since the mark, and how long after
    /// this time it asked for the last time.
    pub(super) async fn quiet(&self, (mark, begin): (Mark, SystemTime)) -> Result<(Duration, Calls)> {
        until("the operator to come to rest", DEADLINE, async || {
            let calls = self.since(mark).await?;
            let writes = calls.kubernetes.iter().filter(|event| event.writes());
            let times = calls.azure.iter().map(|it| it.at).chain(writes.map(|it| it.at));
            let last = times.max().map_or(begin, SystemTime::from);
            if last.max(begin).elapsed().unwrap_or_default() >= QUIET {
                return Ok(Some((last.duration_since(begin).unwrap_or_default(), calls)));
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
            Ok(None)
        })
        .await
    }

    /// Creates so many bindings, or what is one for the other side; gives how long it took until all of that was Ready.
    pub(super) async fn roll_out(&self, count: usize) -> Result<Duration> {
        for n in 0..count.div_ceil(IN_A_NAMESPACE) {
            self.cluster.namespace(&format!("peers-{n}")).await?;
        }
        let begin = Instant::now();
        let ready = async {
            let ready = tokio::time::timeout(DEADLINE, self.until_ready(count * self.written(0)?.len()));
            ready.await.context("not all became Ready")?
        };
        tokio::try_join!(self.create(count), ready)?;
        Ok(begin.elapsed())
    }

    async fn create(&self, count: usize) -> Result<()> {
        stream::iter(0..count)
            .map(async |i| {
                for object in self.written(i)? {
                    let object: DynamicObject = serde_json::from_value(object).context("writing an object")?;
                    let types = object.types.clone().context("an object without a kind")?;
                    let kind = ApiResource::from_gvk(&GroupVersionKind::try_from(types)?);
                    let namespace = object.namespace().unwrap_or_default();
                    let api: Api<DynamicObject> = Api::namespaced_with(self.cluster.client.clone(), &namespace, &kind);
                    let created = api.create(&PostParams::default(), &object).await;
                    created.with_context(|| format!("creating {namespace}/{}", object.name_any()))?;
                }
                Ok(())
            })
            .buffer_unordered(CREATED_AT_ONCE)
            .try_collect()
            .await
    }

    /// What a person writes for one binding.
    fn written(&self, i: usize) -> Result<Vec<Value>> {
        let (namespace, name) = (format!("peers-{}", i / IN_A_NAMESPACE), format!("binding-{i}"));
        match &self.operator {
            Either::Ours(_) => {
                let mut ours = binding(&name, ACCOUNTS)?;
                ours.metadata.namespace = Some(namespace);
                Ok(vec![serde_json::to_value(ours).context("writing a binding")?])
            }
            Either::Theirs(_) => Ok(aso::objects(&namespace, &name, ACCOUNTS, &self.issuer)),
        }
    }

    /// Watches until so many objects are Ready. Each kind is watched as it is stored: the API server asks no webhook to convert it then.
    async fn until_ready(&self, count: usize) -> Result<()> {
        let (group, version, kinds) = match &self.operator {
            Either::Ours(_) => ("workloadidentity.dev", "v1alpha1", &["WorkloadIdentityBinding"][..]),
            Either::Theirs(_) => (
                aso::GROUP,
                aso::STORED,
                &["UserAssignedIdentity", "FederatedIdentityCredential"][..],
            ),
        };
        let watches = kinds.iter().map(|kind| {
            let kind = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
            let api: Api<DynamicObject> = Api::all_with(self.cluster.client.clone(), &kind);
            let watch = watcher(api, watcher::Config::default()).default_backoff();
            watch.applied_objects().boxed()
        });
        let mut seen = stream::select_all(watches);
        let mut ready = HashSet::new();
        while let Some(object) = seen.next().await {
            // A watch that broke begins anew.
            let Ok(object) = object else { continue };
            if is_ready(&object) {
                ready.insert(object.uid());
            } else {
                ready.remove(&object.uid());
            }
            if ready.len() == count {
                return Ok(());
            }
        }
        bail!("the watches ended")
    }

    fn asks(&self) -> Asks<'_> {
        let (principal, user) = match &self.operator {
            Either::Ours(ours) => (ours.principal(), operator::USER),
            Either::Theirs(theirs) => (theirs.principal(), aso::USER),
        };
        Asks {
            simulator: &self.simulator,
            cluster: &self.cluster,
            principal: principal.principal_id.clone(),
            user,
        }
    }
}

fn is_ready(object: &DynamicObject) -> bool {
    let conditions = object.data.pointer("/status/conditions").and_then(Value::as_array);
    conditions.into_iter().flatten().any(|condition| {
        condition.get("type").and_then(Value::as_str) == Some("Ready")
            && condition.get("status").and_then(Value::as_str) == Some("True")
    })
}
