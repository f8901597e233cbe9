use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, Preconditions};
use kube::{Api, ResourceExt};

use super::*;

#[tokio::test]
async fn a_created_object_gets_its_metadata_from_the_server() {
    let server = server();
    let created = bindings(server.client())
        .create(&PostParams::default(), &typed(binding("orders")))
        .await
        .unwrap();
    assert!(created.uid().is_some() && created.resource_version().is_some());
    assert_eq!(created.metadata.generation, Some(1));
    assert_eq!(
        created.creation_timestamp().unwrap().0.to_string(),
        "2026-01-01T00:00:00Z"
    );
    let again = bindings(server.client())
        .create(&PostParams::default(), &typed(binding("orders")))
        .await;
    assert_eq!(refusal(again).reason, "AlreadyExists");
}

#[tokio::test]
async fn a_new_object_without_status_was_not_observed() {
    let server = server();
    let mut object = binding("orders");
    object["status"] = json!({"observedGeneration": 1, "issuer": "https://x"});
    let created = bindings(server.client())
        .create(&PostParams::default(), &typed(object))
        .await
        .unwrap();
    assert_eq!(json!(created.status), json!({"observedGeneration": -1}));
}

#[tokio::test]
async fn the_server_makes_names_up_that_differ() {
    let server = server();
    let mut pod = json!({"metadata": {"generateName": "web-"}, "spec": {"containers": [{"name": "web"}]}});
    let pods: Api<Pod> = Api::namespaced(server.client(), "shop");
    let first = pods.create(&PostParams::default(), &typed(pod.clone())).await.unwrap();
    let second = pods.create(&PostParams::default(), &typed(pod.clone())).await.unwrap();
    assert!(first.name_any().starts_with("web-") && first.name_any() != second.name_any());
    pod["metadata"] = json!({});
    assert_eq!(
        refusal(pods.create(&PostParams::default(), &typed(pod)).await).code,
        422
    );
}

#[tokio::test]
async fn an_object_needs_its_namespace() {
    let server = FakeApiServer::new();
    let status = refusal(
        accounts(server.client())
            .create(&PostParams::default(), &typed(account("orders")))
            .await,
    );
    assert_eq!(
        (status.code, status.message.as_str()),
        (404, "namespaces \"shop\" not found")
    );
}

#[tokio::test]
async fn a_replacement_of_an_older_version_is_a_conflict() {
    let server = server();
    server.seed(binding("orders"));
    let api = bindings(server.client());
    let mut old = api.get("orders").await.unwrap();
    server.edit::<WorkloadIdentityBinding>("shop", "orders", |object| object["spec"]["suspend"] = json!(true));
    old.spec.audience = Some("api://other".into());
    let status = refusal(api.replace("orders", &PostParams::default(), &old).await);
    assert_eq!((status.code, status.reason.as_str()), (409, "Conflict"));
    assert!(
        status.message.contains("the object has been modified"),
        "{}",
        status.message
    );
    old.metadata.resource_version = api.get("orders").await.unwrap().resource_version();
    assert_eq!(
        api.replace("orders", &PostParams::default(), &old)
            .await
            .unwrap()
            .metadata
            .generation,
        Some(3)
    );
}

#[tokio::test]
async fn a_custom_resource_is_not_replaced_without_a_version() {
    let server = server();
    server.seed(binding("orders"));
    let status = refusal(
        bindings(server.client())
            .replace("orders", &PostParams::default(), &typed(binding("orders")))
            .await,
    );
    assert_eq!((status.code, status.reason.as_str()), (422, "Invalid"));
}

#[tokio::test]
async fn two_candidates_for_a_lease_cannot_both_win() {
    let server = server();
    let leases: Api<Lease> = Api::namespaced(server.client(), "shop");
    let lease = json!({"metadata": {"name": "leader"}, "spec": {"holderIdentity": "a"}});
    let mut one = leases.create(&PostParams::default(), &typed(lease)).await.unwrap();
    let mut other = one.clone();
    one.spec.as_mut().unwrap().holder_identity = Some("b".into());
    other.spec.as_mut().unwrap().holder_identity = Some("c".into());
    leases.replace("leader", &PostParams::default(), &one).await.unwrap();
    assert_eq!(
        refusal(leases.replace("leader", &PostParams::default(), &other).await).code,
        409
    );
}

#[tokio::test]
async fn a_write_to_the_object_leaves_status_alone_and_counts_the_generation() {
    let server = server();
    let mut object = binding("orders");
    object["status"] = json!({"observedGeneration": 1});
    server.seed(object);
    let api = bindings(server.client());
    let patch = json!({"spec": {"suspend": true}, "status": {"observedGeneration": 7}});
    let patched = api
        .patch("orders", &PatchParams::default(), &Patch::Merge(patch))
        .await
        .unwrap();
    assert_eq!(
        (patched.metadata.generation, patched.status.unwrap().observed_generation),
        (Some(2), Some(1))
    );
    let labelled = json!({"metadata": {"labels": {"a": "b"}}});
    let labelled = api
        .patch("orders", &PatchParams::default(), &Patch::Merge(labelled))
        .await
        .unwrap();
    assert_eq!(labelled.metadata.generation, Some(2));
}

#[tokio::test]
async fn a_write_to_status_changes_nothing_else() {
    let server = server();
    server.seed(binding("orders"));
    let api = bindings(server.client());
    let patch =
        json!({"metadata": {"labels": {"a": "b"}}, "spec": {"suspend": true}, "status": {"observedGeneration": 1}});
    let patched = api
        .patch_status("orders", &PatchParams::default(), &Patch::Merge(patch))
        .await
        .unwrap();
    assert_eq!(patched.status.as_ref().unwrap().observed_generation, Some(1));
    assert_eq!(
        (
            patched.metadata.generation,
            patched.spec.suspend,
            patched.labels().len()
        ),
        (Some(1), false, 0)
    );
    assert_eq!(api.get_status("orders").await.unwrap().status, patched.status);
    let mut replaced = patched;
    replaced.spec.suspend = true;
    replaced.status.as_mut().unwrap().issuer = Some("https://x".into());
    let replaced = api
        .replace_status("orders", &PostParams::default(), &replaced)
        .await
        .unwrap();
    assert_eq!(
        (replaced.spec.suspend, replaced.status.unwrap().issuer.as_deref()),
        (false, Some("https://x"))
    );
}

#[tokio::test]
async fn a_write_that_changes_nothing_is_none() {
    let server = server();
    server.seed(binding("orders"));
    let api = bindings(server.client());
    let before = api.get("orders").await.unwrap().resource_version();
    let patch = Patch::Merge(json!({"spec": {"suspend": null}}));
    assert_eq!(
        api.patch("orders", &PatchParams::default(), &patch)
            .await
            .unwrap()
            .resource_version(),
        before
    );
    assert!(!server.writes()[0].changed);
}

#[tokio::test]
async fn a_json_patch_tests_before_it_writes() {
    let server = server();
    server.seed(binding("orders"));
    let api = bindings(server.client());
    let patch = |value: Value| Patch::<()>::Json(serde_json::from_value(value).unwrap());
    let add = patch(json!([
        {"op": "test", "path": "/metadata/name", "value": "orders"},
        {"op": "add", "path": "/metadata/finalizers", "value": ["x.dev/one"]},
    ]));
    assert_eq!(
        api.patch("orders", &PatchParams::default(), &add)
            .await
            .unwrap()
            .finalizers(),
        ["x.dev/one"]
    );
    let stale = patch(
        json!([{"op": "test", "path": "/metadata/finalizers/0", "value": "x.dev/two"}, {"op": "remove", "path": "/metadata/finalizers/0"}]),
    );
    assert_eq!(
        refusal(api.patch("orders", &PatchParams::default(), &stale).await).code,
        422
    );
    assert_eq!(api.get("orders").await.unwrap().finalizers(), ["x.dev/one"]);
}

#[tokio::test]
async fn a_patch_with_an_old_version_is_a_conflict() {
    let server = server();
    server.seed(account("orders"));
    let patch = json!({"metadata": {"resourceVersion": "1", "labels": {"a": "b"}}});
    let status = refusal(
        accounts(server.client())
            .patch("orders", &PatchParams::default(), &Patch::Merge(patch))
            .await,
    );
    assert_eq!(status.reason, "Conflict");
}

#[tokio::test]
async fn a_strategic_patch_is_not_served() {
    let server = server();
    server.seed(account("orders"));
    let patch = Patch::Strategic(json!({"metadata": {"labels": {"a": "b"}}}));
    assert_eq!(
        refusal(
            accounts(server.client())
                .patch("orders", &PatchParams::default(), &patch)
                .await
        )
        .code,
        415
    );
}

#[tokio::test]
async fn unknown_fields_are_pruned_or_refused_when_strict() {
    let server = server();
    server.seed(binding("orders"));
    let api = bindings(server.client());
    let patch = Patch::Merge(json!({"spec": {"typo": true}}));
    api.patch("orders", &PatchParams::default(), &patch).await.unwrap();
    assert_eq!(
        server.get_json::<WorkloadIdentityBinding>("shop", "orders")["spec"].get("typo"),
        None
    );
    let status = refusal(
        api.patch("orders", &PatchParams::default().validation_strict(), &patch)
            .await,
    );
    assert_eq!(
        (status.code, status.message.as_str()),
        (400, "strict decoding error: unknown field \"spec.typo\"")
    );
}

#[tokio::test]
async fn a_dry_run_writes_nothing() {
    let server = server();
    server.seed(account("orders"));
    let api = accounts(server.client());
    let patch = Patch::Merge(json!({"metadata": {"labels": {"a": "b"}}}));
    let shown = api
        .patch("orders", &PatchParams::default().dry_run(), &patch)
        .await
        .unwrap();
    assert_eq!(shown.labels()["a"], "b");
    api.delete("orders", &DeleteParams::default().dry_run()).await.unwrap();
    assert!(api.get("orders").await.unwrap().labels().is_empty());
    assert!(server.writes().is_empty());
}

#[tokio::test]
async fn a_finalizer_keeps_a_deleted_object() {
    let server = server();
    let mut object = binding("orders");
    object["metadata"]["finalizers"] = json!(["workloadidentity.dev/azure"]);
    server.seed(object);
    let api = bindings(server.client());
    let waiting = api
        .delete("orders", &DeleteParams::default())
        .await
        .unwrap()
        .left()
        .unwrap();
    assert!(waiting.metadata.deletion_timestamp.is_some());
    assert_eq!(waiting.metadata.generation, Some(2));
    let again = api
        .delete("orders", &DeleteParams::default())
        .await
        .unwrap()
        .left()
        .unwrap();
    assert_eq!(again.resource_version(), waiting.resource_version());

    let add = Patch::Merge(json!({"metadata": {"finalizers": ["workloadidentity.dev/azure", "x.dev/late"]}}));
    let status = refusal(api.patch("orders", &PatchParams::default(), &add).await);
    assert!(
        status.code == 422 && status.message.contains("no new finalizers"),
        "{}",
        status.message
    );

    let remove = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    api.patch("orders", &PatchParams::default(), &remove).await.unwrap();
    assert_eq!(refusal(api.get("orders").await).code, 404);
}

#[tokio::test]
async fn a_deletion_minds_its_preconditions() {
    let server = server();
    let uid = server.seed(account("orders"))["metadata"]["uid"]
        .as_str()
        .unwrap()
        .to_owned();
    let api = accounts(server.client());
    let with = |uid: Option<&str>, version: Option<&str>| {
        let preconditions = Preconditions {
            uid: uid.map(Into::into),
            resource_version: version.map(Into::into),
        };
        DeleteParams::default().preconditions(preconditions)
    };
    let status = refusal(api.delete("orders", &with(Some("another"), None)).await);
    assert_eq!((status.code, status.reason.as_str()), (409, "Conflict"));
    assert_eq!(refusal(api.delete("orders", &with(None, Some("1"))).await).code, 409);
    api.delete("orders", &with(Some(&uid), None)).await.unwrap();
    assert_eq!(refusal(api.delete("orders", &with(Some(&uid), None)).await).code, 404);
}

#[tokio::test]
async fn a_recreated_object_is_another_one() {
    let server = server();
    let first = server.seed(account("orders"));
    server.delete::<ServiceAccount>("shop", "orders");
    let second = server.seed(account("orders"));
    assert_ne!(first["metadata"]["uid"], second["metadata"]["uid"]);
}

#[tokio::test]
async fn a_collection_is_deleted_by_its_selector() {
    let server = server();
    let mut bound = account("bound");
    bound["metadata"]["labels"] = json!({"bound": "true"});
    server.seed(bound);
    server.seed(account("free"));
    let api = accounts(server.client());
    api.delete_collection(&DeleteParams::default(), &ListParams::default().labels("bound"))
        .await
        .unwrap();
    let names: Vec<String> = server
        .list::<ServiceAccount>()
        .iter()
        .map(ResourceExt::name_any)
        .collect();
    assert_eq!(names, ["free"]);
}

#[tokio::test]
async fn a_namespace_goes_when_its_last_object_went_and_takes_no_new_ones() {
    let server = server();
    let mut object = binding("orders");
    object["metadata"]["finalizers"] = json!(["workloadidentity.dev/azure"]);
    server.seed(object);
    server.seed(account("orders"));
    server.delete::<Namespace>("", "shop");

    let namespace = server.get_json::<Namespace>("", "shop");
    assert_eq!(namespace["status"]["phase"], "Terminating");
    assert_eq!(server.get::<ServiceAccount>("shop", "orders"), None);
    assert!(server.get_json::<WorkloadIdentityBinding>("shop", "orders")["metadata"]["deletionTimestamp"].is_string());
    let status = refusal(
        accounts(server.client())
            .create(&PostParams::default(), &typed(account("late")))
            .await,
    );
    assert_eq!(
        (status.code, status.details.unwrap().causes[0].reason.as_str()),
        (403, "NamespaceTerminating")
    );

    server.edit::<WorkloadIdentityBinding>("shop", "orders", |object| object["metadata"]["finalizers"] = json!([]));
    assert_eq!(server.get::<Namespace>("", "shop"), None);
}
