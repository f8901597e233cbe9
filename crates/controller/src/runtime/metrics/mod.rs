//! Metrics. Labels are bounded: reasons, operations and outcomes, never the name of an object.

mod labels;
mod passes;
mod process;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use jiff::Timestamp;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};
use wio_api::Reason;
use wio_azure::{Exchange, Lane};
use wio_core::active_namespaces::ActiveNamespaces;
use wio_core::cluster::IssuerState;
use wio_core::drift::CorrectedKind;
use wio_core::verification::Answer;

use self::labels::{
    BindingLabels, BudgetLabels, CorrectedLabels, FeedLabels, HeldLabels, IssuerLabels, LaneLabels, OperationLabels,
    OrphanLabels, ProofLabels, ReconcileLabels, RequestLabels, WatchLabels,
};
pub(crate) use self::passes::Passes;
use self::process::Process;
use crate::caches::glance::Glance;
use crate::caches::index::Index;
use crate::runtime::heartbeat::Heartbeat;
use crate::runtime::pulse::Pulse;

/// What can come of exchanging a service account's token.
const TOKEN_EXCHANGES: [&str; 4] = ["passed", "refused", "not_tried", "forbidden"];

/// The operator's metrics.
pub(crate) struct Metrics {
    registry: Registry,
    index: Arc<Index>,
    active: ActiveNamespaces,
    pulse: Arc<Pulse>,
    heartbeat: Heartbeat,
    passes: Passes,
    turn_delay: Gauge<f64, AtomicU64>,
    watch_age: Family<WatchLabels, Gauge>,
    watches: Family<WatchLabels, Counter>,
    bindings: Family<BindingLabels, Gauge>,
    left_alone: Gauge,
    policies: Gauge,
    policy_problems: Gauge,
    orphans: Family<OrphanLabels, Gauge>,
    pending_revocations: Gauge,
    oldest_revocation: Gauge,
    foreign_credentials: Gauge,
    nearly_full: Gauge,
    held: Family<HeldLabels, Gauge>,
    admission_stale: Gauge,
    leader: Gauge,
    transitions: Gauge,
    issuer: Family<IssuerLabels, Gauge>,
    reconciles: Family<ReconcileLabels, Counter>,
    reconcile_duration: Histogram,
    apply_to_ready: Histogram,
    requests: Family<RequestLabels, Counter>,
    request_duration: Family<OperationLabels, Histogram>,
    budgets: Family<BudgetLabels, Gauge<u64, AtomicU64>>,
    queued: Family<LaneLabels, Gauge>,
    queue_wait: Family<LaneLabels, Histogram>,
    followed: Family<FeedLabels, Gauge>,
    doubts: Family<FeedLabels, Counter>,
    corrected: Family<CorrectedLabels, Counter>,
    changed_back: Counter,
    token_exchanges: Family<ProofLabels, Counter>,
    pod_pages: Counter,
    restarts: Counter,
    without_token: Gauge,
}

// === impl Metrics ===

impl Metrics {
    /// Metrics without a count in them. The bindings in the cache are counted, and the watches asked, when somebody asks.
    pub(crate) fn new(
        (index, active): (&Arc<Index>, ActiveNamespaces),
        pulse: &Arc<Pulse>,
        heartbeat: &Heartbeat,
    ) -> Self {
        let metrics = Self {
            registry: Registry::default(),
            index: Arc::clone(index),
            active,
            pulse: Arc::clone(pulse),
            heartbeat: heartbeat.clone(),
            passes: Passes::default(),
            turn_delay: Gauge::default(),
            watch_age: Family::default(),
            watches: Family::default(),
            bindings: Family::default(),
            left_alone: Gauge::default(),
            policies: Gauge::default(),
            policy_problems: Gauge::default(),
            orphans: Family::default(),
            pending_revocations: Gauge::default(),
            oldest_revocation: Gauge::default(),
            foreign_credentials: Gauge::default(),
            nearly_full: Gauge::default(),
            held: Family::default(),
            admission_stale: Gauge::default(),
            leader: Gauge::default(),
            transitions: Gauge::default(),
            issuer: Family::default(),
            reconciles: Family::default(),
            // From 1 ms, a reconcile that changes nothing, to 4 minutes, one that waits for Azure's slowest answers.
            reconcile_duration: Histogram::new(exponential_buckets(0.001, 4.0, 10)),
            // From half a second, the least that creation times tell apart from none, to over half an hour.
            apply_to_ready: Histogram::new(exponential_buckets(0.5, 2.0, 13)),
            requests: Family::default(),
            // From 10 ms to 40 s: more than the longest that a request may take.
            request_duration: Family::new_with_constructor(|| Histogram::new(exponential_buckets(0.01, 2.0, 13))),
            budgets: Family::default(),
            queued: Family::default(),
            // From 10 ms to three quarters of an hour: ten thousand new bindings take that long.
            queue_wait: Family::new_with_constructor(|| Histogram::new(exponential_buckets(0.01, 4.0, 10))),
            followed: Family::default(),
            doubts: Family::default(),
            corrected: Family::default(),
            changed_back: Counter::default(),
            token_exchanges: Family::default(),
            pod_pages: Counter::default(),
            restarts: Counter::default(),
            without_token: Gauge::default(),
        };
        metrics.registered()
    }

    fn registered(mut self) -> Self {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Process));
        let wio = registry.sub_registry_with_prefix("wio");
        let version = Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]);
        wio.register("build", "The operator's version", version);
        self.register_bindings(wio);
        self.register_safety(wio);
        self.register_work(wio);
        self.register_azure(wio.sub_registry_with_prefix("azure"));
        self.registry = registry;
        self
    }

    fn register_bindings(&self, wio: &mut Registry) {
        wio.register("bindings", "Bindings by their Ready condition", self.bindings.clone());
        let about = "Bindings in namespaces in which the operator does not act; they are counted nowhere else";
        wio.register("bindings_left_alone", about, self.left_alone.clone());
        wio.register(
            "bindings_nearly_full",
            "Bindings whose identity has at most two of its 20 federated credentials left",
            self.nearly_full.clone(),
        );
        wio.register_with_unit(
            "apply_to_ready",
            "How long bindings took until they were Ready: from their creation, or from when their status said that work on them began",
            Unit::Seconds,
            self.apply_to_ready.clone(),
        );
        let about = "Service accounts that somebody else had changed back, and were put right";
        wio.register("service_accounts_changed_back", about, self.changed_back.clone());
        let about = "Pods of bound service accounts that run without a token, where the operator looks at pods";
        wio.register("pods_without_token", about, self.without_token.clone());
        let about = "Deployments, StatefulSets and DaemonSets that were restarted so that their pods get a token";
        wio.register("restarts", about, self.restarts.clone());
        wio.register("policies", "How many policies there are", self.policies.clone());
        wio.register(
            "policy_problems",
            "Parts of policies that cannot be used and so grant nothing",
            self.policy_problems.clone(),
        );
        wio.register(
            "orphans",
            "What bindings left that are gone, by what is done about it",
            self.orphans.clone(),
        );
    }

    /// What somebody is to be told of.
    fn register_safety(&self, wio: &mut Registry) {
        wio.register(
            "pending_revocations",
            "Bindings that are deleted or denied and have something yet",
            self.pending_revocations.clone(),
        );
        wio.register_with_unit(
            "oldest_revocation",
            "How long the oldest pending revocation has been waiting",
            Unit::Seconds,
            self.oldest_revocation.clone(),
        );
        wio.register(
            "foreign_credentials",
            "Federated credentials on managed identities that are not the operator's",
            self.foreign_credentials.clone(),
        );
        wio.register(
            "held",
            "1 while what would be taken from many bindings for one cause waits for somebody's word, by the cause",
            self.held.clone(),
        );
        wio.register(
            "admission_stale",
            "1 while admission decides by policies as they were, because the merged policy cannot be written",
            self.admission_stale.clone(),
        );
        wio.register(
            "issuer",
            "1 for how sure the cluster's issuer is, by the last looks",
            self.issuer.clone(),
        );
    }

    fn register_work(&self, wio: &mut Registry) {
        wio.register("leader", "1 while this operator leads", self.leader.clone());
        wio.register(
            "lease_transitions",
            "How often the lease has changed hands, by its record",
            self.transitions.clone(),
        );
        wio.register_with_unit(
            "watch_age",
            "How long ago the API server was last heard of through each watch",
            Unit::Seconds,
            self.watch_age.clone(),
        );
        wio.register(
            "watches",
            "Watches that were begun: each about every five minutes, and again after each fault",
            self.watches.clone(),
        );
        let about = "Pages of pods that the API server was asked for";
        wio.register("pod_pages", about, self.pod_pages.clone());
        wio.register("reconciles", "Reconciles by what they came to", self.reconciles.clone());
        wio.register_with_unit(
            "reconcile_duration",
            "How long a reconcile took",
            Unit::Seconds,
            self.reconcile_duration.clone(),
        );
        self.passes.register(wio);
        wio.register_with_unit(
            "reconcile_delay",
            "How long a binding that is to be reconciled by itself, and not with all others, waits until that begins, as tried every half minute",
            Unit::Seconds,
            self.turn_delay.clone(),
        );
    }

    fn register_azure(&self, azure: &mut Registry) {
        azure.register(
            "requests",
            "Requests to Azure by what was asked and answered; without an answer credential, timeout, transport, refused, not_admitted or malformed",
            self.requests.clone(),
        );
        let about = "How long a request to Azure took";
        azure.register_with_unit("request_duration", about, Unit::Seconds, self.request_duration.clone());
        let about = "Requests that Azure still admitted when it last said so";
        azure.register("remaining_requests", about, self.budgets.clone());
        let about = "Bindings that wait for Azure's budgets, by lane";
        azure.register("queued_bindings", about, self.queued.clone());
        let about = "How long bindings waited for Azure's budgets, by lane";
        azure.register_with_unit("queue_wait", about, Unit::Seconds, self.queue_wait.clone());
        let about = "Resource groups (identities), subscriptions with roles (roles) and subscriptions (log) whose changes are followed";
        azure.register("followed", about, self.followed.clone());
        let about = "Bindings that looked at Azure because a list or the activity log showed a difference";
        azure.register("differences", about, self.doubts.clone());
        let about = "Tokens of service accounts that were exchanged with Entra to prove bindings, by what came of it";
        azure.register("token_exchanges", about, self.token_exchanges.clone());
        for outcome in TOKEN_EXCHANGES {
            drop(self.token_exchanges.get_or_create(&ProofLabels { outcome }));
        }
        let about = "What somebody else had deleted or edited in Azure, and was put back";
        azure.register("corrections", about, self.corrected.clone());
        // From the start: what begins with its first count is no increase to who asks for that.
        for kind in CorrectedKind::ALL {
            let labels = CorrectedLabels { kind: kind.as_str() };
            drop(self.corrected.get_or_create(&labels));
        }
    }

    /// How many policies there are, and how many parts of them cannot be used.
    pub(crate) fn policies(&self, policies: usize, problems: usize) {
        self.policies.set(i64::try_from(policies).unwrap_or(i64::MAX));
        self.policy_problems.set(i64::try_from(problems).unwrap_or(i64::MAX));
    }

    /// Whether admission decides by policies as they were.
    pub(crate) fn admission_is_stale(&self, stale: bool) {
        self.admission_stale.set(i64::from(stale));
    }

    /// Whether this operator leads, and how often that has changed hands.
    pub(crate) fn led(&self, leads: bool, transitions: i32) {
        self.leader.set(leads.into());
        self.transitions.set(transitions.into());
    }

    /// For which causes something is held.
    pub(crate) fn held(&self, causes: [(&'static str, bool); 2]) {
        for (cause, held) in causes {
            self.held.get_or_create(&HeldLabels { cause }).set(i64::from(held));
        }
    }

    /// How many orphans a sweep left in each state.
    pub(crate) fn orphans(&self, counts: [(&'static str, usize); 3]) {
        for (state, count) in counts {
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            self.orphans.get_or_create(&OrphanLabels { state }).set(count);
        }
    }

    /// How sure the cluster's issuer is.
    pub(crate) fn issuer(&self, now: IssuerState) {
        for state in IssuerState::ALL {
            let labels = IssuerLabels { state: state.as_str() };
            self.issuer.get_or_create(&labels).set(i64::from(state == now));
        }
    }

    /// Counts a reconcile, by the reason of its first problem.
    pub(crate) fn reconciled(&self, reason: Reason, took: Duration) {
        self.reconciles
            .get_or_create(&ReconcileLabels {
                reason: reason.as_str(),
            })
            .inc();
        self.reconcile_duration.observe(took.as_secs_f64());
    }

    /// A binding became Ready after this long.
    pub(crate) fn became_ready(&self, took: Duration) {
        self.apply_to_ready.observe(took.as_secs_f64());
    }

    /// The passes over bindings, for whoever counts them.
    pub(crate) fn passes(&self) -> Passes {
        self.passes.clone()
    }

    /// Counts a request to Azure.
    pub(crate) fn exchanged(&self, exchange: &Exchange) {
        let operation = exchange.operation.as_str();
        self.requests
            .get_or_create(&RequestLabels {
                operation,
                outcome: exchange.outcome,
            })
            .inc();
        let duration = exchange.duration.as_secs_f64();
        self.request_duration
            .get_or_create(&OperationLabels { operation })
            .observe(duration);
        let budgets = &exchange.budgets;
        for (kind, left) in [
            ("reads", budgets.reads),
            ("writes", budgets.writes),
            ("deletes", budgets.deletes),
        ] {
            if let Some(left) = left {
                self.budgets.get_or_create(&BudgetLabels { kind }).set(left);
            }
        }
    }

    /// Counts the exchange of a service account's token.
    pub(crate) fn token_exchanged(&self, answer: &Answer) {
        let outcome = match answer {
            Answer::Passed => "passed",
            Answer::Refused(_) => "refused",
            Answer::NotTried(_) | Answer::AccountGone => "not_tried",
            Answer::Forbidden(_) => "forbidden",
        };
        self.token_exchanges.get_or_create(&ProofLabels { outcome }).inc();
    }

    /// How many bindings wait for Azure's budgets.
    pub(crate) fn queued(&self, lengths: [(Lane, usize); 4]) {
        for (lane, count) in lengths {
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            self.queued
                .get_or_create(&LaneLabels { lane: lane.as_str() })
                .set(count);
        }
    }

    /// How long a binding waited for them.
    pub(crate) fn waited(&self, lane: Lane, took: Duration) {
        let labels = LaneLabels { lane: lane.as_str() };
        self.queue_wait.get_or_create(&labels).observe(took.as_secs_f64());
    }

    /// How much of Azure is followed by lists and the activity log.
    pub(crate) fn followed(&self, counts: [(&'static str, usize); 3]) {
        for (feed, count) in counts {
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            self.followed.get_or_create(&FeedLabels { feed }).set(count);
        }
    }

    /// A feed has a binding look.
    pub(crate) fn doubted(&self, feed: &'static str) {
        self.doubts.get_or_create(&FeedLabels { feed }).inc();
    }

    /// Something was put back that somebody else had changed in Azure.
    pub(crate) fn corrected(&self, kind: CorrectedKind) {
        let labels = CorrectedLabels { kind: kind.as_str() };
        self.corrected.get_or_create(&labels).inc();
    }

    /// Service accounts were put right that somebody else had changed back.
    pub(crate) fn changed_back(&self, accounts: usize) {
        self.changed_back.inc_by(u64::try_from(accounts).unwrap_or(u64::MAX));
    }

    /// An owner of pods was restarted.
    pub(crate) fn restarted(&self) {
        self.restarts.inc();
    }

    /// A page of pods was asked for.
    pub(crate) fn asked_for_pods(&self) {
        self.pod_pages.inc();
    }

    /// All metrics in the OpenMetrics text format.
    pub(crate) fn text(&self) -> Result<String, std::fmt::Error> {
        self.count_bindings();
        self.turn_delay.set(self.heartbeat.delay().as_secs_f64());
        for (resource, age) in self.pulse.ages() {
            let Some(age) = age else { continue };
            let seconds = i64::try_from(age.as_secs()).unwrap_or(i64::MAX);
            self.watch_age.get_or_create(&WatchLabels { resource }).set(seconds);
        }
        for (resource, begun) in self.pulse.begun() {
            let counter = self.watches.get_or_create(&WatchLabels { resource });
            counter.inc_by(begun.saturating_sub(counter.get()));
        }
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }

    /// Counts the bindings where this operator leads: the replicas that stand by know of the same ones, and a sum would count them twice.
    fn count_bindings(&self) {
        let leads = self.leader.get() == 1;
        let mut counts: BTreeMap<BindingLabels, i64> = BTreeMap::new();
        let mut revocations = Revocations::default();
        let (mut foreign, mut nearly_full, mut without_token, mut left_alone) = (0, 0, 0, 0);
        if leads {
            self.index.glance(|namespace, binding| {
                if !self.active.contains(namespace) {
                    left_alone += 1;
                    return;
                }
                let (ready, reason) = (binding.ready(), binding.reason.as_str());
                *counts.entry(BindingLabels { ready, reason }).or_default() += 1;
                revocations.count(binding);
                foreign += i64::from(binding.foreign);
                nearly_full += i64::from(binding.nearly_full);
                without_token += i64::from(binding.without_token);
            });
        }
        self.pending_revocations.set(revocations.pending);
        self.oldest_revocation.set(revocations.age(Timestamp::now()));
        self.foreign_credentials.set(foreign);
        self.nearly_full.set(nearly_full);
        self.without_token.set(without_token);
        self.left_alone.set(left_alone);
        self.bindings.clear();
        for (labels, count) in counts {
            self.bindings.get_or_create(&labels).set(count);
        }
    }
}

/// The revocations that are not done yet.
#[derive(Debug, Default)]
struct Revocations {
    pending: i64,
    oldest: Option<Timestamp>,
}

// === impl Revocations ===

impl Revocations {
    fn count(&mut self, binding: &Glance) {
        if let Some(since) = binding.revoked_since {
            self.pending += 1;
            self.oldest = Some(self.oldest.map_or(since, |oldest| oldest.min(since)));
        }
    }

    /// How long the oldest has been waiting, in seconds.
    fn age(&self, now: Timestamp) -> i64 {
        self.oldest
            .map_or(0, |oldest| now.duration_since(oldest).as_secs().max(0))
    }
}
