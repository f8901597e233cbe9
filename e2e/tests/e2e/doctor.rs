//! `kubectl wib doctor` beside the real parts: nothing red where all is well, and each fault on its own line.
#![allow(clippy::indexing_slicing, reason = "JSON that has no such field answers null")]

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use wio_e2e::operator::{NAME, NAMESPACE, NODE_GROUP};
use wio_e2e::paths::repository;
use wio_e2e::simulator::group_id;
use wio_e2e::wait::until;
use wio_e2e::world::World;

use crate::harness::{Case, case};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        // It takes away what pods of other tests need.
        case!(the_doctor_finds_each_fault_of_an_installation_and_says_how_to_mend_it)
            .alone()
            .on_own_cluster(),
    ]
}

const DEADLINE: Duration = Duration::from_mins(1);
const LABEL: &str = "--selector=app.kubernetes.io/name=workload-identity-operator";
const IN_NAMESPACE: &str = "--namespace=workload-identity-system";
const WEBHOOK: [&str; 2] = [
    "mutatingwebhookconfiguration",
    "azure-wi-webhook-mutating-webhook-configuration",
];

/// A fault that is staged.
pub(crate) struct Fault {
    /// What is wrong, as docs/troubleshooting.md has it.
    pub(crate) wrong: &'static str,
    /// The check that finds it, and how it turns.
    id: &'static str,
    level: &'static str,
    /// What `kubectl wib doctor` says of it, and a command that it gives.
    pub(crate) says: &'static str,
    mends: &'static str,
    stage: Step,
    mend: Step,
}

/// How something is staged or mended.
#[derive(Clone, Copy)]
enum Step {
    /// By kubectl.
    Kubectl(&'static [&'static str]),
    /// By applying a folder of config.
    Config(&'static str),
    /// By applying an object.
    Apply(fn() -> Value),
    /// By a Lease that was renewed as many seconds ago.
    Lease(i64),
    /// By putting the pod webhook back.
    Webhook,
}

pub(crate) const FAULTS: [Fault; 9] = [
    Fault {
        wrong: "the pod webhook is away",
        id: "webhook",
        level: "red",
        says: "no pod gets a token, whatever bindings say",
        mends: "--enable-workload-identity",
        stage: Step::Kubectl(&["delete", WEBHOOK[0], WEBHOOK[1]]),
        mend: Step::Webhook,
    },
    Fault {
        wrong: "no replica of the operator leads",
        id: "lease",
        level: "red",
        says: "nobody leads",
        mends: "kubectl get lease workload-identity-operator",
        stage: Step::Lease(300),
        mend: Step::Lease(0),
    },
    Fault {
        wrong: "the operator was scaled to nothing",
        id: "operator",
        level: "red",
        says: "it was scaled to 0 in namespace workload-identity-system",
        mends: "kubectl scale deployment workload-identity-operator",
        stage: Step::Kubectl(&["scale", "deployment", NAME, IN_NAMESPACE, "--replicas=0"]),
        mend: Step::Kubectl(&["scale", "deployment", NAME, IN_NAMESPACE, "--replicas=2"]),
    },
    Fault {
        wrong: "everybody may write bindings",
        id: "binding-writers",
        level: "red",
        says: "nobody in particular may write bindings",
        mends: "kubectl delete clusterrolebinding/doctor-too-wide",
        stage: Step::Kubectl(&[
            "create",
            "clusterrolebinding",
            "doctor-too-wide",
            "--clusterrole=workload-identity-operator-edit",
            "--group=system:authenticated",
        ]),
        mend: Step::Kubectl(&["delete", "clusterrolebinding", "doctor-too-wide"]),
    },
    Fault {
        wrong: "the operator lacks a right in the cluster",
        id: "operator-rights",
        level: "red",
        says: "may not update its Lease in namespace workload-identity-system",
        mends: "kubectl apply --server-side --kustomize config/rbac",
        stage: Step::Kubectl(&[
            "delete",
            "rolebinding",
            "workload-identity-operator-election",
            IN_NAMESPACE,
        ]),
        mend: Step::Config("rbac"),
    },
    Fault {
        wrong: "the rule that keeps the status of bindings does not deny",
        id: "admission",
        level: "yellow",
        says: "no ValidatingAdmissionPolicyBinding has workload-identity-operator-record deny",
        mends: "kubectl apply --server-side --kustomize config/admission",
        stage: Step::Kubectl(&[
            "delete",
            "validatingadmissionpolicybinding",
            "workload-identity-operator-record",
        ]),
        mend: Step::Config("admission"),
    },
    Fault {
        wrong: "a role in a policy is misspelt",
        id: "policy-problems",
        level: "yellow",
        says: "Key Vault Secret User",
        mends: "kubectl describe workloadidentitypolicies",
        stage: Step::Apply(misspelt),
        mend: Step::Kubectl(&["delete", "workloadidentitypolicy", "doctor"]),
    },
    Fault {
        wrong: "pod identity, which is retired, is still there",
        id: "pod-identity",
        level: "yellow",
        says: "Microsoft retired it",
        mends: "kubectl get azureidentities",
        stage: Step::Apply(pod_identity),
        mend: Step::Kubectl(&["delete", "crd", "azureidentities.aadpodidentity.k8s.io"]),
    },
    Fault {
        wrong: "two operators are in one cluster",
        id: "operator",
        level: "red",
        says: "two are installed, in namespaces workload-identity-system and workload-identity-system-2",
        mends: "helm list --namespace workload-identity-system-2",
        stage: Step::Apply(second),
        mend: Step::Kubectl(&["delete", "deployment", NAME, "--namespace=workload-identity-system-2"]),
    },
];

async fn the_doctor_finds_each_fault_of_an_installation_and_says_how_to_mend_it(world: Arc<World>) -> Result<()> {
    install(&world).await?;
    let ended = examined(&world).await;
    let kubectl = &world.cluster.kubectl;
    let deployment = ["delete", "deployment", NAME, IN_NAMESPACE];
    let at_once = ["--cascade=foreground", "--timeout=60s"];
    kubectl.run(&[&deployment[..], &at_once].concat()).await?;
    kubectl.run(&["delete", "lease", NAME, IN_NAMESPACE]).await?;
    kubectl.run(&["delete", "node", "doctor"]).await?;
    ended
}

/// What `config` installs, with pods that say that they run, as a node would.
async fn install(world: &World) -> Result<()> {
    let kubectl = &world.cluster.kubectl;
    apply_config(world, "default").await?;
    let settings = json!({ "data": { "WIO_ALLOW_PRIVATE_ISSUER": "true" } }).to_string();
    let maps = kubectl
        .run(&["get", "configmap", IN_NAMESPACE, LABEL, "--output=name"])
        .await?;
    let map = maps.lines().next().context("the settings are not there")?;
    kubectl.run(&["patch", map, IN_NAMESPACE, "--patch", &settings]).await?;
    let machine = format!(
        "azure://{}/providers/Microsoft.Compute/virtualMachines/a",
        group_id(NODE_GROUP)
    );
    let node = json!({
        "apiVersion": "v1", "kind": "Node", "metadata": { "name": "doctor" }, "spec": { "providerID": machine },
    });
    kubectl.apply(&node.to_string()).await?;
    // That of an operator of another test, which has ended.
    kubectl
        .run(&["delete", "lease", NAME, IN_NAMESPACE, "--ignore-not-found"])
        .await?;
    renew_lease(world, 0).await?;
    until("the operator's pods to be ready", DEADLINE, async || {
        set_ready(world).await?;
        let deployment = kubectl.get(&["deployment", NAME, IN_NAMESPACE]).await?;
        Ok((deployment["status"]["readyReplicas"] == 2).then_some(()))
    })
    .await
}

async fn set_ready(world: &World) -> Result<()> {
    let kubectl = &world.cluster.kubectl;
    let ready = json!({ "type": "Ready", "status": "True" });
    let status = json!({ "status": { "phase": "Running", "conditions": [ready] } }).to_string();
    let how = ["--subresource=status", "--type=merge", "--patch", &status];
    let pods = kubectl.get(&["pods", IN_NAMESPACE, LABEL]).await?;
    for pod in pods["items"].as_array().into_iter().flatten() {
        let name = pod["metadata"]["name"].as_str().context("a pod without a name")?;
        kubectl
            .run(&[&["patch", "pod", name, IN_NAMESPACE][..], &how].concat())
            .await?;
    }
    Ok(())
}

async fn examined(world: &World) -> Result<()> {
    let namespace = world.namespace("doctor").await?;
    let spec = json!({ "identity": { "managed": {} }, "serviceAccounts": [{ "name": "orders" }] });
    namespace.bind("orders", &spec).await?;
    namespace.ready("orders").await?;
    all_is_well(&examine(world).await?)?;
    let webhook = world.cluster.kubectl.get(&WEBHOOK).await?;
    for fault in &FAULTS {
        take(world, fault.stage, &webhook).await.context(fault.wrong)?;
        turned(world, fault).await.context(fault.wrong)?;
        take(world, fault.mend, &webhook).await.context(fault.wrong)?;
    }
    stranger(world).await?;
    namespace.delete("orders").await
}

fn all_is_well(found: &Examination) -> Result<()> {
    ensure!(found.0["red"] == 0, "what is well is red: {:#}", found.0);
    ensure!(
        found.0["unknown"] == 0,
        "an administrator sees everything: {:#}",
        found.0
    );
    for (id, level) in [
        ("issuer", "yellow"),
        ("caller", "yellow"),
        ("webhook-pods", "notLookedAt"),
        ("definitions", "green"),
        ("definitions-version", "green"),
        ("definitions-kept", "green"),
        ("operator", "green"),
        ("operator-version", "green"),
        ("operator-identity", "green"),
        ("lease", "green"),
        ("operator-rights", "green"),
        ("admission", "green"),
        ("effective-policy", "green"),
        ("external-issuers", "green"),
        ("node-group", "green"),
        ("webhook", "green"),
        ("clock", "green"),
        ("issuer-of-bindings", "green"),
    ] {
        let one = found.of(id)?;
        ensure!(one["level"] == level, "{id} is not {level}: {one:#}");
    }
    Ok(())
}

async fn take(world: &World, step: Step, webhook: &Value) -> Result<()> {
    let kubectl = &world.cluster.kubectl;
    match step {
        Step::Kubectl(arguments) => kubectl.run(arguments).await.map(drop),
        Step::Config(folder) => apply_config(world, folder).await,
        Step::Apply(object) => kubectl.apply(&object().to_string()).await.map(drop),
        Step::Lease(seconds) => renew_lease(world, seconds).await,
        Step::Webhook => kubectl.apply(&bare(webhook.clone()).to_string()).await.map(drop),
    }
}

/// Waits until a line has turned, and looks at what people read.
async fn turned(world: &World, fault: &Fault) -> Result<()> {
    until(&format!("{} to be {}", fault.id, fault.level), DEADLINE, async || {
        let found = examine(world).await?;
        Ok((found.of(fault.id)?["level"] == fault.level).then_some(()))
    })
    .await?;
    let told = world.cluster.kubectl.wib(&["doctor"], None, &[]).await?;
    let page = format!("why: docs/doctor.md#{}", fault.id);
    for part in [fault.says, fault.mends, &page] {
        ensure!(told.out.contains(part), "{part} is not in\n{}", told.out);
    }
    Ok(())
}

/// Whoever may read nothing hears that nothing is known, and not that all is well.
async fn stranger(world: &World) -> Result<()> {
    let asked = ["doctor", "--as=stranger", "-o", "json"];
    let told = world.cluster.kubectl.wib(&asked, None, &[]).await?;
    ensure!(told.code == 1, "it ended with {}: {}{}", told.code, told.out, told.err);
    let found = Examination(serde_json::from_str(&told.out).context(told.err)?);
    for id in ["definitions", "operator", "lease", "binding-writers", "webhook"] {
        let one = found.of(id)?;
        let told = one["says"].as_str().is_some_and(|says| says.contains("forbidden"));
        ensure!(one["level"] == "unknown" && told, "{one:#}");
    }
    Ok(())
}

/// What the doctor said, as data.
struct Examination(Value);

impl Examination {
    fn of(&self, id: &str) -> Result<&Value> {
        let mut checks = self.0["checks"].as_array().into_iter().flatten();
        checks
            .find(|one| one["id"] == id)
            .with_context(|| format!("there is no check {id}"))
    }
}

async fn examine(world: &World) -> Result<Examination> {
    let told = world.cluster.kubectl.wib(&["doctor", "-o", "json"], None, &[]).await?;
    let found: Value = serde_json::from_str(&told.out).with_context(|| format!("{}{}", told.out, told.err))?;
    let code = match (found["red"] == 0, found["unknown"] == 0) {
        (true, true) => 0,
        (true, false) => 1,
        (false, _) => 2,
    };
    ensure!(told.code == code, "it ended with {}: {found:#}", told.code);
    Ok(Examination(found))
}

async fn apply_config(world: &World, folder: &str) -> Result<()> {
    let path = repository().join("config").join(folder);
    let path = path.to_str().context("the repository's path is not Unicode")?;
    let apply = ["apply", "--server-side", "--kustomize", path];
    world.cluster.kubectl.run(&apply).await.map(drop)
}

/// A Lease that was renewed as many seconds ago.
async fn renew_lease(world: &World, seconds: i64) -> Result<()> {
    let renewed = Timestamp::now() - SignedDuration::from_secs(seconds);
    let lease = json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": { "namespace": NAMESPACE, "name": NAME },
        "spec": { "holderIdentity": "doctor", "leaseDurationSeconds": 30, "renewTime": format!("{renewed:.6}") },
    });
    world.cluster.kubectl.apply(&lease.to_string()).await.map(drop)
}

/// A policy of which a part cannot be used.
fn misspelt() -> Value {
    json!({
        "apiVersion": "workloadidentity.dev/v1alpha1", "kind": "WorkloadIdentityPolicy", "metadata": { "name": "doctor" },
        "spec": {
            "namespaces": { "names": ["doctor"] },
            "roles": [{ "role": "Key Vault Secret User", "scopes": [group_id("doctor")] }],
        },
    })
}

fn pod_identity() -> Value {
    let schema = json!({ "openAPIV3Schema": { "type": "object" } });
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {
            "name": "azureidentities.aadpodidentity.k8s.io",
            "annotations": { "api-approved.kubernetes.io": "unapproved, for a test" },
        },
        "spec": {
            "group": "aadpodidentity.k8s.io", "scope": "Namespaced",
            "names": { "kind": "AzureIdentity", "plural": "azureidentities" },
            "versions": [{ "name": "v1", "served": true, "storage": true, "schema": schema }],
        },
    })
}

/// An object as somebody would apply it.
fn bare(mut object: Value) -> Value {
    let kept = ["name", "labels"];
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.retain(|field, _| kept.contains(&field.as_str()));
    }
    object
}

/// Another operator, of which nobody runs a pod.
fn second() -> Value {
    let namespace = "workload-identity-system-2";
    let labels = json!({ "app.kubernetes.io/name": NAME });
    let template = json!({ "metadata": { "labels": labels }, "spec": { "containers": [{ "name": "operator", "image": "registry.example/operator:1" }] } });
    let spec = json!({ "replicas": 0, "selector": { "matchLabels": labels }, "template": template });
    json!({
        "apiVersion": "v1", "kind": "List", "items": [
            { "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": namespace } },
            { "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "namespace": namespace, "name": NAME, "labels": labels }, "spec": spec },
        ],
    })
}
