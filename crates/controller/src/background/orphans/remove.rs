//! The removal of one orphan that is certain: Azure is read right before, and whatever changed meanwhile keeps it.

use tracing::{Instrument, info_span};
use wio_core::fault::{Blocked, Fault};
use wio_core::orphans::Orphan;

use super::memory::Memory;
use super::now::{living, observe, plan};
use crate::reconcile::context::Context;
use crate::reconcile::execute::take_away;

/// What a removal came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Removed {
    /// Nothing is left that is to go.
    All,
    /// The identity stays, because others use it.
    Kept,
    /// Something is left, because something went wrong or changed meanwhile: the next sweep tries again.
    NotYet,
}

/// Removes an orphan, and has the bindings that use the same identity look at it.
pub(super) async fn remove(ctx: &Context, orphan: &Orphan, memory: &mut Memory) -> Removed {
    let observed = match observe(ctx, orphan).await {
        Ok(observed) => observed,
        Err(fault) => return failed(orphan, &fault),
    };
    let Some(removal) = plan(ctx, orphan, &observed) else {
        memory.forget(orphan);
        return Removed::All;
    };
    // Who takes it up meanwhile keeps what it has.
    let planned = || plan(ctx, orphan, &observed).map_or_else(Vec::new, |now| now.revocations);
    let mut overtaken = false;
    let is_orphan = |step: &_| {
        overtaken = !planned().contains(step);
        !overtaken
    };
    let span = info_span!("orphan", binding = orphan.binding);
    let taken = take_away(ctx, &removal, is_orphan).instrument(span).await;
    if !removal.revocations.is_empty() {
        wake_heirs(ctx, orphan);
    }
    if !taken.steps.is_empty() {
        tell_removed(orphan, taken.steps.len());
    }
    if overtaken {
        tell_overtaken(orphan);
        // What is left is to be seen anew, for an interval.
        memory.forget(orphan);
    }
    if let Some(fault) = taken.faults.first() {
        return failed(orphan, fault);
    }
    if overtaken {
        let nothing_left = planned().iter().all(|step| taken.steps.contains(step));
        return if nothing_left { Removed::All } else { Removed::NotYet };
    }
    match removal.blocked.first() {
        None => {
            memory.forget(orphan);
            Removed::All
        }
        Some(blocked) => {
            if memory.begins_to_keep(&orphan.identity, blocked.message.clone()) {
                tell_kept(orphan, blocked);
            }
            Removed::Kept
        }
    }
}

fn tell_removed(orphan: &Orphan, steps: usize) {
    let (identity, binding) = (&orphan.identity, &orphan.binding);
    tracing::info!(%identity, binding, steps, "what a binding had that is gone without having been deleted is taken away");
}

fn tell_overtaken(orphan: &Orphan) {
    let (identity, binding) = (&orphan.identity, &orphan.binding);
    tracing::info!(%identity, binding, "what a binding left that is gone is not taken away further: something changed meanwhile, and the next look says what is still to go");
}

fn tell_kept(orphan: &Orphan, blocked: &Blocked) {
    let (identity, binding) = (&orphan.identity, &orphan.binding);
    tracing::warn!(%identity, binding, reason = blocked.reason.as_str(), "{}", blocked.message);
}

fn failed(orphan: &Orphan, fault: &Fault) -> Removed {
    let (identity, binding) = (&orphan.identity, &orphan.binding);
    tracing::warn!(%identity, binding, %fault, "what a binding left that is gone is not taken away yet");
    Removed::NotYet
}

fn wake_heirs(ctx: &Context, orphan: &Orphan) {
    let cluster = ctx.caches.learned.cluster();
    let living = living(&ctx.caches, &cluster, &orphan.namespace);
    for heir in living.heirs_of(&orphan.identity) {
        ctx.books.wake_one(&orphan.namespace, &heir.name, &heir.uid);
    }
}
