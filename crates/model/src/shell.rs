//! The shell of the model: a pass over a binding, step by step, as `wio_controller::reconcile` makes it.

use wio_core::desired::Desired;
use wio_core::outcome::Outcome;
use wio_core::plan::{GrantStep, Revocation};
use wio_core::verdict::Verdict;

use crate::cast::Cast;
use crate::ending::{End, Failure, Key, end, obstacles, with};
use crate::mind::{Decision, Mind, Planned, Question};
use crate::mutant::Mutant;
use crate::rules::{self, Rule};
use crate::world::{
    Account, Aim, Answer, Binding, Known, Late, Looked, Marks, Memory, Op, Pair, Pass, Stage, State, StatusId, View,
    Who, Write,
};

/// What a pass looks at when it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Look {
    /// Azure as it is.
    Fresh,
    /// Azure as it was before its last change.
    Stale,
    /// The status, as after a restart.
    Status,
}

/// What becomes of a write to Azure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Luck {
    /// It is carried out and answered.
    Answered,
    /// It is refused.
    Refused,
    /// It is carried out, and nobody hears of it.
    Unheard,
    /// It is on its way when nobody waits for it any more.
    Late,
}

/// A pass of an operator over a binding.
pub(crate) struct Shell<'a> {
    pub(crate) mind: &'a Mind,
    pub(crate) op: Op,
    pub(crate) who: Who,
}

impl Shell<'_> {
    fn memory<'s>(&self, state: &'s State) -> &'s Memory {
        state.operators.of(self.op).memory.of(self.who)
    }

    fn memory_mut<'s>(&self, state: &'s mut State) -> &'s mut Memory {
        state.operators.of_mut(self.op).memory.of_mut(self.who)
    }

    fn cached(&self, state: &State) -> Option<Binding> {
        *state.operators.of(self.op).cache.bindings.of(self.who)
    }

    fn pass(&self, state: &State) -> Option<Pass> {
        *state.operators.of(self.op).passes.of(self.who)
    }

    fn set_pass(&self, state: &mut State, pass: Option<Pass>) {
        *state.operators.of_mut(self.op).passes.of_mut(self.who) = pass;
    }

    /// The caches show what this operator wrote itself: before they do, it does not look at the binding again.
    fn shows(&self, state: &mut State) {
        let now = *state.kube.bindings.of(self.who);
        *state.operators.of_mut(self.op).cache.bindings.of_mut(self.who) = now;
    }

    /// Whether something may have been written for the binding, as far as this operator knows.
    fn written(&self, state: &State, object: &Binding) -> Option<bool> {
        let memory = self.memory(state);
        let told = self.mind.binding(self.who, object)?.recorded.written;
        Some(memory.has_written || (told && !memory.here))
    }

    fn question(&self, state: &State) -> Option<Question> {
        let cached = self.cached(state)?;
        let label = Some((self.who, cached.born));
        Some(Question {
            who: self.who,
            kube: state.operators.of(self.op).cache,
            written: self.written(state, &cached)?,
            labelled: Pair(state.accounts.0.label == label, state.accounts.1.label == label),
        })
    }

    /// Begins a pass: the verdict, the finalizer, the look.
    pub(crate) fn begin(&self, state: &State, look: Look) -> Option<State> {
        let mut next = *state;
        let object = self.cached(state)?;
        let question = self.question(state)?;
        let decision = self.mind.decide(question)?;
        let desired = match &decision.verdict {
            Verdict::Hold(blocked) => {
                let held = Outcome::Held(blocked.clone());
                let status = self.mind.status_after(self.who, &object, &held, question.written)?;
                return Some(self.write_status(&next, &object, status));
            }
            Verdict::Release(_) => {
                self.release(&mut next, &object);
                return Some(next);
            }
            Verdict::Pursue(desired) => desired,
            // Nothing here is to outlive its binding.
            Verdict::Orphan(_) => return Some(untold(&next)),
        };
        let view = self.look(state, question, look)?;
        let view = self.mind.presumed(&question, desired, view)?;
        let Some((object, live)) = self.finalizer(&mut next, object, desired) else {
            return Some(next);
        };
        let memory = *self.memory(&next);
        let earlier = !memory.here && state.operators.of(self.op).young;
        self.set_pass(
            &mut next,
            Some(Pass {
                stage: Stage::Looked(Looked {
                    view,
                    aim: aim(desired),
                    policy: question.kube.policy,
                }),
                object,
                plan: None,
                done: (0, 0),
                failed: (0, 0),
                given_up: None,
                gaps: view.identity.is_none() && !self.mind.breaks(Mutant::AbsenceUnproven),
                known: Known {
                    live,
                    read: look != Look::Status,
                },
                made: None,
                on_its_way: (
                    memory.sent.recent,
                    memory.sent.unanswered,
                    earlier && !self.mind.breaks(Mutant::PredecessorForgotten),
                ),
            }),
        );
        Some(next)
    }

    fn look(&self, state: &State, question: Question, look: Look) -> Option<View> {
        let accounts = state.accounts;
        let mut view = match look {
            Look::Fresh => View {
                identity: state.azure.identity,
                accounts,
            },
            Look::Stale => View {
                identity: state.azure.before?,
                accounts,
            },
            Look::Status => self.mind.known(question, accounts)?,
        };
        if let (true, Some(identity), Some(object)) = (
            self.mind.breaks(Mutant::ForeignIsTaken),
            &mut view.identity,
            state.kube.bindings.of(Who::Orders),
        ) {
            identity.tags = identity.tags.or(Some(object.born));
        }
        Some(view)
    }

    /// Sets the finalizer where it must be; none when the API server has another version of the binding.
    fn finalizer(&self, next: &mut State, object: Binding, desired: &Desired) -> Option<(Binding, bool)> {
        let needed = !object.finalizer && !object.deleting && matches!(desired, Desired::Bound(_));
        if !needed || self.mind.breaks(Mutant::NoFinalizer) {
            return Some((object, false));
        }
        let nothing = self.mind.binding(self.who, &object)?.recorded.nothing_was_written();
        let stored = next.kube.bindings.of_mut(self.who);
        if *stored != Some(object) {
            return None;
        }
        let object = Binding {
            finalizer: true,
            ..object
        };
        *stored = Some(object);
        self.shows(next);
        self.memory_mut(next).here = nothing;
        Some((object, true))
    }

    /// Decides once more, plans, and announces what is about to be written.
    pub(crate) fn decide(&self, state: &State) -> Option<State> {
        let mut next = *state;
        let mut pass = self.pass(state)?;
        let Stage::Looked(looked) = pass.stage else { return None };
        let overtaken = self.cached(state).is_none_or(|now| !is_as_decided(&now, &pass.object));
        let question = self.question(state).filter(|_| !overtaken);
        let plan = question.and_then(|question| self.mind.plan(question, looked.view));
        let planned = plan.and_then(|plan| self.mind.planned(plan));
        // What is to go since the pass began was not looked at.
        let was_seen = |planned: &Planned| pass.known.read || self.mind.is_enough_for(planned);
        let planned = planned.filter(|planned| is_about_the_same(planned, &looked) && was_seen(planned));
        let Some(planned) = planned else {
            self.set_pass(&mut next, None);
            return Some(next);
        };
        pass.plan = plan;
        if let (Some(status), false) = (
            self.mind.announced(&pass.object, &planned),
            self.mind.breaks(Mutant::NothingAnnounced),
        ) {
            let Some(stored) = next.kube.bindings.of_mut(self.who) else {
                self.set_pass(&mut next, None);
                return Some(next);
            };
            if stored.born != pass.object.born {
                self.set_pass(&mut next, None);
                return Some(next);
            }
            stored.status = Some(status);
            pass.known.live |= is_as_decided(stored, &pass.object) && !stored.deleting;
            pass.object.status = Some(status);
            self.shows(&mut next);
        }
        pass.stage = Stage::Takes(0);
        self.set_pass(&mut next, Some(self.normal(pass, &planned)));
        Some(next)
    }

    /// The pass at its next step that can be tried.
    fn normal(&self, mut pass: Pass, planned: &Planned) -> Pass {
        loop {
            pass.stage = match pass.stage {
                Stage::Takes(at) => match planned.plan.revocations.get(usize::from(at)) {
                    Some(step) if obstacles(&pass, &planned.plan.revocations).allow(step) => return pass,
                    Some(_) => Stage::Takes(at.saturating_add(1)),
                    None => {
                        let barred = obstacles(&pass, &planned.plan.revocations).bar_grants();
                        let gives = matches!(planned.desired, Desired::Bound(_)) && !planned.plan.grants.is_empty();
                        match (
                            barred || !gives,
                            pass.known.live || self.mind.breaks(Mutant::NotReadBeforeGrant),
                        ) {
                            (true, _) => Stage::Ends,
                            (false, true) => Stage::Gives(0),
                            (false, false) => Stage::Asks,
                        }
                    }
                },
                Stage::Gives(at) if usize::from(at) >= planned.plan.grants.len() => Stage::Ends,
                Stage::Looked(_) | Stage::Asks | Stage::Gives(_) | Stage::Ends => return pass,
            };
        }
    }

    /// Reads the binding before something is given.
    pub(crate) fn ask(&self, state: &State) -> Option<State> {
        let mut next = *state;
        let pass = self.pass(state)?;
        let live = state.kube.bindings.of(self.who);
        let live = live.is_some_and(|live| is_as_decided(&live, &pass.object) && !live.deleting);
        let pass = live.then_some(Pass {
            stage: Stage::Gives(0),
            ..pass
        });
        self.set_pass(&mut next, pass);
        Some(next)
    }

    /// Whether what was decided still holds, as the caches are now.
    fn holds(&self, state: &State, pass: &Pass, planned: &Planned) -> bool {
        let as_before = self.cached(state).is_some_and(|now| is_as_decided(&now, &pass.object));
        let policy = state.operators.of(self.op).cache.policy;
        let same_policy = policy == planned.question.kube.policy;
        if as_before && same_policy {
            return true;
        }
        let question = self.question(state).filter(|_| as_before);
        let question = question.filter(|question| question.labelled == planned.question.labelled);
        let decision = question.and_then(|question| self.mind.decide(question));
        let same = |decision: &Decision| matches!(&decision.verdict, Verdict::Pursue(now) if **now == planned.desired);
        let gives = matches!(planned.desired, Desired::Bound(_));
        (gives || same_policy) && decision.is_some_and(|decision| same(&decision))
    }

    /// Carries the next step out.
    pub(crate) fn step(&self, state: &State, luck: Luck) -> Option<State> {
        let pass = self.pass(state)?;
        let planned = self.mind.planned(pass.plan?)?;
        let begun = pass.done != (0, 0) || pass.failed != (0, 0);
        let asked = match pass.stage {
            Stage::Takes(_) => begun,
            Stage::Gives(_) => true,
            Stage::Looked(_) | Stage::Asks | Stage::Ends => return None,
        };
        let mut next = *state;
        if asked && !self.mind.breaks(Mutant::NotAskedBetweenSteps) && !self.holds(state, &pass, &planned) {
            self.set_pass(&mut next, None);
            return (luck == Luck::Answered).then_some(next);
        }
        match pass.stage {
            Stage::Takes(at) => self.take(&next, (pass, &planned), at, luck),
            Stage::Gives(at) => self.give(&next, (pass, &planned), at, luck),
            Stage::Looked(_) | Stage::Asks | Stage::Ends => None,
        }
    }

    fn take(&self, state: &State, (mut pass, planned): (Pass, &Planned), at: u8, luck: Luck) -> Option<State> {
        let mut next = *state;
        let n = usize::from(at);
        let step = planned.plan.revocations.get(n)?;
        let later = planned.plan.revocations.get(n.saturating_add(1)..)?;
        next.broken |= out_of_order(step, later);
        let write = match step {
            Revocation::DeleteCredential(name) => Write::Delete(self.mind.cast.credential_named(name)?),
            Revocation::DeleteIdentity => Write::DeleteIdentity,
            Revocation::ReleaseServiceAccount { name, label, .. } => {
                let marks = next.accounts.of_mut(self.mind.cast.account_named(name)?);
                if marks.label.is_some_and(|of| Cast::is_label_of(label, of)) {
                    *marks = Marks::default();
                }
                pass.done.0 = with(pass.done.0, n);
                return self.after_step(&next, pass, planned, luck);
            }
            // Neither a role nor an export is in this world.
            Revocation::DeleteRoleAssignment { .. } | Revocation::DeleteExport { .. } => return Some(untold(&next)),
        };
        let broken = rules::of_revocation(self.mind, &next, planned, write);
        match self.send(&mut next, (write, broken | unread(&pass)), luck)? {
            Ok(answer) => {
                pass.done.0 = with(pass.done.0, n);
                pass.gaps |= answer == Answer::NotThere && !self.mind.breaks(Mutant::AbsenceUnproven);
            }
            Err(_) if self.mind.breaks(Mutant::FaultsIgnored) => pass.done.0 = with(pass.done.0, n),
            Err(Failure::Refused) => pass.failed.0 = with(pass.failed.0, n),
            Err(Failure::Unanswered) => pass.failed.1 = with(pass.failed.1, n),
        }
        Some(self.next_step(&next, pass, planned))
    }

    fn give(&self, state: &State, (mut pass, planned): (Pass, &Planned), at: u8, luck: Luck) -> Option<State> {
        let mut next = *state;
        let n = usize::from(at);
        let born = pass.object.born;
        let write = match planned.plan.grants.get(n)? {
            GrantStep::CreateIdentity { .. } => Write::CreateIdentity(born),
            GrantStep::TagIdentity { .. } => Write::Tag(born),
            GrantStep::PutCredential(wanted) => Write::Put(self.mind.cast.credential_named(&wanted.name)?),
            GrantStep::ApplyServiceAccount(account) => {
                let account = self.mind.cast.account_named(&account.name)?;
                return self.mark(&next, (pass, planned), (n, account), luck);
            }
            // Neither another issuer, nor a role, nor an export is in this world.
            GrantStep::ReplaceCredential { .. } | GrantStep::PutRoleAssignment(_) | GrantStep::ApplyExport(_) => {
                return Some(untold(&next));
            }
        };
        let shown = next.operators.of(self.op).cache;
        let mut broken = rules::of_grant(&next, &shown, self.who, born, write);
        if !matches!(write, Write::Put(_)) {
            broken |= unread(&pass);
        }
        let sent = self.send(&mut next, (write, broken), luck)?;
        let memory = self.memory_mut(&mut next);
        memory.sent.recent = true;
        match sent {
            Ok(Answer::StoodThere) => {
                memory.has_written = true;
                pass.stage = Stage::Ends;
            }
            Ok(_) => {
                memory.has_written = true;
                pass.done.1 = with(pass.done.1, n);
                if let Write::CreateIdentity(_) = write {
                    pass.made = next.azure.identity.map(|identity| identity.made);
                }
            }
            Err(failure) => {
                let refused = failure == Failure::Refused;
                memory.has_written |= !refused;
                memory.sent.unanswered |= !refused;
                pass.given_up = Some(refused);
                pass.stage = Stage::Ends;
            }
        }
        Some(self.next_step(&next, pass, planned))
    }

    /// Marks a service account with the client id.
    fn mark(
        &self,
        state: &State,
        (mut pass, planned): (Pass, &Planned),
        (n, account): (usize, Account),
        luck: Luck,
    ) -> Option<State> {
        let mut next = *state;
        if next.leader != Some(self.op) && !self.mind.breaks(Mutant::LeaseNotAskedForAccounts) {
            self.set_pass(&mut next, None);
            return (luck == Luck::Answered).then_some(next);
        }
        let made = pass.made.or(planned.view.identity.map(|identity| identity.made));
        let Some(made) = made else {
            // Nobody knows the client id yet: the plan is stale.
            pass.stage = Stage::Ends;
            return self.after_step(&next, pass, planned, luck);
        };
        let put = planned.plan.grants.get(..n)?.iter().any(|step| match step {
            GrantStep::PutCredential(wanted) => self.mind.cast.account(account) == &wanted.account,
            _ => false,
        });
        let stood = planned
            .view
            .identity
            .is_some_and(|identity| identity.credentials.trust(account));
        if !put && !stood {
            next.broken |= Rule::ClientIdFollows.bit();
        }
        if next.leader != Some(self.op) {
            next.broken |= Rule::OneWriter.bit();
        }
        *next.accounts.of_mut(account) = Marks {
            label: Some((self.who, pass.object.born)),
            client: Some(made),
        };
        self.memory_mut(&mut next).has_written = true;
        pass.done.1 = with(pass.done.1, n);
        self.after_step(&next, pass, planned, luck)
    }

    fn after_step(&self, next: &State, pass: Pass, planned: &Planned, luck: Luck) -> Option<State> {
        // The API server answers at once and by what is.
        (luck == Luck::Answered).then(|| self.next_step(next, pass, planned))
    }

    fn next_step(&self, state: &State, mut pass: Pass, planned: &Planned) -> State {
        let mut next = *state;
        pass.stage = match pass.stage {
            Stage::Takes(at) => Stage::Takes(at.saturating_add(1)),
            Stage::Gives(at) => Stage::Gives(at.saturating_add(1)),
            other @ (Stage::Looked(_) | Stage::Asks | Stage::Ends) => other,
        };
        self.set_pass(&mut next, Some(self.normal(pass, planned)));
        next
    }

    /// Sends a write to Azure, when the lease is held. The rules are asked of what is sent.
    fn send(&self, next: &mut State, (write, broken): (Write, u16), luck: Luck) -> Option<Result<Answer, Failure>> {
        if next.leader != Some(self.op) {
            if !self.mind.breaks(Mutant::LeaseNotAsked) {
                return (luck == Luck::Answered).then_some(Err(Failure::Refused));
            }
            next.broken |= Rule::OneWriter.bit();
        }
        if luck != Luck::Refused {
            next.broken |= broken;
        }
        let sent = match luck {
            Luck::Answered => match next.azure.carry_out(write) {
                Answer::Refused => Err(Failure::Refused),
                answer @ (Answer::Done | Answer::NotThere | Answer::StoodThere) => Ok(answer),
            },
            Luck::Refused => Err(Failure::Refused),
            Luck::Unheard => {
                next.azure.carry_out(write);
                Err(Failure::Unanswered)
            }
            Luck::Late => {
                if next.late.is_some() {
                    return None;
                }
                next.late = Some(Late { by: self.who, write });
                Err(Failure::Unanswered)
            }
        };
        Some(sent)
    }

    /// Ends the pass: the finalizer goes, or the status is written.
    pub(crate) fn end(&self, state: &State) -> Option<State> {
        let mut next = *state;
        let pass = self.pass(state)?;
        self.set_pass(&mut next, None);
        if !self.heirs_are_live(state, &pass) {
            return Some(next);
        }
        let key = Key {
            who: self.who,
            pass,
            written: self.written(state, &pass.object)?,
        };
        match self.mind.ends.ask(key, |key| end(self.mind, key))? {
            End::Release => {
                self.release(&mut next, &pass.object);
                Some(next)
            }
            End::Status(status, tells) => Some(self.write_status(&next, &pass.object, (status, tells))),
        }
    }

    /// Whether the API server has the other binding as it was decided about, where something is left to it.
    fn heirs_are_live(&self, state: &State, pass: &Pass) -> bool {
        let planned = pass.plan.and_then(|plan| self.mind.planned(plan));
        let Some(planned) = planned.filter(|planned| !planned.desired.heirs().is_empty()) else {
            return true;
        };
        let other = self.who.other();
        let decided = planned.question.kube.bindings.of(other);
        let live = state.kube.bindings.of(other);
        let same = decided
            .zip(*live)
            .is_some_and(|(decided, live)| is_as_decided(&live, &decided));
        same || self.mind.breaks(Mutant::HeirsNotRead)
    }

    /// Takes the finalizer off, of the very version that the pass has.
    fn release(&self, next: &mut State, object: &Binding) {
        let stored = next.kube.bindings.of_mut(self.who);
        if *stored == Some(*object) && object.deleting {
            *stored = None;
            self.shows(next);
            *self.memory_mut(next) = Memory::default();
        }
    }

    /// Writes a status where it differs, whatever version stands there.
    fn write_status(&self, state: &State, object: &Binding, (status, tells): (StatusId, bool)) -> State {
        let mut next = *state;
        self.memory_mut(&mut next).has_written |= tells;
        if object.status == Some(status) {
            return next;
        }
        if let Some(stored) = next.kube.bindings.of_mut(self.who)
            && stored.born == object.born
        {
            stored.status = Some(status);
            self.shows(&mut next);
        }
        next
    }
}

/// The state in which something came up that the model has no word for.
const fn untold(state: &State) -> State {
    State {
        broken: state.broken | Rule::Told.bit(),
        ..*state
    }
}

const fn aim(desired: &Desired) -> Aim {
    match desired {
        Desired::Bound(_) => Aim::Bound,
        Desired::Denied(_) => Aim::Denied,
        Desired::Gone(_) => Aim::Gone,
    }
}

/// Whether a plan is for what a pass looked at the world for.
fn is_about_the_same(planned: &Planned, looked: &Looked) -> bool {
    let same_policy = planned.question.kube.policy == looked.policy;
    aim(&planned.desired) == looked.aim && (looked.aim == Aim::Bound || same_policy)
}

/// Whether a binding is the one that was decided about.
const fn is_as_decided(now: &Binding, then: &Binding) -> bool {
    now.born == then.born && now.generation == then.generation && now.deleting == then.deleting
}

/// The rule that is broken when Azure was not looked at.
const fn unread(pass: &Pass) -> u16 {
    if pass.known.read { 0 } else { Rule::ReadBefore.bit() }
}

/// The rule that a step breaks when one that belongs before it is still to come.
fn out_of_order(step: &Revocation, later: &[Revocation]) -> u16 {
    let rank = |step: &Revocation| match step {
        Revocation::DeleteCredential(_) => 0,
        Revocation::DeleteRoleAssignment { .. } => 1,
        Revocation::ReleaseServiceAccount { .. } | Revocation::DeleteExport { .. } => 2,
        Revocation::DeleteIdentity => 3,
    };
    let early = later.iter().any(|other| rank(other) < rank(step));
    if early { Rule::TrustEndsFirst.bit() } else { 0 }
}
