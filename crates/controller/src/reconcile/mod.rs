//! One pass over one binding, from the caches to the status.

mod at_rest;
mod attempts;
pub(crate) mod audit;
mod catch_up;
mod clean;
pub(crate) mod context;
mod corrections;
pub(crate) mod coverage;
pub(crate) mod crd_guard;
pub(crate) mod dereference;
mod doubt;
mod edits;
mod ending;
mod errand;
pub(crate) mod execute;
mod exports;
mod finalizer;
mod footing;
pub(crate) mod knowledge;
pub(crate) mod lanes;
mod looks;
mod needs;
pub(crate) mod observe;
mod proofs;
mod pursue;
pub(crate) mod queue;
mod rewrites;
mod schedule;
mod service_accounts;
pub(crate) mod settings_guard;
mod shown;
mod stages;
mod status;
mod turn;
pub(crate) mod workloads;
pub(crate) mod writes;

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::runtime::reflector::ObjectRef;
use tokio::time::Instant;
use tracing::field::Empty;
use tracing::{Instrument, Span, info_span};
use wio_api::{Reason, WorkloadIdentityBinding};
use wio_core::case::Case;
use wio_core::fault::Fault;
use wio_core::orphaned::Orphaned;
use wio_core::outcome::Outcome;
use wio_core::reasons::{Disposition, disposition};
use wio_core::verdict::{Verdict, verdict};

use crate::runtime::jitter::jittered;
use catch_up::must_wait;
use context::Context;
use dereference::{dereference, parse};
use ending::{Ended, release, told};
use errand::Errand;
use finalizer::Unset;
use knowledge::Memory;
use lanes::{Lane, Place};
use proofs::{Attempted, prove};
use pursue::{Pursued, pursue, withheld};
use schedule::{next, overtaken, takes_away_first, too_early, when_landed};
use stages::{in_stage, stage};
use turn::Turn;

/// How long a binding that waits in a queue is not looked at, unless it is woken.
const QUEUED: Duration = Duration::from_mins(10);

/// The pause of a pass that may not write until the lease is renewed.
const RENEWAL: Duration = Duration::from_secs(2);

/// Brings one binding to what its spec asks, or as near as it goes, and says so in its status, unless it must wait or the operator does not
/// act in its namespace; and tells when to look again. Whatever goes wrong is in the status, or, when that could not be written, is tried again.
pub(crate) async fn reconcile(object: Arc<WorkloadIdentityBinding>, ctx: Arc<Context>) -> Option<Duration> {
    let metadata = &object.metadata;
    let span = span_of(metadata);
    let traced = span.clone();
    let uid = metadata.uid.as_deref().and_then(|uid| uid.parse().ok())?;
    if let Err(pause) = may_write(&ctx, metadata) {
        return pause;
    }
    async {
        let started = Instant::now();
        let mut memory = ctx.books.slots.take(&uid);
        if let Some(pause) = Box::pin(must_wait(&ctx, &object, &mut memory)).await {
            ctx.books.slots.put(&uid, memory);
            return Some(pause);
        }
        let (mut errand, mut landing) = (None, None);
        let problems: Vec<Disposition> = match Box::pin(pass(&object, &ctx, &mut memory)).await {
            Ok(Ended::Told(outcome, problems)) => {
                errand = outcome.desired().map(Errand::of);
                landing = outcome.landing();
                problems.iter().map(|problem| problem.disposition).collect()
            }
            Ok(Ended::Early(pause)) => {
                ctx.books.slots.put(&uid, memory);
                return Some(pause);
            }
            Ok(Ended::LetGo) => {
                reconciled(&ctx, &traced, (Reason::Succeeded, started));
                return None;
            }
            Ok(Ended::Queued) => {
                ctx.books.slots.put(&uid, memory);
                return None;
            }
            Ok(Ended::Overtaken) => {
                reconciled(&ctx, &traced, (Reason::Progressing, started));
                let pause = overtaken(&mut memory);
                ctx.books.slots.put(&uid, memory);
                return Some(pause);
            }
            Err(fault) => {
                tracing::warn!(%fault, "the binding could not be written");
                vec![disposition(&fault)]
            }
        };
        let reason = problems.first().map_or(Reason::Succeeded, |problem| problem.reason());
        reconciled(&ctx, &traced, (reason, started));
        came_to_an_end(&ctx, &object, &mut memory);
        let next = next(&problems, (metadata, (ctx.clients.api.clock)()), errand, &mut memory);
        let next = landing.map(when_landed).or(next);
        ctx.books.slots.put(&uid, memory);
        next
    }
    .instrument(span)
    .await
    .inspect(|_| ctx.books.lanes.hand_on())
}

fn span_of(metadata: &ObjectMeta) -> Span {
    info_span!(
        "reconcile",
        namespace = metadata.namespace,
        name = metadata.name,
        generation = metadata.generation,
        reason = Empty
    )
}

/// Counts a reconcile by what it came to, and notes that in its span.
fn reconciled(ctx: &Context, span: &Span, (reason, started): (Reason, Instant)) {
    ctx.books.metrics.reconciled(reason, started.elapsed());
    span.record("reason", reason.as_str());
}

/// Whether this operator may write, and else after what time it looks again: in a namespace in which it does not act never, whoever stands by
/// is told when it leads, and whoever leads and could not renew its lease lately looks soon.
fn may_write(ctx: &Context, metadata: &ObjectMeta) -> Result<(), Option<Duration>> {
    let namespace = metadata.namespace.as_deref().unwrap_or_default();
    let leadership = &ctx.books.leadership;
    if !ctx.caches.learned.config.now().namespaces.contains(namespace) {
        Err(None)
    } else if leadership.may_write() {
        Ok(())
    } else if leadership.since().is_some() {
        Err(Some(jittered(RENEWAL)))
    } else {
        Err(None)
    }
}

/// A pass came to an end, whatever it came to: nothing overtook it, and it waits for nothing.
fn came_to_an_end(ctx: &Context, object: &WorkloadIdentityBinding, memory: &mut Memory) {
    memory.overtaken = 0;
    memory.waiting = None;
    ctx.books.queue.leave(&ObjectRef::from_obj(object));
}

/// Passes over a binding once. What is awaited here is boxed, so that no pass has room for all of it while it waits for Azure.
///
/// 1. Dereference: take all that the decision rests on from the caches, at one moment (no client).
/// 2. Verdict: decide (pure).
/// 3. Guard: where something is to be taken away, ask whether it disappeared by accident (reads Kubernetes).
/// 4. Finalizer: set it before anything is made, for a new binding beside the first look (writes Kubernetes).
/// 5. Pursue: observe (reads both), decide once more (pure), plan (pure), execute (writes both).
/// 6. Prove: where a proof is asked for and nothing else is to be done, exchange tokens (reads both).
/// 7. Status: write it once, or take the finalizer off when nothing is left (writes Kubernetes).
async fn pass(object: &WorkloadIdentityBinding, ctx: &Context, memory: &mut Memory) -> Result<Ended, Fault> {
    ctx.caches.filled().await;
    let api = &ctx.clients.api;
    let cluster = ctx.caches.learned.cluster();
    let mut binding = parse(object, &cluster, &ctx.books.slots)?;
    memory.hear(binding.asks_for_look());
    binding.recorded.written = memory.begun.hear(&binding.recorded);
    let lifecycle = binding.lifecycle.clone();
    let target = status::Target::new(object, &lifecycle, &cluster);
    let case = match stage("dereference").in_scope(|| dereference(&ctx.caches, &cluster, binding)) {
        Ok(case) => case,
        Err(undecided) => return Box::pin(told(api, target, Outcome::Held(undecided), memory)).await,
    };
    let binding = &case.candidate.binding;
    let verdict = stage("verdict").in_scope(|| verdict(&case));
    memory.shown.begin(lifecycle.generation);
    memory.grants_wait = too_early(&verdict, lifecycle.generation, memory);
    if let Some(pause) = memory.grants_wait
        && !takes_away_first(&verdict)
    {
        return Ok(Ended::Early(pause));
    }
    // It is held until the pass has ended.
    let Ok(_place) = enter(ctx, object, &verdict) else {
        return Ok(Ended::Queued);
    };
    let confirmed = in_stage("guard", Box::pin(confirm(ctx, &case, &verdict))).await;
    let unset = Unset::where_needed(&api.client, object, binding, &verdict);
    let beside = in_stage("finalizer", Box::pin(finalizer::set(unset, confirmed.is_ok(), memory))).await?;
    let ending = match confirmed {
        Ok(()) => Box::pin(status::begin_ending(api, target, memory)).await,
        Err(_) => None,
    };
    let target = target.after(ending.as_ref());
    let object = target.object;
    let turn = Turn::begin(ctx, binding, &verdict);
    let outcome = match (verdict, confirmed) {
        (Verdict::Hold(blocked), Ok(())) => Outcome::Held(blocked),
        (Verdict::Release(confirmed), Ok(())) => return Box::pin(release(object, ctx, binding, confirmed)).await,
        (Verdict::Orphan(orphaned), Ok(())) => match turn.errand().run(Box::pin(leave(ctx, &orphaned))).await {
            Ok(()) => return Box::pin(release(object, ctx, binding, orphaned.left())).await,
            Err(fault) => Outcome::Unobserved { desired: None, fault },
        },
        (Verdict::Pursue(desired), Ok(())) => {
            match Box::pin(pursue((object, &turn, beside), ctx, &case, *desired, memory)).await {
                Pursued::Outcome { outcome, announced } => {
                    return Box::pin(proven((ctx, &turn), (target, announced.as_deref()), outcome, memory)).await;
                }
                Pursued::WithoutFinalizer(fault) => return Err(fault),
                Pursued::Overtaken => return Ok(Ended::Overtaken),
                Pursued::Early(pause) => return Ok(Ended::Early(pause)),
                Pursued::Waits { pause, tell, announced } => {
                    return Box::pin(waits(api, target.after(announced.as_deref()), (pause, tell), memory)).await;
                }
                Pursued::Gone(confirmed) => return Box::pin(release(object, ctx, binding, confirmed)).await,
            }
        }
        (verdict, Err(fault)) => withheld(verdict, fault),
    };
    Box::pin(told(api, target, outcome, memory)).await
}

/// There is no place for a pass: its lane is full.
struct Full;

/// The place of a pass in its lane; none where it needs none.
fn enter<'a>(ctx: &'a Context, object: &WorkloadIdentityBinding, verdict: &Verdict) -> Result<Option<Place<'a>>, Full> {
    let Some(lane) = Lane::of(verdict) else {
        return Ok(None);
    };
    let place = ctx.books.lanes.enter(lane, &ObjectRef::from_obj(object));
    place.map(Some).ok_or(Full)
}

/// Ends a pass over a binding whose world was observed: its proof is tried, where one is due, and the status tells of both.
async fn proven(
    (ctx, turn): (&Context, &Turn<'_>),
    (target, announced): (status::Target<'_>, Option<&WorkloadIdentityBinding>),
    outcome: Outcome,
    memory: &mut Memory,
) -> Result<Ended, Fault> {
    let target = target.after(announced);
    let (outcome, attempted) = in_stage("prove", prove(ctx, turn, target, outcome, memory)).await;
    let api = &ctx.clients.api;
    match attempted {
        Attempted::Done => told(api, target, outcome, memory).await,
        Attempted::Waits => waits(api, target, (None, Some(Box::new(outcome))), memory).await,
    }
}

/// Ends a pass that waits for Azure's budgets, and tells of it when it takes long.
async fn waits(
    api: &context::Api,
    target: status::Target<'_>,
    (pause, tell): (Option<Duration>, Option<Box<Outcome>>),
    memory: &mut Memory,
) -> Result<Ended, Fault> {
    if let Some(outcome) = tell {
        status::write(api, target, &outcome, memory).await?;
    }
    Ok(Ended::Early(pause.unwrap_or(QUEUED)))
}

/// Asks whether what a verdict takes away is anybody's wish.
async fn confirm(ctx: &Context, case: &Case, verdict: &Verdict) -> Result<(), Fault> {
    let by = (&ctx.clients.api.client, &ctx.caches.learned.policy_watch);
    ctx.clients.crd_guard.confirm(by, case, verdict).await?;
    settings_guard::confirm(ctx, case, verdict)
}

/// Leaves what an orphaned binding has as it is, marked as left on purpose.
async fn leave(ctx: &Context, orphaned: &Orphaned) -> Result<(), Fault> {
    execute::mark_orphan(&ctx.clients.azure, orphaned).await?;
    ctx.books.wake(&orphaned.owner.namespace, &orphaned.successors());
    Ok(())
}
