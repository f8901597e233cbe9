//! URLs of resources in Azure Resource Manager, and of lists of them.

use azure_core::http::Url;
use jiff::Timestamp;
use wio_core::fault::AzureCause;
use wio_core::names::{
    CredentialName, IdentityId, PrincipalId, ResourceGroupId, RoleAssignmentName, RoleDefinitionGuid, Scope,
    SubscriptionId,
};

use crate::cloud::{ApiVersion, Endpoints};

const API_VERSION: &str = "api-version";
const FEDERATED_CREDENTIALS: &str = "federatedIdentityCredentials";
/// The API version of role assignments: the only one that is not a preview.
const ROLE_ASSIGNMENTS_VERSION: &str = "2022-04-01";
/// The API version of clusters.
const MANAGED_CLUSTERS_VERSION: &str = "2025-08-01";
/// The API version of the activity log: the only one there is.
const ACTIVITY_LOG_VERSION: &str = "2015-04-01";
/// What is asked of each entry of the activity log. Whose it is stands in its claims: `caller` cannot be selected.
const ACTIVITY_LOG_FIELDS: &str = "authorization,claims,eventTimestamp,resourceId,status,subStatus";

/// The URLs below one endpoint of Azure Resource Manager.
#[derive(Clone, Debug)]
pub(crate) struct Urls {
    arm: Url,
    api_version: ApiVersion,
}

/// The URL of a list's first page, and what its `nextLink`s need.
#[derive(Clone, Debug)]
pub(crate) struct ListUrl {
    pub(crate) first: Url,
    arm: Url,
    api_version: String,
}

// === impl Urls ===

impl Urls {
    pub(crate) fn new(endpoints: Endpoints) -> Self {
        let Endpoints { arm, api_version, .. } = endpoints;
        Self { arm, api_version }
    }

    /// The endpoint with the API version in its query, where `azure_mgmt_msi` looks for one before it takes its own.
    pub(crate) fn endpoint(&self) -> Url {
        let mut url = self.arm.clone();
        url.query_pairs_mut()
            .append_pair(API_VERSION, self.api_version.as_str());
        url
    }

    /// The URL of a managed identity.
    pub(crate) fn identity(&self, id: &IdentityId) -> Url {
        self.managed_identity(&id.group, &[id.name.as_str()])
    }

    /// The list of all managed identities in a resource group.
    pub(crate) fn identities(&self, group: &ResourceGroupId) -> ListUrl {
        self.list(self.managed_identity(group, &[]), self.api_version.as_str())
    }

    /// The URL of a federated credential of a managed identity.
    pub(crate) fn federated_credential(&self, id: &IdentityId, name: &CredentialName) -> Url {
        self.managed_identity(&id.group, &[id.name.as_str(), FEDERATED_CREDENTIALS, name.as_str()])
    }

    /// The list of all federated credentials of a managed identity.
    pub(crate) fn federated_credentials(&self, id: &IdentityId) -> ListUrl {
        let first = self.managed_identity(&id.group, &[id.name.as_str(), FEDERATED_CREDENTIALS]);
        self.list(first, self.api_version.as_str())
    }

    fn managed_identity(&self, group: &ResourceGroupId, rest: &[&str]) -> Url {
        let mut url = self.endpoint();
        let subscription = group.subscription.to_string();
        // An https URL always has a path, so there is always something to extend.
        if let Ok(mut path) = url.path_segments_mut() {
            path.clear()
                .extend(["subscriptions", &subscription, "resourceGroups", group.name.as_str()])
                .extend(["providers", "Microsoft.ManagedIdentity", "userAssignedIdentities"])
                .extend(rest);
        }
        url
    }

    /// The URL of a role assignment at a scope.
    pub(crate) fn role_assignment(&self, scope: &Scope, name: RoleAssignmentName) -> Url {
        named(self.role_assignments_at(scope, ""), &name.to_string())
    }

    /// The list of all role assignments of a principal at a scope, above it and below it.
    pub(crate) fn role_assignments(&self, scope: &Scope, principal: PrincipalId) -> ListUrl {
        let filter = format!("&$filter=principalId%20eq%20%27{principal}%27");
        self.list(self.role_assignments_at(scope, &filter), ROLE_ASSIGNMENTS_VERSION)
    }

    fn role_assignments_at(&self, scope: &Scope, filter: &str) -> Url {
        self.authorization_at(scope, "roleAssignments", filter)
    }

    fn authorization_at(&self, scope: &Scope, what: &str, filter: &str) -> Url {
        let mut url = self.arm.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.clear()
                .extend(scope.segments())
                .extend(["providers", "Microsoft.Authorization", what]);
        }
        url.set_query(Some(&format!("{API_VERSION}={ROLE_ASSIGNMENTS_VERSION}{filter}")));
        url
    }

    /// The list of all role assignments at a scope, above it and below it.
    pub(crate) fn all_role_assignments(&self, scope: &Scope) -> ListUrl {
        self.list(self.role_assignments_at(scope, ""), ROLE_ASSIGNMENTS_VERSION)
    }

    /// The list of the custom roles that may be assigned at a scope.
    pub(crate) fn custom_roles(&self, scope: &Scope) -> ListUrl {
        let filter = "&$filter=type%20eq%20%27CustomRole%27";
        let url = self.authorization_at(scope, "roleDefinitions", filter);
        self.list(url, ROLE_ASSIGNMENTS_VERSION)
    }

    /// The URL of a role, as it is at a scope.
    pub(crate) fn role(&self, scope: &Scope, role: RoleDefinitionGuid) -> Url {
        named(self.authorization_at(scope, "roleDefinitions", ""), &role.to_string())
    }

    /// The list of the role assignments that a principal has at a scope, above it and below it, by itself or by a group.
    pub(crate) fn assigned_to(&self, scope: &Scope, principal: PrincipalId) -> ListUrl {
        let filter = format!("&$filter=assignedTo(%27{principal}%27)");
        self.list(self.role_assignments_at(scope, &filter), ROLE_ASSIGNMENTS_VERSION)
    }

    /// The list of all managed identities in a subscription.
    pub(crate) fn identities_of(&self, subscription: SubscriptionId) -> ListUrl {
        let mut url = self.endpoint();
        if let Ok(mut path) = url.path_segments_mut() {
            path.clear()
                .extend(["subscriptions", &subscription.to_string()])
                .extend(["providers", "Microsoft.ManagedIdentity", "userAssignedIdentities"]);
        }
        self.list(url, self.api_version.as_str())
    }

    /// The URL of a cluster of AKS.
    pub(crate) fn managed_cluster(&self, group: &ResourceGroupId, name: &str) -> Url {
        let mut url = self.arm.clone();
        let subscription = group.subscription.to_string();
        if let Ok(mut path) = url.path_segments_mut() {
            path.clear()
                .extend(["subscriptions", &subscription, "resourceGroups", group.name.as_str()])
                .extend(["providers", "Microsoft.ContainerService", "managedClusters", name]);
        }
        url.set_query(Some(&format!("{API_VERSION}={MANAGED_CLUSTERS_VERSION}")));
        url
    }

    /// What the activity log of a subscription says of a provider's resources since a moment.
    pub(crate) fn activity_log(&self, subscription: SubscriptionId, provider: &str, since: Timestamp) -> ListUrl {
        let mut url = self.arm.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.clear()
                .extend([
                    "subscriptions",
                    &subscription.to_string(),
                    "providers",
                    "Microsoft.Insights",
                ])
                .extend(["eventtypes", "management", "values"]);
        }
        let filter = format!("eventTimestamp%20ge%20%27{since}%27%20and%20resourceProvider%20eq%20%27{provider}%27");
        let query = format!("{API_VERSION}={ACTIVITY_LOG_VERSION}&$filter={filter}&$select={ACTIVITY_LOG_FIELDS}");
        url.set_query(Some(&query));
        self.list(url, ACTIVITY_LOG_VERSION)
    }

    fn list(&self, first: Url, api_version: &str) -> ListUrl {
        ListUrl {
            first,
            arm: self.arm.clone(),
            api_version: api_version.to_owned(),
        }
    }
}

/// The URL of one of a collection.
fn named(mut collection: Url, name: &str) -> Url {
    if let Ok(mut path) = collection.path_segments_mut() {
        path.push(name);
    }
    collection
}

// === impl ListUrl ===

impl ListUrl {
    /// The URL that a `nextLink` leads to, with an API version where it names none. Whether it may be followed, the guard
    /// of the pipeline decides.
    pub(crate) fn next_page(&self, link: &str) -> Result<Url, AzureCause> {
        let mut url = self
            .arm
            .join(link)
            .map_err(|error| AzureCause::Malformed(format!("the link to the next page is no URL: {error}")))?;
        if !url
            .query_pairs()
            .any(|(name, _)| name.eq_ignore_ascii_case(API_VERSION))
        {
            url.query_pairs_mut().append_pair(API_VERSION, &self.api_version);
        }
        Ok(url)
    }
}
