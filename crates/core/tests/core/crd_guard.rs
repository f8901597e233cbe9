//! What disappears all at once is taken for an accident, and what goes one by one is not.

use std::collections::BTreeSet;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use wio_api::{IdentityOrigin, IdentityStatus, Reason, WorkloadIdentityBindingStatus};
use wio_core::authorize::NotPermitted;
use wio_core::binding::Binding;
use wio_core::crd_guard::{CrdState, Crds, PoliciesLeft, shares_identity};
use wio_core::policy::{Policies, Vanished, Vanishing};
use wio_testkit::fixtures::binding;

use crate::given::{EXISTING, UID, name, parsed};

fn standing_since(time: &str) -> CrdState {
    CrdState::Stands {
        since: Some(time.parse().unwrap()),
    }
}

fn stands() -> CrdState {
    standing_since("2026-01-01T00:00:00Z")
}

const MEANT: CrdState = CrdState::Going { meant: true };
const NOT_MEANT: CrdState = CrdState::Going { meant: false };

fn both(bindings: CrdState, policies: CrdState) -> Crds {
    Crds { bindings, policies }
}

fn allowed_by(names: &[&str]) -> Binding {
    let mut object = binding("shop", "orders")
        .uid(UID)
        .status(WorkloadIdentityBindingStatus {
            authorized_by: names.iter().map(|&name| name.to_owned()).collect(),
            ..WorkloadIdentityBindingStatus::default()
        })
        .build();
    object.metadata.creation_timestamp = Some(Time("2026-01-15T00:00:00Z".parse().unwrap()));
    parsed(&object)
}

/// No policy is left of these, which went long ago.
fn left(stood: &[&str]) -> PoliciesLeft {
    let mut vanishing = Vanishing::default();
    vanishing.learn(stood.iter().map(|text| name(text)).collect(), BTreeSet::new(), None);
    vanishing.see(&Policies::default(), Duration::ZERO);
    vanishing.prove(BTreeSet::new());
    PoliciesLeft {
        any: false,
        vanished: vanishing.see(&Policies::default(), Duration::from_hours(1)),
    }
}

fn some_left() -> PoliciesLeft {
    PoliciesLeft {
        any: true,
        vanished: Vanished::None,
    }
}

fn denied(definitions: &Crds, binding: &Binding, left: &PoliciesLeft) -> Result<(), String> {
    let why = NotPermitted {
        field: "spec.identity".to_owned(),
        message: "no policy allows it".to_owned(),
        awaits_policy: true,
    };
    definitions.confirm_denial(binding, left, &why).map_err(|blocked| {
        assert_eq!(blocked.reason, Reason::MassDisappearance);
        blocked.message
    })
}

#[test]
fn a_definition_that_goes_withholds_deletions_and_denials_unless_that_is_meant() {
    for (definitions, go_on, said) in [
        (both(stands(), stands()), true, ""),
        (both(MEANT, stands()), true, ""),
        (both(MEANT, MEANT), true, ""),
        (
            both(NOT_MEANT, stands()),
            false,
            "kubectl annotate crd workloadidentitybindings.workloadidentity.dev workloadidentity.dev/allow-deletion=true",
        ),
        (both(NOT_MEANT, stands()), false, "WorkloadIdentityBindings"),
        (
            both(MEANT, NOT_MEANT),
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
            definitions.confirm().map_err(|blocked| blocked.message),
            denied(&definitions, &allowed_by(&["a"]), &left(&["a"])),
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
fn that_all_may_go_is_said_on_a_definition_that_goes_and_by_none_that_stands() {
    for (policies, go_on) in [
        (stands(), false),
        (CrdState::Stands { since: None }, false),
        (NOT_MEANT, false),
        (MEANT, true),
    ] {
        let verdict = denied(
            &both(stands(), policies.clone()),
            &allowed_by(&["a"]),
            &left(&["a", "b"]),
        );
        assert_eq!(verdict.is_ok(), go_on, "{policies:?}: {verdict:?}");
    }
}

#[test]
fn what_rests_on_policies_that_vanished_together_is_held_and_says_what_it_would_lose() {
    for (stood, allowed, go_on) in [
        (&["a"][..], &["a"][..], true),
        (&["a", "b"], &[], true),
        (&["a", "b"], &["a"], false),
        (&["a", "b"], &["b", "c"], false),
        (&["a", "b"], &["c"], true),
    ] {
        match denied(&both(stands(), stands()), &allowed_by(allowed), &left(stood)) {
            Ok(()) => assert!(go_on, "{stood:?} {allowed:?}"),
            Err(message) => {
                assert!(!go_on, "{stood:?} {allowed:?}");
                for part in ["a, b", "confirm-loss=", "spec.identity is not permitted"] {
                    assert!(message.contains(part), "{part}: {message}");
                }
            }
        }
    }
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
        let verdict = denied(
            &both(stands(), standing_since(since)),
            &allowed_by(names),
            &left(&["a"]),
        );
        assert_eq!(verdict.is_ok(), go_on, "{since} {names:?}: {verdict:?}");
    }
}

fn having(namespace: &str, uid: &str, identity: Option<&str>, allowed_by: &[&str]) -> Binding {
    let status = WorkloadIdentityBindingStatus {
        authorized_by: allowed_by.iter().map(|&name| name.to_owned()).collect(),
        identity: identity.map(|id| IdentityStatus {
            resource_id: id.to_owned(),
            name: String::new(),
            client_id: None,
            principal_id: None,
            tenant_id: None,
            origin: IdentityOrigin::Referenced,
        }),
        ..WorkloadIdentityBindingStatus::default()
    };
    parsed(&binding(namespace, uid).uid(uid).status(status).build())
}

#[test]
fn an_identity_is_shared_with_another_binding_of_the_namespace_that_has_it_by_a_policy() {
    let own = having("shop", "own", Some(EXISTING), &[]);
    let shouted = EXISTING.to_uppercase();
    let elsewhere = EXISTING.replace("billing", "bank");
    let mut going = having("shop", "b", Some(EXISTING), &["a"]);
    going.lifecycle.deleting = true;
    for (what, other, shared) in [
        ("one that is to go", going, false),
        ("the same", having("shop", "b", Some(&shouted), &["a"]), true),
        ("itself", having("shop", "own", Some(EXISTING), &["a"]), false),
        ("another namespace", having("bank", "b", Some(EXISTING), &["a"]), false),
        ("without a policy", having("shop", "b", Some(EXISTING), &[]), false),
        ("another identity", having("shop", "b", Some(&elsewhere), &["a"]), false),
        ("no identity", having("shop", "b", None, &["a"]), false),
    ] {
        assert_eq!(shares_identity(&own, None, &other), shared, "{what}");
    }
    let without = having("shop", "own", None, &[]);
    assert!(!shares_identity(&without, None, &having("shop", "b", None, &["a"])));
}

/// The others would lose the identity with the one that goes first.
#[test]
fn what_is_shared_stays_while_the_others_wait_for_policies_that_vanished() {
    let own = allowed_by(&["a"]);
    let others_by = BTreeSet::from([name("b")]);
    let confirmed = |crds: &Crds, left: &PoliciesLeft| crds.confirm_deletion_of_shared(&own, &others_by, left);
    let blocked = confirmed(&both(stands(), stands()), &left(&["a", "b"])).unwrap_err();
    assert_eq!(blocked.reason, Reason::MassDisappearance);
    for part in ["a, b", "confirm-loss=", "would lose it with this one"] {
        assert!(blocked.message.contains(part), "{part}: {}", blocked.message);
    }
    confirmed(&both(stands(), stands()), &some_left()).unwrap();
    confirmed(&both(stands(), MEANT), &left(&["a", "b"])).unwrap();
    confirmed(&both(NOT_MEANT, stands()), &some_left()).unwrap_err();
}

/// A definition that is created anew took all bindings with it, and what they had looks like nobody's.
#[test]
fn orphans_of_bindings_that_went_with_their_definition_are_held_until_some_are_there() {
    let (early, late) = ("2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z");
    let anew = both(standing_since(late), standing_since(early));
    let blocked = anew.confirm_orphans(0).unwrap_err();
    assert_eq!(blocked.reason, Reason::MassDisappearance);
    assert!(blocked.message.contains("created anew"), "{}", blocked.message);
    anew.confirm_orphans(1).unwrap();
    both(standing_since(early), standing_since(early))
        .confirm_orphans(0)
        .unwrap();
    both(standing_since(early), standing_since(late))
        .confirm_orphans(0)
        .unwrap();
    both(stands(), NOT_MEANT).confirm_orphans(1).unwrap_err();
}

#[test]
fn the_names_are_those_of_the_definitions() {
    let names = [wio_api::crd(), wio_api::policy_crd()].map(|definition| definition.metadata.name.unwrap());
    assert_eq!(names, Crds::NAMES);
}
