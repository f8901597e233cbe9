//! Whose the identity is that stands under the name of a binding's, and what becomes of what the binding has on it.

use proptest::prelude::*;
use wio_api::{DeletionPolicy, Reason, TokenExchangeStatus, WorkloadIdentityBindingStatus, keys};
use wio_core::desired::{Desired, DesiredBinding, DesiredIdentity, Ending};
use wio_core::names::{CredentialName, PrincipalId};
use wio_core::observed::{Observed, ObservedRoleAssignment, Tags};
use wio_core::plan::{GrantStep, Plan, Revocation, plan};
use wio_core::recorded::RecordedIds;
use wio_core::status::{announcing, tells_of_writes};

use crate::given::{
    ISSUER, OLD_ISSUER, accounts_of, any_binding, beside, cases, claims_of, desired, desired_of_invoices, managed,
    managed_with, name, object_of, removal, sibling, written,
};
use crate::plan::{assert_untouched, foreign, is_ours, settle};
use crate::plan_roles::{READER, SECRETS, made, reconciled};
use crate::seeds::any_world;
use crate::worlds::{World, facts, foreign_assignment, foreign_credential};

/// The binding, with its identity recorded under this principal id; announced where there is none.
fn recorded(mut bound: DesiredBinding, principal: Option<PrincipalId>) -> DesiredBinding {
    bound.recorded = Some(RecordedIds {
        client: principal.map(|_| facts(0).client_id),
        principal,
        tenant: principal.map(|_| facts(0).tenant_id),
    });
    bound
}

fn proven(bound: DesiredBinding) -> DesiredBinding {
    recorded(bound, Some(facts(0).principal_id))
}

fn planned(bound: &DesiredBinding, world: &World) -> Plan {
    plan(&Desired::Bound(bound.clone()), &observed(bound, world))
}

fn observed(bound: &DesiredBinding, world: &World) -> Observed {
    world.observe(&accounts_of(bound))
}

fn retag(world: &mut World, change: impl Fn(&mut Tags)) {
    change(&mut world.identity.as_mut().unwrap().tags);
}

fn give_to_another(tags: &mut Tags) {
    tags.insert(keys::BINDING_TAG.to_owned(), "bank/payments".to_owned());
}

proptest! {
    #![proptest_config(cases(400))]

    /// Two bindings that chose one name at the same moment both created it, and the later one's tags stand. The other one's trust, and
    /// with it the other one's roles, stayed for good.
    #[test]
    fn nothing_of_ours_outlives_the_tags_of_another_on_an_identity(
        object in any_binding(), seed in any_world(), known in any::<bool>(), of_cluster in any::<bool>(),
    ) {
        let bound = if known { proven(desired(&object)) } else { desired(&object) };
        prop_assume!(bound.identity != DesiredIdentity::Existing);
        let mut world = seed.lawful(&bound);
        prop_assume!(world.identity.is_some());
        retag(&mut world, |tags| if of_cluster {
            tags.retain(|tag, _| !tag.eq_ignore_ascii_case(keys::CLUSTER_TAG));
            tags.insert(keys::CLUSTER_TAG.to_owned(), "another".to_owned());
        } else {
            tags.retain(|tag, _| !tag.eq_ignore_ascii_case(keys::BINDING_TAG));
            give_to_another(tags);
        });
        let before = foreign(&world, &bound);
        let first = planned(&bound, &world);
        prop_assert_eq!(&first.grants, &[]);
        prop_assert_eq!(first.blocked[0].reason, Reason::IdentityNotOwned);
        settle(&mut world, &Desired::Bound(bound.clone()), &accounts_of(&bound));
        prop_assert!(!world.credentials().iter().any(|credential| is_ours(&bound, credential)));
        let seen = observed(&bound, &world);
        prop_assert!(!seen.azure.role_assignments.known().iter().any(|role| bound.owner.owns_assignment(role)));
        assert_untouched(&before, &world, &bound);
    }

    /// Whoever puts our tags on an identity that serves somebody else, be it a request of ours that came too late, gains nothing by it.
    #[test]
    fn an_identity_that_was_only_announced_is_given_nothing_while_it_serves_anybody_else(
        object in any_binding(), seed in any_world(), another in any::<bool>(),
    ) {
        let before = another.then(|| facts(66).principal_id);
        let bound = recorded(desired(&object), before);
        prop_assume!(bound.identity != DesiredIdentity::Existing);
        let mut world = seed.lawful(&bound);
        prop_assume!(world.identity.is_some());
        retag(&mut world, |tags| tags.clone_from(&World::as_desired(&bound).identity.unwrap().tags));
        let seen = observed(&bound, &world);
        let foreign_credentials = world.credentials().iter().any(|credential| !bound.sharing().owns(credential));
        let foreign_roles = seen.azure.role_assignments.known().iter().any(|role| {
            role.principal == facts(0).principal_id && !bound.owner.owns_assignment(role)
        });
        let planned = planned(&bound, &world);
        if foreign_credentials || foreign_roles {
            prop_assert_eq!(&planned.grants, &[]);
            prop_assert_eq!(planned.blocked[0].reason, Reason::IdentityNotOwned);
        } else {
            prop_assert!(planned.blocked.iter().all(|blocked| blocked.reason != Reason::IdentityNotOwned));
        }
    }

    #[test]
    fn an_identity_without_its_tags_gives_up_what_is_not_wanted_and_is_given_nothing(
        object in any_binding(), seed in any_world(), known in any::<bool>(),
    ) {
        let bound = if known { proven(desired(&object)) } else { desired(&object) };
        prop_assume!(bound.identity != DesiredIdentity::Existing);
        let mut world = seed.lawful(&bound);
        prop_assume!(world.identity.is_some());
        retag(&mut world, Tags::clear);
        let before = world.clone();
        let first = planned(&bound, &world);
        prop_assert_eq!(&first.grants, &[]);
        settle(&mut world, &Desired::Bound(bound.clone()), &accounts_of(&bound));
        for credential in before.credentials() {
            let stays = world.credentials().contains(credential);
            let wanted = bound.sharing().account_of(credential).is_some_and(|account| bound.wants(account));
            prop_assert_eq!(stays, wanted || !is_ours(&bound, credential), "{:?}", credential);
        }
    }
}

#[test]
fn an_identity_that_lost_its_tags_says_so_and_how_to_put_them_back_and_that_it_works() {
    let bound = proven(desired(&managed_with(&[READER])));
    let mut world = World::as_desired(&bound);
    retag(&mut world, Tags::clear);
    let blocked = planned(&bound, &world).blocked.remove(0);
    assert_eq!(blocked.reason, Reason::IdentityNotOwned);
    let id = bound.granted.identity();
    let command = format!("az tag update --operation merge --resource-id {id} --tags ");
    let tags = blocked.message.split_once(&command).expect(&blocked.message).1;
    let DesiredIdentity::Managed { tags: wanted, .. } = &bound.identity else {
        panic!("it is managed")
    };
    for (tag, value) in wanted {
        assert!(tags.contains(&format!("{tag}={value}")), "{tags}");
    }
    let before = made(
        &reconciled(
            Desired::Bound(bound.clone()),
            observed(&bound, &World::as_desired(&bound)),
            Vec::new(),
        ),
        None,
    );
    let status = made(
        &reconciled(Desired::Bound(bound.clone()), observed(&bound, &world), Vec::new()),
        Some(&before),
    );
    let said: Vec<(&str, &str)> = status
        .conditions
        .iter()
        .map(|condition| (condition.type_.as_str(), condition.status.as_str()))
        .collect();
    for truth in [
        ("Ready", "False"),
        ("IdentityReady", "False"),
        ("FederatedCredentialsReady", "True"),
        ("ServiceAccountsReady", "True"),
        ("RoleAssignmentsReady", "True"),
    ] {
        assert!(said.contains(&truth), "{truth:?} in {said:?}");
    }
    assert_eq!(status.identity, before.identity, "it proves whose the identity is");
    assert_eq!(status.federated_credentials, before.federated_credentials);
}

/// Half of the tags used to be told as those of another binding, by the name of this very one.
#[test]
fn tags_of_which_some_are_missing_are_nobody_elses() {
    let bound = proven(desired(&managed(&["a"])));
    for lost in [keys::CLUSTER_TAG, keys::BINDING_TAG] {
        let mut world = World::as_desired(&bound);
        retag(&mut world, |tags| {
            tags.remove(lost);
        });
        let message = planned(&bound, &world).blocked.remove(0).message;
        assert!(message.contains("az tag update"), "{message}");
    }
}

/// An identity that outlived an earlier binding of the name, with a credential that somebody added since.
#[test]
fn what_was_tagged_before_anything_was_recorded_is_taken_up_again() {
    let bound = desired(&managed(&["a"]));
    assert_eq!(bound.recorded, None);
    let mut world = World::as_desired(&bound);
    world.insert(foreign_credential(1));
    assert_eq!(planned(&bound, &world), Plan::default());
}

#[test]
fn a_role_of_somebody_else_on_an_announced_identity_is_somebody_elses_use() {
    let bound = recorded(desired(&managed(&["a"])), None);
    let mut world = World::as_desired(&bound);
    assert_eq!(planned(&bound, &world), Plan::default(), "nobody else's");
    world.insert_role(foreign_assignment(1, SECRETS.0, SECRETS.1));
    let planned = planned(&bound, &world);
    assert!(
        planned.grants.is_empty() && planned.revocations.len() == 2,
        "{planned:?}"
    );
    assert!(
        planned.blocked[0].message.contains("Key Vault Secrets User"),
        "{planned:?}"
    );
}

/// The tags of an announced identity may have been written over another's, and its users are not asked twice.
#[test]
fn an_identity_that_was_only_announced_is_not_deleted_despite_its_users() {
    let bound = desired(&managed(&["a"]));
    let mut world = World::as_desired(&bound);
    world.insert_role(foreign_assignment(1, SECRETS.0, SECRETS.1));
    let mut gone = removal(&bound, DeletionPolicy::Delete);
    gone.ending = Ending::DeleteDespiteUsers;
    let deletes = |recorded: Option<RecordedIds>| {
        let mut gone = gone.clone();
        gone.recorded = recorded;
        let planned = plan(&Desired::Gone(gone), &observed(&bound, &world));
        planned.revocations.contains(&Revocation::DeleteIdentity)
    };
    assert!(deletes(proven(bound.clone()).recorded));
    assert!(!deletes(recorded(bound.clone(), None).recorded));
    assert!(!deletes(recorded(bound.clone(), Some(facts(66).principal_id)).recorded));
}

#[test]
fn an_identity_is_announced_before_it_is_created_and_stays_so_until_it_is_seen() {
    let bound = desired(&managed(&["a"]));
    let world = World::empty();
    let planned = planned(&bound, &world);
    let announced = announcing(None, bound.granted.identity(), &planned).unwrap();
    let identity = announced.identity.as_ref().unwrap();
    assert_eq!(identity.resource_id, bound.granted.identity().to_string());
    assert_eq!((&identity.client_id, &identity.principal_id), (&None, &None));
    assert_eq!(
        announcing(Some(&announced), bound.granted.identity(), &planned),
        None,
        "once"
    );

    // The request was answered by nothing that tells what became of it.
    let unsure = reconciled(Desired::Bound(bound.clone()), observed(&bound, &world), Vec::new());
    assert_eq!(made(&unsure, Some(&announced)).identity, announced.identity);
    let seen = reconciled(
        Desired::Bound(bound.clone()),
        observed(&bound, &World::as_desired(&bound)),
        Vec::new(),
    );
    let ids = made(&seen, Some(&announced)).identity.unwrap();
    assert_eq!(ids.principal_id, Some(facts(0).principal_id.to_string()));
}

#[test]
fn no_identity_is_announced_where_none_is_created() {
    let bound = desired(&managed(&["a", "b"]));
    let mut plan = Plan::default();
    plan.grants.push(GrantStep::PutCredential(bound.credentials[0].clone()));
    plan.grants.push(GrantStep::TagIdentity { tags: Tags::new() });
    let identity = name(&bound.granted.identity().to_string());
    let announced = WorkloadIdentityBindingStatus {
        issuer: Some(bound.credentials[0].issuer.to_string()),
        ..written()
    };
    assert_eq!(announcing(None, &identity, &plan), Some(announced.clone()));
    assert_eq!(announcing(Some(&announced), &identity, &plan), None);
    assert!(tells_of_writes(&crate::plan_roles::settled(&bound)));
    for nothing in [WorkloadIdentityBindingStatus::default(), crate::given::written()] {
        assert!(!tells_of_writes(&nothing), "announced is not written");
    }
}

/// A list may miss what was written half a minute ago.
#[test]
fn what_the_status_tells_of_is_taken_from_an_identity_that_became_anothers_though_no_list_shows_it() {
    let before = desired(&managed(&["a"]));
    let bound = desired(&object_of(&before).status(crate::plan_roles::settled(&before)).build());
    let mut world = World::as_desired(&before);
    retag(&mut world, give_to_another);
    world.identity.as_mut().unwrap().credentials.clear();
    let told = Revocation::DeleteCredential(before.credentials[0].name.clone());
    assert!(planned(&bound, &world).revocations.contains(&told));
}

/// What this one made is its own to take away, also where another one wants other trust for the same service account; and what a binding made that is gone by now,
/// nobody else would take away.
#[test]
fn whoever_made_what_the_status_tells_of_it_is_taken_from_an_identity_that_became_anothers() {
    let before = desired(&managed(&["a"]));
    let of_gone = desired_of_invoices(&before).remove(0);
    let told_of = |credential: &CredentialName| {
        let mut status = crate::plan_roles::settled(&before);
        status.federated_credentials[0].name = credential.to_string();
        desired(&object_of(&before).status(status).build())
    };
    let wanting_another = |bound: &DesiredBinding| {
        let mut sharer = sibling(bound);
        for claim in &mut sharer.accounts {
            claim.audience = name("api://another");
        }
        sharer
    };
    let claims = claims_of(&before);
    let mut world = World::as_desired(&before);
    retag(&mut world, give_to_another);
    world.identity.as_mut().unwrap().credentials.clear();
    let own = told_of(&before.credentials[0].name);
    let shared = beside(own.clone(), claims.clone(), vec![wanting_another(&own)]);
    let left = told_of(&of_gone.name);
    let alone = beside(left.clone(), claims, Vec::new());
    for (bound, credential) in [(shared, &before.credentials[0].name), (alone, &of_gone.name)] {
        let told = Revocation::DeleteCredential(credential.clone());
        let revocations = planned(&bound, &world).revocations;
        assert!(revocations.contains(&told), "{credential}: {revocations:?}");
    }
}

/// Whether Entra knows what is written anew is not proven by what was there before.
#[test]
fn a_credential_that_is_about_to_be_written_has_no_proof_and_one_for_another_issuer_is_told_of_once() {
    let bound = desired(&managed(&["a", "b"]));
    let identity = bound.granted.identity().clone();
    let mut plan = Plan::default();
    plan.grants.push(GrantStep::PutCredential(bound.credentials[0].clone()));
    let proven = |account: &str| TokenExchangeStatus {
        service_account: account.to_owned(),
        facts: "facts".to_owned(),
        verified_at: None,
        pending: None,
    };
    let before = WorkloadIdentityBindingStatus {
        issuer: Some(OLD_ISSUER.to_owned()),
        token_exchanges: vec![proven("a"), proven("b")],
        ..written()
    };
    let announced = announcing(Some(&before), &identity, &plan).unwrap();
    assert_eq!(announced.token_exchanges, [proven("b")]);
    let told = |status: &WorkloadIdentityBindingStatus| -> Vec<(String, String)> {
        let retiring = status.retiring_federated_credentials.iter();
        retiring.map(|told| (told.name.clone(), told.issuer.clone())).collect()
    };
    let new = |n: usize| (bound.credentials[n].name.to_string(), ISSUER.to_owned());
    assert_eq!(told(&announced), [new(0)]);
    assert_eq!(announcing(Some(&announced), &identity, &plan), None);
    plan.grants.push(GrantStep::PutCredential(bound.credentials[1].clone()));
    assert_eq!(
        told(&announcing(Some(&announced), &identity, &plan).unwrap()),
        [new(0), new(1)]
    );
}

/// A list of a wider scope shows whom others are.
#[test]
fn a_role_of_another_principal_is_no_use_of_the_identity() {
    let bound = desired(&managed(&["a"]));
    let mut world = World::as_desired(&bound);
    let foreign = foreign_assignment(1, SECRETS.0, SECRETS.1);
    world.roles.push(ObservedRoleAssignment {
        principal: facts(66).principal_id,
        ..foreign
    });
    let announced = recorded(bound, None);
    assert_eq!(planned(&announced, &world), Plan::default());
}
