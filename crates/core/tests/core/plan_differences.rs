//! The plan for one difference between what is and what should be.

use std::collections::{BTreeMap, BTreeSet};

use wio_api::Reason;
use wio_core::desired::{Desired, DesiredBinding};
use wio_core::observed::{
    AzureState, BoundBy, Observed, ObservedCredential, ObservedIdentity, ObservedRoleAssignments, PresentIdentity, Tags,
};
use wio_core::plan::{GrantStep, Plan, Revocation, plan};

use crate::given::{accounts_of, by_rival, desired, existing, managed, name};
use crate::plan::settle;
use crate::worlds::{Account, Values, World, account, as_wanted, facts, foreign_credential, right_values, tags_of};

fn planned(bound: &DesiredBinding, world: &World) -> Plan {
    plan(&Desired::Bound(bound.clone()), &world.observe(&accounts_of(bound)))
}

fn deleted(plan: &Plan) -> Vec<&str> {
    plan.revocations
        .iter()
        .filter_map(|step| match step {
            Revocation::DeleteCredential(name) => Some(name.as_str()),
            _ => None,
        })
        .collect()
}

#[test]
fn a_new_binding_is_created_in_order() {
    let bound = desired(&managed(&["orders", "mails"]));
    let planned = planned(&bound, &World::empty());
    assert_eq!(planned.revocations, []);
    assert_eq!(planned.blocked, []);
    let [
        GrantStep::CreateIdentity { location, tags },
        GrantStep::PutCredential(first),
        GrantStep::PutCredential(second),
        GrantStep::ApplyServiceAccount(third),
        GrantStep::ApplyServiceAccount(fourth),
    ] = planned.grants.as_slice()
    else {
        panic!("{planned:#?}")
    };
    assert_eq!(location.as_str(), "westeurope");
    assert_eq!(*tags, tags_of(&bound.owner));
    assert_eq!(first.subject.as_str(), "system:serviceaccount:shop:orders");
    assert_eq!(
        (second.account.as_str(), third.name.as_str(), fourth.name.as_str()),
        ("mails", "orders", "mails")
    );
}

#[test]
fn two_credentials_that_hold_each_others_subject_both_go_before_either_comes_back() {
    let bound = desired(&managed(&["a", "b"]));
    let mut world = World::as_desired(&bound);
    let credentials = &mut world.identity.as_mut().unwrap().credentials;
    let (first, second) = (credentials[0].subject.clone(), credentials[1].subject.clone());
    credentials[0].subject = second;
    credentials[1].subject = first;
    let planned = planned(&bound, &world);
    assert_eq!(planned.revocations.len(), 2);
    assert_eq!(planned.grants.len(), 2);
    settle(&mut world, &Desired::Bound(bound.clone()), &accounts_of(&bound));
}

#[test]
fn a_wrong_audience_is_mended_in_place() {
    let bound = desired(&managed(&["a"]));
    let mut world = World::as_desired(&bound);
    world.identity.as_mut().unwrap().credentials[0].audiences = vec!["api://other".to_owned()];
    let planned = planned(&bound, &world);
    assert_eq!(planned.revocations, []);
    assert_eq!(planned.grants, [GrantStep::PutCredential(bound.credentials[0].clone())]);
}

#[test]
fn a_foreign_credential_that_trusts_the_same_is_trust_enough() {
    let bound = desired(&existing(&["a"]));
    let mut world = World::as_desired(&bound);
    world.identity.as_mut().unwrap().credentials[0].name = name("terraform");
    assert_eq!(planned(&bound, &world), Plan::default());
}

#[test]
fn a_foreign_credential_with_another_audience_is_reported_and_left_alone() {
    let bound = desired(&existing(&["a", "b"]));
    let mut world = World::as_desired(&bound);
    let credential = &mut world.identity.as_mut().unwrap().credentials[0];
    credential.name = name("terraform");
    credential.audiences = vec!["api://other".to_owned()];
    let planned = planned(&bound, &world);
    assert!(!planned.has_steps(), "{planned:#?}");
    assert_eq!(planned.blocked[0].reason, Reason::FederatedCredentialConflict);
    for part in [
        "terraform",
        "billing",
        "shop:a",
        "api://other",
        "api://AzureADTokenExchange",
    ] {
        assert!(
            planned.blocked[0].message.contains(part),
            "{part} is not in {}",
            planned.blocked[0].message
        );
    }
}

#[test]
fn a_credential_of_the_issuer_before_stays_beside_the_new_one_and_so_does_that_of_another_cluster() {
    let bound = desired(&crate::given::made_before(existing(&["a"])));
    let mut world = World::as_desired(&bound);
    let before = crate::given::desired_in(&existing(&["a"]), &crate::given::cluster_with(crate::given::OLD_ISSUER));
    let mut elsewhere = bound.owner.clone();
    elsewhere.cluster = name("another-cluster");
    let of_another = ObservedCredential {
        name: wio_core::names::credential_name(
            &elsewhere.credential_prefix(),
            &bound.credentials[0].account,
            &name("https://another.example/"),
        ),
        issuer: "https://another.example/".to_owned(),
        ..as_wanted(&bound.credentials[0])
    };
    world.identity.as_mut().unwrap().credentials = vec![as_wanted(&before.credentials[0]), of_another];
    let planned = planned(&bound, &world);
    assert_eq!(deleted(&planned), [""; 0]);
    assert_eq!(planned.grants, [GrantStep::PutCredential(bound.credentials[0].clone())]);
}

/// A GitOps tool that deletes and restores a binding, or a user who removed a service account while the identity is
/// away: what the spec no longer names must lose its annotation whatever became of the identity.
#[test]
fn a_service_account_that_left_the_spec_is_let_go_even_when_the_identity_cannot_be_used() {
    let before = desired(&existing(&["a", "b"]));
    let bound = desired(&existing(&["a"]));
    let mut world = World::as_desired(&before);
    world.identity = None;
    let planned = planned(&bound, &world);
    assert_eq!(planned.grants, []);
    assert_eq!(planned.blocked[0].reason, Reason::IdentityNotFound);
    let [
        Revocation::ReleaseServiceAccount {
            name, delete: false, ..
        },
    ] = planned.revocations.as_slice()
    else {
        panic!("{planned:#?}")
    };
    assert_eq!(name.as_str(), "b");
}

#[test]
fn a_managed_identity_without_our_tags_is_reported_and_left_alone() {
    let bound = desired(&managed(&["a"]));
    let mut world = World::empty();
    for tags in [Tags::new(), Tags::from_iter([("team".to_owned(), "shop".to_owned())])] {
        world.identity = Some(PresentIdentity {
            facts: facts(0),
            tags,
            credentials: vec![foreign_credential(0)],
        });
        let planned = planned(&bound, &world);
        assert!(!planned.has_steps(), "{planned:#?}");
        assert_eq!(planned.blocked[0].reason, Reason::IdentityNotOwned);
    }
}

/// Azure disregards the case of tag names, and may answer in the case in which a tag was first written.
#[test]
fn tags_are_the_same_in_another_case_of_their_names() {
    let mut object = managed(&["a"]);
    let tags = &mut object.spec.identity.managed.as_mut().unwrap().tags;
    tags.insert("team".to_owned(), "shop".to_owned());
    let bound = desired(&object);
    let mut world = World::as_desired(&bound);
    let shout = |tags: &Tags| {
        tags.iter()
            .map(|(tag, value)| (tag.to_uppercase(), value.clone()))
            .collect::<Tags>()
    };
    let identity = world.identity.as_mut().unwrap();
    identity.tags = shout(&identity.tags);
    assert_eq!(planned(&bound, &world), Plan::default());

    let identity = world.identity.as_mut().unwrap();
    identity.tags.insert("TEAM".to_owned(), "other".to_owned());
    identity.tags.insert("Cost".to_owned(), "42".to_owned());
    let planned = planned(&bound, &world);
    let [GrantStep::TagIdentity { tags }] = planned.grants.as_slice() else {
        panic!("{planned:#?}")
    };
    let team: Vec<_> = tags
        .iter()
        .filter(|(tag, _)| tag.eq_ignore_ascii_case("team"))
        .collect();
    assert_eq!(team, [(&"team".to_owned(), &"shop".to_owned())]);
    assert_eq!(tags.get("Cost").unwrap(), "42", "tags of others stay");
}

/// An Azure Policy that modifies tags has the last word.
#[test]
fn a_tag_that_azure_keeps_at_another_value_is_written_no_more() {
    let mut object = managed(&["a"]);
    let tags = &mut object.spec.identity.managed.as_mut().unwrap().tags;
    tags.insert("team".to_owned(), "shop".to_owned());
    let mut bound = desired(&object);
    let mut world = World::as_desired(&bound);
    let present = world.identity.as_mut().unwrap();
    present.tags.insert("team".to_owned(), "other".to_owned());
    let overruled = bound.overruled_by(&present.tags);
    assert_eq!(overruled, BTreeSet::from(["team".to_owned()]));
    assert_eq!(planned(&bound, &world).grants.len(), 1);
    bound.tolerate(&overruled);
    assert_eq!(planned(&bound, &world), Plan::default());
}

/// Values differ by case: a tag of another cluster's binding must not pass for ours.
#[test]
fn tags_with_values_in_another_case_are_not_ours() {
    let bound = desired(&managed(&["a"]));
    let shouted = tags_of(&bound.owner)
        .into_iter()
        .map(|(tag, value)| (tag, value.to_uppercase()))
        .collect();
    assert!(!bound.owner.owns(&shouted));
}

#[test]
fn an_identity_of_an_earlier_binding_of_the_same_name_is_taken_up() {
    let bound = desired(&managed(&["a"]));
    let mut world = World::as_desired(&bound);
    let tags = &mut world.identity.as_mut().unwrap().tags;
    tags.insert(wio_api::keys::BINDING_UID_TAG.to_owned(), "earlier".to_owned());
    let planned = planned(&bound, &world);
    assert_eq!(
        planned.grants,
        [GrantStep::TagIdentity {
            tags: tags_of(&bound.owner)
        }]
    );
}

#[test]
fn a_service_account_that_another_manager_annotated_alike_gets_our_label_once() {
    let bound = desired(&managed(&["a"]));
    let mut world = World::as_desired(&bound);
    let wanted = &bound.service_accounts[0];
    let by_others = Account {
        others: right_values(wanted, &facts(0)),
        ..account(0, BoundBy::Nobody)
    };
    world.accounts.insert(wanted.name.clone(), by_others);
    assert_eq!(
        planned(&bound, &world).grants,
        [GrantStep::ApplyServiceAccount(wanted.clone())]
    );
    let rest = settle(&mut world, &Desired::Bound(bound.clone()), &accounts_of(&bound));
    assert_eq!(rest, Plan::default());
}

#[test]
fn service_accounts_are_taken_from_nobody() {
    let bound = desired(&managed(&["a", "b", "c"]));
    let mut world = World::as_desired(&bound);
    world.accounts.insert(name("a"), account(0, by_rival()));
    world
        .accounts
        .insert(name("b"), account(1, BoundBy::Gone { uid: name("gone") }));
    let planned = planned(&bound, &world);
    assert_eq!(
        planned.grants,
        [GrantStep::ApplyServiceAccount(bound.service_accounts[1].clone())]
    );
    assert_eq!(planned.blocked[0].reason, Reason::ServiceAccountConflict);
    assert!(
        planned.blocked[0].message.contains("invoices"),
        "{}",
        planned.blocked[0].message
    );
}

/// A second binding of a service account was stalled, and Entra trusted it through its identity all the same.
#[test]
fn no_trust_is_given_for_a_service_account_that_is_not_the_bindings_to_mark() {
    let mut object = managed(&["a", "b", "c", "d"]);
    object.spec.service_accounts[3].conflict_policy = wio_api::ConflictPolicy::Force;
    let bound = desired(&object);
    let mut world = World::as_desired(&bound);
    let by_helm = |n| Account {
        others: Values {
            client_id: Some("somebody else's".to_owned()),
            ..Values::default()
        },
        ..account(n, BoundBy::Nobody)
    };
    world.accounts.insert(name("a"), account(0, by_rival()));
    world.accounts.insert(name("b"), by_helm(1));
    world.accounts.remove(&name("c"));
    world.accounts.insert(name("d"), by_helm(2));
    assert_eq!(
        planned(&bound, &world).revocations,
        [],
        "what stands is not taken away for it"
    );
    world.identity.as_mut().unwrap().credentials.clear();
    let trusted = |of: usize| GrantStep::PutCredential(bound.credentials[of].clone());
    let marked = |of: usize| GrantStep::ApplyServiceAccount(bound.service_accounts[of].clone());
    let of_new = planned(&bound, &world);
    assert_eq!(of_new.grants, [trusted(2), trusted(3), marked(2), marked(3)]);
    let told: Vec<&str> = of_new.blocked.iter().map(|blocked| blocked.message.as_str()).collect();
    assert_eq!(told.len(), 2, "{told:#?}");
    assert!(
        told[0].contains("invoices") && told[1].contains("\"helm\""),
        "{told:#?}"
    );
    // Not even before it is known what client id the account would get.
    world.identity = None;
    assert!(!planned(&bound, &world).grants.contains(&trusted(1)));
}

/// A binding that says nothing of a lifetime does not mind the one that somebody else wrote.
#[test]
fn a_lifetime_that_somebody_else_wrote_is_in_nobodys_way_who_asks_for_none() {
    let bound = desired(&managed(&["a"]));
    let mut world = World::as_desired(&bound);
    let with_lifetime = Account {
        others: Values {
            token_expiration: Some("7200".to_owned()),
            ..Values::default()
        },
        ..account(0, BoundBy::Nobody)
    };
    world.accounts.insert(name("a"), with_lifetime);
    assert_eq!(planned(&bound, &world).blocked, []);
    let mut object = managed(&["a"]);
    object.spec.service_accounts[0].token_expiration_seconds = Some(3600);
    assert_eq!(
        planned(&desired(&object), &world).blocked[0].reason,
        Reason::ServiceAccountConflict
    );
}

/// What its audience is now, it is for those who have the service account.
#[test]
fn a_credential_for_a_service_account_that_is_not_the_bindings_to_mark_is_not_mended() {
    let bound = desired(&managed(&["a", "b"]));
    let mut world = World::as_desired(&bound);
    for credential in &mut world.identity.as_mut().unwrap().credentials {
        credential.audiences = vec!["api://else".to_owned()];
    }
    world.accounts.insert(name("a"), account(0, by_rival()));
    let planned = planned(&bound, &world);
    assert_eq!(
        planned.grants,
        [GrantStep::PutCredential(bound.credentials[1].clone())],
        "{planned:#?}"
    );
}

#[test]
fn a_missing_service_account_is_created_only_when_the_spec_says_so() {
    let mut object = managed(&["a"]);
    object.spec.service_accounts[0].create = false;
    let bound = desired(&object);
    let mut world = World::as_desired(&bound);
    world.accounts.clear();
    let planned = planned(&bound, &world);
    assert!(!planned.has_steps());
    assert_eq!(planned.blocked[0].reason, Reason::ServiceAccountNotFound);
}

#[test]
fn an_identity_that_was_created_anew_brings_its_new_client_id_to_every_account() {
    let bound = desired(&managed(&["a", "b"]));
    let named = accounts_of(&bound);
    let mut world = World::as_desired(&bound);
    world.identity = None;
    settle(&mut world, &Desired::Bound(bound), &named);
    let new = world.identity.as_ref().unwrap().facts.client_id.to_string();
    assert_ne!(new, facts(0).client_id.to_string());
    assert!(
        world
            .accounts
            .values()
            .all(|account| account.ours.client_id.as_ref() == Some(&new))
    );
}

#[test]
fn more_credentials_than_azure_allows_break_nothing() {
    let bound = desired(&existing(&["a"]));
    let identity = PresentIdentity {
        facts: facts(0),
        tags: Tags::new(),
        credentials: (0..25).map(foreign_credential).collect(),
    };
    let observed = Observed {
        azure: AzureState {
            identity: ObservedIdentity::Present(identity),
            role_assignments: ObservedRoleAssignments::read(Vec::new()),
        },
        service_accounts: BTreeMap::new(),
        exports: BTreeMap::new(),
        signed_in_as: None,
    };
    let planned = plan(&Desired::Bound(bound), &observed);
    assert!(!planned.has_steps());
    assert_eq!(planned.blocked[0].reason, Reason::FederatedCredentialQuotaExceeded);
}

#[test]
fn a_step_that_takes_away_is_told_by_what_it_takes() {
    let credential = name::<wio_core::names::CredentialName>("wib-a");
    let told = |step: Revocation| format!("{step}: {}", step.change());
    assert_eq!(
        told(Revocation::DeleteCredential(credential)),
        "federated credential wib-a: delete the federated credential wib-a"
    );
    assert_eq!(told(Revocation::DeleteIdentity), "identity: delete the identity");
}

#[test]
fn only_a_name_that_is_derived_is_certainly_nobody_elses() {
    assert!(desired(&managed(&["a"])).identity.name_is_derived());
    assert!(!desired(&existing(&["a"])).identity.name_is_derived());
    let mut object = managed(&["a"]);
    object.spec.identity.managed.as_mut().unwrap().name = Some("shop_orders".to_owned());
    assert!(!desired(&object).identity.name_is_derived());
}

#[test]
fn what_is_written_to_azure_is_all_but_the_marks_in_the_cluster() {
    let bound = desired(&managed(&["a"]));
    let grants = planned(&bound, &World::empty()).grants;
    let to_azure: Vec<bool> = grants.iter().map(GrantStep::writes_to_azure).collect();
    assert_eq!(to_azure, [true, true, false], "{grants:?}");
}
