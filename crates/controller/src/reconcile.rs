//! One pass over one binding.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use kube::ResourceExt;
use kube::runtime::controller::Action;
use tokio::time::Instant;
use tracing::{Instrument, info_span};
use wio_api::{DeletionPolicy, IdentityOrigin, Reason, WorkloadIdentityBinding, WorkloadIdentityBindingStatus};
use wio_core::authorize::{authorize, revoke};
use wio_core::binding::{IdentityRef, ValidatedBinding, owner_of, validate};
use wio_core::config::Cluster;
use wio_core::desired::{Desired, DesiredBinding, DesiredRemoval};
use wio_core::disposition::{Disposition, disposition};
use wio_core::fault::{AzureCause, Fault};
use wio_core::names::IdentityId;
use wio_core::observed::Observed;
use wio_core::outcome::{Outcome, Reconciled};
use wio_core::plan::plan;
use wio_core::presume;

use crate::context::Context;
use crate::execute::execute;
use crate::jitter::jittered;
use crate::memory::{Failures, Remembered};
use crate::{accounts, finalizer, observe, pace, status_writer};

/// How long the cache is given to show our own write.
const CACHE_LAG: Duration = Duration::from_millis(500);
/// The longest that Azure was seen to take until a new identity was known everywhere is four minutes.
const REPLICATION_MAX: Duration = Duration::from_mins(5);

/// Brings one binding to what its spec asks, or as near as it goes, and says so in its status.
///
/// 1. Wait, when the cache lags behind our own last write or Azure asked for a pause.
/// 2. Set the finalizer, before anything is written to Azure.
/// 3. Parse and authorize: what the world should be like.
/// 4. Observe: what it is like.
/// 5. Plan, and carry the plan out.
/// 6. Write the status, once, when it differs.
/// 7. When the binding is gone from Azure, remove the finalizer.
///
/// Whatever goes wrong is in the status, or, when that could not be written, is tried again.
pub(crate) async fn reconcile(binding: Arc<WorkloadIdentityBinding>, ctx: Arc<Context>) -> Result<Action, Infallible> {
    let span = info_span!(
        "reconcile",
        namespace = binding.metadata.namespace,
        name = binding.metadata.name,
        generation = binding.metadata.generation
    );
    async {
        let started = Instant::now();
        let uid = binding.uid().unwrap_or_default();
        let mut remembered = ctx.memory.recall(&uid);
        if let Some(pause) = must_wait(&binding, &remembered) {
            return Ok(Action::requeue(pause));
        }
        let problems: Vec<Disposition> = match pass(&binding, &ctx, &mut remembered).await {
            Ok(Pass::Gone) => {
                ctx.memory.forget(&uid);
                ctx.metrics.reconciled(Reason::Succeeded, started.elapsed());
                return Ok(Action::await_change());
            }
            Ok(Pass::Kept(outcome)) => outcome.problems().iter().map(|problem| problem.disposition).collect(),
            Err(fault) => {
                tracing::warn!(%fault, "the binding could not be written");
                vec![disposition(&fault)]
            }
        };
        let reason = problems.first().map_or(Reason::Succeeded, |problem| problem.reason());
        ctx.metrics.reconciled(reason, started.elapsed());
        let next = next(
            &problems,
            binding.metadata.generation.unwrap_or_default(),
            &mut remembered,
        );
        ctx.memory.remember(&uid, remembered);
        Ok(next.map_or_else(Action::await_change, Action::requeue))
    }
    .instrument(span)
    .await
}

/// How long nothing can be done for a binding: an older copy of it must not be acted on, and Azure's word stands
/// whatever happens in the cluster.
fn must_wait(binding: &WorkloadIdentityBinding, remembered: &Remembered) -> Option<Duration> {
    let version = binding.metadata.resource_version.as_deref();
    if remembered
        .written
        .as_ref()
        .is_some_and(|write| write.is_missing_in(version))
    {
        return Some(jittered(CACHE_LAG));
    }
    let pause = remembered.not_before?.saturating_duration_since(Instant::now());
    (!pause.is_zero()).then_some(pause)
}

enum Pass {
    /// Nothing of the binding is left, or it was never ours.
    Gone,
    /// It is there, and its status says how it is.
    Kept(Outcome),
}

async fn pass(binding: &WorkloadIdentityBinding, ctx: &Context, remembered: &mut Remembered) -> Result<Pass, Fault> {
    // Until the cache of service accounts is filled, a marked one would look unmarked.
    let _ = ctx.filled.clone().wait_for(|filled| *filled).await;
    let cluster = ctx.cluster.borrow().clone();
    if binding.metadata.deletion_timestamp.is_some() {
        return remove(binding, ctx, &cluster, remembered).await;
    }
    let outcome = match desired(binding, ctx, &cluster) {
        Err(refused) => refused,
        Ok((validated, desired)) => {
            if !finalizer::is_set(binding) && !validated.suspended {
                finalizer::set(ctx, binding, remembered).await?;
            }
            bind(binding, ctx, &validated, desired, remembered).await
        }
    };
    status_writer::write(ctx, binding, &cluster, &outcome, remembered).await?;
    Ok(Pass::Kept(outcome))
}

/// What the world should be like, if the binding may have it.
fn desired(
    binding: &WorkloadIdentityBinding,
    ctx: &Context,
    cluster: &Cluster,
) -> Result<(ValidatedBinding, DesiredBinding), Outcome> {
    let config = &ctx.settings.config;
    let validated = validate(binding, &cluster.id).map_err(|invalid| Outcome::invalid(&invalid))?;
    let authorized = authorize(&validated, config).map_err(|denied| Outcome::denied(&denied))?;
    let desired = DesiredBinding::new(&validated, authorized, cluster, config);
    if let Some(moved) = desired.moved(binding.status.as_ref()) {
        return Err(Outcome::Refused(moved));
    }
    Ok((validated, desired))
}

/// Observes, plans and executes for a binding that is to be.
async fn bind(
    binding: &WorkloadIdentityBinding,
    ctx: &Context,
    validated: &ValidatedBinding,
    desired: DesiredBinding,
    remembered: &mut Remembered,
) -> Outcome {
    let names: Vec<_> = desired
        .service_accounts
        .iter()
        .map(|account| account.name.clone())
        .collect();
    let service_accounts = match accounts::observe(ctx, &desired.owner, &names, remembered).await {
        Ok(seen) => seen,
        Err(fault) => return Outcome::Unobserved(fault),
    };
    let seen = match observe::identity(ctx, binding, validated, &desired, remembered).await {
        Ok(seen) => seen,
        Err(fault) => return Outcome::Unobserved(fault),
    };
    let mut observed = Observed {
        identity: seen.identity,
        service_accounts,
    };
    let wanted = Desired::Bound(desired.clone());
    let rests_on_memory = !seen.fresh && !validated.suspended;
    if rests_on_memory && !presume::suffices(&plan(&wanted, &observed), validated.name_is_derived()) {
        observed.identity = match observe::look(ctx, &desired, remembered).await {
            Ok(identity) => identity,
            Err(fault) => return Outcome::Unobserved(fault),
        };
    }
    carry_out(ctx, wanted, observed, validated.suspended, remembered).await
}

/// Takes away everything of a binding that is being deleted.
async fn remove(
    binding: &WorkloadIdentityBinding,
    ctx: &Context,
    cluster: &Cluster,
    remembered: &mut Remembered,
) -> Result<Pass, Fault> {
    if !finalizer::is_set(binding) {
        return Ok(Pass::Gone);
    }
    let outcome = match removal(binding, ctx, cluster, binding.status.as_ref()) {
        // Without an identity that it could have had, nothing was ever written for it.
        None => None,
        Some(desired) => Some(unbind(binding, ctx, desired, remembered).await),
    };
    match outcome {
        Some(outcome) if !outcome.is_gone() => {
            status_writer::write(ctx, binding, cluster, &outcome, remembered).await?;
            Ok(Pass::Kept(outcome))
        }
        _ => {
            finalizer::remove(ctx, binding).await?;
            tracing::info!("everything of the binding is removed");
            Ok(Pass::Gone)
        }
    }
}

/// What is to be taken away: what the status says was made, and for a binding without one what its spec means.
fn removal(
    binding: &WorkloadIdentityBinding,
    ctx: &Context,
    cluster: &Cluster,
    status: Option<&WorkloadIdentityBindingStatus>,
) -> Option<DesiredRemoval> {
    let made = status.and_then(|status| status.identity.as_ref()).and_then(|identity| {
        Some((
            identity.resource_id.parse::<IdentityId>().ok()?,
            identity.origin == IdentityOrigin::Created,
        ))
    });
    let (identity, managed) = made.or_else(|| {
        let validated = validate(binding, &cluster.id).ok()?;
        let managed = matches!(validated.identity, IdentityRef::Managed(_));
        Some((validated.identity_id(&ctx.settings.config), managed))
    })?;
    Some(DesiredRemoval {
        authorized: revoke(identity),
        owner: owner_of(binding, &cluster.id).ok()?,
        managed,
        policy: binding.spec.deletion_policy,
    })
}

/// Observes, plans and executes for a binding that is to be gone. Azure is always looked at: nothing is deleted from
/// memory.
async fn unbind(
    binding: &WorkloadIdentityBinding,
    ctx: &Context,
    desired: DesiredRemoval,
    remembered: &mut Remembered,
) -> Outcome {
    let mut observed = Observed::default();
    if desired.policy != DeletionPolicy::Orphan {
        let accounts = &binding.spec.service_accounts;
        let names: Vec<_> = accounts
            .iter()
            .filter_map(|account| account.name.parse().ok())
            .collect();
        observed.service_accounts = match accounts::observe(ctx, &desired.owner, &names, remembered).await {
            Ok(seen) => seen,
            Err(fault) => return Outcome::Unobserved(fault),
        };
        observed.identity = match observe::read(ctx, desired.authorized.identity()).await {
            Ok(identity) => identity,
            Err(fault) => return Outcome::Unobserved(fault),
        };
    }
    carry_out(ctx, Desired::Gone(desired), observed, false, remembered).await
}

async fn carry_out(
    ctx: &Context,
    desired: Desired,
    mut observed: Observed,
    suspended: bool,
    remembered: &mut Remembered,
) -> Outcome {
    let mut faults = Vec::new();
    let plan = plan(&desired, &observed);
    if plan.has_steps() && !suspended {
        let execution = execute(ctx, &desired, plan, &mut observed, remembered).await;
        remembered.identity_is(&observed.identity);
        if execution.surprised {
            remembered.look_within(Duration::ZERO);
        }
        for time in execution.faults.iter().filter_map(doubted_after) {
            remembered.look_within(time);
        }
        faults = execution.faults;
    }
    Outcome::Observed(Box::new(Reconciled {
        desired,
        observed,
        faults,
        suspended,
    }))
}

/// How long after a fault what is remembered of Azure is still believed; none when the fault says nothing about it.
fn doubted_after(fault: &Fault) -> Option<Duration> {
    let Fault::Azure(azure) = fault else { return None };
    match (&azure.cause, disposition(fault)) {
        // Not carried out.
        (AzureCause::Credential(_) | AzureCause::Refused(_), _)
        | (
            _,
            Disposition::Retry {
                reason: Reason::Throttled,
                ..
            },
        ) => None,
        // An identity that was deleted is answered with as one that is not known everywhere yet.
        (
            _,
            Disposition::Wait {
                reason: Reason::ReplicationPending,
            },
        ) => Some(REPLICATION_MAX),
        (_, Disposition::Wait { .. }) => None,
        _ => Some(Duration::ZERO),
    }
}

/// When to look again: as the problems ask, and when the next look at Azure is due.
fn next(problems: &[Disposition], generation: i64, remembered: &mut Remembered) -> Option<Duration> {
    let now = Instant::now();
    if problems.is_empty() {
        remembered.failures = Failures::default();
        remembered.not_before = None;
        return remembered
            .identity
            .as_ref()
            .map(|known| known.look_again.saturating_duration_since(now));
    }
    let failures = remembered.failures.another(generation);
    let pace = pace::pace(problems, failures)?;
    remembered.not_before = pace.keep_off.map(|keep_off| now + keep_off);
    Some(pace.pause)
}
