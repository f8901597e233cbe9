//! The operator, its policies and bindings as an Application of Applications.
#![allow(
    clippy::indexing_slicing,
    reason = "of JSON by keys only, where what is missing is null"
)]

use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use serde_json::json;
use wio_e2e::argocd::{self, ArgoCd, CLUSTER};
use wio_e2e::namespace::{DEADLINE, Namespace};
use wio_e2e::operator;
use wio_e2e::paths::files_below;
use wio_e2e::process::Signal;
use wio_e2e::simulator::{OTHER_GROUP, identity_id};
use wio_e2e::wait::until;
use wio_e2e::world::World;

use super::argo_cd;
use super::git::{example, policy_and_binding};
use super::writes::{refusals, writes};
use crate::install::in_repository;

/// The same for the repository of this run.
async fn example_here(argo: &ArgoCd, name: &str) -> Result<String> {
    let mut application = example(name)?;
    application["spec"]["source"]["repoURL"] = json!(argo.repository().await);
    Ok(application.to_string())
}

/// What a kubelet would do: says of the operator's pods that they run.
async fn pretend_that_pods_run(world: &World) -> Result<()> {
    let kubectl = &world.cluster.kubectl;
    let pods = kubectl.get(&["pods", "--namespace", operator::NAMESPACE]).await?;
    let ready = json!({ "status": {
        "phase": "Running",
        "conditions": [{ "type": "Ready", "status": "True" }, { "type": "ContainersReady", "status": "True" }],
    } })
    .to_string();
    for pod in pods["items"].as_array().into_iter().flatten() {
        let name = pod["metadata"]["name"].as_str().context("a pod without a name")?;
        let patch = [
            "patch",
            "pod",
            name,
            "--namespace",
            operator::NAMESPACE,
            "--subresource=status",
            "--patch",
            &ready,
        ];
        if pod["status"]["phase"] != "Running" {
            kubectl.run(&patch).await?;
        }
    }
    Ok(())
}

pub(super) async fn operator_policies_and_bindings_come_in_waves_and_bindings_outlive_the_operators_app(
    world: Arc<World>,
) -> Result<()> {
    let argo = argo_cd(&world).await?;
    let kubectl = &world.cluster.kubectl;
    let namespace = world.namespace("argo-platform").await?;
    let name = namespace.name.as_str();
    world.simulator.put_identity(&identity_id(OTHER_GROUP, name)).await?;
    let chart = files_below("charts/workload-identity-operator")?;
    let chart: Vec<(&str, String)> = chart.iter().map(|(path, text)| (path.as_str(), text.clone())).collect();
    argo.commit("charts/workload-identity-operator", &chart).await?;
    for (file, folder) in policy_and_binding(name, None)?
        .into_iter()
        .zip(["bindings", "policies"])
    {
        argo.commit(folder, &[file]).await?;
    }
    let mut apps = Vec::new();
    for app in ["operator", "policies", "bindings"] {
        apps.push((app.to_owned() + ".yaml", example_here(argo, app).await?));
    }
    let apps: Vec<(&str, String)> = apps.iter().map(|(file, text)| (file.as_str(), text.clone())).collect();
    argo.commit("apps", &apps).await?;

    argo.apply(
        "workload-identity",
        "apps",
        &json!({ "destination": { "server": CLUSTER, "namespace": argocd::NAMESPACE } }),
    )
    .await?;
    until("the bindings' turn to come", DEADLINE, async || {
        pretend_that_pods_run(&world).await?;
        argo.application("workload-identity-bindings").await.map(Some)
    })
    .await?;
    argo.synced("workload-identity-bindings", "Healthy").await?;
    namespace.ready("orders").await?;
    let refused = refusals(&world, name)?;
    ensure!(refused.is_empty(), "{refused:#?}");
    for app in [
        "workload-identity-operator",
        "workload-identity-policies",
        "workload-identity",
    ] {
        argo.synced(app, "Healthy").await?;
    }
    an_upgrade_of_the_operator_disturbs_no_binding(&namespace, argo, &chart).await?;

    // With the finalizer that the example does not have, Argo CD takes away all that the operator's Application holds.
    let finalizer = r#"--patch={"metadata":{"finalizers":["resources-finalizer.argocd.argoproj.io"]}}"#;
    let alone = r#"--patch={"spec":{"syncPolicy":{"automated":null}}}"#;
    let patch = ["patch", "--namespace", argocd::NAMESPACE, "--type=merge", "application"];
    kubectl
        .run(&[&patch[..], &["workload-identity", alone]].concat())
        .await?;
    kubectl
        .run(&[&patch[..], &["workload-identity-operator", finalizer]].concat())
        .await?;
    argo.delete("workload-identity-operator").await?;
    if kubectl.run(&["get", "clusterrole", operator::NAME]).await.is_ok() {
        bail!("the operator's role should be gone with its Application");
    }
    ensure!(
        namespace.binding("orders").await?.metadata.deletion_timestamp.is_none(),
        "the binding goes with the operator"
    );

    // And comes back: the definitions and the bindings were there all the time.
    kubectl
        .run(
            &[
                &patch[..],
                &[
                    "workload-identity",
                    &alone.replace("null", r#"{"prune":true,"selfHeal":true}"#),
                ],
            ]
            .concat(),
        )
        .await?;
    operator_is_healthy(&world, argo).await?;
    // The service account is another one than before, and so is what the operator signs in with.
    world
        .cluster
        .kubeconfig_of(&world.scratch, operator::NAMESPACE, operator::NAME)
        .await?;
    world.operator.lock().await.restart(Signal::Terminate).await?;
    namespace.ready("orders").await?;
    argo.delete("workload-identity-bindings").await?;
    ensure!(namespace.find_binding("orders").await?.is_none(), "the binding is left");
    Ok(())
}

/// Waits until the operator's Application is in sync and healthy, while a kubelet sees to its pods.
async fn operator_is_healthy(world: &World, argo: &ArgoCd) -> Result<()> {
    until("the operator's Application to be healthy", DEADLINE, async || {
        pretend_that_pods_run(world).await?;
        let status = &argo.application("workload-identity-operator").await?["status"];
        let is = [
            &status["sync"]["status"],
            &status["health"]["status"],
            &status["operationState"]["phase"],
        ];
        Ok((is == ["Synced", "Healthy", "Succeeded"]).then_some(()))
    })
    .await
}

/// A commit with another setting in the chart: the operator's Deployment is rolled, and nobody writes where the binding is.
async fn an_upgrade_of_the_operator_disturbs_no_binding(
    namespace: &Namespace<'_>,
    argo: &ArgoCd,
    chart: &[(&str, String)],
) -> Result<()> {
    let world = namespace.world();
    let deployment = ["get", "deployment", operator::NAME, "--namespace", operator::NAMESPACE];
    let rolled = [&deployment[..], &["--output=jsonpath={.metadata.generation}"]].concat();
    let before = world.cluster.kubectl.run(&rolled).await?;
    let (from, to) = ("\n  log: info\n", "\n  log: debug\n");
    let upgraded: Vec<(&str, String)> = chart
        .iter()
        .map(|(path, text)| match *path {
            "values.yaml" => (*path, text.replace(from, to)),
            _ => (*path, text.clone()),
        })
        .collect();
    ensure!(upgraded != chart, "the chart's values do not hold {from:?}");
    let audit = world.cluster.audit()?;
    let mark = audit.mark()?;
    argo.commit("charts/workload-identity-operator", &upgraded).await?;
    argo.refresh("workload-identity-operator").await?;
    until("the Deployment to be rolled", DEADLINE, async || {
        Ok((world.cluster.kubectl.run(&rolled).await? != before).then_some(()))
    })
    .await?;
    operator_is_healthy(world, argo).await?;
    argo.synced("workload-identity-bindings", "Healthy").await?;
    for user in [argocd::USER, operator::USER] {
        let written = writes(audit, mark, user, &namespace.name)?;
        ensure!(written.is_empty(), "{written:#?}");
    }
    Ok(())
}

/// As kustomize renders it, because Argo CD's own kustomize is not here.
pub(super) async fn the_operator_by_its_kustomization_is_in_sync_and_stays_so(world: Arc<World>) -> Result<()> {
    let folder = in_repository("config/default")?;
    let rendered = world.cluster.kubectl.run(&["kustomize", &folder]).await?;
    is_in_sync_by_either_apply(&world, "argo-kustomization", &[("all.yaml", rendered)], &json!({})).await
}

/// As Argo CD's own Helm renders it.
pub(super) async fn the_operator_by_its_chart_is_in_sync_and_stays_so(world: Arc<World>) -> Result<()> {
    let chart = files_below("charts/workload-identity-operator")?;
    let chart: Vec<(&str, String)> = chart.iter().map(|(path, text)| (path.as_str(), text.clone())).collect();
    let helm = &example("operator")?["spec"]["source"]["helm"];
    let spec = json!({ "source": { "helm": helm }, "destination": { "namespace": operator::NAMESPACE } });
    is_in_sync_by_either_apply(&world, "argo-chart", &chart, &spec).await
}

/// Applied by the client and then by the server, each time until a look at all of it anew finds nothing to write.
async fn is_in_sync_by_either_apply(
    world: &World,
    name: &str,
    files: &[(&str, String)],
    spec: &serde_json::Value,
) -> Result<()> {
    let argo = argo_cd(world).await?;
    argo.commit(name, files).await?;
    let audit = world.cluster.audit()?;
    for options in [json!([]), json!(["ServerSideApply=true"])] {
        let mut spec = spec.clone();
        spec["syncPolicy"] = json!({ "syncOptions": options });
        argo.apply(name, name, &spec).await?;
        // There is no node, so the operator's pods are never ready.
        argo.synced(name, "Progressing").await?;
        argo.refresh(name).await?;
        let mark = audit.mark()?;
        argo.synced(name, "Progressing").await?;
        let written = writes(audit, mark, argocd::USER, operator::NAMESPACE)?;
        ensure!(written.is_empty(), "{written:#?}");
    }

    // The application goes, and of what it holds only what the other tests do not stand on.
    let kubectl = &world.cluster.kubectl;
    let keep = r#"--patch={"metadata":{"finalizers":null}}"#;
    let patch = ["patch", "application", name, "--type=merge", keep];
    kubectl
        .run(&[&patch[..], &["--namespace", argocd::NAMESPACE]].concat())
        .await?;
    argo.delete(name).await?;
    let ours = format!("--selector=app.kubernetes.io/name={}", operator::NAME);
    let kinds = "deployments,poddisruptionbudgets,services,configmaps";
    kubectl
        .run(&["delete", kinds, &ours, "--namespace", operator::NAMESPACE])
        .await
        .map(drop)
}
