//! What may still be taken away after something could not be.

use wio_core::fault::{AzureAnswer, AzureCause, AzureFault, Fault, KubernetesCause, KubernetesFault};
use wio_core::plan::{Obstacles, Revocation};

use crate::given::{SUBSCRIPTION, name};
use crate::plan_roles::GROUP;

fn answered(status: u16, code: &str) -> Fault {
    azure(AzureCause::Answer(AzureAnswer {
        status,
        code: code.to_owned(),
        ..AzureAnswer::default()
    }))
}

fn azure(cause: AzureCause) -> Fault {
    Fault::Azure(AzureFault {
        operation: "take something away".to_owned(),
        cause,
    })
}

fn role(scope: &str) -> Revocation {
    Revocation::DeleteRoleAssignment {
        scope: name(scope),
        name: uuid::Uuid::from_u128(7).into(),
    }
}

fn release() -> Revocation {
    Revocation::ReleaseServiceAccount {
        name: name("orders"),
        uid: name("uid"),
        label: name("label"),
        delete: false,
    }
}

/// The steps that may still be tried after the first credential could not be deleted.
fn left(fault: Fault) -> [bool; 4] {
    let mut obstacles = Obstacles::default();
    obstacles.meet(&Revocation::DeleteCredential(name("first")), fault);
    let second = Revocation::DeleteCredential(name("second"));
    [second, role(GROUP), release(), Revocation::DeleteIdentity].map(|step| obstacles.allow(&step))
}

/// A lock on one credential kept a second one, the roles and the annotations standing for as long as it was there.
#[test]
fn a_refusal_of_one_object_stops_no_other_and_keeps_the_identity() {
    let conflict = Fault::Kubernetes(KubernetesFault {
        operation: "let go of it".to_owned(),
        cause: KubernetesCause::FieldsHeld(Vec::new()),
    });
    for fault in [
        answered(409, "ScopeLocked"),
        answered(403, "AuthorizationFailed"),
        answered(400, "Odd"),
        conflict,
    ] {
        assert_eq!(left(fault.clone()), [true, true, true, false], "{fault}");
    }
}

#[test]
fn a_place_that_is_throttled_or_away_is_left_alone_and_others_are_tried() {
    for fault in [
        answered(429, "TooManyRequests"),
        answered(503, ""),
        azure(AzureCause::Timeout),
    ] {
        assert_eq!(left(fault.clone()), [false, true, true, false], "{fault}");
    }
    let mut obstacles = Obstacles::default();
    obstacles.meet(&role(GROUP), answered(429, ""));
    let subscription = format!("/subscriptions/{SUBSCRIPTION}");
    let other = "/subscriptions/00000000-0000-4000-8000-00000000000b/resourceGroups/other";
    assert_eq!(
        [role(&subscription), role(other)].map(|step| obstacles.allow(&step)),
        [false, true]
    );
}

#[test]
fn without_a_token_only_the_cluster_is_left() {
    let fault = azure(AzureCause::Credential("no".to_owned()));
    assert_eq!(left(fault), [false, false, true, false]);
}

#[test]
fn nothing_is_given_while_something_of_azure_stands() {
    let mut obstacles = Obstacles::default();
    assert!(!obstacles.bar_grants());
    obstacles.meet(
        &release(),
        Fault::Kubernetes(KubernetesFault {
            operation: "let go of it".to_owned(),
            cause: KubernetesCause::Transport("away".to_owned()),
        }),
    );
    assert!(!obstacles.bar_grants());
    obstacles.meet(&role(GROUP), answered(409, "ScopeLocked"));
    assert!(obstacles.bar_grants());
    assert_eq!(obstacles.into_faults().len(), 2);
}
