//! Fixtures: clients with a double or the simulator behind them, bodies of answers, and what a binding asks for.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::future::ready;
use std::sync::{Arc, Mutex};

use azure_core::http::HttpClient;
use bytes::Bytes;
use serde_json::{Value, json};
use wio_api::{ManagedIdentity, ManagedIdentityPermission};
use wio_azure::{ApiVersion, Azure, Cloud, Endpoints};
use wio_azure_sim::{Config, Simulator};
use wio_core::active_namespaces::ActiveNamespaces;
use wio_core::authorize::Granted;
use wio_core::binding::Binding;
use wio_core::case::{Candidate, Case};
use wio_core::cluster::Cluster;
use wio_core::config::OperatorConfig;
use wio_core::desired::{Desired, DesiredBinding, DesiredCredential};
use wio_core::names::IdentityId;
use wio_core::observed::Tags;
use wio_core::policy::{NamespaceFacts, Policies};
use wio_core::rules::Rules;
use wio_core::verdict::{Verdict, verdict};
use wio_testkit::azure::{credential, transport};
use wio_testkit::fixtures::{binding, policy};

pub type Request = http::Request<Bytes>;
pub type Response = http::Response<Bytes>;

/// Not a token, but it must be as invisible as one.
pub const TOKEN: &str = "eyJ0b2tlbg.c2VjcmV0.c2ln";
pub const SUBSCRIPTION: &str = "6f2e1c1d-52a4-4d0c-8d2f-0c6a2d0b7a11";
pub const CLIENT_ID: &str = "1a2b3c4d-0000-4000-8000-00000000c11e";
pub const PRINCIPAL_ID: &str = "1a2b3c4d-0000-4000-8000-0000000091c1";
pub const TENANT_ID: &str = "1a2b3c4d-0000-4000-8000-000000007e4a";
pub const ISSUER: &str = "https://oidc.example.net/cluster/";

pub fn name<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().unwrap()
}

fn config() -> OperatorConfig {
    OperatorConfig {
        group: name(&format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/operator")),
        location: name("westeurope"),
        require_policy: false,
        audience: name("api://AzureADTokenExchange"),
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
    }
}

pub fn id(identity: &str) -> IdentityId {
    name(&resource_id(identity))
}

pub fn resource_id(identity: &str) -> String {
    format!(
        "/subscriptions/{SUBSCRIPTION}/resourceGroups/operator/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{identity}"
    )
}

/// What a binding to this identity with these service accounts asks for.
pub fn desired(identity: &str, accounts: &[&str]) -> DesiredBinding {
    asked(identity, accounts, &[])
}

/// What a binding to this identity with these roles at these scopes asks for.
pub fn desired_with(identity: &str, roles: &[(&str, &str)]) -> DesiredBinding {
    asked(identity, &["orders"], roles)
}

/// Where a name need not say its namespace.
fn anywhere() -> ManagedIdentityPermission {
    ManagedIdentityPermission {
        subscription_id: SUBSCRIPTION.to_owned(),
        resource_group: "operator".to_owned(),
        ..ManagedIdentityPermission::default()
    }
}

fn asked(identity: &str, accounts: &[&str], roles: &[(&str, &str)]) -> DesiredBinding {
    let managed = ManagedIdentity {
        name: Some(identity.to_owned()),
        ..ManagedIdentity::default()
    };
    let start = binding("shop", "orders")
        .uid("5d0c1f6e-3f43-4d0a-8a39-2f6b9a1f2c11")
        .generation(1)
        .managed_as(managed);
    let start = accounts
        .iter()
        .fold(start, |built, account| built.service_account(account));
    let object = roles
        .iter()
        .fold(start, |built, (role, scope)| built.role(role, scope))
        .build();
    let cluster = Cluster::new(name("0b9fd8f1-4b5a-4a52-9c7d-7a7d1c2d6f01"), name(ISSUER));
    let everything = roles
        .iter()
        .fold(
            policy("everything").namespace("shop").managed(anywhere()),
            |built, (role, scope)| built.role(role, &[scope]),
        )
        .build();
    let by_policy = Rules {
        config: Arc::new(config()),
        policies: Arc::new(Policies::parse([&everything])),
        namespace: NamespaceFacts {
            name: name("shop"),
            labels: BTreeMap::new(),
        },
        cluster,
    };
    let case = Case {
        candidate: Candidate {
            binding: Binding::parse(&object, &by_policy.cluster.id).unwrap(),
            used_before: wio_core::policy::Usage::default(),
        },
        labelled: BTreeSet::new(),
        neighbours: Vec::new(),
        held: BTreeSet::new(),
        rivals: Vec::new(),
        rules: by_policy,
        now: jiff::Timestamp::UNIX_EPOCH,
    };
    match verdict(&case) {
        Verdict::Pursue(desired) => match *desired {
            Desired::Bound(binding) => binding,
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

pub fn granted(identity: &str) -> Granted {
    desired(identity, &["orders"]).granted
}

pub fn desired_credential(account: &str) -> DesiredCredential {
    desired("orders", &[account]).credentials.remove(0)
}

pub fn public() -> Endpoints {
    Endpoints::new(Cloud::Public, None, ApiVersion::default()).unwrap()
}

pub fn client(carrier: Arc<dyn HttpClient>) -> Azure {
    Azure::new(carrier, credential(TOKEN), public())
}

/// A client of a cloud in which the operator's resource group exists.
pub async fn cloud(change: impl FnOnce(&mut Config)) -> (Azure, Simulator) {
    let mut config = Config::default().with_static_token(TOKEN);
    change(&mut config);
    let simulator = Simulator::new(config);
    let group = http::Request::put(format!(
        "https://management.azure.com/subscriptions/{SUBSCRIPTION}/resourceGroups/operator?api-version=2021-04-01"
    ))
    .header("authorization", format!("Bearer {TOKEN}"))
    .header("content-type", "application/json")
    .body(r#"{"location":"westeurope"}"#.into())
    .unwrap();
    assert_eq!(simulator.handle(group).await.unwrap().status(), 201);
    simulator.clear_requests();
    (client(in_process(&simulator)), simulator)
}

/// A transport to a simulator.
pub fn in_process(simulator: &Simulator) -> Arc<dyn HttpClient> {
    let simulator = simulator.clone();
    transport(move |request| {
        let simulator = simulator.clone();
        async move { simulator.handle(request).await }
    })
}

/// What left the process.
#[derive(Clone, Default)]
pub struct Seen(Arc<Mutex<Vec<Request>>>);

impl Seen {
    pub fn all(&self) -> Vec<Request> {
        self.0.lock().unwrap().clone()
    }

    pub fn count(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    pub fn only(&self) -> Request {
        let all = self.all();
        assert_eq!(all.len(), 1, "{all:?}");
        all[0].clone()
    }

    pub fn add(&self, request: &Request) -> usize {
        let mut seen = self.0.lock().unwrap();
        seen.push(request.clone());
        seen.len() - 1
    }
}

/// A transport that gives these answers, the last one for ever, and what it saw.
pub fn carrier(answers: Vec<Response>) -> (Arc<dyn HttpClient>, Seen) {
    let seen = Seen::default();
    let log = seen.clone();
    let carrier = transport(move |request| {
        let number = log.add(&request).min(answers.len() - 1);
        ready(Ok::<_, Infallible>(answers[number].clone()))
    });
    (carrier, seen)
}

/// A client whose requests get these answers.
pub fn answered(answers: Vec<Response>) -> (Azure, Seen) {
    let (carrier, seen) = carrier(answers);
    (client(carrier), seen)
}

pub fn response(status: u16, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Response {
    let mut response = http::Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(*name, *value);
    }
    response.body(body.into()).unwrap()
}

pub fn json_response(status: u16, body: &Value) -> Response {
    response(status, &[("content-type", "application/json")], body.to_string())
}

pub fn error_response(status: u16, code: &str) -> Response {
    json_response(
        status,
        &json!({"error": {"code": code, "message": format!("This is {code}.")}}),
    )
}

pub fn tags(team: &str) -> Tags {
    Tags::from_iter([("team".to_owned(), team.to_owned())])
}

/// An identity as Azure shows it, id in its own casing.
pub fn identity_body(identity: &str) -> Value {
    json!({
        "id": resource_id(identity).replace("resourceGroups", "resourcegroups"),
        "name": identity,
        "type": "Microsoft.ManagedIdentity/userAssignedIdentities",
        "location": "westeurope",
        "tags": {"team": "shop"},
        "properties": {"clientId": CLIENT_ID, "principalId": PRINCIPAL_ID, "tenantId": TENANT_ID},
        "systemData": {"createdAt": "2026-01-02T03:04:05.6789Z", "createdByType": "Robot"},
    })
}

pub fn credential_body(identity: &str, credential: &str, subject: Option<&str>) -> Value {
    let mut properties = json!({"issuer": ISSUER, "audiences": ["api://AzureADTokenExchange"]});
    match subject {
        Some(subject) => properties["subject"] = json!(subject),
        None => {
            properties["claimsMatchingExpression"] =
                json!({"value": "claims['sub'] matches '*'", "languageVersion": 1});
        }
    }
    json!({
        "id": format!("{}/federatedIdentityCredentials/{credential}", resource_id(identity)),
        "name": credential,
        "type": "Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials",
        "properties": properties,
    })
}

pub fn request_line(request: &Request) -> String {
    format!("{} {}", request.method(), request.uri())
}

pub fn header<'a>(request: &'a Request, name: &str) -> &'a str {
    request
        .headers()
        .get(name)
        .unwrap_or_else(|| panic!("no {name}"))
        .to_str()
        .unwrap()
}

pub fn json_body(request: &Request) -> Value {
    serde_json::from_slice(request.body()).unwrap()
}

/// Runs one ignored test of this binary in a process and an environment of its own.
pub fn alone(test: &str) -> tokio::process::Command {
    let mut command = tokio::process::Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", test, "--ignored", "--nocapture"])
        .env_clear()
        .kill_on_drop(true);
    command
}
