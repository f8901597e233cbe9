//! A binding as others look at it before it is decided about.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use wio_api::{WorkloadIdentityBinding, WorkloadIdentityBindingStatus, keys};
use wio_core::binding::{Binding, usage};
use wio_core::policy::Usage;
use wio_core::service_account::NamedBinding;
use wio_testkit::fixtures::binding;

use crate::given::{NOW, UID, VAULT, existing, managed, managed_with, name, parsed};

/// A binding that is asked to look at Azure, after it heeded something before.
fn asked(value: &str, heeded: Option<&str>) -> WorkloadIdentityBinding {
    let mut object = managed(&["a"]);
    object.metadata.annotations = Some([(keys::RECONCILE_AT_ANNOTATION.to_owned(), value.to_owned())].into());
    object.status = Some(WorkloadIdentityBindingStatus {
        last_handled_reconcile_at: heeded.map(str::to_owned),
        ..WorkloadIdentityBindingStatus::default()
    });
    object
}

#[test]
fn a_look_is_asked_for_by_a_value_until_that_was_heeded() {
    let asks = |value: &str, heeded| parsed(&asked(value, heeded)).asks_for_look().map(str::to_owned);
    assert_eq!(asks("now", None).as_deref(), Some("now"));
    assert_eq!(asks("now", Some("before")).as_deref(), Some("now"));
    assert_eq!(asks("now", Some("now")), None);
    assert_eq!(asks("", None), None);
    assert_eq!(parsed(&managed(&["a"])).asks_for_look(), None);
}

/// Whoever writes a text without end must not have it copied into the status, nor be heeded again and again for its end.
#[test]
fn of_a_long_value_the_beginning_asks() {
    let long = "ä".repeat(1000);
    let kept = parsed(&asked(&long, None)).asks_for_look().unwrap().to_owned();
    assert!(kept.len() < 1000 && long.starts_with(&kept), "{}", kept.len());
    assert_eq!(parsed(&asked(&long, Some(&kept))).asks_for_look(), None);
}

#[test]
fn a_binding_is_as_old_before_it_is_parsed_as_after_it() {
    let mut object = managed(&["a"]);
    object.metadata.creation_timestamp = Some(Time(NOW));
    assert_eq!(
        Binding::seniority_of(&object),
        Some(parsed(&object).lifecycle.seniority)
    );
    object.metadata.name = Some("No Name".to_owned());
    assert_eq!(Binding::seniority_of(&object), None);
}

#[test]
fn what_policies_limit_is_counted_as_it_is_asked_for() {
    let counted = |federated_credentials, managed_identities, role_assignments| Usage {
        federated_credentials,
        managed_identities,
        role_assignments,
    };
    assert_eq!(usage(&existing(&["a", "b"])), counted(2, 0, 0));
    let roles = [("Reader", VAULT), ("Contributor", VAULT), ("Owner", VAULT)];
    assert_eq!(usage(&managed_with(&roles)), counted(1, 1, 3));
}

#[test]
fn a_binding_that_a_service_account_names_asks_for_that_one_or_not() {
    let of = |object: &WorkloadIdentityBinding, account: &str| NamedBinding::of(object, &name(account));
    for (account, binds) in [("a", true), ("b", true), ("c", false)] {
        let expected = NamedBinding {
            name: "orders".to_owned(),
            uid: UID.to_owned(),
            binds,
        };
        assert_eq!(of(&managed(&["a", "b"]), account), Some(expected), "{account}");
    }
    let mut unstored = binding("shop", "orders").build();
    unstored.metadata.uid = None;
    assert_eq!(of(&unstored, "a"), None);
}
