//! The chart's upgrade from what an earlier one installed, and the way back, with a binding in place. No release was made yet: what the operator
//! might do before its role was parted stands in the folder beside, and the rest of that chart is today's.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use wio_e2e::audit::Mark;
use wio_e2e::cluster::Cluster;
use wio_e2e::operator::{NAME, NAMESPACE, Operator, USER, platform_policy};
use wio_e2e::paths::files_below;
use wio_e2e::scratch::Scratch;
use wio_e2e::simulator::Simulator;
use wio_e2e::wait::until;
use wio_e2e::world::World;

use crate::harness::{Case, case};
use crate::install::{CHART, in_repository, may, values};

const DEADLINE: Duration = Duration::from_mins(1);
const BINDING: [&str; 2] = ["wib/orders", "--namespace=shop"];
const WATCHED: &str = "WIO_WATCH_NAMESPACES";

pub(crate) fn cases() -> Vec<Case> {
    vec![
        case!(an_upgrade_and_the_way_back_take_the_surplus_rights_and_write_nothing_of_a_binding_in_place)
            .on_own_cluster(),
    ]
}

/// A cluster with an operator that a chart installed, and Azure beside it.
struct Installed {
    // In the order in which they stop.
    operator: Operator,
    simulator: Simulator,
    cluster: Cluster,
    _scratch: Scratch,
}

async fn an_upgrade_and_the_way_back_take_the_surplus_rights_and_write_nothing_of_a_binding_in_place(
    _: Arc<World>,
) -> Result<()> {
    let mut installed = Installed::by_the_earlier_chart().await?;
    for what in ["patch serviceaccounts", "create events.k8s.io"] {
        ensure!(may(&installed.cluster, what, "elsewhere").await?, "{what}, before");
    }
    let before = installed.binding().await?;
    let (mark, asked) = (installed.mark()?, installed.written_to_azure().await?);

    // As everybody upgrades: the same values.
    installed.upgrade(&[]).await?;
    let rules = installed.rules().await?;
    ensure!(
        rules.iter().all(|rule| rule["apiGroups"] != json!(["events.k8s.io"])),
        "{rules:#?}"
    );
    let accounts: Vec<&Value> = rules
        .iter()
        .filter(|rule| rule["resources"] == json!(["serviceaccounts"]))
        .collect();
    ensure!(
        accounts
            .iter()
            .all(|rule| rule["verbs"] == json!(["get", "list", "watch"]))
            && accounts.len() == 1,
        "{rules:#?}"
    );
    installed.works_on_after("the-upgrade", None).await?;

    // What it may write is bound in one namespace alone, and nothing of before is left that would hold elsewhere.
    installed.upgrade(&["watchNamespaces={shop}"]).await?;
    for what in [
        "patch serviceaccounts",
        "create serviceaccounts",
        "delete serviceaccounts",
        "create events.k8s.io",
    ] {
        ensure!(may(&installed.cluster, what, "shop").await?, "{what} in shop");
        ensure!(!may(&installed.cluster, what, "elsewhere").await?, "{what} elsewhere");
    }
    installed.works_on_after("the-narrowing", Some("shop")).await?;

    installed
        .cluster
        .helm
        .run(&["rollback", NAME, "1", "--namespace", NAMESPACE])
        .await?;
    ensure!(
        may(&installed.cluster, "patch serviceaccounts", "elsewhere").await?,
        "after the way back"
    );
    installed.works_on_after("the-way-back", None).await?;

    let after = installed.binding().await?;
    for part in [
        "/metadata/generation",
        "/spec",
        "/status/conditions",
        "/status/identity",
    ] {
        ensure!(
            before.pointer(part) == after.pointer(part),
            "{part}: {before:#} became {after:#}"
        );
    }
    let written = installed.written_to_azure().await?;
    ensure!(written == asked, "{written:#?} instead of {asked:#?}");
    // It says each time that it looked, as it was asked to, and that is all.
    let told = installed.written(mark)?;
    ensure!(
        told.len() == 3 && told.iter().all(|what| what == "patch workloadidentitybindings/status"),
        "{told:#?}"
    );
    Ok(())
}

// === impl Installed ===

impl Installed {
    /// Until the binding is Ready.
    async fn by_the_earlier_chart() -> Result<Self> {
        let scratch = Scratch::new()?;
        let cluster = Cluster::start(&scratch).await?;
        let simulator = Simulator::start(&scratch, cluster.authority()).await?;
        for (path, text) in files_below(CHART)? {
            let text = match path.as_str() {
                "templates/roles.yaml" => include_str!("upgrade/earlier.yaml").to_owned(),
                "templates/rolebindings.yaml" => continue,
                "Chart.yaml" => text.replace("\nversion: ", "\nversion: 0.0.1-"),
                _ => text,
            };
            scratch.write(&format!("earlier/{path}"), text)?;
        }
        let chart = scratch.path().join("earlier");
        let chart = chart.to_str().context("the run's path is not Unicode")?;
        let install = ["install", NAME, chart, "--namespace", NAMESPACE, "--create-namespace"];
        let values = values(&[]);
        let words: Vec<&str> = install.into_iter().chain(values.iter().map(String::as_str)).collect();
        cluster.helm.run(&words).await?;
        cluster.kubectl.run(&["create", "namespace", "shop"]).await?;
        cluster.kubectl.apply(&platform_policy().to_string()).await?;
        let operator = Operator::start_installed(&scratch, &cluster, &simulator).await?;
        let binding = json!({
            "apiVersion": "workloadidentity.dev/v1alpha1",
            "kind": "WorkloadIdentityBinding",
            "metadata": { "name": "orders", "namespace": "shop" },
            "spec": { "identity": { "managed": {} }, "serviceAccounts": [{ "name": "orders" }] },
        });
        until("the binding to be admitted", DEADLINE, async || {
            cluster.kubectl.apply(&binding.to_string()).await.map(Some)
        })
        .await?;
        let ready = [&["wait", "--for=condition=Ready", "--timeout=60s"], &BINDING[..]].concat();
        cluster.kubectl.run(&ready).await?;
        Ok(Self {
            operator,
            simulator,
            cluster,
            _scratch: scratch,
        })
    }

    /// To the chart of today.
    async fn upgrade(&self, more: &[&str]) -> Result<()> {
        let chart = in_repository(CHART)?;
        let values = values(more);
        let upgrade = ["upgrade", NAME, &chart, "--namespace", NAMESPACE];
        let words: Vec<&str> = upgrade.into_iter().chain(values.iter().map(String::as_str)).collect();
        self.cluster.helm.run(&words).await.map(drop)
    }

    /// Lets another operator take over, as the Deployment does, and have a look at the binding.
    async fn works_on_after(&mut self, word: &str, watched: Option<&str>) -> Result<()> {
        self.operator.restart_with(WATCHED, watched).await?;
        let kubectl = &self.cluster.kubectl;
        let asked = format!("workloadidentity.dev/reconcile-at={word}");
        kubectl
            .run(&[&["annotate"], &BINDING[..], &["--overwrite", &asked]].concat())
            .await?;
        let looked = format!("--for=jsonpath={{.status.lastHandledReconcileAt}}={word}");
        kubectl
            .run(&[&["wait", &looked, "--timeout=60s"], &BINDING[..]].concat())
            .await
            .map(drop)
    }

    async fn binding(&self) -> Result<Value> {
        self.cluster.kubectl.get(&BINDING).await
    }

    /// The rules of the operator's own role.
    async fn rules(&self) -> Result<Vec<Value>> {
        let role = self.cluster.kubectl.get(&["clusterrole", NAME]).await?;
        let rules = role.pointer("/rules").and_then(Value::as_array);
        rules.cloned().context("a role without rules")
    }

    fn mark(&self) -> Result<Mark> {
        self.cluster.audit()?.mark()
    }

    /// What the operator wrote in the binding's namespace since then.
    fn written(&self, mark: Mark) -> Result<Vec<String>> {
        let mut events = self.cluster.audit()?.since(mark)?;
        events.retain(|event| event.user == USER && event.namespace == "shop" && event.writes());
        let told = |resource: &str, subresource: &str| match subresource {
            "" => resource.to_owned(),
            _ => format!("{resource}/{subresource}"),
        };
        Ok(events
            .iter()
            .map(|event| format!("{} {}", event.verb, told(&event.resource, &event.subresource)))
            .collect())
    }

    /// How often something was written to Azure until now, by whomever.
    async fn written_to_azure(&self) -> Result<Vec<String>> {
        let mut requests = self.simulator.requests().await?;
        requests.retain(|request| request.writes);
        Ok(requests
            .into_iter()
            .map(|request| format!("{} {}", request.method, request.path))
            .collect())
    }
}
