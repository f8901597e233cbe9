//! Tokens of a fake cluster, asked for at a simulated Entra.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use clap::Parser;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};
use wio_azure::{ApiVersion, Cloud, Endpoints, Prover};
use wio_azure_sim::{Config, Fault, KnownIssuers, Simulator};
use wio_testkit::fixtures::binding;
use wio_testkit::{Effect, FakeApiServer, Matcher, Verb, azure};

use crate::commands::verify::run_with;
use crate::{Arguments, Command, Ending, Session};

const ISSUER: &str = "https://issuer.example/cluster/";
const AUDIENCE: &str = "api://AzureADTokenExchange";
const SUBSCRIPTION: &str = "6f2e1c1d-52a4-4d0c-8d2f-0c6a2d0b7a11";
const CLIENT_ID: &str = "4b65e8cb-da6f-4b8e-9399-17dfd09b7846";
const PRINCIPAL_ID: &str = "1a2b3c4d-0000-4000-8000-0000000091c1";
const TENANT_ID: &str = "7e4a9d30-5b1f-4c26-8f0e-2d6c91ab3e57";
const IDENTITY: &str = "/subscriptions/6f2e1c1d-52a4-4d0c-8d2f-0c6a2d0b7a11/resourceGroups/shared/providers/Microsoft.ManagedIdentity/userAssignedIdentities/wib-shop-orders-a";
const ROLE: &str = "8c4f5b1a-0000-4000-8000-00000000a551";
const READER: &str = "acdd72a7-3385-48ef-bd42-f606fba81ae7";
const KEY: &[u8] = include_bytes!("../../../azure-sim/tests/keys/test-only-cluster-key.pem");
const STRANGERS_KEY: &[u8] = include_bytes!("../../../azure-sim/tests/keys/test-only-stranger-key.pem");
const KEYS: &str = include_str!("../../../azure-sim/tests/keys/test-only-cluster.jwks.json");

/// A cluster, and an Azure that trusts service account `shop/orders`.
struct World {
    server: FakeApiServer,
    simulator: Simulator,
    issuers: KnownIssuers,
    minted: Arc<Mutex<Vec<String>>>,
}

/// The status of a binding that is ready.
fn status() -> Value {
    json!({
        "identity": {
            "resourceId": IDENTITY, "name": "wib-shop-orders-a", "clientId": CLIENT_ID, "tenantId": TENANT_ID,
            "principalId": PRINCIPAL_ID, "origin": "Created",
        },
        "issuer": ISSUER,
        "federatedCredentials": [{
            "name": "wib-1", "serviceAccount": "orders", "subject": "system:serviceaccount:shop:orders",
            "audience": AUDIENCE,
        }],
        "roleAssignments": [{
            "id": format!("/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Authorization/roleAssignments/{ROLE}"),
            "role": "Reader", "scope": format!("/subscriptions/{SUBSCRIPTION}"),
        }],
    })
}

/// What stands in Azure.
fn azure_with(credentials: &Value, roles: &Value) -> Value {
    let at = "2026-01-01T00:00:00Z";
    let roles = roles.as_array().unwrap().iter().map(|role| {
        json!({
            "name": role, "scope": format!("/subscriptions/{SUBSCRIPTION}"), "roleDefinitionId": READER,
            "principalId": PRINCIPAL_ID, "principalType": "ServicePrincipal", "createdOn": at, "updatedOn": at,
            "createdBy": "",
        })
    });
    json!({
        "resourceGroups": [{ "subscriptionId": SUBSCRIPTION, "name": "shared", "location": "westeurope" }],
        "identities": [{
            "id": IDENTITY, "location": "westeurope", "clientId": CLIENT_ID, "principalId": PRINCIPAL_ID,
            "isolationScope": "None", "createdAt": at, "credentials": credentials,
        }],
        "roleAssignments": roles.collect::<Vec<_>>(), "roleDefinitions": [], "locks": [],
    })
}

fn credential(issuer: &str, account: &str, audience: &str) -> Value {
    json!([{
        "name": "wib-1", "issuer": issuer, "subject": format!("system:serviceaccount:shop:{account}"),
        "audiences": [audience],
    }])
}

/// Entra's next answer.
fn answering(status: u16, code: &str, message: &str) -> Fault {
    Fault {
        effect: wio_azure_sim::Effect::Respond {
            status,
            code: code.to_owned(),
            message: message.to_owned(),
            headers: BTreeMap::new(),
        },
        ..Fault::on("POST")
    }
}

fn account(name: &str, client_id: Option<&str>) -> Value {
    let annotations = client_id.map(|id| json!({ "azure.workload.identity/client-id": id }));
    json!({
        "apiVersion": "v1", "kind": "ServiceAccount",
        "metadata": { "namespace": "shop", "name": name, "annotations": annotations.unwrap_or(json!({})) },
    })
}

// === impl World ===

impl World {
    fn new() -> Self {
        Self::with(&status(), &["orders"])
    }

    fn with(status: &Value, accounts: &[&str]) -> Self {
        let issuers = KnownIssuers::default();
        issuers.publish(ISSUER, serde_json::from_str(KEYS).unwrap());
        let config = Config {
            starts_at: "2026-01-01T00:00:00Z".parse().ok(),
            authorization: true,
            ..Config::default()
        };
        let simulator = Simulator::with_issuers(config, Arc::new(issuers.clone()));
        let clock = simulator.clone();
        let server = FakeApiServer::with_clock(move || clock.now());
        server.create_namespace("shop");
        let built = accounts
            .iter()
            .fold(binding("shop", "orders").managed(), |built, name| {
                built.service_account(name)
            });
        let mut built = json!(built.build());
        built["status"] = status.clone();
        server.seed(built);
        server.seed(account("orders", Some(CLIENT_ID)));
        server.seed(account("mails", None));
        let world = Self {
            server,
            simulator,
            issuers,
            minted: Arc::default(),
        };
        world.sign_with(KEY, "cluster-1");
        world.trusts(&credential(ISSUER, "orders", AUDIENCE));
        world
    }

    fn sign_with(&self, key: &'static [u8], id: &'static str) {
        let minted = Arc::clone(&self.minted);
        self.server.sign_tokens_with(move |claims| {
            let header = Header {
                kid: Some(id.to_owned()),
                ..Header::new(Algorithm::RS256)
            };
            let token = encode(&header, claims, &EncodingKey::from_rsa_pem(key).unwrap()).unwrap();
            minted.lock().unwrap().push(token.clone());
            token
        });
    }

    fn trusts(&self, credentials: &Value) {
        self.simulator
            .restore(serde_json::from_value(azure_with(credentials, &json!([]))).unwrap());
    }

    fn gives_roles(&self, roles: &Value) {
        let credentials = credential(ISSUER, "orders", AUDIENCE);
        self.simulator
            .restore(serde_json::from_value(azure_with(&credentials, roles)).unwrap());
    }

    fn prover(&self) -> Prover {
        let simulator = self.simulator.clone();
        let transport = azure::transport(move |request| {
            let simulator = simulator.clone();
            async move { simulator.handle(request).await }
        });
        let endpoints = Endpoints::new(Cloud::Public, None, ApiVersion::default()).unwrap();
        Prover::new(transport, "https://login.microsoftonline.com/", endpoints).unwrap()
    }

    /// How a command line ended, and what it wrote, in which no token is.
    async fn ended(&self, line: &str) -> anyhow::Result<(Ending, String)> {
        let arguments = Arguments::try_parse_from(format!("kubectl-wib {line}").split(' '))?;
        let Command::Verify(asked) = arguments.command else {
            panic!("{line}");
        };
        let session = Session {
            client: self.server.client(),
            namespace: "shop".to_owned(),
        };
        let mut out = anstream::StripStream::new(Vec::new());
        let ending = run_with(&asked, &session, &self.prover(), &mut out).await?;
        let told = String::from_utf8(out.into_inner())?;
        assert!(!told.contains("eyJ"), "{told}");
        for token in self.minted.lock().unwrap().iter() {
            assert!(!token.split('.').any(|part| told.contains(part)), "{told}");
        }
        Ok((ending, told))
    }

    async fn told(&self, line: &str) -> (Ending, String) {
        self.ended(line).await.unwrap()
    }
}

#[track_caller]
fn assert_lines(told: &str, lines: &[&str]) {
    let mut rest = told.lines();
    for line in lines {
        assert!(
            rest.any(|told| told.trim_start_matches([' ', '│', '├', '└', '─']) == line.trim_start()),
            "{line:?} is not there, or not in its place:\n{told}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_binding_that_works_is_proven_and_no_token_is_shown() {
    let world = World::new();
    let (ending, told) = world.told("verify orders").await;
    assert_eq!(ending, Ending::Well);
    assert_eq!(
        told,
        format!(
            "✓ WorkloadIdentityBinding shop/orders: Entra gives tokens of its identity
├─ Identity wib-shop-orders-a
│  ├─ client id {CLIENT_ID}
│  └─ tenant id {TENANT_ID}
├─ asked at https://login.microsoftonline.com for https://management.azure.com/.default
├─ ✓ Service account orders: a token was given
│  ├─ its token
│  │  ├─ iss   {ISSUER}
│  │  ├─ sub   system:serviceaccount:shop:orders
│  │  ├─ aud   {AUDIENCE}
│  │  └─ exp   2026-01-01T00:10:00Z
│  └─ the access token, which was thrown away
│     ├─ oid   {PRINCIPAL_ID}
│     ├─ appid {CLIENT_ID}
│     ├─ tid   {TENANT_ID}
│     ├─ aud   https://management.azure.com
│     └─ exp   2026-01-02T00:00:00Z
├─ Roles of the identity
│  ├─ given by the binding
│  │  └─ Reader at /subscriptions/{SUBSCRIPTION}
│  └─ not looked at in Azure: subscription {SUBSCRIPTION}: the identity may not read role assignments there
└─ One success is no proof for all: for some minutes after a change another region of Entra can still refuse
"
        )
    );
    let written: Vec<_> = world.server.writes();
    assert_eq!(written.len(), 1, "{written:?}");
    assert_eq!(
        (written[0].verb, written[0].subresource.as_str()),
        (Verb::Create, "token")
    );
    assert_eq!(written[0].body["spec"]["expirationSeconds"], 600);
}

#[tokio::test(start_paused = true)]
async fn roles_are_looked_at_where_the_identity_may_see_them() {
    let world = World::new();
    let other = "8c4f5b1a-0000-4000-8000-00000000a552";
    world.gives_roles(&json!([ROLE, other]));
    let (_, told) = world.told("verify orders").await;
    let by_binding = format!("Reader at /subscriptions/{SUBSCRIPTION}");
    let not_by_it = format!("{by_binding}, not by the binding");
    assert_lines(
        &told,
        &[
            "given by the binding",
            &by_binding,
            "in Azure now; those of groups that it is in are not seen",
            &not_by_it,
            &by_binding,
        ],
    );
    let (_, told) = world
        .told("verify orders --scope https://vault.azure.net/.default")
        .await;
    assert_lines(
        &told,
        &["not looked at in Azure: the access token is for something else than Azure Resource Manager"],
    );
}

/// A missing slash was a full outage, and nobody saw it.
#[tokio::test(start_paused = true)]
async fn an_issuer_without_its_slash_is_shown_with_a_caret_under_it() {
    let world = World::new();
    world.server.set_issuer("https://issuer.example/cluster");
    let (ending, told) = world.told("verify orders").await;
    assert_eq!(ending, Ending::NotSo);
    assert!(
        told.contains(
            "│  ├─ ✗ the issuer differs
│  │  ├─ token      https://issuer.example/cluster
│  │  ├─ credential https://issuer.example/cluster/
│  │  └─                                          ^ the token ends, the credential has /
│  ├─ passes by itself: perhaps, within minutes
"
        ),
        "{told}"
    );
    assert_lines(
        &told,
        &[
            "✗ WorkloadIdentityBinding shop/orders: Entra refuses",
            "✗ Service account orders: AADSTS700211: the issuer differs",
            "Next step: the cluster issues its tokens as another issuer than the credentials trust: the operator follows it, see kubectl wib status orders -n shop; two minutes after that, ask again",
            "not looked at in Azure: there is no access token to look with",
        ],
    );
    assert!(!told.contains("One success"), "{told}");
}

#[tokio::test(start_paused = true)]
async fn a_service_account_that_is_not_bound_is_told_with_the_nearest_subject() {
    let world = World::new();
    let (ending, told) = world.told("verify orders --service-account mails").await;
    assert_eq!(ending, Ending::NotSo);
    assert_lines(
        &told,
        &[
            "✗ Service account mails: AADSTS700213: the subject differs",
            "✗ the subject differs",
            "token      system:serviceaccount:shop:mails",
            "credential system:serviceaccount:shop:orders",
            "^ the token has m, the credential has o",
            "passes by itself: no",
            "… note: the binding does not name it",
            "… note: its pods ask for no identity: it carries no client id",
            "Next step: the binding does not name service account mails: add it to spec.serviceAccounts, or let the pods run as one that is there",
        ],
    );
}

#[tokio::test(start_paused = true)]
async fn a_credential_that_is_not_as_recorded_is_told_from_one_that_is_behind() {
    let world = World::new();
    for (trusted, code) in [
        (
            credential(ISSUER, "orders", "api://Other"),
            "AADSTS700212: the audience differs",
        ),
        (
            credential(ISSUER, "Orders", AUDIENCE),
            "AADSTS7002138: the subject is the same but for capitals",
        ),
        (
            json!([]),
            "AADSTS70025: no federated credential matches; the identity has none",
        ),
    ] {
        world.trusts(&trusted);
        let (ending, told) = world.told("verify orders").await;
        assert_eq!(ending, Ending::NotSo, "{code}");
        assert_lines(
            &told,
            &[
                &format!("✗ Service account orders: {code}"),
                "Next step: the token says what is recorded, so the credential in Azure is younger than two minutes, or somebody edited or deleted it: kubectl wib reconcile orders -n shop --wait has it put back; two minutes after that, ask again",
            ],
        );
        assert!(!told.contains('^'), "{told}");
    }
}

/// The webhook mints what pods present, and it was told another audience than the operator: what the credential wants would have been proven.
#[tokio::test(start_paused = true)]
async fn the_audience_that_pods_present_is_what_is_proven() {
    let world = World::new();
    let pod = |name: &str, phase: &str, audience: &str| {
        json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": { "namespace": "shop", "name": name },
            "spec": {
                "serviceAccountName": "orders", "containers": [{ "name": "app", "image": "i" }],
                "volumes": [{
                    "name": "azure-identity-token",
                    "projected": { "sources": [{ "serviceAccountToken": { "audience": audience, "path": "t" } }] },
                }],
            },
            "status": { "phase": phase },
        })
    };
    world.server.seed(pod("old", "Succeeded", "api://Old"));
    world.server.seed(pod("one", "Running", AUDIENCE));
    assert_eq!(world.told("verify orders").await.0, Ending::Well);
    world.server.seed(pod("two", "Running", "api://Webhook"));
    let (ending, told) = world.told("verify orders").await;
    assert_eq!(ending, Ending::NotSo);
    assert_lines(
        &told,
        &[
            "✗ Service account orders: AADSTS700212: the audience differs",
            "token      api://Webhook",
            "credential api://AzureADTokenExchange",
            "^ the token has W, the credential has A",
            "Next step: the pods present another audience than the credential trusts: set spec.audience of orders to what they present, or the operator's default (--audience)",
        ],
    );
}

/// A cache would go on saying that all is well.
#[tokio::test(start_paused = true)]
async fn each_proof_is_a_new_one() {
    let world = World::new();
    assert_eq!(world.told("verify orders").await.0, Ending::Well);
    world.trusts(&json!([]));
    assert_eq!(world.told("verify orders").await.0, Ending::NotSo);
}

#[tokio::test(start_paused = true)]
async fn refusals_that_are_about_no_credential_are_explained_by_their_code() {
    let world = World::new();
    world.issuers.withdraw(ISSUER);
    let (_, told) = world.told("verify orders").await;
    assert_lines(
        &told,
        &[
            "✗ Service account orders: AADSTS90061: Entra cannot reach the issuer",
            "Next step: both documents of the issuer must be public: runbook 11",
        ],
    );

    let world = World::new();
    world.sign_with(STRANGERS_KEY, "stranger-1");
    let (_, told) = world.told("verify orders").await;
    assert_lines(
        &told,
        &["✗ Service account orders: AADSTS7000272: the key that signed the token is not known"],
    );

    let mut other = status();
    other["identity"]["clientId"] = json!("00000000-0000-4000-8000-00000000dead");
    let world = World::with(&other, &["orders"]);
    let (_, told) = world.told("verify orders").await;
    assert_lines(
        &told,
        &[
            "✗ Service account orders: AADSTS700016: no such application in the tenant",
            &format!("… note: its pods ask for another identity: it carries the client id {CLIENT_ID}"),
            "Next step: an identity that was made a moment ago is known within minutes; where somebody deleted it, kubectl wib reconcile orders -n shop --wait has it made anew",
        ],
    );
}

#[tokio::test(start_paused = true)]
async fn a_code_that_is_not_known_here_is_told_in_entras_words() {
    let world = World::new();
    world.simulator.inject(answering(
        400,
        "AADSTS499999",
        "Something new. eyJhbGciOi.eyJpc3Mi.c2ln",
    ));
    let (ending, told) = world.told("verify orders").await;
    assert_eq!(ending, Ending::NotSo);
    assert_lines(
        &told,
        &[
            "✗ Service account orders: AADSTS499999",
            "Entra says: AADSTS499999: Something new. <token>",
            "Next step: Microsoft's words: https://login.microsoftonline.com/error?code=499999",
        ],
    );
}

#[tokio::test(start_paused = true)]
async fn one_refusal_among_several_is_a_refusal() {
    let world = World::with(&status(), &["orders", "mails", "gone"]);
    let (ending, told) = world.told("verify orders").await;
    assert_eq!(ending, Ending::NotSo);
    assert_lines(
        &told,
        &[
            "✓ Service account orders: a token was given",
            "✗ Service account mails: AADSTS700213: the subject differs",
            "… note: the binding's status has no credential for it yet",
            "Next step: the record is behind the spec: kubectl wib reconcile orders -n shop --wait; two minutes after that, ask again",
            "… Service account gone: could not be tried: it is not there",
        ],
    );
    let (ending, _) = world.told("verify orders --service-account gone").await;
    assert_eq!(ending, Ending::Failed);
}

#[tokio::test(start_paused = true)]
async fn what_could_not_be_tried_proves_nothing() {
    let world = World::new();
    world.server.inject(
        Matcher::any().resource("serviceaccounts").subresource("token"),
        Effect::forbidden(),
    );
    let (ending, told) = world.told("verify orders").await;
    assert_eq!(ending, Ending::Failed);
    assert!(
        told.contains("could not be tried: the API server gives no token of it: "),
        "{told}"
    );

    for (fault, words) in [
        (answering(503, "AADSTS90033", "A transient error."), "answered with 503"),
        (
            answering(429, "temporarily_unavailable", "slow down"),
            "answered with 429",
        ),
        (Fault::on("POST").drop_connection(), "https://login.microsoftonline.com"),
        (
            Fault::on("POST").hang(),
            "no answer of https://login.microsoftonline.com within 30 s",
        ),
    ] {
        let world = World::new();
        world.simulator.inject(fault);
        let (ending, told) = world.told("verify orders").await;
        assert_eq!(ending, Ending::Failed, "{told}");
        assert!(told.contains("could not be tried: Entra gave no answer: "), "{told}");
        assert!(told.contains(words), "{words}: {told}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_binding_without_an_identity_has_nothing_to_ask_for() {
    let mut without = status();
    without["identity"]["clientId"] = Value::Null;
    for status in [json!({}), without] {
        let error = World::with(&status, &["orders"])
            .ended("verify orders")
            .await
            .unwrap_err();
        assert!(
            error.to_string().ends_with("kubectl wib status orders -n shop"),
            "{error}"
        );
    }
    let error = World::with(&status(), &[]).ended("verify orders").await.unwrap_err();
    assert_eq!(error.to_string(), "shop/orders names no service account");
    let error = World::new().ended("verify other").await.unwrap_err();
    assert!(error.to_string().contains("shop/other"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn programs_get_the_same_as_data() {
    let world = World::new();
    let (_, json) = world.told("verify orders -o json").await;
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["verdict"], "Proven");
    assert_eq!(json["serviceAccounts"][0]["presented"]["aud"], json!([AUDIENCE]));
    assert_eq!(json["serviceAccounts"][0]["given"]["oid"], PRINCIPAL_ID);
    world.server.set_issuer("https://issuer.example/cluster");
    let (ending, yaml) = world.told("verify orders -o yaml").await;
    assert_eq!(ending, Ending::NotSo);
    for line in ["verdict: Refused", "    code: AADSTS700211", "      sameCharacters: 30"] {
        assert!(yaml.lines().any(|told| told == line), "{line}: {yaml}");
    }
}
