//! The policies, parsed once for each change.

use std::collections::BTreeSet;
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

/// How many changes that are there already are taken together: many policies applied at once are parsed once.
const TOGETHER: usize = 1000;

/// Parses the policies in the cache after each change, and tells when they mean something else; never returns.
pub(crate) async fn keep_parsed(
    changes: impl Stream<Item = ()>,
    cache: Store<WorkloadIdentityPolicy>,
    parsed: watch::Sender<Parsed>,
    metrics: &Metrics,
) {
    let mut changes = pin!(changes.ready_chunks(TOGETHER));
    while changes.next().await.is_some() {
        let policies = Policies::parse(cache.state().iter().map(|policy| &**policy));
        metrics.policies(cache.len(), policies.problems().len());
        parsed.send_if_modified(|known| {
            let before = known.as_ref().map_or(&[][..], |known| known.problems());
            tell(before, policies.problems());
            let differs = known.as_deref() != Some(&policies);
            if differs {
                *known = Some(Arc::new(policies));
            }
            differs
        });
    }
    std::future::pending::<()>().await;
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
