//! The steps between the verdict and the status: observe, plan, execute.
#![deny(clippy::wildcard_enum_match_arm)]

use std::collections::BTreeMap;
use std::time::Duration;

use futures::FutureExt;
use futures::future::OptionFuture;
use wio_api::WorkloadIdentityBinding;
use wio_core::binding::Binding;
use wio_core::case::Case;
use wio_core::desired::Desired;
use wio_core::drift::changed_back;
use wio_core::fault::Fault;
use wio_core::landing::{Confirmed, Sight, Writes};
use wio_core::names::ServiceAccountName;
use wio_core::observed::{Observed, ObservedIdentity};
use wio_core::outcome::{Outcome, Reconciled};
use wio_core::plan::{GrantStep, Plan, gives_up, plan, plan_before_landing, successors};
use wio_core::reasons::{Doubt, disposition, facts};
use wio_core::status::rewrites;
use wio_core::verdict::Verdict;

use super::context::Context;
use super::corrections;
use super::execute::{Executed, execute, mark_end};
use super::finalizer::Unset;
use super::footing::{Footing, decide_again, heirs_are_live};
use super::knowledge::Memory;
use super::looks::Looks;
use super::observe::observe;
use super::rewrites::tell;
use super::stages::{in_stage, stage};
use super::status;
use super::turn::{Turn, Waits};

/// The longest that Azure was seen to take until a new identity was known everywhere is four minutes.
const REPLICATION_MAX: Duration = Duration::from_mins(5);

/// The pause before a revocation is tried again while grants have to wait.
const TAKE_AGAIN: Duration = Duration::from_secs(30);

/// The end of a pursuit.
pub(super) enum Pursued {
    /// It came to this.
    Outcome {
        outcome: Outcome,
        /// The binding with what was announced; none when nothing was.
        announced: Option<Box<WorkloadIdentityBinding>>,
    },
    /// The finalizer could not be set, so nothing was begun.
    WithoutFinalizer(Fault),
    /// What was decided does not hold any more: it is to be decided anew, at once.
    Overtaken,
    /// Azure does not want to be asked to give anything for so long; what was to be taken away is.
    Early(Duration),
    /// Azure's budgets do not admit what is to be done.
    Waits {
        /// The pause before the next try; none when the queue wakes it.
        pause: Option<Duration>,
        /// What people are to be told of it.
        tell: Option<Box<Outcome>>,
        /// The binding with what was announced; none when nothing was.
        announced: Option<Box<WorkloadIdentityBinding>>,
    },
    /// Nothing of it is left.
    Gone(Confirmed),
}

/// Brings the world nearer to what is desired; for a binding that is to be gone on each identity that it may have, though one of them
/// cannot be reached. A finalizer that is unset is set before anything is written.
pub(super) async fn pursue(
    (object, turn, unset): (&WorkloadIdentityBinding, &Turn<'_>, Option<Unset<'_>>),
    ctx: &Context,
    case: &Case,
    desired: Desired,
    memory: &mut Memory,
) -> Pursued {
    let errand = turn.errand();
    errand
        .run(Box::pin(pursue_all((object, turn, unset), ctx, case, desired, memory)))
        .await
}

async fn pursue_all(
    (object, turn, unset): (&WorkloadIdentityBinding, &Turn<'_>, Option<Unset<'_>>),
    ctx: &Context,
    case: &Case,
    desired: Desired,
    memory: &mut Memory,
) -> Pursued {
    if let Err(waits) = turn.for_new(&case.candidate.binding, &desired, memory) {
        if let Some(unset) = unset
            && let Err(fault) = in_stage("finalizer", Box::pin(unset.set_now(memory))).await
        {
            return Pursued::WithoutFinalizer(fault);
        }
        return waiting(waits, desired, memory);
    }
    let elsewhere = match &desired {
        Desired::Gone(removal) => removal.elsewhere().cloned(),
        Desired::Bound(_) | Desired::Denied(_) => None,
    };
    let pursued = Box::pin(pursue_one((object, turn, unset), ctx, case, desired, memory)).await;
    let Some(removal) = elsewhere else { return pursued };
    let other = Box::pin(pursue_one(
        (object, turn, None),
        ctx,
        case,
        Desired::Gone(removal),
        memory,
    ))
    .await;
    match pursued {
        Pursued::Gone(_) => other,
        Pursued::Outcome { .. }
        | Pursued::WithoutFinalizer(_)
        | Pursued::Overtaken
        | Pursued::Early(_)
        | Pursued::Waits { .. } => pursued,
    }
}

/// Brings the world nearer to what is desired on one identity. What is desired is decided once more when the world was read and something
/// is to be done: who appeared meanwhile and shares it must not lose it, and who is gone must not keep it. And again between the steps.
async fn pursue_one(
    (object, turn, unset): (&WorkloadIdentityBinding, &Turn<'_>, Option<Unset<'_>>),
    ctx: &Context,
    case: &Case,
    mut desired: Desired,
    memory: &mut Memory,
) -> Pursued {
    memory.overruled.soften(&mut desired);
    let begun = unset.as_ref().map_or(memory.begun, |unset| unset.begun(memory.begun));
    let writes = ctx.books.writes.of(&desired.owner().uid, begun);
    hold_grants(ctx, &desired, memory);
    let observed = match Box::pin(observe_and_set((ctx, case), &desired, unset, memory)).await {
        Ok(observed) => observed,
        Err(pursued) => return pursued,
    };
    await_landing(&writes, &case.candidate.binding, memory);
    let found = found(&observed);
    let landed = writes.until_shown(found).is_none();
    let first = plan_for_now(&desired, &observed, landed, memory);
    let suspended = matches!(&desired, Desired::Bound(bound) if bound.suspended);
    if let (true, Some(pause)) = (first.revocations.is_empty(), too_early(&desired, memory)) {
        return Pursued::Early(pause);
    }
    if !first.has_steps() || suspended {
        wake(ctx, case, &desired, (&observed, &first));
        let outcome = reconciled(desired, observed, Vec::new(), memory.looks);
        return Box::pin(confirmed(ctx, outcome, writes, found)).await;
    }
    let Some(mut desired) = decide_again(ctx, case, &desired) else {
        return Pursued::Overtaken;
    };
    memory.overruled.soften(&mut desired);
    // Since it was looked at, an edit may have given something up that is not shown.
    let observed = match &desired {
        Desired::Bound(bound) => bound.presumed(observed),
        Desired::Denied(_) | Desired::Gone(_) => observed,
    };
    let mut plan = plan_for_now(&desired, &observed, landed, memory);
    // What is to go since may not have been looked at.
    if plan.revocations.iter().any(|step| !first.revocations.contains(step)) {
        return Pursued::Overtaken;
    }
    let contested = memory.contested.hold_back(&mut plan);
    if !plan.has_steps() {
        wake(ctx, case, &desired, (&observed, &plan));
        let outcome = reconciled(desired, observed, contested, memory.looks);
        return Box::pin(confirmed(ctx, outcome, writes, found)).await;
    }
    let carried_out = carry_out(
        (object, turn),
        (ctx, case),
        (desired, plan, observed),
        (writes, contested),
        memory,
    );
    Box::pin(carried_out).await
}

/// Has what got no answer looked for when it can be carried out no more.
fn await_landing(writes: &Writes, binding: &Binding, memory: &mut Memory) {
    if let Some(left) = writes.until_deleted() {
        // Whether it takes what is given anew is to be seen then.
        memory.azure.suspect(left);
    }
    if let Some(left) = writes.until_shown(Sight::Whole) {
        memory.looks.await_landing(left);
    }
    if let Some(left) = writes.until_answered().filter(|_| binding.recorded.may_have_roles()) {
        // Whether a role arrives that is not wanted any more, or of an identity that was made anew since, is to be seen then.
        memory.azure.suspect(left);
    }
}

/// Nothing is given through an identity that a deletion without an answer may still take: the one before it, of the same name.
fn hold_grants(ctx: &Context, desired: &Desired, memory: &mut Memory) {
    let identity = desired.revocable();
    memory.grants_wait = memory
        .grants_wait
        .max(ctx.books.writes.until_deleted(identity.identity()));
}

/// Carries a plan out, as far as Azure's budgets admit it.
async fn carry_out(
    (object, turn): (&WorkloadIdentityBinding, &Turn<'_>),
    (ctx, case): (&Context, &Case),
    (mut desired, mut plan, observed): (Desired, Plan, Observed),
    (writes, contested): (Writes, Vec<Fault>),
    memory: &mut Memory,
) -> Pursued {
    let binding = &case.candidate.binding;
    let waits = match admitted(turn, &desired, &mut plan) {
        Ok(()) => None,
        Err(waits) if plan.revocations.is_empty() => return waiting(waits, desired, memory),
        // What takes away is admitted, and does not wait for what gives.
        Err(waits) => Some(waits),
    };
    let api = &ctx.clients.api;
    let rewritten = rewrites(object.status.as_ref(), &desired, &plan, (api.clock)());
    let announcing = status::announce(api, object, binding, (&desired, &plan, &rewritten), memory);
    let announced = match Box::pin(announcing).await {
        Ok(announced) => announced.map(Box::new),
        Err(fault) => return unobserved(desired, fault).into(),
    };
    tell(ctx, &desired, &rewritten);
    tell_denied_orphan(&desired);
    memory
        .contested
        .find_out(&api.client, &binding.owner.namespace, &plan)
        .await;
    memory.contested.forget_released(&plan);
    let footing = Footing::new(ctx, case, &desired);
    let before = (observed.clone(), plan.clone());
    let executed = in_stage(
        "execute",
        Box::pin(execute(ctx, footing, plan, observed, &mut memory.shown)),
    )
    .await;
    remember(&executed, binding.lifecycle.generation, memory);
    see_tags(ctx, &mut desired, (&before.1, &executed), memory);
    Box::pin(corrections::tell(ctx, (object, binding), (&before.1, &executed))).await;
    wake(ctx, case, &desired, (&before.0, &before.1));
    Box::pin(contest(ctx, (object, binding), (&before, &executed), memory)).await;
    let sight = found(&before.0).and(executed.sight);
    let end = came_to(ctx, (desired, waits), (executed, contested), (writes, sight), memory);
    let pursued = Box::pin(end).await;
    pursued.announced(announced)
}

/// Observes the world, and sets the finalizer beside it: neither waits for the other, and both are over before anything is written.
async fn observe_and_set(
    (ctx, case): (&Context, &Case),
    desired: &Desired,
    unset: Option<Unset<'_>>,
    memory: &mut Memory,
) -> Result<Observed, Pursued> {
    let set = OptionFuture::from(unset.as_ref().map(|unset| unset.set().boxed()));
    let (observed, set) = tokio::join!(
        in_stage("observe", observe(ctx, case, desired, memory).boxed()),
        in_stage("finalizer", set)
    );
    if let Some((unset, set)) = unset.zip(set) {
        unset.remember(&set.map_err(Pursued::WithoutFinalizer)?, memory);
    }
    observed.map_err(|fault| match too_early(desired, memory) {
        Some(pause) => Pursued::Early(pause),
        None => not_observed(desired.clone(), fault, memory),
    })
}

/// What a plan came to that was carried out, as far as Azure admitted it.
async fn came_to(
    ctx: &Context,
    (desired, waits): (Desired, Option<Waits>),
    (executed, contested): (Executed, Vec<Fault>),
    (writes, sight): (Writes, Sight),
    memory: &mut Memory,
) -> Pursued {
    let faults = executed.faults;
    match too_early(&desired, memory) {
        _ if executed.overtaken => return Pursued::Overtaken,
        // What could not be taken away is tried again before that.
        Some(pause) if faults.is_empty() => return Pursued::Early(pause),
        Some(pause) => return Pursued::Early(pause.min(TAKE_AGAIN)),
        None => {}
    }
    let all_wait = Waits::after(&faults).or_else(|| waits.filter(|_| faults.is_empty()));
    if let Some(waits) = all_wait {
        return waiting(waits, desired, memory);
    }
    let faults = faults.into_iter().chain(contested).collect();
    let outcome = reconciled(desired, executed.observed, faults, memory.looks);
    confirmed(ctx, outcome, writes, sight).await
}

/// Asks Azure's budgets for a plan; the grants are left out when only the revocations are admitted.
fn admitted(turn: &Turn<'_>, desired: &Desired, plan: &mut Plan) -> Result<(), Waits> {
    let identity = desired.revocable();
    let identity = identity.identity();
    if let Err(waits) = turn.for_revocations(identity, plan) {
        plan.revocations.clear();
        return Err(waits);
    }
    turn.for_grants(identity, plan).inspect_err(|_| plan.grants.clear())
}

fn waiting(waits: Waits, desired: Desired, memory: &mut Memory) -> Pursued {
    memory.shown.refuse();
    Pursued::Waits {
        pause: waits.pause,
        tell: waits.outcome(desired, memory).map(Box::new),
        announced: None,
    }
}

/// The end of a pass that could not see the world.
fn not_observed(desired: Desired, fault: Fault, memory: &mut Memory) -> Pursued {
    match Waits::after(std::slice::from_ref(&fault)) {
        Some(waits) => waiting(waits, desired, memory),
        None => unobserved(desired, fault).into(),
    }
}

/// Remembers the service accounts that were written, and tells of those that somebody else changes back again and again.
async fn contest(
    ctx: &Context,
    (object, binding): (&WorkloadIdentityBinding, &Binding),
    ((observed, plan), executed): (&(Observed, Plan), &Executed),
    memory: &mut Memory,
) {
    let written = executed.written.iter();
    let written = written.map(|(name, written)| (name, &written.result)).collect();
    let changed_back: Vec<ServiceAccountName> = changed_back(binding, observed, plan).into_iter().cloned().collect();
    let (put_right, told) = memory.contested.wrote(written, &changed_back);
    ctx.books.metrics.changed_back(put_right);
    for told in told {
        ctx.clients.api.events.publish(object, told).await;
    }
}

/// An identity that is not found may not be known everywhere yet.
fn found(observed: &Observed) -> Sight {
    match observed.azure.identity {
        ObservedIdentity::Present(_) => Sight::Whole,
        ObservedIdentity::Absent => Sight::Gaps,
    }
}

/// Sees that those are there to whom something is left, confirms the end of a binding, and has an identity that outlives it say so.
async fn confirmed(ctx: &Context, outcome: Outcome, writes: Writes, sight: Sight) -> Pursued {
    if let Some(desired) = outcome.desired() {
        match heirs_are_live(ctx, desired).await {
            Ok(true) => {}
            Ok(false) => return Pursued::Overtaken,
            Err(fault) => return Outcome::Unobserved { desired: None, fault }.into(),
        }
    }
    let mark = outcome.mark();
    match outcome.confirm(writes, sight) {
        Err(outcome) => (*outcome).into(),
        Ok(confirmed) => match mark_end(&ctx.clients.azure, mark).await {
            Ok(()) => Pursued::Gone(confirmed),
            Err(fault) => Outcome::Unobserved { desired: None, fault }.into(),
        },
    }
}

/// Sees which tags Azure keeps at other values: where tags were written, those that stand now are its last word on them.
fn see_tags(ctx: &Context, desired: &mut Desired, (plan, executed): (&Plan, &Executed), memory: &mut Memory) {
    let tags = |step: &GrantStep| matches!(step, GrantStep::CreateIdentity { .. } | GrantStep::TagIdentity { .. });
    let written =
        plan.grants.iter().any(tags) && executed.faults.is_empty() && executed.look_again != Some(Duration::ZERO);
    if let (true, Some(present)) = (written, executed.observed.azure.identity.present()) {
        let interval = ctx.books.slots.drift_interval();
        memory.overruled.wrote(desired, &present.tags, interval);
    }
}

impl Pursued {
    /// The same, when this was announced on the way.
    fn announced(self, written: Option<Box<WorkloadIdentityBinding>>) -> Self {
        match self {
            Self::Outcome { outcome, .. } => Self::Outcome {
                outcome,
                announced: written,
            },
            Self::Waits { pause, tell, .. } => Self::Waits {
                pause,
                tell,
                announced: written,
            },
            other @ (Self::WithoutFinalizer(_) | Self::Overtaken | Self::Early(_) | Self::Gone(_)) => other,
        }
    }
}

impl From<Outcome> for Pursued {
    fn from(outcome: Outcome) -> Self {
        Self::Outcome {
            outcome,
            announced: None,
        }
    }
}

/// How long nothing may be given for a binding; none when something may, or nothing is to be given.
fn too_early(desired: &Desired, memory: &Memory) -> Option<Duration> {
    match desired {
        Desired::Bound(_) => memory.grants_wait,
        Desired::Denied(_) | Desired::Gone(_) => None,
    }
}

/// The plan, without what is not to be asked of Azure yet.
fn plan_for_now(desired: &Desired, observed: &Observed, landed: bool, memory: &Memory) -> Plan {
    let _stage = stage("plan").entered();
    let mut plan = if landed {
        plan(desired, observed)
    } else {
        plan_before_landing(desired, observed)
    };
    if too_early(desired, memory).is_some() {
        plan.grants.clear();
    }
    plan
}

/// The one who deleted it asked for its trust to stay.
fn tell_denied_orphan(desired: &Desired) {
    if let Desired::Gone(removal) = desired
        && let Some(why) = &removal.orphan_denied
    {
        tracing::warn!(%why, "the trust of the binding ends with it");
    }
}

/// Wakes the bindings that take over what a plan takes away or leaves, also those that came since it was decided.
fn wake(ctx: &Context, case: &Case, desired: &Desired, (observed, plan): (&Observed, &Plan)) {
    if !gives_up(desired, observed, plan) {
        return;
    }
    let since = decide_again(ctx, case, desired);
    let successors = successors(since.as_ref().unwrap_or(desired), observed, plan);
    ctx.books.wake(&desired.owner().namespace, &successors);
}

fn reconciled(desired: Desired, observed: Observed, faults: Vec<Fault>, looks: Looks) -> Outcome {
    let reconciled = Reconciled::new(desired, observed, faults);
    Outcome::Reconciled(Box::new(if looks.may_have_missed() {
        reconciled.before_landing()
    } else {
        reconciled
    }))
}

/// The outcome of a verdict that the guard did not confirm: what is to be taken away may have disappeared by accident, or that
/// could not be told.
pub(super) fn withheld(verdict: Verdict, fault: Fault) -> Outcome {
    match (fault, verdict) {
        (Fault::Blocked(blocked), _) => Outcome::Held(blocked),
        (fault, Verdict::Pursue(desired)) => unobserved(*desired, fault),
        (fault, Verdict::Orphan(_) | Verdict::Release(_) | Verdict::Hold(_)) => {
            Outcome::Unobserved { desired: None, fault }
        }
    }
}

fn unobserved(desired: Desired, fault: Fault) -> Outcome {
    Outcome::Unobserved {
        desired: Some(Box::new(desired)),
        fault,
    }
}

/// Remembers what was written, and doubts what may be wrong with it.
fn remember(executed: &Executed, generation: i64, memory: &mut Memory) {
    memory.azure.written(&executed.observed.azure);
    remember_exports(executed, memory);
    memory.accounts.extend(executed.written.iter().cloned());
    if !executed.written.is_empty() {
        memory.shown.forget_accounts();
    }
    memory.begun.wrote(executed.has_given);
    if executed.has_given {
        memory.edits.carried_out(generation);
    }
    memory.looks.wrote();
    let faults = executed.faults.iter().filter_map(doubted_after);
    for time in executed.look_again.into_iter().chain(faults) {
        memory.azure.suspect(time);
    }
}

/// After a fault nobody knows which of them were written.
fn remember_exports(executed: &Executed, memory: &mut Memory) {
    memory.exports = if executed.faults.is_empty() {
        let there = executed.observed.exports.iter();
        there
            .map(|(name, export)| (name.clone(), Some(export.clone())))
            .collect()
    } else {
        BTreeMap::new()
    };
}

/// How long after a fault what is remembered of Azure is still believed; none when the fault says nothing about it.
fn doubted_after(fault: &Fault) -> Option<Duration> {
    if !matches!(fault, Fault::Azure(_)) {
        return None;
    }
    match facts(disposition(fault).reason()).doubt {
        Doubt::None => None,
        Doubt::Later => Some(REPLICATION_MAX),
        Doubt::Now => Some(Duration::ZERO),
    }
}
