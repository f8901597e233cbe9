//! What is taken for true without a look at Azure: it may cost a write too many, and never takes anything away.

use jiff::Timestamp;
use proptest::prelude::*;
use wio_api::{FederatedCredentialUsage, Reason, WorkloadIdentityBinding, WorkloadIdentityBindingStatus};
use wio_core::desired::{Desired, DesiredBinding, DesiredIdentity};
use wio_core::known_state::{self, AzureState};
use wio_core::observed::{Observed, ObservedIdentity, ObservedRoleAssignments, Tags};
use wio_core::outcome::{Outcome, Reconciled};
use wio_core::plan::{GrantStep, Plan, plan};
use wio_core::status::status;

use crate::given::{
    ISSUER, OLD_ISSUER, accounts_of, any_binding, cases, cluster, cluster_with, desired, desired_in, existing, managed,
};
use crate::worlds::{World, foreign_credential};

const GENERATION: i64 = 3;

/// The status that a reconcile with this end leaves.
fn left(bound: &DesiredBinding, world: &World) -> WorkloadIdentityBindingStatus {
    let outcome = Outcome::Observed(Box::new(Reconciled {
        desired: Desired::Bound(bound.clone()),
        observed: world.observe(&accounts_of(bound)),
        faults: Vec::new(),
        suspended: false,
    }));
    status(
        None,
        GENERATION,
        false,
        Some(&cluster()),
        &outcome,
        Timestamp::UNIX_EPOCH,
    )
}

fn settled(object: &WorkloadIdentityBinding) -> (DesiredBinding, WorkloadIdentityBindingStatus) {
    let bound = desired(object);
    let status = left(&bound, &World::as_desired(&bound));
    (bound, status)
}

fn plan_from(presumed: AzureState, bound: &DesiredBinding) -> Plan {
    let observed = Observed {
        identity: presumed.identity,
        role_assignments: presumed.role_assignments,
        ..Observed::default()
    };
    plan(&Desired::Bound(bound.clone()), &observed)
}

proptest! {
    #![proptest_config(cases(400))]

    #[test]
    fn a_restart_takes_up_what_a_settled_binding_left(object in any_binding()) {
        let bound = desired(&object);
        let world = World::as_desired(&bound);
        let presumed = known_state::from_status(&bound, GENERATION, &left(&bound, &world)).unwrap();
        let observed = Observed {
            identity: presumed.identity,
            role_assignments: presumed.role_assignments,
            ..world.observe(&accounts_of(&bound))
        };
        prop_assert_eq!(plan(&Desired::Bound(bound), &observed), Plan::default());
    }

    /// A cluster whose issuer changed while the operator was away, a downgrade that wrote a status by other rules,
    /// a status that somebody edited: each must lead to a look and not to a deletion.
    #[test]
    fn nothing_is_taken_away_from_what_is_only_presumed(
        before in any_binding(), now in any_binding(), moved in any::<bool>(),
        shown in prop::sample::select(vec![ISSUER, OLD_ISSUER]), fresh in any::<bool>(),
    ) {
        let (_, mut status) = settled(&before);
        status.issuer = Some(shown.to_owned());
        let bound = desired_in(&now, &cluster_with(if moved { OLD_ISSUER } else { ISSUER }));
        if let Some(presumed) = known_state::from_status(&bound, GENERATION, &status) {
            prop_assert_eq!(plan_from(presumed, &bound).revocations, []);
        }
        let absent = known_state::new_binding(&bound, true, (!fresh).then_some(&status));
        prop_assert_eq!(absent.is_some(), fresh && matches!(bound.identity, DesiredIdentity::Managed { .. }));
        if let Some(presumed) = absent {
            prop_assert_eq!(plan_from(presumed, &bound).revocations, []);
        }
    }
}

#[test]
fn a_status_that_does_not_say_ready_for_this_spec_is_not_relied_on() {
    let (bound, good) = settled(&managed(&["a", "b"]));
    assert!(known_state::from_status(&bound, GENERATION, &good).is_some());
    assert_eq!(
        known_state::from_status(&bound, GENERATION + 1, &good),
        None,
        "another generation"
    );
    let refused = |what: &str, change: &dyn Fn(&mut WorkloadIdentityBindingStatus)| {
        let mut status = good.clone();
        change(&mut status);
        assert_eq!(known_state::from_status(&bound, GENERATION, &status), None, "{what}");
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
        status.identity.as_mut().unwrap().client_id = "x".to_owned();
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
    assert_eq!(known_state::from_status(&bound, GENERATION, &status), None);
}

#[test]
fn an_identity_is_presumed_absent_only_when_its_name_is_ours_alone_and_nothing_was_ever_said() {
    let (bound, status) = settled(&managed(&["a"]));
    let fresh = WorkloadIdentityBindingStatus {
        observed_generation: Some(-1),
        ..Default::default()
    };
    let absent = Some(AzureState {
        identity: ObservedIdentity::Absent,
        role_assignments: ObservedRoleAssignments::Known(Vec::new()),
    });
    assert_eq!(known_state::new_binding(&bound, true, None), absent);
    assert_eq!(known_state::new_binding(&bound, true, Some(&fresh)), absent);
    assert_eq!(
        known_state::new_binding(&bound, false, None),
        None,
        "a name from the spec may be anybody's"
    );
    assert_eq!(known_state::new_binding(&bound, true, Some(&status)), None);
    let without_identity = WorkloadIdentityBindingStatus {
        identity: None,
        ..status
    };
    assert_eq!(
        known_state::new_binding(&bound, true, Some(&without_identity)),
        None,
        "it was tried before"
    );
    assert_eq!(known_state::new_binding(&desired(&existing(&["a"])), true, None), None);
}

/// An operator whose default resource group was changed must not make a second identity and forget the first, which
/// would go on being trusted.
#[test]
fn a_binding_whose_identity_would_now_stand_elsewhere_is_refused() {
    let (bound, mut status) = settled(&managed(&["a"]));
    assert_eq!(bound.moved(None), None);
    assert_eq!(bound.moved(Some(&status)), None);

    let here = status.identity.as_ref().unwrap().resource_id.clone();
    let mut become_id = |id: String| {
        status.identity.as_mut().unwrap().resource_id = id;
        bound.moved(Some(&status))
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
    assert!(missing.has_steps() && known_state::is_enough_for(&missing, false));
    let absent = planned(&|world| world.identity = None);
    assert!(known_state::is_enough_for(&absent, true));
    assert!(
        !known_state::is_enough_for(&absent, false),
        "somebody else may have taken the name"
    );
    let edited = planned(&|world| {
        world.identity.as_mut().unwrap().credentials[0].subject = Some("system:serviceaccount:shop:other".to_owned());
    });
    assert_eq!(edited.revocations.len(), 1);
    assert!(!known_state::is_enough_for(&edited, true));
    let mut retagged = Plan::default();
    retagged.grants.push(GrantStep::TagIdentity { tags: Tags::default() });
    assert!(
        !known_state::is_enough_for(&retagged, true),
        "others may have put tags there since"
    );
}
