//! A cache that does not show our own write for long: whether it is behind, or the API server went back behind the write.

use std::time::Duration;

use kube::runtime::watcher::Event;
use wio_api::WorkloadIdentityBinding;
use wio_core::fault::Fault;

use super::context::Context;
use super::dereference::limits;
use super::footing::read_whole;
use super::knowledge::Memory;
use super::schedule::CACHE_LAG;
use crate::caches::kept;
use crate::runtime::jitter::jittered;

/// The pause before the next try, when the API server does not say.
const AGAIN: Duration = Duration::from_secs(10);

/// The pause before the pass over what was read.
const AT_ONCE: Duration = Duration::from_millis(1);

/// How long nothing can be done for a binding: an older copy of it must not be acted on.
pub(super) async fn must_wait(
    ctx: &Context,
    object: &WorkloadIdentityBinding,
    memory: &mut Memory,
) -> Option<Duration> {
    let version = object.metadata.resource_version.as_deref();
    let is_missing = memory
        .written
        .as_ref()
        .is_some_and(|write| write.is_missing_in(version));
    if is_missing {
        Some(jittered(CACHE_LAG))
    } else {
        Box::pin(catch_up(ctx, object, memory)).await
    }
}

/// Asks the API server for a binding of which the cache has not shown our write for long, and has the cache show it where that was behind: an event was lost,
/// or a watch is late. Returns the pause before a pass may begin; none when the cache is right, because the API server was restored from a backup.
async fn catch_up(ctx: &Context, object: &WorkloadIdentityBinding, memory: &mut Memory) -> Option<Duration> {
    let version = object.metadata.resource_version.as_deref();
    let written = memory.written.as_ref().filter(|write| write.is_overdue_in(version))?;
    match read_whole(&ctx.clients.api.client, &object.metadata).await {
        Ok(Some(live)) if !written.is_newer_than(live.metadata.resource_version.as_deref()) => {
            show(ctx, live);
            Some(AT_ONCE)
        }
        Ok(_) => {
            memory.written = None;
            None
        }
        Err(fault) => {
            tell(&fault);
            Some(jittered(AGAIN))
        }
    }
}

/// Has the cache show a binding as it was read.
fn show(ctx: &Context, mut live: WorkloadIdentityBinding) {
    tracing::warn!("the watch of bindings is behind; the binding was read");
    kept::binding(&mut live);
    let bindings = &ctx.caches.bindings;
    let turned = bindings.take_in(&Event::Apply(live), |namespace| limits(&ctx.caches, namespace));
    ctx.books.decide_again(turned);
}

fn tell(fault: &Fault) {
    tracing::warn!(%fault, "the watch of bindings is behind, and the binding could not be read");
}
