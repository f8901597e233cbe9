//! What the status says of pods.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use wio_api::{Reason, WorkloadIdentityBinding, WorkloadIdentityPolicy, WorkloadsStatus, keys};
use wio_testkit::fixtures::{BindingBuilder, binding, policy};
use wio_testkit::{Effect, FakeApiServer};

use crate::world::*;

const WORKLOADS: &str = "WorkloadsReady";

fn orders() -> BindingBuilder {
    binding(NAMESPACE, "orders").managed().service_account("orders")
}

/// A pod of a Deployment, as the webhook left it: with these variables, or untouched.
fn pod(name: &str, env: Option<&Value>) -> Value {
    let env = env.cloned().unwrap_or_else(|| json!([]));
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": NAMESPACE,
            "labels": { "azure.workload.identity/use": "true", "pod-template-hash": "5d" },
            "ownerReferences": [
                { "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "orders-5d", "uid": "u", "controller": true },
            ],
        },
        "spec": {
            "serviceAccountName": "orders",
            "containers": [{ "name": "app", "env": env, "volumeMounts": [{ "name": "t", "mountPath": "/t" }] }],
        },
        "status": { "phase": "Running" },
    })
}

/// The variables of a pod that was created before the service account carried a client id.
fn too_early() -> Value {
    json!([{ "name": "AZURE_FEDERATED_TOKEN_FILE", "value": "/t/x" }])
}

fn given(client_id: &str) -> Value {
    json!([
        { "name": "AZURE_CLIENT_ID", "value": client_id },
        { "name": "AZURE_FEDERATED_TOKEN_FILE", "value": "/t/x" },
    ])
}

fn unlabelled(mut pod: Value) -> Value {
    pod["metadata"]["labels"] = json!({});
    pod
}

fn seen(binding: &WorkloadIdentityBinding) -> Option<&WorkloadsStatus> {
    binding.status.as_ref()?.workloads.as_ref()
}

impl World {
    async fn with_workloads(&mut self) {
        self.stop().await;
        self.workloads = true;
        self.start().await;
    }

    /// Waits until the status tells of so many pods, with and without a token.
    async fn tells(&self, with_token: u32, without_token: u32) -> WorkloadIdentityBinding {
        let says = |binding: &WorkloadIdentityBinding| {
            seen(binding).is_some_and(|seen| (seen.with_token, seen.without_token) == (with_token, without_token))
        };
        self.cluster.wait_for(NAMESPACE, "orders", says).await
    }

    fn pod_lists(&self) -> usize {
        let listed = self.cluster.requests();
        listed.iter().filter(|request| request.path.ends_with("/pods")).count()
    }

    fn client_id(&self) -> String {
        self.identity().client_id.to_string()
    }
}

#[tokio::test(start_paused = true)]
async fn the_status_tells_of_pods_with_and_without_a_token_and_ready_does_not_rest_on_them() {
    story(async |world| {
        world.with_workloads().await;
        world.cluster.seed(pod("a", Some(&too_early())));
        world.cluster.seed(pod("b", Some(&too_early())));
        world.cluster.seed(unlabelled(pod("c", None)));
        world.create(orders());
        world.ready("orders").await;
        let told = world.tells(0, 2).await;
        let missing = condition(&told, WORKLOADS);
        assert_eq!(
            (missing.status.as_str(), missing.reason.as_str()),
            ("False", "PodsWithoutToken")
        );
        assert!(
            missing.message.contains("Deployment/orders (2 pods)"),
            "{}",
            missing.message
        );
        let lacking = &seen(&told).unwrap().lacking;
        let reasons: Vec<String> = lacking
            .iter()
            .map(|one| format!("{:?} {}", one.reason, one.first_pod))
            .collect();
        assert_eq!(reasons, ["StartedTooEarly a", "LabelMissing c"]);
        assert_eq!(world.notes("PodsWithoutToken"), [&*missing.message]);
        // Their owner creates them anew, and nobody tells the operator.
        world.cluster.delete::<Pod>(NAMESPACE, "a");
        world.cluster.delete::<Pod>(NAMESPACE, "b");
        world.cluster.seed(pod("d", Some(&given(&world.client_id()))));
        let told = world.tells(1, 0).await;
        let well = condition(&told, WORKLOADS);
        assert_eq!((well.status.as_str(), well.reason.as_str()), ("True", "Succeeded"));
        assert_eq!(
            well.message,
            "1 pod has a token of the identity. 1 more does not ask for one."
        );
        assert_eq!(world.notes("PodsWithoutToken").len(), 1, "it is told once");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn pods_are_looked_at_again_within_minutes_while_some_lack_a_token_and_else_at_the_drift_interval() {
    story(async |world| {
        world.with_workloads().await;
        world.create(orders());
        world.ready("orders").await;
        world.tells(0, 0).await;
        world.forget_requests();
        sleep(DRIFT * 4).await;
        let quiet = world.pod_lists();
        assert!((3..=5).contains(&quiet), "{quiet}");
        world.cluster.seed(pod("a", Some(&too_early())));
        world.tells(0, 1).await;
        world.forget_requests();
        sleep(Duration::from_mins(3)).await;
        assert_eq!(world.pod_lists(), 1);
        sleep(DRIFT * 40).await;
        let lists = world.pod_lists();
        assert!(lists < 60, "one that stays as it is costs little more: {lists}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn whoever_created_the_pods_anew_asks_for_a_look_and_need_not_wait() {
    story(async |world| {
        world.with_workloads().await;
        world.cluster.seed(pod("a", Some(&too_early())));
        world.create(orders());
        world.tells(0, 1).await;
        world.cluster.delete::<Pod>(NAMESPACE, "a");
        world.cluster.seed(pod("b", Some(&given(&world.client_id()))));
        world.forget_requests();
        let begin = Instant::now();
        world.edit("orders", |object| {
            object["metadata"]["annotations"] = json!({ keys::RECONCILE_AT_ANNOTATION: "now" });
        });
        world.tells(1, 0).await;
        assert!(begin.elapsed() < Duration::from_secs(15), "{:?}", begin.elapsed());
        assert_eq!(world.pod_lists(), 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn where_the_right_is_missing_the_status_says_so_and_the_binding_is_ready() {
    story(async |world| {
        let _refused = world
            .cluster
            .inject(by_operator().resource("pods"), Effect::forbidden());
        world.with_workloads().await;
        world.create(orders());
        let ready = world.ready("orders").await;
        let unseen = condition(&ready, WORKLOADS);
        assert_eq!(
            (unseen.status.as_str(), unseen.reason.as_str()),
            ("Unknown", "PodsNotSeen")
        );
        assert!(unseen.message.contains("config/workloads"), "{}", unseen.message);
        assert_eq!(seen(&ready), None);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn nothing_is_asked_or_said_of_pods_unless_the_operator_was_told_to_look() {
    story(async |world| {
        world.cluster.seed(pod("a", Some(&too_early())));
        world.create(orders());
        let ready = world.ready("orders").await;
        sleep(DRIFT * 2).await;
        assert_eq!((world.pod_lists(), seen(&ready)), (0, None));
        assert!(find_condition(&ready, WORKLOADS).is_none());
        world.with_workloads().await;
        world.tells(0, 1).await;
        world.stop().await;
        world.workloads = false;
        world.start().await;
        let silent = |binding: &WorkloadIdentityBinding| seen(binding).is_none();
        let silent = world.cluster.wait_for(NAMESPACE, "orders", silent).await;
        assert!(find_condition(&silent, WORKLOADS).is_none());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_binding_that_is_denied_says_nothing_of_pods_any_more() {
    story(async |world| {
        world.with_workloads().await;
        world.cluster.seed(pod("a", Some(&too_early())));
        let id = world.foreign_identity(SHARED_GROUP, "payments", Vec::new());
        world.create(binding(NAMESPACE, "orders").existing(&id).service_account("orders"));
        world.tells(0, 1).await;
        world.cluster.delete::<WorkloadIdentityPolicy>("", "shared");
        let denied = world.says("orders", Reason::NotPermitted).await;
        assert_eq!(seen(&denied), None);
        assert!(find_condition(&denied, WORKLOADS).is_none());
        world.delete("orders");
        world.gone("orders").await;
    })
    .await;
}

/// What docs/bench/pods.md says.
#[tokio::test(start_paused = true)]
async fn a_thousand_pods_are_read_page_by_page_and_leave_a_few_lines() {
    story(async |world| {
        world.with_workloads().await;
        for n in 0..1000 {
            let mut pod = pod(&format!("p{n:04}"), Some(&too_early()));
            pod["metadata"]["ownerReferences"][0]["name"] = json!(format!("app{}-5d", n % 50));
            world.cluster.seed(pod);
        }
        world.create(orders());
        let told = world.tells(0, 1000).await;
        let pages = world.pod_lists();
        assert!((3..=5).contains(&pages), "{pages}");
        let status = serde_json::to_vec(seen(&told).unwrap()).unwrap();
        assert_eq!(seen(&told).unwrap().lacking.len(), 20);
        assert!(status.len() < 6_000, "{}", status.len());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_restart_of_the_operator_lists_no_pods_of_bindings_that_tell_of_them() {
    story(async |world| {
        world.with_workloads().await;
        world.create_many(20);
        world.all_ready(20).await;
        world
            .until("all tell of pods", |world| {
                (0..20).all(|n| seen(&world.binding(&format!("b{n}"))).is_some())
            })
            .await;
        world.stop().await;
        world.forget_requests();
        world.start().await;
        sleep(Duration::from_mins(1)).await;
        let lists = world.pod_lists();
        assert!(lists <= 5, "they are spread over an interval: {lists}");
        assert!(world.cluster_writes().iter().all(|request| !request.changed));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_binding_that_is_held_when_its_pods_are_to_be_looked_at_does_not_go_round_and_round() {
    story(async |world| {
        world.with_workloads().await;
        let names = ["one", "two", "three"];
        let shared = world.cluster.get::<WorkloadIdentityPolicy>("", "shared").unwrap();
        for name in names {
            world.cluster.seed(policy(name).build());
        }
        let id = world.foreign_identity(SHARED_GROUP, "orders", Vec::new());
        world.create(binding(NAMESPACE, "orders").existing(&id).service_account("orders"));
        world.ready("orders").await;
        for name in names.into_iter().chain(["shared"]) {
            world.cluster.delete::<WorkloadIdentityPolicy>("", name);
        }
        world.says("orders", Reason::MassDisappearance).await;
        world.forget_requests();
        let restless = |cluster: &FakeApiServer| (cluster.requests().len() > 2_000).then_some(());
        tokio::select! {
            () = sleep(DRIFT * 2) => {}
            () = world.cluster.wait_until("somebody asks again and again", restless) => panic!("it goes round and round"),
        }
        world.cluster.seed(policy("shared").namespace(NAMESPACE).existing(&shared.spec.existing_identities[0]).build());
        world.ready("orders").await;
    })
    .await;
}
