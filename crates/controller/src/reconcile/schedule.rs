//! When a binding is looked at, and when again.

use std::time::Duration;

use tokio::time::Instant;
use wio_api::WorkloadIdentityBinding;
use wio_core::reasons::Disposition;

use super::knowledge::{Failures, Memory};
use crate::runtime::backoff::pause;
use crate::runtime::jitter::jittered;

/// How long the cache is given to show our own write.
const CACHE_LAG: Duration = Duration::from_millis(500);

/// How long nothing can be done for a binding: an older copy of it must not be acted on, and Azure's word stands
/// whatever happens in the cluster.
pub(super) fn must_wait(object: &WorkloadIdentityBinding, memory: &Memory) -> Option<Duration> {
    let version = object.metadata.resource_version.as_deref();
    if memory
        .written
        .as_ref()
        .is_some_and(|write| write.is_missing_in(version))
    {
        return Some(jittered(CACHE_LAG));
    }
    let pause = memory.not_before?.saturating_duration_since(Instant::now());
    (!pause.is_zero()).then_some(pause)
}

/// The pause before a pass that begins anew because something changed: short, and never none, so that what changes all the time
/// keeps nobody else from his turn.
pub(super) fn at_once() -> Duration {
    jittered(CACHE_LAG / 5)
}

/// When to look again: as the problems ask, and when the next drift check is due.
pub(super) fn next(problems: &[Disposition], generation: i64, memory: &mut Memory) -> Option<Duration> {
    if problems.is_empty() {
        memory.failures = Failures::default();
        memory.not_before = None;
        return memory.azure.next_check();
    }
    let failures = memory.failures.another(generation);
    let pause = pause(problems, failures)?;
    memory.not_before = pause.retry_after.map(|retry_after| Instant::now() + retry_after);
    Some(pause.before_retry)
}
