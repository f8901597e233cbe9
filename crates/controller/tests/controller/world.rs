//! The world of a story: a cluster, a cloud and the operator.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::events::v1::Event;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use wio_api::{
    Condition, EFFECTIVE_POLICY_NAME, Reason, WorkloadIdentityBinding, WorkloadIdentityEffectivePolicy,
    WorkloadIdentityPolicy, keys,
};
use wio_azure::{ApiVersion, Azure, Cloud, Endpoints, ManagedClusterId};
use wio_azure_sim::{Config, Credential, Identity, IdentityId, KnownIssuers, ResourceGroup, Simulator, Snapshot};
use wio_controller::{Clock, Ended, LeaseSettings, Settings};
use wio_core::active_namespaces::ActiveNamespaces;
use wio_core::config::OperatorConfig;
use wio_core::election::Terms;
use wio_testkit::azure::token_of;
use wio_testkit::fixtures::{BindingBuilder, binding, policy};
use wio_testkit::{FakeApiServer, Matcher, kstatus};

pub const NAMESPACE: &str = "shop";
pub const SUBSCRIPTION: &str = "6f2e1c1d-52a4-4d0c-8d2f-0c6a2d0b7a11";
pub const GROUP: &str = "operator";
pub const SHARED_GROUP: &str = "shared";
/// The world's own policy says nothing about it.
pub const OTHER_GROUP: &str = "elsewhere";
/// How many resource groups a sweep for orphans lists, by the world's own policy: the operator's own and the shared one.
pub const SWEPT_GROUPS: usize = 2;
/// How often the operator looks at Azure.
pub const DRIFT: Duration = Duration::from_mins(30);
/// How long things may take that take their time: longer than any pause of the operator.
pub const DEADLINE: Duration = Duration::from_hours(2);
/// The operator, as the cluster's log and the cloud's know it.
pub const OPERATOR: &str = "operator";
/// Another operator that runs beside it.
pub const ANOTHER_OPERATOR: &str = "another-operator";
/// The client id by which the operator is signed in to Azure.
const OPERATOR_CLIENT_ID: &str = "0e0e0e0e-0000-4000-8000-00000000c11e";

pub struct World {
    pub cluster: FakeApiServer,
    pub azure: Simulator,
    /// Whose tokens Entra can judge.
    pub issuers: KnownIssuers,
    pub drift_interval: Duration,
    /// How often each binding looks for itself; as often as drift is looked for unless a story says so.
    pub sweep_interval: Option<Duration>,
    pub config: OperatorConfig,
    /// The cluster's resource that the operator is told of.
    pub aks: Option<ManagedClusterId>,
    /// Whether the operator looks at pods.
    pub workloads: bool,
    /// Whether it restarts their owners.
    pub rollouts: bool,
    pub wire: Wire,
    /// The terms by which operators that are started from now on are elected; none when each runs alone.
    pub lease: Option<Terms>,
    /// The time of day, which goes on as the story's own time does.
    clock: Clock,
    /// The token by which the operator is signed in to Azure.
    token: String,
    operator: Option<Operator>,
    another: Option<Operator>,
}

/// What lies between the operator and Azure.
#[derive(Clone, Default)]
pub struct Wire {
    /// Where every list says that its next page is.
    pub next_link: Arc<Mutex<Option<String>>>,
    /// Whether every list comes back empty, as one that is stale.
    pub lists_are_stale: Arc<Mutex<bool>>,
    /// The hosts that requests went to.
    pub hosts: Arc<Mutex<BTreeSet<String>>>,
}

struct Operator {
    task: JoinHandle<()>,
    stop: oneshot::Sender<()>,
    address: SocketAddr,
}

/// Plays a story with the operator running, and then holds the world to what every story must end with: the bindings
/// keep the contract with tools that wait for them, and further reconciles write nothing.
pub async fn story(play: impl AsyncFnOnce(&mut World)) {
    let mut world = World::new();
    world.start().await;
    let merged = |world: &World| {
        world
            .cluster
            .get::<WorkloadIdentityEffectivePolicy>("", EFFECTIVE_POLICY_NAME)
    };
    let what = "admission knows the policies";
    world.until(what, |world| merged(world).is_some()).await;
    world
        .until("the first sweep has begun", |world| world.lists().len() >= SWEPT_GROUPS)
        .await;
    sleep(Duration::from_secs(1)).await;
    world.forget_requests();
    play(&mut world).await;
    world.settle().await;
}

// === impl World ===

impl World {
    /// A world without an operator.
    pub fn new() -> Self {
        let cluster = FakeApiServer::new();
        cluster.create_namespace(NAMESPACE);
        cluster.set_deadline(DEADLINE);
        let shared = IdentityId::new(SUBSCRIPTION, SHARED_GROUP, "*").to_string();
        cluster.seed(policy("shared").namespace(NAMESPACE).existing(&shared).build());
        let token = token_of(OPERATOR_CLIENT_ID);
        let mut config = Config::default().with_static_token(&token);
        config.latency = Duration::from_millis(50);
        let issuers = KnownIssuers::default();
        let azure = Simulator::with_issuers(config, Arc::new(issuers.clone()));
        let groups = [GROUP, SHARED_GROUP, OTHER_GROUP].map(|name| ResourceGroup {
            subscription_id: SUBSCRIPTION.to_owned(),
            name: name.to_owned(),
            location: "westeurope".to_owned(),
            tags: std::collections::BTreeMap::new(),
            gone_at: None,
        });
        azure.restore(Snapshot {
            resource_groups: groups.into(),
            ..Snapshot::default()
        });
        Self {
            cluster,
            azure,
            issuers,
            drift_interval: DRIFT,
            sweep_interval: None,
            workloads: false,
            rollouts: false,
            config: OperatorConfig {
                group: format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/{GROUP}")
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
            aks: None,
            wire: Wire::default(),
            lease: None,
            clock: clock(),
            token,
            operator: None,
            another: None,
        }
    }

    /// Signs the operator in as another application when it starts.
    pub fn sign_in_as(&mut self, client_id: &str) {
        self.token = token_of(client_id);
        let token = self.token.clone();
        self.azure.reconfigure(|config| {
            *config = config.clone().with_static_token(&token);
        });
    }

    /// Starts the operator.
    pub async fn start(&mut self) {
        assert!(self.operator.is_none(), "one operator runs already");
        self.operator = Some(self.launch(OPERATOR, &self.cluster).await);
    }

    /// Starts another operator beside it: another replica where there is a lease, and else one that nobody wanted, a second installation or a
    /// pod that a partitioned node still runs.
    pub async fn start_another(&mut self) {
        assert!(self.another.is_none(), "another operator runs already");
        self.another = Some(self.launch(ANOTHER_OPERATOR, &self.cluster).await);
    }

    /// Starts the operator of another cluster, which shares the cloud and goes on to the end of the test.
    pub async fn start_elsewhere(&self, cluster: &FakeApiServer) {
        std::mem::forget(self.launch(OPERATOR, cluster).await.stop);
    }

    async fn launch(&self, named: &str, cluster: &FakeApiServer) -> Operator {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let settings = Settings {
            config: self.config.clone(),
            cluster: self.aks.clone(),
            drift_interval: self.drift_interval,
            sweep_interval: self.sweep_interval.unwrap_or(self.drift_interval),
            concurrency: 4,
            workloads: self.workloads,
            rollouts: self.rollouts,
            instance: Some(format!("{named}-0")),
            clock: self.clock.clone(),
            lease: self.lease.map(|terms| LeaseSettings {
                namespace: "operators".to_owned(),
                identity: format!("{named}_{}", uuid::Uuid::new_v4()),
                terms,
            }),
        };
        let client = cluster.client_named(named);
        let azure = client_of(&self.azure, &self.wire, &self.token);
        let task = tokio::spawn(async move {
            let stopped = async move {
                let _ = stopped.await;
            };
            match wio_controller::run(client, azure, settings, listener, stopped).await {
                // Its pod begins anew; here it stays away.
                Ok(()) | Err(Ended::LeaseLost) => {}
                Err(ended) => panic!("{ended}"),
            }
        });
        Operator { task, stop, address }
    }

    /// Ends the operator in the midst of what it does, as SIGKILL would.
    pub async fn crash(&mut self) {
        let operator = self.operator.take().unwrap();
        operator.task.abort();
        assert!(operator.task.await.unwrap_err().is_cancelled());
    }

    /// Whether the operator has ended by itself.
    pub fn has_ended(&self) -> bool {
        self.operator
            .as_ref()
            .is_none_or(|operator| operator.task.is_finished())
    }

    /// Asks the operator to end, and waits until it did.
    pub async fn stop(&mut self) {
        let operator = self.operator.take().unwrap();
        operator.stop.send(()).unwrap();
        timeout(Duration::from_secs(30), operator.task).await.unwrap().unwrap();
    }

    /// Where the operator serves health and metrics.
    pub fn address(&self) -> SocketAddr {
        self.operator.as_ref().unwrap().address
    }

    /// Waits until something holds, and at most until the deadline.
    pub async fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        const OFTEN: Duration = Duration::from_millis(20);
        const SELDOM: Duration = Duration::from_secs(5);
        let begun = Instant::now();
        while !holds(self) {
            assert!(begun.elapsed() < DEADLINE, "waited in vain until {what}");
            sleep((begun.elapsed() / 50).clamp(OFTEN, SELDOM)).await;
        }
    }

    /// Holds the world to what every story must end with.
    pub async fn settle(&mut self) {
        // Whatever was asked for last is done by then.
        sleep(Duration::from_mins(1)).await;
        let before = self.kept_bindings();
        self.forget_requests();
        sleep(self.drift_interval * 2).await;
        assert_eq!(
            self.kept_bindings(),
            before,
            "a reconcile that changes nothing changed a binding"
        );
        // What is refused again and again is tried again and again.
        let refused = |status: Option<u16>| status.is_none_or(|status| status >= 400);
        let ready = |binding: &Value| kstatus::compute(binding).state == kstatus::State::Current;
        let all_ready = before.iter().all(ready);
        let written: Vec<String> = self
            .cluster_writes()
            .into_iter()
            .map(|request| request.to_string())
            .collect();
        let changed = self.cluster_writes().iter().any(|request| request.changed);
        assert!(
            !changed && (written.is_empty() || !all_ready),
            "a reconcile too many wrote: {written:#?}"
        );
        let asked = self.azure.requests();
        let written: Vec<_> = asked.iter().filter(|request| request.writes).collect();
        let harmless = written.iter().all(|request| !all_ready && refused(request.status));
        assert!(harmless, "a reconcile too many wrote to Azure: {written:#?}");
        let watched = before.iter().filter(|binding| ready(binding)).count();
        assert!(asked.len() >= watched, "every ready binding was looked at: {asked:#?}");
    }

    /// All bindings as they are where the operator acts, each of which has to keep the contract, as the policies have to.
    fn kept_bindings(&self) -> Vec<Value> {
        let policies = self.cluster.list::<WorkloadIdentityPolicy>();
        for policy in &policies {
            kstatus::assert_kept(&json!(policy));
        }
        let bindings = self.cluster.list::<WorkloadIdentityBinding>();
        let namespaces = &self.config.namespaces;
        let acted_for = |binding: &&WorkloadIdentityBinding| {
            let namespace = binding.metadata.namespace.as_deref();
            namespace.is_some_and(|name| namespaces.contains(name))
        };
        let bindings: Vec<Value> = bindings.iter().filter(acted_for).map(|one| json!(one)).collect();
        bindings.iter().for_each(kstatus::assert_kept);
        bindings
    }

    /// Both logs begin anew.
    pub fn forget_requests(&self) {
        self.cluster.clear_requests();
        self.azure.clear_requests();
    }
}

/// A clock that goes on as the paused time of a test does, from now.
fn clock() -> Clock {
    let (begun, started) = (Timestamp::now(), Instant::now());
    Clock::new(move || begun + started.elapsed())
}

/// The operator's client, which has no network in between.
fn client_of(azure: &Simulator, wire: &Wire, token: &str) -> Azure {
    let (azure, wire) = (azure.clone(), wire.clone());
    let transport = wio_testkit::azure::transport(move |request| {
        let (azure, wire) = (azure.clone(), wire.clone());
        async move {
            let host = request.uri().host().unwrap_or_default().to_owned();
            wire.hosts.lock().unwrap().insert(host);
            let response = azure.handle(request).await?;
            let link = wire.next_link.lock().unwrap().clone();
            let stale = *wire.lists_are_stale.lock().unwrap();
            Ok::<_, wio_azure_sim::ConnectionDropped>(response.map(|body| {
                match (link, serde_json::from_slice(&body)) {
                    (_, Ok(Value::Object(page))) if stale && page.contains_key("value") => {
                        serde_json::to_vec(&json!({ "value": [] })).unwrap().into()
                    }
                    (Some(link), Ok(Value::Object(mut page))) if page.contains_key("value") => {
                        page.insert("nextLink".to_owned(), json!(link));
                        serde_json::to_vec(&page).unwrap().into()
                    }
                    _ => body,
                }
            }))
        }
    });
    let endpoints = Endpoints::new(Cloud::Public, None, ApiVersion::default()).unwrap();
    Azure::new(transport, wio_testkit::azure::credential(token), endpoints)
}

/// The cluster.
impl World {
    pub fn create(&self, binding: BindingBuilder) {
        self.cluster.seed(binding.build());
    }

    pub fn edit(&self, name: &str, change: impl FnOnce(&mut Value)) {
        self.cluster.edit::<WorkloadIdentityBinding>(NAMESPACE, name, change);
    }

    /// An administrator says that a loss is meant.
    pub fn confirm_loss(&self, word: &str) {
        let policy = EFFECTIVE_POLICY_NAME;
        self.cluster
            .edit::<WorkloadIdentityEffectivePolicy>("", policy, |object| {
                object["metadata"]["annotations"] = json!({ keys::CONFIRM_LOSS_ANNOTATION: word });
            });
    }

    pub fn edit_account(&self, name: &str, change: impl FnOnce(&mut Value)) {
        self.cluster.edit::<ServiceAccount>(NAMESPACE, name, change);
    }

    pub fn delete(&self, name: &str) {
        self.cluster.delete::<WorkloadIdentityBinding>(NAMESPACE, name);
    }

    pub async fn gone(&self, name: &str) {
        self.cluster.wait_gone::<WorkloadIdentityBinding>(NAMESPACE, name).await;
    }

    /// Waits until the binding's spec as it is now is ready.
    pub async fn ready(&self, name: &str) -> WorkloadIdentityBinding {
        self.says(name, Reason::Succeeded).await
    }

    /// Creates so many bindings, each with an identity and a service account of its own.
    pub fn create_many(&self, count: usize) {
        for n in 0..count {
            self.create(
                binding(NAMESPACE, &format!("b{n}"))
                    .managed()
                    .service_account(&format!("a{n}")),
            );
        }
    }

    /// Waits until each of so many bindings is ready.
    pub async fn all_ready(&self, count: usize) {
        for n in 0..count {
            self.ready(&format!("b{n}")).await;
        }
    }

    /// Waits until Ready has this reason for the binding's spec as it is now.
    pub async fn says(&self, name: &str, reason: Reason) -> WorkloadIdentityBinding {
        let says = |binding: &WorkloadIdentityBinding| {
            find_condition(binding, "Ready").is_some_and(|ready| {
                ready.reason == reason.as_str() && ready.observed_generation == binding.metadata.generation
            })
        };
        let binding = self.cluster.wait_for(NAMESPACE, name, says).await;
        kstatus::assert_kept(&json!(binding));
        binding
    }

    pub fn binding(&self, name: &str) -> WorkloadIdentityBinding {
        self.cluster.get(NAMESPACE, name).unwrap()
    }

    pub fn account(&self, name: &str) -> Option<ServiceAccount> {
        self.cluster.get(NAMESPACE, name)
    }

    /// A service account's annotation.
    pub fn annotation(&self, account: &str, key: &str) -> Option<String> {
        self.account(account)?.metadata.annotations?.get(key).cloned()
    }

    /// The operator's requests that could change something in the cluster.
    pub fn cluster_writes(&self) -> Vec<wio_testkit::ApiRequest> {
        self.cluster
            .writes()
            .into_iter()
            .filter(|request| request.client == OPERATOR)
            .collect()
    }

    /// The Events so far, as `Warning Throttled ×2`.
    pub fn events(&self) -> Vec<String> {
        let mut events = self.cluster.list::<Event>();
        let version = |event: &Event| event.event_time.as_ref().map(|time| time.0);
        events.sort_by_key(version);
        let line = |event: &Event| {
            let count = event
                .series
                .as_ref()
                .map_or(String::new(), |series| format!(" ×{}", series.count));
            format!(
                "{} {}{count}",
                event.type_.clone().unwrap(),
                event.reason.clone().unwrap()
            )
        };
        events.iter().map(line).collect()
    }
}

impl World {
    /// What the Events of a reason say, each text once for each Event.
    pub fn notes(&self, reason: &str) -> Vec<String> {
        let events = self.cluster.list::<Event>();
        let of_reason = events
            .into_iter()
            .filter(|event| event.reason.as_deref() == Some(reason));
        of_reason.filter_map(|event| event.note).collect()
    }
}

/// The word that a message asks for.
pub fn word_in(message: &str) -> String {
    let (_, rest) = message.split_once("confirm-loss=").expect(message);
    rest.chars().take_while(char::is_ascii_alphanumeric).collect()
}

/// Requests of the operator to the cluster.
pub fn by_operator() -> Matcher {
    Matcher::any().client(OPERATOR)
}

/// The cloud.
impl World {
    /// The lists of identities that sweeps for orphans asked for.
    pub fn lists(&self) -> Vec<wio_azure_sim::LoggedRequest> {
        let is_list =
            |request: &wio_azure_sim::LoggedRequest| request.path.to_lowercase().ends_with("userassignedidentities");
        self.azure.requests().into_iter().filter(is_list).collect()
    }

    /// What the operator asked of Azure and what it was answered, as `PUT identity: 201`; but for the lists of identities.
    pub fn asked(&self) -> Vec<String> {
        let line = |request: &wio_azure_sim::LoggedRequest| {
            let status = request
                .status
                .map_or("no answer".to_owned(), |status| status.to_string());
            let kind = format!("{:?}", request.kind).to_lowercase();
            let many = request.path.to_lowercase().ends_with("credentials");
            format!("{} {kind}{}: {status}", request.method, if many { "s" } else { "" })
        };
        let is_list =
            |request: &&wio_azure_sim::LoggedRequest| request.path.to_lowercase().ends_with("userassignedidentities");
        self.azure
            .requests()
            .iter()
            .filter(|request| !is_list(request))
            .map(line)
            .collect()
    }

    /// The operator asked Azure for nothing that could change anything.
    #[track_caller]
    pub fn azure_was_only_read(&self) {
        let asked = self.asked();
        assert!(asked.iter().all(|line| line.starts_with("GET")), "{asked:?}");
    }

    /// Somebody else changes something in Azure.
    pub fn change_azure(&self, change: impl FnOnce(&mut Snapshot)) {
        let mut snapshot = self.azure.snapshot();
        change(&mut snapshot);
        self.azure.restore(snapshot);
    }

    /// How many federated credentials there are, of all identities together.
    pub fn credentials(&self) -> usize {
        let identities = self.azure.snapshot().identities;
        identities.iter().map(|identity| identity.credentials.len()).sum()
    }

    /// The only identity that there is.
    pub fn identity(&self) -> Identity {
        let snapshot = self.azure.snapshot();
        assert_eq!(snapshot.identities.len(), 1, "{:#?}", snapshot.identities);
        snapshot.identities[0].clone()
    }

    /// Whether there is an identity.
    pub fn has_identity(&self) -> bool {
        !self.azure.snapshot().identities.is_empty()
    }

    /// Somebody else makes an identity; returns its id.
    pub fn foreign_identity(&self, group: &str, name: &str, credentials: Vec<Credential>) -> String {
        let id = IdentityId::new(SUBSCRIPTION, group, name);
        let text = id.to_string();
        self.change_azure(|snapshot| {
            snapshot.identities.push(Identity {
                id,
                location: "westeurope".to_owned(),
                tags: std::collections::BTreeMap::new(),
                client_id: uuid(1),
                principal_id: uuid(2),
                isolation_scope: "None".to_owned(),
                assignment_restrictions: Vec::new(),
                created_at: "2026-01-01T00:00:00Z".parse().unwrap(),
                tokens_valid_from: None,
                credentials,
            });
        });
        text
    }
}

fn uuid(n: u128) -> uuid::Uuid {
    uuid::Uuid::from_u128(0xc0ff_ee00_0000_4000_8000_0000_0000_0000 | n)
}

/// A credential of somebody else.
pub fn foreign_credential(name: &str, subject: &str) -> Credential {
    Credential {
        name: name.to_owned(),
        issuer: "https://token.actions.githubusercontent.com".to_owned(),
        subject: Some(subject.to_owned()),
        audiences: vec!["api://AzureADTokenExchange".to_owned()],
        claims_matching_expression: None,
    }
}

pub fn find_condition<'a>(binding: &'a WorkloadIdentityBinding, kind: &str) -> Option<&'a Condition> {
    binding
        .status
        .as_ref()?
        .conditions
        .iter()
        .find(|condition| condition.type_ == kind)
}

#[track_caller]
pub fn condition<'a>(binding: &'a WorkloadIdentityBinding, kind: &str) -> &'a Condition {
    find_condition(binding, kind).unwrap_or_else(|| panic!("no condition {kind} on {binding:#?}"))
}

/// Ready's message.
#[track_caller]
pub fn message(binding: &WorkloadIdentityBinding) -> &str {
    &condition(binding, "Ready").message
}
