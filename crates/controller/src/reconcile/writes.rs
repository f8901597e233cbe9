//! The writes that were sent for each binding, and by whom: as long as one of them may still arrive, no deletion is confirmed. By binding
//! and not by identity: what others write there cannot be this one's, and must not keep its deletion waiting.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use wio_core::fault::Fault;
use wio_core::landing::{LANDING, Writes};
use wio_core::names::BindingUid;
use wio_core::recorded::Recorded;

use crate::runtime::leadership::Leadership;

/// The writes of this process, by binding.
#[derive(Debug)]
pub(crate) struct SentWrites {
    leadership: Leadership,
    sent: Mutex<Sent>,
}

#[derive(Debug, Default)]
struct Sent {
    by_binding: HashMap<BindingUid, Last>,
    /// With so many the old ones are forgotten.
    forget_at: usize,
}

/// When the last writes for one binding were answered or given up.
#[derive(Clone, Copy, Debug)]
struct Last {
    any: Instant,
    unanswered: Option<Instant>,
}

/// Who may have written for a binding, to Azure or to a service account.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Begun {
    /// This process set the finalizer, and nothing had been written before: no earlier one did.
    here: bool,
    /// The status said when the pass began that something had been written.
    told: bool,
    /// This process sent a write that was not certainly refused, or found something that an earlier write made.
    has_written: bool,
}

// === impl Begun ===

impl Begun {
    /// Hears what the status says, and tells whether something may have been written: what this process announced and Azure refused each
    /// time was not.
    pub(crate) fn hear(&mut self, recorded: &Recorded) -> bool {
        self.told = recorded.written;
        self.may_have_written()
    }

    /// This process has set the finalizer, on the object as the cache shows it.
    pub(crate) fn finalizer_is_set(&mut self, recorded: &Recorded) {
        self.here = recorded.nothing_was_written();
    }

    /// Something may have been written by now, or not yet.
    pub(crate) const fn wrote(&mut self, something: bool) {
        self.has_written |= something;
    }

    /// Whether something may have been written for the binding.
    pub(crate) const fn may_have_written(self) -> bool {
        self.has_written || (self.told && !self.here)
    }
}

// === impl SentWrites ===

impl SentWrites {
    /// No writes. What an earlier operator wrote, it wrote before this one led.
    pub(crate) fn new(leadership: Leadership) -> Self {
        Self {
            leadership,
            sent: Mutex::default(),
        }
    }

    /// Waits for a write to Azure to end, and remembers when and how it did. One that is broken off is unanswered.
    pub(crate) async fn watch<T>(
        &self,
        uid: &BindingUid,
        write: impl Future<Output = Result<T, Fault>>,
    ) -> Result<T, Fault> {
        let before = self.begin(uid);
        let ended = write.await;
        let unanswered = ended.as_ref().is_err_and(|fault| !fault.is_refusal());
        let now = Instant::now();
        let last = Last {
            any: now,
            unanswered: if unanswered { Some(now) } else { before },
        };
        self.lock().by_binding.insert(uid.clone(), last);
        ended
    }

    /// Returns when a write was unanswered before.
    fn begin(&self, uid: &BindingUid) -> Option<Instant> {
        const FEW: usize = 64;
        let now = Instant::now();
        let mut sent = self.lock();
        if sent.by_binding.len() >= sent.forget_at {
            sent.by_binding.retain(|_, last| now.duration_since(last.any) < LANDING);
            sent.forget_at = FEW.max(sent.by_binding.len() * 2);
        }
        let begun = Last {
            any: now,
            unanswered: Some(now),
        };
        sent.by_binding.insert(uid.clone(), begun)?.unanswered
    }

    /// The writes for a binding by their age, with those that an earlier operator may have sent.
    pub(crate) fn of(&self, uid: &BindingUid, begun: Begun) -> Writes {
        let last = self.lock().by_binding.get(uid).copied();
        Writes {
            last: last.map(|last| last.any.elapsed()),
            unanswered: last.and_then(|last| last.unanswered).map(|at| at.elapsed()),
            by_an_earlier_operator: (!begun.here).then(|| self.leads_for()),
        }
    }

    fn leads_for(&self) -> Duration {
        self.leadership.since().map_or(Duration::ZERO, |since| since.elapsed())
    }

    fn lock(&self) -> MutexGuard<'_, Sent> {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
