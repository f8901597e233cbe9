//! A service account as its metadata shows it: whose it is, what it carries, and who else holds that.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::{Value, json};
use wio_api::keys;
use wio_core::observed::{BoundBy, Held, ObservedServiceAccount};
use wio_core::owner::Owner;
use wio_core::service_account::{NamedBinding, Texts, held, is_annotated_by_us};

use crate::given::{RIVAL, UID, managed, name, parsed};

fn owner() -> Owner {
    parsed(&managed(&["a"])).owner
}

fn metadata(of: Value) -> ObjectMeta {
    serde_json::from_value(of).unwrap()
}

fn labelled(uid: Option<&str>, named: Option<NamedBinding>) -> BoundBy {
    let texts = Texts {
        uid: Some("uid-a"),
        bound_by: uid,
        ..Texts::default()
    };
    texts.observed(&owner(), named).unwrap().bound_by
}

fn named(uid: &str, binds: bool) -> NamedBinding {
    NamedBinding {
        name: "invoices".to_owned(),
        uid: uid.to_owned(),
        binds,
    }
}

#[test]
fn what_is_used_is_read_from_labels_and_annotations() {
    let metadata = metadata(json!({
        "uid": "uid-a",
        "labels": { (keys::BOUND_BY_LABEL): UID, (keys::CREATED_LABEL): "true" },
        "annotations": {
            (keys::BINDING_ANNOTATION): "orders",
            (keys::CLIENT_ID_ANNOTATION): "client",
            (keys::TENANT_ID_ANNOTATION): "tenant",
            (keys::TOKEN_EXPIRATION_ANNOTATION): "3600",
        },
    }));
    let texts = Texts::of(&metadata, true);
    assert_eq!(texts.binding, Some("orders"));
    let expected = ObservedServiceAccount {
        uid: name("uid-a"),
        client_id: Some("client".to_owned()),
        tenant_id: Some("tenant".to_owned()),
        token_expiration: Some("3600".to_owned()),
        bound_by: BoundBy::Us,
        created_by_us: true,
        held: [].into(),
    };
    assert_eq!(texts.observed(&owner(), None), Some(expected.clone()));
    let theirs = ObservedServiceAccount {
        token_expiration: None,
        ..expected
    };
    assert_eq!(
        Texts::of(&metadata, false).observed(&owner(), None),
        Some(theirs),
        "the lifetime is somebody else's"
    );
    assert!(!Texts::of(&ObjectMeta::default(), true).is_created_by_us);
}

#[test]
fn one_that_goes_or_has_no_uid_is_not_observed() {
    for of in [
        json!({ "uid": "uid-a", "deletionTimestamp": "2026-01-01T00:00:00Z" }),
        json!({}),
    ] {
        assert_eq!(Texts::of(&metadata(of), true).observed(&owner(), None), None);
    }
}

#[test]
fn one_without_a_label_that_a_binding_can_have_made_is_nobodys() {
    assert_eq!(labelled(None, Some(named(RIVAL, true))), BoundBy::Nobody);
    assert_eq!(labelled(Some("no uid"), Some(named("no uid", true))), BoundBy::Nobody);
}

/// Whoever writes a binding's label on a service account of another one must not have that let go of.
#[test]
fn one_with_our_label_is_ours_unless_it_names_another_binding_that_asks_for_it() {
    let other = BoundBy::Other {
        binding: "invoices".to_owned(),
        uid: name(RIVAL),
    };
    for (named, expected) in [
        (None, BoundBy::Us),
        (Some(named(UID, true)), BoundBy::Us),
        (Some(named(RIVAL, false)), BoundBy::Us),
        (Some(named("no uid", true)), BoundBy::Us),
        (Some(named(RIVAL, true)), other),
    ] {
        assert_eq!(labelled(Some(UID), named.clone()), expected, "{named:?}");
    }
}

#[test]
fn one_with_the_label_of_another_binding_is_its_own_while_that_exists() {
    let gone = BoundBy::Gone { uid: name(RIVAL) };
    let other = BoundBy::Other {
        binding: "invoices".to_owned(),
        uid: name(RIVAL),
    };
    for (named, expected) in [
        (None, gone.clone()),
        (Some(named("a-later-one", true)), gone),
        (Some(named(RIVAL, false)), other),
    ] {
        assert_eq!(labelled(Some(RIVAL), named.clone()), expected, "{named:?}");
    }
}

/// An entry of the bookkeeping, by which a manager holds a label or an annotation.
fn entry(manager: &str, kind: &str, key: &str) -> Value {
    json!({
        "manager": manager,
        "fieldsV1": { "f:metadata": { (kind): { (format!("f:{key}")): {} } } },
    })
}

fn managed_by(entries: &[Value]) -> ObjectMeta {
    metadata(json!({
        "labels": { (keys::BOUND_BY_LABEL): "uid", "team": "shop" },
        "annotations": { (keys::CLIENT_ID_ANNOTATION): "client", (keys::TENANT_ID_ANNOTATION): "tenant" },
        "managedFields": entries,
    }))
}

#[test]
fn what_other_managers_hold_of_what_we_write_is_told_with_its_value() {
    let told = |entries: &[Value]| -> Vec<(&'static str, Held)> { held(&managed_by(entries)).into_iter().collect() };
    let by = |manager: &str, value: &str| Held {
        manager: manager.to_owned(),
        value: value.to_owned(),
    };
    assert_eq!(
        told(&[
            entry("helm", "f:labels", keys::BOUND_BY_LABEL),
            entry("argocd", "f:annotations", keys::CLIENT_ID_ANNOTATION),
        ]),
        [
            (keys::CLIENT_ID_ANNOTATION, by("argocd", "client")),
            (keys::BOUND_BY_LABEL, by("helm", "uid")),
        ]
    );
    for (what, nothing) in [
        (
            "we hold it",
            entry(keys::FIELD_MANAGER, "f:annotations", keys::CLIENT_ID_ANNOTATION),
        ),
        ("we do not write it", entry("helm", "f:labels", "team")),
        (
            "it has no value",
            entry("helm", "f:annotations", keys::TOKEN_EXPIRATION_ANNOTATION),
        ),
        ("it is no label", entry("helm", "f:labels", keys::CLIENT_ID_ANNOTATION)),
        ("it holds nothing", json!({ "manager": "helm" })),
    ] {
        assert_eq!(told(&[nothing]), [], "{what}");
    }
}

#[test]
fn an_annotation_is_ours_when_our_manager_holds_it() {
    let lifetime = keys::TOKEN_EXPIRATION_ANNOTATION;
    for (ours, of) in [
        (true, entry(keys::FIELD_MANAGER, "f:annotations", lifetime)),
        (false, entry("helm", "f:annotations", lifetime)),
        (false, entry(keys::FIELD_MANAGER, "f:labels", lifetime)),
        (
            false,
            entry(keys::FIELD_MANAGER, "f:annotations", keys::CLIENT_ID_ANNOTATION),
        ),
    ] {
        assert_eq!(
            is_annotated_by_us(&managed_by(std::slice::from_ref(&of)), lifetime),
            ours,
            "{of}"
        );
    }
    assert!(!is_annotated_by_us(&ObjectMeta::default(), lifetime));
}
