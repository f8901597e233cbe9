//! Rest: from every state a run without faults ends in a world that is as it should be, and in which nothing is written any more.

use crate::mind::Mind;
use crate::rules::wants;
use crate::shell::{Look, Luck, Shell};
use crate::world::{Account, Azure, Binding, Budget, Credential, Kube, Marks, Op, Operator, Pair, Stage, State, Who};

/// What a run begins with: nothing is remembered, and nothing is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct World {
    kube: Kube,
    accounts: Pair<Marks>,
    azure: Azure,
}

impl World {
    pub(crate) const fn new(kube: Kube, azure: Azure) -> Self {
        let unmarked = Marks {
            label: None,
            client: None,
        };
        Self {
            kube,
            accounts: Pair(unmarked, unmarked),
            azure,
        }
    }

    pub(crate) const fn of(state: &State) -> Self {
        Self {
            kube: state.kube,
            accounts: state.accounts,
            azure: Azure {
                before: None,
                ..state.azure
            },
        }
    }
}

/// Whether every run without faults from a state comes to rest: what is on its way may arrive before it, or never.
pub(crate) fn comes_to_rest(mind: &Mind, state: &State) -> bool {
    let lost = State { late: None, ..*state };
    let mut arrived = lost;
    if let Some(late) = state.late {
        arrived.azure.carry_out(late.write);
    }
    [lost, arrived]
        .iter()
        .all(|state| mind.rests.ask(World::of(state), |world| rests(mind, world)))
}

/// The state of a world with one operator that begins to lead.
pub(crate) fn fresh(world: &World) -> State {
    let operator = Operator {
        young: true,
        cache: world.kube,
        memory: Pair::default(),
        passes: Pair::default(),
    };
    State {
        kube: world.kube,
        accounts: world.accounts,
        azure: world.azure,
        late: None,
        operators: Pair(operator, operator),
        born: Pair::default(),
        leader: Some(Op::First),
        budget: Budget {
            faults: 0,
            people: 0,
            terms: 0,
        },
        broken: 0,
    }
}

/// The world in which it comes to rest; none when it does not.
pub(crate) fn at_rest(mind: &Mind, world: &World) -> Option<State> {
    const ROUNDS: usize = 10;
    let mut state = fresh(world);
    for _ in 0..ROUNDS {
        let before = state;
        let mut wrote = false;
        for who in Who::ALL {
            let (after, steps) = whole_pass(mind, &state, who)?;
            state = after;
            wrote |= steps > 0;
        }
        settle(&mut state);
        if !wrote && World::of(&state) == World::of(&before) && state.operators == before.operators {
            return Some(state);
        }
    }
    None
}

/// All that was written has arrived, and everybody knows it.
fn settle(state: &mut State) {
    state.time_goes_by();
    for op in Op::ALL {
        state.operators.of_mut(op).cache = state.kube;
    }
}

/// A whole pass, and how many steps it took.
fn whole_pass(mind: &Mind, state: &State, who: Who) -> Option<(State, usize)> {
    const STEPS: usize = 40;
    let mut steps = 0;
    if state.kube.bindings.of(who).is_none() {
        return Some((*state, steps));
    }
    let op = Op::First;
    let shell = Shell { mind, op, who };
    let mut state = shell.begin(state, Look::Fresh)?;
    for _ in 0..STEPS {
        let Some(pass) = *state.operators.of(op).passes.of(who) else {
            return Some((state, steps));
        };
        state = match pass.stage {
            Stage::Looked(_) => shell.decide(&state)?,
            Stage::Takes(_) | Stage::Gives(_) => {
                steps += 1;
                shell.step(&state, Luck::Answered)?
            }
            Stage::Asks => shell.ask(&state)?,
            Stage::Ends => shell.end(&state)?,
        };
    }
    None
}

fn rests(mind: &Mind, world: &World) -> bool {
    at_rest(mind, world).is_some_and(|state| state.broken == 0 && is_as_it_should_be(&state))
}

/// Whether everybody has what he may have, and nothing else is there.
fn is_as_it_should_be(state: &State) -> bool {
    Who::ALL.iter().all(|who| match state.kube.bindings.of(*who) {
        Some(binding) if binding.deleting => is_kept(state, *who),
        Some(binding) if wants(&state.kube, *who, binding.account) => {
            is_trusted(state, *who, binding) || is_without_identity(state, *who)
        }
        Some(_) | None => true,
    }) && nothing_is_left(state)
}

/// Whether a binding that is to be gone is kept for somebody who uses its identity.
fn is_kept(state: &State, who: Who) -> bool {
    let Some(identity) = state.azure.identity else {
        return false;
    };
    let used = identity.credentials.all().any(|credential| match credential {
        Credential::Foreign => true,
        Credential::Ours(_, account) => wants(&state.kube, who.other(), account),
    });
    who == Who::Orders && identity.tags.is_some() && used
}

/// Whether a binding is trusted: its service account carries the client id of an identity that trusts it.
fn is_trusted(state: &State, who: Who, binding: &Binding) -> bool {
    let Some(identity) = state.azure.identity else {
        return false;
    };
    let marks = state.accounts.of(binding.account);
    let is_made_by = who == Who::Invoices || identity.tags == Some(binding.born);
    is_made_by && identity.credentials.trust(binding.account) && marks.client == Some(identity.made)
}

/// Whether the identity that a binding asks for is not there, or not its own: what it may have it cannot have.
fn is_without_identity(state: &State, who: Who) -> bool {
    match who {
        Who::Orders => state.azure.identity.is_some_and(|identity| identity.tags.is_none()),
        Who::Invoices => state.azure.identity.is_none(),
    }
}

/// Whether nothing stands that nobody wants: neither trust nor marks.
fn nothing_is_left(state: &State) -> bool {
    let wanted = |account: Account| Who::ALL.iter().any(|who| wants(&state.kube, *who, account));
    Account::ALL.iter().all(|account| {
        let trusted = state
            .azure
            .identity
            .is_some_and(|identity| identity.credentials.trust(*account));
        wanted(*account) || (!trusted && *state.accounts.of(*account) == Marks::default())
    })
}
