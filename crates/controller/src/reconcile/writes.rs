//! The writes that were sent for each binding, and by whom: as long as one of them may still arrive, no deletion is confirmed. By binding
//! and not by identity: what others write there cannot be this one's, and must not keep its deletion waiting. Deletions of identities are
//! remembered by identity as well: one may land on what a binding of the same name makes anew.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use wio_core::fault::Fault;
use wio_core::landing::{LANDING, Writes, until_landed};
use wio_core::names::{BindingUid, IdentityId};
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
    /// When the last deletion of an identity was given up that got no answer.
    identities: HashMap<IdentityId, Instant>,
    /// With so many the old ones are forgotten.
    forget_at: usize,
}

/// When the last writes for one binding were answered or given up.
#[derive(Clone, Copy, Debug, Default)]
struct Last {
    /// Any that gives something.
    any: Option<Instant>,
    /// One of those that got no answer.
    unanswered: Option<Instant>,
    /// A deletion that got no answer.
    deletion: Option<Instant>,
}

/// What a write does.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Write<'a> {
    /// It gives something.
    Gives,
    /// It deletes something that is no identity.
    Deletes,
    /// It deletes this identity.
    DeletesIdentity(&'a IdentityId),
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

/// What was known before a write.
struct Before {
    binding: Last,
    identity: Option<Instant>,
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

    /// Waits for a write to Azure to end, and remembers when and how it did. One that is broken off is unanswered. Without a binding it is
    /// for one that is gone.
    pub(crate) async fn watch<T>(
        &self,
        uid: Option<&BindingUid>,
        kind: Write<'_>,
        write: impl Future<Output = Result<T, Fault>>,
    ) -> Result<T, Fault> {
        let before = self.begin(uid, kind);
        let ended = write.await;
        let unanswered = ended.as_ref().is_err_and(|fault| !fault.is_refusal());
        self.end(uid, kind, (before, unanswered));
        ended
    }

    /// Takes a write for unanswered until it ends, and returns what was known before.
    fn begin(&self, uid: Option<&BindingUid>, kind: Write<'_>) -> Before {
        let now = Instant::now();
        let mut sent = self.lock();
        sent.forget(now);
        let last = uid.map(|uid| sent.by_binding.entry(uid.clone()).or_default());
        let before = Before {
            binding: last.as_deref().copied().unwrap_or_default(),
            identity: None,
        };
        if let Some(last) = last {
            last.sent(kind, now, Some(now));
        }
        let Write::DeletesIdentity(id) = kind else {
            return before;
        };
        Before {
            identity: sent.identities.insert(id.clone(), now),
            ..before
        }
    }

    fn end(&self, uid: Option<&BindingUid>, kind: Write<'_>, (before, unanswered): (Before, bool)) {
        let now = Instant::now();
        let mut sent = self.lock();
        if let Some(uid) = uid {
            let former = match kind {
                Write::Gives => before.binding.unanswered,
                Write::Deletes | Write::DeletesIdentity(_) => before.binding.deletion,
            };
            let last = sent.by_binding.entry(uid.clone()).or_default();
            last.sent(kind, now, if unanswered { Some(now) } else { former });
        }
        if let Write::DeletesIdentity(id) = kind {
            let last = if unanswered { Some(now) } else { before.identity };
            match last {
                Some(at) => sent.identities.insert(id.clone(), at),
                None => sent.identities.remove(id),
            };
        }
    }

    /// The writes for a binding by their age, with those that an earlier operator may have sent.
    pub(crate) fn of(&self, uid: &BindingUid, begun: Begun) -> Writes {
        let last = self.lock().by_binding.get(uid).copied().unwrap_or_default();
        let age = |at: Option<Instant>| at.map(|at| at.elapsed());
        Writes {
            last: age(last.any),
            unanswered: age(last.unanswered),
            deletion: age(last.deletion),
            by_an_earlier_operator: (!begun.here).then(|| self.leads_for()),
        }
    }

    /// How long a deletion of an identity that got no answer can still take what is made anew there; none when none can.
    pub(crate) fn until_deleted(&self, identity: &IdentityId) -> Option<Duration> {
        let at = self.lock().identities.get(identity).copied();
        at.and_then(|at| until_landed(at.elapsed()))
    }

    fn leads_for(&self) -> Duration {
        self.leadership.since().map_or(Duration::ZERO, |since| since.elapsed())
    }

    fn lock(&self) -> MutexGuard<'_, Sent> {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Sent ===

impl Sent {
    /// Forgets what has landed, when there is much of it.
    fn forget(&mut self, now: Instant) {
        const FEW: usize = 64;
        if self.by_binding.len() + self.identities.len() < self.forget_at {
            return;
        }
        let young = |at: Instant| now.duration_since(at) < LANDING;
        self.by_binding.retain(|_, last| last.latest().is_some_and(young));
        self.identities.retain(|_, at| young(*at));
        self.forget_at = FEW.max((self.by_binding.len() + self.identities.len()) * 2);
    }
}

// === impl Last ===

impl Last {
    /// A write was sent or ended now, and this is the last of its kind that got no answer.
    const fn sent(&mut self, kind: Write<'_>, now: Instant, unanswered: Option<Instant>) {
        match kind {
            Write::Gives => (self.any, self.unanswered) = (Some(now), unanswered),
            Write::Deletes | Write::DeletesIdentity(_) => self.deletion = unanswered,
        }
    }

    fn latest(&self) -> Option<Instant> {
        self.any.max(self.unanswered).max(self.deletion)
    }
}
