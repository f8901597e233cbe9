//! The plan for a binding whose service accounts are to be trusted.

use std::collections::BTreeSet;

use proptest::prelude::*;
use wio_api::Reason;
use wio_api::limits::FEDERATED_CREDENTIALS_MAX;
use wio_core::desired::{Desired, DesiredBinding, DesiredIdentity};
use wio_core::names::{CredentialName, ServiceAccountName};
use wio_core::observed::{
    BoundBy, ObservedCredential, ObservedIdentity, ObservedRoleAssignment, ObservedRoleAssignments, PresentIdentity,
    Tags,
};
use wio_core::plan::{GrantStep, Plan, Revocation, plan};

use crate::given::{
    ACCOUNTS, accounts_of, any_binding, any_binding_of_old, any_policy, beside, cases, claims_of, desired, existing,
    gone, managed, name, sibling,
};
use crate::seeds::any_world;
use crate::worlds::{Account, Ran, World, as_wanted, assignment, facts, foreign_assignment, foreign_credential};

const ALL: usize = usize::MAX;

/// Carries plans out until nothing is left to do, which has to be after one whole plan, and tells what is left.
pub fn settle(world: &mut World, desired: &Desired, named: &BTreeSet<ServiceAccountName>) -> Plan {
    let first = plan(desired, &world.observe(named));
    let ran = world
        .run(desired, &first, ALL)
        .unwrap_or_else(|broken| panic!("{broken}\n{first:#?}"));
    let refused = ran.iter().filter(|ran| **ran == Ran::Refused).count();
    let rest = plan(desired, &world.observe(named));
    assert_eq!(rest.revocations, [], "taken away at the second try");
    assert_eq!(
        rest.grants.len(),
        refused,
        "only what the API server refused is tried again: {rest:#?}"
    );
    rest
}

/// Everything in the world that is not this binding's.
#[derive(Debug, PartialEq)]
pub struct Foreign {
    identity: Option<PresentIdentity>,
    roles: Vec<ObservedRoleAssignment>,
    accounts: Vec<(ServiceAccountName, Account)>,
}

impl Foreign {
    pub fn roles(&self) -> &[ObservedRoleAssignment] {
        &self.roles
    }
}

/// Whether a credential is the binding's, or shared, and nobody else relies on it.
pub fn is_ours(bound: &DesiredBinding, credential: &ObservedCredential) -> bool {
    let sharing = bound.sharing();
    let of_another_cluster = sharing.is_of_another_cluster(credential);
    let by_name = bound.owner.credential_prefix().owns(&credential.name) && !of_another_cluster;
    let ours = by_name || sharing.account_of(credential).is_some();
    assert_eq!(sharing.owns(credential), ours);
    let takes = ours && sharing.relied_on_by(credential).is_none();
    assert_eq!(sharing.takes(credential), takes);
    takes
}

pub fn foreign(world: &World, bound: &DesiredBinding) -> Foreign {
    let managed = matches!(bound.identity, DesiredIdentity::Managed { .. });
    let identity = world.identity.as_ref().map(|identity| {
        let mut rest = identity.clone();
        let ours = managed && bound.owner.owns(&identity.tags);
        rest.credentials.retain(|credential| !is_ours(bound, credential));
        if ours {
            let wanted = |tag: &String| match &bound.identity {
                DesiredIdentity::Managed { tags, .. } => tags.keys().any(|name| name.eq_ignore_ascii_case(tag)),
                DesiredIdentity::Existing => false,
            };
            rest.tags.retain(|tag, _| !wanted(tag));
        }
        rest
    });
    let named = accounts_of(bound);
    let theirs = |(name, account): &(&ServiceAccountName, &Account)| match account.bound_by {
        BoundBy::Us => false,
        BoundBy::Other { .. } => true,
        BoundBy::Nobody | BoundBy::Gone { .. } => !named.contains(name),
    };
    let not_ours = |assignment: &&ObservedRoleAssignment| !bound.owner.owns_assignment(assignment);
    Foreign {
        identity,
        roles: world.roles.iter().filter(not_ours).cloned().collect(),
        accounts: world
            .accounts
            .iter()
            .filter(theirs)
            .map(|(name, account)| (name.clone(), account.clone()))
            .collect(),
    }
}

/// What stood there before stands there still; of the accounts, those that were somebody else's.
pub fn assert_untouched(before: &Foreign, world: &World, bound: &DesiredBinding) {
    let after = foreign(world, bound);
    if before.identity.is_some() {
        assert_eq!(after.identity, before.identity);
    }
    assert_eq!(after.roles, before.roles);
    for (name, account) in &before.accounts {
        assert_eq!(world.accounts.get(name), Some(account), "{name} was somebody else's");
    }
}

proptest! {
    #![proptest_config(cases(400))]

    #[test]
    fn nothing_is_planned_where_everything_is_as_desired(
        object in any_binding(), foreign in 0..20_usize, shouted in any::<bool>(),
    ) {
        let bound = desired(&object);
        let mut world = World::as_desired(&bound);
        (0..foreign).for_each(|n| world.insert(foreign_credential(n)));
        (0..foreign).for_each(|n| {
            world.insert_role(foreign_assignment(n as u128, "Contributor", &format!("/subscriptions/{n}")));
        });
        if shouted {
            world.roles.iter_mut().for_each(|assignment| assignment.scope = assignment.scope.to_uppercase());
            let identity = world.identity.as_mut().unwrap();
            identity.tags = identity.tags.iter().map(|(tag, value)| (tag.to_uppercase(), value.clone())).collect();
            for credential in &mut identity.credentials {
                credential.name = name(&credential.name.as_str().to_uppercase());
            }
        }
        let named = accounts_of(&bound);
        prop_assert_eq!(plan(&Desired::Bound(bound), &world.observe(&named)), Plan::default());
    }

    #[test]
    fn from_any_start_one_plan_leads_to_rest_by_azures_rules_and_touches_nothing_foreign(
        object in any_binding_of_old(), seed in any_world(),
    ) {
        let bound = desired(&object);
        let mut world = seed.lawful(&bound);
        let before = foreign(&world, &bound);
        settle(&mut world, &Desired::Bound(bound.clone()), &accounts_of(&bound));
        assert_untouched(&before, &world, &bound);
    }

    #[test]
    fn a_plan_that_broke_off_anywhere_is_finished_by_the_next_one(
        object in any_binding_of_old(), seed in any_world(), steps in 0..12_usize,
    ) {
        let bound = desired(&object);
        let named = accounts_of(&bound);
        let desired = Desired::Bound(bound.clone());
        let mut straight = seed.lawful(&bound);
        let mut broken_off = straight.clone();
        let rest = settle(&mut straight, &desired, &named);
        let first = plan(&desired, &broken_off.observe(&named));
        broken_off.run(&desired, &first, steps).unwrap();
        prop_assert_eq!(settle(&mut broken_off, &desired, &named), rest);
        prop_assert_eq!(sorted(&broken_off), sorted(&straight));
    }

    #[test]
    fn what_the_steps_did_is_known_without_another_look(object in any_binding_of_old(), seed in any_world()) {
        let bound = desired(&object);
        let mut world = seed.lawful(&bound);
        let named = accounts_of(&bound);
        let mut known = world.observe(&named);
        let desired = Desired::Bound(bound.clone());
        let planned = plan(&desired, &known);
        world.run(&desired, &planned, ALL).unwrap();
        let seen = world.observe(&named);
        for step in &planned.revocations {
            step.fold(&mut known);
        }
        for step in &planned.grants {
            match (step, &seen.azure.identity) {
                (GrantStep::CreateIdentity { .. } | GrantStep::TagIdentity { .. }, ObservedIdentity::Present(present)) => {
                    known.identity_written(present.facts, present.tags.clone());
                }
                (GrantStep::PutCredential(wanted), _) => known.credential_written(as_wanted(wanted)),
                (GrantStep::ReplaceCredential { former, wanted }, _) => {
                    known.credential_deleted(former);
                    known.credential_written(as_wanted(wanted));
                }
                (GrantStep::PutRoleAssignment(wanted), ObservedIdentity::Present(present)) => {
                    known.role_assigned(assignment(&bound.owner, wanted, present.facts.principal_id));
                }
                (GrantStep::ApplyServiceAccount(wanted), _) => {
                    if let Some(account) = seen.service_accounts.get(&wanted.name) {
                        known.account_applied(wanted.name.clone(), account.clone());
                    }
                }
                (step, _) => panic!("{step:?} left no identity"),
            }
        }
        prop_assert_eq!(plan(&desired, &known), plan(&desired, &seen));
        // What was let go of is of no more interest, whoever has it.
        let mut seen = seen;
        for step in &planned.revocations {
            if let Revocation::ReleaseServiceAccount { name, .. } = step {
                seen.service_accounts.remove(name);
            }
        }
        prop_assert_eq!(known.service_accounts, seen.service_accounts);
        prop_assert_eq!(known.azure.role_assignments, seen.azure.role_assignments);
    }

    #[test]
    fn a_foreign_object_is_never_in_a_plan_whatever_a_list_shows(
        object in any_binding_of_old(), seed in any_world(), policy in any_policy(), ends in any::<bool>(),
    ) {
        let bound = desired(&object);
        let observed = seed.lawless(&bound);
        let prefix = bound.owner.credential_prefix();
        let ours = match &observed.azure.identity {
            ObservedIdentity::Present(present) => bound.owner.owns(&present.tags),
            ObservedIdentity::Absent => true,
        };
        let managed = matches!(bound.identity, DesiredIdentity::Managed { .. });
        let target = if ends { gone(&bound, policy) } else { Desired::Bound(bound.clone()) };
        let planned = plan(&target, &observed);
        let ours_by_name = |name: &CredentialName| {
            let ObservedIdentity::Present(present) = &observed.azure.identity else { return false };
            present.credentials.iter().any(|seen| seen.name == *name && is_ours(&bound, seen))
        };
        let label = |name| observed.service_accounts.get(name).map(|seen| &seen.bound_by);
        for step in &planned.revocations {
            match step {
                Revocation::DeleteCredential(name) => prop_assert!(ours_by_name(name), "{} is deleted", name),
                Revocation::DeleteRoleAssignment { scope, name } => {
                    let ours = observed.azure.role_assignments.known().iter().any(|seen| {
                        seen.name == *name
                            && seen.scope.parse().as_ref() == Ok(scope)
                            && bound.owner.owns_assignment(seen)
                    });
                    prop_assert!(ours, "{} at {} is deleted", name, scope);
                }
                Revocation::ReleaseServiceAccount { name, uid, .. } => {
                    let left = matches!(label(name), Some(BoundBy::Gone { .. }));
                    prop_assert!(label(name) == Some(&BoundBy::Us) || left);
                    prop_assert_eq!(&observed.service_accounts[name].uid, uid);
                }
                Revocation::DeleteExport { .. } => panic!("none is in this world"),
                Revocation::DeleteIdentity => {
                    let ObservedIdentity::Present(present) = &observed.azure.identity else { panic!("{planned:?}") };
                    prop_assert!(ends && managed && bound.owner.owns_exactly(&present.tags));
                    prop_assert!(present.credentials.iter().all(|credential| is_ours(&bound, credential)));
                    let left_behind = observed.azure.role_assignments.known().iter().any(|seen| {
                        seen.principal == present.facts.principal_id && !bound.owner.owns_assignment(seen)
                    });
                    prop_assert!(!left_behind, "roles of nobody are left");
                }
            }
        }
        prop_assert!(planned.grants.is_empty() || !ends, "nothing is given to what is to be gone");
        prop_assert!(planned.grants.is_empty() || ours || !managed, "nothing is given through a foreign identity");
        for step in &planned.grants {
            match step {
                GrantStep::CreateIdentity { .. } => {
                    prop_assert!(managed);
                    prop_assert_eq!(&observed.azure.identity, &ObservedIdentity::Absent);
                }
                GrantStep::TagIdentity { tags } => {
                    let ObservedIdentity::Present(present) = &observed.azure.identity else { panic!("{planned:?}") };
                    prop_assert!(managed && ours);
                    prop_assert!(present.tags.keys().all(|old| tags.keys().any(|new| new.eq_ignore_ascii_case(old))));
                }
                GrantStep::PutCredential(wanted) => {
                    prop_assert!(prefix.owns(&wanted.name) || ours_by_name(&wanted.name));
                    let others = matches!(label(&wanted.account), Some(BoundBy::Other { .. }));
                    prop_assert!(!others, "{} is bound by another, and trusted", wanted.account);
                }
                GrantStep::ReplaceCredential { former, wanted } => {
                    prop_assert!(prefix.owns(&wanted.name) && ours_by_name(former), "{} is deleted", former);
                }
                GrantStep::PutRoleAssignment(wanted) => {
                    prop_assert!(bound.granted.roles().contains(&wanted.permitted));
                    let ObservedIdentity::Present(present) = &observed.azure.identity else { continue };
                    let principal = present.facts.principal_id;
                    let given = observed.azure.role_assignments.known().iter().any(|seen| wanted.is_given_by(seen, principal));
                    prop_assert!(!given, "{} is given already", wanted);
                }
                GrantStep::ApplyExport(_) => prop_assert!(bound.export.is_some()),
                GrantStep::ApplyServiceAccount(wanted) => {
                    let others = matches!(label(&wanted.name), Some(BoundBy::Other { .. }));
                    prop_assert!(!others, "{} is bound by another", wanted.name);
                }
            }
        }
    }

    #[test]
    fn a_client_id_is_given_only_to_what_is_trusted_when_its_turn_comes(object in any_binding_of_old(), seed in any_world()) {
        let bound = desired(&object);
        let observed = seed.lawless(&bound);
        let planned = plan(&Desired::Bound(bound.clone()), &observed);
        let rank = |step: &GrantStep| match step {
            GrantStep::CreateIdentity { .. } | GrantStep::TagIdentity { .. } => 0,
            GrantStep::PutCredential(_) | GrantStep::ReplaceCredential { .. } => 1,
            // A pod that starts as soon as it can has its roles.
            GrantStep::PutRoleAssignment(_) => 2,
            GrantStep::ApplyServiceAccount(_) => 3,
            GrantStep::ApplyExport(_) => 4,
        };
        prop_assert!(planned.grants.is_sorted_by_key(rank), "{planned:#?}");
        let mut end = observed.clone();
        end.identity_written(facts(0), Tags::new());
        planned.revocations.iter().for_each(|step| step.fold(&mut end));
        for step in &planned.grants {
            if let GrantStep::PutCredential(wanted) | GrantStep::ReplaceCredential { wanted, .. } = step {
                end.credential_written(as_wanted(wanted));
            }
        }
        let ObservedIdentity::Present(end) = end.azure.identity else { panic!("it was written") };
        for step in &planned.grants {
            if let GrantStep::ApplyServiceAccount(account) = step {
                let wanted = bound.credential_of(&account.name).unwrap();
                let trusts = |credential: &ObservedCredential| {
                    credential.trusts(wanted.issuer.as_str(), wanted.subject.as_str())
                        && credential.has_audience(&wanted.audience)
                };
                prop_assert!(end.credentials.iter().any(trusts), "{} is not trusted", account.name);
            }
        }
    }

    #[test]
    fn a_plan_is_the_same_each_time_and_in_whatever_order_azure_lists(
        object in any_binding_of_old(), seed in any_world(), policy in any_policy(), ends in any::<bool>(),
    ) {
        let bound = desired(&object);
        let observed = seed.lawful(&bound).observe(&accounts_of(&bound));
        let target = if ends { gone(&bound, policy) } else { Desired::Bound(bound) };
        let planned = plan(&target, &observed);
        prop_assert_eq!(&planned, &plan(&target.clone(), &observed.clone()));
        let mut turned = observed;
        if let ObservedIdentity::Present(present) = &mut turned.azure.identity {
            present.credentials.reverse();
        }
        let mut assignments = turned.azure.role_assignments.known().to_vec();
        assignments.reverse();
        turned.azure.role_assignments = ObservedRoleAssignments::read(assignments);
        let other = plan(&target, &turned);
        let texts = |plan: &Plan| plan.revocations.iter().map(|step| format!("{step:?}")).collect::<BTreeSet<_>>();
        prop_assert_eq!(texts(&other), texts(&planned));
        prop_assert_eq!(other.grants, planned.grants);
        prop_assert_eq!(other.blocked, planned.blocked);
    }

    #[test]
    fn what_has_no_room_is_told_and_the_rest_goes_on(count in 1..=20_usize, foreign in 0..=20_usize) {
        let names: Vec<&str> = ACCOUNTS.iter().take(count).map(String::as_str).collect();
        let bound = desired(&existing(&names));
        let mut world = World::empty();
        world.identity = Some(PresentIdentity { facts: facts(0), tags: Tags::new(), credentials: Vec::new() });
        (0..foreign).for_each(|n| world.insert(foreign_credential(n)));
        let rest = settle(&mut world, &Desired::Bound(bound.clone()), &accounts_of(&bound));
        let room = (FEDERATED_CREDENTIALS_MAX - foreign).min(count);
        prop_assert_eq!(world.credentials().len(), foreign + room);
        prop_assert_eq!(world.accounts.len(), room, "those with trust get their client id");
        prop_assert_eq!(rest.blocked.len(), usize::from(count > room), "told once");
        for blocked in &rest.blocked {
            prop_assert_eq!(blocked.reason, Reason::FederatedCredentialQuotaExceeded);
            for account in &names[room..] {
                prop_assert!(blocked.message.contains(account), "{}", blocked.message);
            }
        }
    }
}

/// Credentials in one order, and one account as good as another for its UID.
fn sorted(world: &World) -> World {
    let mut world = world.clone();
    if let Some(identity) = &mut world.identity {
        identity.credentials.sort_by(|a, b| a.name.cmp(&b.name));
    }
    world.roles.sort_by_key(|assignment| assignment.name);
    for account in world.accounts.values_mut() {
        account.uid = name("any");
    }
    world
}

#[test]
fn the_operators_own_identity_is_never_used_and_loses_what_was_put_on_it() {
    for object in [existing(&["a", "b"]), managed(&["a"])] {
        let bound = desired(&object);
        let as_desired = World::as_desired(&bound);
        let mut fresh = as_desired.clone();
        if let Some(identity) = &mut fresh.identity {
            identity.credentials.clear();
        }
        fresh.accounts.clear();
        fresh.roles.clear();
        for (world, taken) in [(fresh, false), (as_desired, true)] {
            let mut observed = world.observe(&accounts_of(&bound));
            observed.signed_in_as = Some(facts(0).client_id);
            let plan = plan(&Desired::Bound(bound.clone()), &observed);
            assert_eq!(plan.grants, []);
            assert!(!plan.revocations.contains(&Revocation::DeleteIdentity));
            assert_eq!(!plan.revocations.is_empty(), taken, "{plan:#?}");
            let [blocked] = plan.blocked.as_slice() else {
                panic!("{plan:#?}")
            };
            assert_eq!(blocked.reason, Reason::NotPermitted);
            assert!(blocked.message.contains("the operator itself"), "{}", blocked.message);
        }
    }
}

/// Two bindings that may not use it would keep each other's trust in it alive: whoever has their service account's token would be the operator.
#[test]
fn on_the_operators_own_identity_nothing_is_left_to_another_binding() {
    let bound = desired(&existing(&["a"]));
    let both = Desired::Bound(beside(bound.clone(), claims_of(&bound), vec![sibling(&bound)]));
    let mut observed = World::as_desired(&bound).observe(&accounts_of(&bound));
    observed.signed_in_as = Some(facts(0).client_id);
    let deletion = Revocation::DeleteCredential(bound.credentials[0].name.clone());
    let planned = plan(&both, &observed);
    assert!(planned.revocations.contains(&deletion), "{planned:#?}");
}
