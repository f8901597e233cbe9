//! Objects that this version cannot read: a newer schema let them in, as when the operator is rolled back and its CRDs are not.

use serde_json::{Value, json};
use wio_api::{Reason, WorkloadIdentityPolicy};
use wio_azure_sim::IdentityId;
use wio_testkit::fixtures::{binding, policy};

use crate::world::*;

/// A list fails as a whole when one of its objects cannot be read: after a restart nobody's binding was reconciled.
#[tokio::test(start_paused = true)]
async fn a_binding_that_cannot_be_read_hides_no_other_and_keeps_its_trust() {
    story(async |world| {
        for name in ["orders", "odd"] {
            world.create(binding(NAMESPACE, name).managed().service_account(name));
            world.ready(name).await;
        }
        let newer = |object: &mut Value| object["spec"]["deletionPolicy"] = json!("RetainEverything");
        world.edit("odd", newer);
        world.says("odd", Reason::InvalidSpec).await;
        world.stop().await;
        world.start().await;
        world.create(binding(NAMESPACE, "invoices").managed().service_account("invoices"));
        world.ready("invoices").await;
        world.delete("orders");
        world.gone("orders").await;
        let odd = world.says("odd", Reason::InvalidSpec).await;
        for part in ["spec.deletionPolicy", "RetainEverything", "cannot read it"] {
            assert!(message(&odd).contains(part), "{}", message(&odd));
        }
        assert_eq!(trusted(world, "odd"), 1, "nothing is taken away for it");
        assert!(
            world.events().contains(&"Warning InvalidSpec".to_owned()),
            "{:?}",
            world.events()
        );
        world.delete("odd");
        world.gone("odd").await;
        assert_eq!(trusted(world, "odd"), 0, "trust ends with the binding");
        let left = world.azure.snapshot().identities;
        assert_eq!(
            left.len(),
            2,
            "what else was to become of it is not known: its identity stays"
        );
    })
    .await;
}

fn trusted(world: &World, account: &str) -> usize {
    let subject = format!("system:serviceaccount:{NAMESPACE}:{account}");
    let identities = world.azure.snapshot().identities;
    let credentials = identities.iter().flat_map(|identity| &identity.credentials);
    credentials
        .filter(|credential| credential.subject.as_deref() == Some(subject.as_str()))
        .count()
}

fn edit_policy(world: &World, name: &str, change: impl FnOnce(&mut Value)) {
    world.cluster.edit::<WorkloadIdentityPolicy>("", name, change);
}

/// The binding `orders` has an identity by the policy `payments`. Returns the pattern of that policy, and the identity.
async fn bound_by_payments(world: &World) -> (String, String) {
    let elsewhere = IdentityId::new(SUBSCRIPTION, OTHER_GROUP, "*").to_string();
    world
        .cluster
        .seed(policy("payments").namespace(NAMESPACE).existing(&elsewhere).build());
    let id = world.foreign_identity(OTHER_GROUP, "payments", Vec::new());
    world.create(binding(NAMESPACE, "orders").existing(&id).service_account("orders"));
    world.ready("orders").await;
    (elsewhere, id)
}

/// Nobody wished its trust away, and nobody knows what it grants.
#[tokio::test(start_paused = true)]
async fn a_policy_that_cannot_be_read_grants_nothing_and_takes_nothing_away() {
    story(async |world| {
        let (elsewhere, id) = bound_by_payments(world).await;
        edit_policy(world, "payments", |object| {
            object["spec"]["existingIdentities"] = json!([{ "pattern": elsewhere }]);
        });
        let held = world.says("orders", Reason::NotDecided).await;
        assert!(
            message(&held).contains("WorkloadIdentityPolicy payments"),
            "{}",
            message(&held)
        );
        world.stop().await;
        world.start().await;
        world.create(binding(NAMESPACE, "invoices").existing(&id).service_account("invoices"));
        world.says("invoices", Reason::NotPermitted).await;
        world.create(binding(NAMESPACE, "own").managed().service_account("own"));
        world.ready("own").await;
        assert_eq!([trusted(world, "orders"), trusted(world, "invoices")], [1, 0]);
        edit_policy(world, "payments", |object| {
            object["spec"]["existingIdentities"] = json!([elsewhere]);
        });
        world.ready("orders").await;
        world.ready("invoices").await;
        // Each counts the credentials of the other at its next look.
        tokio::time::sleep(DRIFT * 2).await;
    })
    .await;
}

/// Otherwise whoever has a policy that cannot be read would keep what it gave for ever.
#[tokio::test(start_paused = true)]
async fn a_policy_that_cannot_be_read_and_is_deleted_takes_its_trust_with_it() {
    story(async |world| {
        bound_by_payments(world).await;
        edit_policy(world, "payments", |object| object["spec"]["roles"] = json!("all"));
        world.says("orders", Reason::NotDecided).await;
        world.cluster.delete::<WorkloadIdentityPolicy>("", "payments");
        world.says("orders", Reason::NotPermitted).await;
        assert_eq!(trusted(world, "orders"), 0);
    })
    .await;
}
