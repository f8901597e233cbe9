//! The roles of an identity: given, left alone, taken away, and told.

use std::collections::BTreeMap;

use jiff::Timestamp;
use proptest::prelude::*;
use wio_api::{DeletionPolicy, Reason, RoleAssignmentStatus, WorkloadIdentityBindingStatus};
use wio_core::desired::{Desired, DesiredBinding, DesiredRemoval, Ending};
use wio_core::fault::{AzureCause, AzureFault, Fault};
use wio_core::known_state;
use wio_core::landing::{Sight, Writes};
use wio_core::names::{IdentityId, Scope};
use wio_core::observed::{
    BoundBy, Observed, ObservedCredential, ObservedRoleAssignment, ObservedRoleAssignments, Unread,
};
use wio_core::outcome::{Outcome, Reconciled};
use wio_core::plan::{GrantStep, Plan, Revocation, plan};
use wio_core::recorded::Recorded;
use wio_core::role_assignment_scopes::{self, Last, Need};
use wio_core::status::{Subject, status};
use wio_core::verdict::Verdict;

use crate::given::{
    EXISTING, ISSUER, OLD_ISSUER, ROLES, SUBSCRIPTION, VAULT, accounts_of, any_binding, cases, cluster, config,
    deleted, desired, generous, gone, lifecycle, managed, managed_with, name, object_of, parsed, recorded, removal,
    rules_by, verdict_of,
};
use crate::seeds::any_world;
use crate::worlds::{World, assignment, facts, foreign_assignment, foreign_credential};

pub const GROUP: &str = "/subscriptions/6f2e1c1d-52a4-4d0c-8d2f-0c6a2d0b7a11/resourceGroups/shop";
pub const SECRETS: (&str, &str) = ("Key Vault Secrets User", VAULT);
pub const READER: (&str, &str) = ("Reader", GROUP);

pub fn observed(bound: &DesiredBinding, world: &World) -> Observed {
    world.observe(&accounts_of(bound))
}

proptest! {
    #![proptest_config(cases(200))]

    /// Lists that failed once let a service account be trusted beside a role that its policy gave to others.
    #[test]
    fn while_a_place_cannot_be_read_nobody_is_trusted_anew_and_what_is_known_goes_all_the_same(
        object in any_binding(), seed in any_world(), remembered in any::<bool>(),
    ) {
        let bound = desired(&object);
        let whole = seed.lawless(&bound);
        let mut partly = whole.clone();
        let elsewhere = name("/subscriptions/00000000-0000-4000-8000-00000000000b");
        partly.azure.role_assignments.not_read(&elsewhere, Unread { why: unseen(), remembered }, Vec::new());
        let target = Desired::Bound(bound);
        let planned = plan(&target, &partly);
        prop_assert_eq!(&planned.revocations, &plan(&target, &whole).revocations);
        for step in planned.grants.iter().filter(|_| remembered) {
            let trusts = matches!(step, GrantStep::PutCredential(_) | GrantStep::ReplaceCredential { .. });
            prop_assert!(!trusts, "{:?}", step);
            if let GrantStep::ApplyServiceAccount(account) = step {
                prop_assert_eq!(&partly.service_accounts[&account.name].bound_by, &BoundBy::Us);
            }
        }
    }
}

/// Its derived name proves that it is ours, so that it goes though nobody may list where it is.
#[test]
fn a_role_that_was_recorded_where_nobody_can_look_is_taken_away_by_its_name() {
    let both = desired(&managed_with(&[SECRETS, READER]));
    let world = World::as_desired(&both);
    let binding = wio_core::binding::Binding {
        recorded: Recorded::from(&settled(&both)),
        ..parsed(&managed_with(&[READER]))
    };
    let place: Scope = name::<Scope>(VAULT).root();
    let recorded = role_assignment_scopes::recorded_at(&place, &binding);
    assert_eq!(recorded.len(), 2);
    let one = desired(&managed_with(&[READER]));
    let mut seen = observed(&one, &world);
    seen.azure.role_assignments = unread(true, recorded);
    let planned = plan(&Desired::Bound(one.clone()), &seen);
    let secrets = &world.roles[0];
    assert_eq!(
        planned.revocations,
        [Revocation::DeleteRoleAssignment {
            scope: name(VAULT),
            name: secrets.name
        }]
    );
    planned.revocations[0].fold(&mut seen);
    let left = made(
        &reconciled(Desired::Bound(one), seen, Vec::new()),
        Some(&settled(&both)),
    );
    let left: Vec<&str> = left.role_assignments.iter().map(|left| left.role.as_str()).collect();
    assert_eq!(left, [READER.0]);
}

fn planned(bound: &DesiredBinding, world: &World) -> Plan {
    plan(&Desired::Bound(bound.clone()), &observed(bound, world))
}

pub fn unseen() -> AzureFault {
    AzureFault {
        operation: "list the role assignments of principal x at y".to_owned(),
        cause: AzureCause::RoleAccessDenied {
            action: "Microsoft.Authorization/roleAssignments/read",
            scope: name(GROUP),
        },
    }
}

/// A place could not be read, and these were recorded there.
pub fn unread(remembered: bool, recorded: Vec<ObservedRoleAssignment>) -> ObservedRoleAssignments {
    let mut roles = ObservedRoleAssignments::read(Vec::new());
    let why = unseen();
    roles.not_read(&name(GROUP), Unread { why, remembered }, recorded);
    roles
}

pub fn reconciled(desired: Desired, observed: Observed, faults: Vec<Fault>) -> Outcome {
    Outcome::Reconciled(Box::new(Reconciled::new(desired, observed, faults)))
}

/// Whether a deletion that came to this is complete, when nothing was written a short while ago.
pub fn is_gone(outcome: Outcome) -> bool {
    outcome.confirm(Writes::default(), Sight::Whole).is_ok()
}

pub fn made(outcome: &Outcome, before: Option<&WorkloadIdentityBindingStatus>) -> WorkloadIdentityBindingStatus {
    let subject = Subject {
        previous: before,
        lifecycle: &lifecycle(3, false),
        cluster: &cluster(),
        heeded: None,
        failed_looks: None,
        written: true,
        contested: None,
    };
    status(subject, outcome, Timestamp::UNIX_EPOCH)
}

pub fn settled(bound: &DesiredBinding) -> WorkloadIdentityBindingStatus {
    let observed = observed(bound, &World::as_desired(bound));
    made(&reconciled(Desired::Bound(bound.clone()), observed, Vec::new()), None)
}

#[test]
fn roles_are_given_after_the_trust_and_before_the_client_id() {
    let bound = desired(&managed_with(&[SECRETS, READER]));
    let planned = planned(&bound, &World::empty());
    let [
        GrantStep::CreateIdentity { .. },
        GrantStep::PutCredential(_),
        GrantStep::PutRoleAssignment(first),
        GrantStep::PutRoleAssignment(second),
        GrantStep::ApplyServiceAccount(_),
    ] = planned.grants.as_slice()
    else {
        panic!("{planned:#?}")
    };
    assert_eq!(first.to_string(), format!("Key Vault Secrets User at {VAULT}"));
    assert_eq!(second.to_string(), format!("Reader at {GROUP}"));
}

#[test]
fn one_role_at_one_scope_is_one_assignment_however_it_is_written() {
    let shouted = VAULT.to_uppercase();
    let bound = desired(&managed_with(&[
        SECRETS,
        ("4633458b-17de-408a-b874-0445c86b69e6", VAULT),
        ("KEY VAULT SECRETS USER", &shouted),
    ]));
    assert_eq!(bound.roles.len(), 1);
    assert_eq!(bound.roles[0].role, "Key Vault Secrets User");
}

#[test]
fn a_role_that_is_taken_from_the_spec_is_taken_from_the_identity() {
    let both = desired(&managed_with(&[SECRETS, READER]));
    let one = desired(&managed_with(&[READER]));
    let world = World::as_desired(&both);
    let planned = planned(&one, &world);
    let Revocation::DeleteRoleAssignment { scope, name } = &planned.revocations[0] else {
        panic!("{planned:#?}")
    };
    assert_eq!((scope.as_str(), *name), (VAULT, world.roles[0].name));
    assert_eq!((planned.revocations.len(), planned.grants.len()), (1, 0));
}

#[test]
fn an_equal_assignment_of_somebody_else_suffices_and_stays() {
    let bound = desired(&managed_with(&[SECRETS]));
    let mut world = World::as_desired(&bound);
    world.roles = vec![foreign_assignment(1, SECRETS.0, &VAULT.to_uppercase())];
    assert_eq!(planned(&bound, &world), Plan::default());
    let without = desired(&managed(&["a"]));
    assert_eq!(
        planned(&without, &world),
        Plan::default(),
        "it was never ours to take away"
    );
    let retained = plan(&gone(&bound, DeletionPolicy::RetainIdentity), &observed(&bound, &world));
    assert!(
        !retained
            .revocations
            .iter()
            .any(|step| matches!(step, Revocation::DeleteRoleAssignment { .. }))
    );
}

/// An identity that somebody deleted and that was made anew has another principal; what the old one had would be left as
/// assignments to nobody for ever, and count among the 4000.
#[test]
fn the_roles_of_the_principal_before_go_and_the_new_one_gets_its_own() {
    let bound = desired(&managed_with(&[SECRETS]));
    let mut world = World::as_desired(&bound);
    let before = world.roles[0].clone();
    world.identity.as_mut().unwrap().facts = facts(1);
    let planned = planned(&bound, &world);
    assert_eq!(
        planned.revocations,
        [Revocation::DeleteRoleAssignment {
            scope: name(VAULT),
            name: before.name
        }]
    );
    assert!(matches!(planned.grants[0], GrantStep::PutRoleAssignment(_)));
}

#[test]
fn an_identity_whose_roles_could_not_be_seen_is_not_deleted() {
    let bound = desired(&managed_with(&[SECRETS]));
    let mut seen = observed(&bound, &World::as_desired(&bound));
    seen.azure.role_assignments = unread(true, Vec::new());
    let gone = gone(&bound, DeletionPolicy::Delete);
    let planned = plan(&gone, &seen);
    assert_eq!(
        planned.revocations.len(),
        2,
        "the credential and the service account: {planned:#?}"
    );
    for step in &planned.revocations {
        step.fold(&mut seen);
    }
    assert!(!is_gone(reconciled(gone.clone(), seen.clone(), Vec::new())));
    let mut allowing = generous();
    allowing.spec.allow_orphan = true;
    let orphan = deleted(object_of(&bound), DeletionPolicy::Orphan);
    assert!(
        matches!(verdict_of(&orphan, rules_by(config(), &[allowing])), Verdict::Orphan(_)),
        "that asks nothing of Azure"
    );
    seen.azure.role_assignments = ObservedRoleAssignments::read(Vec::new());
    assert_eq!(plan(&gone, &seen).revocations, [Revocation::DeleteIdentity]);
}

#[test]
fn everything_goes_in_order_and_the_identity_last() {
    let bound = desired(&managed_with(&[SECRETS]));
    let planned = plan(
        &gone(&bound, DeletionPolicy::Delete),
        &observed(&bound, &World::as_desired(&bound)),
    );
    assert!(matches!(
        planned.revocations.as_slice(),
        [
            Revocation::DeleteCredential(_),
            Revocation::DeleteRoleAssignment { .. },
            Revocation::ReleaseServiceAccount { .. },
            Revocation::DeleteIdentity
        ]
    ));
}

#[test]
fn a_dangling_role_goes_though_its_identity_is_away() {
    let bound = desired(&managed_with(&[SECRETS]));
    let mut world = World::as_desired(&bound);
    world.identity = None;
    world.accounts.clear();
    let gone = gone(&bound, DeletionPolicy::Delete);
    let planned = plan(&gone, &observed(&bound, &world));
    assert!(matches!(
        planned.revocations.as_slice(),
        [Revocation::DeleteRoleAssignment { .. }]
    ));
}

#[test]
fn an_identity_that_others_gave_roles_is_not_deleted_unless_it_is_asked_for() {
    let bound = desired(&managed(&["a"]));
    let mut world = World::as_desired(&bound);
    world.insert_role(foreign_assignment(2, "Reader", GROUP));
    world.insert_role(foreign_assignment(1, "0b9fd8f1-4b5a-4a52-9c7d-7a7d1c2d6f77", "/"));
    let cousin = ObservedCredential {
        issuer: ISSUER.to_owned(),
        subject: Some("system:serviceaccount:shop:cousin".to_owned()),
        ..foreign_credential(1)
    };
    world.insert(cousin);
    world.roles.push(ObservedRoleAssignment {
        principal: facts(9).principal_id,
        ..foreign_assignment(3, "Owner", GROUP)
    });
    let seen = observed(&bound, &world);
    let removed = removal(&bound, DeletionPolicy::Delete);
    let kept = plan(&Desired::Gone(removed.clone()), &seen);
    let [blocked] = kept.blocked.as_slice() else {
        panic!("{kept:#?}")
    };
    assert_eq!(blocked.reason, Reason::DeletionBlocked);
    let users = format!(
        "is still used through federated credentials that are not of this binding: terraform-1, and through role assignments \
         that are not of this binding: 0b9fd8f1-4b5a-4a52-9c7d-7a7d1c2d6f77 at /, Reader at {GROUP}; delete them, set \
         deletionPolicy: RetainIdentity, or delete it despite them by the annotation \
         workloadidentity.dev/delete-despite-users: \"true\" on the binding"
    );
    assert!(blocked.message.ends_with(&users), "{}", blocked.message);
    let despite = plan(&Desired::Gone(despite(removed)), &seen);
    assert_eq!(despite.revocations.last(), Some(&Revocation::DeleteIdentity));
    assert_eq!(despite.blocked, []);
    assert!(
        !despite
            .revocations
            .iter()
            .any(|step| matches!(step, Revocation::DeleteRoleAssignment { .. }))
    );
}

/// Whoever writes bindings in a namespace can write the annotation. It ended what another namespace had through the identity.
#[test]
fn no_annotation_of_a_tenant_ends_trust_outside_its_namespace() {
    let bound = desired(&managed(&["a"]));
    let others = [
        (ISSUER, Some("system:serviceaccount:bank:a")),
        (ISSUER, Some("system:serviceaccount:shop-a:a")),
        (ISSUER, Some("repo:contoso/shop")),
        (ISSUER, None),
        (OLD_ISSUER, Some("system:serviceaccount:shop:a")),
    ];
    for (issuer, subject) in others {
        let mut world = World::as_desired(&bound);
        world.insert(ObservedCredential {
            issuer: issuer.to_owned(),
            subject: subject.map(str::to_owned),
            ..foreign_credential(1)
        });
        world.insert_role(foreign_assignment(2, "Reader", GROUP));
        let planned = plan(
            &Desired::Gone(despite(removal(&bound, DeletionPolicy::Delete))),
            &observed(&bound, &world),
        );
        assert!(
            !planned.revocations.contains(&Revocation::DeleteIdentity),
            "{subject:?}"
        );
        let [blocked] = planned.blocked.as_slice() else {
            panic!("{planned:#?}")
        };
        let users = "is still used through federated credentials that are not of this binding: terraform-1; delete them, or set \
                     deletionPolicy: RetainIdentity; the annotation workloadidentity.dev/delete-despite-users takes nobody's trust but \
                     that of this namespace";
        assert!(blocked.message.ends_with(users), "{}", blocked.message);
    }
}

fn despite(mut removal: DesiredRemoval) -> DesiredRemoval {
    removal.ending = Ending::DeleteDespiteUsers;
    removal
}

#[test]
fn only_the_word_true_deletes_despite_users() {
    let mut object = managed(&["a"]);
    assert!(!parsed(&object).lifecycle.despite_users);
    for (value, deletes) in [("true", true), ("True", false), ("yes", false), ("", false)] {
        object.metadata.annotations = Some(BTreeMap::from([(
            "workloadidentity.dev/delete-despite-users".to_owned(),
            value.to_owned(),
        )]));
        assert_eq!(parsed(&object).lifecycle.despite_users, deletes, "{value}");
    }
}

#[test]
fn what_was_given_is_taken_for_true_after_a_restart_only_when_it_is_what_is_wanted() {
    let bound = desired(&managed_with(&[SECRETS, READER]));
    let good = settled(&bound);
    let known = known_state::from_status(&bound, &recorded(3, &good)).unwrap();
    let of = |role| assignment(&bound.owner, role, facts(0).principal_id);
    assert_eq!(
        known.role_assignments,
        ObservedRoleAssignments::read(bound.roles.iter().map(of).collect())
    );
    let looked_at = |what: &str, change: &dyn Fn(&mut Vec<RoleAssignmentStatus>)| {
        let mut status = good.clone();
        change(&mut status.role_assignments);
        assert_eq!(known_state::from_status(&bound, &recorded(3, &status)), None, "{what}");
    };
    looked_at("one is missing", &|roles| drop(roles.pop()));
    looked_at("one is not wanted", &|roles| {
        let mut more = roles[0].clone();
        more.role = "Owner".to_owned();
        roles.push(more);
    });
    looked_at("another scope", &|roles| roles[0].scope = GROUP.to_owned());
    looked_at("another role", &|roles| roles[0].role = "Reader".to_owned());
    looked_at("an id that is none", &|roles| roles[0].id.push('x'));

    let mut taken = Plan::default();
    taken.revocations.push(Revocation::DeleteRoleAssignment {
        scope: name(VAULT),
        name: World::as_desired(&bound).roles[0].name,
    });
    assert!(
        !known_state::is_enough_for(&taken, &known, true),
        "nothing is taken away from memory"
    );
    let mut world = World::as_desired(&bound);
    world.roles.clear();
    assert!(
        known_state::is_enough_for(&planned(&bound, &world), &known, true),
        "Azure tells when it is there"
    );
}

#[test]
fn roles_are_looked_for_where_the_spec_or_the_status_has_some_and_else_only_at_the_end() {
    let identity: IdentityId = name(EXISTING);
    let places = |asked: &[(&str, &str)], status: Option<&WorkloadIdentityBindingStatus>, last| {
        let mut object = managed_with(asked);
        object.status = status.cloned();
        let places = role_assignment_scopes::to_read(&identity, &parsed(&object), last);
        places
            .into_iter()
            .map(|(scope, need): (Scope, Need)| (scope.to_string(), need))
            .collect::<Vec<_>>()
    };
    let own = format!("/subscriptions/{SUBSCRIPTION}");
    assert_eq!(places(&[], None, Last::No), []);
    assert_eq!(places(&[], None, Last::Yes), [(own.clone(), Need::Optional)]);
    assert_eq!(
        places(&[SECRETS, READER, ("Reader", "nonsense")], None, Last::Yes),
        [(own.clone(), Need::Asked)]
    );
    let remembered = settled(&desired(&managed_with(&[ROLES[4], ROLES[5]])));
    assert_eq!(
        places(&[SECRETS], Some(&remembered), Last::No),
        [
            (ROLES[4].1.to_owned(), Need::Remembered),
            (ROLES[5].1.to_owned(), Need::Remembered),
            (own, Need::Asked),
        ]
    );
}

#[test]
fn the_principal_before_is_looked_at_as_well() {
    let left = settled(&desired(&managed_with(&[SECRETS])));
    let (before, now) = (facts(0).principal_id, facts(1).principal_id);
    let principals = |now, status: Option<&_>| role_assignment_scopes::principals(now, &Recorded::from(status));
    assert_eq!(principals(Some(now), Some(&left)), [now, before]);
    assert_eq!(principals(Some(before), Some(&left)), [before]);
    assert_eq!(principals(None, Some(&left)), [before]);
    assert_eq!(principals(Some(now), None), [now]);
}

/// Ours is changed in place; of somebody else's only the condition matters, and it is nobody's to change here.
#[test]
fn only_terms_that_differ_are_written_and_only_on_what_is_ours() {
    let mut object = managed_with(&[READER]);
    object.spec.role_assignments[0].condition = Some("a".to_owned());
    object.spec.role_assignments[0].description = Some("d".to_owned());
    let bound = desired(&object);
    let ours = World::as_desired(&bound);
    let target = Desired::Bound(bound.clone());
    assert_eq!(plan(&target, &observed(&bound, &ours)), Plan::default());
    let with = |condition: Option<&str>, description: Option<&str>, theirs: bool| {
        let mut seen = observed(&bound, &ours);
        let mut one = seen.azure.role_assignments.known()[0].clone();
        one.terms = Some(wio_core::role_terms::RoleTerms {
            condition: condition.map(str::to_owned),
            description: description.map(str::to_owned),
        });
        if theirs {
            one.name = uuid::Uuid::from_u128(7).into();
        }
        seen.azure.role_assignments = ObservedRoleAssignments::read(vec![one]);
        plan(&target, &seen)
    };
    for (condition, description) in [
        (None, Some("d")),
        (Some("b"), Some("d")),
        (Some("a"), None),
        (Some("a"), Some("e")),
    ] {
        let planned = with(condition, description, false);
        assert!(
            matches!(planned.grants.as_slice(), [GrantStep::PutRoleAssignment(_)]),
            "{planned:?}"
        );
        assert!(
            planned.revocations.is_empty() && planned.blocked.is_empty(),
            "{planned:?}"
        );
    }
    assert_eq!(with(Some("a"), Some("theirs"), true), Plan::default());
    for condition in [None, Some("b")] {
        let planned = with(condition, Some("d"), true);
        assert!(!planned.has_steps(), "{planned:?}");
        assert_eq!(planned.blocked[0].reason, Reason::RoleAssignmentConflict);
    }
}

/// A mark that is the binding's already lets nobody in anew.
#[test]
fn while_a_place_cannot_be_read_a_service_account_of_ours_gets_what_it_lacks() {
    let bound = desired(&managed_with(&[READER]));
    let mut world = World::as_desired(&bound);
    world.accounts.get_mut(&name("a")).unwrap().ours.client_id = None;
    let mut seen = observed(&bound, &world);
    seen.azure.role_assignments = unread(true, Vec::new());
    let grants = plan(&Desired::Bound(bound), &seen).grants;
    assert!(
        grants
            .iter()
            .any(|step| matches!(step, GrantStep::ApplyServiceAccount(_))),
        "{grants:?}"
    );
}

/// What holds at a wider scope is in the list of each place.
#[test]
fn a_role_that_several_lists_show_is_one() {
    let bound = desired(&managed_with(&[SECRETS, READER]));
    let shown = World::as_desired(&bound).roles;
    let mut roles = ObservedRoleAssignments::read(Vec::new());
    roles.listed(shown[..1].to_vec());
    roles.listed(shown.clone());
    assert_eq!(roles.known(), shown);
}
