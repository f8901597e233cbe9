//! The table of what an error means, row by row.

use std::collections::BTreeSet;
use std::time::Duration;

use wio_api::{ConditionType, Reason};
use wio_core::fault::{AzureAnswer, AzureCause, AzureFault, Blocked, Fault, KubernetesCause, KubernetesFault};
use wio_core::reasons::{Backoff, Disposition, Doubt, Kind, MAX_RETRY_AFTER, Voice, disposition, facts, refuses_token};

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
        (409, "Conflict", retry(Reason::AzureConflict)),
        (409, "", retry(Reason::AzureConflict)),
        (409, "NeverHeardOf", retry(Reason::AzureConflict)),
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
        (
            409,
            "ResourceGroupBeingDeleted",
            wait(Reason::ResourceGroupBeingDeleted),
        ),
        (404, "SubscriptionNotFound", stalled(Reason::SubscriptionNotFound)),
        (
            409,
            "ReadOnlyDisabledSubscription",
            stalled(Reason::SubscriptionDisabled),
        ),
        (
            409,
            "MissingSubscriptionRegistration",
            stalled(Reason::ProviderNotRegistered),
        ),
        (409, "InvalidResourceLocation", stalled(Reason::AzureRejected)),
        (401, "InvalidAuthenticationTokenTenant", stalled(Reason::ForeignTenant)),
        (401, "InvalidAuthenticationTokenAudience", stalled(Reason::WrongCloud)),
        (
            403,
            "DenyAssignmentAuthorizationFailed",
            stalled(Reason::DeniedByAssignment),
        ),
        (415, "UnsupportedMediaType", stalled(Reason::RequestAltered)),
        // The world moved on under our feet.
        (404, "ResourceNotFound", retry(Reason::IdentityVanished)),
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

/// A binding with a subscription of another tenant had the operator fetch a new token, for everybody, at each of its tries.
#[test]
fn a_token_is_replaced_only_when_azure_has_no_use_for_it() {
    let refuses = |code: &str| {
        refuses_token(&AzureAnswer {
            status: 401,
            code: code.to_owned(),
            ..AzureAnswer::default()
        })
    };
    for code in ["", "InvalidAuthenticationToken", "ExpiredAuthenticationToken"] {
        assert!(refuses(code), "{code}");
    }
    for code in ["InvalidAuthenticationTokenTenant", "InvalidAuthenticationTokenAudience"] {
        assert!(!refuses(code), "{code}");
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
        // Nobody can mend it in the binding, and it passes with the next renewal of the lease.
        (
            AzureCause::NotAdmitted,
            Disposition::Wait {
                reason: Reason::NotDecided,
            },
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

/// Every reason by what is done about it.
const RETRIED: [Reason; 6] = [
    Reason::Throttled,
    Reason::AzureUnavailable,
    Reason::AzureConflict,
    Reason::CredentialUnavailable,
    Reason::IdentityVanished,
    Reason::KubernetesUnavailable,
];
const AWAITED: [Reason; 24] = [
    Reason::TokenExchangeAwaited,
    Reason::TokenExchangeNotTried,
    Reason::Succeeded,
    Reason::Progressing,
    Reason::ProgressingWithRetry,
    Reason::Deleting,
    Reason::PolicyAwaited,
    Reason::NotDecided,
    Reason::MassDisappearance,
    Reason::ClientIdChanged,
    Reason::DriftCorrected,
    Reason::IssuerUnconfirmed,
    Reason::IssuerChanged,
    Reason::ClusterIdShared,
    Reason::ReplicationPending,
    Reason::ConcurrentWrites,
    Reason::ResourceGroupBeingDeleted,
    Reason::RoleAssignmentExists,
    Reason::PrincipalNotFound,
    Reason::ServiceAccountNotFound,
    Reason::NamespaceTerminating,
    Reason::PodsWithoutToken,
    Reason::PodsNotSeen,
    Reason::WorkloadRestarted,
];

#[test]
fn every_reason_is_of_one_kind_and_the_pauses_grow_as_that_kind_asks() {
    for reason in Reason::ALL.iter().copied() {
        let facts = facts(reason);
        let kind = match (RETRIED.contains(&reason), AWAITED.contains(&reason)) {
            (true, false) => Kind::Retry,
            (false, true) => Kind::Wait,
            (false, false) => Kind::Stalled,
            (true, true) => panic!("{reason} is retried and awaited"),
        };
        assert_eq!(facts.kind, kind, "{reason}");
        let backoff = match kind {
            Kind::Retry => Backoff::Transient,
            Kind::Wait if reason == Reason::TokenExchangeAwaited => Backoff::Exchange,
            Kind::Wait if reason == Reason::TokenExchangeNotTried => Backoff::Transient,
            Kind::Wait => Backoff::Replication,
            // An API server that has just started forbids what it allows a second later.
            Kind::Stalled if [Reason::KubernetesRejected, Reason::TokenRequestForbidden].contains(&reason) => {
                Backoff::Forbidden
            }
            Kind::Stalled => Backoff::Stalled,
        };
        assert_eq!(facts.backoff, backoff, "{reason}");
        let after = Some(Duration::from_secs(1));
        let disposition = Disposition::of(reason, after);
        assert_eq!(disposition.reason(), reason);
        assert_eq!(
            disposition,
            match kind {
                Kind::Retry => Disposition::Retry { reason, after },
                Kind::Wait => wait(reason),
                Kind::Stalled => stalled(reason),
            }
        );
    }
}

#[test]
fn a_new_binding_waits_for_what_others_may_still_be_creating_and_is_looked_at_often() {
    let awaited = [
        Reason::IdentityNotFound,
        Reason::RoleScopeNotFound,
        Reason::ResourceGroupNotFound,
    ];
    for reason in Reason::ALL.iter().copied() {
        let disposition = Disposition::of(reason, None);
        let of_new = disposition.of_new_binding();
        let waits = awaited.contains(&reason);
        assert_eq!(of_new, if waits { wait(reason) } else { disposition }, "{reason}");
        assert_eq!(disposition.backoff(), facts(reason).backoff, "{reason}");
        if waits {
            assert_eq!(of_new.backoff(), Backoff::Replication, "{reason}");
        }
    }
}

#[test]
fn what_blocks_is_of_the_kind_of_its_reason() {
    for reason in Reason::ALL.iter().copied() {
        let blocked = Fault::Blocked(Blocked {
            reason,
            message: String::new(),
        });
        assert_eq!(disposition(&blocked), Disposition::of(reason, None));
    }
}

/// Every reason that an answer or its absence can have, of Azure and of the API server.
fn of_faults() -> (BTreeSet<Reason>, BTreeSet<Reason>) {
    const CODES: [&str; 22] = [
        "",
        "ParentResourceNotFound",
        "MsGraphResourceNotFoundOnFederatedIdentityCredentialCreation",
        "NotFound",
        "PrincipalNotFound",
        "RoleAssignmentExists",
        "ConcurrentFederatedIdentityCredentialsWritesForSingleManagedIdentity",
        "ScopeLocked",
        "RequestDisallowedByPolicy",
        "RoleAssignmentLimitExceeded",
        "RoleAssignmentUpdateNotPermitted",
        "ResourceGroupNotFound",
        "ResourceGroupBeingDeleted",
        "SubscriptionNotFound",
        "ReadOnlyDisabledSubscription",
        "MissingSubscriptionRegistration",
        "InvalidResourceLocation",
        "InvalidAuthenticationTokenTenant",
        "InvalidAuthenticationTokenAudience",
        "DenyAssignmentAuthorizationFailed",
        "UnsupportedMediaType",
        "Unheard",
    ];
    let of_answers = CODES
        .iter()
        .flat_map(|code| (0..1000).map(move |status| answered(status, code, None)));
    let of_others = [
        AzureCause::Timeout,
        AzureCause::Transport(String::new()),
        AzureCause::Malformed(String::new()),
        AzureCause::Credential(String::new()),
        AzureCause::Refused(String::new()),
        AzureCause::NotAdmitted,
        AzureCause::RoleAccessDenied {
            action: "x",
            scope: name(VAULT),
        },
        AzureCause::RoleScopeNotFound(name(VAULT)),
    ];
    let of_azure = of_answers.chain(of_others.map(azure)).map(Disposition::reason);
    let kubernetes = |cause| {
        let operation = "write".to_owned();
        disposition(&Fault::Kubernetes(KubernetesFault { operation, cause })).reason()
    };
    let of_server = (0..1000).map(|status| KubernetesCause::Answer {
        status,
        reason: String::new(),
        message: String::new(),
    });
    let of_others = [
        KubernetesCause::FieldsHeld(Vec::new()),
        KubernetesCause::NamespaceTerminating,
        KubernetesCause::Transport(String::new()),
        KubernetesCause::Malformed(String::new()),
    ];
    (of_azure.collect(), of_server.chain(of_others).map(kubernetes).collect())
}

#[test]
fn whoever_reads_of_an_error_reads_what_to_do_unless_its_own_words_say_so() {
    let (of_azure, of_kubernetes) = of_faults();
    // Nobody can do anything about the first; the words of the others tell the way out, or that there is none.
    let silent = [
        Reason::NotDecided,
        Reason::RequestRefused,
        Reason::ServiceAccountConflict,
        Reason::NamespaceTerminating,
    ];
    for reason in Reason::ALL.iter().copied() {
        let of_fault = of_azure.contains(&reason) || of_kubernetes.contains(&reason);
        let told = facts(reason).next_step;
        assert_eq!(
            told.is_some(),
            of_fault && !silent.contains(&reason),
            "{reason}: {told:?}"
        );
        let good = |step: &str| step.starts_with(char::is_uppercase) && !step.ends_with('.');
        assert!(told.is_none_or(good), "{reason}: {told:?}");
    }
}

#[test]
fn a_reason_speaks_of_the_part_that_it_is_about() {
    use ConditionType::{
        FederatedCredentialsReady, IdentityReady, RoleAssignmentsReady, ServiceAccountsReady, TokenExchangeVerified,
        WorkloadsReady,
    };
    let parts: [(ConditionType, &[Reason]); 7] = [
        (
            TokenExchangeVerified,
            &[
                Reason::TokenExchangeAwaited,
                Reason::TokenExchangeRefused,
                Reason::TokenExchangeNotTried,
                Reason::TokenRequestForbidden,
            ],
        ),
        // Ready does not rest on them.
        (WorkloadsReady, &[Reason::PodsWithoutToken, Reason::PodsNotSeen]),
        // Of no part: tokens work all the same.
        (ConditionType::Ready, &[Reason::ExportConflict]),
        (
            IdentityReady,
            &[
                Reason::IdentityNotOwned,
                Reason::IdentityNotFound,
                Reason::IdentityVanished,
                Reason::IdentityMoved,
            ],
        ),
        (
            FederatedCredentialsReady,
            &[
                Reason::FederatedCredentialConflict,
                Reason::ClusterIdShared,
                Reason::FederatedCredentialQuotaExceeded,
                Reason::ReplicationPending,
                Reason::ConcurrentWrites,
            ],
        ),
        (
            ServiceAccountsReady,
            &[
                Reason::ServiceAccountNotFound,
                Reason::ServiceAccountConflict,
                Reason::NamespaceTerminating,
                Reason::KubernetesUnavailable,
                Reason::KubernetesRejected,
            ],
        ),
        (
            RoleAssignmentsReady,
            &[
                Reason::RoleAssignmentLimitExceeded,
                Reason::RoleAssignmentConflict,
                Reason::RoleAssignmentExists,
                Reason::PrincipalNotFound,
                Reason::RoleAccessDenied,
                Reason::RoleScopeNotFound,
            ],
        ),
    ];
    for reason in Reason::ALL.iter().copied() {
        let part = parts.iter().find(|(_, reasons)| reasons.contains(&reason));
        assert_eq!(facts(reason).part, part.map(|(part, _)| *part), "{reason}");
    }
}

#[test]
fn an_event_warns_of_a_fault_and_of_an_accident_and_of_nothing_that_was_asked_for() {
    for reason in Reason::ALL.iter().copied() {
        let voice = match reason {
            Reason::Progressing
            | Reason::Deleting
            | Reason::Suspended
            | Reason::IssuerChanged
            | Reason::WorkloadRestarted => Voice::Quiet,
            Reason::MassDisappearance | Reason::ClientIdChanged | Reason::DriftCorrected => Voice::Alarm,
            _ => Voice::Fault,
        };
        assert_eq!(facts(reason).voice, voice, "{reason}");
    }
}

/// What Azure did not carry out says nothing about what is remembered of it.
#[test]
fn a_write_that_failed_makes_what_is_remembered_of_azure_doubtful_unless_it_was_not_carried_out() {
    let (of_azure, _) = of_faults();
    for reason in of_azure {
        let doubt = match reason {
            Reason::Throttled
            | Reason::CredentialUnavailable
            | Reason::WrongCloud
            | Reason::ForeignTenant
            | Reason::RequestAltered
            | Reason::RequestRefused
            | Reason::NotDecided
            | Reason::SubscriptionDisabled
            | Reason::ProviderNotRegistered
            | Reason::ConcurrentWrites
            | Reason::RoleAssignmentExists
            | Reason::PrincipalNotFound => Doubt::None,
            // An identity that was deleted is answered with as one that is not known everywhere yet.
            Reason::ReplicationPending => Doubt::Later,
            _ => Doubt::Now,
        };
        assert_eq!(facts(reason).doubt, doubt, "{reason}");
    }
}

#[test]
fn a_read_is_put_off_only_when_azure_is_busy_or_away_or_lets_the_operator_not_in() {
    let defers = |reason: &&Reason| facts(**reason).defers_read;
    let deferring: Vec<Reason> = Reason::ALL.iter().filter(defers).copied().collect();
    let expected = [
        Reason::CredentialUnavailable,
        Reason::Throttled,
        Reason::AzureUnavailable,
    ];
    assert_eq!(deferring, expected);
}
