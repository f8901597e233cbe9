//! The attempts to prove a binding: when the next one may be.

use std::time::Duration;

use tokio::time::Instant;
use wio_core::reasons::Disposition;
use wio_core::verification::Proof;

use super::edits::Edits;
use crate::runtime::backoff::pause;
use crate::runtime::jitter::jittered;

/// What is remembered of a binding's proof between passes.
#[derive(Debug, Default)]
pub(crate) struct Attempts {
    /// Nothing is exchanged before.
    not_before: Option<Instant>,
    /// The exchanges in a row that did not pass.
    failures: u32,
    /// The edits of the spec after which something was exchanged: who turns the proof off and on again is paced as who edits anything else.
    edits: Edits,
    /// When an exchange that passed is due again.
    due: Option<Instant>,
}

// === impl Attempts ===

impl Attempts {
    /// How long it is until something may be exchanged, or is due again; none when nothing is.
    pub(super) fn turn(&self) -> Option<Duration> {
        let now = Instant::now();
        let next = match (self.due, self.not_before) {
            (Some(due), Some(not_before)) => due.max(not_before),
            (due, None) => due?,
            (None, Some(_)) => return None,
        };
        Some(next.saturating_duration_since(now))
    }

    /// Waits until what was written has arrived, and for the turn of an edit.
    pub(super) fn settle(&mut self, settled: Option<Instant>, generation: i64) {
        let paced = self.edits.pause(generation).map(|pause| Instant::now() + pause);
        let later = settled.max(paced).filter(|at| *at > Instant::now());
        self.not_before = self.not_before.max(later);
    }

    pub(super) fn waits(&self) -> bool {
        self.not_before.is_some_and(|at| Instant::now() < at)
    }

    /// Takes in how it went: what did not pass is tried again with growing pauses.
    pub(super) fn tried(&mut self, proof: &Proof) {
        let left: Vec<Disposition> = proof.waits_for().map(|reason| Disposition::of(reason, None)).collect();
        if left.is_empty() {
            (self.failures, self.not_before) = (0, None);
            return;
        }
        self.failures = self.failures.saturating_add(1);
        let pause = pause(&left, self.failures).map(|pause| Instant::now() + pause.before_retry);
        self.not_before = pause;
    }

    pub(super) fn plan_next(&mut self, proof: &Proof) {
        let now = Instant::now();
        let again = proof
            .next_due()
            .map(|left| now + left + jittered(Duration::from_secs(1)));
        let pending = proof.waits_for().next().map(|_| self.not_before.unwrap_or(now));
        self.due = again.into_iter().chain(pending).min();
    }

    /// Nothing is known to be due.
    pub(crate) const fn forget_next(&mut self) {
        self.due = None;
    }

    /// Something is exchanged for a generation of the spec.
    pub(super) fn begin(&mut self, generation: i64) {
        self.edits.carried_out(generation);
    }
}
