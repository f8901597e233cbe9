//! The table of what an error means, row by row.

use std::time::Duration;

use wio_api::Reason;
use wio_core::disposition::{Disposition, MAX_RETRY_AFTER, disposition};
use wio_core::fault::{AzureAnswer, AzureCause, AzureFault, Fault};

use crate::given::{VAULT, name};

fn azure(cause: AzureCause) -> Disposition {
    disposition(&Fault::Azure(AzureFault {
        operation: "write".to_owned(),
        cause,
    }))
}

fn answered(status: u16, code: &str, retry_after: Option<Duration>) -> Disposition {
    azure(AzureCause::Answer(AzureAnswer {
        status,
        code: code.to_owned(),
        retry_after,
        ..AzureAnswer::default()
    }))
}

const fn retry(reason: Reason) -> Disposition {
    Disposition::Retry { reason, after: None }
}

const fn wait(reason: Reason) -> Disposition {
    Disposition::Wait { reason }
}

const fn stalled(reason: Reason) -> Disposition {
    Disposition::Stalled { reason }
}

#[test]
fn each_code_of_azure_means_what_the_table_says() {
    for (status, code, meaning) in [
        // Right after a write, until it has spread.
        (404, "ParentResourceNotFound", wait(Reason::ReplicationPending)),
        (
            404,
            "MsGraphResourceNotFoundOnFederatedIdentityCredentialCreation",
            wait(Reason::ReplicationPending),
        ),
        (400, "PrincipalNotFound", wait(Reason::PrincipalNotFound)),
        (500, "InternalServerError", retry(Reason::AzureUnavailable)),
        (503, "ServiceUnavailable", retry(Reason::AzureUnavailable)),
        // Other writers and full budgets.
        (
            409,
            "ConcurrentFederatedIdentityCredentialsWritesForSingleManagedIdentity",
            wait(Reason::ConcurrentWrites),
        ),
        (409, "Conflict", retry(Reason::ConcurrentWrites)),
        (429, "TooManyRequests", retry(Reason::Throttled)),
        (429, "SubscriptionRequestsThrottled", retry(Reason::Throttled)),
        // Until somebody acts.
        (403, "AuthorizationFailed", stalled(Reason::AuthorizationFailed)),
        (403, "LinkedAuthorizationFailed", stalled(Reason::AuthorizationFailed)),
        (403, "RequestDisallowedByPolicy", stalled(Reason::DisallowedByPolicy)),
        (409, "ScopeLocked", stalled(Reason::ScopeLocked)),
        (405, "MethodNotAllowed", stalled(Reason::RegionUnsupported)),
        (400, "InvalidParameter", stalled(Reason::AzureRejected)),
        (400, "BadRequest", stalled(Reason::AzureRejected)),
        (
            400,
            "RoleAssignmentLimitExceeded",
            stalled(Reason::RoleAssignmentLimitExceeded),
        ),
        // An equal one is there, and the look after it did not show it yet.
        (409, "RoleAssignmentExists", wait(Reason::RoleAssignmentExists)),
        (
            400,
            "RoleAssignmentUpdateNotPermitted",
            stalled(Reason::RoleAssignmentConflict),
        ),
        (404, "ResourceGroupNotFound", stalled(Reason::ResourceGroupNotFound)),
        (404, "SubscriptionNotFound", stalled(Reason::ResourceGroupNotFound)),
        // The world moved on under our feet.
        (404, "ResourceNotFound", retry(Reason::IdentityNotFound)),
        (401, "InvalidAuthenticationToken", retry(Reason::CredentialUnavailable)),
        // What has no code of its own.
        (307, "", retry(Reason::AzureUnavailable)),
        (408, "", retry(Reason::AzureUnavailable)),
        (418, "", stalled(Reason::AzureRejected)),
        (502, "", retry(Reason::AzureUnavailable)),
        (504, "GatewayTimeout", retry(Reason::AzureUnavailable)),
    ] {
        assert_eq!(answered(status, code, None), meaning, "{status} {code}");
    }
}

#[test]
fn what_is_no_answer_is_tried_again_unless_it_was_refused_here() {
    for (cause, meaning) in [
        (AzureCause::Timeout, retry(Reason::AzureUnavailable)),
        (
            AzureCause::Transport("reset".to_owned()),
            retry(Reason::AzureUnavailable),
        ),
        (
            AzureCause::Malformed("html".to_owned()),
            retry(Reason::AzureUnavailable),
        ),
        // Codes of Entra are hints: every one of them can pass.
        (
            AzureCause::Credential("AADSTS70021".to_owned()),
            retry(Reason::CredentialUnavailable),
        ),
        (
            AzureCause::Refused("foreign host".to_owned()),
            stalled(Reason::RequestRefused),
        ),
        (
            AzureCause::RoleAccessDenied {
                action: "Microsoft.Authorization/roleAssignments/write",
                scope: name(VAULT),
            },
            stalled(Reason::RoleAccessDenied),
        ),
        (
            AzureCause::RoleScopeNotFound(name(VAULT)),
            stalled(Reason::RoleScopeNotFound),
        ),
    ] {
        assert_eq!(azure(cause.clone()), meaning, "{cause:?}");
    }
}

#[test]
fn a_pause_that_azure_asks_for_is_kept_and_bounded() {
    for status in [408, 409, 429, 500, 503] {
        for (asked, kept) in [
            (Duration::from_secs(17), Duration::from_secs(17)),
            (MAX_RETRY_AFTER, MAX_RETRY_AFTER),
            (Duration::from_secs(u64::MAX), MAX_RETRY_AFTER),
        ] {
            let Disposition::Retry { after, .. } = answered(status, "", Some(asked)) else {
                panic!("{status} is retried");
            };
            assert_eq!(after, Some(kept), "{status}");
        }
    }
}
