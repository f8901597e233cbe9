//! The two ways to install the operator, on a real API server: `config` by kubectl, the chart by Helm. That both install the
//! same is `cargo xtask compare`'s to say.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use k8s_openapi::api::authorization::v1::SubjectAccessReview;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::api::{ListParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use wio_api::WorkloadIdentityPolicy;
use wio_e2e::cluster::Cluster;
use wio_e2e::documents;
use wio_e2e::operator::{NAME, NAMESPACE, USER};
use wio_e2e::paths::repository;
use wio_e2e::pods;
use wio_e2e::scratch::Scratch;
use wio_e2e::wait::until;
use wio_e2e::world::World;

use crate::admission::effective_policy;
use crate::harness::{Case, case};

const DEADLINE: Duration = Duration::from_mins(1);
const SETTINGS: &str = "workload-identity-operator-settings";
const CRD: &str = "crd/workloadidentitybindings.workloadidentity.dev";
const RULES: [&str; 3] = ["get", "validatingadmissionpolicy", NAME];
const LIMIT: &str = "resources.limits.cpu=500m";
const CLIENT_ID: &str = "2b7c1a52-8d4e-4f30-9a61-5c0e7d9b3f14";

pub(crate) fn cases() -> Vec<Case> {
    vec![
        case!(config_is_installed_and_its_pod_gets_the_operators_identity).on_own_cluster(),
        case!(the_chart_is_installed_upgraded_and_uninstalled).on_own_cluster(),
        case!(a_mistake_in_the_charts_values_is_named),
        case!(what_the_chart_renders_for_each_set_of_values_is_taken),
        case!(the_samples_are_accepted),
        case!(the_bindings_and_policies_of_the_documents_are_accepted),
    ]
}

// === config ===

async fn config_is_installed_and_its_pod_gets_the_operators_identity(world: Arc<World>) -> Result<()> {
    let kubectl = &world.cluster.kubectl;
    kubectl
        .run(&[
            "apply",
            "--server-side",
            "--kustomize",
            &in_repository("config/default")?,
        ])
        .await?;
    let pod = pod_of_the_deployment(&world.cluster).await?;
    let environment = pods::environment(&pod)?;
    let expected = std::fs::read_to_string(repository().join("config/settings/settings.env"))?;
    let client_id = format!(
        "WIO_CLIENT_ID={}",
        environment.get("AZURE_CLIENT_ID").context("no AZURE_CLIENT_ID")?
    );
    ensure!(
        expected.lines().any(|line| line == client_id),
        "{client_id} is not in settings.env"
    );
    ensure!(
        environment.contains_key("AZURE_FEDERATED_TOKEN_FILE"),
        "{environment:?}"
    );
    let settings = settings_of(&world.cluster, &pod).await?;
    ensure!(settings.contains_key("AZURE_SUBSCRIPTION_ID"), "{settings:?}");

    // What the other tests do not use goes again; the rest was there before.
    let deployment = format!("deployment/{NAME}");
    kubectl
        .run(&[
            "delete",
            &deployment,
            "--namespace",
            NAMESPACE,
            "--cascade=foreground",
            "--timeout=60s",
        ])
        .await?;
    Ok(())
}

// === The chart ===

async fn the_chart_is_installed_upgraded_and_uninstalled(_: Arc<World>) -> Result<()> {
    // A cluster of its own: what Helm takes away again is what the other tests stand on.
    let scratch = Scratch::new()?;
    let cluster = Cluster::start(&scratch).await?;
    let (helm, kubectl) = (&cluster.helm, &cluster.kubectl);
    kubectl.run(&["create", "namespace", NAMESPACE]).await?;
    kubectl
        .run(&[
            "label",
            "namespace",
            NAMESPACE,
            "pod-security.kubernetes.io/enforce=restricted",
        ])
        .await?;

    // A quota that counts processor time lets no pod in that names no limit.
    kubectl
        .run(&[
            "create",
            "quota",
            "all",
            "--hard=limits.cpu=4",
            "--namespace",
            NAMESPACE,
        ])
        .await?;

    let said = helm.run(&release("install", &values(&[LIMIT]))?.words()).await?;
    let next = format!("kubectl -n {NAMESPACE} rollout status deployment/{NAME}");
    ensure!(said.contains(&next), "the next command is not in the notes:\n{said}");
    let installed = pod_of_the_deployment(&cluster).await?;
    // No operator runs here, so this does what it would do first.
    let merged = effective_policy(&sample_policies()?)?;
    kubectl.apply(&merged.to_string()).await?;
    let policies = in_repository("config/samples/policies")?;
    kubectl
        .run(&["apply", "--server-side", "--kustomize", &policies])
        .await?;
    let samples = in_repository("config/samples/bindings")?;
    until("the samples to be admitted", DEADLINE, async || {
        kubectl
            .run(&["apply", "--server-side", "--kustomize", &samples])
            .await
            .map(Some)
    })
    .await?;
    let account = kubectl.get(&["serviceaccount", NAME, "--namespace", NAMESPACE]).await?;
    let client_id = account.pointer("/metadata/annotations/azure.workload.identity~1client-id");
    ensure!(client_id.and_then(Value::as_str) == Some(CLIENT_ID), "{account}");

    let second = Words::from([
        "install",
        "second",
        &in_repository(CHART)?,
        "--namespace",
        "elsewhere",
        "--create-namespace",
    ])
    .and(&values(&[]));
    let error = refused(helm.run(&second.words()).await, "a second release in the cluster")?;
    let told = format!("installed already, as release {NAME} in namespace {NAMESPACE}");
    ensure!(error.contains(&told), "{error}");

    helm.run(&release("upgrade", &values(&["operator.log=debug", LIMIT]))?.words())
        .await?;
    let settings = settings_of(&cluster, &installed).await?;
    ensure!(
        settings.get("WIO_LOG").map(String::as_str) == Some("debug"),
        "{settings:?}"
    );
    until("another pod, with the changed settings", DEADLINE, async || {
        let pod = pod_of_the_deployment(&cluster).await?;
        Ok((pod.uid() != installed.uid()).then_some(()))
    })
    .await?;

    helm.run(&["rollback", NAME, "1", "--namespace", NAMESPACE]).await?;
    let settings = until("a pod with the settings of before", DEADLINE, async || {
        let pod = pod_of_the_deployment(&cluster).await?;
        let settings = settings_of(&cluster, &pod).await?;
        Ok((!settings.contains_key("WIO_LOG")).then_some(settings))
    })
    .await?;
    ensure!(
        settings.get("WIO_CLIENT_ID").map(String::as_str) == Some(CLIENT_ID),
        "{settings:?}"
    );

    outside_of_watched_namespaces_the_operator_may_write_nothing(&cluster).await?;
    the_definitions_are_kept_and_somebody_elses_release_is_told(&cluster, &second).await?;
    definitions_that_are_not_kept_take_the_bindings_with_them(&cluster).await?;
    definitions_and_admission_can_be_somebody_elses(&cluster).await
}

/// The samples are in namespace shop. What is there of bindings elsewhere stays as it is, and nothing new comes.
async fn outside_of_watched_namespaces_the_operator_may_write_nothing(cluster: &Cluster) -> Result<()> {
    let (helm, kubectl) = (&cluster.helm, &cluster.kubectl);
    kubectl.run(&["create", "namespace", "elsewhere"]).await?;
    let binding = |name: &str| {
        let mut binding = sample_binding("bindings/orders", "elsewhere")?;
        *binding
            .pointer_mut("/metadata/name")
            .context("a binding without a name")? = json!(name);
        Ok::<_, anyhow::Error>(binding.to_string())
    };
    kubectl.apply(&binding("before")?).await?;
    let missing = release("upgrade", &values(&["watchNamespaces={shop,nowhere}"]))?;
    let error = refused(helm.run(&missing.words()).await, "a namespace that is not there")?;
    ensure!(error.contains("the cluster has no such namespace"), "{error}");

    let watching = values(&["watchNamespaces={shop}", "verification.enabled=true", LIMIT]);
    let said = helm.run(&release("upgrade", &watching)?.words()).await?;
    ensure!(said.contains("acts in namespace shop alone"), "{said}");
    for what in [
        "patch serviceaccounts",
        "create serviceaccounts/token",
        "create events.k8s.io",
    ] {
        ensure!(may(cluster, what, "shop").await?, "{what} in shop");
        ensure!(!may(cluster, what, "elsewhere").await?, "{what} elsewhere");
    }
    ensure!(
        may(cluster, "create events.k8s.io", "default").await?,
        "Events of policies"
    );
    ensure!(
        may(cluster, "list serviceaccounts", "elsewhere").await?,
        "it reads all the same"
    );

    let told = "metadata.namespace is not permitted: the operator acts in namespace shop alone, and not in elsewhere";
    until("a new binding elsewhere to be refused", DEADLINE, async || {
        let outcome = kubectl.try_out(&binding("after")?).await;
        Ok(outcome.err().filter(|error| format!("{error:#}").contains(told)))
    })
    .await?;
    let label = ["label", "wib/before", "--namespace=elsewhere", "touched=yes"];
    let error = refused(
        kubectl.run(&[&label[..], &["--as", USER]].concat()).await,
        "the operator's own write elsewhere",
    )?;
    ensure!(error.contains(told), "{error}");
    kubectl.run(&label).await.context("what was there can be changed")?;
    kubectl.run(&["delete", "namespace/elsewhere", "--timeout=60s"]).await?;
    Ok(())
}

/// Whether the operator may do something in a namespace: a verb and a resource of the core group, or Events.
pub(crate) async fn may(cluster: &Cluster, what: &str, namespace: &str) -> Result<bool> {
    let (verb, what) = what.split_once(' ').context("a verb and a resource")?;
    let (group, resource) = if what == "events.k8s.io" {
        (what, "events")
    } else {
        ("", what)
    };
    let (resource, part) = resource.split_once('/').unwrap_or((resource, ""));
    let review = json!({
        "metadata": {},
        "spec": { "user": USER, "resourceAttributes": {
            "group": group, "resource": resource, "subresource": part, "verb": verb, "namespace": namespace,
        } },
    });
    let reviews: Api<SubjectAccessReview> = Api::all(cluster.client.clone());
    let review = serde_json::from_value(review)?;
    let answer = reviews.create(&PostParams::default(), &review).await?;
    Ok(answer.status.is_some_and(|status| status.allowed))
}

async fn the_definitions_are_kept_and_somebody_elses_release_is_told(cluster: &Cluster, second: &Words) -> Result<()> {
    let (helm, kubectl) = (&cluster.helm, &cluster.kubectl);
    helm.run(&["uninstall", NAME, "--namespace", NAMESPACE, "--wait"])
        .await?;
    kubectl
        .run(&["get", CRD])
        .await
        .context("crds.keep should have kept it")?;
    let error = refused(
        helm.run(&second.words()).await,
        "another release beside the kept definitions",
    )?;
    let told = format!("belong to release {NAME} in namespace {NAMESPACE}");
    ensure!(error.contains(&told) && error.contains("kubectl annotate"), "{error}");
    kubectl
        .run(&["get", "wib/orders", "--namespace=shop"])
        .await
        .context("the bindings should still be there")?;
    refused(
        kubectl.run(&["get", "clusterrole", NAME]).await,
        "reading a role after the chart was uninstalled",
    )?;
    refused(
        kubectl.run(&RULES).await,
        "reading the rules of admission after the chart was uninstalled",
    )?;
    Ok(())
}

/// As a person does who uninstalls too early, with bindings for which the operator still has something to take away.
async fn definitions_that_are_not_kept_take_the_bindings_with_them(cluster: &Cluster) -> Result<()> {
    let (helm, kubectl) = (&cluster.helm, &cluster.kubectl);
    helm.run(&release("install", &values(&[]))?.words())
        .await
        .context("installing it again beside the kept CRD")?;
    helm.run(&release("upgrade", &values(&["crds.keep=false"]))?.words())
        .await?;
    // As the operator leaves a binding that it works for.
    let as_the_operator_leaves_it = [
        "patch",
        "wib/orders",
        "--namespace=shop",
        "--type=merge",
        "--patch={\"metadata\":{\"finalizers\":[\"workloadidentity.dev/azure\"]}}",
    ];
    kubectl.run(&as_the_operator_leaves_it).await?;
    helm.run(&["uninstall", NAME, "--namespace", NAMESPACE]).await?;
    until(
        "the bindings to be deleted with their definition",
        DEADLINE,
        async || {
            let binding = kubectl.get(&["wib/orders", "--namespace=shop"]).await?;
            Ok(binding.pointer("/metadata/deletionTimestamp").map(drop))
        },
    )
    .await?;
    let let_go = [
        &as_the_operator_leaves_it[..4],
        &["--patch={\"metadata\":{\"finalizers\":null}}"],
    ]
    .concat();
    until("admission to forget its rules", DEADLINE, async || {
        kubectl.run(&let_go).await.map(Some)
    })
    .await?;
    kubectl
        .run(&["wait", "--for=delete", CRD, "--timeout=60s"])
        .await
        .context("it was not to be kept")?;
    Ok(())
}

async fn definitions_and_admission_can_be_somebody_elses(cluster: &Cluster) -> Result<()> {
    let (helm, kubectl) = (&cluster.helm, &cluster.kubectl);
    kubectl
        .run(&["apply", "--server-side", "--kustomize", &in_repository("config/crd")?])
        .await?;
    let without = release(
        "install",
        &values(&["crds.enabled=false", "admission.enabled=false", LIMIT]),
    )?;
    helm.run(&without.words())
        .await
        .context("installing it beside a CRD that somebody else owns")?;
    refused(
        kubectl.run(&RULES).await,
        "reading the rules of admission, which were not wanted",
    )?;
    Ok(())
}

async fn a_mistake_in_the_charts_values_is_named(world: Arc<World>) -> Result<()> {
    let mistakes: [(&str, &[&str]); 36] = [
        ("azure.subscriptionID=x", &["/azure", "'subscriptionID' not allowed"]),
        ("operater.log=info", &["'operater' not allowed"]),
        ("replicas=two", &["/replicas", "want integer"]),
        (
            "azure.location=West Europe",
            &["azure.location is \"West Europe\": write westeurope"],
        ),
        ("azure.location=", &["azure.location is not set", "westeurope"]),
        ("azure.clientId=", &["azure.clientId is not set", "az identity show"]),
        ("azure.clientId=orders", &["azure.clientId is \"orders\"", "GUID"]),
        (
            "azure.subscriptionId=Production",
            &["azure.subscriptionId is \"Production\"", "az account show"],
        ),
        (
            "azure.cloud=AzureUSGovernment",
            &["azure.cloud is \"AzureUSGovernment\": write usgov"],
        ),
        ("azure.cloud=mars", &["write public, usgov or china"]),
        (
            "azure.resourceGroup=/subscriptions/x/resourceGroups/wi",
            &["write the group's name alone, wi"],
        ),
        (
            "operator.driftInterval=30",
            &["operator.driftInterval is \"30\"", "such as 30m"],
        ),
        (
            "operator.driftInterval=10s",
            &["operator.driftInterval is \"10s\"", "from 1m to 7d"],
        ),
        (
            "operator.sweepInterval=90d",
            &["operator.sweepInterval is \"90d\"", "from 1m to 7d"],
        ),
        (
            "operator.leaseDuration=10m",
            &["operator.leaseDuration is \"10m\"", "from 3s to 5m"],
        ),
        ("service.port=0", &["service.port is 0: write a port from 1 to 65535"]),
        (
            "serviceAccount.name=Bad_Name",
            &["serviceAccount.name is \"Bad_Name\": write small letters"],
        ),
        (
            "podDisruptionBudget.maxUnavailable=abc",
            &["podDisruptionBudget.maxUnavailable is \"abc\": write a number of pods"],
        ),
        (
            "operator.log=wio_azure==debug",
            &["operator.log is \"wio_azure==debug\"", "info,wio_azure=debug"],
        ),
        ("replicas=0", &["replicas is 0: write 1 to 10"]),
        (
            "podDisruptionBudget.minAvailable=2",
            &["no node with a replica could be drained"],
        ),
        (
            "proxy.https=http://me:secret@proxy:3128",
            &["has a password in it", "valueFrom.secretKeyRef"],
        ),
        (
            "commonLabels.rbac\\.authorization\\.k8s\\.io/aggregate-to-view=yes",
            &["would give the operator's own rights"],
        ),
        (
            "nameOverride=wio",
            &["nameOverride is \"wio\": leave it out; names are fixed"],
        ),
        (
            "fullnameOverride=wio",
            &["fullnameOverride is \"wio\": leave it out; names are fixed"],
        ),
        (
            "automountServiceAccountToken=false",
            &["no token for the Kubernetes API", "volumes project one"],
        ),
        (
            "global.imageRegistry=https://mirror.example/",
            &[
                "global.imageRegistry is \"https://mirror.example/\"",
                "without https://",
            ],
        ),
        (
            "hostUsers=false,hostNetwork=true",
            &["hostUsers is false and hostNetwork is true"],
        ),
        (
            "watchNamespaces=shop",
            &[
                "watchNamespaces is \"shop\", and no list: write watchNamespaces: [shop]",
                "'watchNamespaces={shop}'",
            ],
        ),
        (
            "watchNamespaces={Shop}",
            &[
                "watchNamespaces has \"Shop\": write the namespace's name",
                "small letters",
            ],
        ),
        (
            "excludeNamespaces={team-*}",
            &["excludeNamespaces has \"team-*\": write the name of each namespace"],
        ),
        (
            "excludeNamespaces={shop,mail,shop}",
            &["excludeNamespaces has \"shop\" twice: write it once"],
        ),
        (
            "watchNamespaces={123}",
            &["watchNamespaces has 123, which is no text in YAML: write it in quotes, \"123\""],
        ),
        (
            "watchNamespaces={shop},excludeNamespaces={mail}",
            &[
                "watchNamespaces and excludeNamespaces are both set",
                "leave the other empty",
            ],
        ),
        (
            "extraEnv[0].name=WIO_WATCH_NAMESPACES,extraEnv[0].value=shop",
            &["extraEnv has WIO_WATCH_NAMESPACES: set watchNamespaces"],
        ),
        (
            "extraArgs[0]=--watch-namespaces=shop",
            &["extraArgs has --watch-namespaces=shop: set watchNamespaces"],
        ),
    ];
    for (mistake, expected) in mistakes {
        let template = Words::from(["template", NAME, &in_repository(CHART)?]).and(&values(&[mistake]));
        let error = refused(world.cluster.helm.run(&template.words()).await, mistake)?;
        for part in expected {
            ensure!(error.contains(part), "{mistake}: {part} is not in\n{error}");
        }
        ensure!(
            !error.contains("pattern"),
            "{mistake} is answered by a regular expression:\n{error}"
        );
    }
    Ok(())
}

/// Fields that do not exist and values that the API server refuses are found here; what else a set of values changes, the snapshots of
/// `cargo xtask compare` show.
async fn what_the_chart_renders_for_each_set_of_values_is_taken(world: Arc<World>) -> Result<()> {
    // Whose definitions this cluster does not have; and ours, which the other tests stand on.
    const LEFT_OUT: [&str; 4] = [
        "ServiceMonitor",
        "PodMonitor",
        "PrometheusRule",
        "CustomResourceDefinition",
    ];
    let mut all = Vec::new();
    for entry in std::fs::read_dir(repository().join(CHART).join("ci"))? {
        let set = entry?.path();
        let set = set.to_str().context("the repository's path is not Unicode")?;
        let template = [
            "template",
            NAME,
            &in_repository(CHART)?,
            "--namespace",
            NAMESPACE,
            "--values",
            set,
        ];
        let rendered = world.cluster.helm.run(&template).await?;
        // No namespace but the operator's own is there, and no address of IPv6.
        let rendered = rendered
            .replace("namespace: platform", &format!("namespace: {NAMESPACE}"))
            .replace("namespace: shop", &format!("namespace: {NAMESPACE}"))
            .replace("    - IPv6\n", "");
        let documents = rendered.split("\n---\n").map(str::to_owned);
        all.extend(documents.filter(|text| !LEFT_OUT.iter().any(|kind| text.contains(&format!("\nkind: {kind}\n")))));
    }
    ensure!(all.len() > 200, "{} objects", all.len());
    let file = world.scratch.write("chart/all.yaml", all.join("\n---\n"))?;
    let file = file.to_str().context("the run's path is not Unicode")?;
    let apply = [
        "apply",
        "--server-side",
        "--force-conflicts",
        "--dry-run=server",
        "--filename",
        file,
    ];
    world.cluster.kubectl.run(&apply).await.map(drop)
}

// === Samples ===

async fn the_samples_are_accepted(world: Arc<World>) -> Result<()> {
    let namespace = world.namespace("install-samples").await?;
    for sample in ["bindings/orders", "bindings/existing", "proven/reports"] {
        let binding = sample_binding(sample, &namespace.name)?.to_string();
        let file = world.scratch.write(&format!("samples/{sample}.json"), binding)?;
        let file = file.to_str().context("the run's path is not Unicode")?;
        let apply = ["apply", "--server-side", "--dry-run=server", "--filename", file];
        world
            .cluster
            .kubectl
            .run(&apply)
            .await
            .with_context(|| format!("config/samples/{sample}.yaml"))?;
    }
    let policy = in_repository("config/samples/policies/policy.yaml")?;
    let apply = ["apply", "--server-side", "--dry-run=server", "--filename", &policy];
    world.cluster.kubectl.run(&apply).await.map(drop)
}

async fn the_bindings_and_policies_of_the_documents_are_accepted(world: Arc<World>) -> Result<()> {
    let namespace = world.namespace("install-documents").await?;
    let mut bindings = 0;
    for (number, mut shown) in documents::shown()?.into_iter().enumerate() {
        if shown.is("WorkloadIdentityBinding") {
            // Its own namespace need not be there.
            let place = shown.object.pointer_mut("/metadata/namespace");
            *place.with_context(|| format!("{}: a binding without a namespace", shown.page))? = json!(namespace.name);
            bindings += 1;
        } else if !shown.is("WorkloadIdentityPolicy") {
            continue;
        }
        let file = world
            .scratch
            .write(&format!("documents/{number}.json"), shown.object.to_string())?;
        let file = file.to_str().context("the run's path is not Unicode")?;
        let apply = ["apply", "--server-side", "--dry-run=server", "--filename", file];
        let applied = world.cluster.kubectl.run(&apply).await;
        applied.with_context(|| format!("{}: {}", shown.page, shown.object))?;
    }
    ensure!(bindings >= 8, "only {bindings} bindings were found");
    Ok(())
}

/// The policies of `config/samples`.
fn sample_policies() -> Result<Vec<WorkloadIdentityPolicy>> {
    use serde::Deserialize;

    let text = std::fs::read_to_string(repository().join("config/samples/policies/policy.yaml"))?;
    serde_yaml_ng::Deserializer::from_str(&text)
        .map(|document| WorkloadIdentityPolicy::deserialize(document).context("config/samples/policies/policy.yaml"))
        .collect()
}

/// The binding of a sample, in another namespace.
fn sample_binding(sample: &str, namespace: &str) -> Result<Value> {
    use serde::Deserialize;

    let text = std::fs::read_to_string(repository().join(format!("config/samples/{sample}.yaml")))?;
    for document in serde_yaml_ng::Deserializer::from_str(&text) {
        let mut object = Value::deserialize(document)?;
        let is_binding = object
            .pointer("/kind")
            .is_some_and(|kind| kind == "WorkloadIdentityBinding");
        if let Some(place) = object.pointer_mut("/metadata/namespace").filter(|_| is_binding) {
            *place = json!(namespace);
            return Ok(object);
        }
    }
    bail!("config/samples/{sample}.yaml holds no binding")
}

// === Helpers ===

pub(crate) const CHART: &str = "charts/workload-identity-operator";

/// The words of a command.
#[derive(Clone, Debug)]
struct Words(Vec<String>);

// === impl Words ===

impl<const N: usize> From<[&str; N]> for Words {
    fn from(words: [&str; N]) -> Self {
        Self(words.map(str::to_owned).to_vec())
    }
}

impl Words {
    fn and(mut self, more: &[String]) -> Self {
        self.0.extend_from_slice(more);
        self
    }

    fn words(&self) -> Vec<&str> {
        self.0.iter().map(String::as_str).collect()
    }
}

fn release(verb: &str, values: &[String]) -> Result<Words> {
    Ok(Words::from([verb, NAME, &in_repository(CHART)?, "--namespace", NAMESPACE]).and(values))
}

/// The values that must be set, and these.
pub(crate) fn values(more: &[&str]) -> Vec<String> {
    let client_id = format!("azure.clientId={CLIENT_ID}");
    let needed = [
        "azure.subscriptionId=6f2e1c1d-52a4-4d0c-8d2f-0c6a2d0b7a11",
        "azure.resourceGroup=workload-identities",
        "azure.location=westeurope",
        &client_id,
    ];
    needed
        .iter()
        .chain(more)
        .flat_map(|value| ["--set".to_owned(), (*value).to_owned()])
        .collect()
}

pub(crate) fn in_repository(path: &str) -> Result<String> {
    let path = repository().join(path);
    path.to_str()
        .map(str::to_owned)
        .context("the repository's path is not Unicode")
}

/// The message with which something was refused.
fn refused(outcome: Result<String>, what: &str) -> Result<String> {
    match outcome {
        Ok(said) => bail!("{what} was accepted:\n{said}"),
        Err(error) => Ok(format!("{error:#}")),
    }
}

/// The newest pod that the operator's Deployment made; there is one unless admission refuses it, as pod security would.
async fn pod_of_the_deployment(cluster: &Cluster) -> Result<Pod> {
    let pods: Api<Pod> = Api::namespaced(cluster.client.clone(), NAMESPACE);
    let ours = ListParams::default().labels(&format!("app.kubernetes.io/name={NAME}"));
    until("the pod of the operator's Deployment", DEADLINE, async || {
        let mut found = pods.list(&ours).await?.items;
        found.retain(|pod| pod.metadata.deletion_timestamp.is_none());
        found.sort_by_key(|pod| pod.metadata.creation_timestamp.clone());
        let Some(pod) = found.pop() else {
            let events = ["events", "--namespace", NAMESPACE, "--types=Warning"];
            bail!("there is none: {}", cluster.kubectl.run(&events).await?);
        };
        Ok(Some(pod))
    })
    .await
}

/// The settings that a pod of the operator reads into its environment.
async fn settings_of(cluster: &Cluster, pod: &Pod) -> Result<std::collections::BTreeMap<String, String>> {
    let container = pod
        .spec
        .as_ref()
        .and_then(|spec| spec.containers.first())
        .context("the pod has no container")?;
    let mut sources = container
        .env_from
        .iter()
        .flatten()
        .filter_map(|source| source.config_map_ref.as_ref());
    let name = sources.next().context("the pod reads no settings")?.name.clone();
    ensure!(name.starts_with(SETTINGS), "{name}");
    let maps: Api<ConfigMap> = Api::namespaced(cluster.client.clone(), NAMESPACE);
    let map = maps.get(&name).await.with_context(|| format!("reading {name}"))?;
    map.data.context("the settings are empty")
}
