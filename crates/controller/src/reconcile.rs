//! One pass over one binding.

use std::cell::Cell;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use kube::ResourceExt;
use kube::runtime::controller::Action;
use kube::runtime::reflector::ObjectRef;
use tokio::time::Instant;
use tracing::{Instrument, info_span};
use wio_api::{DeletionPolicy, IdentityOrigin, Reason, WorkloadIdentityBinding};
use wio_core::authorize::{NotPermitted, authorize, authorize_standing, revoke};
use wio_core::binding::{IdentityRef, ValidatedBinding, has_finalizer, may_have_something, owner_of, validate};
use wio_core::config::Cluster;
use wio_core::desired::{Desired, DesiredBinding, DesiredDenial, DesiredRemoval, deletes_despite_users};
use wio_core::disposition::{Disposition, disposition};
use wio_core::fault::{AzureCause, Fault};
use wio_core::known_state::{self, AzureState};
use wio_core::names::IdentityId;
use wio_core::observed::Observed;
use wio_core::outcome::{Outcome, Reconciled};
use wio_core::plan::plan;
use wio_core::policy::{NamespaceFacts, credentials_before};
use wio_core::sharing::{Claims, Sharing};

use crate::context::Context;
use crate::execute::execute;
use crate::jitter::jittered;
use crate::kubernetes::unreadable;
use crate::memory::{Failures, Remembered};
use crate::observe::Ending;
use crate::sharing::{Rules, undecided};
use crate::{accounts, definitions, finalizer, observe, pace, sharing, status_writer};

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
        if ctx.memory.was_doubted(&uid) {
            remembered.look_now();
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
    let Some(policies) = ctx.policies.borrow().clone() else {
        return Err(unreadable("list the policies".to_owned(), "they are not known yet"));
    };
    let deleting = binding.metadata.deletion_timestamp.is_some();
    let uid = binding.metadata.uid.as_deref().unwrap_or_default();
    let taken_off = finalizer::was_taken_off(binding) && !ctx.memory.is_let_go(uid);
    if deleting && !has_finalizer(binding) && !taken_off {
        return Ok(Pass::Gone);
    }
    let Some(namespace) = namespace_of(binding, ctx) else {
        let outcome = Outcome::Undecided(undecided());
        status_writer::write(ctx, binding, &cluster, &outcome, remembered).await?;
        return Ok(Pass::Kept(outcome));
    };
    let rules = Rules {
        cluster: &cluster,
        policies: &policies,
        namespace: &namespace,
    };
    if deleting {
        return remove(binding, ctx, rules, remembered).await;
    }
    if finalizer::was_taken_off(binding) {
        finalizer::set(ctx, binding, remembered).await?;
    }
    let outcome = match decide(binding, ctx, rules) {
        Decision::Nothing(outcome) => outcome,
        Decision::Denied(denial) => withdraw(binding, ctx, rules, denial, remembered).await,
        Decision::Bound(validated, desired) => {
            if !may_have_something(binding) && !validated.suspended {
                finalizer::set(ctx, binding, remembered).await?;
            }
            bind(binding, ctx, rules, &validated, *desired, remembered).await
        }
    };
    status_writer::write(ctx, binding, &cluster, &outcome, remembered).await?;
    Ok(Pass::Kept(outcome))
}

/// What is to become of a binding.
enum Decision {
    /// It may have what it asks for.
    Bound(ValidatedBinding, Box<DesiredBinding>),
    /// It may not have what it has.
    Denied(DesiredDenial),
    /// Nothing is to be done, and this is to be said.
    Nothing(Outcome),
}

/// Parses and authorizes. A binding that never had our finalizer has nothing that could be taken away.
fn decide(binding: &WorkloadIdentityBinding, ctx: &Context, rules: Rules<'_>) -> Decision {
    let config = &ctx.settings.config;
    let Rules {
        cluster,
        policies,
        namespace,
    } = rules;
    let denied = |why: NotPermitted| match removal(binding, ctx, cluster).filter(|_| may_have_something(binding)) {
        Some(removal) => Decision::Denied(DesiredDenial::new(removal, why)),
        None => Decision::Nothing(Outcome::denied(&why)),
    };
    // Whoever makes a spec unusable must not keep what a policy takes away.
    let standing = |otherwise: Outcome| {
        let may_stand = owner_of(binding, &cluster.id).ok().zip(binding.status.as_ref());
        let policy = binding.spec.deletion_policy;
        match may_stand.map(|(owner, status)| authorize_standing(&owner, status, policy, config, policies, namespace)) {
            Some(Err(why)) => denied(why),
            Some(Ok(())) | None => Decision::Nothing(otherwise),
        }
    };
    let validated = match validate(binding, &cluster.id) {
        Ok(validated) => validated,
        Err(invalid) => return standing(Outcome::invalid(&invalid)),
    };
    let used = policies.limit(namespace).map_or(0, |limit| used(binding, ctx, limit));
    match authorize(&validated, config, policies, namespace, used) {
        Err(why) => denied(why),
        Ok(authorized) => {
            let desired = DesiredBinding::new(&validated, authorized, cluster, config);
            match desired.moved(binding.status.as_ref()) {
                Some(moved) => standing(Outcome::Refused(moved)),
                None => Decision::Bound(validated, Box::new(desired)),
            }
        }
    }
}

/// How many federated credentials of the namespace come before those of a binding, at most as many as the namespace may hold: of
/// ten thousand bindings that ask for too much, none is worth counting the others.
fn used(binding: &WorkloadIdentityBinding, ctx: &Context, limit: usize) -> usize {
    let used = Cell::new(0);
    let enough = |other: &WorkloadIdentityBinding| {
        used.set(used.get() + credentials_before(binding, other));
        used.get() >= limit
    };
    // What is found is of no interest.
    drop(ctx.bindings.find(enough));
    used.get().min(limit)
}

pub(crate) fn namespace_of(binding: &WorkloadIdentityBinding, ctx: &Context) -> Option<NamespaceFacts> {
    let name = binding.metadata.namespace.as_deref()?;
    let namespace = ctx.namespaces.get(&ObjectRef::new(name))?;
    Some(NamespaceFacts {
        name: name.parse().ok()?,
        labels: namespace.metadata.labels.clone().unwrap_or_default(),
    })
}

/// Observes, plans and executes for a binding that is to be.
async fn bind(
    binding: &WorkloadIdentityBinding,
    ctx: &Context,
    rules: Rules<'_>,
    validated: &ValidatedBinding,
    desired: DesiredBinding,
    remembered: &mut Remembered,
) -> Outcome {
    let wanted = Desired::Bound(desired.clone());
    let service_accounts = match accounts::observe(ctx, binding, &desired.owner, remembered).await {
        Ok(seen) => seen,
        Err(fault) => return unobserved(wanted, fault),
    };
    let seen = match observe::azure(ctx, binding, validated, &desired, remembered).await {
        Ok(seen) => seen,
        Err(fault) => return unobserved(wanted, fault),
    };
    let mut observed = observed(seen.azure, service_accounts);
    let wanted = sharing::beside(ctx, binding, wanted, &observed, rules);
    let rests_on_memory = !seen.fresh && !validated.suspended;
    if rests_on_memory && !known_state::is_enough_for(&plan(&wanted, &observed), validated.name_is_derived()) {
        let azure = match observe::look(ctx, binding, &desired, remembered).await {
            Ok(azure) => azure,
            Err(fault) => return unobserved(wanted, fault),
        };
        observed.identity = azure.identity;
        observed.role_assignments = azure.role_assignments;
    }
    carry_out(ctx, binding, wanted, observed, validated.suspended, remembered).await
}

fn observed(azure: AzureState, service_accounts: accounts::Seen) -> Observed {
    Observed {
        identity: azure.identity,
        role_assignments: azure.role_assignments,
        service_accounts,
    }
}

fn unobserved(desired: Desired, fault: Fault) -> Outcome {
    Outcome::Unobserved {
        desired: Box::new(desired),
        fault,
    }
}

/// Takes away what a binding may not have, suspended or not: trust that was withdrawn does not wait.
async fn withdraw(
    binding: &WorkloadIdentityBinding,
    ctx: &Context,
    rules: Rules<'_>,
    denial: DesiredDenial,
    remembered: &mut Remembered,
) -> Outcome {
    match definitions::denial(ctx, binding, rules.policies, denial.why()).await {
        Ok(()) => {}
        Err(Fault::Blocked(blocked)) => return Outcome::Undecided(blocked),
        Err(fault) => return unobserved(Desired::Denied(denial), fault),
    }
    remembered.azure = None;
    let removal = denial.removal().clone();
    unbind(
        binding,
        ctx,
        rules,
        Desired::Denied(denial),
        &removal,
        Ending::No,
        remembered,
    )
    .await
}

/// Takes away everything of a binding that is being deleted.
async fn remove(
    binding: &WorkloadIdentityBinding,
    ctx: &Context,
    rules: Rules<'_>,
    remembered: &mut Remembered,
) -> Result<Pass, Fault> {
    match take_everything(binding, ctx, rules, remembered).await {
        Some(outcome) if !outcome.is_gone() => {
            status_writer::write(ctx, binding, rules.cluster, &outcome, remembered).await?;
            Ok(Pass::Kept(outcome))
        }
        _ => {
            ctx.memory.let_go(binding.metadata.uid.as_deref().unwrap_or_default());
            finalizer::remove(ctx, binding).await?;
            tracing::info!("everything of the binding is removed");
            Ok(Pass::Gone)
        }
    }
}

/// Takes away everything of a binding. Without an identity that it could have had, nothing was ever written for it.
pub(crate) async fn take_everything(
    binding: &WorkloadIdentityBinding,
    ctx: &Context,
    rules: Rules<'_>,
    remembered: &mut Remembered,
) -> Option<Outcome> {
    let removal = removal(binding, ctx, rules.cluster)?;
    let desired = Desired::Gone(removal.clone());
    let removal = match definitions::deletion(ctx, binding, rules.policies).await {
        Ok(()) => sharing::what_may_stay(ctx, binding, removal, rules).await,
        Err(fault) => Err(fault),
    };
    Some(match removal {
        Ok(removal) => {
            let desired = Desired::Gone(removal.clone());
            unbind(binding, ctx, rules, desired, &removal, Ending::Yes, remembered).await
        }
        Err(fault) => unobserved(desired, fault),
    })
}

/// What is to be taken away: what the status says was made, and for a binding without one what its spec means.
pub(crate) fn removal(binding: &WorkloadIdentityBinding, ctx: &Context, cluster: &Cluster) -> Option<DesiredRemoval> {
    let status = binding.status.as_ref();
    let made = status.and_then(|status| status.identity.as_ref()).and_then(|identity| {
        Some((
            identity.resource_id.parse::<IdentityId>().ok()?,
            identity.origin != IdentityOrigin::Referenced,
        ))
    });
    let (identity, managed) = made.or_else(|| {
        let validated = validate(binding, &cluster.id).ok()?;
        let managed = matches!(validated.identity, IdentityRef::Managed(_));
        Some((validated.identity_id(&ctx.settings.config), managed))
    })?;
    let owner = owner_of(binding, &cluster.id).ok()?;
    Some(DesiredRemoval {
        sharing: Sharing::of(&owner, &identity, &cluster.issuer, Claims::of(binding)),
        authorized: revoke(identity),
        owner,
        managed,
        policy: binding.spec.deletion_policy,
        despite_users: deletes_despite_users(binding),
    })
}

/// Observes, plans and executes for a binding of which something or everything is to be gone. Azure is always looked at:
/// nothing is deleted from memory.
async fn unbind(
    binding: &WorkloadIdentityBinding,
    ctx: &Context,
    rules: Rules<'_>,
    desired: Desired,
    removal: &DesiredRemoval,
    ending: Ending,
    remembered: &mut Remembered,
) -> Outcome {
    if removal.policy == DeletionPolicy::Orphan {
        let nothing = Observed::default();
        let desired = sharing::beside(ctx, binding, desired, &nothing, rules);
        return carry_out(ctx, binding, desired, nothing, false, remembered).await;
    }
    let service_accounts = match accounts::observe(ctx, binding, &removal.owner, remembered).await {
        Ok(seen) => seen,
        Err(fault) => return unobserved(desired, fault),
    };
    let azure = match observe::read(ctx, binding, removal.authorized.identity(), ending).await {
        Ok(azure) => azure,
        Err(fault) => return unobserved(desired, fault),
    };
    let observed = observed(azure, service_accounts);
    let desired = sharing::beside(ctx, binding, desired, &observed, rules);
    carry_out(ctx, binding, desired, observed, false, remembered).await
}

async fn carry_out(
    ctx: &Context,
    binding: &WorkloadIdentityBinding,
    desired: Desired,
    mut observed: Observed,
    suspended: bool,
    remembered: &mut Remembered,
) -> Outcome {
    let mut faults = Vec::new();
    let plan = plan(&desired, &observed);
    let successors = if suspended {
        Vec::new()
    } else {
        desired.successors(&observed, &plan)
    };
    if plan.has_steps() && !suspended {
        if let Err(fault) = status_writer::announce(ctx, binding, &plan, remembered).await {
            return unobserved(desired, fault);
        }
        let execution = execute(ctx, &desired, plan, &mut observed, remembered).await;
        remembered.azure_is(&observed);
        if execution.surprised {
            remembered.look_within(Duration::ZERO);
        }
        for time in execution.faults.iter().filter_map(doubted_after) {
            remembered.look_within(time);
        }
        faults = execution.faults;
    }
    sharing::wake(ctx, &desired.owner().namespace, &successors);
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
            .azure
            .as_ref()
            .map(|known| known.look_again.saturating_duration_since(now));
    }
    let failures = remembered.failures.another(generation);
    let pace = pace::pace(problems, failures)?;
    remembered.not_before = pace.keep_off.map(|keep_off| now + keep_off);
    Some(pace.pause)
}
