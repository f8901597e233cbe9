//! What is held keeps what it has, whoever shares it, and nobody keeps for another what neither is to have.

use std::collections::BTreeSet;
use std::time::Duration;

use wio_api::WorkloadIdentityBinding;
use wio_core::case::Case;
use wio_core::desired::Desired;
use wio_core::held::Unwished;
use wio_core::names::BindingUid;
use wio_core::plan::plan;
use wio_core::policy::{Policies, Vanished, Vanishing};
use wio_core::settings_change::SettingsChange;
use wio_core::verdict::{Verdict, verdict};
use wio_testkit::fixtures::BindingBuilder;

use crate::given::{RIVAL, accounts_of, case_beside, config, desired, existing, name, object_of, rules_by, written};
use crate::plan_roles::{made, reconciled};
use crate::worlds::World;

/// The only policy that there was is gone.
fn vanished() -> Vanished {
    let mut vanishing = Vanishing::default();
    vanishing.learn([name("generous")].into(), BTreeSet::new(), None);
    vanishing.see(&Policies::default(), Duration::from_secs(1))
}

/// The binding shop/orders, which has an identity of somebody else, in a cluster without policies.
fn orders() -> (World, WorkloadIdentityBinding) {
    let bound = desired(&existing(&["a"]));
    let world = World::as_desired(&bound);
    let outcome = reconciled(
        Desired::Bound(bound.clone()),
        world.observe(&accounts_of(&bound)),
        Vec::new(),
    );
    (world, object_of(&bound).status(made(&outcome, None)).build())
}

/// The binding shop/invoices to the same identity and account, for which a write was announced.
fn invoices() -> BindingBuilder {
    object_of(&desired(&existing(&["a"]))).uid(RIVAL).status(written())
}

fn named(mut object: WorkloadIdentityBinding) -> WorkloadIdentityBinding {
    object.metadata.name = Some("invoices".to_owned());
    object
}

/// The case of one binding beside another one, with those that are held while this became of policies and settings.
fn case(own: &WorkloadIdentityBinding, other: &WorkloadIdentityBinding, unwished: &Unwished) -> Case {
    let case = case_beside(own, std::slice::from_ref(other), rules_by(config(), &[]));
    let held = unwished.held(&case.candidate, &case.neighbours, &case.rules, |_| 0);
    Case { held, ..case }
}

fn by_policies(vanished: Vanished) -> Unwished {
    Unwished {
        vanished,
        changed: SettingsChange::None,
    }
}

/// How many steps take something away of what a denied binding claims.
fn taken_away(case: &Case, world: &World) -> usize {
    let Verdict::Pursue(desired) = verdict(case) else {
        panic!("it is not denied")
    };
    let accounts = [name("a")].into();
    plan(&desired, &world.observe(&accounts)).revocations.len()
}

/// It was not held itself, since no status told that it has anything by a policy, and the one that was counted as one that may have nothing.
#[test]
fn a_denied_binding_leaves_what_one_that_is_held_rests_on() {
    let (world, orders) = orders();
    let invoices = named(invoices().build());
    let unheld = case(&invoices, &orders, &by_policies(Vanished::None));
    assert_eq!((unheld.held.len(), taken_away(&unheld, &world) > 0), (0, true));
    let held = case(&invoices, &orders, &by_policies(vanished()));
    let uid: BindingUid = name(orders.metadata.uid.as_deref().unwrap());
    assert_eq!((&held.held, taken_away(&held, &world)), (&[uid].into(), 0));
}

/// Then the guard holds each of them for itself.
#[test]
fn before_it_is_known_what_stood_a_denied_binding_is_held_and_keeps_nothing_for_its_neighbours() {
    let (_, orders) = orders();
    let invoices = named(invoices().build());
    let settings = Unwished {
        vanished: Vanished::None,
        changed: SettingsChange::Unknown,
    };
    for unknown in [by_policies(Vanished::Unknown), settings] {
        assert_eq!(case(&invoices, &orders, &unknown).held, BTreeSet::new());
    }
}

/// Where the definition of policies is deleted on purpose, nothing else holds either of them.
#[test]
fn of_two_that_are_held_neither_keeps_anything_for_the_other() {
    let (world, mut orders) = orders();
    let status = orders.status.as_mut().unwrap();
    status.authorized_by = vec!["generous".to_owned()];
    let mut twin = named(orders.clone());
    twin.metadata.uid = Some(RIVAL.to_owned());
    let unwished = by_policies(vanished());
    for (own, other) in [(&orders, &twin), (&twin, &orders)] {
        let case = case(own, other, &unwished);
        assert_eq!((case.held.len(), taken_away(&case, &world) > 0), (0, true));
    }
}
