//! Telemetry: a callback is told of each exchange with Azure, for metrics. Every value that can become a label is one of
//! a few.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::answer::Answer;
use crate::budgets::Budgets;
use crate::send_error::SendError;

/// The kinds of requests to Azure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Reading an identity.
    GetIdentity,
    /// Creating or replacing an identity.
    PutIdentity,
    /// Changing an identity's tags.
    TagIdentity,
    /// Deleting an identity.
    DeleteIdentity,
    /// Listing the identities in a resource group; one request for each page.
    ListIdentities,
    /// Listing an identity's federated credentials; one request for each page.
    ListCredentials,
    /// Reading a federated credential.
    GetCredential,
    /// Creating or replacing a federated credential.
    PutCredential,
    /// Deleting a federated credential.
    DeleteCredential,
    /// Listing role assignments, of a principal or all of a place; one request for each page.
    ListRoleAssignments,
    /// Reading a role assignment.
    GetRoleAssignment,
    /// Creating a role assignment.
    PutRoleAssignment,
    /// Deleting a role assignment.
    DeleteRoleAssignment,
    /// Listing custom roles; one request for each page.
    ListRoleDefinitions,
    /// Reading a role.
    GetRoleDefinition,
    /// Reading the activity log of a subscription; one request for each page.
    ListActivityLog,
    /// Reading a cluster of AKS.
    GetManagedCluster,
}

/// A request to Azure, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// What was asked for.
    pub operation: Operation,
    /// What it came to: `200`, `201`, `204`, `404`, `409`, `429`, another status by its class (`4xx`), or how there came
    /// no answer: `timeout`, `transport`, `credential`, `refused`, `not_admitted`, `malformed`.
    pub outcome: &'static str,
    /// From the start of the request to the last byte of the answer.
    pub duration: Duration,
    /// What the answer said is left.
    pub budgets: Budgets,
    /// The id that we gave it, by which Azure's activity log knows it.
    pub correlation_id: String,
    /// The id that Azure gave it.
    pub request_id: Option<String>,
}

type Callback = Arc<dyn Fn(&Exchange) + Send + Sync>;

/// The callback that is told of each exchange, if there is one.
#[derive(Clone, Default)]
pub(crate) struct Telemetry(Option<Callback>);

// === impl Operation ===

impl Operation {
    /// The name in metrics and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::GetIdentity => "get_identity",
            Self::PutIdentity => "put_identity",
            Self::TagIdentity => "tag_identity",
            Self::DeleteIdentity => "delete_identity",
            Self::ListIdentities => "list_identities",
            Self::ListCredentials => "list_credentials",
            Self::GetCredential => "get_credential",
            Self::PutCredential => "put_credential",
            Self::DeleteCredential => "delete_credential",
            Self::ListRoleAssignments => "list_role_assignments",
            Self::GetRoleAssignment => "get_role_assignment",
            Self::PutRoleAssignment => "put_role_assignment",
            Self::DeleteRoleAssignment => "delete_role_assignment",
            Self::ListRoleDefinitions => "list_role_definitions",
            Self::GetRoleDefinition => "get_role_definition",
            Self::ListActivityLog => "list_activity_log",
            Self::GetManagedCluster => "get_managed_cluster",
        }
    }

    /// The route that it takes, from the provider on: the same for all objects of a kind.
    #[must_use]
    pub(crate) const fn route(self) -> &'static str {
        match self {
            Self::GetIdentity | Self::PutIdentity | Self::TagIdentity | Self::DeleteIdentity => {
                "Microsoft.ManagedIdentity/userAssignedIdentities/{identity}"
            }
            Self::ListIdentities => "Microsoft.ManagedIdentity/userAssignedIdentities",
            Self::ListCredentials => {
                "Microsoft.ManagedIdentity/userAssignedIdentities/{identity}/federatedIdentityCredentials"
            }
            Self::GetCredential | Self::PutCredential | Self::DeleteCredential => {
                "Microsoft.ManagedIdentity/userAssignedIdentities/{identity}/federatedIdentityCredentials/{credential}"
            }
            Self::ListRoleAssignments => "Microsoft.Authorization/roleAssignments",
            Self::GetRoleAssignment | Self::PutRoleAssignment | Self::DeleteRoleAssignment => {
                "Microsoft.Authorization/roleAssignments/{assignment}"
            }
            Self::ListRoleDefinitions => "Microsoft.Authorization/roleDefinitions",
            Self::GetRoleDefinition => "Microsoft.Authorization/roleDefinitions/{role}",
            Self::ListActivityLog => "Microsoft.Insights/eventtypes/management/values",
            Self::GetManagedCluster => "Microsoft.ContainerService/managedClusters/{cluster}",
        }
    }
}

// === impl Telemetry ===

impl Telemetry {
    pub(crate) fn to(callback: impl Fn(&Exchange) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(callback)))
    }

    pub(crate) fn record(&self, asked: (Operation, String), outcome: &Result<Answer, SendError>, duration: Duration) {
        let Some(callback) = &self.0 else {
            return;
        };
        let (operation, correlation_id) = asked;
        callback(&Exchange {
            operation,
            correlation_id,
            request_id: outcome.as_ref().ok().and_then(|answer| answer.request_id.clone()),
            outcome: label(outcome),
            duration,
            budgets: outcome.as_ref().map(|answer| answer.budgets).unwrap_or_default(),
        });
    }
}

impl fmt::Debug for Telemetry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Telemetry").field("told", &self.0.is_some()).finish()
    }
}

/// The value of the metrics' label `outcome`, one of a few.
pub(crate) const fn label(outcome: &Result<Answer, SendError>) -> &'static str {
    let status = match outcome {
        Ok(answer) => answer.status,
        Err(SendError::Timeout) => return "timeout",
        Err(SendError::Transport(_)) => return "transport",
        Err(SendError::Credential(_)) => return "credential",
        Err(SendError::Refused(_)) => return "refused",
        Err(SendError::NotAdmitted) => return "not_admitted",
        Err(SendError::Malformed(_)) => return "malformed",
    };
    match status {
        200 => "200",
        201 => "201",
        204 => "204",
        404 => "404",
        409 => "409",
        429 => "429",
        _ => match status / 100 {
            2 => "2xx",
            3 => "3xx",
            4 => "4xx",
            _ => "5xx",
        },
    }
}
