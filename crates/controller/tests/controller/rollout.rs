//! Restarts of the owners of pods that lack a token.

use std::time::Duration;

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::core::v1::Pod;
use kube::Resource;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use wio_api::keys::{RECONCILE_AT_ANNOTATION, ROLLOUT_ANNOTATION, ROLLOUT_FIELD_MANAGER};
use wio_api::{Reason, RestartResult, WorkloadIdentityBinding};
use wio_azure_sim::{Fault, ResourceKind};
use wio_testkit::fixtures::{BindingBuilder, binding, policy};
use wio_testkit::{ApiRequest, Effect, Verb};

use crate::world::*;

const ORDERS: &str = "Deployment/orders";

/// As long as the operator waits before the first restart, and longer.
const SETTLED: Duration = Duration::from_mins(10);

fn orders() -> BindingBuilder {
    binding(NAMESPACE, "orders")
        .managed()
        .service_account("orders")
        .restarting()
}

fn owner(kind: &str, name: &str) -> Value {
    json!({
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": { "name": name, "namespace": NAMESPACE },
        "spec": {
            "replicas": 1,
            "template": {
                "metadata": { "labels": { "azure.workload.identity/use": "true" } },
                "spec": { "serviceAccountName": "orders", "containers": [{ "name": "app" }] },
            },
        },
        "status": {
            "observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "availableReplicas": 1,
            "desiredNumberScheduled": 1, "updatedNumberScheduled": 1, "numberAvailable": 1,
        },
    })
}

fn controlled(mut object: Value, by: &Value) -> Value {
    object["metadata"]["ownerReferences"] = json!([{
        "apiVersion": by["apiVersion"], "kind": by["kind"], "name": by["metadata"]["name"], "uid": by["metadata"]["uid"],
        "controller": true,
    }]);
    object
}

/// A pod of an owner that is older than the client id on its service account, or has this one.
fn pod(name: &str, by: &Value, client_id: Option<&str>) -> Value {
    let mut env = vec![json!({ "name": "AZURE_FEDERATED_TOKEN_FILE", "value": "/t/x" })];
    env.extend(client_id.map(|value| json!({ "name": "AZURE_CLIENT_ID", "value": value })));
    let pod = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": NAMESPACE,
            "labels": { "azure.workload.identity/use": "true", "pod-template-hash": "5d" },
        },
        "spec": {
            "serviceAccountName": "orders",
            "containers": [{ "name": "app", "env": env, "volumeMounts": [{ "name": "t", "mountPath": "/t" }] }],
        },
        "status": { "phase": "Running" },
    });
    controlled(pod, by)
}

fn is_restart(request: &ApiRequest) -> bool {
    request.group == "apps" && request.verb.writes()
}

impl World {
    async fn with_rollouts(&mut self) {
        self.stop().await;
        (self.workloads, self.rollouts) = (true, true);
        self.start().await;
    }

    /// A Deployment with a pod that lacks its token.
    fn deploy(&self, name: &str) {
        let deployment = self.cluster.seed(owner("Deployment", name));
        let set = controlled(owner("ReplicaSet", &format!("{name}-5d")), &deployment);
        let set = self.cluster.seed(set);
        self.cluster.seed(pod(&format!("{name}-5d-x"), &set, None));
    }

    /// Does what the controllers of the cluster do about a Deployment that was restarted: another pod.
    fn roll(&self, name: &str) {
        self.cluster.delete::<Pod>(NAMESPACE, &format!("{name}-5d-x"));
        let set = self.cluster.get_json::<ReplicaSet>(NAMESPACE, &format!("{name}-5d"));
        let client_id = self.identity().client_id.to_string();
        self.cluster.seed(pod(&format!("{name}-5d-y"), &set, Some(&client_id)));
        self.observed(name);
    }

    /// Its controller has seen a Deployment as it is, and its rollout is over.
    fn observed(&self, name: &str) {
        let mut deployment = self.cluster.get_json::<Deployment>(NAMESPACE, name);
        deployment["status"]["observedGeneration"] = deployment["metadata"]["generation"].clone();
        let status = json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": name, "namespace": NAMESPACE },
            "status": deployment["status"],
        });
        self.cluster
            .apply_status_as("deployment-controller", status, true)
            .unwrap();
    }

    fn restarted_for<K: Resource<DynamicType = ()>>(&self, name: &str) -> Option<String> {
        let owner = self.cluster.get_json::<K>(NAMESPACE, name);
        let annotation = &owner["spec"]["template"]["metadata"]["annotations"][ROLLOUT_ANNOTATION];
        annotation.as_str().map(str::to_owned)
    }

    /// The restarts that were sent, by this world's operators.
    fn restarts(&self) -> Vec<ApiRequest> {
        self.cluster.requests().into_iter().filter(is_restart).collect()
    }

    /// How often owners of pods were read and written.
    fn asked_of_apps(&self) -> usize {
        let asked = self.cluster.requests();
        asked.iter().filter(|request| request.group == "apps").count()
    }

    /// Waits until the status of a binding tells this of its owners.
    async fn tells_of(&self, told: &[(&str, RestartResult)]) -> WorkloadIdentityBinding {
        let says = |binding: &WorkloadIdentityBinding| {
            let workloads = binding.status.as_ref().and_then(|status| status.workloads.as_ref());
            let restarts = workloads.map_or(&[][..], |workloads| &workloads.restarts);
            let mut restarts = restarts.iter().map(|one| (one.owner.as_str(), one.result));
            restarts.by_ref().eq(told.iter().copied())
        };
        self.cluster.wait_for(NAMESPACE, "orders", says).await
    }
}

fn words(binding: &WorkloadIdentityBinding) -> String {
    let workloads = binding.status.as_ref().and_then(|status| status.workloads.as_ref());
    let restarts = workloads.map_or(&[][..], |workloads| &workloads.restarts);
    let lines: Vec<String> = restarts
        .iter()
        .map(|one| format!("{}: {}", one.owner, one.message))
        .collect();
    lines.join("\n")
}

#[tokio::test(start_paused = true)]
async fn a_deployment_whose_pods_are_older_than_the_client_id_is_restarted_once_and_by_one_annotation() {
    story(async |world| {
        world.with_rollouts().await;
        world.deploy("orders");
        world.create(orders());
        world.tells_of(&[(ORDERS, RestartResult::Waiting)]).await;
        assert_eq!(world.restarts().len(), 0, "not before it has settled");
        world.tells_of(&[(ORDERS, RestartResult::Restarting)]).await;
        let client_id = world.identity().client_id.to_string();
        assert_eq!(world.restarted_for::<Deployment>("orders"), Some(client_id));
        let sent = world.restarts();
        assert_eq!(sent.len(), 1);
        assert_eq!(
            (sent[0].field_manager.as_str(), sent[0].force),
            (ROLLOUT_FIELD_MANAGER, false)
        );
        let spec = &sent[0].body["spec"];
        assert_eq!(
            spec["template"]["metadata"]["annotations"].as_object().unwrap().len(),
            1
        );
        assert_eq!(
            json!([spec.as_object().unwrap().len(), sent[0].body.as_object().unwrap().len()]),
            json!([1, 4])
        );
        // What docs/bench/pods.md says: the ReplicaSet and the Deployment are read, and one is written.
        assert_eq!(world.asked_of_apps(), 3);
        // However long its pods stay as they are.
        sleep(DRIFT * 10).await;
        assert_eq!(world.asked_of_apps(), 3);
        world.roll("orders");
        world.tells_of(&[(ORDERS, RestartResult::Restarted)]).await;
        sleep(DRIFT * 4).await;
        assert_eq!(
            (world.asked_of_apps(), world.restarts().len()),
            (4, 1),
            "whether its rollout is over"
        );
        assert_eq!(world.notes("WorkloadRestarted").len(), 1);
        assert!(world.events().contains(&"Normal WorkloadRestarted".to_owned()));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_identity_that_was_made_anew_has_what_runs_with_the_old_one_restarted_once_more() {
    story(async |world| {
        world.with_rollouts().await;
        world.deploy("orders");
        world.create(orders());
        world.tells_of(&[(ORDERS, RestartResult::Restarting)]).await;
        let first = world.identity().client_id.to_string();
        world.roll("orders");
        world.tells_of(&[(ORDERS, RestartResult::Restarted)]).await;
        world.change_azure(|azure| azure.identities.clear());
        world
            .until("another client id is written on the template", |world| {
                world.restarted_for::<Deployment>("orders") != Some(first.clone())
            })
            .await;
        let second = world.identity().client_id.to_string();
        assert_eq!(world.restarted_for::<Deployment>("orders"), Some(second));
        world.cluster.delete::<Pod>(NAMESPACE, "orders-5d-y");
        world.observed("orders");
        world.tells_of(&[(ORDERS, RestartResult::Restarted)]).await;
        assert_eq!(world.restarts().len(), 2);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_operator_that_died_between_the_restart_and_the_status_does_not_restart_again() {
    story(async |world| {
        world.with_rollouts().await;
        world.deploy("orders");
        world.create(orders());
        // The answer never comes.
        let lost = by_operator().resource("deployments").verb(Verb::Apply);
        let lost = world.cluster.inject(lost, Effect::hang().after_serving());
        world
            .until("it is restarted", |world| {
                world.restarted_for::<Deployment>("orders").is_some()
            })
            .await;
        world.crash().await;
        lost.remove();
        world.start().await;
        let told = world.tells_of(&[(ORDERS, RestartResult::Restarting)]).await;
        assert!(words(&told).contains("happens once"), "{}", words(&told));
        sleep(DRIFT * 4).await;
        let carried_out = world.restarts().iter().filter(|request| request.changed).count();
        assert_eq!((carried_out, world.restarts().len()), (1, 1));
        world.roll("orders");
        world.tells_of(&[(ORDERS, RestartResult::Restarted)]).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn whoever_takes_the_annotation_away_does_not_have_it_restarted_again() {
    story(async |world| {
        world.with_rollouts().await;
        world.deploy("orders");
        world.create(orders());
        world.tells_of(&[(ORDERS, RestartResult::Restarting)]).await;
        world.cluster.edit::<Deployment>(NAMESPACE, "orders", |deployment| {
            deployment["spec"]["template"]["metadata"]["annotations"] = json!({});
        });
        world.observed("orders");
        sleep(DRIFT * 4).await;
        assert_eq!(world.restarted_for::<Deployment>("orders"), None);
        assert_eq!(world.restarts().len(), 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn owners_are_restarted_one_after_the_other_and_those_whose_pods_have_a_token_are_not() {
    story(async |world| {
        world.with_rollouts().await;
        for name in ["a", "b"] {
            world.deploy(name);
        }
        let set = world.cluster.seed(owner("StatefulSet", "s"));
        world.cluster.seed(pod("s-0", &set, None));
        let daemons = world.cluster.seed(owner("DaemonSet", "d"));
        world.cluster.seed(pod("d-x", &daemons, None));
        world.create(orders());
        world.ready("orders").await;
        let client_id = world.identity().client_id.to_string();
        let well = world.cluster.seed(owner("StatefulSet", "well"));
        world.cluster.seed(pod("well-0", &well, Some(&client_id)));
        let waits = |owner| (owner, RestartResult::Waiting);
        let restarting = |owner| (owner, RestartResult::Restarting);
        let done = |owner| (owner, RestartResult::Restarted);
        let (a, b, d, s) = ("Deployment/a", "Deployment/b", "DaemonSet/d", "StatefulSet/s");
        world.tells_of(&[restarting(d), waits(a), waits(b), waits(s)]).await;
        // Its pods have the token, and its rollout is not over.
        world.cluster.delete::<Pod>(NAMESPACE, "d-x");
        sleep(DRIFT * 4).await;
        assert_eq!(world.restarted_for::<Deployment>("a"), None);
        world.cluster.delete::<DaemonSet>(NAMESPACE, "d");
        world.tells_of(&[restarting(a), waits(b), waits(s)]).await;
        world.roll("a");
        world.tells_of(&[done(a), restarting(b), waits(s)]).await;
        world.roll("b");
        world.tells_of(&[done(a), done(b), restarting(s)]).await;
        assert_eq!(world.restarted_for::<StatefulSet>("s"), Some(client_id));
        assert_eq!(world.restarted_for::<StatefulSet>("well"), None);
        world.cluster.delete::<Pod>(NAMESPACE, "s-0");
        world.cluster.delete::<StatefulSet>(NAMESPACE, "s");
        world.tells_of(&[done(a), done(b)]).await;
        assert_eq!(world.restarts().len(), 4);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn another_object_of_the_same_name_is_not_restarted() {
    story(async |world| {
        world.with_rollouts().await;
        // What made the pods is gone, and has its name from somebody else.
        let mut gone = owner("StatefulSet", "orders");
        gone["metadata"]["uid"] = json!("00000000-0000-4000-8000-00000000dead");
        world.cluster.seed(owner("StatefulSet", "orders"));
        world.cluster.seed(pod("orders-0", &gone, None));
        world.create(orders());
        let told = world
            .tells_of(&[("StatefulSet/orders", RestartResult::NotRestarted)])
            .await;
        assert!(words(&told).contains("taken its place"), "{}", words(&told));
        assert_eq!(world.restarts().len(), 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn one_that_changes_between_read_and_write_is_looked_at_again_first() {
    story(async |world| {
        world.with_rollouts().await;
        world.deploy("orders");
        world.create(orders());
        let raced = by_operator().resource("deployments").verb(Verb::Apply).once();
        let raced = world.cluster.inject(raced, Effect::conflict());
        world.tells_of(&[(ORDERS, RestartResult::Restarting)]).await;
        assert_eq!((raced.hits(), world.restarts().len()), (1, 2));
        world.roll("orders");
        world.tells_of(&[(ORDERS, RestartResult::Restarted)]).await;
        assert_eq!(world.notes("WorkloadRestarted").len(), 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn nothing_is_read_or_restarted_unless_binding_and_operator_were_told_to() {
    story(async |world| {
        world.stop().await;
        world.workloads = true;
        world.start().await;
        world.deploy("orders");
        world.create(orders());
        let told = world.tells_of(&[(ORDERS, RestartResult::NotRestarted)]).await;
        assert!(words(&told).contains("--rollouts"), "{}", words(&told));
        world.edit("orders", |binding| binding["spec"]["rollout"] = Value::Null);
        world.with_rollouts().await;
        world.tells_of(&[]).await;
        sleep(SETTLED).await;
        assert_eq!(world.asked_of_apps(), 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_operator_that_looks_at_no_pods_says_so_where_a_binding_asks_for_restarts() {
    story(async |world| {
        world.stop().await;
        world.rollouts = true;
        world.start().await;
        world.deploy("orders");
        world.create(orders());
        let ready = world.ready("orders").await;
        let unseen = condition(&ready, "WorkloadsReady");
        assert_eq!(
            (unseen.status.as_str(), unseen.reason.as_str()),
            ("Unknown", "PodsNotSeen")
        );
        assert!(unseen.message.contains("--workloads"), "{}", unseen.message);
        sleep(SETTLED).await;
        assert_eq!(world.restarts().len(), 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn where_the_right_is_missing_or_admission_refuses_the_status_says_so() {
    story(async |world| {
        world.with_rollouts().await;
        world.deploy("orders");
        world.create(orders());
        let unread = world
            .cluster
            .inject(by_operator().resource("replicasets"), Effect::forbidden());
        let told = world.tells_of(&[(ORDERS, RestartResult::NotRestarted)]).await;
        assert!(words(&told).contains("config/rollouts"), "{}", words(&told));
        let refused = by_operator().resource("deployments").verb(Verb::Apply);
        let refused = world.cluster.inject(refused, Effect::forbidden());
        unread.remove();
        let says = |binding: &WorkloadIdentityBinding| words(binding).contains("refused");
        world.cluster.wait_for(NAMESPACE, "orders", says).await;
        assert_eq!(world.restarted_for::<Deployment>("orders"), None);
        refused.remove();
        world.tells_of(&[(ORDERS, RestartResult::Restarting)]).await;
        world.roll("orders");
        world.tells_of(&[(ORDERS, RestartResult::Restarted)]).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_suspended_binding_has_nobody_restarted() {
    story(async |world| {
        world.with_rollouts().await;
        world.create(orders());
        world.ready("orders").await;
        world.edit("orders", |binding| binding["spec"]["suspend"] = json!(true));
        world.deploy("orders");
        let told = world.tells_of(&[(ORDERS, RestartResult::Waiting)]).await;
        sleep(SETTLED * 3).await;
        assert!(words(&told).contains("suspended"), "{}", words(&told));
        assert_eq!(world.restarts().len(), 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn two_bindings_of_one_service_account_restart_its_owner_once() {
    story(async |world| {
        world.with_rollouts().await;
        let id = world.foreign_identity(SHARED_GROUP, "payments", Vec::new());
        world.deploy("orders");
        for name in ["orders", "again"] {
            world.create(
                binding(NAMESPACE, name)
                    .existing(&id)
                    .service_account("orders")
                    .restarting(),
            );
        }
        world.tells_of(&[(ORDERS, RestartResult::Restarting)]).await;
        sleep(DRIFT * 4).await;
        let carried_out = world.restarts().iter().filter(|request| request.changed).count();
        assert_eq!(carried_out, 1);
    })
    .await;
}

/// What Azure was told a moment ago is not known everywhere, whether the binding is new or was mended.
#[tokio::test(start_paused = true)]
async fn a_binding_that_was_not_ready_stands_anew_from_when_it_is() {
    const ROLE: &str = "Key Vault Secrets User";
    story(async |world| {
        world.with_rollouts().await;
        let scope = format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/{SHARED_GROUP}");
        let rule = policy("secrets").namespace(NAMESPACE).role(ROLE, &[&scope]);
        world.cluster.seed(rule.build());
        world.create(orders().role(ROLE, &scope));
        world.ready("orders").await;
        let refused = Fault::on("PUT").kind(ResourceKind::RoleAssignment).forever();
        world.azure.inject(refused.respond(403, "AuthorizationFailed"));
        world.change_azure(|azure| azure.role_assignments.clear());
        world.says("orders", Reason::RoleAccessDenied).await;
        world.deploy("orders");
        sleep(SETTLED).await;
        world.azure.clear_faults();
        world.ready("orders").await;
        let ready = Instant::now();
        world.edit("orders", |binding| {
            binding["metadata"]["annotations"] = json!({ RECONCILE_AT_ANNOTATION: "now" });
        });
        world.tells_of(&[(ORDERS, RestartResult::Restarting)]).await;
        assert!(ready.elapsed() > Duration::from_mins(4), "{:?}", ready.elapsed());
        world.roll("orders");
        world.tells_of(&[(ORDERS, RestartResult::Restarted)]).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_binding_that_is_suspended_while_its_pods_are_looked_at_has_nobody_restarted() {
    story(async |world| {
        world.with_rollouts().await;
        world.deploy("orders");
        world.create(orders());
        let slow = by_operator().resource("replicasets");
        let slow = world.cluster.inject(slow, Effect::delay(Duration::from_secs(5)));
        world.until("its owner is read", |_| slow.hits() > 0).await;
        world.edit("orders", |binding| binding["spec"]["suspend"] = json!(true));
        sleep(DRIFT * 2).await;
        assert_eq!(world.restarts().len(), 0);
    })
    .await;
}

/// A tool that takes the annotation away at once leaves the pods as they were.
#[tokio::test(start_paused = true)]
async fn one_whose_restart_no_status_could_tell_of_is_not_restarted_again() {
    story(async |world| {
        world.with_rollouts().await;
        world.deploy("orders");
        world.create(orders());
        world.tells_of(&[(ORDERS, RestartResult::Waiting)]).await;
        let statuses = by_operator().resource("workloadidentitybindings").subresource("status");
        let unwritten = world.cluster.inject(statuses, Effect::internal_error());
        world
            .until("it is restarted", |world| {
                world.restarted_for::<Deployment>("orders").is_some()
            })
            .await;
        world.cluster.edit::<Deployment>(NAMESPACE, "orders", |deployment| {
            deployment["spec"]["template"]["metadata"]["annotations"] = json!({});
        });
        world.observed("orders");
        sleep(DRIFT * 4).await;
        unwritten.remove();
        world.tells_of(&[(ORDERS, RestartResult::Restarting)]).await;
        assert_eq!((world.restarts().len(), unwritten.hits() > 0), (1, true));
        assert_eq!(world.notes("WorkloadRestarted").len(), 1);
    })
    .await;
}
