//! Bindings that are gone before the operator let them go: somebody took the finalizer off. What they had is taken away all the same,
//! because no policy would take it away any more. Admission keeps tenants from it (config/admission/finalizer.yaml); this is for a
//! cluster without those rules, and it is known only while the operator runs.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::{StreamExt, stream};
use kube::runtime::reflector::ObjectRef;
use tokio::sync::mpsc;
use tokio::time::sleep;
use wio_api::{Reason, WorkloadIdentityBinding};
use wio_core::outcome::Outcome;
use wio_core::policy::NamespaceFacts;

use crate::context::Context;
use crate::jitter::jittered;
use crate::memory::Remembered;
use crate::reconcile::{namespace_of, removal, take_everything};
use crate::sharing::Rules;

/// Where bindings are sent that are gone before their time.
pub(crate) type Gone = mpsc::UnboundedSender<WorkloadIdentityBinding>;

const AT_ONCE: usize = 4;
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LAST_PAUSE: Duration = Duration::from_mins(5);

/// Heeds that a binding is gone.
pub(crate) fn heed(ctx: &Context, gone: &WorkloadIdentityBinding) {
    let uid = gone.metadata.uid.as_deref().unwrap_or_default();
    let made = gone.status.as_ref().is_some_and(|status| status.identity.is_some());
    if ctx.memory.was_let_go(uid) || !made {
        return;
    }
    tracing::warn!(
        namespace = gone.metadata.namespace,
        name = gone.metadata.name,
        "the binding is gone before its time: somebody took the finalizer off; what it had is taken away"
    );
    // Whoever listens ends with the operator.
    let _ = ctx.abandoned.send(gone.clone());
}

/// Takes away what those had that are gone before their time; never returns.
pub(crate) async fn take_away(ctx: &Context, gone: mpsc::UnboundedReceiver<WorkloadIdentityBinding>) {
    stream::unfold(gone, |mut gone| async move {
        gone.recv().await.map(|binding| (binding, gone))
    })
    .for_each_concurrent(AT_ONCE, |binding| async move {
        let mut pause = FIRST_PAUSE;
        while !is_replaced(&binding, ctx) && !everything_is_gone(&binding, ctx).await {
            sleep(jittered(pause)).await;
            pause = (pause * 2).min(LAST_PAUSE);
        }
    })
    .await;
}

/// Whether a binding of the same name stands in its place: it takes up what was left, or takes it away.
fn is_replaced(gone: &WorkloadIdentityBinding, ctx: &Context) -> bool {
    let cluster = ctx.cluster.borrow().clone();
    let identity = |binding: &WorkloadIdentityBinding| {
        let removal = removal(binding, ctx, &cluster)?;
        Some(removal.authorized.identity().clone())
    };
    let successor = ctx.bindings.get(&ObjectRef::from_obj(gone));
    successor.is_some_and(|successor| identity(&successor) == identity(gone))
}

async fn everything_is_gone(binding: &WorkloadIdentityBinding, ctx: &Context) -> bool {
    let cluster = ctx.cluster.borrow().clone();
    let Some(policies) = ctx.policies.borrow().clone() else {
        return false;
    };
    // The namespace may be gone as well, and its labels with it.
    let without_labels = || {
        Some(NamespaceFacts {
            name: binding.metadata.namespace.as_deref()?.parse().ok()?,
            labels: BTreeMap::new(),
        })
    };
    let Some(namespace) = namespace_of(binding, ctx).or_else(without_labels) else {
        return true;
    };
    let rules = Rules {
        cluster: &cluster,
        policies: &policies,
        namespace: &namespace,
    };
    let outcome = take_everything(binding, ctx, rules, &mut Remembered::default()).await;
    let gone = outcome.as_ref().is_none_or(Outcome::is_gone);
    if !gone {
        let problems: Vec<String> = outcome
            .iter()
            .flat_map(Outcome::problems)
            .map(|problem| problem.message)
            .collect();
        tracing::warn!(?problems, "not everything of the binding is taken away yet");
    }
    gone || outcome.is_some_and(|outcome| is_withheld(&outcome))
}

/// Whether the binding went with its definition: then that is why nobody let it go, and what it had stands until it is created
/// anew, however long that takes (docs/runbook.md).
fn is_withheld(outcome: &Outcome) -> bool {
    let problems = outcome.problems();
    problems
        .iter()
        .any(|problem| problem.disposition.reason() == Reason::MassDisappearance)
}
