//! The rules of the domain, as what each event and each state must not show. They are asked of the world itself, and not of the core.

use crate::mind::{Mind, Planned};
use crate::world::{Account, Binding, Credential, Kube, State, Who, Write};

/// A rule of the domain, by its number there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rule {
    /// 1: what is somebody else's is never touched.
    ForeignUntouched,
    /// 3, 16: what stands of a binding, or may still arrive, stands under a finalizer.
    UnderFinalizer,
    /// 4: trust ends first.
    TrustEndsFirst,
    /// 5, 13: a look before anything is deleted, and before an identity is written.
    ReadBefore,
    /// 6: one writer: only who leads writes.
    OneWriter,
    /// 8: a client id follows its credential.
    ClientIdFollows,
    /// 14: trust ends for a reason of its own, and a sharer's not at all.
    TrustEndsForAReason,
    /// 17: nothing is given that is not asked for and permitted.
    GivenByPermission,
    /// 18: a grant is given to a binding that is live.
    GivenToTheLiving,
    /// The model itself: something came up that it has no word for.
    Told,
}

impl Rule {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::ForeignUntouched,
        Self::UnderFinalizer,
        Self::TrustEndsFirst,
        Self::ReadBefore,
        Self::OneWriter,
        Self::ClientIdFollows,
        Self::TrustEndsForAReason,
        Self::GivenByPermission,
        Self::GivenToTheLiving,
        Self::Told,
    ];

    /// Its bit.
    #[must_use]
    pub const fn bit(self) -> u16 {
        1 << self as u16
    }

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ForeignUntouched => "1: what is somebody else's is never touched",
            Self::UnderFinalizer => "3, 16: what stands of a binding stands under a finalizer",
            Self::TrustEndsFirst => "4: trust ends first",
            Self::ReadBefore => "5, 13: Azure is looked at before",
            Self::OneWriter => "6: one writer",
            Self::ClientIdFollows => "8: a client id follows its credential",
            Self::TrustEndsForAReason => "14: trust ends for a reason of its own",
            Self::GivenByPermission => "17: nothing is given that is not asked for and permitted",
            Self::GivenToTheLiving => "18: a grant is given to a binding that is live",
            Self::Told => "the model has a word for everything",
        }
    }
}

/// Whether a binding wants an account to be trusted and may have that.
pub(crate) fn wants(kube: &Kube, who: Who, account: Account) -> bool {
    let binding = kube.bindings.of(who);
    binding.is_some_and(|binding| !binding.deleting && binding.account == account) && kube.policy.allows(who)
}

/// Whether a binding relies on a credential for an account: it wants the account, and made the credential or tells of trust for the account and of an
/// identity. A mark that it has seen on the account is no trust (docs/adr/0010).
fn relies(mind: &Mind, kube: &Kube, who: Who, (maker, account): (Who, Account)) -> bool {
    let name = mind.cast.account(account);
    let has = |binding: &Binding| {
        let parsed = mind.binding(who, binding);
        let recorded = parsed.as_ref().map(|parsed| &parsed.recorded);
        let told = recorded.is_some_and(|recorded| {
            recorded.identity.is_some() && recorded.trusted_accounts().any(|told| told == name)
        });
        binding.finalizer && (maker == who || told)
    };
    wants(kube, who, account) && kube.bindings.of(who).as_ref().is_some_and(has)
}

/// Whether an identity carries the tags of the binding that made it, while its status does not say so yet and another binding's credential was seen
/// on it: it may have been somebody else's before, and then nothing may be on it for this binding.
fn is_unproven(mind: &Mind, planned: &Planned) -> bool {
    let who = planned.question.who;
    let binding = planned.question.kube.bindings.of(who).as_ref();
    let known = binding.and_then(|binding| mind.binding(who, binding)?.recorded.identity.as_ref()?.ids.client);
    let used = |credential| matches!(credential, Credential::Ours(maker, _) if maker != who);
    let in_use = planned
        .view
        .identity
        .is_some_and(|identity| identity.credentials.all().any(used));
    who == Who::Orders && known.is_none() && in_use
}

/// The rules that a write breaks which takes something away for a binding, by what it was planned by.
pub(crate) fn of_revocation(mind: &Mind, state: &State, planned: &Planned, write: Write) -> u16 {
    let (who, decided) = (planned.question.who, &planned.question.kube);
    let identity = state.azure.identity;
    match write {
        Write::Delete(Credential::Foreign) => Rule::ForeignUntouched.bit(),
        Write::Delete(Credential::Ours(maker, account)) => {
            let needed = wants(decided, who, account) || relies(mind, decided, who.other(), (maker, account));
            let kept = needed && !is_unproven(mind, planned);
            if kept { Rule::TrustEndsForAReason.bit() } else { 0 }
        }
        Write::DeleteIdentity => {
            let foreign = identity.is_some_and(|one| one.tags.is_none() || one.credentials.has(Credential::Foreign));
            let deleting = decided.bindings.of(who).is_some_and(|binding| binding.deleting);
            let of = |broken: bool, rule: Rule| if broken { rule.bit() } else { 0 };
            of(foreign, Rule::ForeignUntouched) | of(!deleting, Rule::TrustEndsForAReason)
        }
        Write::CreateIdentity(_) | Write::Tag(_) | Write::Put(_) => Rule::Told.bit(),
    }
}

/// The rules that a write breaks which gives something to a binding: `shown` is what the caches of its operator show now.
pub(crate) fn of_grant(state: &State, shown: &Kube, who: Who, born: u8, write: Write) -> u16 {
    let live = state
        .kube
        .bindings
        .of(who)
        .is_some_and(|binding| binding.born == born && binding.finalizer);
    let account = match write {
        Write::Put(credential) => credential.account(),
        _ => shown.bindings.of(who).map(|binding| binding.account),
    };
    let permitted = account.is_some_and(|account| wants(shown, who, account));
    let foreign = state.azure.identity.is_some_and(|one| one.tags.is_none()) && who == Who::Orders;
    let of = |broken: bool, rule: Rule| if broken { rule.bit() } else { 0 };
    of(!live, Rule::GivenToTheLiving) | of(!permitted, Rule::GivenByPermission) | of(foreign, Rule::ForeignUntouched)
}

/// Whether all that stands, or may still arrive, stands under a finalizer.
pub(crate) fn stands_under_finalizer(mind: &Mind, state: &State) -> bool {
    let held = |who: Who| state.kube.bindings.of(who).filter(|binding| binding.finalizer);
    let claims = |who: Who, account: Account| {
        held(who).is_some_and(|binding| {
            binding.account == account
                || mind
                    .binding(who, &binding)
                    .is_some_and(|parsed| parsed.claims.accounts.contains(mind.cast.account(account)))
        })
    };
    let is_held = |credential: Credential| match credential {
        Credential::Foreign => true,
        Credential::Ours(who, account) => held(who).is_some() || claims(who.other(), account),
    };
    let identity = state.azure.identity;
    let late = state.late.map(|late| late.write);
    let arrives = |write: Write| match write {
        Write::CreateIdentity(_) => held(Who::Orders).is_some(),
        Write::Put(credential) => is_held(credential),
        Write::Tag(_) | Write::Delete(_) | Write::DeleteIdentity => true,
    };
    let tagged = identity.is_some_and(|identity| identity.tags.is_some());
    identity.is_none_or(|identity| identity.credentials.all().all(is_held))
        && (!tagged || held(Who::Orders).is_some())
        && late.is_none_or(arrives)
}
