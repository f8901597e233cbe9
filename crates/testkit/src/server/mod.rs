//! An in-process Kubernetes API server, stateful and without I/O: it works under tokio's paused time.

mod answer;
mod apply;
mod beginning;
mod definitions;
mod fault;
mod fields;
mod json;
mod log;
mod patch;
mod resource;
mod route;
mod rules;
mod schema;
mod selector;
mod serve;
mod store;
mod token;
mod user;
mod watch;
mod write;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tokio::time::Instant;

pub use beginning::make_beginning;
pub use fault::{Effect, Fault, Matcher};
pub use log::{ApiRequest, Verb};
pub use resource::ResourceType;

use fault::Faults;
use log::Log;
use resource::ResourceId;
use store::{Clock, Store};
use watch::Endings;

/// The UID of namespace `kube-system`: what the operator takes for the cluster's id.
pub const CLUSTER_UID: &str = "7a1e5c9e-0000-4000-8000-6b7562652d73";
/// The issuer in the discovery document, unless a test sets another.
pub const DEFAULT_ISSUER: &str = "https://issuer.example/cluster/";
/// 2026-01-01T00:00:00Z: the server's time at its start, unless a test gives it a clock.
const DEFAULT_START_SECOND: i64 = 1_767_225_600;
/// How long [`FakeApiServer::wait_for`] and its kin wait, in tokio's time, unless a test says otherwise.
pub const DEFAULT_DEADLINE: Duration = Duration::from_mins(5);

/// A Kubernetes API server in this process. Clones are the same server.
///
/// It keeps objects as JSON and follows the API server in what a controller can notice: resource versions and
/// conflicts, generations, the status subresource, finalizers, server-side apply with field managers, watches with
/// bookmarks and compaction. It does not authorize, validate values or collect garbage.
#[derive(Clone)]
pub struct FakeApiServer {
    shared: Arc<Shared>,
}

/// What the server, its clients and its open watches share.
pub(crate) struct Shared {
    state: Mutex<State>,
    /// Told after each change of a resource that watches must look at. Most changes are a lease's, which few watch.
    changes: Mutex<BTreeMap<ResourceId, tokio::sync::watch::Sender<u64>>>,
    /// Told after each change and each request.
    activity: tokio::sync::watch::Sender<u64>,
}

struct State {
    store: Store,
    log: Log,
    faults: Faults,
    endings: Endings,
    /// Resources whose changes watches do not hear of for now.
    held: BTreeSet<ResourceId>,
    discovery: Value,
    signer: Option<token::Signer>,
    deadline: Duration,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells all watches.
    fn tell_watches(&self) {
        self.tell(None);
    }

    /// Tells the watches of what the store says that was written.
    fn tell_written(&self) {
        let written = self.lock().store.take_written();
        self.tell(Some(&written));
    }

    fn tell(&self, written: Option<&BTreeSet<ResourceId>>) {
        for (_, changes) in self
            .changes()
            .iter()
            .filter(|(id, _)| written.is_none_or(|all| all.contains(id)))
        {
            changes.send_modify(|count| *count += 1);
        }
        self.tell_activity();
    }

    /// Counts up with each change that watches of the resource look at.
    fn changes_of(&self, id: &ResourceId) -> tokio::sync::watch::Receiver<u64> {
        let mut changes = self.changes();
        let told = changes
            .entry(id.clone())
            .or_insert_with(|| tokio::sync::watch::Sender::new(0));
        told.subscribe()
    }

    fn changes(&self) -> MutexGuard<'_, BTreeMap<ResourceId, tokio::sync::watch::Sender<u64>>> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell_activity(&self) {
        self.activity.send_modify(|count| *count += 1);
    }
}

impl Default for FakeApiServer {
    fn default() -> Self {
        Self::new()
    }
}

impl FakeApiServer {
    /// A server with the built-in resources, our own with their definitions, and the namespaces `kube-system` and `default`.
    /// Its clock starts at 2026-01-01 and goes with tokio's time.
    #[must_use]
    pub fn new() -> Self {
        let start = Instant::now();
        Self::with_clock(move || {
            let elapsed = SignedDuration::try_from(start.elapsed()).unwrap_or_default();
            Timestamp::from_second(DEFAULT_START_SECOND).unwrap_or_default() + elapsed
        })
    }

    /// As [`new`](Self::new), with the clock that its timestamps come from.
    #[must_use]
    pub fn with_clock(clock: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        let clock: Clock = Arc::new(clock);
        let state = State {
            store: beginning::of(clock),
            log: Log::default(),
            faults: Faults::default(),
            endings: Endings::default(),
            held: BTreeSet::new(),
            discovery: Value::Null,
            signer: None,
            deadline: DEFAULT_DEADLINE,
        };
        let shared = Shared {
            state: Mutex::new(state),
            changes: Mutex::default(),
            activity: tokio::sync::watch::Sender::new(0),
        };
        let server = Self {
            shared: Arc::new(shared),
        };
        server.set_issuer(DEFAULT_ISSUER);
        server
    }

    /// Serves another resource, or serves one by another definition.
    pub fn register(&self, resource: ResourceType) {
        self.shared.lock().store.register(resource);
    }

    /// A client without retries: each fault reaches its user.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    #[must_use]
    pub fn client(&self) -> kube::Client {
        self.client_named("default")
    }

    /// A client whose requests carry the name in the log and for faults: one for each process that a test plays.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    #[must_use]
    pub fn client_named(&self, name: &str) -> kube::Client {
        kube::Client::new(serve::Connection::new(Arc::clone(&self.shared), name), "default")
    }

    /// A client that retries 429, 503 and 504 as kube's default client does.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    #[must_use]
    pub fn retrying_client(&self, name: &str) -> kube::Client {
        let connection = serve::Connection::new(Arc::clone(&self.shared), name);
        let retry = tower::retry::RetryLayer::new(kube::client::retry::RetryPolicy::default());
        kube::Client::new(tower::Layer::layer(&retry, connection), "default")
    }

    /// The issuer that the discovery document names; its keys are said to lie below it.
    pub fn set_issuer(&self, issuer: &str) {
        let keys = format!("{}/openid/v1/jwks", issuer.trim_end_matches('/'));
        self.set_discovery(json!({
            "issuer": issuer,
            "jwks_uri": keys,
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
        }));
    }

    /// The whole discovery document.
    pub fn set_discovery(&self, document: Value) {
        self.shared.lock().discovery = document;
    }

    /// Lets it issue tokens of service accounts: `sign` makes a token of claims. Before that a `TokenRequest` fails.
    pub fn sign_tokens_with(&self, sign: impl Fn(&Value) -> String + Send + Sync + 'static) {
        self.shared.lock().signer = Some(Arc::new(sign));
    }

    /// Makes requests that match meet the effect. Of several faults the one that was injected first counts.
    #[allow(clippy::must_use_candidate, reason = "most tests do not count hits")]
    pub fn inject(&self, matcher: Matcher, effect: Effect) -> Fault {
        self.shared.lock().faults.inject(matcher, effect)
    }

    /// Ends all faults.
    pub fn clear_faults(&self) {
        self.shared.lock().faults.clear();
    }

    /// Closes all open watches; clients may go on where they were.
    pub fn break_watches(&self) {
        self.shared.lock().endings.broken += 1;
        self.shared.tell_watches();
    }

    /// Ends all open watches with 410 in the stream: clients have to list again.
    pub fn expire_watches(&self) {
        self.shared.lock().endings.expired += 1;
        self.shared.tell_watches();
    }

    /// Forgets old versions: a watch or the next page of a list from before now is answered with 410.
    pub fn compact(&self) {
        self.shared.lock().store.compact();
    }

    /// Watches never hear of the next `count` changes of the resource, by its plural name; lists show them.
    pub fn lose_events(&self, resource: &str, count: usize) {
        let mut state = self.shared.lock();
        for id in state.ids(resource) {
            state.store.lose(&id, count);
        }
    }

    /// Watches hear of no change of the resource until [`release_events`](Self::release_events): caches grow stale.
    pub fn hold_events(&self, resource: &str) {
        let mut state = self.shared.lock();
        let ids = state.ids(resource);
        state.held.extend(ids);
    }

    /// Watches hear of what was held back.
    pub fn release_events(&self, resource: &str) {
        self.shared.lock().held.retain(|id| &*id.plural != resource);
        self.shared.tell_watches();
    }

    /// Every request so far, in the order in which they came.
    #[must_use]
    pub fn requests(&self) -> Vec<ApiRequest> {
        self.shared.lock().log.requests().to_vec()
    }

    /// The requests that could change something, dry runs left out.
    #[must_use]
    pub fn writes(&self) -> Vec<ApiRequest> {
        self.requests()
            .into_iter()
            .filter(|request| request.verb.writes() && !request.dry_run)
            .collect()
    }

    /// How many requests there were so far, those that were forgotten left out.
    #[must_use]
    pub fn asked(&self) -> usize {
        self.shared.lock().log.requests().len()
    }

    /// The requests after the first so many.
    #[must_use]
    pub fn requests_after(&self, count: usize) -> Vec<ApiRequest> {
        self.shared
            .lock()
            .log
            .requests()
            .get(count..)
            .unwrap_or_default()
            .to_vec()
    }

    /// Forgets the requests so far.
    pub fn clear_requests(&self) {
        self.shared.lock().log.clear();
    }
}

impl State {
    fn ids(&self, plural: &str) -> Vec<ResourceId> {
        let types = self.store.types().iter().filter(|resource| resource.plural == plural);
        let ids: Vec<ResourceId> = types.map(|resource| resource.id().clone()).collect();
        assert!(!ids.is_empty(), "no resource {plural:?} is served");
        ids
    }
}
