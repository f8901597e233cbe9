//! The world of the model: small, hashable, and no more than what the core's decisions can tell apart.

/// One of the two bindings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Who {
    /// Binding orders, which manages the identity.
    Orders,
    /// Binding invoices, which refers to the same identity.
    Invoices,
}

/// One of the two service accounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Account {
    /// What both bindings ask for at first.
    Web,
    /// What an edit asks for.
    Job,
}

/// One of the two operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Op {
    /// The first to lead.
    First,
    /// The other.
    Second,
}

/// One value for each of two.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Pair<T>(pub T, pub T);

/// What chooses one of two.
pub trait Side: Copy {
    /// Whether it is the first.
    fn is_first(self) -> bool;
}

impl Side for Who {
    fn is_first(self) -> bool {
        self == Self::Orders
    }
}

impl Side for Account {
    fn is_first(self) -> bool {
        self == Self::Web
    }
}

impl Side for Op {
    fn is_first(self) -> bool {
        self == Self::First
    }
}

impl<T> Pair<T> {
    /// The value of one.
    pub fn of(&self, side: impl Side) -> &T {
        if side.is_first() { &self.0 } else { &self.1 }
    }

    /// The same, to be changed.
    pub fn of_mut(&mut self, side: impl Side) -> &mut T {
        if side.is_first() { &mut self.0 } else { &mut self.1 }
    }
}

impl Who {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Orders, Self::Invoices];

    /// The other one.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Orders => Self::Invoices,
            Self::Invoices => Self::Orders,
        }
    }
}

impl Account {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Web, Self::Job];
}

impl Op {
    /// Both.
    pub const ALL: [Self; 2] = [Self::First, Self::Second];

    /// The other one.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::First => Self::Second,
            Self::Second => Self::First,
        }
    }
}

/// What the policy allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Policy {
    /// Both bindings what they ask for.
    Both,
    /// Only orders.
    Orders,
    /// Neither.
    Neither,
}

impl Policy {
    /// Whether it allows a binding what it asks for.
    #[must_use]
    pub fn allows(self, who: Who) -> bool {
        match self {
            Self::Both => true,
            Self::Orders => who == Who::Orders,
            Self::Neither => false,
        }
    }
}

/// A status, by its number among those that came up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StatusId(pub u32);

/// A binding as the API server has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Binding {
    /// The how-many-th of its name it is.
    pub born: u8,
    /// The generation of its spec.
    pub generation: u8,
    /// The service account that it asks for.
    pub account: Account,
    /// Whether it is being deleted.
    pub deleting: bool,
    /// Whether it has our finalizer.
    pub finalizer: bool,
    /// Its status; none when it has none yet.
    pub status: Option<StatusId>,
}

/// What decisions rest on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Kube {
    /// The policy.
    pub policy: Policy,
    /// The bindings.
    pub bindings: Pair<Option<Binding>>,
}

/// What a service account carries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Marks {
    /// The binding whose label it carries.
    pub label: Option<(Who, u8)>,
    /// The identity whose client id it carries.
    pub client: Option<u8>,
}

/// A federated credential: one of ours, or that of somebody else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Credential {
    /// Made by a binding for an account.
    Ours(Who, Account),
    /// Somebody else's.
    Foreign,
}

impl Credential {
    /// All that there can be.
    pub const ALL: [Self; 5] = [
        Self::Ours(Who::Orders, Account::Web),
        Self::Ours(Who::Orders, Account::Job),
        Self::Ours(Who::Invoices, Account::Web),
        Self::Ours(Who::Invoices, Account::Job),
        Self::Foreign,
    ];

    const fn bit(self) -> u8 {
        match self {
            Self::Ours(Who::Orders, Account::Web) => 1,
            Self::Ours(Who::Orders, Account::Job) => 2,
            Self::Ours(Who::Invoices, Account::Web) => 4,
            Self::Ours(Who::Invoices, Account::Job) => 8,
            Self::Foreign => 16,
        }
    }

    /// Whom it trusts of ours.
    #[must_use]
    pub const fn account(self) -> Option<Account> {
        match self {
            Self::Ours(_, account) => Some(account),
            Self::Foreign => None,
        }
    }
}

/// The credentials of an identity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Credentials(u8);

impl Credentials {
    /// Whether one is there.
    #[must_use]
    pub const fn has(self, one: Credential) -> bool {
        self.0 & one.bit() != 0
    }

    /// Puts one there.
    pub const fn put(&mut self, one: Credential) {
        self.0 |= one.bit();
    }

    /// Takes one away.
    pub const fn take(&mut self, one: Credential) {
        self.0 &= !one.bit();
    }

    /// All that are there.
    pub fn all(self) -> impl Iterator<Item = Credential> {
        Credential::ALL.into_iter().filter(move |one| self.has(*one))
    }

    /// Whether one of ours trusts an account.
    #[must_use]
    pub fn trust(self, account: Account) -> bool {
        Who::ALL.iter().any(|who| self.has(Credential::Ours(*who, account)))
    }
}

/// The identity that both bindings ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    /// The how-many-th of its name it is.
    pub made: u8,
    /// The binding orders whose tags it carries; none when nobody's.
    pub tags: Option<u8>,
    /// Its federated credentials.
    pub credentials: Credentials,
}

/// A write to Azure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Write {
    /// Create the identity, with the tags of this binding orders.
    CreateIdentity(u8),
    /// Give it these tags.
    Tag(u8),
    /// Create a credential.
    Put(Credential),
    /// Delete one.
    Delete(Credential),
    /// Delete the identity.
    DeleteIdentity,
}

/// Azure's answer to a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Answer {
    /// It is done, and was not before.
    Done,
    /// There was nothing to do.
    NotThere,
    /// Something stood there.
    StoodThere,
    /// It cannot be done.
    Refused,
}

/// Azure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Azure {
    /// The identity.
    pub identity: Option<Identity>,
    /// How many there were of its name.
    pub made: u8,
    /// What a read may still show instead: what stood before the last change, while that was a moment ago.
    pub before: Option<Option<Identity>>,
}

impl Azure {
    /// Carries a write out.
    pub fn carry_out(&mut self, write: Write) -> Answer {
        let before = self.identity;
        let answer = self.change(write);
        if self.identity != before {
            self.before = Some(before);
        }
        answer
    }

    fn change(&mut self, write: Write) -> Answer {
        let Some(identity) = &mut self.identity else {
            return match write {
                Write::CreateIdentity(born) => {
                    self.made = self.made.saturating_add(1);
                    self.identity = Some(Identity {
                        made: self.made,
                        tags: Some(born),
                        credentials: Credentials::default(),
                    });
                    Answer::Done
                }
                Write::Delete(_) | Write::DeleteIdentity => Answer::NotThere,
                Write::Tag(_) | Write::Put(_) => Answer::Refused,
            };
        };
        match write {
            Write::CreateIdentity(born) => {
                identity.tags = Some(born);
                Answer::StoodThere
            }
            Write::Tag(born) => {
                identity.tags = Some(born);
                Answer::Done
            }
            Write::Put(credential) => {
                // Azure allows one for a subject of an issuer.
                let same = |other: &Credential| *other != credential && other.account() == credential.account();
                if identity.credentials.all().any(|other| same(&other)) {
                    return Answer::Refused;
                }
                identity.credentials.put(credential);
                Answer::Done
            }
            Write::Delete(credential) if !identity.credentials.has(credential) => Answer::NotThere,
            Write::Delete(credential) => {
                identity.credentials.take(credential);
                Answer::Done
            }
            Write::DeleteIdentity => {
                self.identity = None;
                Answer::Done
            }
        }
    }
}

/// A write that nobody heard of any more and that may still arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Late {
    /// The binding for which it was sent.
    pub by: Who,
    /// What it is.
    pub write: Write,
}

/// What a pass saw of the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct View {
    /// The identity.
    pub identity: Option<Identity>,
    /// The service accounts.
    pub accounts: Pair<Marks>,
}

/// What an operator remembers of a binding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Memory {
    /// It set the finalizer, and nothing had been written before.
    pub here: bool,
    /// It sent a write that was not certainly refused, or found what one made.
    pub has_written: bool,
    /// What it sent a moment ago.
    pub sent: Sent,
}

/// What was sent a moment ago.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Sent {
    /// A write.
    pub recent: bool,
    /// One that was not answered.
    pub unanswered: bool,
}

/// An operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Operator {
    /// Whether it began to lead a moment ago.
    pub young: bool,
    /// What its caches show.
    pub cache: Kube,
    /// What it remembers.
    pub memory: Pair<Memory>,
    /// Its passes.
    pub passes: Pair<Option<Pass>>,
}

/// What a pass is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Aim {
    /// A binding that may have what it asks for.
    Bound,
    /// One that may not.
    Denied,
    /// One that is to be gone.
    Gone,
}

/// What a pass has looked at, and for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Looked {
    /// What it saw.
    pub view: View,
    /// What it is about.
    pub aim: Aim,
    /// The policy by which that was decided.
    pub policy: Policy,
}

/// Where a pass is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// It has looked.
    Looked(Looked),
    /// It has decided, and takes away: this step is the next one.
    Takes(u8),
    /// It is to see whether the binding is live.
    Asks,
    /// It gives: this step is the next one.
    Gives(u8),
    /// It is to write down what came of it.
    Ends,
}

/// How a pass knows what it rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Known {
    /// The API server showed the binding in this pass.
    pub live: bool,
    /// Azure was looked at in this pass.
    pub read: bool,
}

/// A pass over a binding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Pass {
    /// Where it is.
    pub stage: Stage,
    /// The binding as it has it.
    pub object: Binding,
    /// The plan that it carries out, by its number among those that came up.
    pub plan: Option<u32>,
    /// The steps that took something away, and those that gave.
    pub done: (u8, u8),
    /// The steps that were refused, and those that were not answered.
    pub failed: (u8, u8),
    /// How giving failed: refused, or not answered.
    pub given_up: Option<bool>,
    /// Whether something was not there that was to be taken away.
    pub gaps: bool,
    /// How the binding is known.
    pub known: Known,
    /// The identity that it made.
    pub made: Option<u8>,
    /// What was on its way when it looked: recent, unanswered, an earlier operator's.
    pub on_its_way: (bool, bool, bool),
}

/// What is left of what may happen beside the passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Budget {
    /// Faults: crashes, stale looks, refusals, writes without an answer.
    pub faults: u8,
    /// What people do: deletions, edits, a policy that is narrowed.
    pub people: u8,
    /// How often the lease may be lost.
    pub terms: u8,
}

/// The state of everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct State {
    /// What the API server has.
    pub kube: Kube,
    /// The service accounts.
    pub accounts: Pair<Marks>,
    /// Azure.
    pub azure: Azure,
    /// What may still arrive there.
    pub late: Option<Late>,
    /// The operators.
    pub operators: Pair<Operator>,
    /// How many bindings of each name there were before.
    pub born: Pair<u8>,
    /// Who leads.
    pub leader: Option<Op>,
    /// What may still happen.
    pub budget: Budget,
    /// The rules that were broken, by their bits.
    pub broken: u16,
}

impl State {
    /// Whether something was a moment ago.
    #[must_use]
    pub fn is_young(&self) -> bool {
        let operators = [self.operators.0, self.operators.1];
        let sent = |operator: &Operator| operator.memory != operator.memory.long_ago();
        self.azure.before.is_some() || operators.iter().any(|operator| operator.young || sent(operator))
    }

    /// So much time goes by that nothing can be on its way any more, and reads show what is.
    pub fn time_goes_by(&mut self) {
        self.azure.before = None;
        for op in Op::ALL {
            let operator = self.operators.of_mut(op);
            operator.young = false;
            operator.memory = operator.memory.long_ago();
        }
    }
}

impl Pair<Memory> {
    /// The same when all that was sent was sent long ago.
    const fn long_ago(self) -> Self {
        const NOTHING: Sent = Sent {
            recent: false,
            unanswered: false,
        };
        Self(
            Memory {
                sent: NOTHING,
                ..self.0
            },
            Memory {
                sent: NOTHING,
                ..self.1
            },
        )
    }
}
