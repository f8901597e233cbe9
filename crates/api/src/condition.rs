//! Condition types and reasons. A reason is API: it is the condition's reason, the Event's reason and the metric label.

use std::fmt;

macro_rules! names {
    ($(#[doc = $about:literal])+ $kind:ident: $($(#[doc = $doc:literal])+ $name:ident,)+) => {
        $(#[doc = $about])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $kind { $($(#[doc = $doc])+ $name,)+ }

        impl $kind {
            /// All of them, in the order of the reference.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// The name as it is written in conditions, Events and metrics.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)+ }
            }

            /// What it means, for the API reference.
            #[must_use]
            pub const fn description(self) -> &'static str {
                match self { $(Self::$name => concat!($($doc,)+).trim_ascii(),)+ }
            }
        }

        impl fmt::Display for $kind {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

names! {
    /// The conditions of a binding, of which a policy has the first three: what stands in `status.conditions[].type`.
    ConditionType:
    /// Every part works: the pods of the service accounts get tokens. Of a policy: admission and the operator decide by all of it.
    Ready,
    /// Work is going on, or a fault is retried. Absent when not true.
    Reconciling,
    /// Nothing more happens until somebody acts. Absent when not true.
    Stalled,
    /// The binding may have what it asks for, by a policy or by default. Unknown when that could not be decided: then nothing
    /// is given and nothing is taken away.
    Authorized,
    /// The identity exists and is the expected one.
    IdentityReady,
    /// Entra trusts every service account of the binding.
    FederatedCredentialsReady,
    /// Every service account exists and carries the client id.
    ServiceAccountsReady,
    /// The identity has every role that the binding asks for. Absent when it asks for none and none is left.
    RoleAssignmentsReady,
    /// Microsoft Entra gave a token of the identity for the token of each service account, at most two days ago. Absent when `spec.verification` and the
    /// operator ask for no proof.
    TokenExchangeVerified,
    /// Every running pod of the service accounts that asks for a token has one of the identity. It does not count for Ready. Unknown when the
    /// pods could not be looked at, absent where the operator was not told to look at them.
    WorkloadsReady,
}

names! {
    /// Why a condition has its status. Stable: people alert on these.
    Reason:
    /// Everything is as the spec asks.
    Succeeded,
    /// Work is going on.
    Progressing,
    /// A fault is being retried; the message says which.
    ProgressingWithRetry,
    /// `spec.suspend` is true: nothing is written.
    Suspended,
    /// The binding is being deleted and its Azure objects are being removed.
    Deleting,
    /// A field of the spec cannot be used; the message names it.
    InvalidSpec,
    /// No policy allows what the binding asks, the operator's configuration protects it, or another binding has the identity of the name that it
    /// chooses.
    NotPermitted,
    /// No policy allows what a binding that is moments old asks for; one that was applied together with it may be on its way.
    PolicyAwaited,
    /// The namespace, the policies or the identities by which the cluster acts are not known, or nothing was heard of them for minutes, so what the
    /// binding may have is not decided.
    NotDecided,
    /// The definition of bindings or policies is gone or being deleted, several policies disappeared together, or
    /// changed settings of the operator would take from many. That is taken for an accident: nothing is taken away until somebody says that it is meant.
    MassDisappearance,
    /// The API server says another issuer than the one that is recorded, and it is not believed yet. A binding that is ready stays
    /// so.
    IssuerUnconfirmed,
    /// Entra cannot reach the issuer of the cluster's tokens. Nothing is given, and nothing is taken away.
    IssuerUnreachable,
    /// An Event's reason: the issuer of the cluster's tokens changed, and federated credentials follow it.
    IssuerChanged,
    /// Another cluster has this cluster's id and the same binding: its federated credentials are left alone.
    ClusterIdShared,
    /// An identity of this name exists and is not ours.
    IdentityNotOwned,
    /// The existing identity that the binding names does not exist.
    IdentityNotFound,
    /// The identity has another client id than before: pods that run have the old one. Of Events alone.
    ClientIdChanged,
    /// Somebody else deleted or edited in Azure what the binding has, and it was put back. Of Events alone.
    DriftCorrected,
    /// The identity went away: between the operator's read and its write, or it is gone and is being made anew.
    IdentityVanished,
    /// The identity that this binding made stands elsewhere than the spec and the operator's defaults now say.
    IdentityMoved,
    /// A foreign federated credential trusts the same subject with another audience.
    FederatedCredentialConflict,
    /// The identity has no room for another federated credential (20 at most).
    FederatedCredentialQuotaExceeded,
    /// The service account does not exist and `create` is false.
    ServiceAccountNotFound,
    /// Another field manager holds a different value of one of our annotations.
    ServiceAccountConflict,
    /// Pods of the service accounts run without a token of the identity. Of WorkloadsReady alone.
    PodsWithoutToken,
    /// The operator may not look at the pods of the service accounts. Of WorkloadsReady alone.
    PodsNotSeen,
    /// An owner of pods was restarted, as spec.rollout asks, so that its pods get a token. Of Events alone.
    WorkloadRestarted,
    /// The ConfigMap that the ids are to be exported into is somebody else's.
    ExportConflict,
    /// The namespace is being deleted, so a service account cannot be created in it.
    NamespaceTerminating,
    /// The identity cannot be deleted: others still use it.
    DeletionBlocked,
    /// Azure answered that the operator may not do this.
    AuthorizationFailed,
    /// A deny assignment forbids the request, whatever roles the operator has.
    DeniedByAssignment,
    /// The operator could not get a token for Azure.
    CredentialUnavailable,
    /// The operator's token is for another Azure cloud.
    WrongCloud,
    /// An Azure Policy forbids the request.
    DisallowedByPolicy,
    /// A management lock forbids the request.
    ScopeLocked,
    /// The identity was created moments ago and is not known everywhere in Azure yet.
    ReplicationPending,
    /// Another writer changes federated credentials of this identity.
    ConcurrentWrites,
    /// A budget of Azure is spent for now; the message says which one and about how long it takes.
    Throttled,
    /// Azure answered with an error of its own, or not at all.
    AzureUnavailable,
    /// Azure refused the request; repeating it would not help.
    AzureRejected,
    /// What reached Azure is not what the operator sent: something in between took the request's content type away.
    RequestAltered,
    /// The resource group does not exist.
    ResourceGroupNotFound,
    /// The resource group is being deleted, and everything in it.
    ResourceGroupBeingDeleted,
    /// The subscription does not exist, or the operator does not see it.
    SubscriptionNotFound,
    /// The subscription is disabled: Azure lets it be read and not written.
    SubscriptionDisabled,
    /// The subscription belongs to another Entra tenant than the operator.
    ForeignTenant,
    /// The subscription is not registered to use managed identities.
    ProviderNotRegistered,
    /// Azure answered that the request conflicts with another one or with the state of what it is about.
    AzureConflict,
    /// Federated credentials are not available in the identity's region.
    RegionUnsupported,
    /// The request to Azure was refused before it left the operator.
    RequestRefused,
    /// The subscription holds the most role assignments that Azure allows.
    RoleAssignmentLimitExceeded,
    /// The role assignment's name belongs to another assignment.
    RoleAssignmentConflict,
    /// Somebody else assigned the same role, and Azure's lists do not show it yet.
    RoleAssignmentExists,
    /// The identity was created moments ago and cannot be given roles yet.
    PrincipalNotFound,
    /// The operator's own role, or that role's condition, does not allow it to read or change role assignments there.
    RoleAccessDenied,
    /// The resource at which a role is to hold does not exist.
    RoleScopeNotFound,
    /// The Kubernetes API server could not be reached or answered with an error.
    KubernetesUnavailable,
    /// The Kubernetes API server refused what the operator wrote.
    KubernetesRejected,
    /// A proof is asked for, and Microsoft Entra gave no token yet: it was not asked yet, or does not know yet what was written a moment ago.
    TokenExchangeAwaited,
    /// Microsoft Entra refuses the token of a service account; the message explains its code.
    TokenExchangeRefused,
    /// A proof is asked for, and Microsoft Entra, or the API server for a token, gave no answer that proves anything.
    TokenExchangeNotTried,
    /// A proof is asked for, and the operator may not mint tokens of service accounts.
    TokenRequestForbidden,
}
