//! A whole operator that sends its spans to a receiver on loopback. It runs in a process of its own, whose environment is its own.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::too_many_lines
)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use tokio::net::TcpListener;
use tokio::process::Command;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use wio_api::WorkloadIdentityBinding;
use wio_azure::{ApiVersion, Azure, Cloud, Endpoints};
use wio_azure_sim::{Config, ResourceGroup, Simulator, Snapshot};
use wio_controller::{Clock, Settings};
use wio_core::active_namespaces::ActiveNamespaces;
use wio_core::config::OperatorConfig;
use wio_testkit::FakeApiServer;
use wio_testkit::azure::{credential, token_of, transport};
use wio_testkit::fixtures::binding;

use super::*;

const SUBSCRIPTION: &str = "6f2e1c1d-52a4-4d0c-8d2f-0c6a2d0b7a11";
const CLIENT_ID: &str = "0e0e0e0e-0000-4000-8000-00000000c11e";
const OPERATOR: &str = "traces::tests::an_operator_makes_a_binding_ready";
const HEADER: &str = "a-key-of-the-collector";

/// Runs the operator until a binding is ready.
#[tokio::test]
#[ignore = "another test runs it, with an environment of its own"]
async fn an_operator_makes_a_binding_ready() {
    rustls::crypto::ring::default_provider().install_default().unwrap();
    let traces = Traces::from_environment().unwrap();
    tracing_subscriber::registry().with(traces.layer()).init();
    let cluster = FakeApiServer::new();
    cluster.create_namespace("shop");
    cluster.set_deadline(Duration::from_mins(1));
    let settings = Settings {
        config: OperatorConfig {
            group: format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/operator")
                .parse()
                .unwrap(),
            location: "westeurope".parse().unwrap(),
            require_policy: false,
            audience: "api://AzureADTokenExchange".parse().unwrap(),
            protected_identities: Vec::new(),
            protected_groups: Vec::new(),
            own_cluster: wio_core::config::OwnCluster::Settled,
            former_issuers: BTreeSet::new(),
            allow_private_issuer: false,
            unlocked_roles: BTreeSet::new(),
            default_tags: wio_core::observed::Tags::new(),
            ignored_tags: Vec::new(),
            namespaces: ActiveNamespaces::All,
            verification: wio_api::VerificationMode::None,
        },
        cluster: None,
        drift_interval: Duration::from_mins(30),
        sweep_interval: Duration::from_mins(30),
        workloads: false,
        rollouts: false,
        concurrency: 4,
        instance: None,
        clock: Clock::default(),
        lease: None,
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    cluster.seed(binding("shop", "orders").managed().service_account("orders").build());
    let is_ready = |binding: &WorkloadIdentityBinding| {
        let conditions = binding.status.iter().flat_map(|status| &status.conditions);
        conditions
            .into_iter()
            .any(|condition| condition.type_ == "Ready" && condition.status == "True")
    };
    let client = cluster.client_named("operator");
    let ready = async move {
        cluster.wait_for("shop", "orders", is_ready).await;
    };
    wio_controller::run(client, azure(), settings, listener, ready)
        .await
        .unwrap();
    traces.flush().await;
}

/// Azure, to which no request carries a trace.
fn azure() -> Azure {
    let token = token_of(CLIENT_ID);
    let simulator = Simulator::new(Config::default().with_static_token(&token));
    simulator.restore(Snapshot {
        resource_groups: vec![ResourceGroup {
            subscription_id: SUBSCRIPTION.to_owned(),
            name: "operator".to_owned(),
            location: "westeurope".to_owned(),
            tags: BTreeMap::new(),
            gone_at: None,
        }],
        ..Snapshot::default()
    });
    let transport = transport(move |request: http::Request<bytes::Bytes>| {
        let traced = ["traceparent", "tracestate", "baggage"].map(|header| request.headers().contains_key(header));
        assert_eq!(traced, [false; 3], "{request:?}");
        let simulator = simulator.clone();
        async move { simulator.handle(request).await }
    });
    let endpoints = Endpoints::new(Cloud::Public, None, ApiVersion::default()).unwrap();
    Azure::new(transport, credential(&token), endpoints)
}

#[tokio::test]
async fn a_reconcile_is_one_trace_with_its_stages_and_its_requests_to_azure_and_holds_no_secret() {
    let received: Arc<Mutex<Vec<ExportTraceServiceRequest>>> = Arc::default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let keep = Arc::clone(&received);
    let receive = post(async move |headers: http::HeaderMap, body: axum::body::Bytes| {
        assert_eq!(headers["x-key"], HEADER);
        keep.lock()
            .unwrap()
            .push(ExportTraceServiceRequest::decode(body).unwrap());
    });
    let collector =
        tokio::spawn(async move { axum::serve(listener, Router::new().route("/v1/traces", receive)).await });
    let operator = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", OPERATOR])
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
        .env("OTEL_EXPORTER_OTLP_HEADERS", format!("x-key={HEADER}"))
        .env("OTEL_SERVICE_NAME", "shop-operator")
        .output()
        .await
        .unwrap();
    let said = [operator.stdout, operator.stderr].concat();
    assert!(operator.status.success(), "{}", String::from_utf8_lossy(&said));
    collector.abort();

    let received = received.lock().unwrap().clone();
    let sent: Vec<Span> = received
        .iter()
        .flat_map(|request| &request.resource_spans)
        .flat_map(|resource| &resource.scope_spans)
        .flat_map(|scope| scope.spans.clone())
        .collect();
    for resource in received.iter().flat_map(|request| &request.resource_spans) {
        let attributes = texts(&resource.resource.as_ref().unwrap().attributes);
        assert_eq!(attributes["service.name"], "shop-operator");
        assert_eq!(attributes["service.version"], env!("CARGO_PKG_VERSION"));
    }

    let all = texts_of(&sent);
    let pass = all
        .iter()
        .find(|(span, texts)| span.name == "reconcile" && texts.get("reason").map(String::as_str) == Some("Succeeded"))
        .unwrap_or_else(|| panic!("no reconcile succeeded: {all:#?}"));
    assert_eq!((&*pass.1["namespace"], &*pass.1["name"]), ("shop", "orders"));
    let below = |parent: &Span| -> Vec<&(Span, BTreeMap<String, String>)> {
        let child = |(span, _): &&(Span, _)| span.parent_span_id == parent.span_id && span.trace_id == parent.trace_id;
        all.iter().filter(child).collect()
    };
    let stages: BTreeSet<&str> = below(&pass.0).iter().map(|(span, _)| &*span.name).collect();
    assert_eq!(
        stages,
        BTreeSet::from([
            "dereference",
            "verdict",
            "guard",
            "finalizer",
            "observe",
            "plan",
            "prove",
            "execute",
            "status"
        ])
    );
    let execute = below(&pass.0)
        .into_iter()
        .find(|(span, _)| span.name == "execute")
        .unwrap();
    let put = below(&execute.0)
        .into_iter()
        .find(|(span, _)| span.name == "put_identity")
        .unwrap();
    for (key, value) in [
        ("http.request.method", "PUT"),
        (
            "url.template",
            "Microsoft.ManagedIdentity/userAssignedIdentities/{identity}",
        ),
        ("http.response.status_code", "201"),
        ("azure.outcome", "201"),
    ] {
        assert_eq!(put.1[key], value, "{key}");
    }
    assert_eq!(put.1["azure.correlation_id"].len(), 36);
    assert!(put.1.contains_key("azure.waited_ms"), "{put:?}");

    // What is not on this list was not thought about.
    let known = [
        "namespace",
        "name",
        "generation",
        "reason",
        "binding",
        "http.request.method",
        "url.template",
        "http.response.status_code",
        "azure.outcome",
        "azure.correlation_id",
        "azure.request_id",
        "azure.waited_ms",
    ];
    let keys: BTreeSet<&str> = all
        .iter()
        .flat_map(|(_, texts)| texts.keys())
        .map(String::as_str)
        .collect();
    assert_eq!(
        keys.difference(&BTreeSet::from(known)).collect::<Vec<_>>(),
        Vec::<&&str>::new()
    );
    assert!(
        sent.iter().all(|span| span.events.is_empty()),
        "events are sent: {sent:#?}"
    );
    let everything = format!("{received:?}");
    for secret in [token_of(CLIENT_ID).as_str(), HEADER, "/subscriptions/", "Bearer"] {
        assert!(!everything.contains(secret), "{secret} is sent: {everything}");
    }
}

fn texts_of(spans: &[Span]) -> Vec<(Span, BTreeMap<String, String>)> {
    spans
        .iter()
        .map(|span| (span.clone(), texts(&span.attributes)))
        .collect()
}

fn texts(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    let text = |value: &Option<AnyValue>| match value.as_ref().and_then(|value| value.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        other => format!("{other:?}"),
    };
    attributes
        .iter()
        .map(|attribute| (attribute.key.clone(), text(&attribute.value)))
        .collect()
}

#[test]
fn traces_are_sent_only_where_an_endpoint_is_named_and_nothing_forbids_them() {
    let asked = |variables: &[(&str, &str)]| {
        is_asked_for(|name| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    };
    let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318");
    assert!(!asked(&[]));
    assert!(!asked(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "")]));
    assert!(asked(&[endpoint]));
    assert!(asked(&[(
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
        "http://collector:4318/v1/traces"
    )]));
    assert!(!asked(&[endpoint, ("OTEL_SDK_DISABLED", "true")]));
    assert!(asked(&[endpoint, ("OTEL_SDK_DISABLED", "false")]));
    assert!(!asked(&[endpoint, ("OTEL_TRACES_EXPORTER", "none")]));
    assert!(asked(&[endpoint, ("OTEL_TRACES_EXPORTER", "otlp")]));
}
