//! The policies, parsed once for each change.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::sync::Arc;

use futures::{Stream, StreamExt};
use kube::runtime::reflector::Store;
use tokio::sync::watch;
use wio_api::WorkloadIdentityPolicy;
use wio_core::policy::{Policies, PolicyProblem};

use crate::runtime::metrics::Metrics;

/// The policies as they are now; none before all were listed once.
pub(crate) type Parsed = Option<Arc<Policies>>;

/// The policies as they are in the cache, and what they were parsed to.
#[derive(Debug)]
pub(crate) struct Seen {
    /// The same ones as were told of last, as long as they mean the same.
    pub(crate) policies: Arc<Policies>,
    /// By name, with the status that each has.
    pub(crate) objects: BTreeMap<String, Arc<WorkloadIdentityPolicy>>,
}

/// Who is told of the policies.
pub(crate) struct Told {
    /// Of what they mean, when it is something else.
    pub(crate) parsed: watch::Sender<Parsed>,
    /// Of each change, that of a status too.
    pub(crate) seen: watch::Sender<Option<Arc<Seen>>>,
}

/// How many changes that are there already are taken together: many policies applied at once are parsed once.
const TOGETHER: usize = 1000;

/// Parses the policies in the cache after each change, and tells of them; never returns.
pub(crate) async fn keep_parsed(
    changes: impl Stream<Item = ()>,
    cache: Store<WorkloadIdentityPolicy>,
    told: Told,
    metrics: &Metrics,
) {
    let mut changes = pin!(changes.ready_chunks(TOGETHER));
    let mut last: Option<Arc<Seen>> = None;
    while changes.next().await.is_some() {
        let objects: BTreeMap<_, _> = cache.state().into_iter().filter_map(by_name).collect();
        let policies = match &last {
            Some(last) if same_specs(&last.objects, &objects) => Arc::clone(&last.policies),
            _ => parse(&objects, &told.parsed, metrics),
        };
        let seen = Arc::new(Seen { policies, objects });
        told.seen.send_replace(Some(Arc::clone(&seen)));
        last = Some(seen);
    }
    std::future::pending::<()>().await;
}

fn by_name(policy: Arc<WorkloadIdentityPolicy>) -> Option<(String, Arc<WorkloadIdentityPolicy>)> {
    Some((policy.metadata.name.clone()?, policy))
}

/// Whether nothing is to be parsed: each write of a status is a change, and comes back once for each of many policies.
fn same_specs(
    before: &BTreeMap<String, Arc<WorkloadIdentityPolicy>>,
    now: &BTreeMap<String, Arc<WorkloadIdentityPolicy>>,
) -> bool {
    let same = |(name, old): (&String, &Arc<WorkloadIdentityPolicy>)| {
        let new = now.get(name);
        new.is_some_and(|new| Arc::ptr_eq(old, new) || old.spec == new.spec)
    };
    before.len() == now.len() && before.iter().all(same)
}

fn parse(
    objects: &BTreeMap<String, Arc<WorkloadIdentityPolicy>>,
    parsed: &watch::Sender<Parsed>,
    metrics: &Metrics,
) -> Arc<Policies> {
    let mut policies = Arc::new(Policies::parse(objects.values().map(|policy| &**policy)));
    metrics.policies(objects.len(), policies.problems().len());
    parsed.send_if_modified(|known| {
        let before = known.as_ref().map_or(&[][..], |known| known.problems());
        tell(before, policies.problems());
        if let Some(known) = known.as_ref().filter(|known| **known == policies) {
            policies = Arc::clone(known);
            return false;
        }
        *known = Some(Arc::clone(&policies));
        true
    });
    policies
}

/// Each problem is told when it comes and when it goes.
fn tell(before: &[PolicyProblem], now: &[PolicyProblem]) {
    let [before, now] = [before, now].map(|problems| problems.iter().collect::<BTreeSet<_>>());
    now.difference(&before).for_each(|problem| tell_of(problem));
    before.difference(&now).for_each(|problem| tell_mended(problem));
}

fn tell_of(problem: &PolicyProblem) {
    tracing::warn!(policy = problem.policy, field = problem.field, "{problem}");
}

fn tell_mended(problem: &PolicyProblem) {
    tracing::info!(
        policy = problem.policy,
        field = problem.field,
        "a part of a policy that granted nothing was mended or removed"
    );
}
