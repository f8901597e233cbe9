//! The world of a plan: a cluster, a cloud, and what stands in both that is none of ours.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use axum::serve::Listener;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ServiceAccount;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use uuid::Uuid;
use wio_api::{
    BoundServiceAccount, ConflictPolicy, DeletionPolicy, NamespaceSelector, VerificationMode, WorkloadIdentityBinding,
    WorkloadIdentityPolicy, keys,
};
use wio_azure::{ApiVersion, Azure, Cloud, Endpoints, InvalidClusterId, ManagedClusterId};
use wio_azure_sim::{
    Config, Credential, Identity, IdentityId, KnownIssuers, ManagedCluster, QuickKey, ResourceGroup, Simulator,
    Snapshot,
};
use wio_controller::{Clock, Ended, LeaseSettings, Settings};
use wio_core::active_namespaces::ActiveNamespaces;
use wio_core::config::OperatorConfig;
use wio_core::election::Terms;
use wio_core::names::{BindingName, ClusterId, CredentialPrefix, Namespace, identity_name};
use wio_core::policy::{Policies, merge};
use wio_testkit::azure::token_of;
use wio_testkit::fixtures::{binding, policy, service_account};
use wio_testkit::{CLUSTER_UID, DEFAULT_ISSUER, FakeApiServer};

use crate::history::Owned;
use crate::plan::{Asked, Candidate, Outlives, Plan, Planned, Setup};
use crate::wire::Wire;

pub(crate) const SUBSCRIPTION: &str = "6f2e1c1d-52a4-4d0c-8d2f-0c6a2d0b7a11";
const GROUP: &str = "operator";
/// The namespace of the operators.
const OPERATORS: &str = "operators";
/// The label of what somebody else made.
pub(crate) const MADE_BY: &str = "made-by";
/// What somebody else writes there, and for a client id.
pub(crate) const SOMEBODY: &str = "somebody";
const SHARED_GROUP: &str = "shared";
const SHARED: &str = "billing";
/// The identity by which the cluster itself acts, where its operators know which cluster is theirs.
pub(crate) const KUBELET: &str = "kubelet";
/// Under what a role is to hold where a binding asks for a condition.
pub(crate) const CONDITION: &str =
    "(@Resource[Microsoft.Storage/storageAccounts/blobServices/containers:name] StringEquals 'logs')";
/// The key by which the cluster signs its tokens.
static KEY: LazyLock<QuickKey> = LazyLock::new(|| QuickKey::new("cluster-1", &PRIMES));
#[rustfmt::skip]
const PRIMES: [u64; 32] = [
    0xfe68_3a77_dcb2_d0d9, 0xff97_8b60_4af6_e473, 0xfd15_401f_bc83_0051, 0xfda1_7b88_c5bc_901b,
    0xffdd_30dd_78bf_83d7, 0xffbb_6de6_42bb_60fb, 0xfe1b_6b9c_0425_78f1, 0xfe0f_ef3b_a684_ddc1,
    0xfc64_f217_fe8f_d849, 0xfd5b_205f_9634_b449, 0xfcc9_d040_5802_cd1f, 0xfe21_398e_7dbe_4543,
    0xfdc2_0706_2a10_e86d, 0xfeb8_3398_96f0_4c79, 0xfeb3_fb86_b5b4_0a5d, 0xfec0_2a90_345f_0e2d,
    0xfcb2_d85c_6971_db33, 0xfca5_1e9d_729a_851d, 0xff8d_d65d_846e_10af, 0xfe78_f0c0_806b_11d7,
    0xffa7_a2b1_f879_9f5d, 0xffae_487c_5da4_e713, 0xfd4c_75a1_90b4_3055, 0xfcf7_e979_7d84_7efd,
    0xffe1_10b9_f3aa_3129, 0xfce1_a762_0dfa_0c5f, 0xfdee_dbd4_e16f_89f7, 0xfcd4_7ff4_ca31_4715,
    0xfe65_45fe_77df_ef23, 0xfd4b_e12c_a5a2_b0ad, 0xfc05_b392_030a_9601, 0xfd8e_dc25_2ec6_098f,
];
/// How often the operator looks at Azure.
pub(crate) const DRIFT: Duration = Duration::from_mins(1);
/// What the API server says that its issuer is, one after the other.
pub(crate) const ISSUERS: [&str; 3] = [
    DEFAULT_ISSUER,
    "https://issuer.example/second/",
    "https://issuer.example/third/",
];
/// 2026-01-01T00:00:00Z.
const START_SECOND: i64 = 1_767_225_600;

#[derive(Clone)]
pub(crate) struct World {
    pub(crate) cluster: FakeApiServer,
    pub(crate) azure: Simulator,
    pub(crate) wire: Wire,
    pub(crate) token: String,
    /// Whom Entra can ask for the keys of the cluster's tokens.
    pub(crate) documents: KnownIssuers,
    setup: Setup,
    pub(crate) started: Instant,
    lives: u32,
}

/// Where nobody asks for health and metrics. A socket would be looked at each time that nothing else is to be done.
struct Nobody;

impl Listener for Nobody {
    type Io = tokio::io::DuplexStream;
    type Addr = ();

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        std::future::pending().await
    }

    fn local_addr(&self) -> std::io::Result<()> {
        Ok(())
    }
}

/// An operator that runs.
pub(crate) struct Operator {
    pub(crate) task: JoinHandle<Result<(), Ended>>,
    /// What its requests to the API server are called.
    pub(crate) client: String,
    pub(crate) life: u32,
    /// For how long it may think that it leads when nobody tells it otherwise.
    pub(crate) lease: Duration,
    /// Dropped when it is to end by itself.
    _stop: tokio::sync::oneshot::Sender<()>,
}

pub(crate) fn namespace(number: usize) -> String {
    format!("n{number}")
}

pub(crate) fn policies(plan: &Plan) -> usize {
    plan.namespaces.max(3)
}

/// Makes now what all plays have in common, so that none of them has to.
pub(crate) fn make_beginning() {
    wio_testkit::make_beginning();
    wio_azure_sim::make_beginning();
    LazyLock::force(&KEY);
    // It makes what the core makes once in a process.
    let _ = config().map(|config| merge(&config, &Policies::default()));
}

/// How operators are configured.
fn config() -> Result<OperatorConfig, String> {
    let said = |error: &dyn std::fmt::Display| error.to_string();
    Ok(OperatorConfig {
        group: format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/{GROUP}")
            .parse()
            .map_err(|e| said(&e))?,
        location: "westeurope".parse().map_err(|e| said(&e))?,
        require_policy: false,
        audience: "api://AzureADTokenExchange".parse().map_err(|e| said(&e))?,
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
    })
}

/// The policy of a namespace; narrowed, it gives nothing.
pub(crate) fn policy_of(number: usize, narrowed: bool) -> WorkloadIdentityPolicy {
    let selector = NamespaceSelector {
        match_labels: BTreeMap::from([("team".to_owned(), namespace(number))]),
        ..NamespaceSelector::default()
    };
    let built = policy(&format!("p{number}")).selector(selector);
    let pattern = IdentityId::new(SUBSCRIPTION, if narrowed { "nowhere" } else { SHARED_GROUP }, "*").to_string();
    let built = built.existing(&pattern);
    if narrowed {
        built.build()
    } else {
        built.role("Reader", &[&role_scope()]).build()
    }
}

fn role_scope() -> String {
    format!("/subscriptions/{SUBSCRIPTION}")
}

/// A service account that somebody else made.
pub(crate) fn foreign_account(number: usize, planned: &Planned) -> ServiceAccount {
    let built = service_account(&namespace(planned.namespace), &account_of(number, planned, 0));
    built.label(MADE_BY, SOMEBODY).build()
}

/// The binding of a plan, as somebody applies it.
pub(crate) fn binding_of(number: usize, planned: &Planned) -> WorkloadIdentityBinding {
    let mut built = binding(&namespace(planned.namespace), &format!("b{number}"));
    built = if planned.existing || planned.barred {
        let name = if planned.barred { KUBELET } else { SHARED };
        built.existing(&IdentityId::new(SUBSCRIPTION, SHARED_GROUP, name).to_string())
    } else {
        built.managed()
    };
    for n in 0..planned.accounts {
        built = built.bound(BoundServiceAccount {
            name: account_of(number, planned, n),
            create: true,
            token_expiration_seconds: None,
            conflict_policy: ConflictPolicy::Report,
        });
    }
    if planned.role {
        built = built.role("Reader", &role_scope());
        if planned.asks.contains(&Asked::Condition) {
            built = built.under(CONDITION);
        }
    }
    if planned.asks.contains(&Asked::Export) {
        built = built.exported(&map_of(number));
    }
    if planned.asks.contains(&Asked::Proof) {
        built = built.verified(VerificationMode::TokenExchange);
    }
    if planned.asks.contains(&Asked::Restart) {
        built = built.restarting();
    }
    built = built.deletion_policy(match planned.outlives {
        Outlives::Nothing => DeletionPolicy::Delete,
        Outlives::Identity => DeletionPolicy::RetainIdentity,
        Outlives::Everything => DeletionPolicy::Orphan,
    });
    built.build()
}

/// The ConfigMap that a binding exports into.
pub(crate) fn map_of(number: usize) -> String {
    format!("ids-{number}")
}

/// Bindings of one namespace that have the shared identity share service accounts as well.
pub(crate) fn account_of(number: usize, planned: &Planned, n: usize) -> String {
    if planned.existing {
        format!("shared-{n}")
    } else {
        format!("own-{number}-{n}")
    }
}

/// By what the objects of each binding are known.
pub(crate) fn owners(plan: &Plan) -> Vec<Owned> {
    let cluster: Option<ClusterId> = CLUSTER_UID.parse().ok();
    let owned = |(number, planned): (usize, &Planned)| {
        let (cluster, name) = (cluster.as_ref()?, format!("b{number}"));
        let namespace: Namespace = namespace(planned.namespace).parse().ok()?;
        let binding: BindingName = name.parse().ok()?;
        Some(Owned {
            prefix: CredentialPrefix::of(cluster, &namespace, &binding).to_string(),
            identity: identity_name(cluster, &namespace, &binding).to_string(),
            namespace: namespace.to_string(),
            name,
            outlives: planned.outlives,
            existing: planned.existing,
            needs_policy: planned.existing || planned.barred || planned.role,
            barred: planned.barred,
        })
    };
    plan.bindings.iter().enumerate().filter_map(owned).collect()
}

fn credential(name: &str, issuer: &str, subject: &str) -> Credential {
    Credential {
        name: name.to_owned(),
        issuer: issuer.to_owned(),
        subject: Some(subject.to_owned()),
        audiences: vec!["api://AzureADTokenExchange".to_owned()],
        claims_matching_expression: None,
    }
}

fn identity(group: &str, name: &str, n: u128, credentials: Vec<Credential>) -> Identity {
    Identity {
        id: IdentityId::new(SUBSCRIPTION, group, name),
        location: "westeurope".to_owned(),
        tags: BTreeMap::from([("owner".to_owned(), "somebody".to_owned())]),
        client_id: Uuid::from_u128(0xc0ff_ee00_0000_4000_8000_0000_0000_0000 | n),
        principal_id: Uuid::from_u128(0xc0ff_ee00_0000_4000_8000_0000_0000_1000 | n),
        isolation_scope: "None".to_owned(),
        assignment_restrictions: Vec::new(),
        created_at: Timestamp::from_second(START_SECOND).unwrap_or_default(),
        tokens_valid_from: None,
        credentials,
    }
}

/// What is there before, all of it somebody else's.
fn before(setup: Setup) -> Snapshot {
    let groups = [GROUP, SHARED_GROUP].map(|name| ResourceGroup {
        subscription_id: SUBSCRIPTION.to_owned(),
        name: name.to_owned(),
        location: "westeurope".to_owned(),
        tags: BTreeMap::new(),
        gone_at: None,
    });
    let shared = vec![
        credential(
            "aks-identity-binding",
            "https://oidc.example/aks/",
            "system:serviceaccount:n0:other",
        ),
        credential(
            "github",
            "https://token.actions.githubusercontent.com",
            "repo:a/b:ref:refs/heads/main",
        ),
        credential(
            "wib-aaaaaaaaaaaaaaaa-shared-0-bbbbbbbbbbbbbbbb",
            "https://issuer.example/elsewhere/",
            "system:serviceaccount:n0:shared-0",
        ),
    ];
    let cluster = ManagedCluster {
        subscription_id: SUBSCRIPTION.to_owned(),
        resource_group: GROUP.to_owned(),
        name: "cluster".to_owned(),
        location: "westeurope".to_owned(),
        identity: json!({"type": "SystemAssigned"}),
        properties: json!({
            "nodeResourceGroup": "MC_cluster",
            "identityProfile": {
                "kubeletidentity": {"resourceId": IdentityId::new(SUBSCRIPTION, SHARED_GROUP, KUBELET).to_string()},
            },
        }),
    };
    Snapshot {
        managed_clusters: if setup.cluster { vec![cluster] } else { Vec::new() },
        resource_groups: groups.into(),
        identities: vec![
            identity(SHARED_GROUP, KUBELET, 3, Vec::new()),
            identity(SHARED_GROUP, SHARED, 1, shared),
            identity(
                GROUP,
                "somebodys",
                2,
                vec![credential(
                    "theirs",
                    "https://issuer.example/elsewhere/",
                    "system:serviceaccount:a:b",
                )],
            ),
        ],
        ..Snapshot::default()
    }
}

fn cluster_id() -> Result<ManagedClusterId, InvalidClusterId> {
    format!(
        "/subscriptions/{SUBSCRIPTION}/resourceGroups/{GROUP}/providers/Microsoft.ContainerService/managedClusters/cluster"
    )
    .parse()
}

/// A token of a service account. Cluster and cloud have clocks of their own.
fn signed(claims: &Value, azure: &Simulator) -> String {
    let now = azure.now().as_second();
    let number = |claim: &str| claims.get(claim).and_then(Value::as_i64).unwrap_or_default();
    let mut claims = claims.clone();
    let life = number("exp") - number("iat");
    if let Some(claims) = claims.as_object_mut() {
        for (claim, at) in [("iat", now), ("nbf", now), ("exp", now + life)] {
            claims.insert(claim.to_owned(), json!(at));
        }
    }
    KEY.sign(&claims).unwrap_or_default()
}

// === impl World ===

impl World {
    pub(crate) fn new(plan: &Plan) -> Self {
        let cluster = FakeApiServer::new();
        for n in 0..plan.namespaces {
            let name = namespace(n);
            cluster.seed(
                json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": {"team": name}}}),
            );
        }
        for n in 0..policies(plan) {
            cluster.seed(policy_of(n, false));
        }
        cluster.create_namespace(OPERATORS);
        // Given back by somebody, so that the first one leads at once.
        cluster.seed(json!({
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": keys::FIELD_MANAGER, "namespace": OPERATORS},
            "spec": {"leaseDurationSeconds": 30, "leaseTransitions": 1},
        }));
        let token = token_of("0e0e0e0e-0000-4000-8000-00000000c11e");
        let mut config = Config::default().with_static_token(&token);
        config.latency = Duration::from_millis(50);
        config.seed = Some(Uuid::from_u64_pair(plan.seed, 1));
        config.starts_at = Timestamp::from_second(START_SECOND).ok();
        let documents = KnownIssuers::default();
        let azure = Simulator::with_issuers(config, Arc::new(documents.clone()));
        azure.restore(before(plan.setup));
        let view = azure.clone();
        cluster.sign_tokens_with(move |claims| signed(claims, &view));
        let world = Self {
            documents,
            setup: plan.setup,
            wire: Wire::new(azure.clone()),
            cluster,
            azure,
            token,
            started: Instant::now(),
            lives: 0,
        };
        world.publish();
        world
    }

    /// Entra can reach the issuers.
    pub(crate) fn publish(&self) {
        for issuer in ISSUERS {
            self.documents.publish(issuer, KEY.key_set());
        }
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Starts an operator.
    pub(crate) fn launch(&mut self, candidate: Candidate) -> Result<Operator, String> {
        self.lives += 1;
        let life = self.lives;
        let name = format!("operator-{life}");
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let settings = self.settings(&name, candidate)?;
        let client = self.cluster.client_named(&name);
        let azure = self.client_of(life)?;
        let task = tokio::spawn(async move {
            let stopped = async move {
                let _ = stopped.await;
            };
            wio_controller::run(client, azure, settings, Nobody, stopped).await
        });
        Ok(Operator {
            task,
            client: name,
            life,
            lease: Duration::from_secs(candidate.lease),
            _stop: stop,
        })
    }

    fn settings(&self, name: &str, candidate: Candidate) -> Result<Settings, String> {
        let begun = self.started;
        let start = Timestamp::from_second(START_SECOND + candidate.skew).unwrap_or_default();
        let cluster = self.setup.cluster.then(cluster_id).transpose();
        Ok(Settings {
            config: config()?,
            cluster: cluster.map_err(|error| error.to_string())?,
            drift_interval: DRIFT,
            sweep_interval: DRIFT,
            workloads: self.setup.workloads,
            rollouts: self.setup.rollouts,
            concurrency: 4,
            instance: Some(name.to_owned()),
            lease: Some(LeaseSettings {
                namespace: OPERATORS.to_owned(),
                identity: name.to_owned(),
                terms: Terms::new(Duration::from_secs(candidate.lease)),
            }),
            clock: Clock::new(move || start + begun.elapsed()),
        })
    }

    fn client_of(&self, life: u32) -> Result<Azure, String> {
        let wire = self.wire.clone();
        let transport = wio_testkit::azure::transport(move |request| wire.clone().carry(life, request));
        let endpoints =
            Endpoints::new(Cloud::Public, None, ApiVersion::default()).map_err(|error| error.to_string())?;
        Ok(Azure::new(
            transport,
            wio_testkit::azure::credential(&self.token),
            endpoints,
        ))
    }

    /// Somebody else changes something in Azure.
    pub(crate) fn change_azure(&self, change: impl FnOnce(&mut Snapshot)) {
        let mut snapshot = self.azure.snapshot();
        change(&mut snapshot);
        self.azure.restore(snapshot);
    }

    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        Arc::new(self.azure.snapshot())
    }
}
