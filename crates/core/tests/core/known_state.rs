//! What is taken for true without a look at Azure: it may cost a write too many, and never takes anything away.

use std::collections::BTreeMap;

use proptest::prelude::*;
use wio_api::{
    FederatedCredentialUsage, ManagedIdentityPermission, Reason, WorkloadIdentityBinding, WorkloadIdentityBindingStatus,
};
use wio_core::desired::{Desired, DesiredBinding};
use wio_core::fault::Blocked;
use wio_core::known_state;
use wio_core::observed::{AzureState, Observed, ObservedIdentity, Tags};
use wio_core::plan::{GrantStep, Plan, plan};
use wio_core::verdict::Verdict;
use wio_testkit::fixtures::policy;

use crate::given::{
    ISSUER, OLD_ISSUER, SUBSCRIPTION, VAULT, accounts_of, any_binding, cases, cluster_with, config, desired,
    desired_in, existing, managed, managed_with, recorded, rules_by, verdict_of,
};
use crate::plan_roles::{made, reconciled};
use crate::worlds::{World, foreign_credential};

const GENERATION: i64 = 3;

/// The status that a reconcile with this end leaves.
fn left(bound: &DesiredBinding, world: &World) -> WorkloadIdentityBindingStatus {
    let observed = world.observe(&accounts_of(bound));
    made(&reconciled(Desired::Bound(bound.clone()), observed, Vec::new()), None)
}

fn settled(object: &WorkloadIdentityBinding) -> (DesiredBinding, WorkloadIdentityBindingStatus) {
    let bound = desired(object);
    let status = left(&bound, &World::as_desired(&bound));
    (bound, status)
}

/// The binding shop/orders to an identity whose name is in the spec.
fn known(bound: &DesiredBinding, generation: i64, status: &WorkloadIdentityBindingStatus) -> Option<AzureState> {
    known_state::from_status(bound, &recorded(generation, status))
}

fn plan_from(azure: AzureState, bound: &DesiredBinding) -> Plan {
    let observed = Observed {
        azure,
        service_accounts: BTreeMap::new(),
        exports: BTreeMap::new(),
        signed_in_as: None,
    };
    plan(&Desired::Bound(bound.clone()), &observed)
}

proptest! {
    #![proptest_config(cases(400))]

    #[test]
    fn a_restart_takes_up_what_a_settled_binding_left(object in any_binding()) {
        let bound = desired(&object);
        let world = World::as_desired(&bound);
        let azure = known(&bound, GENERATION, &left(&bound, &world)).unwrap();
        let observed = Observed {
            azure,
            ..world.observe(&accounts_of(&bound))
        };
        prop_assert_eq!(plan(&Desired::Bound(bound), &observed), Plan::default());
    }

    /// A cluster whose issuer changed while the operator was away, a downgrade that wrote a status by other rules,
    /// a status that somebody edited: each must lead to a look and not to a deletion.
    #[test]
    fn nothing_is_taken_away_from_what_is_only_taken_for_known(
        before in any_binding(), now in any_binding(), moved in any::<bool>(),
        shown in prop::sample::select(vec![ISSUER, OLD_ISSUER]),
    ) {
        let (_, mut status) = settled(&before);
        status.issuer = Some(shown.to_owned());
        let bound = desired_in(&now, &cluster_with(if moved { OLD_ISSUER } else { ISSUER }));
        if let Some(azure) = known(&bound, GENERATION, &status) {
            prop_assert_eq!(plan_from(azure, &bound).revocations, []);
        }
    }
}

#[test]
fn a_status_that_does_not_say_ready_for_this_spec_is_not_relied_on() {
    let (bound, good) = settled(&managed(&["a", "b"]));
    assert!(known(&bound, GENERATION, &good).is_some());
    assert_eq!(known(&bound, GENERATION + 1, &good), None, "another generation");
    let refused = |what: &str, change: &dyn Fn(&mut WorkloadIdentityBindingStatus)| {
        let mut status = good.clone();
        change(&mut status);
        assert_eq!(known(&bound, GENERATION, &status), None, "{what}");
    };
    refused("not observed", &|status| status.observed_generation = Some(2));
    refused("not ready", &|status| status.conditions[0].status = "False".to_owned());
    refused("ready for an older spec", &|status| {
        status.conditions[0].observed_generation = Some(2);
    });
    refused("no condition", &|status| status.conditions.clear());
    refused("no issuer", &|status| status.issuer = None);
    refused("another issuer", &|status| status.issuer = Some(OLD_ISSUER.to_owned()));
    refused("no identity", &|status| status.identity = None);
    refused("another identity", &|status| {
        status.identity.as_mut().unwrap().resource_id = crate::given::EXISTING.to_owned();
    });
    refused("an id that is none", &|status| {
        status.identity.as_mut().unwrap().client_id = Some("x".to_owned());
    });
    refused("a credential of another account", &|status| {
        status.federated_credentials[0].subject = "system:serviceaccount:shop:c".to_owned();
    });
    refused("a credential that is not wanted", &|status| {
        let mut more = status.federated_credentials[0].clone();
        more.name.push('x');
        status.federated_credentials.push(more);
    });
    refused("foreign credentials, which are not named", &|status| {
        status.federated_credential_usage = Some(FederatedCredentialUsage {
            ours: 2,
            foreign: 1,
            limit: 20,
        });
    });
}

#[test]
fn trust_by_a_foreign_credential_is_looked_at_again_after_a_restart() {
    let bound = desired(&existing(&["a"]));
    let mut world = World::as_desired(&bound);
    world.identity.as_mut().unwrap().credentials[0].name = foreign_credential(0).name;
    let status = left(&bound, &world);
    assert_eq!(status.conditions[0].status, "True");
    assert_eq!(known(&bound, GENERATION, &status), None);
    let mut beside = World::as_desired(&bound);
    beside.insert(foreign_credential(0));
    assert!(
        known(&bound, GENERATION, &left(&bound, &beside)).is_some(),
        "its trust rests on its own"
    );
}

/// An operator whose default resource group was changed must not make a second identity and forget the first, which
/// would go on being trusted.
#[test]
fn a_binding_whose_identity_would_now_stand_elsewhere_is_refused() {
    // What was made there may stay.
    let before = policy("before").namespace("shop").managed(ManagedIdentityPermission {
        subscription_id: SUBSCRIPTION.to_owned(),
        resource_group: "before".to_owned(),
        ..ManagedIdentityPermission::default()
    });
    let before = before.build();
    let mut object = managed(&["a"]);
    let held = |object: &WorkloadIdentityBinding| -> Option<Blocked> {
        match verdict_of(object, rules_by(config(), std::slice::from_ref(&before))) {
            Verdict::Hold(blocked) => Some(blocked),
            Verdict::Pursue(desired) => {
                assert!(matches!(*desired, Desired::Bound(_)), "{desired:?}");
                None
            }
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(held(&object), None);
    let status = settled(&object).1;
    let here = status.identity.as_ref().unwrap().resource_id.clone();
    object.status = Some(status.clone());
    assert_eq!(held(&object), None);

    let mut become_id = |id: String| {
        let mut status = status.clone();
        status.identity.as_mut().unwrap().resource_id = id;
        object.status = Some(status);
        held(&object)
    };
    assert_eq!(become_id(here.to_uppercase()), None);
    assert_eq!(become_id("not an id".to_owned()), None);
    let elsewhere = here.replace("/operator/", "/before/");
    let blocked = become_id(elsewhere.clone()).unwrap();
    assert_eq!(blocked.reason, Reason::IdentityMoved);
    assert!(
        blocked.message.contains(&elsewhere) && blocked.message.contains(&here),
        "{}",
        blocked.message
    );
}

#[test]
fn what_is_remembered_suffices_to_give_and_never_to_take_away_or_to_overwrite() {
    let bound = desired(&managed(&["a", "b"]));
    let planned = |change: &dyn Fn(&mut World)| {
        let mut world = World::as_desired(&bound);
        change(&mut world);
        plan(&Desired::Bound(bound.clone()), &world.observe(&accounts_of(&bound)))
    };
    let missing = planned(&|world| {
        world.identity.as_mut().unwrap().credentials.pop();
    });
    let there = known(&bound, GENERATION, &left(&bound, &World::as_desired(&bound))).unwrap();
    let not_there = AzureState {
        identity: ObservedIdentity::Absent,
        ..there.clone()
    };
    let enough = |plan: &Plan| known_state::is_enough_for(plan, &there, true);
    assert!(missing.has_steps() && enough(&missing));
    let absent = planned(&|world| world.identity = None);
    assert!(
        !known_state::is_enough_for(&absent, &not_there, true),
        "somebody may have created one since, and the request would replace its tags"
    );
    let edited = planned(&|world| {
        world.identity.as_mut().unwrap().credentials[0].subject = Some("system:serviceaccount:shop:other".to_owned());
    });
    assert_eq!(edited.revocations.len(), 1);
    assert!(!enough(&edited));
    let mut retagged = Plan::default();
    retagged.grants.push(GrantStep::TagIdentity { tags: Tags::default() });
    assert!(!enough(&retagged), "others may have put tags there since");
}

/// Until the operator has its first token, an identity that stands may turn out to be its own.
#[test]
fn before_the_first_token_nothing_is_given_through_an_identity_that_stands_without_a_read() {
    let bound = desired(&managed_with(&[("Reader", VAULT)]));
    let planned = |change: &dyn Fn(&mut World)| {
        let mut world = World::as_desired(&bound);
        change(&mut world);
        let observed = world.observe(&accounts_of(&bound));
        (plan(&Desired::Bound(bound.clone()), &observed), observed.azure)
    };
    let enough = |(plan, state): &(Plan, AzureState), signed_in| {
        assert!(plan.has_steps());
        known_state::is_enough_for(plan, state, signed_in)
    };
    let untrusted = planned(&|world| world.identity.as_mut().unwrap().credentials.clear());
    let without_role = planned(&|world| world.roles.clear());
    let unlabelled = planned(&|world| world.accounts.clear());
    for gives in [untrusted, without_role, unlabelled] {
        assert!(enough(&gives, true) && !enough(&gives, false), "{gives:?}");
    }
}

/// Ten bindings to a shared identity asked for it all at once after a restart, were throttled, and turned not Ready.
#[test]
fn foreign_credentials_on_an_identity_of_somebody_else_are_counted_until_the_next_look() {
    let bound = desired(&existing(&["a", "b"]));
    let mut world = World::as_desired(&bound);
    let credentials = &mut world.identity.as_mut().unwrap().credentials;
    credentials.extend([foreign_credential(1), foreign_credential(2)]);
    let status = left(&bound, &world);
    let state = known(&bound, GENERATION, &status).unwrap();
    assert!(
        plan_from(state.clone(), &bound)
            .grants
            .iter()
            .all(|step| matches!(step, GrantStep::ApplyServiceAccount(_)))
    );
    let observed = Observed {
        azure: state.clone(),
        ..world.observe(&accounts_of(&bound))
    };
    let again = made(
        &reconciled(Desired::Bound(bound.clone()), observed, Vec::new()),
        Some(&status),
    );
    assert_eq!(again, status, "nothing is written for it");
    let more = desired(&existing(&["a", "b", "c"]));
    let plan = plan_from(state.clone(), &more);
    assert!(
        !known_state::is_enough_for(&plan, &state, true),
        "one of them may trust c already"
    );
    let mut named = state;
    let ObservedIdentity::Present(present) = &mut named.identity else {
        panic!("it is there")
    };
    for credential in &mut present.credentials {
        if credential.issuer.is_empty() {
            credential.issuer = "https://elsewhere.example/".to_owned();
        }
    }
    assert!(
        known_state::is_enough_for(&plan, &named, true),
        "whom they trust is known, whatever they are called"
    );
}
