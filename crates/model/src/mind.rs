//! The mind of an operator: the core itself, asked once for each question that comes up.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use std::sync::{Arc, PoisonError, RwLock};

use jiff::Timestamp;
use wio_api::{ConditionType, WorkloadIdentityBindingStatus};
use wio_core::binding::Binding as CoreBinding;
use wio_core::case::{Candidate, Case};
use wio_core::desired::Desired;
use wio_core::known_state;
use wio_core::outcome::Outcome;
use wio_core::plan::{GrantStep, Plan, plan};
use wio_core::policy::Usage;
use wio_core::status::{Subject, announcing, status, tells_of_writes};
use wio_core::verdict::{Verdict, verdict};

use crate::cast::Cast;
use crate::mutant::Mutant;
use crate::world::{Binding, Identity, Kube, Pair, StatusId, View, Who};

/// The moment of everything: ages are told apart where they matter.
const NOW: Timestamp = Timestamp::UNIX_EPOCH;

/// The conditions of a status by which something is decided.
const READ_BACK: [ConditionType; 3] = [
    ConditionType::Ready,
    ConditionType::ServiceAccountsReady,
    ConditionType::RoleAssignmentsReady,
];

/// What a decision about a binding rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Question {
    pub(crate) who: Who,
    /// The cluster, as the caches show it.
    pub(crate) kube: Kube,
    /// Whether something may have been written for it.
    pub(crate) written: bool,
    /// The service accounts that carry its label.
    pub(crate) labelled: Pair<bool>,
}

/// A decision, with what it rests on.
#[derive(Debug)]
pub(crate) struct Decision {
    pub(crate) verdict: Verdict,
    pub(crate) binding: CoreBinding,
}

/// A plan, with what it was made from.
#[derive(Debug)]
pub(crate) struct Planned {
    pub(crate) question: Question,
    pub(crate) view: View,
    pub(crate) desired: Desired,
    /// As the shell carries it out.
    pub(crate) plan: Plan,
}

/// Answers by questions. The model checker asks from several threads.
#[derive(Debug)]
pub(crate) struct Answers<Q, A>(RwLock<HashMap<Q, A>>);

/// Values by numbers.
#[derive(Debug)]
struct Numbered<K, T>(RwLock<Numbers<K, T>>);

type Numbers<K, T> = (HashMap<K, u32>, Vec<Arc<T>>);

/// The core, and all that it said.
#[derive(Debug)]
pub(crate) struct Mind {
    pub(crate) cast: Cast,
    /// The rule that is broken on purpose.
    pub(crate) mutant: Option<Mutant>,
    statuses: Numbered<String, WorkloadIdentityBindingStatus>,
    decisions: Answers<Question, Option<Arc<Decision>>>,
    plans: Numbered<(Question, View), Planned>,
    known: Answers<Question, Option<View>>,
    pub(crate) ends: Answers<crate::ending::Key, Option<crate::ending::End>>,
    pub(crate) rests: Answers<crate::rest::World, bool>,
}

// === impl Answers ===

impl<Q, A> Default for Answers<Q, A> {
    fn default() -> Self {
        Self(RwLock::default())
    }
}

impl<Q: Hash + Eq, A: Clone> Answers<Q, A> {
    pub(crate) fn ask(&self, question: Q, answer: impl FnOnce(&Q) -> A) -> A {
        if let Some(answer) = self.0.read().unwrap_or_else(PoisonError::into_inner).get(&question) {
            return answer.clone();
        }
        let found = answer(&question);
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        known.entry(question).or_insert(found).clone()
    }

    /// How many questions came up.
    pub(crate) fn count(&self) -> usize {
        self.0.read().unwrap_or_else(PoisonError::into_inner).len()
    }
}

// === impl Numbered ===

impl<K, T> Default for Numbered<K, T> {
    fn default() -> Self {
        Self(RwLock::default())
    }
}

impl<K: Hash + Eq, T> Numbered<K, T> {
    fn number(&self, key: K, value: impl FnOnce(&K) -> Option<T>) -> Option<u32> {
        if let Some(number) = self.0.read().unwrap_or_else(PoisonError::into_inner).0.get(&key) {
            return Some(*number);
        }
        let value = value(&key)?;
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let (numbers, values) = &mut *known;
        let next = u32::try_from(values.len()).ok()?;
        let number = *numbers.entry(key).or_insert(next);
        if number == next {
            values.push(Arc::new(value));
        }
        Some(number)
    }

    fn value(&self, number: u32) -> Option<Arc<T>> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        known.1.get(usize::try_from(number).ok()?).cloned()
    }
}

// === impl Mind ===

impl Mind {
    pub(crate) fn new(mutant: Option<Mutant>) -> Result<Self, String> {
        Ok(Self {
            cast: Cast::new()?,
            mutant,
            statuses: Numbered::default(),
            decisions: Answers::default(),
            plans: Numbered::default(),
            known: Answers::default(),
            ends: Answers::default(),
            rests: Answers::default(),
        })
    }

    /// Whether this rule is broken on purpose.
    pub(crate) fn breaks(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }

    /// How many decisions and plans came up.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let plans = self.plans.0.read().unwrap_or_else(PoisonError::into_inner).1.len();
        (self.decisions.count(), plans)
    }

    fn status(&self, id: Option<StatusId>) -> Option<Arc<WorkloadIdentityBindingStatus>> {
        self.statuses.value(id?.0)
    }

    /// The number of a status, as far as anything is decided by it.
    fn status_id(&self, mut status: WorkloadIdentityBindingStatus) -> Option<StatusId> {
        let read_back = |kind: &str| READ_BACK.iter().any(|one| one.as_str() == kind);
        status.conditions.retain(|condition| read_back(&condition.type_));
        for condition in &mut status.conditions {
            condition.message.clear();
            condition.reason.clear();
        }
        self.statuses
            .number(format!("{status:?}"), |_| Some(status))
            .map(StatusId)
    }

    /// A binding, parsed by the core.
    pub(crate) fn binding(&self, who: Who, binding: &Binding) -> Option<CoreBinding> {
        let status = self.status(binding.status);
        self.cast.binding(who, binding, status.as_deref()).ok()
    }

    fn case(&self, question: &Question) -> Option<Case> {
        let Question { who, kube, .. } = *question;
        let candidate = |binding| Candidate {
            binding,
            used_before: Usage::default(),
        };
        let mut binding = self.binding(who, (*kube.bindings.of(who)).as_ref()?)?;
        binding.recorded.written = question.written;
        let neighbour = match kube.bindings.of(who.other()) {
            Some(_) if self.breaks(Mutant::SharersAreForgotten) => None,
            Some(other) => Some(self.binding(who.other(), other)?),
            None => None,
        };
        let labelled = crate::world::Account::ALL.into_iter();
        let labelled = labelled.filter(|account| *question.labelled.of(*account));
        Some(Case {
            candidate: candidate(binding),
            labelled: labelled
                .map(|account| self.cast.account(account).clone())
                .collect::<BTreeSet<_>>(),
            neighbours: neighbour.into_iter().map(candidate).collect(),
            held: BTreeSet::new(),
            rivals: Vec::new(),
            rules: self.cast.rules(kube.policy),
            now: NOW,
        })
    }

    /// What is to become of a binding.
    pub(crate) fn decide(&self, question: Question) -> Option<Arc<Decision>> {
        self.decisions.ask(question, |question| {
            let case = self.case(question)?;
            Some(Arc::new(Decision {
                verdict: verdict(&case),
                binding: case.candidate.binding,
            }))
        })
    }

    /// What is to be done about it by what was seen; none when nothing is pursued.
    pub(crate) fn plan(&self, question: Question, view: View) -> Option<u32> {
        self.plans.number((question, view), |_| {
            let decision = self.decide(question)?;
            let Verdict::Pursue(desired) = &decision.verdict else {
                return None;
            };
            let whose = (question.who, (*question.kube.bindings.of(question.who))?.born);
            let observed = self.cast.observed(whose, &view, &question.kube).ok()?;
            Some(Planned {
                question,
                view,
                desired: (**desired).clone(),
                plan: self.tampered(desired, plan(desired, &observed)),
            })
        })
    }

    fn tampered(&self, desired: &Desired, mut plan: Plan) -> Plan {
        match self.mutant {
            Some(Mutant::AnnotationFirst) => {
                plan.grants
                    .sort_by_key(|step| !matches!(step, GrantStep::ApplyServiceAccount(_)));
            }
            Some(Mutant::TrustEndsLast) => plan.revocations.reverse(),
            Some(Mutant::RevocationsWait) => plan.revocations.clear(),
            Some(Mutant::WritesWithoutDifference) => plan.grants.extend(again(desired, &plan)),
            _ => {}
        }
        plan
    }

    pub(crate) fn planned(&self, number: u32) -> Option<Arc<Planned>> {
        self.plans.value(number)
    }

    /// The world as it may be for a binding of which something is to be gone.
    pub(crate) fn presumed(&self, question: &Question, desired: &Desired, view: View) -> Option<View> {
        if self.breaks(Mutant::OnlyWhatIsListedGoes) {
            return Some(view);
        }
        let whose = (question.who, (*question.kube.bindings.of(question.who))?.born);
        let observed = self.cast.observed(whose, &view, &question.kube).ok()?;
        let presumed = match desired {
            Desired::Gone(removal) => removal.presumed(observed, None),
            Desired::Denied(denial) => denial.removal().with_told(observed, None),
            Desired::Bound(bound) => bound.presumed(observed),
        };
        Some(View {
            identity: self.cast.seen(&presumed.azure).ok()?,
            ..view
        })
    }

    /// What a status tells of Azure, where that is enough.
    pub(crate) fn known(&self, question: Question, accounts: Pair<crate::world::Marks>) -> Option<View> {
        let view = self.known.ask(question, |question| {
            let decision = self.decide(*question)?;
            let Verdict::Pursue(desired) = &decision.verdict else {
                return None;
            };
            let Desired::Bound(bound) = &**desired else { return None };
            let state = known_state::from_status(bound, &decision.binding)?;
            let identity: Option<Identity> = self.cast.seen(&state).ok()?;
            Some(View {
                identity,
                accounts: Pair::default(),
            })
        })?;
        let decision = self.decide(question)?;
        let Verdict::Pursue(desired) = &decision.verdict else {
            return None;
        };
        // With what was given up and stands by a status alone, as the operator asks it.
        let view = self.presumed(&question, desired, View { accounts, ..view })?;
        let planned = self.planned(self.plan(question, view)?)?;
        self.is_enough_for(&planned).then_some(view)
    }

    /// Whether what was seen without a read is enough for a plan.
    pub(crate) fn is_enough_for(&self, planned: &Planned) -> bool {
        known_state::is_enough_for(&planned.plan, &self.cast.azure(planned.view.identity), true)
    }

    /// The status that has to stand before a plan is carried out; none when it does.
    pub(crate) fn announced(&self, object: &Binding, planned: &Planned) -> Option<StatusId> {
        let previous = self.status(object.status);
        let identity = planned.desired.revocable();
        let next = announcing(previous.as_deref(), identity.identity(), &planned.plan)?;
        self.status_id(next)
    }

    /// The status that an outcome makes, and whether it tells of writes.
    pub(crate) fn status_after(
        &self,
        who: Who,
        object: &Binding,
        outcome: &Outcome,
        written: bool,
    ) -> Option<(StatusId, bool)> {
        let binding = self.binding(who, object)?;
        let previous = self.status(object.status);
        let subject = Subject {
            previous: previous.as_deref(),
            lifecycle: &binding.lifecycle,
            cluster: &self.cast.cluster,
            heeded: None,
            failed_looks: None,
            written,
            contested: None,
        };
        let next = status(subject, outcome, NOW);
        let tells = tells_of_writes(&next);
        Some((self.status_id(next)?, tells))
    }
}

/// The credentials that a plan does not write because they stand.
fn again(desired: &Desired, plan: &Plan) -> Vec<GrantStep> {
    let Desired::Bound(bound) = desired else {
        return Vec::new();
    };
    let wanted = bound.credentials.iter().cloned().map(GrantStep::PutCredential);
    wanted
        .filter(|step| plan.blocked.is_empty() && !plan.grants.contains(step))
        .collect()
}
