//! Bindings of one namespace that share what they trust.

use std::collections::BTreeSet;

use proptest::prelude::*;
use wio_api::{DeletionPolicy, Reason};
use wio_core::cluster::Issuers;
use wio_core::desired::{Desired, DesiredBinding};
use wio_core::names::is_credential_name;
use wio_core::observed::{BoundBy, ObservedCredential, PresentIdentity, Tags};
use wio_core::plan::{Plan, Revocation, gives_up, plan, successors};
use wio_core::sharing::{Claim, Claims, Sharer};
use wio_core::spec::TokenExpiration;

use crate::given::{
    self, ACCOUNTS, CLUSTER, EXISTING, ISSUER, OLD_ISSUER, ROLES, accounts_of, any_binding, cases, denied, desired,
    existing, gone, managed, managed_with, name, recorded, rival,
};
use crate::plan::settle;
use crate::plan_roles::{made, reconciled};
use crate::seeds::any_world;
use crate::worlds::{World, as_wanted, facts};

/// What a sharer asks for, before it is known beside which binding.
#[derive(Clone, Debug)]
struct SharerSeed {
    same_identity: bool,
    accounts: Vec<String>,
    same_audience: bool,
    token_expiration: Option<i64>,
}

fn any_sharers() -> impl Strategy<Value = Vec<SharerSeed>> {
    let one = (
        prop::bool::weighted(0.8),
        prop::sample::subsequence(ACCOUNTS.clone(), 0..=8),
        prop::bool::weighted(0.8),
        prop::option::of(3600_i64..=3601),
    )
        .prop_map(
            |(same_identity, accounts, same_audience, token_expiration)| SharerSeed {
                same_identity,
                accounts,
                same_audience,
                token_expiration,
            },
        );
    prop::collection::vec(one, 0..4)
}

fn grow(n: usize, seed: &SharerSeed, bound: &DesiredBinding) -> Sharer {
    let claim = |text: &String| Claim {
        account: name(text),
        audience: if seed.same_audience {
            bound.credentials[0].audience.clone()
        } else {
            name("api://else")
        },
        token_expiration: seed.token_expiration.and_then(TokenExpiration::new),
    };
    Sharer {
        name: name(&format!("sharer-{n}")),
        uid: name(&format!("sharer-uid-{n}")),
        generation: 1,
        identity: if seed.same_identity {
            bound.granted.identity().clone()
        } else {
            name(&EXISTING.replace("billing", "else"))
        },
        issuers: Issuers::new(&given::cluster(), []),
        accounts: seed.accounts.iter().map(claim).collect(),
        told: seed.accounts.iter().map(|text| name(text)).collect(),
        prefix: given::other_owner(bound, &format!("sharer-{n}")).credential_prefix(),
        roles: Vec::new(),
        is_active: true,
        proofs: None,
    }
}

fn beside(bound: &DesiredBinding, seeds: &[SharerSeed]) -> DesiredBinding {
    let all = seeds.iter().enumerate().map(|(n, seed)| grow(n, seed, bound));
    let claims = given::claims_of(bound);
    given::beside(bound.clone(), claims, all.chain([rival(bound)]).collect())
}

/// The credentials that a sharer relies on as they are.
fn relied_on(bound: &DesiredBinding, world: &World) -> Vec<ObservedCredential> {
    let claimed = world
        .credentials()
        .iter()
        .filter(|credential| bound.sharing().relied_on_by(credential).is_some());
    claimed.cloned().collect()
}

fn target(bound: &DesiredBinding, how: u8) -> Desired {
    match how {
        0 => Desired::Bound(bound.clone()),
        1 => denied(bound),
        _ => gone(bound, DeletionPolicy::Delete),
    }
}

proptest! {
    #![proptest_config(cases(400))]

    #[test]
    fn what_a_sharer_relies_on_stays_as_it_is_and_what_nobody_does_goes(
        object in any_binding(), seed in any_world(), beside_it in any_sharers(), how in 0..3_u8,
    ) {
        let bound = beside(&desired(&object), &beside_it);
        let target = target(&bound, how);
        let mut world = seed.lawful(&bound);
        let before = relied_on(&bound, &world);
        let rest = settle(&mut world, &target, &accounts_of(&bound));
        if world.identity.is_some() {
            for credential in &before {
                prop_assert!(world.credentials().contains(credential), "{:?} is gone", credential);
            }
        } else {
            prop_assert!(before.is_empty(), "the identity is deleted under a sharer");
        }
        if how > 0 {
            let prefix = bound.owner.credential_prefix();
            let left = world.credentials().iter().find(|credential| {
                !bound.sharing().is_of_another_cluster(credential) && (prefix.owns(&credential.name) || bound.sharing().account_of(credential).is_some()) && !before.contains(credential)
            });
            prop_assert_eq!(left, None);
        }
        if how == 2 {
            let managed = object.spec.identity.managed.is_some();
            let says = rest.blocked.iter().any(|blocked| blocked.message.contains("WorkloadIdentityBindings of this namespace"));
            prop_assert!(!says || managed && !before.is_empty());
        }
    }

    /// A pod that starts while one of the two goes finds the client id.
    #[test]
    fn a_service_account_stays_bound_exactly_when_a_sharer_wants_the_same(
        object in any_binding(), beside_it in any_sharers(), how in 1..3_u8,
    ) {
        let bound = beside(&desired(&object), &beside_it);
        let mut world = World::as_desired(&bound);
        settle(&mut world, &target(&bound, how), &accounts_of(&bound));
        for (wanted, credential) in bound.service_accounts.iter().zip(&bound.credentials) {
            let claimed = beside_it.iter().any(|seed| {
                seed.same_identity
                    && seed.same_audience
                    && seed.accounts.iter().any(|text| text == wanted.name.as_str())
                    && seed.token_expiration.and_then(TokenExpiration::new) == wanted.token_expiration
            });
            let trusted = beside_it.iter().any(|seed| {
                seed.same_identity && seed.same_audience && seed.accounts.iter().any(|text| text == wanted.name.as_str())
            });
            let labelled = world.accounts.get(&wanted.name).is_some_and(|account| account.bound_by == BoundBy::Us);
            prop_assert_eq!(labelled, claimed, "{}", wanted.name);
            prop_assert_eq!(world.credentials().contains(&as_wanted(credential)), trusted, "{}", wanted.name);
        }
    }

    /// Whoever of the two goes first, nothing is left when both are gone.
    #[test]
    fn the_last_one_to_go_takes_everything_away(object in any_binding(), other_made_it in any::<bool>(), labelled in any::<bool>()) {
        let bound = desired(&object);
        let mut world = World::as_desired(&bound);
        if other_made_it {
            let other = crate::given::desired_of_invoices(&bound);
            world.identity.as_mut().unwrap().credentials = other;
        }
        if !labelled {
            // It had no time to put its own label there.
            world.accounts.values_mut().for_each(|account| account.bound_by = BoundBy::Gone { uid: name("gone") });
        }
        settle(&mut world, &gone(&bound, DeletionPolicy::RetainIdentity), &accounts_of(&bound));
        prop_assert_eq!(world.credentials(), &[]);
        prop_assert!(world.accounts.values().all(|account| account.bound_by == BoundBy::Nobody));
    }
}

fn shared(account: &str) -> SharerSeed {
    SharerSeed {
        same_identity: true,
        accounts: vec![account.to_owned()],
        same_audience: true,
        token_expiration: None,
    }
}

fn by_sharer() -> BoundBy {
    BoundBy::Other {
        binding: "sharer-0".to_owned(),
        uid: name("sharer-uid-0"),
    }
}

#[test]
fn what_a_sharer_made_is_enough_and_is_told_of_as_ours() {
    let bound = beside(&desired(&existing(&["a"])), &[shared("a")]);
    let mut world = World::as_desired(&bound);
    world.identity.as_mut().unwrap().credentials = crate::given::desired_of_invoices(&bound);
    let account = world.accounts.get_mut(&name("a")).unwrap();
    account.bound_by = by_sharer();
    let target = Desired::Bound(bound.clone());
    assert_eq!(plan(&target, &world.observe(&accounts_of(&bound))), Plan::default());
    let status = made(
        &reconciled(target, world.observe(&accounts_of(&bound)), Vec::new()),
        None,
    );
    assert_eq!(status.conditions[0].status, "True", "{:?}", status.conditions);
    assert_eq!(
        status.federated_credentials[0].name,
        world.credentials()[0].name.as_str()
    );
    let usage = status.federated_credential_usage.as_ref().unwrap();
    assert_eq!((usage.ours, usage.foreign), (1, 0));
    assert_eq!(status.service_accounts.len(), 1);
    // A restart takes it for known.
    let known = wio_core::known_state::from_status(&bound, &recorded(3, &status)).unwrap();
    assert_eq!(known.identity, world.observe(&accounts_of(&bound)).azure.identity);
}

#[test]
fn a_label_without_a_claim_is_taken_over() {
    let bound = desired(&existing(&["a"]));
    let mut world = World::as_desired(&bound);
    world.accounts.get_mut(&name("a")).unwrap().bound_by = by_sharer();
    let planned = plan(&Desired::Bound(bound.clone()), &world.observe(&accounts_of(&bound)));
    assert_eq!((planned.grants.len(), planned.blocked.len()), (1, 0), "{planned:#?}");
    settle(&mut world, &Desired::Bound(bound.clone()), &accounts_of(&bound));
    assert_eq!(world.accounts[&name("a")].bound_by, BoundBy::Us);
}

#[test]
fn the_mark_of_a_sharer_that_wants_other_tokens_serves_as_long_as_it_says_what_is_wanted() {
    let of_another_lifetime = SharerSeed {
        token_expiration: Some(7200),
        ..shared("a")
    };
    let of_another_audience = SharerSeed {
        same_audience: false,
        ..shared("a")
    };
    for change in [of_another_lifetime, of_another_audience] {
        let bound = beside(&desired(&existing(&["a"])), &[change]);
        let mut world = World::as_desired(&bound);
        let account = world.accounts.get_mut(&name("a")).unwrap();
        account.bound_by = by_sharer();
        let planned = |world: &World| plan(&Desired::Bound(bound.clone()), &world.observe(&accounts_of(&bound)));
        assert_eq!(planned(&world), Plan::default(), "nothing changed for the binding");
        let account = world.accounts.get_mut(&name("a")).unwrap();
        account.ours.token_expiration = Some("7200".to_owned());
        let planned = planned(&world);
        assert!(!planned.has_steps(), "it is the other one's mark");
        assert_eq!(planned.blocked[0].reason, Reason::ServiceAccountConflict);
        assert!(planned.blocked[0].message.contains("sharer-0"), "{:?}", planned.blocked);
    }
}

/// Two that want the same of a service account write the same on it.
#[test]
fn what_the_mark_of_a_sharer_that_wants_the_same_lacks_is_written() {
    let bound = beside(&desired(&existing(&["a"])), &[shared("a")]);
    let mut world = World::as_desired(&bound);
    let account = world.accounts.get_mut(&name("a")).unwrap();
    account.bound_by = by_sharer();
    account.ours.client_id = None;
    let planned = plan(&Desired::Bound(bound.clone()), &world.observe(&accounts_of(&bound)));
    assert_eq!((planned.grants.len(), planned.blocked), (1, Vec::new()));
}

/// Azure allows one credential for a subject: what nobody relies on as it is is written over, not beside.
#[test]
fn a_credential_that_a_sharer_left_is_mended_under_its_own_name() {
    let bound = desired(&existing(&["a"]));
    let mut world = World::as_desired(&bound);
    let mut left = crate::given::desired_of_invoices(&bound);
    left[0].audiences = vec!["api://other".to_owned()];
    let under = left[0].name.clone();
    world.identity.as_mut().unwrap().credentials = left;
    settle(&mut world, &Desired::Bound(bound.clone()), &accounts_of(&bound));
    let [mended] = world.credentials() else {
        panic!("{:?}", world.credentials())
    };
    assert_eq!(
        (&mended.name, mended.audiences.as_slice()),
        (&under, &[bound.credentials[0].audience.to_string()][..])
    );
}

#[test]
fn a_credential_is_of_the_family_by_name_issuer_and_subject_together() {
    let bound = desired(&existing(&["a", "b"]));
    let of_sharer = crate::given::desired_of_invoices(&bound);
    let good = &of_sharer[0];
    assert_eq!(bound.sharing().account_of(good), Some(&name("a")));
    let capitals = ObservedCredential {
        name: name(&good.name.as_str().to_uppercase()),
        ..good.clone()
    };
    assert_eq!(bound.sharing().account_of(&capitals), Some(&name("a")));
    for (what, other) in [
        (
            "the subject of another account",
            ObservedCredential {
                subject: of_sharer[1].subject.clone(),
                ..good.clone()
            },
        ),
        (
            "another namespace",
            ObservedCredential {
                subject: Some("system:serviceaccount:bank:a".to_owned()),
                ..good.clone()
            },
        ),
        (
            "another cluster",
            ObservedCredential {
                issuer: OLD_ISSUER.to_owned(),
                ..good.clone()
            },
        ),
        (
            "a flexible one",
            ObservedCredential {
                subject: None,
                ..good.clone()
            },
        ),
        (
            "made by hand",
            ObservedCredential {
                name: name("by-hand"),
                ..good.clone()
            },
        ),
        (
            "almost our name",
            ObservedCredential {
                name: name(&format!("{}x", good.name)),
                ..good.clone()
            },
        ),
        (
            "a prefix that is none",
            ObservedCredential {
                name: name(&good.name.as_str().replacen("wib-", "wob-", 1)),
                ..good.clone()
            },
        ),
    ] {
        assert_eq!(bound.sharing().account_of(&other), None, "{what}");
    }
    assert!(is_credential_name(&good.name, &name("a"), &name(ISSUER)));
    assert!(!is_credential_name(&good.name, &name("a"), &name(OLD_ISSUER)));
    for short in [
        "wib",
        "wib-",
        "wib-aaaaaaaaaaaaaaaa",
        "wib-aaaaaaaaaaaaaaa1-a-aaaaaaaaaaaaaaaa",
    ] {
        assert!(!is_credential_name(&name(short), &name("a"), &name(ISSUER)), "{short}");
    }
}

#[test]
fn the_eldest_that_acts_is_woken_for_what_is_left_or_taken() {
    let both = [shared("a"), shared("a")];
    let plain = beside(&desired(&existing(&["a"])), &both);
    let world = World::as_desired(&plain);
    let successors = |target: &Desired, world: &World| {
        let observed = world.observe(&accounts_of(&plain));
        let planned = plan(target, &observed);
        let successors = successors(target, &observed, &planned);
        successors
            .iter()
            .map(|successor| successor.name.to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(successors(&Desired::Bound(plain.clone()), &world), [""; 0]);
    let settled = world.observe(&accounts_of(&plain));
    assert!(!gives_up(&Desired::Bound(plain.clone()), &settled, &Plan::default()));
    assert_eq!(successors(&target(&plain, 2), &world), ["sharer-0"]);
    assert_eq!(
        successors(&denied(&plain), &world),
        ["sharer-0"],
        "its label is left on the account"
    );
    assert_eq!(
        successors(&denied(&plain), &World::empty()),
        [""; 0],
        "nothing is left to take away"
    );
    let mut all: Vec<Sharer> = both.iter().enumerate().map(|(n, seed)| grow(n, seed, &plain)).collect();
    all[0].is_active = false;
    let claims = given::claims_of(&plain);
    let suspended = given::beside(plain.clone(), claims, all);
    assert_eq!(successors(&target(&suspended, 2), &world), ["sharer-1"]);
}

/// Who has the identity is woken when it is made anew, beside whoever takes over what is given up in the same plan.
#[test]
fn an_identity_that_is_made_anew_wakes_all_that_have_it_and_those_that_take_something_over() {
    let of_another_identity = SharerSeed {
        same_identity: false,
        ..shared("b")
    };
    let bound = desired(&managed(&["a"]));
    let sharers = [shared("a"), shared("a"), of_another_identity];
    let sharers = sharers.iter().enumerate().map(|(n, seed)| grow(n, seed, &bound));
    let mut claims = given::claims_of(&bound);
    claims.accounts.insert(name("b"));
    let anew = Desired::Bound(given::beside(bound.clone(), claims, sharers.collect()));
    let observed = World::empty().observe(&accounts_of(&bound));
    let planned = plan(&anew, &observed);
    assert!(planned.makes_identity());
    let woken = successors(&anew, &observed, &planned);
    let woken: Vec<&str> = woken.iter().map(|sharer| sharer.name.as_str()).collect();
    assert_eq!(woken, ["sharer-2", "sharer-0", "sharer-1"]);
}

#[test]
fn other_bindings_make_a_difference_only_where_something_is_theirs_or_is_taken_away() {
    let alone = desired(&managed(&["a"]));
    let planned = |bound: &DesiredBinding, world: &World| {
        plan(
            &Desired::Bound(bound.clone()),
            &world.observe(&accounts_of(&desired(&managed(&["a", "b"])))),
        )
    };
    let of_other_audience = SharerSeed {
        same_audience: false,
        ..shared("a")
    };
    let differs = |seeds: &[SharerSeed], world: &World| {
        let claims = Claims {
            accounts: BTreeSet::from([name("a"), name("b")]),
            roles: Vec::new(),
        };
        let others = seeds
            .iter()
            .enumerate()
            .map(|(n, seed)| grow(n, seed, &alone))
            .collect();
        let one = given::beside(alone.clone(), claims.clone(), Vec::new());
        planned(&one, world) != planned(&given::beside(alone.clone(), claims, others), world)
    };
    for world in [World::empty(), World::as_desired(&alone)] {
        for seed in [shared("a"), shared("b"), of_other_audience.clone()] {
            assert!(!differs(std::slice::from_ref(&seed), &world), "{seed:?}");
        }
    }
    let mut labelled = World::as_desired(&alone);
    labelled.accounts.get_mut(&name("a")).unwrap().bound_by = by_sharer();
    let mut edited = World::as_desired(&alone);
    edited.identity.as_mut().unwrap().credentials[0].audiences = vec!["api://else".to_owned()];
    let more = World::as_desired(&desired(&managed(&["a", "b"])));
    assert!(differs(&[shared("a")], &labelled));
    assert!(differs(&[of_other_audience], &edited));
    assert!(differs(&[shared("b")], &more));
}

/// One has a role through the same identity when it asks for it, and is woken when it acts.
#[test]
fn a_role_is_left_to_the_one_that_asks_for_it() {
    let bound = desired(&managed_with(&ROLES[..1]));
    let claims = Claims {
        accounts: BTreeSet::new(),
        roles: given::parsed(&managed_with(&ROLES[..1])).claims.roles,
    };
    let seen = World::as_desired(&bound).observe(&accounts_of(&bound));
    for (has_role, is_active, heirs, woken) in [(true, true, 1, 1), (true, false, 1, 0), (false, true, 0, 0)] {
        let sharer = Sharer {
            roles: claims.roles.iter().filter(|_| has_role).cloned().collect(),
            is_active,
            ..grow(0, &shared("a"), &bound)
        };
        let target = target(&given::beside(bound.clone(), claims.clone(), vec![sharer]), 2);
        let planned = plan(&target, &seen);
        assert_eq!(target.heirs().len(), heirs, "{has_role} {is_active}");
        assert_eq!(
            successors(&target, &seen, &planned).len(),
            woken,
            "{has_role} {is_active}"
        );
    }
}

/// A status that does not tell of it says that the other one does not have it yet, and nothing is left to such a one.
#[test]
fn a_service_account_is_left_to_the_one_that_asks_for_it_and_tells_of_it() {
    let bound = desired(&managed(&["a"]));
    let claims = given::claims_of(&bound);
    for (account, told, heirs) in [("a", true, 1), ("a", false, 0), ("b", true, 0)] {
        let mut sharer = grow(0, &shared(account), &bound);
        sharer.told.retain(|_| told);
        let beside = given::beside(bound.clone(), claims.clone(), vec![sharer]);
        assert_eq!(target(&beside, 2).heirs().len(), heirs, "{account} {told}");
        assert!(target(&beside, 0).heirs().is_empty(), "it keeps what it has");
    }
}

/// Trust that stays keeps the mark for the one that relies on it. A credential of ours that somebody edited goes, and the mark with it.
#[test]
fn a_mark_stays_for_a_sharer_whose_trust_is_somebody_elses_credential() {
    let bound = beside(&desired(&existing(&["a", "b"])), &[shared("a")]);
    let own = bound.credentials[1].name.clone();
    for (called, stays) in [(name("terraform"), true), (own, false)] {
        let mut world = World::as_desired(&bound);
        let credentials = &mut world.identity.as_mut().unwrap().credentials;
        credentials.truncate(1);
        credentials[0].name = called;
        let planned = plan(&target(&bound, 2), &world.observe(&accounts_of(&bound)));
        let lets_go = |step: &Revocation| matches!(step, Revocation::ReleaseServiceAccount { name: account, .. } if account.as_str() == "a");
        assert_eq!(!planned.revocations.iter().any(lets_go), stays, "{planned:#?}");
    }
}

#[test]
fn whoever_takes_over_two_things_is_woken_once() {
    let of_both = SharerSeed {
        accounts: vec!["a".to_owned(), "b".to_owned()],
        ..shared("a")
    };
    let bound = beside(&desired(&existing(&["a", "b"])), &[of_both]);
    let seen = World::as_desired(&bound).observe(&accounts_of(&bound));
    let gone = target(&bound, 2);
    let woken = successors(&gone, &seen, &plan(&gone, &seen));
    assert_eq!(woken.len(), 1);
}

/// Its status may not tell of it yet, and the label is its own.
#[test]
fn the_mark_of_one_that_lives_is_not_taken_for_left() {
    let bound = desired(&existing(&["a"]));
    let mut sharer = grow(0, &shared("a"), &bound);
    sharer.told.clear();
    let claims = given::claims_of(&bound);
    let beside = given::beside(bound.clone(), claims, vec![sharer]);
    let mut world = World::as_desired(&beside);
    world.accounts.get_mut(&name("a")).unwrap().bound_by = by_sharer();
    let planned = plan(&target(&beside, 2), &world.observe(&accounts_of(&beside)));
    let lets_go = |step: &Revocation| matches!(step, Revocation::ReleaseServiceAccount { .. });
    assert!(!planned.revocations.iter().any(lets_go), "{planned:#?}");
}

/// A suspended binding writes nothing, so it takes nothing away that another one could take over.
#[test]
fn a_suspended_binding_wakes_nobody() {
    let mut object = existing(&["a", "b"]);
    object.spec.suspend = true;
    let both = beside(&desired(&object), &[shared("b")]);
    let world = World::as_desired(&both);
    object.spec.service_accounts.pop();
    for (suspended, woken) in [(true, 0), (false, 1)] {
        object.spec.suspend = suspended;
        let fewer = beside(&desired(&object), &[shared("b")]);
        let claims = given::claims_of(&both);
        let fewer = Desired::Bound(given::beside(fewer.clone(), claims, fewer.sharing().sharers().to_vec()));
        let observed = world.observe(&accounts_of(&both));
        let planned = plan(&fewer, &observed);
        assert_eq!(fewer.heirs().len(), woken, "{suspended}");
        assert_eq!(successors(&fewer, &observed, &planned).len(), woken, "{suspended}");
    }
}

#[test]
fn a_service_account_of_another_identity_that_a_gone_binding_left_is_not_let_go() {
    let bound = desired(&existing(&["a"]));
    let mut world = World::as_desired(&bound);
    let account = world.accounts.get_mut(&name("a")).unwrap();
    account.bound_by = BoundBy::Gone { uid: name("gone") };
    account.ours.client_id = Some(facts(9).client_id.to_string());
    world.identity = Some(PresentIdentity {
        facts: facts(0),
        tags: Tags::new(),
        credentials: Vec::new(),
    });
    let planned = plan(&target(&bound, 2), &world.observe(&accounts_of(&bound)));
    assert!(
        !planned
            .revocations
            .iter()
            .any(|step| matches!(step, Revocation::ReleaseServiceAccount { .. }))
    );
    assert_eq!(CLUSTER, bound.owner.cluster.as_str());
}
