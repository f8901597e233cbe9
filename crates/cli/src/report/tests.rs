//! Reports about bindings on a fake API server, as a person reads them.

use kube::Client;
use serde_json::{Value, json};
use wio_api::WorkloadIdentityBinding;
use wio_testkit::fixtures::binding;
use wio_testkit::{Effect, FakeApiServer, Matcher, Verb};

use super::{gather, report, tree};
use crate::Session;
use crate::planning::tests::effective_policy;

const CLIENT_ID: &str = "4b65e8cb-da6f-4b8e-9399-17dfd09b7846";
const IDENTITY: &str = "/subscriptions/6f2e1c1d-52a4-4d0c-8d2f-0c6a2d0b7a11/resourceGroups/shared/providers/Microsoft.ManagedIdentity/userAssignedIdentities/wib-shop-orders-a";
const MOUNT: &str = "/var/run/secrets/azure/wi/token";

fn session(client: Client) -> Session {
    Session {
        client,
        namespace: "shop".to_owned(),
    }
}

fn status(ready: &str, reason: &str, message: &str) -> Value {
    json!({
        "observedGeneration": 1,
        "conditions": [{
            "type": "Ready", "status": ready, "reason": reason, "message": message,
            "observedGeneration": 1, "lastTransitionTime": "2026-01-01T00:00:00Z",
        }],
        "identity": { "resourceId": IDENTITY, "name": "wib-shop-orders-a", "clientId": CLIENT_ID, "origin": "Created" },
        "issuer": "https://issuer.example/",
        "federatedCredentials": [{
            "name": "wib-1", "serviceAccount": "orders", "subject": "system:serviceaccount:shop:orders",
            "audience": "api://AzureADTokenExchange",
        }],
        "federatedCredentialUsage": { "ours": 1, "foreign": 2, "limit": 20 },
    })
}

fn account(client_id: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ServiceAccount",
        "metadata": { "namespace": "shop", "name": "orders", "annotations": { "azure.workload.identity/client-id": client_id } },
    })
}

fn pod(name: &str, label: &str, client_id: Option<&str>) -> Value {
    let mut env = vec![json!({ "name": "AZURE_FEDERATED_TOKEN_FILE", "value": format!("{MOUNT}/t") })];
    env.extend(client_id.map(|id| json!({ "name": "AZURE_CLIENT_ID", "value": id })));
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "namespace": "shop", "name": name, "labels": { "azure.workload.identity/use": label } },
        "spec": {
            "serviceAccountName": "orders",
            "containers": [{ "name": "app", "image": "i", "env": env, "volumeMounts": [{ "name": "t", "mountPath": MOUNT }] }],
        },
        "status": { "phase": "Running" },
    })
}

/// What a person reads of the binding `shop/orders`.
async fn read(objects: &[Value], status: Option<Value>, suspended: bool) -> String {
    read_of(&FakeApiServer::new(), objects, status, suspended).await
}

async fn read_of(server: &FakeApiServer, objects: &[Value], status: Option<Value>, suspended: bool) -> String {
    server.create_namespace("shop");
    let built = binding("shop", "orders")
        .managed()
        .service_account("orders")
        .role("Reader", "/subscriptions/a")
        .generation(1);
    let built = if suspended { built.suspended() } else { built };
    let mut built = json!(built.build());
    if let (Some(object), Some(status)) = (built.as_object_mut(), status) {
        object.insert("status".to_owned(), status);
    }
    server.seed(built);
    for object in objects {
        server.seed(object);
    }
    let around = gather(&session(server.client()), false).await.unwrap();
    let mut out = anstream::StripStream::new(Vec::new());
    tree(&report(&around.bindings[0], &around)).write(&mut out).unwrap();
    assert!(server.writes().is_empty(), "a question changes nothing");
    String::from_utf8(out.into_inner()).unwrap()
}

fn next_step(told: &str) -> &str {
    told.lines().last().unwrap().trim_start_matches("└─ Next step: ")
}

#[tokio::test]
async fn a_binding_that_is_well_has_nothing_to_do() {
    let told = read(
        &[account(CLIENT_ID), pod("one", "true", Some(CLIENT_ID))],
        Some(status("True", "Succeeded", "all is well")),
        false,
    )
    .await;
    assert_eq!(
        told,
        format!(
            "✓ WorkloadIdentityBinding shop/orders
├─ ✓ Ready: Succeeded: all is well
├─ ✓ Identity wib-shop-orders-a (made by the operator, allowed by default)
│  ├─ client id {CLIENT_ID}
│  ├─ principal id not known yet
│  ├─ tenant id not known yet
│  └─ {IDENTITY}
├─ ✓ Federated credentials: 3 of 20 used, 1 of them this binding's
│  ├─ issuer https://issuer.example/
│  └─ ✓ wib-1: system:serviceaccount:shop:orders, audience api://AzureADTokenExchange
├─ ✗ Roles
│  └─ ✗ Reader at /subscriptions/a
├─ ✓ Service accounts
│  └─ ✓ orders carries the client id
│     └─ ✓ pod one has its token
└─ Next step: nothing to do
"
        )
    );
}

#[tokio::test]
async fn a_binding_where_the_operator_does_not_act_is_not_waited_for() {
    let server = FakeApiServer::new();
    let mut effective = effective_policy();
    effective["spec"]["defaults"]["excludeNamespaces"] = json!(["shop"]);
    server.seed(effective);
    let told = read_of(&server, &[], None, false).await;
    assert!(
        told.starts_with("… WorkloadIdentityBinding shop/orders (left alone by the operator)\n"),
        "{told}"
    );
    assert_eq!(
        next_step(&told),
        "the operator does not act in namespace shop (its settings --watch-namespaces and --exclude-namespaces); whoever installed it can change that"
    );
}

/// A pod that started too early stays without a token while the binding says that all is well: nobody else tells.
#[tokio::test]
async fn a_pod_without_its_token_is_the_next_step_of_a_binding_that_is_ready() {
    let ready = || Some(status("True", "Succeeded", "all is well"));
    let told = read(&[account(CLIENT_ID), pod("early", "true", None)], ready(), false).await;
    assert_eq!(
        next_step(&told),
        "pod early: it is older than the client id on its service account; create the pod anew: kubectl rollout restart"
    );
    assert!(
        told.contains("✗ pod early has no token") && told.starts_with('✗'),
        "{told}"
    );
}

/// The label is forgotten more often than anything else; but a job beside the application may do without a token.
#[tokio::test]
async fn a_pod_that_does_not_ask_is_the_next_step_only_where_no_pod_has_a_token() {
    let ready = || Some(status("True", "Succeeded", "all is well"));
    let bare = pod("bare", "false", None);
    let told = read(&[account(CLIENT_ID), bare.clone()], ready(), false).await;
    assert!(next_step(&told).starts_with("pod bare: it lacks the label"), "{told}");
    let told = read(
        &[account(CLIENT_ID), bare, pod("one", "true", Some(CLIENT_ID))],
        ready(),
        false,
    )
    .await;
    assert_eq!(next_step(&told), "nothing to do");
    assert!(told.contains("… pod bare has no token"), "{told}");
}

#[tokio::test]
async fn each_state_of_a_binding_has_its_own_next_step() {
    let objects = [account(CLIENT_ID)];
    let told = read(&objects, None, false).await;
    assert!(next_step(&told).starts_with("the operator has not seen it"), "{told}");
    let told = read(&objects, Some(status("False", "Suspended", "suspended")), true).await;
    assert_eq!(next_step(&told), "kubectl wib resume orders -n shop");
    let told = read(
        &objects,
        Some(status("False", "NotPermitted", "no policy allows it")),
        false,
    )
    .await;
    assert_eq!(next_step(&told), "no policy allows it");
    let told = read(
        &[account("00000000-0000-4000-8000-000000000001")],
        Some(status("True", "Succeeded", "well")),
        false,
    )
    .await;
    assert!(
        next_step(&told).starts_with("somebody changes service account orders"),
        "{told}"
    );
    let told = read(&[], Some(status("True", "Succeeded", "well")), false).await;
    assert!(next_step(&told).starts_with("service account orders is gone"), "{told}");
}

/// It said that all is well of pods that it had not seen.
#[tokio::test]
async fn what_could_not_be_looked_at_is_not_well() {
    for resource in ["pods", "serviceaccounts"] {
        let server = FakeApiServer::new();
        server.inject(Matcher::any().verb(Verb::List).resource(resource), Effect::forbidden());
        let ready = Some(status("True", "Succeeded", "all is well"));
        let told = read_of(&server, &[account(CLIENT_ID)], ready, false).await;
        assert!(told.starts_with('…'), "{told}");
        assert_eq!(next_step(&told), "nothing to do for what could be looked at");
    }
}

#[tokio::test]
async fn whoever_may_not_list_pods_reads_what_the_operator_saw_of_them() {
    let server = FakeApiServer::new();
    server.inject(Matcher::any().verb(Verb::List).resource("pods"), Effect::forbidden());
    let mut ready = status("True", "Succeeded", "all is well");
    ready["workloads"] = json!({
        "pods": 3, "withToken": 1, "withoutToken": 2, "notAsking": 0,
        "lacking": [{
            "owner": "Deployment/orders", "serviceAccount": "orders", "reason": "StartedTooEarly", "message": "it is older; restart it",
            "pods": 2, "firstPod": "early",
        }],
    });
    let told = read_of(&server, &[account(CLIENT_ID)], Some(ready.clone()), false).await;
    assert_eq!(
        next_step(&told),
        "pod early of Deployment/orders: it is older; restart it"
    );
    assert!(
        told.contains("✗ Pods, as the operator saw them: 1 of 3 have their token"),
        "{told}"
    );
    let told = read(&[account(CLIENT_ID)], Some(ready), false).await;
    assert!(
        !told.contains("as the operator saw them"),
        "what one sees oneself is newer: {told}"
    );
}

/// What a person reads of the binding where it asks for restarts, and the operator told this of its pods.
async fn restarting(server: &FakeApiServer, objects: &[Value], workloads: Option<Value>) -> String {
    let mut ready = status("True", "Succeeded", "all is well");
    ready["workloads"] = json!(workloads);
    read_of(server, objects, Some(ready), false).await;
    server.edit::<WorkloadIdentityBinding>("shop", "orders", |object| {
        object["spec"]["rollout"] = json!("Restart");
    });
    server.edit::<WorkloadIdentityBinding>("shop", "orders", |object| {
        object["status"]["observedGeneration"] = object["metadata"]["generation"].clone();
    });
    let around = gather(&session(server.client()), false).await.unwrap();
    let mut out = anstream::StripStream::new(Vec::new());
    tree(&report(&around.bindings[0], &around)).write(&mut out).unwrap();
    String::from_utf8(out.into_inner()).unwrap()
}

#[tokio::test]
async fn who_was_restarted_when_and_who_waits_for_it_is_told_for_the_client_id_as_it_is() {
    let restart = |owner: &str, client_id: &str, result: &str, at: Option<&str>| json!({ "owner": owner, "clientId": client_id, "result": result, "restartedAt": at, "message": "so" });
    let workloads = json!({
        "pods": 3, "withToken": 1, "withoutToken": 2, "notAsking": 0,
        "restarts": [
            restart("Deployment/a", CLIENT_ID, "Restarted", Some("2026-11-28T10:00:00Z")),
            restart("Pod/early", &CLIENT_ID.to_uppercase(), "Waiting", None),
            restart("Deployment/old", "00000000-0000-4000-8000-000000000001", "Restarted", None),
            restart("Job/b", CLIENT_ID, "NotRestarted", None),
        ],
    });
    let objects = [account(CLIENT_ID), pod("early", "true", None)];
    let told = restarting(&FakeApiServer::new(), &objects, Some(workloads)).await;
    for line in [
        "✓ Deployment/a: restarted at 2026-11-28T10:00:00Z: so",
        "… Pod/early: waiting: so",
        "✗ Job/b: not restarted: so",
    ] {
        assert!(told.contains(line), "{line} is not in\n{told}");
    }
    assert!(!told.contains("Deployment/old"), "{told}");
    assert_eq!(
        next_step(&told),
        "pod early: it is older than the client id on its service account; the operator restarts its owner by itself, as spec.rollout asks: wait"
    );
}

#[tokio::test]
async fn where_nothing_is_told_of_restarts_it_is_said_why() {
    let objects = [account(CLIENT_ID)];
    let told = restarting(&FakeApiServer::new(), &objects, None).await;
    assert!(
        told.contains("… Restarts, as spec.rollout asks: nothing is known of them: the operator did not look"),
        "{told}"
    );
    let quiet = json!({ "pods": 0, "withToken": 0, "withoutToken": 0, "notAsking": 0 });
    let told = restarting(&FakeApiServer::new(), &objects, Some(quiet)).await;
    assert!(
        told.contains("asks: nobody was restarted for this client id, and nobody waits"),
        "{told}"
    );
}
