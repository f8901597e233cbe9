//! The plan for a binding of which nothing is to be left.

use std::collections::BTreeSet;

use proptest::prelude::*;
use wio_api::{DeletionPolicy, Reason, WorkloadIdentityBinding, keys};
use wio_core::desired::{Desired, DesiredBinding, Ending};
use wio_core::observed::{BoundBy, Tags};
use wio_core::plan::{Plan, Revocation, plan, plan_before_landing};
use wio_core::verdict::{Verdict, verdict};
use wio_testkit::fixtures::binding;

use crate::given::{
    EXISTING, ROLES, accounts_of, any_binding, any_policy, case_beside, cases, config, deleted, denied_though, desired,
    existing, generous, gone, managed, managed_with, name, object_of, rules, rules_by, verdict_of,
};
use crate::plan::{assert_untouched, foreign, is_ours, settle};
use crate::plan_roles::{is_gone, reconciled};
use crate::seeds::any_world;
use crate::worlds::{Values, World, foreign_credential};

fn planned(bound: &DesiredBinding, policy: DeletionPolicy, world: &World) -> Plan {
    plan(&gone(bound, policy), &world.observe(&accounts_of(bound)))
}

fn order(plan: &Plan) -> Vec<u8> {
    let rank = |step: &Revocation| match step {
        Revocation::DeleteCredential(_) => 0,
        Revocation::DeleteRoleAssignment { .. } => 1,
        Revocation::ReleaseServiceAccount { .. } => 2,
        Revocation::DeleteExport { .. } => 3,
        Revocation::DeleteIdentity => 4,
    };
    plan.revocations.iter().map(rank).collect()
}

proptest! {
    #![proptest_config(cases(400))]

    #[test]
    fn trust_ends_first_and_one_plan_leaves_nothing_of_ours(
        object in any_binding(), seed in any_world(), policy in any_policy(),
    ) {
        let bound = desired(&object);
        let named = accounts_of(&bound);
        let target = gone(&bound, policy);
        let mut world = seed.lawful(&bound);
        let before = (foreign(&world, &bound), world.clone());
        prop_assert!(order(&plan(&target, &world.observe(&named))).is_sorted());
        let rest = settle(&mut world, &target, &named);
        prop_assert!(!world.credentials().iter().any(|credential| is_ours(&bound, credential)));
        let labelled = world.accounts.values().any(|account| account.bound_by == BoundBy::Us);
        prop_assert!(!labelled);
        let role = world.roles.iter().any(|assignment| bound.owner.owns_assignment(assignment));
        prop_assert!(!role);
        // Orphan is not permitted here, and then the identity stays as with every denial.
        prop_assert!(policy == DeletionPolicy::Delete || world.identity.is_some() == before.1.identity.is_some());
        for (name, account) in &world.accounts {
            let same = before.1.accounts.get(name);
            prop_assert_eq!(same.map(|same| &same.others), Some(&account.others), "{} has other values", name);
        }
        if world.identity.is_some() {
            assert_untouched(&before.0, &world, &bound);
        }
        let after = foreign(&world, &bound);
        prop_assert_eq!(after.roles(), before.0.roles());
        let over = is_gone(reconciled(target, world.observe(&named), Vec::new()));
        prop_assert_eq!(over, rest.blocked.is_empty());
        prop_assert!(rest.blocked.iter().all(|blocked| blocked.reason == Reason::DeletionBlocked));
    }

    /// A binding that is orphaned has no plan at all: nothing in Azure is looked at.
    #[test]
    fn orphan_leaves_everything_as_it_is_where_a_policy_allows_it(object in any_binding(), allowed in any::<bool>()) {
        let bound = desired(&object);
        let mut open = generous();
        open.spec.allow_orphan = allowed;
        let needs_a_policy = !bound.granted.authorized_by().is_empty();
        match verdict_of(&deleted(object_of(&bound), DeletionPolicy::Orphan), rules_by(config(), &[open])) {
            Verdict::Orphan(orphaned) => {
                prop_assert!(allowed || !needs_a_policy);
                prop_assert_eq!(orphaned.owner, bound.owner);
            }
            Verdict::Pursue(desired) => {
                let Desired::Gone(removal) = *desired else { panic!("{desired:?}") };
                prop_assert!(needs_a_policy && !allowed);
                prop_assert!(removal.orphan_denied.is_some());
                prop_assert_eq!(removal.ending, Ending::Retain);
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_denied_binding_keeps_nothing_but_the_identity(
        object in any_binding(), seed in any_world(), policy in any_policy(),
    ) {
        let bound = desired(&object);
        let target = denied_though(&bound, policy);
        let mut world = seed.lawful(&bound);
        let before = (foreign(&world, &bound), world.identity.clone().map(|identity| (identity.facts, identity.tags)));
        settle(&mut world, &target, &accounts_of(&bound));
        prop_assert!(!world.credentials().iter().any(|credential| is_ours(&bound, credential)));
        prop_assert!(world.roles.iter().all(|assignment| !bound.owner.owns_assignment(assignment)));
        prop_assert!(world.accounts.values().all(|account| account.bound_by != BoundBy::Us));
        assert_untouched(&before.0, &world, &bound);
        prop_assert_eq!(world.identity.map(|identity| (identity.facts, identity.tags)), before.1);
    }

    #[test]
    fn a_removal_that_broke_off_anywhere_is_finished_by_the_next_one(
        object in any_binding(), seed in any_world(), policy in any_policy(), steps in 0..12_usize,
    ) {
        let bound = desired(&object);
        let named = accounts_of(&bound);
        let target = gone(&bound, policy);
        let mut straight = seed.lawful(&bound);
        let mut broken_off = straight.clone();
        settle(&mut straight, &target, &named);
        let first = plan(&target, &broken_off.observe(&named));
        broken_off.run(&target, &first, steps).unwrap();
        settle(&mut broken_off, &target, &named);
        prop_assert_eq!(broken_off, straight);
    }

    #[test]
    fn the_life_of_a_binding_leaves_nothing_behind(
        first in any_binding(), second in any_binding(), others in 0..3_usize,
    ) {
        // Which identity it means cannot change in a binding's life.
        let mut second = second;
        second.spec.identity = first.spec.identity.clone();
        let (first, second) = (desired(&first), desired(&second));
        let mut named: BTreeSet<_> = accounts_of(&first);
        let mut world = World::as_desired(&first);
        world.accounts.clear();
        world.roles.clear();
        world.identity.as_mut().unwrap().credentials.clear();
        let managed = !first.owner.owns(&Tags::new()) && first.identity != wio_core::desired::DesiredIdentity::Existing;
        if managed {
            world = World::empty();
        } else {
            (0..others).for_each(|n| world.insert(foreign_credential(n)));
        }
        let start = world.clone();
        settle(&mut world, &Desired::Bound(first), &named);
        named = accounts_of(&second);
        settle(&mut world, &Desired::Bound(second.clone()), &named);
        let rest = settle(&mut world, &gone(&second, DeletionPolicy::Delete), &named);
        prop_assert_eq!(rest, Plan::default());
        prop_assert_eq!(world.roles, start.roles);
        prop_assert_eq!(world.identity, start.identity);
        // One that left the spec stays, bare: only the end of the binding deletes what it created.
        for (name, account) in &world.accounts {
            prop_assert!(!second.wants(name), "{} is left", name);
            prop_assert_eq!((&account.bound_by, &account.ours), (&BoundBy::Nobody, &Values::default()));
        }
    }
}

#[test]
fn everything_of_a_managed_binding_goes_in_order() {
    let bound = desired(&managed(&["a", "b"]));
    let planned = planned(&bound, DeletionPolicy::Delete, &World::as_desired(&bound));
    assert_eq!(order(&planned), [0, 0, 2, 2, 4]);
}

#[test]
fn what_was_taken_away_is_seen_so_without_another_look() {
    let bound = desired(&managed_with(&ROLES[..1]));
    let mut seen = World::as_desired(&bound).observe(&accounts_of(&bound));
    for step in plan(&gone(&bound, DeletionPolicy::Delete), &seen).revocations {
        step.fold(&mut seen);
    }
    assert_eq!(seen, World::empty().observe(&accounts_of(&bound)));
}

#[test]
fn a_retained_identity_loses_our_trust_and_stays() {
    let bound = desired(&managed(&["a"]));
    let planned = planned(&bound, DeletionPolicy::RetainIdentity, &World::as_desired(&bound));
    assert_eq!(order(&planned), [0, 2]);
}

#[test]
fn an_existing_identity_is_never_deleted_even_with_our_tags() {
    let bound = desired(&existing(&["a"]));
    let mut world = World::as_desired(&bound);
    world.identity.as_mut().unwrap().tags = crate::worlds::tags_of(&bound.owner);
    assert_eq!(order(&planned(&bound, DeletionPolicy::Delete, &world)), [0, 2]);
}

#[test]
fn an_identity_with_the_uid_of_another_binding_of_the_same_name_is_never_deleted() {
    let bound = desired(&managed(&["a"]));
    let mut world = World::as_desired(&bound);
    for uid in [Some("another"), None] {
        let tags = &mut world.identity.as_mut().unwrap().tags;
        tags.remove(keys::BINDING_UID_TAG);
        tags.extend(uid.map(|uid| (keys::BINDING_UID_TAG.to_owned(), uid.to_owned())));
        assert_eq!(order(&planned(&bound, DeletionPolicy::Delete, &world)), [0, 2]);
    }
}

#[test]
fn an_identity_that_others_use_is_not_deleted_under_them() {
    let bound = desired(&managed(&["a"]));
    let mut world = World::as_desired(&bound);
    world.insert(foreign_credential(2));
    world.insert(foreign_credential(1));
    let planned = planned(&bound, DeletionPolicy::Delete, &world);
    assert_eq!(order(&planned), [0, 2]);
    assert_eq!(planned.blocked[0].reason, Reason::DeletionBlocked);
    let message = &planned.blocked[0].message;
    assert!(message.contains("terraform-1, terraform-2"), "{message}");
    let target = gone(&bound, DeletionPolicy::Delete);
    assert!(
        !is_gone(reconciled(target, world.observe(&accounts_of(&bound)), Vec::new())),
        "the finalizer stays"
    );
}

#[test]
fn a_service_account_of_ours_is_let_go_though_its_identity_is_away() {
    let bound = desired(&managed(&["a"]));
    let mut world = World::as_desired(&bound);
    world.identity = None;
    assert_eq!(order(&planned(&bound, DeletionPolicy::Delete, &world)), [2]);
}

/// Trust may stand on an identity that is not shown yet: it is taken away by its name, and ends before the client id goes.
#[test]
fn trust_on_an_identity_that_may_still_arrive_goes_by_its_name_and_service_accounts_wait() {
    let bound = desired(&managed_with(&ROLES[..1]));
    let gone = gone(&bound, DeletionPolicy::Delete);
    let mut world = World::as_desired(&bound);
    let seen = |world: &World| world.observe(&accounts_of(&bound));
    assert_eq!(plan_before_landing(&gone, &seen(&world)), plan(&gone, &seen(&world)));
    world.identity = None;
    assert_eq!(order(&plan(&gone, &seen(&world))), [1, 2]);
    let before = plan_before_landing(&gone, &seen(&world));
    assert_eq!(order(&before), [0, 1]);
    let credentials = World::as_desired(&bound).credentials().to_vec();
    let named = credentials
        .into_iter()
        .map(|one| Revocation::DeleteCredential(one.name));
    assert!(before.revocations.starts_with(&named.collect::<Vec<_>>()));
    let fewer = Desired::Bound(desired(&managed(&["b"])));
    assert_eq!(plan_before_landing(&fewer, &seen(&world)), plan(&fewer, &seen(&world)));
    assert!(order(&plan(&fewer, &seen(&world))).contains(&2));
}

/// Pods run as it, with tokens that end with the account.
#[test]
fn a_service_account_that_was_created_stays_for_one_that_waits_for_it() {
    let bound = desired(&managed(&["a"]));
    let mut world = World::as_desired(&bound);
    world.accounts.get_mut(&name("a")).unwrap().created_by_operator = true;
    let object = deleted(object_of(&bound), DeletionPolicy::Delete);
    let waiting = |policy: DeletionPolicy| {
        let other = binding("shop", "later")
            .uid("later")
            .existing(&EXISTING.replace("billing", "nobody's"));
        let other = other.service_account("a");
        match policy {
            DeletionPolicy::Orphan => other.build(),
            policy => deleted(other, policy),
        }
    };
    let is_deleted = |others: &[WorkloadIdentityBinding]| {
        let Verdict::Pursue(target) = verdict(&case_beside(&object, others, rules())) else {
            panic!("it goes")
        };
        let planned = plan(&target, &world.observe(&accounts_of(&bound)));
        planned
            .revocations
            .iter()
            .any(|step| matches!(step, Revocation::ReleaseServiceAccount { delete: true, .. }))
    };
    assert!(is_deleted(&[]));
    assert!(!is_deleted(&[waiting(DeletionPolicy::Orphan)]));
    assert!(is_deleted(&[waiting(DeletionPolicy::Delete)]), "it goes as well");
    let mut elsewhere = waiting(DeletionPolicy::Orphan);
    elsewhere.metadata.namespace = Some("bank".to_owned());
    assert!(is_deleted(&[elsewhere]), "it means another one");
}

/// A step for what needs none would keep the deletion from being complete.
#[test]
fn a_service_account_that_lost_our_marks_is_not_touched_when_another_one_waits_for_it_or_it_was_not_created() {
    let bound = desired(&managed(&["a"]));
    let mut world = World::as_desired(&bound);
    let account = world.accounts.get_mut(&name("a")).unwrap();
    account.bound_by = BoundBy::Nobody;
    account.ours = Values::default();
    account.created_by_operator = true;
    let object = deleted(object_of(&bound), DeletionPolicy::Delete);
    let other = binding("shop", "later").uid("later").service_account("a");
    let waiting = other.existing(&EXISTING.replace("billing", "nobody's")).build();
    let touches = |world: &World, others: &[WorkloadIdentityBinding]| {
        let Verdict::Pursue(target) = verdict(&case_beside(&object, others, rules())) else {
            panic!("it goes")
        };
        order(&plan(&target, &world.observe(&accounts_of(&bound)))).contains(&2)
    };
    assert!(touches(&world, &[]));
    assert!(!touches(&world, std::slice::from_ref(&waiting)));
    world.accounts.get_mut(&name("a")).unwrap().created_by_operator = false;
    assert!(!touches(&world, &[]));
}
