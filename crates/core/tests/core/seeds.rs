//! Worlds to start from: ours, others', edited, stale, in any mixture.

use proptest::prelude::*;
use wio_api::keys;
use wio_core::desired::{DesiredBinding, DesiredServiceAccount};
use wio_core::names::credential_name;
use wio_core::observed::{
    BoundBy, Observed, ObservedCredential, ObservedRoleAssignment, ObservedRoleAssignments, PresentIdentity, Tags,
};
use wio_core::owner::Owner;

use crate::given::{ACCOUNTS, OLD_ISSUER, ROLES, by_rival, name};
use crate::worlds::{
    Account, Values, World, account, as_wanted, assignment, facts, foreign_assignment, foreign_credential,
    right_values, tags_of,
};

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

/// A role assignment to start with.
#[derive(Clone, Debug)]
pub enum RoleSeed {
    /// Ours, whether the spec asks for it or not.
    Ours(usize),
    OursInCapitals(usize),
    /// Ours, for the principal that the identity had before it was created anew.
    OursOfBefore(usize),
    /// Somebody else gave the same.
    Same(usize),
    OfAnotherBinding(usize),
    OfAnotherCluster(usize),
    /// At a scope where we never assign anything.
    AtRoot(u128),
    /// Our name on somebody else's grant.
    OurNameElsewhere(usize),
    OfAnotherPrincipal(usize),
}

fn any_role() -> BoxedStrategy<RoleSeed> {
    let n = || 0..ROLES.len();
    prop_oneof![
        4 => n().prop_map(RoleSeed::Ours),
        1 => n().prop_map(RoleSeed::OursInCapitals),
        1 => n().prop_map(RoleSeed::OursOfBefore),
        2 => n().prop_map(RoleSeed::Same),
        1 => n().prop_map(RoleSeed::OfAnotherBinding),
        1 => n().prop_map(RoleSeed::OfAnotherCluster),
        1 => (0..3_u128).prop_map(RoleSeed::AtRoot),
        1 => n().prop_map(RoleSeed::OurNameElsewhere),
        1 => n().prop_map(RoleSeed::OfAnotherPrincipal),
    ]
    .boxed()
}

fn grow_role(seed: &RoleSeed, owner: &Owner) -> ObservedRoleAssignment {
    let now = facts(0).principal_id;
    let made_by = |owner: &Owner, i: usize, principal| {
        let (role, scope) = ROLES[i];
        ObservedRoleAssignment {
            terms: Some(wio_core::role_terms::RoleTerms::default()),
            name: owner.role_assignment_name(&name(scope), principal, name(role)),
            scope: scope.to_owned(),
            definition: name(role),
            principal,
        }
    };
    let ours = |i, principal| made_by(owner, i, principal);
    match *seed {
        RoleSeed::Ours(i) => ours(i, now),
        RoleSeed::OursInCapitals(i) => ObservedRoleAssignment {
            scope: ROLES[i].1.to_uppercase(),
            ..ours(i, now)
        },
        RoleSeed::OursOfBefore(i) => ours(i, facts(66).principal_id),
        RoleSeed::Same(i) => foreign_assignment(i as u128, ROLES[i].0, ROLES[i].1),
        RoleSeed::OfAnotherBinding(i) => {
            let other = Owner {
                name: name("invoices"),
                ..owner.clone()
            };
            made_by(&other, i, now)
        }
        RoleSeed::OfAnotherCluster(i) => {
            let other = Owner {
                cluster: name("another-cluster"),
                ..owner.clone()
            };
            made_by(&other, i, now)
        }
        RoleSeed::AtRoot(n) => foreign_assignment(100 + n, "Reader", "/"),
        RoleSeed::OurNameElsewhere(i) => ObservedRoleAssignment {
            scope: "/subscriptions/0b9fd8f1-4b5a-4a52-9c7d-7a7d1c2d6f78".to_owned(),
            ..ours(i, now)
        },
        RoleSeed::OfAnotherPrincipal(i) => ObservedRoleAssignment {
            principal: facts(55).principal_id,
            ..foreign_assignment(200 + i as u128, ROLES[i].0, ROLES[i].1)
        },
    }
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
    /// A binding that shared it is gone.
    OfAGoneSharer,
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
        AccountSeed::OfAGoneSharer,
    ])
}

fn grow_account(seed: &AccountSeed, n: usize, wanted: Option<&DesiredServiceAccount>) -> Option<Account> {
    let plain = |bound_by| account(n, bound_by);
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
            ..plain(by_rival())
        },
        AccountSeed::OfAGoneBinding => Account {
            ours: old,
            created_by_operator: n.is_multiple_of(2),
            ..plain(BoundBy::Gone { uid: name("gone") })
        },
        AccountSeed::OfAGoneSharer => Account {
            ours: right,
            ..plain(BoundBy::Gone { uid: name("gone") })
        },
    })
}

/// A world before it is known for which binding.
#[derive(Clone, Debug)]
pub struct WorldSeed {
    identity: Option<(TagSeed, Vec<Seed>)>,
    roles: Vec<RoleSeed>,
    accounts: Vec<AccountSeed>,
}

pub fn any_world() -> BoxedStrategy<WorldSeed> {
    let credentials = prop_oneof![
        3 => prop::collection::vec(any_seed(), 0..8),
        1 => prop::collection::vec(any_seed(), 8..30),
    ];
    (
        prop::option::weighted(0.85, (any_tags(), credentials)),
        prop::collection::vec(any_role(), 0..6),
        prop::collection::vec(any_account(), ACCOUNTS.len()),
    )
        .prop_map(|(identity, roles, accounts)| WorldSeed {
            identity,
            roles,
            accounts,
        })
        .boxed()
}

impl WorldSeed {
    /// A world in which Azure's rules hold.
    pub fn lawful(&self, bound: &DesiredBinding) -> World {
        let mut world = self.without_credentials(bound);
        for credential in self.credentials(bound) {
            world.insert(credential);
        }
        for found in self.roles(bound) {
            // A name is of one grant in all of Azure, and ours are for these grants alone.
            if bound.owner.owns_assignment(&found) || !Self::misnamed(&found, bound) {
                world.insert_role(found);
            }
        }
        world
    }

    /// What a list might show while writes of others go on: anything.
    pub fn lawless(&self, bound: &DesiredBinding) -> Observed {
        let mut world = self.without_credentials(bound);
        if let Some(identity) = &mut world.identity {
            identity.credentials = self.credentials(bound);
        }
        let mut observed = world.observe(&ACCOUNTS.iter().map(|text| name(text)).collect());
        observed.azure.role_assignments = ObservedRoleAssignments::read(self.roles(bound));
        observed
    }

    fn roles(&self, bound: &DesiredBinding) -> Vec<ObservedRoleAssignment> {
        self.roles.iter().map(|seed| grow_role(seed, &bound.owner)).collect()
    }

    /// Whether a foreign assignment has a name that the operator would want to use: Azure answers the operator
    /// `RoleAssignmentUpdateNotPermitted` then, which is a fault and no matter of a plan.
    fn misnamed(taken: &ObservedRoleAssignment, bound: &DesiredBinding) -> bool {
        bound
            .roles
            .iter()
            .any(|role| assignment(&bound.owner, role, facts(0).principal_id).name == taken.name)
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
            roles: Vec::new(),
            accounts: accounts
                .filter_map(|(n, (text, seed))| Some((name(text), grow_account(seed, n, wanted(text))?)))
                .collect(),
            created: 1,
        }
    }
}
