//! A look at the pods of a binding, when it is due.

use wio_api::{ConditionType, WorkloadIdentityBinding, WorkloadIdentityBindingStatus, WorkloadsStatus};
use wio_core::desired::Desired;
use wio_core::fault::{Fault, KubernetesCause, KubernetesFault};
use wio_core::outcome::Outcome;
use wio_core::rollout::is_unfinished;
use wio_core::status::{Sight, misses_some};

use super::pods::Wanted;
use super::restarts::Asking;
use super::schedule::Schedule;
use super::turns::Turns;
use crate::reconcile::context::Api;
use crate::reconcile::knowledge::Memory;

/// What is known of the pods of a binding whose status is about to be written.
pub(crate) async fn look(
    api: &Api,
    object: &WorkloadIdentityBinding,
    (outcome, next): (&Outcome, &WorkloadIdentityBindingStatus),
    memory: &mut Memory,
) -> Sight {
    let Some(interval) = api.workloads.interval() else {
        return Turns::blind(object.spec.rollout);
    };
    let contested = memory.contested.note().is_some();
    let ready = is_ready(next);
    let stands = ready && !contested;
    // The pass in which it becomes Ready can be the first one for long.
    let stood = stands && object.status.as_ref().is_some_and(is_ready);
    if let Some(schedule) = memory.workloads.as_mut().filter(|_| !stood) {
        schedule.unsettle();
    }
    match outcome {
        Outcome::Reconciled(reconciled) if matches!(reconciled.desired(), Desired::Bound(_)) => {}
        Outcome::Reconciled(_) => {
            memory.workloads = None;
            return Sight::NotToLook;
        }
        Outcome::Held(_) | Outcome::Unobserved { .. } => return Sight::AsBefore,
    }
    let namespace = object.metadata.namespace.as_deref().unwrap_or_default();
    let Some(wanted) = Wanted::of(namespace, next) else {
        memory.workloads = None;
        return Sight::NotToLook;
    };
    let previous = object.status.as_ref();
    let schedule = memory
        .workloads
        .get_or_insert_with(|| Box::new(Schedule::begin(previous, next, interval)));
    // Whoever asks for a look at the binding may just have created its pods anew.
    if !schedule.is_due(next) && memory.requests.heeded().is_none() {
        schedule.settle_if(stands);
        return schedule.untold().cloned().map_or(Sight::AsBefore, Sight::Seen);
    }
    let asking = Asking {
        object,
        client_id: wanted.client_id(),
        next,
        ready,
        contested,
    };
    let seen = see(api, &wanted, (&asking, schedule)).await;
    let soon = match &seen {
        Ok(seen) => misses_some(seen) || is_unfinished(seen),
        Err(fault) => passes(fault),
    };
    schedule.looked(next, soon, interval);
    schedule.settle_if(stands);
    match seen {
        Ok(seen) => {
            schedule.keep(&seen);
            Sight::Seen(seen)
        }
        Err(fault) if passes(&fault) => {
            tracing::warn!(%fault, "the pods could not be looked at; trying again");
            Sight::AsBefore
        }
        Err(fault) => api.workloads.refused(&fault),
    }
}

async fn see(
    api: &Api,
    wanted: &Wanted<'_>,
    (asking, schedule): (&Asking<'_>, &mut Schedule),
) -> Result<WorkloadsStatus, Fault> {
    let tally = {
        let _turn = api.workloads.take().await;
        wanted.see(api).await?
    };
    Ok(asking.answer(api, schedule, &tally).await)
}

/// Whether a fault may pass by itself.
const fn passes(fault: &Fault) -> bool {
    !matches!(
        fault,
        Fault::Kubernetes(KubernetesFault {
            cause: KubernetesCause::Answer { status: 401 | 403, .. },
            ..
        })
    )
}

fn is_ready(status: &WorkloadIdentityBindingStatus) -> bool {
    let ready = status.condition(ConditionType::Ready);
    ready.is_some_and(|ready| ready.status == "True")
}
