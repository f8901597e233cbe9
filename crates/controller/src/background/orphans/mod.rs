//! The sweep for orphans: what stands in Azure of bindings that are gone is found by looking, told, and taken away when it is certain
//! that nobody wants it (docs/adr/0011).

mod look;
mod memory;
mod now;
mod remove;

use std::sync::Arc;
use std::time::Duration;

use wio_api::WorkloadIdentityBinding;
use wio_core::active_namespaces::ActiveNamespaces;
use wio_core::drift::{Share, least_pause};
use wio_core::fault::Fault;
use wio_core::orphans::{Fate, Left, Orphan, hold};

use crate::caches::glance::Mark;
use crate::caches::stores::Caches;
use crate::reconcile::context::Context;
use crate::runtime::jitter::within;
use memory::Memory;
use remove::Removed;

/// Sweeps when the caches are filled and then again and again; never returns.
pub(crate) async fn keep(ctx: &Context) {
    ctx.caches.filled().await;
    ctx.books.leadership.begins().await;
    let mut memory = Memory::new(ctx.books.slots.drift_interval());
    loop {
        let requests = sweep(ctx, &mut memory).await;
        tokio::time::sleep(pause(ctx.books.slots.drift_interval(), requests)).await;
    }
}

/// Never shorter than an interval: what two sweeps in a row have seen was there for one. And longer when the lists are long.
fn pause(interval: Duration, requests: usize) -> Duration {
    least_pause(Share::Identities, requests, interval) + within(interval / 5)
}

/// Sweeps once; tells how many requests the lists took.
async fn sweep(ctx: &Context, memory: &mut Memory) -> usize {
    let looked = look::look(ctx, memory).await;
    for orphan in memory.see(&looked) {
        tell(orphan);
    }
    let (removable, reported): (Vec<&Orphan>, Vec<&Orphan>) =
        looked.orphans.iter().partition(|orphan| orphan.fate.takes_away());
    let held = why_held(ctx, memory, &removable).await;
    let mut counts = Counts {
        seen: removable.len(),
        held: 0,
        reported: reported.len(),
    };
    if let Some(why) = held {
        counts.held = std::mem::take(&mut counts.seen);
        if memory.begins_to_hold(&why.message) {
            why.tell(counts.held);
        }
    } else {
        memory.holds_no_more();
        for orphan in removable {
            if let Some(certain) = memory.certain(orphan) {
                counts.count(remove::remove(ctx, &certain, memory).await);
            }
        }
    }
    let Counts { seen, held, reported } = counts;
    ctx.books
        .metrics
        .orphans([("seen", seen), ("held", held), ("reported", reported)]);
    looked.requests
}

/// How many orphans there are, by what is done about them.
struct Counts {
    seen: usize,
    held: usize,
    reported: usize,
}

impl Counts {
    fn count(&mut self, removed: Removed) {
        match removed {
            Removed::All => self.seen = self.seen.saturating_sub(1),
            Removed::Kept => {
                self.seen = self.seen.saturating_sub(1);
                self.reported += 1;
            }
            Removed::NotYet => {}
        }
    }
}

/// Why nothing is taken away.
struct Held {
    reason: &'static str,
    message: String,
}

impl Held {
    fn tell(&self, orphans: usize) {
        tracing::warn!(orphans, reason = self.reason, "{}", self.message);
    }
}

/// Whether so much at once is believed, and, before anything goes, whether it disappeared with its definition.
async fn why_held(ctx: &Context, memory: &Memory, removable: &[&Orphan]) -> Option<Held> {
    let living = ctx.caches.bindings.len();
    let active = &ctx.caches.learned.config.now().namespaces;
    let relying = relying(&ctx.caches, active);
    // What is left alone neither goes nor stays by a sweep: it says nothing about whether what goes is believed.
    let too_many = hold(removable.len(), ctx.caches.bindings.index.len_of(active), relying);
    let certain = removable.iter().any(|orphan| memory.certain(orphan).is_some());
    let confirmed = match too_many {
        Ok(()) if certain => {
            let crds = ctx.clients.crd_guard.read(&ctx.clients.api.client).await;
            crds.and_then(|crds| crds.confirm_orphans(living).map_err(Fault::Blocked))
        }
        too_many => too_many.map_err(Fault::Blocked),
    };
    let fault = confirmed.err()?;
    let reason = wio_core::reasons::disposition(&fault).reason().as_str();
    let message = fault.to_string();
    Some(Held { reason, message })
}

/// How many bindings have something by a policy though none stands.
fn relying(caches: &Caches, active: &ActiveNamespaces) -> usize {
    let policies = caches.learned.policies.borrow();
    if policies.as_ref().is_some_and(|policies| !policies.is_empty()) {
        return 0;
    }
    let is_active = |binding: &Arc<WorkloadIdentityBinding>| {
        let namespace = binding.metadata.namespace.as_deref();
        namespace.is_some_and(|name| active.contains(name))
    };
    caches.bindings.all_with(Mark::ByPolicy).filter(is_active).count()
}

/// Who it is that an orphan is of, and what becomes of it.
fn tell(orphan: &Orphan) {
    let credentials = match &orphan.left {
        Left::Identity => String::new(),
        Left::Credentials(names) => names.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
    };
    let (identity, binding) = (&orphan.identity, &orphan.binding);
    let what = match orphan.fate {
        Fate::Remove => "it is taken away when the next look finds it too".to_owned(),
        Fate::Retain => {
            "what is trusted through it is taken away when the next look finds it too, and the identity stays"
                .to_owned()
        }
        Fate::Report(why) => format!("it is not touched: {why} (docs/runbook.md, Orphans)"),
        Fate::Leave => return,
    };
    tracing::warn!(%identity, binding, credentials, "what a binding has in Azure that is gone without having been deleted: {what}");
}
