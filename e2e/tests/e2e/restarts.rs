//! Owners of pods that the operator restarts, and what its account may change of them.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use wio_api::keys::ROLLOUT_ANNOTATION;
use wio_api::{Reason, RestartResult, RestartStatus};
use wio_e2e::namespace::{DEADLINE, Namespace};
use wio_e2e::operator::USER;
use wio_e2e::pods::USE_LABEL;
use wio_e2e::wait::until;
use wio_e2e::world::World;

use crate::harness::{Case, case};

const RULE: &str = "ValidatingAdmissionPolicy 'workload-identity-operator-restarts'";

pub(crate) fn cases() -> Vec<Case> {
    vec![case!(a_deployment_is_restarted_once_and_the_operator_may_change_nothing_else_of_it).on_own_cluster()]
}

/// An owner of pods that run as the service account of the same name.
pub(crate) fn owner(namespace: &str, kind: &str, name: &str) -> Value {
    let selector = json!({ "matchLabels": { "app": name } });
    let template = json!({
        "metadata": { "labels": { "app": name, USE_LABEL: "true" } },
        "spec": { "serviceAccountName": name, "containers": [{ "name": "main", "image": "registry.example/app:1" }] },
    });
    let spec = match kind {
        "Deployment" => json!({ "selector": selector, "template": template, "strategy": { "type": "Recreate" } }),
        "StatefulSet" => json!({ "selector": selector, "template": template, "serviceName": name }),
        _ => json!({ "selector": selector, "template": template }),
    };
    json!({ "apiVersion": "apps/v1", "kind": kind, "metadata": { "name": name, "namespace": namespace }, "spec": spec })
}

/// Makes one, with a service account that has no client id yet.
async fn make_owner(namespace: &Namespace<'_>, kind: &str, name: &str) -> Result<()> {
    namespace.kubectl(&["create", "serviceaccount", name]).await?;
    namespace.apply(&owner(&namespace.name, kind, name)).await
}

/// A pod of a `DaemonSet`: without a node its controller makes none.
async fn pod_of_daemon_set(namespace: &Namespace<'_>, name: &str) -> Result<()> {
    let uid = read(namespace, &format!("daemonset/{name}"), "{.metadata.uid}").await?;
    let by = json!({ "apiVersion": "apps/v1", "kind": "DaemonSet", "name": name, "uid": uid, "controller": true });
    let pod = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name, "namespace": namespace.name, "labels": { "app": name, USE_LABEL: "true" }, "ownerReferences": [by],
        },
        "spec": { "serviceAccountName": name, "containers": [{ "name": "main", "image": "registry.example/app:1" }] },
    });
    namespace.apply(&pod).await
}

pub(crate) async fn read(namespace: &Namespace<'_>, object: &str, path: &str) -> Result<String> {
    let path = format!("--output=jsonpath={path}");
    Ok(namespace.kubectl(&["get", object, &path]).await?.trim().to_owned())
}

/// The only pod of an application, which is not this one.
pub(crate) async fn pod_of(namespace: &Namespace<'_>, name: &str, before: &str) -> Result<String> {
    until(&format!("a pod of {name}"), DEADLINE, async || {
        let label = format!("--selector=app={name}");
        let names = namespace
            .kubectl(&["get", "pods", &label, "--output=jsonpath={.items[*].metadata.name}"])
            .await?;
        let mut names = names.split_whitespace();
        let (first, more) = (names.next(), names.next());
        Ok(first
            .filter(|first| more.is_none() && *first != before)
            .map(str::to_owned))
    })
    .await
}

fn spec(name: &str) -> Value {
    json!({ "identity": { "managed": {} }, "serviceAccounts": [{ "name": name }], "rollout": "Restart" })
}

async fn bind(namespace: &Namespace<'_>, name: &str) -> Result<()> {
    namespace.bind(name, &spec(name)).await
}

/// What the plugin prints, whatever it ends with.
async fn prints(namespace: &Namespace<'_>, asked: &[&str], input: Option<&Value>, says: &str) -> Result<()> {
    let told = namespace.wib(asked, input).await?;
    ensure!(told.out.contains(says), "no {says:?} in\n{}{}", told.out, told.err);
    Ok(())
}

/// Waits until the template of an owner carries the client id of its binding. Returns that.
pub(crate) async fn restarted(namespace: &Namespace<'_>, kind: &str, name: &str) -> Result<String> {
    let path = format!(
        "{{.spec.template.metadata.annotations.{}}}",
        ROLLOUT_ANNOTATION.replace('.', "\\.")
    );
    until(&format!("{kind} {name} to be restarted"), DEADLINE, async || {
        let annotated = read(namespace, &format!("{kind}/{name}"), &path).await?;
        let client_id = namespace.identity(name).await?.client_id;
        let seen = namespace.binding(name).await?.status.unwrap_or_default().workloads;
        ensure!(
            annotated == client_id,
            "{annotated:?}, and the client id is {client_id}: {seen:#?}"
        );
        Ok(Some(client_id))
    })
    .await
}

/// Has an owner of each kind restarted.
pub(crate) async fn of_each_kind(namespace: &Namespace<'_>) -> Result<()> {
    let kinds = [("Deployment", "d"), ("StatefulSet", "s"), ("DaemonSet", "ds")];
    for (kind, name) in kinds {
        make_owner(namespace, kind, name).await?;
    }
    pod_of_daemon_set(namespace, "ds").await?;
    for (_, name) in kinds {
        pod_of(namespace, name, "").await?;
        bind(namespace, name).await?;
    }
    for (kind, name) in kinds {
        restarted(namespace, kind, name).await?;
    }
    for (_, name) in kinds {
        namespace.delete(name).await?;
    }
    Ok(())
}

pub(crate) async fn told(namespace: &Namespace<'_>, binding: &str, result: RestartResult) -> Result<RestartStatus> {
    until(&format!("the status to tell of {result:?}"), DEADLINE, async || {
        let workloads = namespace.binding(binding).await?.status.unwrap_or_default().workloads;
        let restarts = workloads.map(|workloads| workloads.restarts).unwrap_or_default();
        ensure!(
            restarts.len() == 1 && restarts.iter().all(|one| one.result == result),
            "{restarts:?}"
        );
        Ok(restarts.into_iter().next())
    })
    .await
}

/// How often the pods of a Deployment were made anew, and the first time: its controller counts in that annotation. Its generation counts more.
pub(crate) async fn rollouts(namespace: &Namespace<'_>, name: &str) -> Result<String> {
    let count = "{.metadata.annotations.deployment\\.kubernetes\\.io/revision}";
    read(namespace, &format!("deployment/{name}"), count).await
}

/// Says of a pod what a kubelet would say.
pub(crate) async fn runs(namespace: &Namespace<'_>, pod: &str) -> Result<()> {
    let ready = r#"--patch={"status":{"phase":"Running","conditions":[{"type":"Ready","status":"True"}]}}"#;
    namespace
        .kubectl(&["patch", "pod", pod, "--subresource=status", "--type=merge", ready])
        .await
        .map(drop)
}

/// Changes as the operator's account, of which nothing comes. The message of a refusal.
async fn try_as_operator(namespace: &Namespace<'_>, change: &Value) -> Result<(), String> {
    let (user, patch) = (format!("--as={USER}"), format!("--patch={change}"));
    let tried = namespace
        .kubectl(&[
            "patch",
            "deployment/orders",
            "--type=merge",
            "--dry-run=server",
            &user,
            &patch,
        ])
        .await;
    tried.map(drop).map_err(|error| format!("{error:#}"))
}

async fn a_deployment_is_restarted_once_and_the_operator_may_change_nothing_else_of_it(
    world: Arc<World>,
) -> Result<()> {
    let namespace = world.namespace("restarts").await?;
    make_owner(&namespace, "Deployment", "orders").await?;
    let first = pod_of(&namespace, "orders", "").await?;
    let planned = json!({
        "apiVersion": "workloadidentity.dev/v1alpha1", "kind": "WorkloadIdentityBinding", "metadata": { "name": "orders" }, "spec": spec("orders"),
    });
    prints(
        &namespace,
        &["plan", "-f", "-"],
        Some(&planned),
        "~ Deployment/orders, restarted when its turn comes",
    )
    .await?;
    bind(&namespace, "orders").await?;
    let client_id = restarted(&namespace, "Deployment", "orders").await?;
    let second = pod_of(&namespace, "orders", &first).await?;
    let variable = "{.spec.containers[0].env[?(@.name==\"AZURE_CLIENT_ID\")].value}";
    let has = read(&namespace, &format!("pod/{second}"), variable).await?;
    ensure!(has == client_id, "{has:?}");
    told(&namespace, "orders", RestartResult::Restarting).await?;
    namespace.event("orders", Reason::WorkloadRestarted).await?;
    runs(&namespace, &second).await?;
    told(&namespace, "orders", RestartResult::Restarted).await?;
    prints(
        &namespace,
        &["status", "orders"],
        None,
        "Deployment/orders: restarted at 20",
    )
    .await?;
    prints(&namespace, &["plan", "orders"], None, "Plan: nothing to do.").await?;
    ensure!(read(&namespace, "deployment/orders", "{.metadata.generation}").await? == "2");
    ensure!(pod_of(&namespace, "orders", &first).await? == second);

    let annotated = |value: Value| json!({ "spec": { "template": { "metadata": { "annotations": { ROLLOUT_ANNOTATION: value } } } } });
    let container = |image: &str| json!([{ "name": "main", "image": image }]);
    let refused = [
        annotated(json!("now")),
        annotated(json!(null)),
        json!({ "spec": { "template": { "metadata": { "annotations": { "other": "x" } } } } }),
        json!({ "spec": { "template": { "metadata": { "labels": { "other": "x" } } } } }),
        json!({ "spec": { "template": { "spec": { "serviceAccountName": "default" } } } }),
        json!({ "spec": { "template": { "spec": { "containers": container("registry.example/other:1") } } } }),
        json!({ "spec": { "template": { "spec": { "hostNetwork": true } } } }),
        json!({ "spec": { "replicas": 2 } }),
        json!({ "spec": { "paused": true } }),
        json!({ "spec": { "minReadySeconds": 5 } }),
        json!({ "metadata": { "labels": { "other": "x" } } }),
        json!({ "metadata": { "annotations": { "other": "x" } } }),
        json!({ "metadata": { "finalizers": ["example.com/x"] } }),
    ];
    for change in refused {
        let why = try_as_operator(&namespace, &change).await.err();
        let why = why.with_context(|| format!("{change} was let in"))?;
        ensure!(why.contains(RULE), "{change}: {why}");
    }
    let other = annotated(json!("00000000-0000-4000-8000-000000000001"));
    try_as_operator(&namespace, &other).await.map_err(anyhow::Error::msg)?;
    namespace.delete("orders").await
}
