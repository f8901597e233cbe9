//! Which other bindings of a namespace have a claim to what a binding shares with them.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use wio_api::{WorkloadIdentityBinding, WorkloadIdentityPolicy, keys};
use wio_core::desired::Desired;
use wio_core::policy::Policies;
use wio_core::sharing::{Claims, siblings};
use wio_testkit::fixtures::{BindingBuilder, binding, policy};

use crate::given::{EXISTING, accounts_of, cluster, config, desired, existing, generous, shop};
use crate::roles::{made, reconciled};
use crate::worlds::World;

fn other(named: &str) -> BindingBuilder {
    binding("shop", named)
        .uid(named)
        .existing(EXISTING)
        .service_account("a")
        .finalizer(keys::FINALIZER)
}

fn found(beside: &[WorkloadIdentityBinding], policies: &[WorkloadIdentityPolicy]) -> Vec<String> {
    let own = existing(&["a"]);
    let all: Vec<&WorkloadIdentityBinding> = std::iter::once(&own).chain(beside).collect();
    let claims = Claims::of(&own);
    let found = siblings(
        &own,
        &claims,
        &all,
        &cluster(),
        &config(),
        &Policies::parse(policies),
        &shop(),
    );
    found.iter().map(|sibling| sibling.name.to_string()).collect()
}

fn created(mut object: WorkloadIdentityBinding, second: i64) -> WorkloadIdentityBinding {
    object.metadata.creation_timestamp = Some(Time(Timestamp::from_second(second).unwrap()));
    object
}

#[test]
fn only_a_binding_that_may_have_it_and_is_not_to_go_has_a_claim() {
    let allowed = [generous()];
    assert_eq!(found(&[other("b").build()], &allowed), ["b"]);
    assert_eq!(found(&[other("b").build()], &[]), [""; 0], "denied");
    let mut going = other("b").build();
    going.metadata.deletion_timestamp = Some(Time(Timestamp::UNIX_EPOCH));
    let mut never = other("b").build();
    never.metadata.finalizers = None;
    let mut elsewhere = other("b").build();
    elsewhere.metadata.namespace = Some("bank".to_owned());
    let unrelated = binding("shop", "b")
        .uid("b")
        .existing(EXISTING)
        .service_account("x")
        .finalizer(keys::FINALIZER);
    for (what, object) in [
        ("it is being deleted", going),
        ("it never had anything", never),
        ("another namespace", elsewhere),
        ("another service account", unrelated.build()),
        ("itself", existing(&["a"])),
        ("a role that is not allowed", other("b").role("Owner", EXISTING).build()),
    ] {
        assert_eq!(found(&[object], &allowed), [""; 0], "{what}");
    }
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

/// What stands for a spec that says nothing to decide on stands for a sibling too.
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
