//! A model of Azure and the cluster that keeps their rules, and worlds to start from.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use uuid::Uuid;
use wio_api::{ConflictPolicy, keys};
use wio_core::binding::Owner;
use wio_core::desired::{Desired, DesiredBinding, DesiredCredential, DesiredServiceAccount};
use wio_core::names::{ServiceAccountName, ServiceAccountUid, credential_name};
use wio_core::observed::{
    BoundBy, IdentityFacts, Observed, ObservedCredential, ObservedIdentity, ObservedServiceAccount, PresentIdentity,
    Tags,
};
use wio_core::plan::{GrantStep, MAX_CREDENTIALS, Plan, Revocation};

use crate::given::{ACCOUNTS, OLD_ISSUER, accounts_of, name};

/// What Azure and the cluster hold for one binding.
#[derive(Clone, Debug, PartialEq)]
pub struct World {
    pub identity: Option<PresentIdentity>,
    pub accounts: BTreeMap<ServiceAccountName, Account>,
    /// Identities that were created so far: each gets a client id of its own.
    created: u128,
}

/// A service account, and who put what on it.
#[derive(Clone, Debug, PartialEq)]
pub struct Account {
    pub uid: ServiceAccountUid,
    pub mark: BoundBy,
    pub created_by_operator: bool,
    /// What the operator's field manager holds.
    pub ours: Values,
    /// What another field manager holds.
    pub others: Values,
}

/// The annotations that the pod webhook reads.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Values {
    pub client_id: Option<String>,
    pub tenant_id: Option<String>,
    pub token_expiration: Option<String>,
}

/// What became of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ran {
    Done,
    /// Another field manager holds another value, and the spec does not say Force.
    Refused,
}

pub fn facts(n: u128) -> IdentityFacts {
    IdentityFacts {
        client_id: Uuid::from_u128(0xc000 + n).into(),
        principal_id: Uuid::from_u128(0xa000 + n).into(),
        tenant_id: Uuid::from_u128(0x7e57).into(),
    }
}

pub fn right_values(wanted: &DesiredServiceAccount, facts: &IdentityFacts) -> Values {
    Values {
        client_id: Some(facts.client_id.to_string()),
        tenant_id: Some(facts.tenant_id.to_string()),
        token_expiration: wanted.token_expiration.map(|seconds| seconds.to_string()),
    }
}

pub fn account(n: usize, mark: BoundBy) -> Account {
    Account {
        uid: name(&format!("uid-{n}")),
        mark,
        created_by_operator: false,
        ours: Values::default(),
        others: Values::default(),
    }
}

pub fn as_wanted(wanted: &DesiredCredential) -> ObservedCredential {
    ObservedCredential {
        name: wanted.name.clone(),
        issuer: wanted.issuer.to_string(),
        subject: Some(wanted.subject.to_string()),
        audiences: vec![wanted.audience.to_string()],
    }
}

pub fn foreign_credential(n: usize) -> ObservedCredential {
    ObservedCredential {
        name: name(&format!("terraform-{n}")),
        issuer: "https://token.actions.githubusercontent.com".to_owned(),
        subject: Some(format!("repo:shop/orders:ref:refs/heads/{n}")),
        audiences: vec!["api://AzureADTokenExchange".to_owned()],
    }
}

pub fn tags_of(owner: &Owner) -> Tags {
    Tags::from([
        (keys::CLUSTER_TAG.to_owned(), owner.cluster.to_string()),
        (
            keys::BINDING_TAG.to_owned(),
            format!("{}/{}", owner.namespace, owner.name),
        ),
        (keys::BINDING_UID_TAG.to_owned(), owner.uid.to_string()),
    ])
}

impl World {
    pub fn empty() -> Self {
        Self {
            identity: None,
            accounts: BTreeMap::new(),
            created: 0,
        }
    }

    /// Everything as the binding asks.
    pub fn as_desired(bound: &DesiredBinding) -> Self {
        let facts = facts(0);
        let tags = match &bound.identity {
            wio_core::desired::DesiredIdentity::Managed { tags, .. } => tags.clone(),
            wio_core::desired::DesiredIdentity::Existing => Tags::new(),
        };
        let marked = |(n, wanted): (usize, &DesiredServiceAccount)| {
            let ours = right_values(wanted, &facts);
            (
                wanted.name.clone(),
                Account {
                    ours,
                    ..account(n, BoundBy::Us)
                },
            )
        };
        Self {
            identity: Some(PresentIdentity {
                facts,
                tags,
                credentials: bound.credentials.iter().map(as_wanted).collect(),
            }),
            accounts: bound.service_accounts.iter().enumerate().map(marked).collect(),
            created: 1,
        }
    }

    /// The same world with one more federated credential, if Azure would allow it.
    pub fn insert(&mut self, credential: ObservedCredential) {
        let _ = self.put(credential, false);
    }

    pub fn credentials(&self) -> &[ObservedCredential] {
        self.identity.as_ref().map_or(&[], |identity| &identity.credentials)
    }

    /// What the shell would observe.
    pub fn observe(&self, named: &BTreeSet<ServiceAccountName>) -> Observed {
        let seen = |account: &Account| ObservedServiceAccount {
            uid: account.uid.clone(),
            client_id: account
                .ours
                .client_id
                .clone()
                .or_else(|| account.others.client_id.clone()),
            tenant_id: account
                .ours
                .tenant_id
                .clone()
                .or_else(|| account.others.tenant_id.clone()),
            token_expiration: account.ours.token_expiration.clone(),
            bound_by: account.mark.clone(),
            created_by_us: account.created_by_operator,
        };
        Observed {
            identity: self
                .identity
                .clone()
                .map_or(ObservedIdentity::Absent, ObservedIdentity::Present),
            service_accounts: self
                .accounts
                .iter()
                .filter(|(name, account)| named.contains(name) || account.mark == BoundBy::Us)
                .map(|(name, account)| (name.clone(), seen(account)))
                .collect(),
        }
    }

    /// Carries out a plan, or its first steps. Fails when a step breaks one of Azure's rules or one of ours.
    pub fn run(&mut self, desired: &Desired, plan: &Plan, steps: usize) -> Result<Vec<Ran>, String> {
        let mut ran = Vec::new();
        for step in plan.revocations.iter().take(steps) {
            self.revoke(step)?;
            ran.push(Ran::Done);
        }
        for step in plan.grants.iter().take(steps.saturating_sub(plan.revocations.len())) {
            let Desired::Bound(bound) = desired else {
                return Err(format!("{step:?} for a binding that is to be gone"));
            };
            ran.push(self.grant(bound, step)?);
        }
        Ok(ran)
    }

    fn revoke(&mut self, step: &Revocation) -> Result<(), String> {
        match step {
            Revocation::DeleteCredential(name) => {
                let identity = self.identity.as_mut().ok_or("a credential of no identity")?;
                let before = identity.credentials.len();
                identity.credentials.retain(|credential| credential.name != *name);
                (identity.credentials.len() < before)
                    .then_some(())
                    .ok_or(format!("{name} is not there"))
            }
            Revocation::DeleteIdentity => {
                let identity = self.identity.take().ok_or("an identity that is not there")?;
                // Azure would take these along without a word.
                identity
                    .credentials
                    .is_empty()
                    .then_some(())
                    .ok_or("others still use the identity".to_owned())
            }
            Revocation::ReleaseServiceAccount { name, uid, delete } => {
                let account = self.accounts.get_mut(name).ok_or(format!("{name} is not there"))?;
                if account.uid != *uid || account.mark != BoundBy::Us {
                    return Err(format!("{name} is not the one meant"));
                }
                account.ours = Values::default();
                account.mark = BoundBy::Nobody;
                if *delete && account.others == Values::default() {
                    self.accounts.remove(name);
                }
                Ok(())
            }
        }
    }

    fn grant(&mut self, bound: &DesiredBinding, step: &GrantStep) -> Result<Ran, String> {
        match step {
            GrantStep::CreateIdentity { tags, .. } => {
                if self.identity.is_some() {
                    return Err("the identity is there already".to_owned());
                }
                self.identity = Some(PresentIdentity {
                    facts: facts(self.created),
                    tags: tags.clone(),
                    credentials: Vec::new(),
                });
                self.created += 1;
                Ok(Ran::Done)
            }
            GrantStep::TagIdentity { tags } => {
                let names: BTreeSet<String> = tags.keys().map(|name| name.to_lowercase()).collect();
                if names.len() < tags.len() {
                    return Err(format!("one tag twice in {tags:?}"));
                }
                let identity = self.identity.as_mut().ok_or("tags of no identity")?;
                // A tag that is there keeps the case of its name.
                let kept = |name: &String| identity.tags.keys().find(|old| old.eq_ignore_ascii_case(name)).cloned();
                identity.tags = tags
                    .iter()
                    .map(|(name, value)| (kept(name).unwrap_or_else(|| name.clone()), value.clone()))
                    .collect();
                Ok(Ran::Done)
            }
            GrantStep::PutCredential(wanted) => self.put(as_wanted(wanted), true).map(|()| Ran::Done),
            GrantStep::ApplyServiceAccount(wanted) => self.apply(bound, wanted),
        }
    }

    fn put(&mut self, credential: ObservedCredential, replace: bool) -> Result<(), String> {
        let identity = self.identity.as_mut().ok_or("a credential of no identity")?;
        let same_name = |other: &&ObservedCredential| other.name == credential.name;
        let exists = identity.credentials.iter().any(|other| same_name(&other));
        if exists && !replace {
            return Err(format!("{} is there already", credential.name));
        }
        let trusted_twice = identity.credentials.iter().find(|other| {
            !same_name(other)
                && other.subject.is_some()
                && other.issuer == credential.issuer
                && other.subject == credential.subject
        });
        if let Some(other) = trusted_twice {
            return Err(format!("{} and {} trust the same subject", credential.name, other.name));
        }
        if !exists && identity.credentials.len() == MAX_CREDENTIALS {
            return Err(format!("{} is the 21st", credential.name));
        }
        identity.credentials.retain(|other| other.name != credential.name);
        identity.credentials.push(credential);
        Ok(())
    }

    fn apply(&mut self, bound: &DesiredBinding, wanted: &DesiredServiceAccount) -> Result<Ran, String> {
        let identity = self.identity.as_ref().ok_or("a client id of no identity")?;
        let trust = bound
            .credential_of(&wanted.name)
            .ok_or("a service account without a credential")?;
        let trusted = identity.credentials.iter().any(|credential| {
            credential.trusts(trust.issuer.as_str(), trust.subject.as_str())
                && credential.audiences == [trust.audience.to_string()]
        });
        if !trusted {
            return Err(format!("{} gets a client id that nobody trusts it with", wanted.name));
        }
        let values = right_values(wanted, &identity.facts);
        let fresh = Account {
            created_by_operator: true,
            ..account(1000 + self.accounts.len(), BoundBy::Nobody)
        };
        if !wanted.create && !self.accounts.contains_key(&wanted.name) {
            return Err(format!("{} is created though the spec says not to", wanted.name));
        }
        let account = self.accounts.entry(wanted.name.clone()).or_insert(fresh);
        if matches!(account.mark, BoundBy::Other { .. }) {
            return Err(format!("{} is bound by another binding", wanted.name));
        }
        let differs =
            |theirs: &Option<String>, ours: &Option<String>| theirs.is_some() && ours.is_some() && theirs != ours;
        let conflict = differs(&account.others.client_id, &values.client_id)
            || differs(&account.others.tenant_id, &values.tenant_id)
            || differs(&account.others.token_expiration, &values.token_expiration);
        if conflict && wanted.conflict_policy == ConflictPolicy::Report {
            return Ok(Ran::Refused);
        }
        if conflict {
            account.others = Values::default();
        }
        account.ours = values;
        account.mark = BoundBy::Us;
        Ok(Ran::Done)
    }
}

/// A federated credential to start with, before it is known for which binding.
#[derive(Clone, Debug)]
pub enum Seed {
    Exact(usize),
    WrongAudience(usize),
    NameInCapitals(usize),
    /// One of ours that somebody edited to trust another service account.
    EditedSubject(usize, usize),
    EditedIssuer(usize),
    /// Two of ours that hold each other's subject.
    Swapped(usize),
    MadeFlexible(usize),
    /// Of a service account that may not be in the spec any more.
    Stale(usize),
    OldIssuer(usize),
    Foreign(usize),
    ForeignSame(usize),
    ForeignSameOtherAudience(usize),
    ForeignFlexible(usize),
    Aks,
    OfAnotherBinding(usize),
}

fn any_seed() -> BoxedStrategy<Seed> {
    let n = || 0..20_usize;
    prop_oneof![
        4 => n().prop_map(Seed::Exact),
        1 => n().prop_map(Seed::WrongAudience),
        1 => n().prop_map(Seed::NameInCapitals),
        1 => (n(), 0..ACCOUNTS.len()).prop_map(|(i, j)| Seed::EditedSubject(i, j)),
        1 => n().prop_map(Seed::EditedIssuer),
        2 => n().prop_map(Seed::Swapped),
        1 => n().prop_map(Seed::MadeFlexible),
        2 => (0..ACCOUNTS.len()).prop_map(Seed::Stale),
        1 => n().prop_map(Seed::OldIssuer),
        3 => n().prop_map(Seed::Foreign),
        1 => n().prop_map(Seed::ForeignSame),
        1 => n().prop_map(Seed::ForeignSameOtherAudience),
        1 => n().prop_map(Seed::ForeignFlexible),
        1 => Just(Seed::Aks),
        1 => n().prop_map(Seed::OfAnotherBinding),
    ]
    .boxed()
}

fn grow(seed: &Seed, bound: &DesiredBinding) -> Vec<ObservedCredential> {
    let wanted = |i: usize| &bound.credentials[i % bound.credentials.len()];
    let exact = |i: usize| as_wanted(wanted(i));
    let subject = |j: usize| format!("system:serviceaccount:shop:{}", ACCOUNTS[j]);
    let named =
        |account: &str, issuer: &str| credential_name(&bound.owner.credential_prefix(), &name(account), &name(issuer));
    let one = match *seed {
        Seed::Exact(i) => exact(i),
        Seed::WrongAudience(i) => ObservedCredential {
            audiences: vec!["api://other".to_owned()],
            ..exact(i)
        },
        Seed::NameInCapitals(i) => ObservedCredential {
            name: name(&wanted(i).name.as_str().to_uppercase()),
            ..exact(i)
        },
        Seed::EditedSubject(i, j) => ObservedCredential {
            subject: Some(subject(j)),
            ..exact(i)
        },
        Seed::EditedIssuer(i) => ObservedCredential {
            issuer: "https://elsewhere.example/".to_owned(),
            ..exact(i)
        },
        Seed::Swapped(i) => {
            let (a, b) = (exact(i), exact(i + 1));
            let a_with_b = ObservedCredential {
                subject: b.subject.clone(),
                ..a.clone()
            };
            return vec![
                a_with_b,
                ObservedCredential {
                    subject: a.subject,
                    ..b
                },
            ];
        }
        Seed::MadeFlexible(i) => ObservedCredential {
            subject: None,
            ..exact(i)
        },
        Seed::Stale(j) => ObservedCredential {
            name: named(&ACCOUNTS[j], bound.credentials[0].issuer.as_str()),
            subject: Some(subject(j)),
            ..exact(0)
        },
        Seed::OldIssuer(i) => ObservedCredential {
            name: named(wanted(i).account.as_str(), OLD_ISSUER),
            issuer: OLD_ISSUER.to_owned(),
            ..exact(i)
        },
        Seed::Foreign(n) => foreign_credential(n),
        Seed::ForeignSame(i) => ObservedCredential {
            name: name(&format!("same-{i}")),
            ..exact(i)
        },
        Seed::ForeignSameOtherAudience(i) => ObservedCredential {
            name: name(&format!("other-audience-{i}")),
            audiences: vec!["api://other".to_owned()],
            ..exact(i)
        },
        Seed::ForeignFlexible(n) => ObservedCredential {
            name: name(&format!("flexible-{n}")),
            subject: None,
            ..foreign_credential(n)
        },
        Seed::Aks => ObservedCredential {
            name: name("aks-identity-binding"),
            issuer: "https://ib.oic.prod-aks.azure.com/tenant/client".to_owned(),
            ..foreign_credential(0)
        },
        Seed::OfAnotherBinding(i) => {
            let other = Owner {
                name: name("invoices"),
                ..bound.owner.clone()
            };
            let wanted = wanted(i);
            ObservedCredential {
                name: credential_name(&other.credential_prefix(), &wanted.account, &wanted.issuer),
                ..exact(i)
            }
        }
    };
    vec![one]
}

/// The tags of an identity to start with.
#[derive(Clone, Copy, Debug)]
pub enum TagSeed {
    Ours,
    OursInCapitals,
    OursOfAnEarlierBinding,
    OursWithoutUid,
    OursWithOthers,
    OfAnotherBinding,
    None,
}

fn any_tags() -> impl Strategy<Value = TagSeed> {
    prop::sample::select(vec![
        TagSeed::Ours,
        TagSeed::OursInCapitals,
        TagSeed::OursOfAnEarlierBinding,
        TagSeed::OursWithoutUid,
        TagSeed::OursWithOthers,
        TagSeed::OfAnotherBinding,
        TagSeed::None,
    ])
}

fn grow_tags(seed: TagSeed, owner: &Owner) -> Tags {
    let mut tags = tags_of(owner);
    match seed {
        TagSeed::Ours => {}
        TagSeed::OursInCapitals => {
            tags = tags
                .into_iter()
                .map(|(name, value)| (name.to_uppercase(), value))
                .collect();
        }
        TagSeed::OursOfAnEarlierBinding => {
            tags.insert(keys::BINDING_UID_TAG.to_owned(), "earlier".to_owned());
        }
        TagSeed::OursWithoutUid => {
            tags.remove(keys::BINDING_UID_TAG);
        }
        TagSeed::OursWithOthers => {
            tags.insert("TEAM".to_owned(), "policy".to_owned());
            tags.insert("created-by".to_owned(), "policy".to_owned());
        }
        TagSeed::OfAnotherBinding => {
            tags.insert(keys::BINDING_TAG.to_owned(), "shop/invoices".to_owned());
        }
        TagSeed::None => tags.clear(),
    }
    tags
}

/// A service account to start with.
#[derive(Clone, Debug)]
pub enum AccountSeed {
    Absent,
    Plain,
    /// Somebody else put the right values there.
    RightByOthers,
    /// Somebody else put a client id of their own there.
    WrongByOthers,
    Ours,
    OursAndCreated,
    OursWithAnOldClientId,
    OursWithAnotherLifetime,
    Others,
    OfAGoneBinding,
}

fn any_account() -> impl Strategy<Value = AccountSeed> {
    prop::sample::select(vec![
        AccountSeed::Absent,
        AccountSeed::Absent,
        AccountSeed::Plain,
        AccountSeed::RightByOthers,
        AccountSeed::WrongByOthers,
        AccountSeed::Ours,
        AccountSeed::OursAndCreated,
        AccountSeed::OursWithAnOldClientId,
        AccountSeed::OursWithAnotherLifetime,
        AccountSeed::Others,
        AccountSeed::OfAGoneBinding,
    ])
}

fn grow_account(seed: &AccountSeed, n: usize, wanted: Option<&DesiredServiceAccount>) -> Option<Account> {
    let plain = |mark| account(n, mark);
    let right = wanted.map_or(Values::default(), |wanted| right_values(wanted, &facts(0)));
    let old = Values {
        client_id: Some(facts(77).client_id.to_string()),
        ..right.clone()
    };
    Some(match seed {
        AccountSeed::Absent => return None,
        AccountSeed::Plain => plain(BoundBy::Nobody),
        AccountSeed::RightByOthers => Account {
            others: right,
            ..plain(BoundBy::Nobody)
        },
        AccountSeed::WrongByOthers => Account {
            others: old,
            ..plain(BoundBy::Nobody)
        },
        AccountSeed::Ours => Account {
            ours: right,
            ..plain(BoundBy::Us)
        },
        AccountSeed::OursAndCreated => Account {
            ours: right,
            created_by_operator: true,
            ..plain(BoundBy::Us)
        },
        AccountSeed::OursWithAnOldClientId => Account {
            ours: old,
            ..plain(BoundBy::Us)
        },
        AccountSeed::OursWithAnotherLifetime => Account {
            ours: Values {
                token_expiration: Some("86400".to_owned()),
                ..right
            },
            ..plain(BoundBy::Us)
        },
        AccountSeed::Others => Account {
            ours: old,
            ..plain(BoundBy::Other {
                binding: "invoices".to_owned(),
            })
        },
        AccountSeed::OfAGoneBinding => Account {
            ours: old,
            created_by_operator: n.is_multiple_of(2),
            ..plain(BoundBy::Gone { uid: name("gone") })
        },
    })
}

/// A world before it is known for which binding.
#[derive(Clone, Debug)]
pub struct WorldSeed {
    identity: Option<(TagSeed, Vec<Seed>)>,
    accounts: Vec<AccountSeed>,
}

pub fn any_world() -> BoxedStrategy<WorldSeed> {
    let credentials = prop_oneof![
        3 => prop::collection::vec(any_seed(), 0..8),
        1 => prop::collection::vec(any_seed(), 8..30),
    ];
    (
        prop::option::weighted(0.85, (any_tags(), credentials)),
        prop::collection::vec(any_account(), ACCOUNTS.len()),
    )
        .prop_map(|(identity, accounts)| WorldSeed { identity, accounts })
        .boxed()
}

impl WorldSeed {
    /// A world in which Azure's rules hold.
    pub fn lawful(&self, bound: &DesiredBinding) -> World {
        let mut world = self.without_credentials(bound);
        for credential in self.credentials(bound) {
            world.insert(credential);
        }
        world
    }

    /// What a list might show while writes of others go on: anything.
    pub fn lawless(&self, bound: &DesiredBinding) -> Observed {
        let mut world = self.without_credentials(bound);
        if let Some(identity) = &mut world.identity {
            identity.credentials = self.credentials(bound);
        }
        world.observe(&accounts_of(bound))
    }

    fn credentials(&self, bound: &DesiredBinding) -> Vec<ObservedCredential> {
        let seeds = self.identity.iter().flat_map(|(_, seeds)| seeds);
        seeds.flat_map(|seed| grow(seed, bound)).collect()
    }

    fn without_credentials(&self, bound: &DesiredBinding) -> World {
        let wanted = |name: &str| {
            bound
                .service_accounts
                .iter()
                .find(|account| account.name.as_str() == name)
        };
        let accounts = ACCOUNTS.iter().zip(&self.accounts).enumerate();
        World {
            identity: self.identity.as_ref().map(|(tags, _)| PresentIdentity {
                facts: facts(0),
                tags: grow_tags(*tags, &bound.owner),
                credentials: Vec::new(),
            }),
            accounts: accounts
                .filter_map(|(n, (text, seed))| Some((name(text), grow_account(seed, n, wanted(text))?)))
                .collect(),
            created: 1,
        }
    }
}
