//! The one writer of the status of policies: it says when admission and the operator decide by them, and what of them cannot be used.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use kube::api::Api;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use wio_api::{WorkloadIdentityPolicy, WorkloadIdentityPolicyStatus};
use wio_core::fault::{Fault, KubernetesCause};
use wio_core::status::{Admission, of_policy, told_of_policy};

use super::merged_policy::Known;
use crate::caches::policies::Seen;
use crate::reconcile::context::{Api as Kubernetes, Context};
use crate::runtime::own_status;
use crate::runtime::own_write::OwnWrite;
use crate::runtime::patience::Patience;
use crate::runtime::request::is_not_found;

/// A policy whose status was written: the last write, and the patience with whoever changes it back.
struct Written {
    last: Option<(OwnWrite, WorkloadIdentityPolicyStatus)>,
    patience: Patience<Words>,
}

/// A status without its times, which differ when a forged one stood in between. That of another generation answers an edit of the spec, and
/// not somebody who changes the status back.
type Words = (Option<i64>, Vec<(String, String)>);

/// What was written, by the UIDs of the policies that are there.
type Book = BTreeMap<String, Written>;

/// Keeps the status of each policy true once this operator leads; never returns.
pub(crate) async fn keep(
    ctx: &Context,
    mut seen: watch::Receiver<Option<Arc<Seen>>>,
    mut known: watch::Receiver<Known>,
) {
    let mut book = Book::new();
    loop {
        let (policies, admission) = (seen.borrow_and_update().clone(), known.borrow_and_update().clone());
        let mut again = None;
        if let (Some(seen), Some((decided, admission))) = (policies, admission)
            && Arc::ptr_eq(&seen.policies, &decided)
        {
            again = tell(ctx, &seen, &admission, &mut book).await;
        }
        tokio::select! {
            changed = seen.changed() => if changed.is_err() { break },
            changed = known.changed() => if changed.is_err() { break },
            () = sleep_until(again.unwrap_or_else(Instant::now)), if again.is_some() => {}
        }
    }
    std::future::pending::<()>().await;
}

/// Writes each status that differs. Returns when to look again at those that could not be written yet.
async fn tell(ctx: &Context, seen: &Seen, admission: &Admission, book: &mut Book) -> Option<Instant> {
    let uids: BTreeSet<&String> = seen
        .objects
        .values()
        .filter_map(|policy| policy.metadata.uid.as_ref())
        .collect();
    book.retain(|uid, _| uids.contains(uid));
    let mut again: Option<Instant> = None;
    for policy in seen.objects.values() {
        let Some(uid) = policy.metadata.uid.clone() else {
            continue;
        };
        let written = book.entry(uid).or_insert_with(Written::nothing);
        let next = |policy: &_| of_policy(policy, &seen.policies, admission, (ctx.clients.api.clock)());
        let failed = tell_of(&ctx.clients.api, policy, next, written).await.err();
        let waits = failed.is_some() || !written.patience.is_due();
        again = again
            .into_iter()
            .chain(waits.then(|| written.patience.not_before()))
            .min();
        if failed.is_some_and(|fault| is_away(&fault)) {
            break;
        }
    }
    again
}

/// Writes the status of one, when it differs and its time has come.
async fn tell_of(
    api: &Kubernetes,
    policy: &WorkloadIdentityPolicy,
    next: impl Fn(&WorkloadIdentityPolicy) -> WorkloadIdentityPolicyStatus,
    written: &mut Written,
) -> Result<(), Fault> {
    let policy = written.or_shown(policy);
    let next = next(&policy);
    if policy.status.as_ref() == Some(&next) || !written.patience.is_due() {
        return Ok(());
    }
    let all: Api<WorkloadIdentityPolicy> = Api::all(api.client.clone());
    match own_status::put(&all, &policy.metadata, &next, "the policy's").await {
        Ok(answer) => {
            if let Some(told) = told_of_policy(policy.status.as_ref(), &next) {
                api.events.publish(&*policy, told).await;
            }
            written.wrote(OwnWrite::of(&answer), next);
            Ok(())
        }
        // The watch will show that it is gone; a definition from before policies had a status answers the same.
        Err(fault) if is_not_found(&fault) => {
            written.patience.refused();
            Ok(())
        }
        Err(fault) => {
            tell_failed(&policy, &fault);
            if is_away(&fault) {
                written.patience.failed();
            } else {
                written.patience.refused();
            }
            Err(fault)
        }
    }
}

fn tell_failed(policy: &WorkloadIdentityPolicy, fault: &Fault) {
    let policy = policy.metadata.name.as_deref().unwrap_or_default();
    tracing::warn!(policy, %fault, "the policy's status says what was true before");
}

/// Whether the others would meet the same.
fn is_away(fault: &Fault) -> bool {
    matches!(fault, Fault::Kubernetes(fault) if matches!(fault.cause, KubernetesCause::Transport(_)))
}

// === impl Written ===

impl Written {
    fn nothing() -> Self {
        Self {
            last: None,
            patience: Patience::new(Duration::from_secs(1), Duration::from_mins(10)),
        }
    }

    /// The policy with the status that it has: what the cache shows may be from before our last write.
    fn or_shown<'a>(&self, shown: &'a WorkloadIdentityPolicy) -> Cow<'a, WorkloadIdentityPolicy> {
        match &self.last {
            Some((write, status)) if write.is_missing_in(shown.metadata.resource_version.as_deref()) => {
                Cow::Owned(WorkloadIdentityPolicy {
                    status: Some(status.clone()),
                    ..shown.clone()
                })
            }
            _ => Cow::Borrowed(shown),
        }
    }

    fn wrote(&mut self, write: Option<OwnWrite>, status: WorkloadIdentityPolicyStatus) {
        let conditions = status.conditions.iter();
        let words = conditions.map(|condition| (condition.type_.clone(), condition.message.clone()));
        self.patience.wrote((status.observed_generation, words.collect()));
        self.last = write.map(|write| (write, status));
    }
}
