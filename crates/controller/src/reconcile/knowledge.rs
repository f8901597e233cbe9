//! What is remembered of each binding between reconciles. All of it may be lost: it saves reads and repeated writes,
//! and nothing is decided by it that a look at the world would not decide.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use litemap::LiteMap;
use tokio::time::Instant;
use wio_core::desired::Desired;
use wio_core::drift::{Listed, differs};
use wio_core::names::{BindingUid, ServiceAccountName};
use wio_core::observed::{AzureState, ObservedServiceAccount, Tags};
use wio_core::recorded::Rewrites;

use super::at_rest::{AtRest, Awake};
use super::attempts::Attempts;
use super::clean::Clean;
use super::doubt::Doubt;
use super::edits::Edits;
use super::errand::{Errand, NotBefore};
use super::exports::Seen;
use super::looks::{Looks, Requests};
use super::service_accounts::contested::Contested;
use super::shown::LastShown;
use super::workloads::schedule::Schedule;
use super::writes::Begun;
use crate::runtime::jitter::{jittered, within};
use crate::runtime::own_write::OwnWrite;
use crate::runtime::packing::Packer;

/// What is remembered, one slot for each binding.
#[derive(Debug)]
pub(crate) struct Slots {
    remembered: Mutex<Remembered>,
    drift_interval: Duration,
}

#[derive(Debug, Default)]
struct Remembered {
    slots: HashMap<BindingUid, Box<Slot>>,
    packer: Packer,
}

/// How often Azure is looked at for a binding.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// Where lists and the activity log do not follow all that it has.
    pub(crate) drift: Duration,
    /// Where they do.
    pub(crate) sweep: Duration,
}

/// What a list or the activity log shows of a binding.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Shown<'a> {
    /// Its identity, or none.
    Identity(Option<Listed<'a>>),
    /// Role assignments that are not as they were given.
    Roles,
    /// A change by somebody else, so long ago.
    Change(Duration),
}

/// What is remembered of one binding, and what others said of it. A pass takes the memory out and puts it back; what others say
/// meanwhile stays in the slot.
#[derive(Debug, Default)]
struct Slot {
    /// What a pass remembered, but for what it knew of Azure.
    memory: Memory,
    azure: Knowledge<AtRest>,
    /// Whether another binding took something away from Azure that this one may rest on.
    invalidated: bool,
    /// Whether what is known is doubted, because something was shown.
    doubt: Doubt,
    /// Whether a service account has changed that this one names.
    account_changed: bool,
    /// Whether we took our finalizer off.
    finalizer_released: bool,
    /// When other bindings wrote credentials on which its proof rests; none when none did.
    rewritten: Option<Box<Rewrites>>,
}

/// What a pass over a binding remembers for the next one.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    /// What is known of Azure.
    pub(crate) azure: Knowledge,
    /// What is known of Azure while the binding may have nothing and has nothing.
    pub(crate) clean: Option<Box<Clean>>,
    /// How looks at Azure went.
    pub(crate) looks: Looks,
    /// What somebody asked for by an annotation.
    pub(crate) requests: Requests,
    /// How many reconciles in a row did not come to an end, and for which generation.
    pub(crate) failures: Failures,
    /// Before this Azure does not want to be asked again.
    pub(crate) not_before: NotBefore,
    /// The edits of its spec that were carried out.
    pub(crate) edits: Edits,
    /// How long it has been waiting for Azure's budgets.
    pub(crate) waiting: Option<Waiting>,
    /// How many passes in a row were overtaken by a change.
    pub(crate) overtaken: u32,
    /// How long nothing may be given in this very pass.
    pub(crate) grants_wait: Option<Duration>,
    /// What the API server showed in this pass.
    pub(crate) shown: LastShown,
    /// Who may have written to Azure for the binding.
    pub(crate) begun: Begun,
    /// The last write to the binding itself: its finalizer or its status.
    pub(crate) written: Option<OwnWrite>,
    /// The service accounts that were last written, until a pass finds that the cache shows it.
    pub(crate) accounts: Written,
    /// The ConfigMaps that it exports into, as they were last seen or written.
    pub(crate) exports: Seen,
    /// The tags that Azure keeps at other values than were written.
    pub(crate) overruled: Overruled,
    /// The service accounts that somebody else may change back.
    pub(crate) contested: Contested,
    /// How its proof goes; none where none was ever asked for.
    pub(crate) attempts: Option<Box<Attempts>>,
    /// When its pods are looked at; none when they were not, or are not to be.
    pub(crate) workloads: Option<Box<Schedule>>,
}

/// What is known of Azure for one binding.
#[derive(Clone, Debug, Default)]
pub(crate) enum Knowledge<S = Awake> {
    /// Nothing; what the status says may be believed.
    #[default]
    Unread,
    /// Nothing; what the status says may be wrong as well.
    Invalid,
    /// Azure as it was last seen or written.
    Known {
        state: S,
        /// The next drift check.
        check_at: Instant,
        /// The next one that is not spared because lists and the log show nothing.
        sweep_at: Instant,
    },
    /// The same, though something happened that says that it may be wrong.
    Suspect { state: S, check_at: Instant },
}

/// Whether Azure is to be read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Read<'a> {
    /// Not now: this is known.
    NotYet(&'a AzureState),
    /// Not if the status tells enough.
    UnlessRecorded,
    /// Now.
    Now,
}

/// How long a binding has been waiting for Azure's budgets, and whether its status says so.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waiting {
    pub(crate) since: Instant,
    pub(crate) told: bool,
}

/// Reconciles in a row that did not come to an end.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Failures {
    generation: i64,
    count: u32,
    /// What the last one was about, when it met something that a person has to mend.
    stalled: Option<Errand>,
}

/// The tags of an identity that Azure keeps at other values than were written, and how long they are not written again.
#[derive(Clone, Debug, Default)]
pub(crate) struct Overruled {
    tags: BTreeSet<String>,
    until: Option<Instant>,
}

/// The service accounts that were last written, as our writes left them.
pub(crate) type Written = LiteMap<ServiceAccountName, Box<WrittenAccount>>;

/// A service account as our write left it.
#[derive(Clone, Debug)]
pub(crate) struct WrittenAccount {
    pub(crate) write: OwnWrite,
    pub(crate) result: ObservedServiceAccount,
}

// === impl Slots ===

impl Slots {
    /// Nothing is remembered; drift is checked this often, give or take a fifth.
    pub(crate) fn new(drift_interval: Duration) -> Self {
        Self {
            remembered: Mutex::default(),
            drift_interval,
        }
    }

    /// How often drift is checked.
    pub(crate) const fn drift_interval(&self) -> Duration {
        self.drift_interval
    }

    /// Takes out what is remembered of a binding, for one pass.
    pub(crate) fn take(&self, uid: &BindingUid) -> Memory {
        let slots = &mut self.lock().slots;
        let slot = slots.entry(uid.clone()).or_default();
        let mut memory = std::mem::take(&mut slot.memory);
        memory.azure = std::mem::take(&mut slot.azure).awake();
        if std::mem::take(&mut slot.invalidated) {
            memory.azure.invalidate();
            memory.clean = None;
        }
        if slot.doubt.take() {
            memory.azure.look_now();
            memory.clean = None;
        }
        if std::mem::take(&mut slot.account_changed) {
            memory.shown.forget_accounts();
        }
        memory
    }

    /// Takes in what a list or the log shows of a binding; tells whether it is to be woken, to look for itself.
    pub(crate) fn doubt(&self, uid: &BindingUid, shown: Shown<'_>) -> bool {
        let slots = &mut self.lock().slots;
        let Some(slot) = slots.get_mut(uid) else { return false };
        match shown {
            Shown::Change(age) => slot.doubt.by_change(age),
            Shown::Roles => slot.doubt.by_list(),
            Shown::Identity(listed) => {
                let known = slot.azure.known().and_then(AtRest::state);
                known.is_some_and(|known| differs(&known, listed)) && slot.doubt.by_list()
            }
        }
    }

    /// Puts back what a pass remembers, unless the binding was forgotten meanwhile.
    pub(crate) fn put(&self, uid: &BindingUid, mut memory: Memory) {
        memory.shown.end();
        let Remembered { slots, packer } = &mut *self.lock();
        if let Some(slot) = slots.get_mut(uid) {
            slot.doubt.saw(&memory.looks);
            slot.azure = std::mem::take(&mut memory.azure).at_rest(packer);
            slot.memory = memory;
        }
    }

    /// Another binding took away from Azure what this one may rest on: it reads at its next pass.
    pub(crate) fn invalidate(&self, uid: &BindingUid) {
        self.lock().slots.entry(uid.clone()).or_default().invalidated = true;
    }

    /// Other bindings are about to write credentials on which the proof of a binding rests.
    pub(crate) fn hear(&self, uid: &BindingUid, rewritten: &Rewrites) {
        let slots = &mut self.lock().slots;
        let slot = slots.entry(uid.clone()).or_default();
        slot.rewritten.get_or_insert_default().merge(rewritten);
    }

    /// The credentials of which it was heard that other bindings wrote them.
    pub(crate) fn heard(&self, uid: &BindingUid) -> Rewrites {
        let slots = &self.lock().slots;
        let heard = slots.get(uid).and_then(|slot| slot.rewritten.as_deref().cloned());
        heard.unwrap_or_default()
    }

    /// A service account has changed that a binding names: what was read of it is not believed any more.
    pub(crate) fn account_changed(&self, uid: &BindingUid) {
        if let Some(slot) = self.lock().slots.get_mut(uid) {
            slot.account_changed = true;
        }
    }

    /// Our finalizer is about to be taken off by us.
    pub(crate) fn release_finalizer(&self, uid: &BindingUid) {
        self.lock().slots.entry(uid.clone()).or_default().finalizer_released = true;
    }

    /// Whether we took our finalizer off.
    pub(crate) fn finalizer_is_released(&self, uid: &BindingUid) -> bool {
        self.lock().slots.get(uid).is_some_and(|slot| slot.finalizer_released)
    }

    /// Forgets a binding.
    pub(crate) fn forget(&self, uid: &BindingUid) {
        self.lock().slots.remove(uid);
    }

    /// Forgets all but these, and returns how many: events of deletions get lost when a watch begins anew.
    pub(crate) fn retain(&self, uids: &HashSet<String>) -> usize {
        let slots = &mut self.lock().slots;
        let before = slots.len();
        slots.retain(|uid, _| uids.contains(uid.as_str()));
        before - slots.len()
    }

    /// A panic elsewhere cannot leave a map of plain values half written in a way that matters.
    fn lock(&self) -> MutexGuard<'_, Remembered> {
        self.remembered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Memory ===

impl Memory {
    /// Hears what somebody asks for by an annotation: Azure is read in this pass, or when its turn comes.
    pub(crate) fn hear(&mut self, asked: Option<&str>) {
        // When an exchange is due is known anew where the pass comes to it. One that does not come to it would begin again at once.
        self.attempts.iter_mut().for_each(|attempts| attempts.forget_next());
        if self.requests.heed(asked) {
            self.azure.invalidate();
        }
    }
}

// === impl Knowledge ===

impl Knowledge {
    /// Azure as it was read just now, or as it must be for a new binding.
    pub(crate) fn read(state: AzureState, pace: Pace) -> Self {
        Self::seen(state, jittered(pace.drift), jittered(pace.sweep))
    }

    /// Azure as the status left it: the first drift checks after a restart are spread over a whole interval, but for its beginning, in which the
    /// lists come that may spare them.
    pub(crate) fn after_restart(state: AzureState, pace: Pace) -> Self {
        let lists = pace.drift / 10;
        let first = lists + within(pace.drift.saturating_sub(lists));
        Self::seen(state, first, within(pace.sweep))
    }

    fn seen(state: AzureState, check_in: Duration, sweep_in: Duration) -> Self {
        let now = Instant::now();
        Self::Known {
            state: Awake::new(state),
            check_at: now + check_in,
            sweep_at: now + sweep_in,
        }
    }

    /// Whether a drift check is due that lists and the log can spare.
    pub(crate) fn may_be_spared(&self, now: Instant) -> bool {
        matches!(self, Self::Known { check_at, sweep_at, .. } if *check_at <= now && now < *sweep_at)
    }

    /// Spares a drift check, because lists and the log follow all that the binding has, and show nothing.
    pub(crate) fn spare(&mut self, drift_interval: Duration) {
        if let Self::Known { check_at, sweep_at, .. } = self {
            *check_at = (Instant::now() + jittered(drift_interval)).min(*sweep_at);
        }
    }

    /// Something was shown: Azure is read at the next pass. What is known stands until that went well.
    pub(crate) fn look_now(&mut self) {
        let now = Instant::now();
        match self {
            Self::Unread | Self::Invalid => *self = Self::Invalid,
            Self::Known { check_at, sweep_at, .. } => (*check_at, *sweep_at) = (now, now),
            Self::Suspect { check_at, .. } => *check_at = now,
        }
    }

    /// Azure as it was last seen or written, however long ago.
    pub(crate) fn state(&self) -> Option<&AzureState> {
        self.known().map(Awake::state)
    }

    /// Whether Azure is to be read at this time.
    pub(crate) fn to_read(&self, now: Instant) -> Read<'_> {
        match self {
            Self::Unread => Read::UnlessRecorded,
            Self::Invalid => Read::Now,
            Self::Known { state, check_at, .. } | Self::Suspect { state, check_at } => {
                if now < *check_at {
                    Read::NotYet(state.state())
                } else {
                    Read::Now
                }
            }
        }
    }

    /// Puts off a read that was due only because time went by: what is known, unless it is doubted.
    pub(crate) fn put_off(&mut self, drift_interval: Duration, retry_after: Option<Duration>) -> Option<AzureState> {
        let known = self.wait_for_budget(drift_interval, retry_after.unwrap_or_default())?;
        // It is due, and no list spares it.
        if let Self::Known { check_at, sweep_at, .. } = self {
            *sweep_at = *check_at;
        }
        Some(known)
    }

    /// The same for a read that was not sent, for want of budget: what lists can spare, they may spare yet.
    pub(crate) fn wait_for_budget(&mut self, drift_interval: Duration, ready_in: Duration) -> Option<AzureState> {
        const MOST: Duration = Duration::from_mins(5);
        let Self::Known {
            state,
            check_at,
            sweep_at,
        } = self
        else {
            return None;
        };
        let now = Instant::now();
        let pause = jittered((drift_interval / 4).min(MOST));
        *check_at = now + pause.max(ready_in);
        if *sweep_at <= now {
            *sweep_at = *check_at;
        }
        Some(state.state().clone())
    }

    /// What is known and what the status says may be wrong: Azure is read at the next pass.
    pub(crate) fn invalidate(&mut self) {
        *self = Self::Invalid;
    }

    /// What is known may be wrong: Azure is read in this time at the latest.
    pub(crate) fn suspect(&mut self, time: Duration) {
        let by = Instant::now() + time;
        match std::mem::take(self) {
            Self::Known { state, check_at, .. } | Self::Suspect { state, check_at } => {
                *self = Self::Suspect {
                    state,
                    check_at: check_at.min(by),
                };
            }
            nothing @ (Self::Unread | Self::Invalid) => *self = nothing,
        }
    }

    /// Azure as it is after our own writes; when it is due to be read does not change.
    pub(crate) fn written(&mut self, written: &AzureState) {
        match self {
            Self::Known { state, .. } | Self::Suspect { state, .. } => state.write(written),
            Self::Unread | Self::Invalid => {}
        }
    }

    /// How long it is until Azure is to be read.
    pub(crate) fn next_check(&self) -> Option<Duration> {
        match self {
            Self::Known { check_at, .. } | Self::Suspect { check_at, .. } => {
                Some(check_at.saturating_duration_since(Instant::now()))
            }
            Self::Unread | Self::Invalid => None,
        }
    }
}

impl Knowledge {
    /// The same, to be kept until the next pass.
    fn at_rest(self, packer: &mut Packer) -> Knowledge<AtRest> {
        self.with(|state| Some(state.rest(packer)))
    }
}

impl Knowledge<AtRest> {
    /// The same, for a pass.
    fn awake(self) -> Knowledge {
        self.with(AtRest::awake)
    }
}

impl<S> Knowledge<S> {
    const fn known(&self) -> Option<&S> {
        match self {
            Self::Unread | Self::Invalid => None,
            Self::Known { state, .. } | Self::Suspect { state, .. } => Some(state),
        }
    }

    /// The same, with the state in another form; nothing when it has none.
    fn with<T>(self, form: impl FnOnce(S) -> Option<T>) -> Knowledge<T> {
        let known = match self {
            Self::Unread => return Knowledge::Unread,
            Self::Invalid => None,
            Self::Known {
                state,
                check_at,
                sweep_at,
            } => form(state).map(|state| Knowledge::Known {
                state,
                check_at,
                sweep_at,
            }),
            Self::Suspect { state, check_at } => form(state).map(|state| Knowledge::Suspect { state, check_at }),
        };
        known.unwrap_or(Knowledge::Invalid)
    }
}

// === impl Overruled ===

impl Overruled {
    /// Has a binding not insist on them.
    pub(crate) fn soften(&self, desired: &mut Desired) {
        let holds = self.until.is_some_and(|until| Instant::now() < until);
        if let Desired::Bound(bound) = desired
            && holds
        {
            bound.tolerate(&self.tags);
        }
    }

    /// Takes in the tags that stand after they were written.
    pub(crate) fn wrote(&mut self, desired: &mut Desired, present: &Tags, drift_interval: Duration) {
        if let Desired::Bound(bound) = desired {
            self.tags = bound.overruled_by(present);
            self.until = (!self.tags.is_empty()).then(|| Instant::now() + drift_interval);
            bound.tolerate(&self.tags);
        }
    }
}

// === impl Failures ===

impl Failures {
    /// One more for this generation, and what it was about when a person has to mend something; a changed spec begins anew.
    pub(crate) fn another(&mut self, generation: i64, stalled: Option<Errand>) -> u32 {
        let count = if self.generation == generation {
            self.count.saturating_add(1)
        } else {
            1
        };
        *self = Self {
            generation,
            count,
            stalled,
        };
        count
    }

    /// Whether a person has to mend something before this comes to an end.
    pub(crate) fn is_stalled(self, generation: i64, errand: Errand) -> bool {
        self.generation == generation && self.stalled == Some(errand)
    }
}

#[cfg(test)]
mod tests {
    use wio_core::observed::{ObservedIdentity, ObservedRoleAssignments};

    use super::*;

    const HOUR: Duration = Duration::from_hours(1);
    const PACE: Pace = Pace {
        drift: HOUR,
        sweep: Duration::from_hours(24),
    };

    fn state() -> AzureState {
        AzureState {
            identity: ObservedIdentity::Absent,
            role_assignments: ObservedRoleAssignments::read(Vec::new()),
        }
    }

    fn uid(text: &str) -> BindingUid {
        text.parse().unwrap()
    }

    #[test]
    fn a_changed_spec_is_tried_without_delay() {
        let mut failures = Failures::default();
        assert_eq!(
            [
                failures.another(1, None),
                failures.another(1, None),
                failures.another(2, None)
            ],
            [1, 2, 1]
        );
    }

    #[test]
    fn what_a_person_has_to_mend_is_remembered_for_that_spec_and_errand() {
        let mut failures = Failures::default();
        failures.another(1, Some(Errand::Gives));
        assert!(failures.is_stalled(1, Errand::Gives));
        assert!(!failures.is_stalled(2, Errand::Gives) && !failures.is_stalled(1, Errand::TakesAway));
        failures.another(1, None);
        assert!(!failures.is_stalled(1, Errand::Gives));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_known_is_read_again_when_the_drift_check_is_due() {
        let known = Knowledge::read(state(), PACE);
        assert_eq!(known.to_read(Instant::now()), Read::NotYet(&state()));
        assert_eq!(known.to_read(Instant::now() + HOUR * 2), Read::Now);
    }

    #[tokio::test(start_paused = true)]
    async fn the_status_is_believed_until_something_says_that_it_may_be_wrong() {
        let mut knowledge = Knowledge::default();
        assert_eq!(knowledge.to_read(Instant::now()), Read::UnlessRecorded);
        knowledge.invalidate();
        assert_eq!(knowledge.to_read(Instant::now()), Read::Now);
    }

    #[tokio::test(start_paused = true)]
    async fn a_read_that_is_due_by_time_alone_is_put_off() {
        let mut known = Knowledge::read(state(), PACE);
        tokio::time::advance(HOUR * 2).await;
        assert!(known.put_off(HOUR, None).is_some());
        assert_eq!(known.to_read(Instant::now()), Read::NotYet(&state()));
        assert_eq!(known.to_read(Instant::now() + HOUR / 4), Read::Now);
    }

    #[tokio::test(start_paused = true)]
    async fn a_read_that_was_put_off_is_not_spared_by_any_list() {
        let mut known = Knowledge::read(state(), PACE);
        tokio::time::advance(HOUR * 2).await;
        assert!(known.may_be_spared(Instant::now()));
        known.put_off(HOUR, None);
        tokio::time::advance(HOUR).await;
        assert!(!known.may_be_spared(Instant::now()));
        assert_eq!(known.to_read(Instant::now()), Read::Now);
    }

    #[tokio::test(start_paused = true)]
    async fn a_read_that_there_was_no_budget_for_is_spared_by_a_list_that_comes_meanwhile() {
        let mut known = Knowledge::read(state(), PACE);
        tokio::time::advance(HOUR * 2).await;
        assert!(known.wait_for_budget(HOUR, Duration::ZERO).is_some());
        assert_eq!(known.to_read(Instant::now()), Read::NotYet(&state()));
        tokio::time::advance(HOUR).await;
        assert!(known.may_be_spared(Instant::now()));
        known.look_now();
        known.wait_for_budget(HOUR, Duration::ZERO);
        tokio::time::advance(HOUR).await;
        assert!(!known.may_be_spared(Instant::now()), "somebody doubts what is known");
    }

    #[tokio::test(start_paused = true)]
    async fn no_look_is_due_right_after_a_restart_before_lists_can_be_there() {
        for _ in 0..50 {
            let first = Knowledge::after_restart(state(), PACE).next_check().unwrap();
            assert!(HOUR / 10 <= first && first <= HOUR, "{first:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_read_is_spared_again_and_again_and_not_beyond_the_sweep() {
        let mut known = Knowledge::read(state(), PACE);
        let begun = Instant::now();
        let mut spared = 0;
        loop {
            tokio::time::advance(known.next_check().unwrap()).await;
            if !known.may_be_spared(Instant::now()) {
                break;
            }
            spared += 1;
            known.spare(HOUR);
            assert!(matches!(known.to_read(Instant::now()), Read::NotYet(_)));
        }
        let lasted = begun.elapsed();
        assert!((15..=36).contains(&spared), "{spared}");
        assert!(
            lasted >= PACE.sweep.mul_f64(0.79) && lasted <= PACE.sweep.mul_f64(1.21),
            "{lasted:?}"
        );
        assert_eq!(known.to_read(Instant::now()), Read::Now);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_shown_has_the_next_pass_look_and_what_is_known_stands_until_then() {
        let slots = Slots::new(HOUR);
        let mut memory = slots.take(&uid("a"));
        assert!(!slots.doubt(&uid("b"), Shown::Change(HOUR)), "one that was never seen");
        memory.azure = Knowledge::read(state(), PACE);
        slots.put(&uid("a"), memory);
        assert!(
            !slots.doubt(&uid("a"), Shown::Identity(None)),
            "it is not there, as is known"
        );
        let tags = Tags::new();
        let listed = Listed {
            facts: None,
            tags: &tags,
            ignored: &[],
        };
        assert!(slots.doubt(&uid("a"), Shown::Identity(Some(listed))));
        let mut memory = slots.take(&uid("a"));
        assert_eq!(memory.azure.to_read(Instant::now()), Read::Now);
        assert!(!memory.azure.may_be_spared(Instant::now()));
        assert!(memory.azure.put_off(HOUR, None).is_some(), "Azure may be away");
    }

    #[tokio::test(start_paused = true)]
    async fn a_read_of_what_is_suspect_is_not_put_off() {
        let mut known = Knowledge::read(state(), PACE);
        known.suspect(Duration::ZERO);
        assert_eq!(known.to_read(Instant::now()), Read::Now);
        assert!(known.put_off(HOUR, None).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn looks_that_are_asked_for_are_spaced_and_none_is_lost() {
        let mut memory = Memory::default();
        memory.hear(None);
        assert_eq!((memory.requests.heeded(), memory.requests.turn()), (None, None));
        memory.hear(Some("1"));
        assert_eq!(memory.requests.heeded(), Some("1"));
        assert!(matches!(memory.azure, Knowledge::Invalid));
        memory.azure = Knowledge::read(state(), PACE);
        tokio::time::advance(Duration::from_secs(4)).await;
        memory.hear(Some("2"));
        assert_eq!(memory.requests.heeded(), None);
        assert_eq!(memory.requests.turn(), Some(Duration::from_secs(6)));
        assert!(
            matches!(memory.azure, Knowledge::Known { .. }),
            "the loop of one is nobody's cost"
        );
        tokio::time::advance(Duration::from_secs(6)).await;
        memory.hear(Some("2"));
        assert_eq!((memory.requests.heeded(), memory.requests.turn()), (Some("2"), None));
    }

    #[test]
    fn what_others_say_during_a_pass_is_heard_at_the_next_one() {
        let slots = Slots::new(HOUR);
        let memory = slots.take(&uid("a"));
        slots.invalidate(&uid("a"));
        slots.put(&uid("a"), memory);
        assert!(matches!(slots.take(&uid("a")).azure, Knowledge::Invalid));
    }

    #[test]
    fn what_is_gone_is_forgotten() {
        let slots = Slots::new(HOUR);
        for name in ["a", "b", "c"] {
            slots.take(&uid(name));
        }
        slots.forget(&uid("a"));
        assert_eq!(slots.retain(&HashSet::from(["b".to_owned(), "x".to_owned()])), 1);
        slots.put(&uid("a"), Memory::default());
        assert_eq!(slots.lock().slots.keys().collect::<Vec<_>>(), [&uid("b")]);
    }
}
