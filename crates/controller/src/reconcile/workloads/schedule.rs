//! When the pods of a binding are looked at.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use tokio::time::Instant;
use wio_api::{WorkloadIdentityBindingStatus, WorkloadsStatus};
use wio_core::rollout::is_unfinished;
use wio_core::status::misses_some;

use crate::runtime::jitter::{jittered, within};

/// The pause before the first look after one that showed pods without a token: whoever was told creates them anew by then.
const AGAIN: Duration = Duration::from_mins(2);

/// How long a binding is as it is before owners of pods are restarted for it: Entra knows everywhere by then what Azure was told, and whoever made a mistake
/// has mended it.
const SETTLING: Duration = Duration::from_mins(5);

/// When the pods of a binding are looked at.
#[derive(Clone, Debug)]
pub(crate) struct Schedule {
    /// What they were last looked at for.
    subject: u64,
    next: Instant,
    /// How often they are looked at when nothing is missed.
    interval: Duration,
    /// Since when it is the same and stands, as far as this process knows; none while the binding is not as it is to be.
    since: Option<Instant>,
    /// Whether it stands by the last pass.
    stands: bool,
    /// How many looks in a row showed pods without a token.
    missing: u32,
    /// What was seen last, until a status tells of it.
    untold: Option<WorkloadsStatus>,
}

// === impl Schedule ===

impl Schedule {
    /// The first one of this process. What a status tells already is looked at within an interval, so that the bindings of a cluster do not
    /// all look when the operator starts.
    pub(super) fn begin(
        previous: Option<&WorkloadIdentityBindingStatus>,
        next: &WorkloadIdentityBindingStatus,
        interval: Duration,
    ) -> Self {
        let now = Instant::now();
        let known = previous.filter(|previous| subject(previous) == subject(next));
        let missing = |status: &WorkloadIdentityBindingStatus| {
            let seen = status.workloads.as_ref();
            seen.is_some_and(|seen| misses_some(seen) || is_unfinished(seen))
        };
        let pause = known.map_or(Duration::ZERO, |known| {
            within(if missing(known) { AGAIN.min(interval) } else { interval })
        });
        Self {
            subject: subject(next),
            next: now + pause,
            interval,
            since: None,
            stands: false,
            missing: 0,
            untold: None,
        }
    }

    /// Whether it is time, or something changed.
    pub(super) fn is_due(&self, next: &WorkloadIdentityBindingStatus) -> bool {
        self.next <= Instant::now() || self.subject != subject(next)
    }

    /// Whether it has been the same for long enough for what rests on it to be restarted.
    pub(super) fn has_settled(&self, next: &WorkloadIdentityBindingStatus, interval: Duration) -> bool {
        let settled = |since: Instant| since.elapsed() >= SETTLING.min(interval);
        self.subject == subject(next) && self.since.is_some_and(settled)
    }

    /// The binding is not as it is to be, or was not until this pass.
    pub(super) fn unsettle(&mut self) {
        (self.since, self.stands) = (None, false);
    }

    /// The binding is about to be told to be as it is to be, or not.
    pub(super) const fn settle_if(&mut self, stands: bool) {
        self.stands = stands;
    }

    /// Something was seen, and it is not told yet.
    pub(super) fn keep(&mut self, seen: &WorkloadsStatus) {
        self.untold = Some(seen.clone());
    }

    /// What was seen and stands in no status, because it could not be written: whoever was restarted is among it.
    pub(super) const fn untold(&self) -> Option<&WorkloadsStatus> {
        self.untold.as_ref()
    }

    /// A status was written, or stands there already. Where the binding was not as it is to be before, it stands from now on, also when a cache that is behind shows
    /// that it was.
    pub(crate) fn told(&mut self) {
        self.untold = None;
        if self.stands {
            self.since.get_or_insert_with(Instant::now);
        }
    }

    /// Something was restarted: how it goes is looked at as soon as after a first look.
    pub(super) fn restarted(&mut self) {
        self.missing = 0;
    }

    /// They were looked at, and some lack a token or are being restarted, or not.
    pub(super) fn looked(&mut self, at: &WorkloadIdentityBindingStatus, missing: bool, interval: Duration) {
        let subject = subject(at);
        self.missing = match (missing, subject == self.subject) {
            (false, _) => 0,
            (true, false) => 1,
            (true, true) => self.missing.saturating_add(1),
        };
        if subject != self.subject {
            (self.subject, self.since) = (subject, None);
        }
        let pause = match self.missing {
            0 => interval,
            // Pods that stay as they are cost no more than others, in the end.
            n => AGAIN.saturating_mul(1 << (n - 1).min(16)).min(interval),
        };
        self.next = Instant::now() + jittered(pause);
    }

    /// How long it is until the next look, at the end of a pass. A look that was due and was not possible, because the binding is held or Azure could not be
    /// read, is no reason to begin again at once: whatever ends that has its own pass, which looks.
    pub(crate) fn pause(&self) -> Duration {
        match self.next.saturating_duration_since(Instant::now()) {
            Duration::ZERO => jittered(self.interval),
            pause => pause,
        }
    }
}

/// What a look is about: whatever changes of it has the pods looked at.
fn subject(status: &WorkloadIdentityBindingStatus) -> u64 {
    let mut hasher = DefaultHasher::new();
    status.observed_generation.hash(&mut hasher);
    let identity = status.identity.as_ref();
    identity
        .and_then(|identity| identity.client_id.as_deref())
        .hash(&mut hasher);
    for account in &status.service_accounts {
        (&account.name, &account.uid).hash(&mut hasher);
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_hours(1);

    fn status(generation: i64, without_token: u32) -> WorkloadIdentityBindingStatus {
        WorkloadIdentityBindingStatus {
            observed_generation: Some(generation),
            workloads: Some(WorkloadsStatus {
                without_token,
                ..WorkloadsStatus::default()
            }),
            ..WorkloadIdentityBindingStatus::default()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_new_or_changed_is_looked_at_at_once() {
        assert!(Schedule::begin(None, &status(1, 0), HOUR).is_due(&status(1, 0)));
        let mut schedule = Schedule::begin(Some(&status(1, 0)), &status(2, 0), HOUR);
        assert!(schedule.is_due(&status(2, 0)));
        schedule.looked(&status(2, 0), false, HOUR);
        assert!(!schedule.is_due(&status(2, 0)));
        assert!(schedule.is_due(&status(3, 0)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_look_that_was_due_and_not_possible_has_nobody_begin_again_at_once() {
        let mut schedule = Schedule::begin(None, &status(1, 0), HOUR);
        schedule.looked(&status(1, 0), false, HOUR);
        tokio::time::advance(HOUR * 2).await;
        assert!(schedule.is_due(&status(1, 0)));
        assert!(schedule.pause() >= HOUR / 2, "{:?}", schedule.pause());
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_restart_what_is_told_is_looked_at_within_an_interval() {
        let pauses = |missing| {
            (0..50).map(move |_| Schedule::begin(Some(&status(1, missing)), &status(1, missing), HOUR).pause())
        };
        assert!(pauses(0).all(|pause| pause <= HOUR) && pauses(0).any(|pause| pause > HOUR / 4));
        assert!(pauses(1).all(|pause| pause <= AGAIN));
    }

    /// It was not ready for a minute, in which no pass was made, and the cache showed the status of before: it was taken for settled since it had been seen last.
    #[tokio::test(start_paused = true)]
    async fn a_binding_stands_from_when_it_is_seen_to_and_not_from_when_it_was_last_seen_not_to() {
        let mut schedule = Schedule::begin(None, &status(1, 1), HOUR);
        let told_ready = |schedule: &mut Schedule| {
            schedule.settle_if(true);
            schedule.told();
        };
        told_ready(&mut schedule);
        schedule.unsettle();
        tokio::time::advance(HOUR).await;
        schedule.settle_if(true);
        tokio::time::advance(HOUR).await;
        told_ready(&mut schedule);
        assert!(!schedule.has_settled(&status(1, 1), HOUR));
        tokio::time::advance(SETTLING).await;
        told_ready(&mut schedule);
        assert!(schedule.has_settled(&status(1, 1), HOUR));
    }

    #[tokio::test(start_paused = true)]
    async fn while_pods_lack_a_token_looks_follow_soon_and_then_as_seldom_as_ever() {
        let mut schedule = Schedule::begin(None, &status(1, 1), HOUR);
        let mut pauses = Vec::new();
        for _ in 0..8 {
            schedule.looked(&status(1, 1), true, HOUR);
            pauses.push(schedule.pause());
        }
        assert!(pauses[0] <= AGAIN.mul_f64(1.2), "{pauses:?}");
        assert!(
            pauses[7] >= HOUR.mul_f64(0.8) && pauses[7] <= HOUR.mul_f64(1.2),
            "{pauses:?}"
        );
        schedule.looked(&status(1, 0), false, HOUR);
        schedule.looked(&status(1, 1), true, HOUR);
        assert!(schedule.pause() <= AGAIN.mul_f64(1.2), "another fault");
    }
}
