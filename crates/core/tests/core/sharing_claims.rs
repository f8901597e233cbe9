//! Which other bindings of a namespace have a claim to what a binding shares with them.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use wio_api::{WorkloadIdentityBinding, WorkloadIdentityPolicy, keys};
use wio_core::desired::Desired;
use wio_core::verdict::{Verdict, verdict};
use wio_testkit::fixtures::{BindingBuilder, binding, policy};

use crate::given::{EXISTING, UID, accounts_of, case_beside, config, desired, existing, generous, rules_by, written};
use crate::plan_roles::{made, reconciled};
use crate::worlds::World;

fn other(named: &str) -> BindingBuilder {
    binding("shop", named)
        .uid(named)
        .existing(EXISTING)
        .service_account("a")
        .finalizer(keys::FINALIZER)
        .status(written())
}

fn found(beside: &[WorkloadIdentityBinding], policies: &[WorkloadIdentityPolicy]) -> Vec<String> {
    let own = other("orders").uid(UID).build();
    let Verdict::Pursue(desired) = verdict(&case_beside(&own, beside, rules_by(config(), policies))) else {
        panic!("it has something")
    };
    let sharers = desired.sharing().sharers();
    sharers.iter().map(|sharer| sharer.name.to_string()).collect()
}

fn created(mut object: WorkloadIdentityBinding, second: i64) -> WorkloadIdentityBinding {
    object.metadata.creation_timestamp = Some(Time(Timestamp::from_second(second).unwrap()));
    object
}

#[test]
fn only_a_binding_that_may_have_it_and_is_not_to_go_has_a_claim() {
    let mails = EXISTING.replace("billing", "mails");
    let allowed = [generous(), policy("mails").namespace("shop").existing(&mails).build()];
    assert_eq!(found(&[other("b").build()], &allowed), ["b"]);
    assert_eq!(found(&[other("b").build()], &[]), [""; 0], "denied");
    let mut going = other("b").build();
    going.metadata.deletion_timestamp = Some(Time(Timestamp::UNIX_EPOCH));
    let mut never = other("b").build();
    never.metadata.finalizers = None;
    let mut elsewhere = other("b").build();
    elsewhere.metadata.namespace = Some("bank".to_owned());
    let with_identity = |id: &str| binding("shop", "b").uid("b").existing(id);
    let unrelated = with_identity(&mails).service_account("x").finalizer(keys::FINALIZER);
    for (what, object) in [
        ("it is being deleted", going),
        ("it never had anything", never),
        ("another namespace", elsewhere),
        ("another service account and another identity", unrelated.build()),
        ("itself", existing(&["a"])),
        ("a role that is not allowed", other("b").role("Owner", EXISTING).build()),
    ] {
        assert_eq!(found(&[object], &allowed), [""; 0], "{what}");
    }
    let same_identity = with_identity(EXISTING).service_account("x").finalizer(keys::FINALIZER);
    assert_eq!(
        found(&[same_identity.build()], &allowed),
        ["b"],
        "it may rely on a credential that this one made and does not claim any more"
    );
    let limit = policy("limit").namespace("shop").max_federated_credentials(0).build();
    assert_eq!(
        found(&[other("b").build()], &[generous(), limit]),
        [""; 0],
        "above the limit"
    );
    let eldest = [
        created(other("c").build(), 3),
        created(other("d").build(), 1),
        created(other("b").build(), 3),
    ];
    assert_eq!(found(&eldest, &allowed), ["d", "b", "c"]);
}

#[test]
fn a_suspended_binding_has_its_claim_and_does_not_act() {
    let own = other("orders").uid(UID).build();
    for (object, acts) in [(other("b"), true), (other("b").suspended(), false)] {
        let case = case_beside(&own, &[object.build()], rules_by(config(), &[generous()]));
        let Verdict::Pursue(desired) = verdict(&case) else {
            panic!("it has something")
        };
        let actives: Vec<bool> = desired.sharing().sharers().iter().map(|one| one.is_active).collect();
        assert_eq!(actives, [acts]);
    }
}

/// What stands for a spec that says nothing to decide on stands for those that share with it too.
#[test]
fn an_unusable_spec_claims_what_the_status_says() {
    let bound = desired(&existing(&["a"]));
    let world = World::as_desired(&bound);
    let status = made(
        &reconciled(
            Desired::Bound(bound.clone()),
            world.observe(&accounts_of(&bound)),
            Vec::new(),
        ),
        None,
    );
    let broken = other("b").audience("a b").status(status).build();
    assert_eq!(found(std::slice::from_ref(&broken), &[generous()]), ["b"]);
    assert_eq!(found(&[broken], &[]), [""; 0]);
    assert_eq!(found(&[other("b").audience("a b").build()], &[generous()]), [""; 0]);
}
