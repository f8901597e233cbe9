//! What a binding has, by its record, when its spec says nothing that can be decided on.

use wio_api::{
    DeletionPolicy, IdentityOrigin, ManagedIdentityPermission, RoleAssignmentStatus, WorkloadIdentityBinding,
    WorkloadIdentityBindingStatus,
};
use wio_core::authorize::{NotPermitted, authorize_recorded};
use wio_core::desired::Desired;
use wio_core::recorded::Recorded;
use wio_testkit::fixtures::PolicyBuilder;

use crate::authorize::{GROUP, SECRETS, ask, blames, for_shop, orders, place};
use crate::given::{EXISTING, VAULT, accounts_of, config, desired, existing, managed_with, name, parsed, rules_by};
use crate::plan_roles::{made, reconciled};
use crate::worlds::World;

/// A status that says that everything of the binding stands.
pub fn standing(binding: &WorkloadIdentityBinding, origin: Option<IdentityOrigin>) -> WorkloadIdentityBindingStatus {
    let bound = desired(binding);
    let observed = World::as_desired(&bound).observe(&accounts_of(&bound));
    let mut status = made(&reconciled(Desired::Bound(bound), observed, Vec::new()), None);
    if let (Some(origin), Some(identity)) = (origin, &mut status.identity) {
        identity.origin = origin;
    }
    status
}

#[track_caller]
fn may_stand(status: &WorkloadIdentityBindingStatus, policies: &[PolicyBuilder]) -> Result<(), NotPermitted> {
    let policies: Vec<_> = policies.iter().cloned().map(PolicyBuilder::build).collect();
    let owner = parsed(&existing(&["orders"])).owner;
    let rules = rules_by(config(), &policies);
    authorize_recorded(&owner, &Recorded::from(status), DeletionPolicy::Delete, &rules)
}

#[test]
fn what_stands_is_decided_on_by_the_status_when_the_spec_cannot_be() {
    let open = || for_shop("shop").existing(EXISTING);
    let status = standing(&existing(&["orders"]), None);
    may_stand(&status, &[open()]).unwrap();
    may_stand(&status, &[]).unwrap_err();
    may_stand(&status, &[open().service_account("mails")]).unwrap_err();
    // Nothing more is asked for, so a limit is none of its business.
    may_stand(&status, &[open().max_federated_credentials(0)]).unwrap();

    may_stand(&WorkloadIdentityBindingStatus::default(), &[]).unwrap();
    may_stand(&standing(&managed_with(&[]), None), &[]).unwrap();
    let with_role = standing(&managed_with(&[(SECRETS, VAULT)]), None);
    assert!(matches!(
        with_role.role_assignments.as_slice(),
        [RoleAssignmentStatus { .. }]
    ));
    may_stand(&with_role, &[for_shop("shop").role(SECRETS, &[GROUP])]).unwrap();
    blames(
        may_stand(&with_role, &[]).unwrap_err(),
        "spec.roleAssignments[].role",
        &[SECRETS],
    );
}

/// The spec of one that chose a derived name before such names were reserved cannot be used, so the record decides.
#[test]
fn a_derived_name_stands_for_the_binding_that_it_was_derived_for_alone() {
    let with = |origin, name: &str| {
        let mut status = standing(&managed_with(&[]), Some(origin));
        let identity = status.identity.as_mut().unwrap();
        identity.resource_id = identity.resource_id.rsplit_once('/').unwrap().0.to_owned() + "/" + name;
        status
    };
    let everything = for_shop("shop")
        .existing("/subscriptions/*/resourceGroups/*/providers/Microsoft.ManagedIdentity/userAssignedIdentities/*")
        .managed(ManagedIdentityPermission {
            adopt: true,
            ..place("operator")
        });
    let everything = std::slice::from_ref(&everything);
    // The id of the cluster, which the hash covers, may have been another one.
    let own = "wib-shop-orders-aaaaaaaaaaaaaaaa";
    may_stand(&with(IdentityOrigin::Created, own), &[]).unwrap();
    may_stand(&with(IdentityOrigin::Adopted, own), everything).unwrap();
    let others = "WIB-bank-orders-aaaaaaaaaaaaaaaa";
    for (origin, field) in [
        (IdentityOrigin::Created, "spec.identity.managed.name"),
        (IdentityOrigin::Adopted, "spec.identity.managed.name"),
        (IdentityOrigin::Referenced, "spec.identity.existing.resourceId"),
    ] {
        let refusal = may_stand(&with(origin, others), everything).unwrap_err();
        blames(refusal, field, &[others, "wib-", "use another identity"]);
    }
}

#[test]
fn an_identity_that_was_taken_over_stands_as_long_as_that_is_allowed() {
    let adopting = for_shop("shop").managed(ManagedIdentityPermission {
        adopt: true,
        ..place("operator")
    });
    let status = standing(&managed_with(&[]), Some(IdentityOrigin::Adopted));
    may_stand(&status, std::slice::from_ref(&adopting)).unwrap();
    blames(
        may_stand(&status, &[]).unwrap_err(),
        "spec.identity.managed.adopt",
        &["taken over"],
    );
    // The spec need not ask for it any more, and cannot get rid of it.
    let binding = || orders().managed().status(status.clone()).build();
    ask(&binding(), &config(), &[], 0).unwrap_err();
    let witness = ask(&binding(), &config(), &[adopting.build()], 0).unwrap();
    assert_eq!(witness.authorized_by(), [name("shop")]);
}
