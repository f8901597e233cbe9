//! What becomes of a binding that may not have what it has, and of an identity that was there before.

use proptest::prelude::*;
use wio_api::{DeletionPolicy, IdentityOrigin, ManagedIdentity, ManagedIdentityPermission, Reason, keys};
use wio_core::desired::{Desired, DesiredBinding, DesiredIdentity, Ending};
use wio_core::known_state;
use wio_core::names::ServiceAccountName;
use wio_core::observed::{BoundBy, ObservedIdentity, Tags};
use wio_core::outcome::{Outcome, Reconciled};
use wio_core::plan::{GrantStep, Plan, Revocation, plan};
use wio_core::sharing::Sharer;
use wio_testkit::fixtures::{binding, policy};

use crate::given::{
    SUBSCRIPTION, UID, accounts_of, any_binding, any_policy, cases, config, denied, denied_as, denied_though, desired,
    existing, generous, gone, managed, name, object_of, parsed, permitted, recorded, rival, rules_by,
};
use crate::plan::{assert_untouched, foreign, is_ours, settle};
use crate::plan_roles::{is_gone, made};
use crate::seeds::any_world;
use crate::worlds::{World, foreign_credential};

proptest! {
    #![proptest_config(cases(400))]

    #[test]
    fn a_denied_binding_is_given_nothing_from_any_state_and_nothing_of_it_stays_trusted(
        object in any_binding(), seed in any_world(), wished in any_policy(), steps in 0..12_usize,
    ) {
        let bound = desired(&object);
        let named = accounts_of(&bound);
        // Whatever the spec says is to become of it at the end: Orphan would leave what is not permitted.
        let target = denied_though(&bound, wished);
        let mut world = seed.lawful(&bound);
        let before = (foreign(&world, &bound), world.clone());
        let first = plan(&target, &world.observe(&named));
        prop_assert_eq!(&first.grants, &[]);
        prop_assert_eq!(&first.blocked, &[]);
        prop_assert!(first.revocations.is_sorted_by_key(rank), "trust ends first: {:?}", first);
        prop_assert!(!first.revocations.contains(&Revocation::DeleteIdentity));
        world.run(&target, &first, steps).unwrap();
        let rest = settle(&mut world, &target, &named);
        prop_assert_eq!(rest, Plan::default(), "the second time there is nothing to do");

        prop_assert!(!world.credentials().iter().any(|credential| is_ours(&bound, credential)));
        prop_assert!(world.accounts.values().all(|account| account.bound_by != BoundBy::Us));
        let uids = |world: &World| world.accounts.values().map(|account| account.uid.clone()).collect::<Vec<_>>();
        prop_assert_eq!(uids(&world), uids(&before.1), "a service account's UID is in other people's tokens");
        let seen = world.observe(&named);
        prop_assert!(!seen.azure.role_assignments.known().iter().any(|assignment| bound.owner.owns_assignment(assignment)));
        prop_assert_eq!(world.identity.as_ref().map(|identity| &identity.tags), before.1.identity.as_ref().map(|identity| &identity.tags));
        assert_untouched(&before.0, &world, &bound);
    }

    #[test]
    fn an_identity_is_taken_over_only_when_it_is_asked_allowed_and_free(
        object in any_binding(), seed in any_world(), asks in any::<bool>(), may in any::<bool>(),
    ) {
        let bound = adopting(&object, asks, may);
        let observed = seed.lawless(&bound);
        let planned = plan(&Desired::Bound(bound.clone()), &observed);
        let ObservedIdentity::Present(present) = &observed.azure.identity else { return Ok(()) };
        let managed = matches!(bound.identity, DesiredIdentity::Managed { .. });
        let claimed = present.tags.keys().any(|tag| tag.to_lowercase().starts_with("workloadidentity.dev"));
        for step in &planned.grants {
            if let GrantStep::TagIdentity { tags } = step && !bound.owner.owns(&present.tags) {
                prop_assert!(managed && asks && may && !claimed);
                prop_assert_eq!(tags.get(keys::ADOPTED_TAG).map(String::as_str), Some("true"));
            }
        }
        let usable = !managed || bound.owner.owns(&present.tags) || (asks && may && !claimed);
        prop_assert!(usable || planned.grants.is_empty());
    }
}

fn rank(step: &Revocation) -> u8 {
    match step {
        Revocation::DeleteCredential(_) => 0,
        Revocation::DeleteRoleAssignment { .. } => 1,
        Revocation::ReleaseServiceAccount { .. } => 2,
        Revocation::DeleteExport { .. } => 3,
        Revocation::DeleteIdentity => 4,
    }
}

fn reconciled(desired: Desired, bound: &DesiredBinding, world: &World) -> Outcome {
    let observed = world.observe(&accounts_of(bound));
    Outcome::Reconciled(Box::new(Reconciled::new(desired, observed, Vec::new())))
}

#[test]
fn a_denial_does_not_wait_for_a_suspended_binding_and_is_never_over() {
    let bound = desired(&existing(&["a"]));
    let world = World::as_desired(&bound);
    let suspended = denied_as(&object_of(&bound).suspended().build(), &bound);
    let outcome = reconciled(suspended, &bound, &world);
    let reasons: Vec<Reason> = outcome
        .problems()
        .iter()
        .map(|problem| problem.disposition.reason())
        .collect();
    assert_eq!(
        reasons,
        [Reason::Progressing, Reason::NotPermitted],
        "not {}",
        Reason::Suspended
    );
    assert!(!is_gone(outcome.clone()), "the finalizer stays");
    let target = denied(&bound);
    let mut world = world;
    settle(&mut world, &target, &accounts_of(&bound));
    let outcome = reconciled(target, &bound, &world);
    assert!(!outcome.problems().is_empty() && !is_gone(outcome));
}

#[test]
fn a_denied_binding_keeps_naming_its_identity_and_nothing_else() {
    let bound = desired(&managed(&["a"]));
    let mut world = World::as_desired(&bound);
    let before = made(&reconciled(Desired::Bound(bound.clone()), &bound, &world), None);
    assert_eq!(before.federated_credentials.len(), 1);
    settle(&mut world, &denied(&bound), &accounts_of(&bound));
    let after = made(&reconciled(denied(&bound), &bound, &world), Some(&before));
    assert_eq!(after.identity, before.identity);
    assert!(
        after.federated_credentials.is_empty() && after.service_accounts.is_empty() && after.authorized_by.is_empty()
    );
}

/// Written anew, a policy ends nothing but trust. The service accounts go with the binding that they were created for, also when it
/// is denied by then, and never while another binding wants them.
#[test]
fn a_service_account_that_was_created_outlives_a_denial_and_goes_with_its_binding() {
    let bound = desired(&managed(&["a", "b"]));
    let named = accounts_of(&bound);
    let mut world = World::as_desired(&bound);
    for account in world.accounts.values_mut() {
        account.created_by_operator = true;
    }
    settle(&mut world, &denied(&bound), &named);
    assert_eq!(world.accounts.len(), 2);
    let removal = gone(&bound, DeletionPolicy::RetainIdentity);
    let wants_a = Sharer {
        accounts: rival(&bound)
            .accounts
            .into_iter()
            .filter(|claim| claim.account == name("a"))
            .collect(),
        ..rival(&bound)
    };
    let sharing = removal.sharing().clone();
    let removal = removal.with_sharing(sharing.with(parsed(&managed(&["a", "b"])).claims, vec![wants_a]));
    settle(&mut world, &removal, &named);
    let left: Vec<&str> = world.accounts.keys().map(ServiceAccountName::as_str).collect();
    assert_eq!(left, ["a"]);
}

fn adopting(object: &wio_api::WorkloadIdentityBinding, asks: bool, may: bool) -> DesiredBinding {
    let mut object = object.clone();
    if let Some(managed) = &mut object.spec.identity.managed {
        managed.adopt = asks;
    }
    let place = ManagedIdentityPermission {
        subscription_id: SUBSCRIPTION.to_owned(),
        resource_group: "operator".to_owned(),
        adopt: may,
        ..ManagedIdentityPermission::default()
    };
    let policies = [generous(), policy("adopt").namespace("shop").managed(place).build()];
    permitted(&object, rules_by(config(), &policies))
}

fn named(asks: bool, may: bool) -> DesiredBinding {
    let identity = ManagedIdentity {
        name: Some("shop_orders".to_owned()),
        ..ManagedIdentity::default()
    };
    let object = binding("shop", "orders")
        .uid(UID)
        .managed_as(identity)
        .service_account("a")
        .build();
    adopting(&object, asks, may)
}

/// An identity stands under the binding's name, with these tags and a credential of somebody else.
fn standing(bound: &DesiredBinding, tags: &[(&str, &str)]) -> World {
    let mut world = World::as_desired(bound);
    world.accounts.clear();
    let identity = world.identity.as_mut().unwrap();
    identity.tags = tags
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    identity.credentials = vec![foreign_credential(1)];
    world
}

#[test]
fn an_identity_that_was_there_before_is_taken_over_with_its_tags_and_one_that_says_so() {
    let bound = named(true, true);
    let mut world = standing(&bound, &[("team", "shop")]);
    let target = Desired::Bound(bound.clone());
    let first = plan(&target, &world.observe(&accounts_of(&bound)));
    let remembered = world.observe(&accounts_of(&bound)).azure;
    assert!(
        !known_state::is_enough_for(&first, &remembered, true),
        "not without a look"
    );
    let rest = settle(&mut world, &target, &accounts_of(&bound));
    assert_eq!(rest, Plan::default());
    let tags = world.identity.as_ref().unwrap().tags.clone();
    assert!(bound.owner.owns_exactly(&tags));
    assert_eq!(
        ["team", keys::ADOPTED_TAG].map(|name| tags.get(name).unwrap().as_str()),
        ["shop", "true"]
    );
    let status = made(&reconciled(target, &bound, &world), None);
    assert_eq!(status.identity.as_ref().unwrap().origin, IdentityOrigin::Adopted);
    assert_eq!(status.authorized_by, ["adopt"]);

    // A restart takes the tag for known with the rest.
    let mut alone = standing(&bound, &[]);
    alone.identity.as_mut().unwrap().credentials.clear();
    settle(&mut alone, &Desired::Bound(bound.clone()), &accounts_of(&bound));
    let status = made(&reconciled(Desired::Bound(bound.clone()), &bound, &alone), None);
    let known = known_state::from_status(&bound, &recorded(3, &status)).unwrap();
    assert_eq!(known.identity, alone.observe(&accounts_of(&bound)).azure.identity);
}

#[test]
fn what_carries_anything_of_another_binding_or_cluster_is_never_taken_over() {
    for (tag, told) in [
        (keys::CLUSTER_TAG, "tags of another binding"),
        (keys::BINDING_TAG, "tags of another binding (bank/payments)"),
        (keys::BINDING_UID_TAG, "not all that say whose it is"),
        (keys::ADOPTED_TAG, "not all that say whose it is"),
        ("WorkloadIdentity.dev-new", "not all that say whose it is"),
    ] {
        let bound = named(true, true);
        let world = standing(&bound, &[(tag, "bank/payments")]);
        let planned = plan(&Desired::Bound(bound.clone()), &world.observe(&accounts_of(&bound)));
        assert!(!planned.has_steps(), "{planned:?}");
        assert_eq!(planned.blocked[0].reason, Reason::IdentityNotOwned);
        assert!(planned.blocked[0].message.contains(told), "{:?}", planned.blocked);
    }
}

#[test]
fn what_may_not_be_taken_over_is_told_with_the_way_out() {
    for (asks, may, way_out) in [
        (
            false,
            false,
            "spec.identity.managed.adopt: true, which needs adopt: true in spec.managedIdentities",
        ),
        (false, true, "spec.identity.managed.adopt: true"),
        (
            true,
            false,
            "ask the platform team to set adopt: true in spec.managedIdentities",
        ),
    ] {
        let bound = named(asks, may);
        let world = standing(&bound, &[("team", "shop")]);
        let planned = plan(&Desired::Bound(bound.clone()), &world.observe(&accounts_of(&bound)));
        assert!(!planned.has_steps(), "{planned:?}");
        assert_eq!(planned.blocked[0].reason, Reason::IdentityNotOwned);
        assert!(planned.blocked[0].message.contains(way_out), "{:?}", planned.blocked);
    }
}

#[test]
fn what_was_taken_over_loses_its_trust_when_that_is_not_allowed_any_more() {
    let bound = named(true, true);
    let mut world = standing(&bound, &[]);
    settle(&mut world, &Desired::Bound(bound.clone()), &accounts_of(&bound));
    // The binding was created anew, so that nothing but the tag remembers it.
    for asks in [true, false] {
        let now = named(asks, false);
        let target = Desired::Bound(now.clone());
        let mut world = world.clone();
        let rest = settle(&mut world, &target, &accounts_of(&now));
        assert!(rest.grants.is_empty());
        assert_eq!(rest.blocked[0].reason, Reason::NotPermitted);
        assert_eq!(world.credentials(), [foreign_credential(1)]);
        assert!(
            world.accounts.is_empty()
                || world
                    .accounts
                    .values()
                    .all(|account| account.bound_by == BoundBy::Nobody)
        );
        let status = made(&reconciled(target, &now, &world), None);
        let authorized = status
            .conditions
            .iter()
            .find(|condition| condition.type_ == "Authorized")
            .unwrap();
        assert_eq!(
            (authorized.status.as_str(), authorized.reason.as_str()),
            ("False", "NotPermitted")
        );
    }
}

#[test]
fn a_removal_that_is_made_a_denial_deletes_nothing_despite_anything() {
    let bound = desired(&managed(&["a"]));
    let mut eager = object_of(&bound).deletion_policy(DeletionPolicy::Delete).build();
    let annotation = (keys::DELETE_DESPITE_USERS_ANNOTATION.to_owned(), "true".to_owned());
    eager.metadata.annotations = Some([annotation].into());
    let target = denied_as(&eager, &bound);
    let Desired::Denied(denial) = &target else { panic!() };
    assert_eq!(denial.removal().ending, Ending::Stay);
    let mut world = World::as_desired(&bound);
    let tags: Tags = world.identity.as_ref().unwrap().tags.clone();
    settle(&mut world, &target, &accounts_of(&bound));
    assert_eq!(world.identity.unwrap().tags, tags);
}
