//! What a binding may have, and that a refusal names the field, what is asked, what is allowed and what would help.

use wio_api::ManagedIdentity;
use wio_core::authorize::{NotPermitted, authorize};
use wio_core::config::OperatorConfig;
use wio_core::names::identity_name;
use wio_testkit::fixtures::BindingBuilder;

use crate::given::{EXISTING, SUBSCRIPTION, UID, config, name, validated};

fn orders() -> BindingBuilder {
    wio_testkit::fixtures::binding("shop", "orders")
        .uid(UID)
        .service_account("orders")
}

#[track_caller]
fn refused(binding: BindingBuilder, config: &OperatorConfig, field: &str, parts: &[&str]) {
    let NotPermitted { field: blamed, message } = authorize(&validated(&binding.build()), config).unwrap_err();
    assert_eq!(blamed, field);
    for part in parts {
        assert!(message.contains(part), "{part:?} is not in {message}");
    }
}

fn as_managed(change: impl FnOnce(&mut ManagedIdentity)) -> BindingBuilder {
    let mut identity = ManagedIdentity::default();
    change(&mut identity);
    orders().managed_as(identity)
}

#[test]
fn a_managed_identity_is_allowed_where_the_operator_makes_them() {
    let asked = [
        as_managed(|_| {}),
        as_managed(|identity| identity.subscription_id = Some(SUBSCRIPTION.to_uppercase())),
        as_managed(|identity| identity.resource_group = Some("OPERATOR".to_owned())),
        as_managed(|identity| identity.location = Some("westeurope".to_owned())),
    ];
    for binding in asked {
        let valid = validated(&binding.build());
        let witness = authorize(&valid, &config()).unwrap();
        assert_eq!(*witness.identity(), valid.identity_id(&config()));
        assert_eq!(witness.identity().group, config().group);
        assert_eq!(
            witness.identity().name,
            identity_name(&valid.owner.cluster, &valid.owner.namespace, &valid.owner.name)
        );
        assert_eq!(witness.revoking().identity(), witness.identity());
    }
}

#[test]
fn a_managed_identity_elsewhere_is_refused_by_its_field() {
    let other = "11111111-2222-4333-8444-555555555555";
    refused(
        as_managed(|identity| identity.subscription_id = Some(other.to_owned())),
        &config(),
        "spec.identity.managed.subscriptionId",
        &[other, SUBSCRIPTION, "leave it out"],
    );
    refused(
        as_managed(|identity| identity.resource_group = Some("shared".to_owned())),
        &config(),
        "spec.identity.managed.resourceGroup",
        &["shared", "operator", "leave it out"],
    );
    refused(
        as_managed(|identity| identity.location = Some("eastus".to_owned())),
        &config(),
        "spec.identity.managed.location",
        &["eastus", "westeurope", "leave it out"],
    );
}

#[test]
fn an_existing_identity_is_allowed_in_the_groups_that_are_listed() {
    for id in [EXISTING.to_owned(), EXISTING.to_uppercase(), EXISTING.to_lowercase()] {
        let witness = authorize(&validated(&orders().existing(&id).build()), &config()).unwrap();
        assert_eq!(*witness.identity(), name(EXISTING));
    }
}

#[test]
fn an_existing_identity_elsewhere_is_refused_with_what_to_ask_for() {
    const FIELD: &str = "spec.identity.existing.resourceId";
    let other_group = EXISTING.replace("/shared/", "/prod/");
    let other_subscription = EXISTING.replace(SUBSCRIPTION, "11111111-2222-4333-8444-555555555555");
    for (id, group) in [
        (&other_group, "resourceGroups/prod"),
        (&other_subscription, "11111111-2222"),
    ] {
        let parts = [group, "resourceGroups/shared", "--existing-identity-resource-groups"];
        refused(orders().existing(id), &config(), FIELD, &parts);
    }
    let closed = OperatorConfig {
        existing_identity_groups: Vec::new(),
        ..config()
    };
    refused(
        orders().existing(EXISTING),
        &closed,
        FIELD,
        &["allows no existing identities", "resourceGroups/shared"],
    );
    // The group in which the operator makes identities is not one whose identities anybody may bind.
    let of_others = EXISTING.replace("/shared/", "/operator/");
    refused(
        orders().existing(&of_others),
        &config(),
        FIELD,
        &["resourceGroups/operator"],
    );
}

#[test]
fn roles_are_refused_until_they_can_be_given() {
    let binding = orders()
        .managed()
        .role("Reader", "/subscriptions/6f2e1c1d-52a4-4d0c-8d2f-0c6a2d0b7a11");
    refused(binding, &config(), "spec.roleAssignments", &["\"Reader\"", "remove"]);
}
