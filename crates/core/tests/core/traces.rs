//! What may stand though no list shows it, and when a look is final.

use std::time::Duration;

use proptest::prelude::*;
use wio_api::{DeletionPolicy, Reason, WorkloadIdentityBinding, keys};
use wio_core::config::OperatorConfig;
use wio_core::desired::{Desired, DesiredBinding, DesiredRemoval};
use wio_core::landing::{LANDING, Sight, Writes};
use wio_core::observed::{AzureState, Observed, ObservedCredential, ObservedIdentity, ObservedRoleAssignments, Tags};
use wio_core::plan::{Revocation, plan};
use wio_core::verdict::{Verdict, verdict};
use wio_testkit::fixtures::binding;

use crate::given::{
    EXISTING, OLD_ISSUER, ROLES, SUBSCRIPTION, accounts_of, any_binding, case_beside, cases, config, deleted, desired,
    desired_of_invoices, existing, managed, managed_with, name, object_of, parsed, pursued, removal, rules, rules_by,
    verdict_of, written,
};
use crate::plan_roles::{made, reconciled};
use crate::worlds::World;

/// A binding on its way out whose status was written when the world was like this.
fn ending(bound: &DesiredBinding, world: &World, policy: DeletionPolicy) -> WorkloadIdentityBinding {
    let outcome = reconciled(
        Desired::Bound(bound.clone()),
        world.observe(&accounts_of(bound)),
        Vec::new(),
    );
    deleted(object_of(bound).status(made(&outcome, None)), policy)
}

fn removed(object: &WorkloadIdentityBinding) -> DesiredRemoval {
    match pursued(object, rules()) {
        Desired::Gone(removal) => removal,
        other => panic!("{other:?} is not gone"),
    }
}

/// The world as lists show it that leave out some of what stands.
fn lying(mut observed: Observed, shown: &[bool]) -> Observed {
    let mut shown = shown.iter().cycle();
    let mut is_listed = || *shown.next().unwrap();
    if let ObservedIdentity::Present(present) = &mut observed.azure.identity {
        present.credentials.retain(|_| is_listed());
    }
    let roles = observed.azure.role_assignments.known().iter();
    let listed = roles.filter(|_| is_listed()).cloned().collect();
    observed.azure.role_assignments = ObservedRoleAssignments::read(listed);
    observed
}

/// What of the binding stands and is not named by the plan of its removal.
fn forgotten(world: &World, bound: &DesiredBinding, removal: &DesiredRemoval, seen: Observed) -> Vec<String> {
    let deletes_identity = world
        .identity
        .as_ref()
        .is_some_and(|identity| removal.deletes_identity_with(&identity.tags));
    let planned = plan(&Desired::Gone(removal.clone()), &removal.presumed(seen, None));
    let credentials = world.credentials().iter().filter(|credential| {
        !deletes_identity
            && !planned
                .revocations
                .contains(&Revocation::DeleteCredential(credential.name.clone()))
    });
    let roles = world.roles.iter().filter(|role| {
        let goes =
            |step: &Revocation| matches!(step, Revocation::DeleteRoleAssignment { name, .. } if *name == role.name);
        bound.owner.owns_assignment(role) && !planned.revocations.iter().any(goes)
    });
    credentials
        .map(|credential| credential.name.to_string())
        .chain(roles.map(ToString::to_string))
        .collect()
}

proptest! {
    #![proptest_config(cases(400))]

    #[test]
    fn whatever_lists_leave_out_a_removal_names_all_that_stands(
        object in any_binding(), retain in any::<bool>(), shown in prop::collection::vec(any::<bool>(), 1..6),
    ) {
        let policy = if retain { DeletionPolicy::RetainIdentity } else { DeletionPolicy::Delete };
        let bound = desired(&object);
        let world = World::as_desired(&bound);
        let mut object = ending(&bound, &world, policy);
        let seen = || lying(world.observe(&accounts_of(&bound)), &shown);
        prop_assert_eq!(forgotten(&world, &bound, &removed(&object), seen()), Vec::<String>::new());
        // Neither does a status that was never written hide a credential, nor a spec that does not name it any more.
        let status = object.status.replace(written());
        let without_roles = World { roles: Vec::new(), ..world.clone() };
        prop_assert_eq!(forgotten(&without_roles, &bound, &removed(&object), seen()), Vec::<String>::new());
        object.status = status;
        object.spec.service_accounts.clear();
        object.spec.role_assignments.clear();
        prop_assert_eq!(forgotten(&world, &bound, &removed(&object), seen()), Vec::<String>::new());
    }

    #[test]
    fn what_is_remembered_is_taken_away_though_neither_spec_nor_status_nor_list_tells_of_it(object in any_binding()) {
        let bound = desired(&object);
        let world = World::as_desired(&bound);
        let target = removal(&bound, DeletionPolicy::RetainIdentity);
        let seen = lying(world.observe(&accounts_of(&bound)), &[false]);
        let remembered: AzureState = world.observe(&accounts_of(&bound)).azure;
        let planned = plan(&Desired::Gone(target.clone()), &target.presumed(seen, Some(&remembered)));
        for credential in world.credentials() {
            prop_assert!(planned.revocations.contains(&Revocation::DeleteCredential(credential.name.clone())));
        }
        let roles = planned.revocations.iter().filter(|step| matches!(step, Revocation::DeleteRoleAssignment { .. }));
        prop_assert_eq!(roles.count(), world.roles.len());
    }
}

/// A deletion of what everything shows asks for nothing but what is there.
#[test]
fn what_lists_show_is_deleted_once() {
    for object in [managed(&["a", "b"]), existing(&["a", "b"])] {
        let bound = desired(&object);
        let world = World::as_desired(&bound);
        let seen = world.observe(&accounts_of(&bound));
        let target = removed(&ending(&bound, &world, DeletionPolicy::Delete));
        assert_eq!(target.presumed(seen.clone(), Some(&seen.azure)), seen);
    }
}

/// What was written may stand on an identity that neither spec nor status names any more: letting the binding go would leave it trusted for good.
#[test]
fn a_binding_that_may_have_something_nobody_knows_where_is_not_let_go() {
    let mut object = deleted(
        object_of(&desired(&existing(&["a"]))).status(written()),
        DeletionPolicy::Delete,
    );
    object.spec.identity.existing = None;
    match verdict_of(&object, rules()) {
        Verdict::Hold(blocked) => assert_eq!(blocked.reason, Reason::DeletionBlocked),
        other => panic!("{other:?}"),
    }
}

/// In another default group, where the operator may have no right, every deletion would wait.
#[test]
fn another_default_is_no_place_to_take_something_away_from() {
    let bound = desired(&managed(&["a"]));
    let object = ending(&bound, &World::as_desired(&bound), DeletionPolicy::Delete);
    let moved = OperatorConfig {
        group: name(&format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/elsewhere")),
        ..config()
    };
    match pursued(&object, rules_by(moved, &[])) {
        Desired::Gone(removal) => assert_eq!(removal.elsewhere(), None),
        other => panic!("{other:?}"),
    }
}

/// A status that somebody wrote: what is meant and what was recorded may both hold something.
#[test]
fn what_the_spec_means_is_taken_away_from_beside_what_the_status_names() {
    let bound = desired(&existing(&["a"]));
    let mut object = ending(&bound, &World::as_desired(&bound), DeletionPolicy::Delete);
    assert_eq!(removed(&object).elsewhere(), None);
    let meant = bound.granted.identity().clone();
    let status = object.status.as_mut().unwrap().identity.as_mut().unwrap();
    status.resource_id = status.resource_id.replace("billing", "victim");
    let target = removed(&object);
    assert_ne!(*target.revocable.identity(), meant);
    assert_eq!(target.elsewhere().map(|other| other.revocable.identity()), Some(&meant));
    assert_eq!(
        target.from(&meant).map(|other| other.revocable.identity().clone()),
        Some(meant)
    );
}

/// Only an identity of the same name may be the one that another default has moved.
#[test]
fn another_name_or_another_place_that_the_spec_names_itself_may_hold_something_too() {
    for (object, written, other) in [
        (existing(&["a"]), "/shared/", "/victim/"),
        (managed(&["a"]), "/wib-", "/victim-"),
    ] {
        let bound = desired(&object);
        let mut object = ending(&bound, &World::as_desired(&bound), DeletionPolicy::Delete);
        let status = object.status.as_mut().unwrap().identity.as_mut().unwrap();
        status.resource_id = status.resource_id.replace(written, other);
        let target = removed(&object);
        let meant = bound.granted.identity();
        assert_eq!(target.elsewhere().map(|other| other.revocable.identity()), Some(meant));
    }
}

#[test]
fn a_removal_needs_nothing_of_the_spec_but_the_identity_that_it_means() {
    let spoilt: [fn(&mut WorkloadIdentityBinding); 4] = [
        |object| object.spec.audience = Some("two words".to_owned()),
        |object| {
            object
                .spec
                .service_accounts
                .push(object.spec.service_accounts[0].clone());
        },
        |object| {
            object.spec.role_assignments = vec![wio_api::AssignedRole {
                role: "No such role".to_owned(),
                scope: "nowhere".to_owned(),
                ..wio_api::AssignedRole::default()
            }];
        },
        |object| {
            if let Some(managed) = &mut object.spec.identity.managed {
                let tags = ["Team", "team"].map(|tag| (tag.to_owned(), "x".to_owned()));
                managed.tags.extend(tags);
                managed.location = Some("no where".to_owned());
            }
        },
    ];
    for object in [managed(&["a"]), existing(&["a"])] {
        let bound = desired(&object);
        for spoil in spoilt {
            let mut object = deleted(object_of(&bound), DeletionPolicy::Delete);
            let good = removed(&object);
            spoil(&mut object);
            assert_eq!(removed(&object).revocable, good.revocable);
            assert!(
                parsed(&object)
                    .claims
                    .accounts
                    .contains(&bound.service_accounts[0].name)
            );
        }
    }
}

/// Azure allows one assignment for a scope, a principal and a role.
#[test]
fn a_role_that_stands_under_another_name_is_not_looked_for_under_ours() {
    let bound = desired(&managed_with(&ROLES[..1]));
    let mut world = World::as_desired(&bound);
    let target = removed(&ending(&bound, &world, DeletionPolicy::Delete));
    world.roles[0].name = uuid::Uuid::from_u128(7).into();
    let seen = world.observe(&accounts_of(&bound));
    assert_eq!(target.presumed(seen.clone(), None), seen);
}

/// Azure allows one credential of a name, and one for a subject of an issuer; a list may show the one that stood before ours and is gone.
#[test]
fn a_credential_of_the_status_may_stand_beside_one_of_its_subject_and_none_of_its_name() {
    let bound = desired(&existing(&["a"]));
    let mut world = World::as_desired(&bound);
    let target = removed(&ending(&bound, &world, DeletionPolicy::Delete));
    let ours = world.credentials()[0].clone();
    let of_its_subject = ObservedCredential {
        name: name("terraform"),
        ..ours.clone()
    };
    let of_its_name = ObservedCredential {
        subject: Some("system:serviceaccount:shop:else".to_owned()),
        ..ours.clone()
    };
    for (shown, presumed) in [
        (of_its_subject.clone(), vec![of_its_subject, ours]),
        (of_its_name.clone(), vec![of_its_name]),
    ] {
        world.identity.as_mut().unwrap().credentials = vec![shown];
        let seen = world.observe(&accounts_of(&bound));
        let credentials = |seen: &Observed| seen.azure.identity.present().unwrap().credentials.clone();
        assert_eq!(credentials(&target.presumed(seen, None)), presumed);
    }
}

/// A binding whose trust is somebody else's credential never had one of its own. A deletion of that would be refused where the operator has no right to delete, and the
/// binding would not go.
#[test]
fn a_credential_that_may_have_been_made_is_not_looked_for_where_another_has_its_subject() {
    let bound = desired(&existing(&["a"]));
    let mut world = World::as_desired(&bound);
    let target = removed(&deleted(object_of(&bound), DeletionPolicy::Delete));
    let ours = world.credentials()[0].clone();
    let foreign = ObservedCredential {
        name: name("terraform"),
        ..ours.clone()
    };
    let of_another_account = ObservedCredential {
        subject: Some("system:serviceaccount:shop:else".to_owned()),
        ..foreign.clone()
    };
    let of_another_issuer = ObservedCredential {
        issuer: OLD_ISSUER.to_owned(),
        ..foreign.clone()
    };
    for (shown, is_looked_for) in [(foreign, false), (of_another_account, true), (of_another_issuer, true)] {
        world.identity.as_mut().unwrap().credentials = vec![shown];
        let seen = target.presumed(world.observe(&accounts_of(&bound)), None);
        let asked = plan(&Desired::Gone(target.clone()), &seen).revocations;
        let deletion = Revocation::DeleteCredential(ours.name.clone());
        assert_eq!(asked.contains(&deletion), is_looked_for, "{asked:?}");
    }
}

/// A spec that was edited and deleted at once would be forgotten without the tag.
#[test]
fn an_identity_that_is_to_stay_is_tagged_so_when_it_is_the_bindings() {
    let bound = desired(&managed(&["a"]));
    let tags = World::as_desired(&bound).identity.unwrap().tags;
    let mark = removal(&bound, DeletionPolicy::RetainIdentity).mark(&tags).unwrap();
    let marked = tags.iter().map(|(tag, value)| match tag.as_str() {
        keys::DELETION_POLICY_TAG => (tag.clone(), "RetainIdentity".to_owned()),
        _ => (tag.clone(), value.clone()),
    });
    assert_eq!(*mark.tags(), marked.collect::<Tags>());
    assert_eq!(removal(&bound, DeletionPolicy::Delete).mark(&tags), None);
    assert_eq!(removal(&bound, DeletionPolicy::RetainIdentity).mark(&Tags::new()), None);
    let referenced = desired(&existing(&["a"]));
    assert_eq!(removal(&referenced, DeletionPolicy::RetainIdentity).mark(&tags), None);
    let outcome = |target, world: World| reconciled(target, world.observe(&accounts_of(&bound)), Vec::new());
    let retaining = || Desired::Gone(removal(&bound, DeletionPolicy::RetainIdentity));
    assert_eq!(outcome(retaining(), World::as_desired(&bound)).mark(), Some(mark));
    assert_eq!(outcome(retaining(), World::empty()).mark(), None);
    assert_eq!(
        outcome(Desired::Bound(bound.clone()), World::as_desired(&bound)).mark(),
        None
    );
}

/// The tag that says that all of it is to stay is among what a binding is ready by. A deletion raises the generation by one.
#[test]
fn an_identity_that_is_to_stay_is_tagged_anew_unless_its_binding_was_ready_for_this_spec() {
    let bound = desired(&managed(&["a"]));
    let mut object = ending(&bound, &World::as_desired(&bound), DeletionPolicy::Orphan);
    for (generation, is_tagged) in [(3, false), (4, false), (5, true)] {
        object.metadata.generation = Some(generation);
        let Verdict::Orphan(orphaned) = verdict_of(&object, rules()) else {
            panic!("it may stay")
        };
        let expected = is_tagged.then(|| bound.granted.identity().clone());
        assert_eq!(orphaned.unmarked, expected, "{generation}");
        let tags = World::as_desired(&bound).identity.unwrap().tags;
        assert_eq!(orphaned.mark(&tags).is_some(), is_tagged, "{generation}");
    }
}

#[test]
fn a_look_is_final_when_nothing_that_was_written_can_still_arrive() {
    const SECOND: Duration = Duration::from_secs(1);
    let young = Some(SECOND);
    let old = Some(LANDING);
    let left = LANDING.checked_sub(SECOND);
    let writes = |last, unanswered, by_an_earlier_operator| Writes {
        last,
        unanswered,
        deletion: None,
        by_an_earlier_operator,
    };
    for (written, sight, expected) in [
        (writes(None, None, None), Sight::Gaps, None),
        (writes(old, old, old), Sight::Gaps, None),
        // What was seen going was there: nothing of it is under way.
        (writes(young, None, None), Sight::Whole, None),
        // What was not there may not be there yet.
        (writes(young, None, None), Sight::Gaps, left),
        // Nobody knows what becomes of these.
        (writes(young, young, None), Sight::Whole, left),
        (writes(None, None, young), Sight::Whole, left),
        (writes(young, old, Some(SECOND * 5)), Sight::Gaps, left),
    ] {
        assert_eq!(written.until_landed(sight), expected, "{written:?} {sight:?}");
        assert_eq!(written.until_shown(sight), expected, "{written:?} {sight:?}");
    }
}

/// It gives nothing, so a look shows what there is.
#[test]
fn a_deletion_that_got_no_answer_keeps_the_binding_and_hides_nothing() {
    const SECOND: Duration = Duration::from_secs(1);
    let left = LANDING.checked_sub(SECOND);
    for (deletion, expected) in [(None, None), (Some(LANDING), None), (Some(SECOND), left)] {
        let writes = Writes {
            deletion,
            ..Writes::default()
        };
        for sight in [Sight::Whole, Sight::Gaps] {
            assert_eq!(writes.until_landed(sight), expected);
            assert_eq!(writes.until_shown(sight), None);
        }
        assert_eq!(writes.until_deleted(), expected);
    }
    let both = Writes {
        unanswered: Some(SECOND * 2),
        deletion: Some(SECOND),
        ..Writes::default()
    };
    assert_eq!(both.until_landed(Sight::Whole), left);
}

#[test]
fn a_deletion_that_waits_for_what_was_written_says_how_long() {
    let last = Duration::from_secs(1);
    let bound = desired(&managed(&["a"]));
    let nothing = World::empty().observe(&accounts_of(&bound));
    let gone = reconciled(
        Desired::Gone(removal(&bound, DeletionPolicy::Delete)),
        nothing,
        Vec::new(),
    );
    let writes = Writes {
        last: Some(last),
        ..Writes::default()
    };
    let waiting = gone.confirm(writes, Sight::Gaps).unwrap_err();
    assert_eq!(waiting.landing(), LANDING.checked_sub(last));
}

/// One that asks for it and does not tell of its trust never had it, though it sees the mark on the account: nobody else would take the credential away.
#[test]
fn what_another_one_only_asks_for_is_taken_away_and_what_it_tells_of_stays() {
    let bound = desired(&existing(&["a"]));
    let world = World::as_desired(&bound);
    let object = deleted(object_of(&bound), DeletionPolicy::Delete);
    let told = ending(&bound, &world, DeletionPolicy::Delete).status.unwrap();
    let shown = lying(world.observe(&accounts_of(&bound)), &[false]);
    let mut marked = told.clone();
    marked.federated_credentials.clear();
    assert_eq!(marked.service_accounts.len(), 1);
    for (status, taken_away) in [(written(), 1), (marked, 1), (told, 0)] {
        let other = binding("shop", "other").uid("other").existing(EXISTING);
        let other = other.service_account("a").finalizer(keys::FINALIZER).status(status);
        let Verdict::Pursue(target) = verdict(&case_beside(&object, &[other.build()], rules())) else {
            panic!("it goes")
        };
        let Desired::Gone(removal) = *target else {
            panic!("it goes")
        };
        let presumed = removal.presumed(shown.clone(), None);
        let credentials = &presumed.azure.identity.present().unwrap().credentials;
        assert_eq!(credentials.len(), 1, "{credentials:?}");
        let taken = plan(&Desired::Gone(removal), &presumed).revocations;
        let is_trust = |step: &&Revocation| matches!(step, Revocation::DeleteCredential(_));
        assert_eq!(taken.iter().filter(is_trust).count(), taken_away, "{taken:?}");
    }
}

/// A list may miss the credential that was written half a minute before the spec dropped its service account.
#[test]
fn what_a_binding_gave_up_is_taken_to_stand_and_what_it_wants_is_not() {
    let before = desired(&existing(&["a", "b"]));
    let world = World::as_desired(&before);
    let shown = lying(world.observe(&accounts_of(&before)), &[false]);
    let told = ending(&before, &world, DeletionPolicy::Delete).status.unwrap();
    let object = object_of(&desired(&existing(&["a"]))).status(told.clone()).build();
    let presumed = |others: &[WorkloadIdentityBinding], taken_away: bool| -> Vec<String> {
        let Verdict::Pursue(target) = verdict(&case_beside(&object, others, rules())) else {
            panic!("it goes on")
        };
        let Desired::Bound(bound) = *target else {
            panic!("it goes on")
        };
        let seen = bound.presumed(shown.clone());
        let taken = plan(&Desired::Bound(bound), &seen).revocations;
        let is_trust = |step: &Revocation| matches!(step, Revocation::DeleteCredential(_));
        assert_eq!(taken.iter().any(is_trust), taken_away, "{taken:?}");
        let credentials = &seen.azure.identity.present().unwrap().credentials;
        credentials.iter().filter_map(|one| one.subject.clone()).collect()
    };
    let other = |account: &str| {
        let other = binding("shop", "other").uid("other").existing(EXISTING);
        let other = other.service_account(account).finalizer(keys::FINALIZER);
        other.status(told.clone()).build()
    };
    let b = "system:serviceaccount:shop:b";
    assert_eq!(presumed(&[], true), [b]);
    assert_eq!(presumed(&[other("c")], true), [b]);
    assert_eq!(presumed(&[other("b")], false), [b], "the other one has it");
    let mut elsewhere = other("b");
    elsewhere.spec.audience = Some("api://AzureADTokenExchangeChina".to_owned());
    assert_eq!(
        presumed(std::slice::from_ref(&elsewhere), false),
        [""; 0],
        "it may have another one in its place"
    );
    let going = deleted(object_of(&before).status(told.clone()), DeletionPolicy::Delete);
    let Verdict::Pursue(target) = verdict(&case_beside(&going, &[elsewhere], rules())) else {
        panic!("it goes")
    };
    let Desired::Gone(removal) = *target else {
        panic!("it goes")
    };
    let seen = removal.presumed(shown.clone(), None);
    let left = seen.azure.identity.present().unwrap().credentials.iter();
    let left: Vec<_> = left.filter_map(|one| one.subject.as_deref()).collect();
    assert_eq!(left, ["system:serviceaccount:shop:a"]);
}

/// A binding shared the credential of one that is gone by now, and gave it up while lists did not show it: nobody else would take it away. One that asks for the
/// account and has it not yet may just have written it.
#[test]
fn what_another_one_made_is_taken_to_stand_when_it_is_given_up_and_nobody_asks_for_it() {
    let before = desired(&existing(&["a", "b"]));
    let world = World::as_desired(&before);
    let shown = lying(world.observe(&accounts_of(&before)), &[false]);
    let mut told = ending(&before, &world, DeletionPolicy::Delete).status.unwrap();
    for (credential, made) in told.federated_credentials.iter_mut().zip(desired_of_invoices(&before)) {
        credential.name = made.name.to_string();
    }
    let object = object_of(&desired(&existing(&["a"]))).status(told).build();
    let asking = |account: &str| {
        let other = binding("shop", "other").uid("other").existing(EXISTING);
        let other = other.service_account(account).finalizer(keys::FINALIZER);
        other.status(written()).build()
    };
    let b = "system:serviceaccount:shop:b";
    for (others, expected) in [
        (vec![], vec![b]),
        (vec![asking("c")], vec![b]),
        (vec![asking("b")], vec![]),
    ] {
        let Verdict::Pursue(target) = verdict(&case_beside(&object, &others, rules())) else {
            panic!("it goes on")
        };
        let Desired::Bound(bound) = *target else {
            panic!("it goes on")
        };
        let seen = bound.presumed(shown.clone());
        let credentials = seen.azure.identity.present().unwrap().credentials.iter();
        let subjects: Vec<_> = credentials.filter_map(|one| one.subject.as_deref()).collect();
        assert_eq!(subjects, expected);
    }
}

#[test]
fn what_an_orphaned_binding_leaves_is_taken_over_by_one_that_asks_for_it() {
    let bound = desired(&managed(&["a"]));
    let object = deleted(object_of(&bound), DeletionPolicy::Orphan);
    for (account, expected) in [("a", 1), ("b", 0)] {
        let other = binding("shop", "other")
            .uid("other")
            .existing(EXISTING)
            .service_account(account);
        let other = other.finalizer(keys::FINALIZER).status(written()).build();
        let Verdict::Orphan(orphaned) = verdict(&case_beside(&object, &[other], rules())) else {
            panic!("it may stay")
        };
        assert_eq!(orphaned.successors().len(), expected, "{account}");
    }
}
