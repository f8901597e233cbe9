//! The proof of a binding: what of it stands, what is due, and what comes of an answer.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use wio_api::{Reason, VerificationMode};

use super::answer::{Answer, Verdict};
use super::exchange::Exchange;
use crate::desired::{Desired, DesiredBinding, DesiredCredential};
use crate::names::ServiceAccountName;
use crate::observed::Observed;
use crate::ownership::usable;
use crate::plan::carries;
use crate::recorded::{Pending, RecordedExchange, Rewrites, after};

/// How long what was written has to arrive before Entra is asked: a request that comes too early can prolong the wait.
pub const SETTLING: Duration = Duration::from_secs(20);

/// When an exchange that passed is tried again: after this, and some hours more by chance, so that those that were first tried together are not for ever.
const AGAIN_AFTER: SignedDuration = SignedDuration::from_hours(20);
/// The most of these hours: a day is over by then.
const SPREAD_SECONDS: u64 = 4 * 60 * 60;
/// How long an exchange that passed is believed while no other one can be tried. That Entra cannot be reached from the operator says nothing about pods.
const BELIEVED: SignedDuration = SignedDuration::from_hours(48);

/// The proof of a binding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    exchanges: Vec<(Exchange, RecordedExchange)>,
    /// Whether a service account is not as it should be, so that there is nothing to exchange for it.
    incomplete: bool,
    /// Whether the spec says that nothing is to be done.
    suspended: bool,
    /// When other bindings last wrote the credentials, as far as that is known.
    rewritten: Rewrites,
    now: Timestamp,
}

/// Whose exchange stands where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// It passed, and not long ago.
    Proven,
    /// It passed, and the last one could not be tried.
    Believed,
    /// It did not pass yet.
    Unproven,
}

// === impl Proof ===

impl Proof {
    /// What stands of the proof by what was recorded; none when no proof is asked for, or there is no identity that could be proven.
    pub(crate) fn of(
        desired: &DesiredBinding,
        observed: &Observed,
        recorded: &[RecordedExchange],
        now: Timestamp,
    ) -> Option<Self> {
        if desired.verification == VerificationMode::None {
            return None;
        }
        // In whole seconds, as a status tells it.
        let now = Timestamp::from_second(now.as_second()).ok()?;
        let present = usable(desired, &observed.azure)?;
        // A token is minted of nobody but a bound service account that carries what makes its pods ask for the identity.
        let carrying = |account: &ServiceAccountName| {
            let wanted = desired.service_accounts.iter().find(|wanted| wanted.name == *account);
            let seen = observed.service_accounts.get(account);
            wanted
                .zip(seen)
                .is_some_and(|(wanted, seen)| carries(desired, seen, wanted, &present.facts))
        };
        let wanted = desired.credentials.iter();
        let exchanges = wanted
            .filter(|wanted| carrying(&wanted.account))
            .filter_map(|wanted| Exchange::new(wanted, present));
        let exchanges: Vec<(Exchange, RecordedExchange)> = exchanges
            .map(|exchange| {
                let record = recalled(&exchange, (recorded, &desired.rewritten), now);
                (exchange, record)
            })
            .collect();
        Some(Self {
            incomplete: exchanges.len() < desired.credentials.len(),
            exchanges,
            suspended: desired.suspended,
            rewritten: desired.rewritten.clone(),
            now,
        })
    }

    /// The service accounts whose tokens are exchanged when all that is planned is done: those of whom no exchange passed that rests on what stands
    /// then.
    #[must_use]
    pub fn foreseen(
        desired: &Desired,
        observed: &Observed,
        recorded: &[RecordedExchange],
        now: Timestamp,
    ) -> Vec<ServiceAccountName> {
        let Desired::Bound(desired) = desired else {
            return Vec::new();
        };
        if desired.verification == VerificationMode::None || desired.suspended {
            return Vec::new();
        }
        // One that is made anew has another client id.
        let present = usable(desired, &observed.azure);
        let stays = |wanted: &&DesiredCredential| {
            let exchange = present.map(|present| {
                Exchange::new(wanted, present).unwrap_or_else(|| Exchange::by(wanted, present, &wanted.name))
            });
            exchange.is_some_and(|exchange| !is_due(&recalled(&exchange, (recorded, &desired.rewritten), now), now))
        };
        let due = desired.credentials.iter().filter(|wanted| !stays(wanted));
        due.map(|wanted| wanted.account.clone()).collect()
    }

    /// What is to be exchanged now, if nothing else is to be done for the binding.
    #[must_use]
    pub fn due(&self) -> Vec<Exchange> {
        if self.suspended {
            return Vec::new();
        }
        let due = self.exchanges.iter().filter(|(_, record)| is_due(record, self.now));
        due.map(|(exchange, _)| exchange.clone()).collect()
    }

    /// How long it is until an exchange that passed is tried again; none when none passed, or nothing is to be tried.
    #[must_use]
    pub fn next_due(&self) -> Option<Duration> {
        let passed = self.exchanges.iter().filter(|(_, record)| record.pending.is_none());
        let left = passed.filter_map(|(_, record)| Some(again_at(record)?.duration_since(self.now)));
        let next = left.min().filter(|_| !self.suspended)?;
        Some(next.max(SignedDuration::ZERO).unsigned_abs())
    }

    /// Hears that other bindings write credentials anew: what was proven of them before proves nothing any more.
    pub fn hear(&mut self, rewritten: &Rewrites) {
        for (exchange, record) in &mut self.exchanges {
            if is_outdated(record, rewritten) {
                *record = unproven(exchange, self.now);
            }
        }
        self.rewritten.merge(rewritten);
    }

    /// How long it takes until what others wrote has had time to arrive, where a token is waited for because of that.
    #[must_use]
    pub fn settles_within(&self) -> Duration {
        let open = self.exchanges.iter().filter(|(_, record)| record.pending.is_some());
        let written = open.filter_map(|(exchange, _)| self.rewritten.of(&exchange.account));
        // A write is noted a second after what was proven, if need be. Of a clock that is further ahead nothing can be told.
        let ago = written.map(|at| self.now.duration_since(at));
        let told = ago.filter(|ago| ago.is_positive() || ago.unsigned_abs() <= SETTLING);
        let left = told.map(|ago| SETTLING.saturating_sub(ago.max(SignedDuration::ZERO).unsigned_abs()));
        left.max().unwrap_or_default()
    }

    /// Takes in what came of an exchange.
    pub fn take_in(&mut self, exchange: &Exchange, answer: &Answer) {
        let now = self.now;
        let Some((_, record)) = self.exchanges.iter_mut().find(|(tried, _)| tried == exchange) else {
            return;
        };
        let since = record.pending.as_ref().map_or(now, |pending| pending.since);
        let waited = now.duration_since(since).max(SignedDuration::ZERO).unsigned_abs();
        match answer.judge(exchange, waited) {
            None => {
                // Whatever the clock says: it was asked after all that was known to be written.
                let rewritten = self.rewritten.of(&exchange.account).map(after);
                (record.verified_at, record.pending) = (rewritten.max(Some(now)), None);
            }
            Some(Verdict { reason, message }) => {
                record.pending = Some(Pending { since, reason, message });
            }
        }
    }

    /// Why tokens are still waited for, exchange by exchange; nothing where none may be asked for.
    pub fn waits_for(&self) -> impl Iterator<Item = Reason> {
        let open = self.exchanges.iter().filter(|_| !self.suspended);
        open.filter_map(|(_, record)| Some(record.pending.as_ref()?.reason))
    }

    /// What is recorded of it.
    pub fn records(&self) -> impl Iterator<Item = &RecordedExchange> {
        self.exchanges.iter().map(|(_, record)| record)
    }

    /// What stands between the binding and being proven, the worst first; empty when it is proven.
    pub(crate) fn problems(&self) -> Vec<(Reason, String)> {
        let unproven = self.exchanges.iter().map(|(_, record)| record);
        let unproven: Vec<&RecordedExchange> = unproven
            .filter(|record| self.standing(record) == Standing::Unproven)
            .collect();
        if self.suspended && (self.incomplete || !unproven.is_empty()) {
            let message = "spec.suspend is true and Ready is not proven; set it to false to have a token exchanged";
            return vec![(Reason::Suspended, message.to_owned())];
        }
        let mut problems = pending(unproven.into_iter());
        if self.incomplete && problems.is_empty() {
            let message = "not every service account is as it should be, so Microsoft Entra is not asked yet";
            problems.push((Reason::TokenExchangeAwaited, message.to_owned()));
        }
        problems
    }

    /// Why exchanges that passed could not be tried again, though they are believed.
    pub(crate) fn untried(&self) -> Vec<(Reason, String)> {
        let all = self.exchanges.iter().map(|(_, record)| record);
        pending(all.filter(|record| self.standing(record) == Standing::Believed))
    }

    /// The service accounts whose tokens are exchanged.
    pub(crate) fn accounts(&self) -> impl Iterator<Item = &ServiceAccountName> {
        self.exchanges.iter().map(|(exchange, _)| &exchange.account)
    }

    fn standing(&self, record: &RecordedExchange) -> Standing {
        let believed = record
            .verified_at
            .is_some_and(|at| self.suspended || self.now.duration_since(at) < BELIEVED);
        match record.pending.as_ref().map(|pending| pending.reason) {
            None if believed => Standing::Proven,
            Some(Reason::TokenExchangeNotTried | Reason::TokenRequestForbidden) if believed => Standing::Believed,
            _ => Standing::Unproven,
        }
    }
}

fn is_due(record: &RecordedExchange, now: Timestamp) -> bool {
    record.pending.is_some() || again_at(record).is_none_or(|at| at <= now)
}

/// What was recorded of an exchange; where nothing was, or it rested on something else, also on a credential that was written anew since, a token is waited for from
/// now on.
fn recalled(
    exchange: &Exchange,
    (recorded, rewritten): (&[RecordedExchange], &Rewrites),
    now: Timestamp,
) -> RecordedExchange {
    let facts = exchange.facts();
    let same = |record: &&RecordedExchange| record.account == exchange.account && record.facts == facts;
    let before = recorded
        .iter()
        .find(same)
        .filter(|record| !is_outdated(record, rewritten));
    before.cloned().unwrap_or_else(|| unproven(exchange, now))
}

fn is_outdated(record: &RecordedExchange, rewritten: &Rewrites) -> bool {
    record
        .verified_at
        .is_some_and(|at| rewritten.outdate(&record.account, at))
}

fn unproven(exchange: &Exchange, now: Timestamp) -> RecordedExchange {
    RecordedExchange {
        account: exchange.account.clone(),
        facts: exchange.facts(),
        verified_at: None,
        pending: Some(Pending {
            since: now,
            reason: Reason::TokenExchangeAwaited,
            message: format!(
                "Microsoft Entra was not asked yet for a token in exchange for that of service account {}; it is when what was written has had time to \
                 arrive",
                exchange.account
            ),
        }),
    }
}

/// Why tokens are waited for, the worst first.
fn pending<'a>(records: impl Iterator<Item = &'a RecordedExchange>) -> Vec<(Reason, String)> {
    let mut all: Vec<(Reason, String)> = records
        .map(|record| match &record.pending {
            Some(pending) => (pending.reason, pending.message.clone()),
            None => (
                Reason::TokenExchangeAwaited,
                format!(
                    "the last token in exchange for that of service account {} is more than two days old, and the operator asks for another one",
                    record.account
                ),
            ),
        })
        .collect();
    all.sort_by_key(|(reason, _)| rank(*reason));
    all
}

const fn rank(reason: Reason) -> u8 {
    match reason {
        Reason::TokenExchangeRefused => 0,
        Reason::TokenRequestForbidden => 1,
        Reason::TokenExchangeNotTried => 2,
        _ => 3,
    }
}

/// When an exchange that passed is tried again.
fn again_at(record: &RecordedExchange) -> Option<Timestamp> {
    let verified_at = record.verified_at?;
    let spread = SignedDuration::from_secs(i64::try_from(spread(record, verified_at)).unwrap_or_default());
    verified_at.checked_add(AGAIN_AFTER).ok()?.checked_add(spread).ok()
}

/// A number of seconds that differs from exchange to exchange and from day to day, and is the same whoever asks.
fn spread(record: &RecordedExchange, verified_at: Timestamp) -> u64 {
    let seed = verified_at.as_second().unsigned_abs();
    let mixed = record
        .facts
        .bytes()
        .fold(seed, |sum, byte| sum.wrapping_mul(0x0100_0000_01b3) ^ u64::from(byte));
    mixed % SPREAD_SECONDS
}
