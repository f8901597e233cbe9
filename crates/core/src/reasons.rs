//! The one table of reasons: for each, whether to try again, how soon, what part it speaks of, and what a person can do.
#![deny(clippy::wildcard_enum_match_arm)]

use std::time::Duration;

use wio_api::{ConditionType, Reason};

use crate::fault::{AzureAnswer, AzureCause, Fault, KubernetesCause};
use crate::next_steps as next;

/// The disposition of a fault: what the operator does about it. The reason is the condition's reason, the Event's reason and the
/// metric label.
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

/// The facts that follow from a reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReasonFacts {
    /// Whether to try again.
    pub kind: Kind,
    /// How the pauses before the next try grow.
    pub backoff: Backoff,
    /// The condition that it speaks of; none when it may be any.
    pub part: Option<ConditionType>,
    /// What to do about an error of Azure or Kubernetes, whose own words tell at best what is wrong. None where whatever gives
    /// the reason tells the way out itself.
    pub next_step: Option<&'static str>,
    /// How loud the Event is.
    pub voice: Voice,
    /// What a write that failed for it says about what is remembered of Azure.
    pub doubt: Doubt,
    /// What other requests would meet it as well.
    pub reach: Reach,
    /// Whether a read that failed for it, and was due only because time went by, can be put off: that Azure is busy or away, or lets the
    /// operator not in, says nothing about a binding whose pods go on getting tokens.
    pub defers_read: bool,
    /// Whether it is about something that is not there and that others may still be creating: then a binding that is new waits
    /// for it before it stalls.
    pub awaits_others: bool,
    /// Whether a binding that is ready stays so while it is held for this: it says nothing about pods that get tokens.
    pub keeps_ready: bool,
}

/// Whether to try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A fault that may pass.
    Retry,
    /// Something that takes its time.
    Wait,
    /// Somebody has to act.
    Stalled,
}

/// How the pauses before the next try grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backoff {
    /// From a second to minutes: it passes by itself, and Azure or the API server can take our asking.
    Transient,
    /// From seconds to half a minute: replication takes up to four minutes, and asking too early can prolong it.
    Replication,
    /// From a quarter of a minute to some minutes: Entra does not know a credential yet, and asking too early can prolong that.
    Exchange,
    /// From ten seconds to ten minutes: somebody has to act, and nothing tells us when they did.
    Stalled,
    /// From a second to ten minutes: an API server that has just started forbids what it allows a second later, when it knows
    /// its rules; one that goes on doing so needs somebody to act.
    Forbidden,
}

/// How loud the Event of a change of Ready is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Voice {
    /// A warning when Ready is False.
    Fault,
    /// Never a warning: it was asked for.
    Quiet,
    /// Always a warning: somebody has to act, though everything works as before.
    Alarm,
}

/// The doubt that a failed write leaves about what is remembered of Azure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// Nothing: the request was not carried out.
    None,
    /// It may be wrong when this goes on: an identity that was deleted is answered with as one that is not known everywhere
    /// yet.
    Later,
    /// It may be wrong.
    Now,
}

/// What other requests would meet the same fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// None that is known of: it is about one object.
    Object,
    /// Those to the same place: an identity with its credentials, a subscription's role assignments.
    Place,
    /// All to Azure.
    Azure,
}

// === impl Disposition ===

impl Disposition {
    /// The disposition of a reason.
    #[must_use]
    pub const fn of(reason: Reason, after: Option<Duration>) -> Self {
        match facts(reason).kind {
            Kind::Retry => Self::Retry { reason, after },
            Kind::Wait => Self::Wait { reason },
            Kind::Stalled => Self::Stalled { reason },
        }
    }

    /// The disposition for a binding that is new: what it misses, others may still be creating.
    #[must_use]
    pub const fn of_new_binding(self) -> Self {
        match self {
            Self::Stalled { reason } if facts(reason).awaits_others => Self::Wait { reason },
            Self::Retry { .. } | Self::Wait { .. } | Self::Stalled { .. } => self,
        }
    }

    /// How the pauses before the next try grow.
    #[must_use]
    pub const fn backoff(self) -> Backoff {
        match self {
            // Whoever creates it is at work.
            Self::Wait { reason } if facts(reason).awaits_others => Backoff::Replication,
            Self::Retry { reason, .. } | Self::Wait { reason } | Self::Stalled { reason } => facts(reason).backoff,
        }
    }

    /// The reason, whatever there is to do.
    #[must_use]
    pub const fn reason(self) -> Reason {
        match self {
            Self::Retry { reason, .. } | Self::Wait { reason } | Self::Stalled { reason } => reason,
        }
    }
}

/// The facts that follow from a reason: the table. It has no row for "everything else", so a new reason does not compile without one.
#[must_use]
#[allow(clippy::too_many_lines, reason = "a table has a row for each reason")]
pub const fn facts(reason: Reason) -> ReasonFacts {
    use ConditionType::{
        FederatedCredentialsReady, IdentityReady, RoleAssignmentsReady, ServiceAccountsReady, TokenExchangeVerified,
        WorkloadsReady,
    };
    match reason {
        Reason::Succeeded | Reason::ProgressingWithRetry | Reason::PolicyAwaited | Reason::NotDecided => WAIT,
        Reason::Progressing | Reason::Deleting | Reason::IssuerChanged | Reason::WorkloadRestarted => {
            WAIT.voice(Voice::Quiet)
        }
        Reason::Suspended => STALLED.voice(Voice::Quiet),
        Reason::MassDisappearance | Reason::ClientIdChanged | Reason::DriftCorrected => WAIT.voice(Voice::Alarm),
        Reason::IssuerUnconfirmed => WAIT.keeps_ready(),
        Reason::InvalidSpec | Reason::NotPermitted | Reason::DeletionBlocked | Reason::IssuerUnreachable => STALLED,
        Reason::ClusterIdShared => WAIT.part(FederatedCredentialsReady),

        Reason::Throttled => RETRY
            .next(next::BY_ITSELF)
            .doubt(Doubt::None)
            .reach(Reach::Place)
            .defers_read(),
        Reason::AzureUnavailable => RETRY.next(next::BY_ITSELF).reach(Reach::Place).defers_read(),
        Reason::AzureConflict => RETRY.next(next::BY_ITSELF),
        Reason::AzureRejected => STALLED.next(next::CHANGE_SPEC),
        Reason::AuthorizationFailed => STALLED.next(next::GIVE_ROLE),
        Reason::DeniedByAssignment => STALLED.next(next::DENY_ASSIGNMENT),
        Reason::CredentialUnavailable => RETRY
            .next(next::CHECK_CREDENTIALS)
            .doubt(Doubt::None)
            .reach(Reach::Azure)
            .defers_read(),
        Reason::WrongCloud => STALLED.next(next::OTHER_CLOUD).doubt(Doubt::None),
        Reason::RequestAltered => STALLED.next(next::CHECK_PROXIES).doubt(Doubt::None),
        Reason::DisallowedByPolicy => STALLED.next(next::AZURE_POLICY),
        Reason::ScopeLocked => STALLED.next(next::LOCK),
        Reason::ResourceGroupNotFound => STALLED.next(next::CREATE_GROUP).awaits_others(),
        // What was in it may be gone already.
        Reason::ResourceGroupBeingDeleted => WAIT.next(next::GROUP_GOES).doubt(Doubt::Now),
        Reason::SubscriptionNotFound => STALLED.next(next::CHECK_SUBSCRIPTION),
        Reason::SubscriptionDisabled => STALLED.next(next::ENABLE_SUBSCRIPTION).doubt(Doubt::None),
        Reason::ForeignTenant => STALLED.next(next::OTHER_TENANT).doubt(Doubt::None),
        Reason::ProviderNotRegistered => STALLED.next(next::REGISTER_PROVIDER).doubt(Doubt::None),
        Reason::RegionUnsupported => STALLED.next(next::OTHER_REGION),
        Reason::RequestRefused => STALLED.doubt(Doubt::None),

        Reason::IdentityNotOwned | Reason::IdentityMoved => STALLED.part(IdentityReady),
        Reason::IdentityNotFound => STALLED.part(IdentityReady).awaits_others(),
        Reason::IdentityVanished => RETRY.part(IdentityReady).next(next::LOOKS_AGAIN),

        Reason::FederatedCredentialConflict | Reason::FederatedCredentialQuotaExceeded => {
            STALLED.part(FederatedCredentialsReady)
        }
        Reason::ReplicationPending => WAIT
            .part(FederatedCredentialsReady)
            .next(next::REPLICATION)
            .doubt(Doubt::Later),
        Reason::ConcurrentWrites => WAIT.part(FederatedCredentialsReady).next(next::OTHER_WRITER),

        Reason::RoleAssignmentLimitExceeded => STALLED.part(RoleAssignmentsReady).next(next::ROLE_LIMIT),
        Reason::RoleAssignmentConflict => STALLED.part(RoleAssignmentsReady).next(next::ROLE_NAME),
        Reason::RoleAssignmentExists => WAIT.part(RoleAssignmentsReady).next(next::ROLE_EXISTS),
        Reason::PrincipalNotFound => WAIT.part(RoleAssignmentsReady).next(next::PRINCIPAL),
        Reason::RoleAccessDenied => STALLED.part(RoleAssignmentsReady).next(next::ROLE_ACCESS),
        Reason::RoleScopeNotFound => STALLED
            .part(RoleAssignmentsReady)
            .next(next::ROLE_SCOPE)
            .awaits_others(),

        Reason::ServiceAccountNotFound | Reason::NamespaceTerminating => WAIT.part(ServiceAccountsReady),
        Reason::ServiceAccountConflict => STALLED.part(ServiceAccountsReady),
        // Ready does not rest on them.
        Reason::PodsWithoutToken | Reason::PodsNotSeen => WAIT.part(WorkloadsReady),
        // Of no part: tokens work all the same.
        Reason::ExportConflict => STALLED.part(ConditionType::Ready),
        Reason::TokenExchangeAwaited => WAIT.part(TokenExchangeVerified).backoff(Backoff::Exchange),
        // Ready is Unknown by it and not False: it says nothing about pods.
        Reason::TokenExchangeNotTried => WAIT.part(TokenExchangeVerified).backoff(Backoff::Transient),
        Reason::TokenExchangeRefused => STALLED.part(TokenExchangeVerified),
        Reason::TokenRequestForbidden => STALLED.part(TokenExchangeVerified).backoff(Backoff::Forbidden),
        Reason::KubernetesUnavailable => RETRY.part(ServiceAccountsReady).next(next::BY_ITSELF),
        Reason::KubernetesRejected => STALLED
            .part(ServiceAccountsReady)
            .next(next::CHECK_RBAC)
            .backoff(Backoff::Forbidden),
    }
}

const RETRY: ReasonFacts = ReasonFacts {
    kind: Kind::Retry,
    backoff: Backoff::Transient,
    part: None,
    next_step: None,
    voice: Voice::Fault,
    doubt: Doubt::Now,
    reach: Reach::Object,
    defers_read: false,
    awaits_others: false,
    keeps_ready: false,
};
const WAIT: ReasonFacts = ReasonFacts {
    kind: Kind::Wait,
    backoff: Backoff::Replication,
    doubt: Doubt::None,
    ..RETRY
};
const STALLED: ReasonFacts = ReasonFacts {
    kind: Kind::Stalled,
    backoff: Backoff::Stalled,
    ..RETRY
};

impl ReasonFacts {
    const fn part(self, part: ConditionType) -> Self {
        Self {
            part: Some(part),
            ..self
        }
    }

    const fn next(self, step: &'static str) -> Self {
        Self {
            next_step: Some(step),
            ..self
        }
    }

    const fn backoff(self, backoff: Backoff) -> Self {
        Self { backoff, ..self }
    }

    const fn voice(self, voice: Voice) -> Self {
        Self { voice, ..self }
    }

    const fn doubt(self, doubt: Doubt) -> Self {
        Self { doubt, ..self }
    }

    const fn reach(self, reach: Reach) -> Self {
        Self { reach, ..self }
    }

    const fn keeps_ready(self) -> Self {
        Self {
            keeps_ready: true,
            ..self
        }
    }

    const fn defers_read(self) -> Self {
        Self {
            defers_read: true,
            ..self
        }
    }

    const fn awaits_others(self) -> Self {
        Self {
            awaits_others: true,
            ..self
        }
    }
}

/// The disposition of a fault. Total: what is not known is retried when it may pass and stalls when Azure refused it.
#[must_use]
pub fn disposition(fault: &Fault) -> Disposition {
    match fault {
        Fault::Azure(fault) => azure(&fault.cause),
        Fault::Kubernetes(fault) => Disposition::of(kubernetes(&fault.cause), None),
        Fault::Blocked(blocked) => Disposition::of(blocked.reason, None),
    }
}

fn azure(cause: &AzureCause) -> Disposition {
    let reason = match cause {
        AzureCause::Answer(answer) => {
            let after = answer.retry_after.map(|pause| pause.min(MAX_RETRY_AFTER));
            return Disposition::of(azure_answer(answer), after);
        }
        AzureCause::Timeout | AzureCause::Transport(_) | AzureCause::Malformed(_) => Reason::AzureUnavailable,
        AzureCause::Credential(_) => Reason::CredentialUnavailable,
        AzureCause::Refused(_) => Reason::RequestRefused,
        AzureCause::Budget(_) => Reason::Throttled,
        AzureCause::NotAdmitted => Reason::NotDecided,
        AzureCause::RoleAccessDenied { .. } => Reason::RoleAccessDenied,
        AzureCause::RoleScopeNotFound(_) => Reason::RoleScopeNotFound,
    };
    Disposition::of(reason, None)
}

/// The codes of Azure Resource Manager that tell more than the status beside them.
pub const AZURE_CODES: &[(&str, Reason)] = &[
    ("ParentResourceNotFound", Reason::ReplicationPending),
    (
        "MsGraphResourceNotFoundOnFederatedIdentityCredentialCreation",
        Reason::ReplicationPending,
    ),
    // As some regions answered it: "MS Graph resource not found during …" right after the identity was made.
    ("NotFound", Reason::ReplicationPending),
    ("PrincipalNotFound", Reason::PrincipalNotFound),
    // An equal one is there, and a list does not show it yet.
    ("RoleAssignmentExists", Reason::RoleAssignmentExists),
    (
        "ConcurrentFederatedIdentityCredentialsWritesForSingleManagedIdentity",
        Reason::ConcurrentWrites,
    ),
    ("ScopeLocked", Reason::ScopeLocked),
    ("RequestDisallowedByPolicy", Reason::DisallowedByPolicy),
    ("RoleAssignmentLimitExceeded", Reason::RoleAssignmentLimitExceeded),
    ("RoleAssignmentUpdateNotPermitted", Reason::RoleAssignmentConflict),
    ("ResourceGroupNotFound", Reason::ResourceGroupNotFound),
    ("ResourceGroupBeingDeleted", Reason::ResourceGroupBeingDeleted),
    ("SubscriptionNotFound", Reason::SubscriptionNotFound),
    ("ReadOnlyDisabledSubscription", Reason::SubscriptionDisabled),
    ("MissingSubscriptionRegistration", Reason::ProviderNotRegistered),
    // A resource of this name stands in another region, in Azure's words.
    ("InvalidResourceLocation", Reason::AzureRejected),
    ("InvalidAuthenticationTokenTenant", Reason::ForeignTenant),
    ("InvalidAuthenticationTokenAudience", Reason::WrongCloud),
    ("DenyAssignmentAuthorizationFailed", Reason::DeniedByAssignment),
    ("UnsupportedMediaType", Reason::RequestAltered),
];

/// Codes come first: Azure gives one code with different statuses over regions and api versions.
fn azure_answer(answer: &AzureAnswer) -> Reason {
    let known = AZURE_CODES.iter().find(|(code, _)| *code == answer.code);
    known.map_or_else(|| azure_status(answer.status), |(_, reason)| *reason)
}

/// Whether an answer says that the operator's token is of no use: then it is replaced. One that is refused for the tenant or the
/// audience that was asked is good for every other request, and another one would be refused alike.
#[must_use]
pub fn refuses_token(answer: &AzureAnswer) -> bool {
    azure_answer(answer) == Reason::CredentialUnavailable
}

const fn azure_status(status: u16) -> Reason {
    match status {
        401 => Reason::CredentialUnavailable,
        403 => Reason::AuthorizationFailed,
        // Seen only when the identity went away between our reading and our writing: the next look finds out.
        404 => Reason::IdentityVanished,
        405 => Reason::RegionUnsupported,
        408 => Reason::AzureUnavailable,
        409 => Reason::AzureConflict,
        429 => Reason::Throttled,
        400..=499 => Reason::AzureRejected,
        _ => Reason::AzureUnavailable,
    }
}

const fn kubernetes(cause: &KubernetesCause) -> Reason {
    match cause {
        KubernetesCause::FieldsHeld(_) => Reason::ServiceAccountConflict,
        KubernetesCause::NamespaceTerminating => Reason::NamespaceTerminating,
        // 404, 409 and 410: the object changed since we looked; look again.
        KubernetesCause::Answer {
            status: 400..=403 | 405..=407 | 411..=428,
            ..
        } => Reason::KubernetesRejected,
        KubernetesCause::Answer { .. } | KubernetesCause::Transport(_) | KubernetesCause::Malformed(_) => {
            Reason::KubernetesUnavailable
        }
    }
}
