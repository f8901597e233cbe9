//! Which of Azure's words prove that something is gone.

use wio_core::absence::{Absence, Kind};
use wio_core::fault::{AzureAnswer, AzureCause};

const KINDS: [Kind; 4] = [Kind::Identity, Kind::Credential, Kind::RoleAssignment, Kind::Scope];

fn proven(kind: Kind, status: u16, code: &str) -> bool {
    let cause = AzureCause::Answer(AzureAnswer {
        status,
        code: code.to_owned(),
        ..AzureAnswer::default()
    });
    Absence::proven(kind, &cause).is_some()
}

#[test]
fn a_404_proves_an_absence_only_by_a_code_that_means_gone() {
    use Kind::{Credential, Identity, RoleAssignment, Scope};
    let table: [(&str, &[Kind]); 14] = [
        ("ResourceNotFound", &[Identity, Credential, RoleAssignment, Scope]),
        ("ResourceGroupNotFound", &[Identity, Credential, RoleAssignment, Scope]),
        ("ParentResourceNotFound", &[Credential, RoleAssignment, Scope]),
        ("NotFound", &[Credential]),
        ("RoleAssignmentNotFound", &[RoleAssignment]),
        // About an api-version that the cloud lacks, or a provider that it does not know.
        ("InvalidResourceType", &[]),
        ("InvalidResourceNamespace", &[]),
        // About what may only be invisible.
        ("SubscriptionNotFound", &[]),
        ("MissingSubscription", &[]),
        ("InvalidAuthenticationTokenTenant", &[]),
        // About a role, and not about its assignment.
        ("RoleDefinitionDoesNotExist", &[]),
        // About the identity, which is not known everywhere yet.
        ("MsGraphResourceNotFoundOnFederatedIdentityCredentialCreation", &[]),
        // A proxy's.
        ("404", &[]),
        ("", &[]),
    ];
    for (code, gone) in table {
        for kind in KINDS {
            assert_eq!(proven(kind, 404, code), gone.contains(&kind), "{code} of {kind:?}");
            for status in [200, 400, 401, 403, 409, 410, 500] {
                assert!(!proven(kind, status, code), "{status} {code}");
            }
        }
    }
}

#[test]
fn silence_proves_nothing() {
    for kind in KINDS {
        for cause in [
            AzureCause::Timeout,
            AzureCause::Transport("reset".to_owned()),
            AzureCause::Malformed("ResourceNotFound".to_owned()),
        ] {
            assert_eq!(Absence::proven(kind, &cause), None, "{cause:?}");
        }
    }
}

#[test]
fn the_proof_of_an_absence_is_the_code_that_azure_gave() {
    let cause = AzureCause::Answer(AzureAnswer {
        status: 404,
        code: "ParentResourceNotFound".to_owned(),
        ..AzureAnswer::default()
    });
    let proof = Absence::proven(Kind::Scope, &cause).unwrap();
    assert_eq!(proof.code(), "ParentResourceNotFound");
}
