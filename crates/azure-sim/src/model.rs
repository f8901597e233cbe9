//! The resources that the simulated cloud holds.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

/// Everything that exists, in the order of the ids: what [`crate::Simulator::snapshot`] gives and a state file holds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Snapshot {
    /// Resource groups.
    pub resource_groups: Vec<ResourceGroup>,
    /// User-assigned managed identities with their federated credentials.
    pub identities: Vec<Identity>,
    /// Role assignments.
    pub role_assignments: Vec<RoleAssignment>,
    /// Custom role definitions; the built-in ones are always there.
    pub role_definitions: Vec<RoleDefinition>,
    /// Management locks.
    pub locks: Vec<Lock>,
    /// Clusters of AKS.
    pub managed_clusters: Vec<ManagedCluster>,
}

/// A resource group.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResourceGroup {
    /// The subscription's GUID, as it was first written.
    pub subscription_id: String,
    /// The name, as it was first written.
    pub name: String,
    /// The region, as `westeurope`.
    pub location: String,
    /// Tags.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    /// When the group goes, once its deletion was accepted.
    #[serde(default)]
    pub gone_at: Option<Timestamp>,
}

/// A cluster of AKS.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ManagedCluster {
    /// The subscription's GUID.
    pub subscription_id: String,
    /// The resource group's name, as it was first written.
    pub resource_group: String,
    /// The name, as it was first written.
    pub name: String,
    /// The region, as `westeurope`.
    pub location: String,
    /// The identity of its control plane, as Azure shows it.
    #[serde(default)]
    pub identity: Value,
    /// Its properties, as Azure shows them.
    #[serde(default)]
    pub properties: Value,
}

/// The id of a user-assigned managed identity. Compared as ARM compares: case does not matter.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct IdentityId {
    /// The subscription's GUID.
    pub subscription_id: String,
    /// The resource group's name.
    pub resource_group: String,
    /// The identity's name.
    pub name: String,
}

/// Text that is not the id of a user-assigned managed identity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not the id of a user-assigned managed identity: {0}")]
pub struct NotAnIdentityId(String);

/// A user-assigned managed identity.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Identity {
    /// The id.
    pub id: IdentityId,
    /// The region, as `westeurope`.
    pub location: String,
    /// Tags.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    /// The application id, which workloads name.
    pub client_id: Uuid,
    /// The object id of the service principal, to which roles are assigned.
    pub principal_id: Uuid,
    /// `None` or `Regional`.
    pub isolation_scope: String,
    /// Providers to whose resources alone the identity may be assigned.
    #[serde(default)]
    pub assignment_restrictions: Vec<String>,
    /// When it was created.
    pub created_at: Timestamp,
    /// Tokens issued before this moment were revoked.
    #[serde(default)]
    pub tokens_valid_from: Option<Timestamp>,
    /// Its federated credentials, in the order of their names.
    #[serde(default)]
    pub credentials: Vec<Credential>,
}

/// A federated identity credential.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Credential {
    /// The name, unique in its identity.
    pub name: String,
    /// `iss` of the tokens that it trusts.
    pub issuer: String,
    /// `sub` of the tokens that it trusts; a flexible credential has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// `aud` of the tokens that it trusts: exactly one.
    pub audiences: Vec<String>,
    /// What a flexible credential has in place of the subject. Entra never lets one of a managed identity match.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claims_matching_expression: Option<Value>,
}

/// A role assignment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RoleAssignment {
    /// The name, a GUID.
    pub name: Uuid,
    /// The id of the resource, resource group, subscription or management group that it speaks of; `/` is the tenant.
    pub scope: String,
    /// The GUID of the role definition.
    pub role_definition_id: Uuid,
    /// The object id of the principal.
    pub principal_id: Uuid,
    /// `ServicePrincipal`, `User` or `Group`.
    pub principal_type: String,
    /// Free text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The condition under which it grants. One that asks for more than the actions, the roles and the principals of role
    /// assignments does not hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<String>,
    /// The version of the condition's language.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condition_version: Option<String>,
    /// When it was created.
    pub created_on: Timestamp,
    /// When it was last written.
    pub updated_on: Timestamp,
    /// The object id of the principal that created it.
    pub created_by: String,
}

/// A role: a [definition](https://learn.microsoft.com/azure/role-based-access-control/role-definitions) of what may be
/// done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RoleDefinition {
    /// The name, a GUID.
    pub name: Uuid,
    /// The name for people, as `Managed Identity Contributor`.
    pub role_name: String,
    /// Free text.
    #[serde(default)]
    pub description: Option<String>,
    /// Whether somebody of the tenant wrote it; the others are Azure's own.
    #[serde(default)]
    pub custom: bool,
    /// What it allows.
    #[serde(default)]
    pub permissions: Vec<Permission>,
    /// The scopes at and below which it can be assigned.
    #[serde(default)]
    pub assignable_scopes: Vec<String>,
    /// When it was created.
    #[serde(default)]
    pub created_on: Option<Timestamp>,
    /// When it was last written.
    #[serde(default)]
    pub updated_on: Option<Timestamp>,
    /// The object id of the principal that created it; Azure's own have none.
    #[serde(default)]
    pub created_by: Option<String>,
    /// The object id of the principal that wrote it last.
    #[serde(default)]
    pub updated_by: Option<String>,
}

/// What a role allows: the actions less the excluded ones. A `*` stands for any text.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Permission {
    /// Operations of Azure Resource Manager that are allowed.
    pub actions: Vec<String>,
    /// Operations that are taken out of [`Permission::actions`].
    pub not_actions: Vec<String>,
    /// Operations on data that are allowed.
    pub data_actions: Vec<String>,
    /// Operations that are taken out of [`Permission::data_actions`].
    pub not_data_actions: Vec<String>,
}

/// A [management lock](https://learn.microsoft.com/azure/azure-resource-manager/management/lock-resources): it holds at its
/// scope and below, also for role assignments and federated credentials.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Lock {
    /// The id of the subscription, resource group or resource that is locked.
    pub scope: String,
    /// The name, unique at its scope.
    pub name: String,
    /// What it refuses.
    pub level: LockLevel,
    /// Free text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notes: Option<String>,
}

/// What a lock refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum LockLevel {
    /// Deletions.
    CanNotDelete,
    /// Deletions and changes.
    ReadOnly,
}

// === impl Permission ===

impl Permission {
    /// All that it names, allowed or taken out.
    pub(crate) fn patterns(&self) -> impl Iterator<Item = &str> {
        let Self {
            actions,
            not_actions,
            data_actions,
            not_data_actions,
        } = self;
        let all = [actions, not_actions, data_actions, not_data_actions];
        all.into_iter().flatten().map(String::as_str)
    }
}

// === impl Snapshot ===

impl Snapshot {
    /// The identity with this ARM id, in any case.
    #[must_use]
    pub fn identity(&self, id: &str) -> Option<&Identity> {
        let id: IdentityId = id.parse().ok()?;
        self.identities.iter().find(|identity| identity.id == id)
    }
}

// === impl Identity ===

impl Identity {
    /// The credential with this name, in any case.
    #[must_use]
    pub fn credential(&self, name: &str) -> Option<&Credential> {
        self.credentials
            .iter()
            .find(|credential| credential.name.eq_ignore_ascii_case(name))
    }

    /// Adds the credential, or puts it in the place of the one with its name; keeps the order.
    pub(crate) fn put_credential(&mut self, credential: Credential) {
        self.credentials
            .retain(|other| !other.name.eq_ignore_ascii_case(&credential.name));
        self.credentials.push(credential);
        self.credentials
            .sort_by_key(|credential| credential.name.to_ascii_lowercase());
    }
}

// === impl RoleAssignment ===

impl RoleAssignment {
    /// The ARM id.
    #[must_use]
    pub fn id(&self) -> String {
        format!(
            "{}/providers/Microsoft.Authorization/roleAssignments/{}",
            self.scope.trim_end_matches('/'),
            self.name
        )
    }
}

// === impl Lock ===

impl Lock {
    /// The ARM id.
    #[must_use]
    pub fn id(&self) -> String {
        format!(
            "{}/providers/Microsoft.Authorization/locks/{}",
            self.scope.trim_end_matches('/'),
            self.name
        )
    }

    /// The id in the form under which it is stored.
    pub(crate) fn key(&self) -> String {
        self.id().to_lowercase()
    }
}

// === impl IdentityId ===

impl IdentityId {
    /// The id of `name` in the resource group of the subscription.
    #[must_use]
    pub fn new(subscription_id: &str, resource_group: &str, name: &str) -> Self {
        Self {
            subscription_id: subscription_id.to_owned(),
            resource_group: resource_group.to_owned(),
            name: name.to_owned(),
        }
    }

    /// The id in the form under which it is stored.
    pub(crate) fn key(&self) -> String {
        self.to_string().to_lowercase()
    }
}

/// The form under which a resource group is stored.
pub(crate) fn group_key(subscription_id: &str, name: &str) -> String {
    format!("/subscriptions/{subscription_id}/resourcegroups/{name}").to_lowercase()
}

/// The form under which a cluster is stored.
pub(crate) fn cluster_key(subscription_id: &str, group: &str, name: &str) -> String {
    let group = group_key(subscription_id, group);
    format!(
        "{group}/providers/microsoft.containerservice/managedclusters/{}",
        name.to_lowercase()
    )
}

impl fmt::Display for IdentityId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Lower-case `resourcegroups` is what the provider answers, whatever was sent.
        let Self {
            subscription_id,
            resource_group,
            name,
        } = self;
        write!(
            f,
            "/subscriptions/{subscription_id}/resourcegroups/{resource_group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{name}"
        )
    }
}

impl PartialEq for IdentityId {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for IdentityId {}

impl FromStr for IdentityId {
    type Err = NotAnIdentityId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let not = || NotAnIdentityId(text.to_owned());
        let segments: Vec<&str> = text.strip_prefix('/').ok_or_else(not)?.split('/').collect();
        let [subscriptions, subscription_id, groups, resource_group, rest @ ..] = segments.as_slice() else {
            return Err(not());
        };
        let [providers, namespace, resource_type, name] = rest else {
            return Err(not());
        };
        let fixed = [
            (subscriptions, "subscriptions"),
            (groups, "resourceGroups"),
            (providers, "providers"),
            (namespace, "Microsoft.ManagedIdentity"),
            (resource_type, "userAssignedIdentities"),
        ];
        if fixed.iter().all(|(is, should)| is.eq_ignore_ascii_case(should)) {
            Ok(Self::new(subscription_id, resource_group, name))
        } else {
            Err(not())
        }
    }
}

impl TryFrom<String> for IdentityId {
    type Error = NotAnIdentityId;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<IdentityId> for String {
    fn from(id: IdentityId) -> Self {
        id.to_string()
    }
}
