use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::api::events::v1::Event as StoredEvent;
use kube::ResourceExt;
use kube::api::{GetParams, ListParams, PostParams};
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::{Api, Resource};

use super::super::{CLUSTER_UID, Verb};
use super::*;

#[tokio::test]
async fn the_cluster_has_a_fixed_id_from_the_start() {
    let server = server();
    let namespaces: Api<Namespace> = Api::all(server.client());
    assert_eq!(namespaces.get("kube-system").await.unwrap().uid().unwrap(), CLUSTER_UID);
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let server = server();
    let status = refusal(bindings(server.client()).get("orders").await);
    assert_eq!((status.code, status.reason.as_str()), (404, "NotFound"));
    assert_eq!(
        status.message,
        "workloadidentitybindings.workloadidentity.dev \"orders\" not found"
    );
}

#[tokio::test]
async fn a_list_shows_one_namespace_or_all() {
    let server = server();
    server.create_namespace("other");
    server.seed(account("orders"));
    server.seed(
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "orders", "namespace": "other"}}),
    );
    let client = server.client();
    assert_eq!(
        accounts(client.clone())
            .list(&ListParams::default())
            .await
            .unwrap()
            .items
            .len(),
        1
    );
    let all: Api<ServiceAccount> = Api::all(client);
    assert_eq!(all.list(&ListParams::default()).await.unwrap().items.len(), 2);
    let one = all
        .list(&ListParams::default().fields("metadata.namespace=other"))
        .await
        .unwrap();
    assert_eq!(one.items[0].namespace().unwrap(), "other");
}

#[tokio::test]
async fn a_list_selects_by_labels() {
    let server = server();
    let mut bound = account("bound");
    bound["metadata"]["labels"] = json!({"workloadidentity.dev/bound": "true"});
    server.seed(bound);
    server.seed(account("free"));
    let list = accounts(server.client())
        .list(&ListParams::default().labels("workloadidentity.dev/bound=true"))
        .await
        .unwrap();
    let names: Vec<String> = list.iter().map(ResourceExt::name_any).collect();
    assert_eq!(names, ["bound"]);
}

#[tokio::test]
async fn the_pages_of_a_list_show_the_moment_of_the_first() {
    let server = server();
    for name in ["a", "b", "c"] {
        server.seed(account(name));
    }
    let api = accounts(server.client());
    let first = api.list(&ListParams::default().limit(2)).await.unwrap();
    assert_eq!((first.items.len(), first.metadata.remaining_item_count), (2, Some(1)));
    server.delete::<ServiceAccount>("shop", "c");
    let token = first.metadata.continue_.unwrap();
    let rest = api
        .list(&ListParams::default().limit(2).continue_token(&token))
        .await
        .unwrap();
    assert_eq!(rest.items[0].name_any(), "c");
    assert_eq!(rest.metadata.resource_version, first.metadata.resource_version);
    assert_eq!(rest.metadata.continue_, None);
    server.compact();
    let status = refusal(api.list(&ListParams::default().limit(2).continue_token(&token)).await);
    assert_eq!((status.code, status.reason.as_str()), (410, "Expired"));
}

#[tokio::test]
async fn metadata_comes_without_the_rest() {
    let server = server();
    server.seed(binding("orders"));
    let api = bindings(server.client());
    let one = api.get_metadata("orders").await.unwrap();
    assert_eq!(one.metadata.generation, Some(1));
    let list = api.list_metadata(&ListParams::default()).await.unwrap();
    assert_eq!(list.items[0].name_any(), "orders");
    let raw = http::Request::get("/apis/workloadidentity.dev/v1alpha1/workloadidentitybindings")
        .header(
            "accept",
            "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1",
        )
        .body(Vec::new())
        .unwrap();
    let raw: Value = server.client().request(raw).await.unwrap();
    assert_eq!(raw["items"][0]["kind"], "PartialObjectMetadata");
    assert_eq!(raw["items"][0].get("spec"), None);
}

#[tokio::test]
async fn a_read_from_the_cache_is_answered() {
    let server = server();
    server.seed(binding("orders"));
    let api = bindings(server.client());
    assert_eq!(
        api.get_with("orders", &GetParams::any()).await.unwrap().name_any(),
        "orders"
    );
    assert_eq!(
        api.list(&ListParams::default().match_any()).await.unwrap().items.len(),
        1
    );
}

#[tokio::test]
async fn the_discovery_document_names_the_issuer() {
    let server = server();
    server.set_issuer("https://oidc.example/one/");
    let request = || {
        http::Request::get("/.well-known/openid-configuration")
            .body(Vec::new())
            .unwrap()
    };
    let document: Value = server.client().request(request()).await.unwrap();
    assert_eq!(document["issuer"], "https://oidc.example/one/");
    assert_eq!(document["jwks_uri"], "https://oidc.example/one/openid/v1/jwks");
    assert_eq!(server.client().apiserver_version().await.unwrap().major, "1");
    let live = http::Request::get("/livez").body(Vec::new()).unwrap();
    server.client().request_text(live).await.unwrap();
}

#[tokio::test]
async fn what_is_not_served_is_not_found() {
    let server = server();
    for path in [
        "/apis/workloadidentity.dev/v1/workloadidentitybindings",
        "/api/v1/nodes",
        "/nowhere",
        "/api/v1/serviceaccounts/orders",
    ] {
        let request = http::Request::get(path).body(Vec::new()).unwrap();
        assert_eq!(
            refusal(server.client().request::<Value>(request).await).code,
            404,
            "{path}"
        );
    }
}

#[tokio::test]
async fn events_of_kubes_recorder_are_stored() {
    let server = server();
    let object: WorkloadIdentityBinding = typed(server.seed(binding("orders")));
    let reporter = Reporter {
        controller: "workload-identity-operator".into(),
        instance: None,
    };
    let event = Event {
        type_: EventType::Warning,
        reason: "Throttled".into(),
        note: Some("slow down".into()),
        action: "Reconcile".into(),
        secondary: None,
    };
    let recorder = Recorder::new(server.client(), reporter);
    recorder.publish(&event, &object.object_ref(&())).await.unwrap();
    recorder.publish(&event, &object.object_ref(&())).await.unwrap();
    let events: Vec<StoredEvent> = server.list();
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].series.as_ref().unwrap().count, 2);
}

#[tokio::test]
async fn the_log_tells_what_the_audit_log_would() {
    let server = server();
    let client = server.client_named("leader");
    let api = accounts(client);
    api.create(
        &PostParams {
            field_manager: Some("op".into()),
            ..Default::default()
        },
        &typed(account("orders")),
    )
    .await
    .unwrap();
    api.create(
        &PostParams {
            dry_run: true,
            ..Default::default()
        },
        &typed(account("invoices")),
    )
    .await
    .unwrap();
    let _ = api.get("orders").await;
    let _ = api.get("none").await;
    let requests = server.requests();
    let seen: Vec<_> = requests
        .iter()
        .map(|r| (r.verb, r.name.as_str(), r.status, r.changed, r.dry_run))
        .collect();
    assert_eq!(
        seen,
        [
            (Verb::Create, "orders", Some(201), true, false),
            (Verb::Create, "invoices", Some(201), false, true),
            (Verb::Get, "orders", Some(200), false, false),
            (Verb::Get, "none", Some(404), false, false),
        ]
    );
    assert_eq!(
        (requests[0].client.as_str(), requests[0].field_manager.as_str()),
        ("leader", "op")
    );
    assert_eq!(
        (requests[0].resource.as_str(), requests[0].namespace.as_str()),
        ("serviceaccounts", "shop")
    );
    assert_eq!(requests[0].body["metadata"]["name"], "orders");
    assert_eq!(requests[0].to_string(), "create serviceaccounts shop/orders by op: 201");
    assert_eq!(server.writes().len(), 1);
    server.clear_requests();
    assert!(server.requests().is_empty());
}
