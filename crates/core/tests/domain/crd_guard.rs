//! What disappears all at once is taken for an accident, and what goes one by one is not.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use serde_json::json;
use wio_api::{Reason, WorkloadIdentityBinding, WorkloadIdentityBindingStatus};
use wio_core::authorize::NotPermitted;
use wio_core::crd_guard::{CrdState, Crds, PoliciesLeft};
use wio_testkit::fixtures::binding;

fn at(time: &str) -> Time {
    Time(time.parse().unwrap())
}

fn standing_since(time: &str) -> CrdState {
    CrdState::of(Some(&ObjectMeta {
        creation_timestamp: Some(at(time)),
        ..ObjectMeta::default()
    }))
}

fn stands() -> CrdState {
    standing_since("2026-01-01T00:00:00Z")
}

/// A definition that is being deleted, with the annotation's value.
fn going(annotation: Option<&str>) -> CrdState {
    let metadata = json!({
        "deletionTimestamp": "2026-02-01T00:00:00Z",
        "annotations": annotation.map(|value| json!({ "workloadidentity.dev/allow-deletion": value })),
    });
    CrdState::of(Some(&serde_json::from_value(metadata).unwrap()))
}

fn both(bindings: CrdState, policies: CrdState) -> Crds {
    Crds { bindings, policies }
}

fn allowed_by(names: &[&str]) -> WorkloadIdentityBinding {
    let mut object = binding("shop", "orders")
        .status(WorkloadIdentityBindingStatus {
            authorized_by: names.iter().map(|&name| name.to_owned()).collect(),
            ..WorkloadIdentityBindingStatus::default()
        })
        .build();
    object.metadata.creation_timestamp = Some(at("2026-01-15T00:00:00Z"));
    object
}

fn left(bindings: &[WorkloadIdentityBinding]) -> PoliciesLeft {
    PoliciesLeft::none(|holds| bindings.iter().find(|binding| holds(binding)))
}

fn denied(definitions: &Crds, bindings: &[WorkloadIdentityBinding]) -> Result<(), String> {
    let why = NotPermitted {
        field: "spec.identity".to_owned(),
        message: "no policy allows it".to_owned(),
    };
    definitions
        .denial(&bindings[0], &left(bindings), &why)
        .map_err(|blocked| {
            assert_eq!(blocked.reason, Reason::MassDisappearance);
            blocked.message
        })
}

#[test]
fn a_definition_that_goes_withholds_deletions_and_denials_unless_that_is_meant() {
    for (definitions, go_on, said) in [
        (both(stands(), stands()), true, ""),
        (both(going(Some("true")), stands()), true, ""),
        (both(going(Some("true")), going(Some("true"))), true, ""),
        (
            both(going(None), stands()),
            false,
            "kubectl annotate crd workloadidentitybindings.workloadidentity.dev workloadidentity.dev/allow-deletion=true",
        ),
        (both(going(Some("yes")), stands()), false, "WorkloadIdentityBindings"),
        (
            both(going(Some("true")), going(None)),
            false,
            "kubectl annotate crd workloadidentitypolicies.workloadidentity.dev workloadidentity.dev/allow-deletion=true",
        ),
        (both(CrdState::Gone, stands()), false, "does not exist"),
        (
            both(stands(), CrdState::Gone),
            false,
            "one WorkloadIdentityPolicy, which may allow nothing",
        ),
    ] {
        let verdicts = [
            definitions.deletion().map_err(|blocked| blocked.message),
            denied(&definitions, &[allowed_by(&["a"])]),
        ];
        for verdict in verdicts {
            match verdict {
                Ok(()) => assert!(go_on, "{definitions:?}"),
                Err(message) => assert!(!go_on && message.contains(said), "{definitions:?}: {message}"),
            }
        }
    }
}

#[test]
fn the_annotation_means_nothing_on_a_definition_that_stands() {
    let annotated = json!({ "annotations": { "workloadidentity.dev/allow-deletion": "true" } });
    let annotated = CrdState::of(Some(&serde_json::from_value(annotated).unwrap()));
    let bindings = [allowed_by(&["a"]), allowed_by(&["b"])];
    assert!(denied(&both(stands(), annotated), &bindings).is_err());
}

#[test]
fn two_policies_that_stood_together_do_not_go_together() {
    let cases: [(&[&[&str]], bool); 6] = [
        (&[&[]], true),
        (&[&["a"]], true),
        (&[&["a"], &["a"], &[]], true),
        (&[&["a", "b"]], false),
        (&[&[], &["a"], &["a"], &["b"]], false),
        (&[&["b"], &["a", "b"]], false),
    ];
    for (named, go_on) in cases {
        let bindings: Vec<_> = named.iter().map(|names| allowed_by(names)).collect();
        match denied(&both(stands(), stands()), &bindings) {
            Ok(()) => assert!(go_on, "{named:?}"),
            Err(message) => {
                assert!(!go_on, "{named:?}");
                for part in [
                    "a, b",
                    "create one WorkloadIdentityPolicy",
                    "spec.identity is not permitted",
                ] {
                    assert!(message.contains(part), "{part}: {message}");
                }
            }
        }
    }
}

#[test]
fn while_a_policy_is_left_denials_go_on() {
    let why = NotPermitted {
        field: "spec.identity".to_owned(),
        message: "no policy allows it".to_owned(),
    };
    let verdict = both(stands(), stands()).denial(&allowed_by(&["a", "b"]), &PoliciesLeft::Some, &why);
    assert_eq!(verdict, Ok(()));
}

/// The definition was deleted with the one policy that there was, and created anew; the policy is to come a moment later.
#[test]
fn a_definition_younger_than_the_binding_took_its_policies_with_it() {
    for (since, names, go_on) in [
        ("2026-01-14T00:00:00Z", &["a"][..], true),
        ("2026-01-15T00:00:00Z", &["a"][..], true),
        ("2026-01-16T00:00:00Z", &["a"][..], false),
        // It has nothing by a policy.
        ("2026-01-16T00:00:00Z", &[][..], true),
    ] {
        let verdict = denied(&both(stands(), standing_since(since)), &[allowed_by(names)]);
        assert_eq!(verdict.is_ok(), go_on, "{since} {names:?}: {verdict:?}");
    }
}

#[test]
fn the_names_are_those_of_the_definitions() {
    let names = [wio_api::crd(), wio_api::policy_crd()].map(|definition| definition.metadata.name.unwrap());
    assert_eq!(names, Crds::NAMES);
}
