//! The one table of what an error means: try again, wait for something to happen, or stop until somebody acts.

use std::time::Duration;

use wio_api::Reason;

use crate::fault::{AzureAnswer, AzureCause, Fault, KubernetesCause};

/// What to do about a fault. The reason is the condition's reason, the Event's reason and the metric label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disposition {
    /// Try again: after this long if Azure said so, with growing pauses otherwise.
    Retry {
        /// Why.
        reason: Reason,
        /// How long Azure asked to wait, at most [`MAX_RETRY_AFTER`].
        after: Option<Duration>,
    },
    /// Nothing is wrong; something that takes its time, here or with other writers, must happen first.
    Wait {
        /// Why.
        reason: Reason,
    },
    /// Trying again would not help until somebody acts. It is still looked at again, seldom, so that it heals.
    Stalled {
        /// Why.
        reason: Reason,
    },
}

/// The longest pause that an answer's `Retry-After` can ask of us: Azure's budgets refill within minutes, and a
/// nonsensical value must not put a binding to sleep for days.
pub const MAX_RETRY_AFTER: Duration = Duration::from_mins(10);

impl Disposition {
    /// The reason, whatever there is to do.
    #[must_use]
    pub const fn reason(self) -> Reason {
        match self {
            Self::Retry { reason, .. } | Self::Wait { reason } | Self::Stalled { reason } => reason,
        }
    }
}

/// What a fault means. Total: what is not known is retried when it may pass and terminal when Azure refused it.
#[must_use]
pub fn disposition(fault: &Fault) -> Disposition {
    match fault {
        Fault::Azure(fault) => match &fault.cause {
            AzureCause::Answer(answer) => azure_answer(answer),
            AzureCause::Timeout | AzureCause::Transport(_) | AzureCause::Malformed(_) => {
                retry(Reason::AzureUnavailable)
            }
            AzureCause::Credential(_) => retry(Reason::CredentialUnavailable),
            AzureCause::Refused(_) => stalled(Reason::RequestRefused),
            AzureCause::RoleAccessDenied { .. } => stalled(Reason::RoleAccessDenied),
            AzureCause::RoleScopeNotFound(_) => stalled(Reason::RoleScopeNotFound),
        },
        Fault::Kubernetes(fault) => kubernetes(&fault.cause),
        Fault::Blocked(blocked) => match blocked.reason {
            Reason::ServiceAccountNotFound | Reason::IssuerUnknown | Reason::NotDecided | Reason::MassDisappearance => {
                Disposition::Wait { reason: blocked.reason }
            }
            reason => stalled(reason),
        },
    }
}

/// Codes come first: Azure gives one code with different statuses over regions and api versions.
fn azure_answer(answer: &AzureAnswer) -> Disposition {
    match answer.code.as_str() {
        "ParentResourceNotFound"
        | "MsGraphResourceNotFoundOnFederatedIdentityCredentialCreation"
        // As some regions answered it: "MS Graph resource not found during …" right after the identity was made.
        | "NotFound" => Disposition::Wait { reason: Reason::ReplicationPending },
        "PrincipalNotFound" => Disposition::Wait { reason: Reason::PrincipalNotFound },
        // An equal one is there, and a list does not show it yet.
        "RoleAssignmentExists" => Disposition::Wait { reason: Reason::RoleAssignmentExists },
        "ConcurrentFederatedIdentityCredentialsWritesForSingleManagedIdentity" => {
            Disposition::Wait { reason: Reason::ConcurrentWrites }
        }
        "ScopeLocked" => stalled(Reason::ScopeLocked),
        "RequestDisallowedByPolicy" => stalled(Reason::DisallowedByPolicy),
        "RoleAssignmentLimitExceeded" => stalled(Reason::RoleAssignmentLimitExceeded),
        "RoleAssignmentUpdateNotPermitted" => stalled(Reason::RoleAssignmentConflict),
        "ResourceGroupNotFound" | "SubscriptionNotFound" => stalled(Reason::ResourceGroupNotFound),
        _ => azure_status(answer),
    }
}

fn azure_status(answer: &AzureAnswer) -> Disposition {
    let after = answer.retry_after.map(|pause| pause.min(MAX_RETRY_AFTER));
    match answer.status {
        401 => retry(Reason::CredentialUnavailable),
        403 => stalled(Reason::AuthorizationFailed),
        // Seen only when the identity went away between our reading and our writing: the next look finds out.
        404 => retry(Reason::IdentityNotFound),
        405 => stalled(Reason::RegionUnsupported),
        408 => Disposition::Retry {
            reason: Reason::AzureUnavailable,
            after,
        },
        409 => Disposition::Retry {
            reason: Reason::ConcurrentWrites,
            after,
        },
        429 => Disposition::Retry {
            reason: Reason::Throttled,
            after,
        },
        400..=499 => stalled(Reason::AzureRejected),
        _ => Disposition::Retry {
            reason: Reason::AzureUnavailable,
            after,
        },
    }
}

fn kubernetes(cause: &KubernetesCause) -> Disposition {
    match cause {
        KubernetesCause::FieldsHeld(_) => stalled(Reason::ServiceAccountConflict),
        KubernetesCause::NamespaceTerminating => Disposition::Wait {
            reason: Reason::NamespaceTerminating,
        },
        // 404, 409 and 410: the object changed since we looked; look again.
        KubernetesCause::Answer {
            status: 400..=403 | 405..=407 | 411..=428,
            ..
        } => stalled(Reason::KubernetesRejected),
        KubernetesCause::Answer { .. } | KubernetesCause::Transport(_) => retry(Reason::KubernetesUnavailable),
    }
}

const fn retry(reason: Reason) -> Disposition {
    Disposition::Retry { reason, after: None }
}

const fn stalled(reason: Reason) -> Disposition {
    Disposition::Stalled { reason }
}
