use kube::ResourceExt;
use kube::api::{Patch, PatchParams, PostParams};

use super::*;

const CLIENT_ID: &str = "azure.workload.identity/client-id";
const TENANT_ID: &str = "azure.workload.identity/tenant-id";

fn annotated(annotations: &Value) -> Value {
    let mut object = account("orders");
    object["metadata"]["annotations"] = annotations.clone();
    object
}

async fn apply(server: &FakeApiServer, manager: &str, object: Value) -> kube::Result<ServiceAccount> {
    accounts(server.client())
        .patch("orders", &PatchParams::apply(manager), &Patch::Apply(object))
        .await
}

async fn force(server: &FakeApiServer, manager: &str, object: Value) -> kube::Result<ServiceAccount> {
    accounts(server.client())
        .patch("orders", &PatchParams::apply(manager).force(), &Patch::Apply(object))
        .await
}

/// Managers with what they own, as `fieldsV1`.
fn managers(object: &Value) -> Vec<(String, String, Value)> {
    let entries = object["metadata"]["managedFields"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    entries
        .iter()
        .map(|entry| {
            (
                text(&entry["manager"]),
                text(&entry["operation"]),
                entry["fieldsV1"].clone(),
            )
        })
        .collect()
}

#[tokio::test]
async fn an_apply_creates_what_is_not_there() {
    let server = server();
    let created = apply(&server, "op", annotated(&json!({CLIENT_ID: "1"}))).await.unwrap();
    assert_eq!(created.annotations()[CLIENT_ID], "1");
    assert!(created.uid().is_some());
    let request = &server.requests()[0];
    assert_eq!(
        (request.verb, request.status, request.field_manager.as_str()),
        (super::super::Verb::Apply, Some(201), "op")
    );
    let owned = json!({"f:metadata": {"f:annotations": {format!("f:{CLIENT_ID}"): {}}}});
    let object = server.get_json::<ServiceAccount>("shop", "orders");
    assert_eq!(managers(&object), [("op".into(), "Apply".into(), owned)]);
}

#[tokio::test]
async fn an_apply_over_another_managers_value_is_a_conflict_that_names_it() {
    let server = server();
    let api = accounts(server.client());
    let helm = PostParams {
        field_manager: Some("helm".into()),
        ..Default::default()
    };
    api.create(&helm, &typed(annotated(&json!({CLIENT_ID: "theirs"}))))
        .await
        .unwrap();

    let status = refusal(apply(&server, "op", annotated(&json!({CLIENT_ID: "ours"}))).await);
    assert_eq!((status.code, status.reason.as_str()), (409, "Conflict"));
    let cause = json!(status.details.unwrap().causes);
    assert_eq!(
        cause,
        json!([{
            "reason": "FieldManagerConflict",
            "message": "conflict with \"helm\" using v1",
            "field": ".metadata.annotations.azure.workload.identity/client-id",
        }])
    );
    assert_eq!(
        status.message,
        "Apply failed with 1 conflict: conflict with \"helm\" using v1: .metadata.annotations.azure.workload.identity/client-id"
    );
    assert_eq!(
        server.get::<ServiceAccount>("shop", "orders").unwrap().annotations()[CLIENT_ID],
        "theirs"
    );
}

#[tokio::test]
async fn a_conflict_with_an_applier_goes_without_its_version() {
    let server = server();
    apply(
        &server,
        "flux",
        annotated(&json!({CLIENT_ID: "theirs", TENANT_ID: "theirs"})),
    )
    .await
    .unwrap();
    let status = refusal(apply(&server, "op", annotated(&json!({CLIENT_ID: "ours", TENANT_ID: "ours"}))).await);
    assert_eq!(status.details.unwrap().causes[1].message, "conflict with \"flux\"");
    assert!(
        status.message.starts_with("Apply failed with 2 conflicts: "),
        "{}",
        status.message
    );
}

#[tokio::test]
async fn a_forced_apply_takes_the_field_over() {
    let server = server();
    apply(
        &server,
        "helm",
        annotated(&json!({CLIENT_ID: "theirs", "other": "kept"})),
    )
    .await
    .unwrap();
    let object = force(&server, "op", annotated(&json!({CLIENT_ID: "ours"})))
        .await
        .unwrap();
    assert_eq!(object.annotations()[CLIENT_ID], "ours");
    let left = json!({"f:metadata": {"f:annotations": {"f:other": {}}}});
    assert!(managers(&json!(object)).contains(&("helm".into(), "Apply".into(), left)));
    // Helm comes again without force: now it is the one in conflict.
    let status = refusal(
        apply(
            &server,
            "helm",
            annotated(&json!({CLIENT_ID: "theirs", "other": "kept"})),
        )
        .await,
    );
    assert_eq!(status.details.unwrap().causes[0].message, "conflict with \"op\"");
}

#[tokio::test]
async fn the_same_value_is_owned_together() {
    let server = server();
    apply(&server, "helm", annotated(&json!({CLIENT_ID: "same"})))
        .await
        .unwrap();
    apply(&server, "op", annotated(&json!({CLIENT_ID: "same"})))
        .await
        .unwrap();
    // One lets go: the other's value stays. Then the last one: it goes.
    let object = apply(&server, "op", account("orders")).await.unwrap();
    assert_eq!(object.annotations()[CLIENT_ID], "same");
    let object = apply(&server, "helm", account("orders")).await.unwrap();
    assert!(object.annotations().is_empty());
    assert_eq!(
        server.get_json::<ServiceAccount>("shop", "orders")["metadata"].get("annotations"),
        None
    );
}

#[tokio::test]
async fn what_is_applied_no_more_is_removed_and_the_rest_left() {
    let server = server();
    server.seed(annotated(&json!({"user": "kept"})));
    apply(&server, "op", annotated(&json!({CLIENT_ID: "1", TENANT_ID: "2"})))
        .await
        .unwrap();
    let object = apply(&server, "op", annotated(&json!({CLIENT_ID: "1"}))).await.unwrap();
    assert_eq!(json!(object.annotations()), json!({CLIENT_ID: "1", "user": "kept"}));
    let object = apply(&server, "op", account("orders")).await.unwrap();
    assert_eq!(json!(object.annotations()), json!({"user": "kept"}));
    assert!(!managers(&json!(object)).iter().any(|(manager, ..)| manager == "op"));
}

#[tokio::test]
async fn a_field_that_a_user_edited_is_theirs() {
    let server = server();
    apply(&server, "op", annotated(&json!({CLIENT_ID: "ours"})))
        .await
        .unwrap();
    server.edit::<ServiceAccount>("shop", "orders", |object| {
        object["metadata"]["annotations"][CLIENT_ID] = json!("mine");
    });
    let status = refusal(apply(&server, "op", annotated(&json!({CLIENT_ID: "ours"}))).await);
    assert_eq!(
        status.details.unwrap().causes[0].message,
        "conflict with \"test-user\" using v1"
    );
    // A field that somebody removed is nobody's: it comes back.
    server.edit::<ServiceAccount>("shop", "orders", |object| object["metadata"]["annotations"] = json!({}));
    let object = apply(&server, "op", annotated(&json!({CLIENT_ID: "ours"})))
        .await
        .unwrap();
    assert_eq!(object.annotations()[CLIENT_ID], "ours");
}

#[tokio::test]
async fn a_patch_of_the_same_manager_is_another_manager() {
    let server = server();
    server.seed(account("orders"));
    let patch = Patch::Merge(json!({"metadata": {"annotations": {CLIENT_ID: "patched"}}}));
    accounts(server.client())
        .patch(
            "orders",
            &PatchParams {
                field_manager: Some("op".into()),
                ..Default::default()
            },
            &patch,
        )
        .await
        .unwrap();
    let status = refusal(apply(&server, "op", annotated(&json!({CLIENT_ID: "applied"}))).await);
    assert_eq!(
        status.details.unwrap().causes[0].message,
        "conflict with \"op\" using v1"
    );
}

#[tokio::test(start_paused = true)]
async fn an_apply_that_changes_nothing_is_no_write_even_later() {
    let server = server();
    let first = apply(&server, "op", annotated(&json!({CLIENT_ID: "1"}))).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_hours(1)).await;
    for object in [
        annotated(&json!({CLIENT_ID: "1"})),
        annotated(&json!({CLIENT_ID: "1", "empty": null})),
    ] {
        let again = apply(&server, "op", object).await.unwrap();
        assert_eq!(again.resource_version(), first.resource_version());
        assert_eq!(again.managed_fields(), first.managed_fields());
    }
    let mut empty = annotated(&json!({CLIENT_ID: "1"}));
    empty["metadata"]["labels"] = json!({});
    let version = apply(&server, "op", empty.clone()).await.unwrap().resource_version();
    tokio::time::sleep(std::time::Duration::from_hours(1)).await;
    assert_eq!(apply(&server, "op", empty).await.unwrap().resource_version(), version);
}

#[tokio::test]
async fn an_applied_uid_is_a_precondition() {
    let server = server();
    let mut object = annotated(&json!({CLIENT_ID: "1"}));
    object["metadata"]["uid"] = json!("another");
    assert_eq!(refusal(apply(&server, "op", object.clone()).await).code, 409);
    assert_eq!(server.get::<ServiceAccount>("shop", "orders"), None);
    let uid = server.seed(account("orders"))["metadata"]["uid"].clone();
    let status = refusal(apply(&server, "op", object.clone()).await);
    assert_eq!((status.code, status.reason.as_str()), (409, "Conflict"));
    object["metadata"]["uid"] = uid;
    apply(&server, "op", object).await.unwrap();
}

#[tokio::test]
async fn an_applied_version_is_a_precondition() {
    let server = server();
    server.seed(account("orders"));
    let mut object = annotated(&json!({CLIENT_ID: "1"}));
    object["metadata"]["resourceVersion"] = json!("1");
    assert!(refusal(apply(&server, "op", object).await).message.contains("modified"));
}

#[tokio::test]
async fn an_apply_needs_a_manager_and_no_managed_fields() {
    let server = server();
    let api = accounts(server.client());
    let status = refusal(
        api.patch("orders", &PatchParams::default(), &Patch::Apply(account("orders")))
            .await,
    );
    assert_eq!(status.code, 422);
    let mut object = account("orders");
    object["metadata"]["managedFields"] = json!([{"manager": "x"}]);
    assert_eq!(
        refusal(apply(&server, "op", object).await).message,
        "metadata.managedFields must be nil"
    );
}

#[tokio::test]
async fn finalizers_of_different_managers_stand_side_by_side() {
    let server = server();
    let with = |finalizer: &str| {
        let mut object = account("orders");
        object["metadata"]["finalizers"] = json!([finalizer]);
        object
    };
    apply(&server, "one", with("x.dev/one")).await.unwrap();
    let object = apply(&server, "two", with("x.dev/two")).await.unwrap();
    assert_eq!(object.finalizers(), ["x.dev/one", "x.dev/two"]);
    let object = apply(&server, "one", account("orders")).await.unwrap();
    assert_eq!(object.finalizers(), ["x.dev/two"]);
}

fn status(conditions: &Value) -> Value {
    json!({
        "apiVersion": "workloadidentity.dev/v1alpha1",
        "kind": "WorkloadIdentityBinding",
        "metadata": {"name": "orders"},
        "status": {"observedGeneration": 1, "conditions": conditions},
    })
}

fn condition(kind: &str, value: &str) -> Value {
    json!({"type": kind, "status": value, "reason": "Succeeded", "message": "ok", "lastTransitionTime": "2026-01-01T00:00:00Z"})
}

async fn apply_status(
    server: &FakeApiServer,
    manager: &str,
    conditions: &Value,
) -> kube::Result<WorkloadIdentityBinding> {
    let patch = Patch::Apply(status(conditions));
    bindings(server.client())
        .patch_status("orders", &PatchParams::apply(manager), &patch)
        .await
}

fn condition_types(object: &WorkloadIdentityBinding) -> Vec<&str> {
    object
        .status
        .iter()
        .flat_map(|status| &status.conditions)
        .map(|condition| condition.type_.as_str())
        .collect()
}

#[tokio::test]
async fn conditions_are_merged_by_type_and_removed_when_applied_no_more() {
    let server = server();
    server.seed(binding("orders"));
    apply_status(
        &server,
        "op",
        &json!([condition("Ready", "False"), condition("Reconciling", "True")]),
    )
    .await
    .unwrap();
    let object = apply_status(&server, "other", &json!([condition("Checked", "True")]))
        .await
        .unwrap();
    assert_eq!(condition_types(&object), ["Ready", "Reconciling", "Checked"]);
    let object = apply_status(&server, "op", &json!([condition("Ready", "True")]))
        .await
        .unwrap();
    assert_eq!(condition_types(&object), ["Ready", "Checked"]);
    assert_eq!(object.status.as_ref().unwrap().conditions[0].status, "True");
    assert_eq!(object.metadata.generation, Some(1));
    let entries = json!(object)["metadata"]["managedFields"].clone();
    assert!(
        entries
            .as_array()
            .unwrap()
            .iter()
            .any(|entry| entry["manager"] == "op" && entry["subresource"] == "status")
    );
    let conflict = refusal(apply_status(&server, "other", &json!([condition("Ready", "False")])).await);
    let cause = &conflict.details.unwrap().causes[0];
    assert_eq!(cause.message, "conflict with \"op\" with subresource \"status\"");
    assert_eq!(cause.field, ".status.conditions[type=\"Ready\"].status");
}

#[tokio::test]
async fn a_status_is_not_applied_to_what_is_not_there() {
    let server = server();
    assert_eq!(refusal(apply_status(&server, "op", &json!([])).await).code, 404);
}

#[tokio::test]
async fn status_and_object_are_applied_apart() {
    let server = server();
    server.seed(binding("orders"));
    apply_status(&server, "op", &json!([condition("Ready", "True")]))
        .await
        .unwrap();
    let mut object = binding("orders");
    object["metadata"]["finalizers"] = json!(["workloadidentity.dev/azure"]);
    object["status"] = json!({"observedGeneration": 9});
    object.as_object_mut().unwrap().remove("spec");
    let object = bindings(server.client())
        .patch("orders", &PatchParams::apply("op"), &Patch::Apply(object))
        .await
        .unwrap();
    assert_eq!(object.status.as_ref().unwrap().observed_generation, Some(1));
    assert_eq!(condition_types(&object), ["Ready"]);
    assert_eq!(object.finalizers(), ["workloadidentity.dev/azure"]);
}

#[tokio::test]
async fn malformed_lists_and_unknown_fields_are_refused() {
    let server = server();
    server.seed(binding("orders"));
    let twice = refusal(
        apply_status(
            &server,
            "op",
            &json!([condition("Ready", "True"), condition("Ready", "False")]),
        )
        .await,
    );
    assert_eq!(twice.code, 500);
    assert!(
        twice.message.contains("duplicate entries for key [type=\"Ready\"]"),
        "{}",
        twice.message
    );
    let keyless = refusal(apply_status(&server, "op", &json!([{"status": "True"}])).await);
    assert!(
        keyless.message.contains("omits key field \"type\""),
        "{}",
        keyless.message
    );
    let mut unknown = status(&json!([]));
    unknown["status"]["typo"] = json!(1);
    let patch = Patch::Apply(unknown);
    let unknown = refusal(
        bindings(server.client())
            .patch_status("orders", &PatchParams::apply("op"), &patch)
            .await,
    );
    assert!(
        unknown.message.ends_with(".status.typo: field not declared in schema"),
        "{}",
        unknown.message
    );
}

#[tokio::test]
async fn a_user_can_apply_behind_the_log() {
    let server = server();
    server
        .apply_as("flux", annotated(&json!({CLIENT_ID: "1"})), false)
        .unwrap();
    assert!(
        server
            .apply_as("op", annotated(&json!({CLIENT_ID: "2"})), false)
            .is_err()
    );
    server
        .apply_as("op", annotated(&json!({CLIENT_ID: "2"})), true)
        .unwrap();
    server.seed(binding("orders"));
    let mut observed = status(&json!([condition("Ready", "True")]));
    observed["metadata"]["namespace"] = json!("shop");
    server.apply_status_as("op", observed, false).unwrap();
    let again = apply_status(&server, "op", &json!([])).await.unwrap();
    assert_eq!(
        condition_types(&again),
        [""; 0],
        "what the manager applied before and does not any more"
    );
    assert_eq!(server.requests().len(), 1);
}
