//! The model: what can happen next in every state, for the model checker.

use std::sync::Arc;

use stateright::{Model, Property};

use crate::cast::first;
use crate::mind::Mind;
use crate::mutant::Mutant;
use crate::rest::{World, at_rest, comes_to_rest, fresh};
use crate::rules::{Rule, stands_under_finalizer};
use crate::shell::{Look, Luck, Shell};
use crate::world::{
    Account, Azure, Binding, Budget, Credential, Credentials, Identity, Kube, Memory, Op, Pair, Policy, Stage, State,
    Who,
};

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// An operator begins a pass.
    Begin(Op, Who, Look),
    /// It decides, plans and announces.
    Decide(Op, Who),
    /// It reads the binding before it gives something.
    Ask(Op, Who),
    /// It carries a step out.
    Step(Op, Who, Luck),
    /// It ends the pass.
    End(Op, Who),
    /// What was on its way arrives.
    Arrive,
    /// What was on its way is lost.
    Lose,
    /// So much time goes by that nothing can be on its way any more.
    TimeGoesBy,
    /// The watches of an operator show what is.
    Watch(Op),
    /// An operator ends, and begins anew.
    Crash(Op),
    /// The lease runs out.
    LeaseEnds,
    /// An operator takes the lease.
    Lead(Op),
    /// Somebody deletes a binding.
    Delete(Who),
    /// Somebody has a binding ask for the other service account.
    Edit(Who),
    /// Somebody creates a binding anew.
    Create(Who),
    /// The policy is narrowed.
    Narrow,
}

/// How far the model goes.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// What may happen beside the passes.
    pub budget: Budget,
    /// How often a binding may be created anew.
    pub reborn: u8,
    /// Whether an operator passes over both bindings at once.
    pub at_once: bool,
}

/// The model.
#[derive(Clone, Debug)]
pub struct Operators {
    mind: Arc<Mind>,
    bounds: Bounds,
}

impl Operators {
    /// The model within bounds, with a rule that is broken on purpose or none.
    ///
    /// # Errors
    /// Why the world cannot be set up.
    pub fn new(bounds: Bounds, mutant: Option<Mutant>) -> Result<Self, String> {
        Ok(Self {
            mind: Arc::new(Mind::new(mutant)?),
            bounds,
        })
    }

    /// How many decisions, plans and worlds that come to rest came up.
    #[must_use]
    pub fn counts(&self) -> (usize, usize, usize) {
        let (decisions, plans) = self.mind.counts();
        (decisions, plans, self.mind.rests.count())
    }

    fn worlds(&self) -> Vec<World> {
        let created = Kube {
            policy: Policy::Both,
            bindings: Pair(Some(first(Account::Web)), Some(first(Account::Web))),
        };
        let foreign = |tags| {
            let mut credentials = Credentials::default();
            credentials.put(Credential::Foreign);
            Identity {
                made: 1,
                tags,
                credentials,
            }
        };
        let empty = World::new(created, Azure::default());
        let others = World::new(
            created,
            Azure {
                identity: Some(foreign(None)),
                made: 1,
                before: None,
            },
        );
        // What a run without faults comes to is where most things begin.
        let alone = World::new(
            Kube {
                bindings: Pair(created.bindings.0, None),
                ..created
            },
            Azure::default(),
        );
        let settled = |world| at_rest(&self.mind, world).map(|state| World::of(&state));
        let worlds = [Some(empty), Some(others), settled(&empty), settled(&alone)];
        worlds.into_iter().flatten().collect()
    }

    fn passes(&self, state: &State, actions: &mut Vec<Action>) {
        for op in Op::ALL {
            let operator = state.operators.of(op);
            for who in Who::ALL {
                match operator.passes.of(who) {
                    None if self.bounds.at_once || operator.passes.of(who.other()).is_none() => {
                        begins(state, (op, who), actions);
                    }
                    None => {}
                    Some(pass) => match pass.stage {
                        Stage::Looked(_) => actions.push(Action::Decide(op, who)),
                        Stage::Asks => actions.push(Action::Ask(op, who)),
                        Stage::Ends => actions.push(Action::End(op, who)),
                        Stage::Takes(_) | Stage::Gives(_) => {
                            let luck: &[Luck] = if state.budget.faults > 0 {
                                &[Luck::Answered, Luck::Refused, Luck::Unheard, Luck::Late]
                            } else {
                                &[Luck::Answered]
                            };
                            actions.extend(luck.iter().map(|luck| Action::Step(op, who, *luck)));
                        }
                    },
                }
            }
        }
    }
}

fn people(state: &State, actions: &mut Vec<Action>) {
    for who in Who::ALL {
        match state.kube.bindings.of(who) {
            Some(binding) if !binding.deleting => {
                actions.push(Action::Delete(who));
                if binding.account == Account::Web {
                    actions.push(Action::Edit(who));
                }
            }
            Some(_) => {}
            None => actions.push(Action::Create(who)),
        }
    }
    if state.kube.policy != Policy::Neither {
        actions.push(Action::Narrow);
    }
}

fn begins(state: &State, (op, who): (Op, Who), actions: &mut Vec<Action>) {
    let leads = state.leader == Some(op);
    if !leads || state.operators.of(op).cache.bindings.of(who).is_none() {
        return;
    }
    actions.push(Action::Begin(op, who, Look::Fresh));
    actions.push(Action::Begin(op, who, Look::Status));
    let differs = state.azure.before.is_some_and(|before| before != state.azure.identity);
    if differs && state.budget.faults > 0 {
        actions.push(Action::Begin(op, who, Look::Stale));
    }
}

impl Model for Operators {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let start = |world: &World| {
            let mut state = State {
                budget: self.bounds.budget,
                ..fresh(world)
            };
            state.operators.1.young = false;
            state
        };
        self.worlds().iter().map(start).collect()
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.broken != 0 {
            return;
        }
        self.passes(state, actions);
        match state.late {
            Some(_) => actions.extend([Action::Arrive, Action::Lose]),
            None if state.is_young() => actions.push(Action::TimeGoesBy),
            None => {}
        }
        for op in Op::ALL {
            let at_work = state.leader == Some(op) || has_pass(state, op);
            if at_work && state.operators.of(op).cache != state.kube {
                actions.push(Action::Watch(op));
            }
            if state.budget.faults > 0 && at_work {
                actions.push(Action::Crash(op));
            }
            if state.leader.is_none() {
                actions.push(Action::Lead(op));
            }
        }
        if state.leader.is_some() && state.budget.terms > 0 {
            actions.push(Action::LeaseEnds);
        }
        if state.budget.people > 0 {
            people(state, actions);
        }
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let next = self.after(state, action)?;
        (next != *state).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        fn holds<const RULE: usize>(_: &Operators, state: &State) -> bool {
            Rule::ALL.get(RULE).is_some_and(|rule| state.broken & rule.bit() == 0)
        }
        let always = |rule: Rule, condition: fn(&Self, &State) -> bool| Property::always(rule.name(), condition);
        vec![
            always(Rule::ForeignUntouched, holds::<0>),
            always(Rule::UnderFinalizer, |model, state| {
                stands_under_finalizer(&model.mind, state)
            }),
            always(Rule::TrustEndsFirst, holds::<2>),
            always(Rule::ReadBefore, holds::<3>),
            always(Rule::OneWriter, holds::<4>),
            always(Rule::ClientIdFollows, holds::<5>),
            always(Rule::TrustEndsForAReason, holds::<6>),
            always(Rule::GivenByPermission, holds::<7>),
            always(Rule::GivenToTheLiving, holds::<8>),
            always(Rule::Told, holds::<9>),
            Property::always(REST, |model, state| comes_to_rest(&model.mind, state)),
        ]
    }

    fn within_boundary(&self, state: &State) -> bool {
        let reborn = |born: u8| born <= self.bounds.reborn;
        let bindings = [state.kube.bindings.0, state.kube.bindings.1];
        state.azure.made <= self.bounds.reborn.saturating_add(1)
            && bindings.iter().flatten().all(|binding| reborn(binding.born))
    }
}

/// The name of the property that every run comes to rest.
pub const REST: &str = "7: every run without more faults comes to rest as it should, and then writes nothing";

fn has_pass(state: &State, op: Op) -> bool {
    let passes = state.operators.of(op).passes;
    passes.0.is_some() || passes.1.is_some()
}

impl Operators {
    fn after(&self, state: &State, action: Action) -> Option<State> {
        let shell = |op, who| Shell {
            mind: &self.mind,
            op,
            who,
        };
        let mut next = *state;
        match action {
            Action::Begin(op, who, look) => {
                let shell = shell(op, who);
                next = shell.begin(state, look)?;
                if comes_to_nothing(&shell, state, &next) {
                    return None;
                }
                if look == Look::Stale {
                    next.budget.faults = next.budget.faults.saturating_sub(1);
                }
            }
            Action::Decide(op, who) => next = shell(op, who).decide(state)?,
            Action::Ask(op, who) => next = shell(op, who).ask(state)?,
            Action::End(op, who) => next = shell(op, who).end(state)?,
            Action::Step(op, who, luck) => {
                next = shell(op, who).step(state, luck)?;
                if luck != Luck::Answered {
                    next.budget.faults = next.budget.faults.saturating_sub(1);
                }
            }
            Action::Delete(_) | Action::Edit(_) | Action::Create(_) | Action::Narrow => {
                next.budget.people = next.budget.people.saturating_sub(1);
                by_people(&mut next, action)?;
            }
            Action::Arrive => {
                let late = next.late.take()?;
                next.azure.carry_out(late.write);
            }
            Action::Lose => next.late = None,
            Action::TimeGoesBy => next.time_goes_by(),
            Action::Watch(op) => watch(&mut next, op),
            Action::Crash(_) | Action::LeaseEnds | Action::Lead(_) => of_leading(&self.mind, &mut next, action),
        }
        Some(next)
    }
}

/// What an operator remembers of the time before it led says nothing of what another one did meanwhile.
fn of_leading(mind: &Mind, next: &mut State, action: Action) {
    match action {
        Action::Crash(op) => {
            if next.leader == Some(op) {
                next.leader = None;
            }
            let kube = next.kube;
            let operator = next.operators.of_mut(op);
            operator.passes = Pair::default();
            operator.memory = Pair::default();
            operator.cache = kube;
            next.budget.faults = next.budget.faults.saturating_sub(1);
        }
        Action::LeaseEnds => {
            next.leader = None;
            next.budget.terms = next.budget.terms.saturating_sub(1);
        }
        Action::Lead(op) => {
            next.leader = Some(op);
            let operator = next.operators.of_mut(op);
            operator.young = true;
            // Who loses the lease ends: when it leads again, it is another process, without the passes of the one before.
            operator.passes = Pair::default();
            if !mind.breaks(Mutant::MemoryOutlivesTheLease) {
                operator.memory = Pair::default();
            }
        }
        _ => {}
    }
}

/// Whether a pass that has just begun finds everything as it should be.
fn comes_to_nothing(shell: &Shell<'_>, before: &State, begun: &State) -> bool {
    let untouched = |state: &State| state.kube == before.kube && state.broken == before.broken;
    let ends = |state: &State| {
        let pass = *state.operators.of(shell.op).passes.of(shell.who);
        pass.is_none_or(|pass| pass.stage == Stage::Ends)
    };
    if !untouched(begun) {
        return false;
    }
    let Some(decided) = shell.decide(begun).filter(|state| untouched(state) && ends(state)) else {
        return ends(begun);
    };
    shell.end(&decided).is_none_or(|ended| untouched(&ended))
}

fn watch(next: &mut State, op: Op) {
    let kube = next.kube;
    let operator = next.operators.of_mut(op);
    for who in Who::ALL {
        let born = |kube: &Kube| kube.bindings.of(who).map(|binding| binding.born);
        if born(&operator.cache) != born(&kube) {
            *operator.memory.of_mut(who) = Memory::default();
        }
    }
    operator.cache = kube;
}

fn by_people(next: &mut State, action: Action) -> Option<()> {
    match action {
        Action::Delete(who) => {
            let stored = next.kube.bindings.of_mut(who);
            let binding = (*stored)?;
            *stored = binding.finalizer.then_some(Binding {
                deleting: true,
                generation: binding.generation.saturating_add(1),
                ..binding
            });
        }
        Action::Edit(who) => {
            let binding = next.kube.bindings.of_mut(who).as_mut()?;
            binding.account = Account::Job;
            binding.generation = binding.generation.saturating_add(1);
        }
        Action::Create(who) => {
            let born = next.born.of_mut(who);
            *born = born.saturating_add(1);
            *next.kube.bindings.of_mut(who) = Some(Binding {
                born: *born,
                ..first(Account::Web)
            });
        }
        Action::Narrow => {
            next.kube.policy = match next.kube.policy {
                Policy::Both => Policy::Orders,
                Policy::Orders | Policy::Neither => Policy::Neither,
            };
        }
        _ => {}
    }
    Some(())
}
