//! When a binding is looked at, and when again.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use tokio::time::Instant;
use wio_api::Reason;
use wio_core::reasons::Disposition;
use wio_core::verdict::{Verdict, policy_follows_within};

use super::errand::Errand;
use super::knowledge::{Failures, Memory};
use crate::runtime::backoff::pause;
use crate::runtime::jitter::jittered;

/// How long the cache is given to show our own write.
pub(super) const CACHE_LAG: Duration = Duration::from_millis(500);

/// How long what follows from a verdict is not to be done: Azure does not want to be asked, whose word stands whatever happens in the
/// cluster, or the spec was edited too often.
pub(super) fn too_early(verdict: &Verdict, generation: i64, memory: &Memory) -> Option<Duration> {
    let errand = match verdict {
        Verdict::Pursue(desired) => Errand::of(desired),
        Verdict::Orphan(_) => Errand::Gives,
        Verdict::Release(_) | Verdict::Hold(_) => return None,
    };
    let not_before = memory.not_before.of(errand);
    let asked = not_before.map(|moment| moment.saturating_duration_since(Instant::now()));
    let paced = memory.edits.pause(generation).filter(|_| takes_away_first(verdict));
    asked.max(paced).filter(|pause| !pause.is_zero())
}

/// Whether a pass that may give nothing yet has something to do all the same: what it takes away is counted apart.
pub(super) fn takes_away_first(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Pursue(desired) if Errand::of(desired) == Errand::Gives)
}

/// The pause before a pass that begins anew because something changed: short, and never none, so that what changes all the time
/// keeps nobody else from his turn; and longer each time, for a cache that does not hear of the change.
pub(super) fn overtaken(memory: &mut Memory) -> Duration {
    const MOST: Duration = Duration::from_secs(30);
    let doublings = memory.overtaken.saturating_sub(2).min(16);
    memory.overtaken = memory.overtaken.saturating_add(1);
    jittered((CACHE_LAG / 5).saturating_mul(1 << doublings).min(MOST))
}

/// The pause before the look that is final: a little longer than what was written takes to arrive.
pub(super) fn when_landed(left: Duration) -> Duration {
    left + jittered(CACHE_LAG / 5)
}

/// When to look again: as the problems ask, when the next drift check is due, when a token is to be exchanged, when it is the turn of a look that was
/// asked for or of one at pods, and when a binding has waited for its policy.
pub(super) fn next(
    problems: &[Disposition],
    (metadata, now): (&ObjectMeta, Timestamp),
    errand: Option<Errand>,
    memory: &mut Memory,
) -> Option<Duration> {
    let due = due(problems, metadata.generation.unwrap_or_default(), errand, memory);
    let proof = memory.attempts.as_ref().and_then(|attempts| attempts.turn());
    let others = memory
        .requests
        .turn()
        .into_iter()
        .chain(proof)
        .chain(memory.workloads.as_ref().map(|schedule| schedule.pause()))
        .chain(refused(problems, metadata, now));
    due.into_iter().chain(others).min()
}

/// When a binding that waits for its policy is refused.
fn refused(problems: &[Disposition], metadata: &ObjectMeta, now: Timestamp) -> Option<Duration> {
    let waits = problems.iter().any(|problem| problem.reason() == Reason::PolicyAwaited);
    let created = metadata.creation_timestamp.as_ref().filter(|_| waits)?.0;
    policy_follows_within(Some(created), now).map(|left| left + jittered(CACHE_LAG / 5))
}

fn due(problems: &[Disposition], generation: i64, errand: Option<Errand>, memory: &mut Memory) -> Option<Duration> {
    if problems.is_empty() {
        memory.failures = Failures::default();
        memory.not_before.set(errand, None);
        return memory.azure.next_check();
    }
    let is_stalled = problems
        .iter()
        .any(|problem| matches!(problem, Disposition::Stalled { .. }));
    let failures = memory.failures.another(generation, errand.filter(|_| is_stalled));
    let pause = pause(problems, failures)?;
    let not_before = pause.retry_after.map(|retry_after| Instant::now() + retry_after);
    memory.not_before.set(errand, not_before);
    Some(pause.before_retry)
}
