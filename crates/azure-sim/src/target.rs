//! What a path means.

use http::Method;
use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize};

use crate::model::IdentityId;

/// The kind of thing that a request is about. In JSON as `roleAssignment`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ResourceKind {
    /// Subscriptions.
    Subscription,
    /// Resource groups.
    ResourceGroup,
    /// User-assigned managed identities.
    Identity,
    /// Federated identity credentials.
    Credential,
    /// Role assignments.
    RoleAssignment,
    /// Role definitions.
    RoleDefinition,
    /// Resource providers, and their registration.
    Provider,
    /// Management locks.
    Lock,
    /// Tags as a resource of their own.
    Tags,
    /// Resources of whatever type.
    Resource,
    /// The activity log.
    ActivityLog,
    /// Clusters of AKS.
    ManagedCluster,
    /// The progress of a long-running operation.
    Operation,
    /// Entra's token endpoint.
    Token,
    /// Entra's documents about itself.
    Discovery,
    /// The managed-identity token endpoint of a virtual machine.
    InstanceMetadata,
    /// Anything else.
    Other,
}

/// What an ARM path names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    Subscriptions,
    Subscription(String),
    Resources(String),
    Provider {
        subscription: String,
        namespace: String,
    },
    Registration {
        subscription: String,
        namespace: String,
    },
    Groups(String),
    Group {
        subscription: String,
        name: String,
    },
    Operation {
        subscription: String,
        name: String,
    },
    Identities {
        subscription: String,
        group: Option<String>,
    },
    Identity(IdentityId),
    IdentityAction(IdentityId, String),
    Credentials(IdentityId),
    Credential(IdentityId, String),
    RoleAssignments {
        scope: String,
    },
    RoleAssignment {
        scope: String,
        name: String,
    },
    RoleDefinitions {
        scope: String,
    },
    RoleDefinition {
        scope: String,
        name: String,
    },
    Locks {
        scope: String,
    },
    Lock {
        scope: String,
        name: String,
    },
    Tags {
        scope: String,
    },
    ActivityLog(String),
    ManagedCluster {
        subscription: String,
        group: String,
        name: String,
    },
    ClusterUserCredential {
        subscription: String,
        group: String,
        name: String,
    },
    Unknown,
}

/// The segments of a path: percent-decoded, and with `.` and `..` resolved as every HTTP front end resolves them, so
/// that a client that lets a name like `a/../b` through meets here what it would meet in Azure.
pub(crate) fn segments(path: &str) -> Vec<String> {
    let decoded = percent_decode_str(path).decode_utf8_lossy();
    let mut segments: Vec<String> = Vec::new();
    for segment in decoded.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()),
            name => segments.push(name.to_owned()),
        }
    }
    segments
}

// === impl Target ===

impl Target {
    /// Reads an ARM path; names keep their case, the fixed parts are taken in any.
    pub(crate) fn parse(path: &str) -> Self {
        let segments = segments(path);
        let lower: Vec<String> = segments.iter().map(|segment| segment.to_lowercase()).collect();
        let names: Vec<&str> = segments.iter().map(String::as_str).collect();
        let fixed: Vec<&str> = lower.iter().map(String::as_str).collect();
        // The last `providers` decides: an extension resource names the resource that it extends before its own.
        let Some(split) = fixed.iter().rposition(|segment| *segment == "providers") else {
            return Self::without_provider(&fixed, &names);
        };
        let (Some(scope), Some(rest), Some(rest_names)) = (names.get(..split), fixed.get(split..), names.get(split..))
        else {
            return Self::Unknown;
        };
        match rest {
            ["providers", _] | ["providers", _, "register"] => {
                Self::provider(fixed.get(..split).unwrap_or_default(), scope, rest_names)
            }
            ["providers", "microsoft.authorization", kind, ..] => Self::authorization(kind, scope, rest_names),
            ["providers", "microsoft.resources", "tags", "default"] => Self::Tags {
                scope: format!("/{}", scope.join("/")),
            },
            ["providers", "microsoft.managedidentity", "userassignedidentities", ..] => {
                Self::managed_identity(fixed.get(..split).unwrap_or_default(), scope, rest, rest_names)
            }
            ["providers", "microsoft.containerservice", "managedclusters", _]
            | [
                "providers",
                "microsoft.containerservice",
                "managedclusters",
                _,
                "listclusterusercredential",
            ] => Self::managed_cluster(fixed.get(..split).unwrap_or_default(), scope, rest_names),
            ["providers", "microsoft.insights", "eventtypes", "management", "values"] => {
                Self::activity_log(fixed.get(..split).unwrap_or_default(), scope)
            }
            _ => Self::Unknown,
        }
    }

    fn managed_cluster(scope: &[&str], scope_names: &[&str], names: &[&str]) -> Self {
        let (["subscriptions", _, "resourcegroups", _], [_, subscription, _, group]) = (scope, scope_names) else {
            return Self::Unknown;
        };
        let (subscription, group) = ((*subscription).to_owned(), (*group).to_owned());
        match names {
            [_, _, _, name] => Self::ManagedCluster {
                subscription,
                group,
                name: (*name).to_owned(),
            },
            [_, _, _, name, _] => Self::ClusterUserCredential {
                subscription,
                group,
                name: (*name).to_owned(),
            },
            _ => Self::Unknown,
        }
    }

    fn activity_log(scope: &[&str], scope_names: &[&str]) -> Self {
        match (scope, scope_names) {
            (["subscriptions", _], [_, subscription]) => Self::ActivityLog((*subscription).to_owned()),
            _ => Self::Unknown,
        }
    }

    fn without_provider(fixed: &[&str], names: &[&str]) -> Self {
        match (fixed, names) {
            (["subscriptions"], _) => Self::Subscriptions,
            (["subscriptions", _], [_, subscription]) => Self::Subscription((*subscription).to_owned()),
            (["subscriptions", _, "resources"], [_, subscription, _]) => Self::Resources((*subscription).to_owned()),
            (["subscriptions", _, "resourcegroups"], [_, subscription, _]) => Self::Groups((*subscription).to_owned()),
            (["subscriptions", _, "resourcegroups", _], [_, subscription, _, name]) => Self::Group {
                subscription: (*subscription).to_owned(),
                name: (*name).to_owned(),
            },
            (["subscriptions", _, "operationresults", _], [_, subscription, _, name]) => Self::Operation {
                subscription: (*subscription).to_owned(),
                name: (*name).to_owned(),
            },
            _ => Self::Unknown,
        }
    }

    fn provider(scope: &[&str], scope_names: &[&str], names: &[&str]) -> Self {
        match (scope, scope_names, names) {
            (["subscriptions", _], [_, subscription], [_, namespace]) => Self::Provider {
                subscription: (*subscription).to_owned(),
                namespace: (*namespace).to_owned(),
            },
            (["subscriptions", _], [_, subscription], [_, namespace, _]) => Self::Registration {
                subscription: (*subscription).to_owned(),
                namespace: (*namespace).to_owned(),
            },
            _ => Self::Unknown,
        }
    }

    fn authorization(kind: &str, scope: &[&str], names: &[&str]) -> Self {
        let scope = format!("/{}", scope.join("/"));
        match (kind, names) {
            ("roleassignments", [_, _, _]) => Self::RoleAssignments { scope },
            ("roleassignments", [_, _, _, name]) => Self::RoleAssignment {
                scope,
                name: (*name).to_owned(),
            },
            ("roledefinitions", [_, _, _]) => Self::RoleDefinitions { scope },
            ("roledefinitions", [_, _, _, name]) => Self::RoleDefinition {
                scope,
                name: (*name).to_owned(),
            },
            ("locks", [_, _, _]) => Self::Locks { scope },
            ("locks", [_, _, _, name]) => Self::Lock {
                scope,
                name: (*name).to_owned(),
            },
            _ => Self::Unknown,
        }
    }

    fn managed_identity(scope: &[&str], scope_names: &[&str], fixed: &[&str], names: &[&str]) -> Self {
        let (subscription, group) = match (scope, scope_names) {
            (["subscriptions", _], [_, subscription]) => (*subscription, None),
            (["subscriptions", _, "resourcegroups", _], [_, subscription, _, group]) => (*subscription, Some(*group)),
            _ => return Self::Unknown,
        };
        let id = |name: &str| IdentityId::new(subscription, group.unwrap_or_default(), name);
        match (fixed, names) {
            ([_, _, _], _) => Self::Identities {
                subscription: subscription.to_owned(),
                group: group.map(str::to_owned),
            },
            _ if group.is_none() => Self::Unknown,
            ([_, _, _, _], [_, _, _, name]) => Self::Identity(id(name)),
            ([_, _, _, _, "federatedidentitycredentials"], [_, _, _, name, _]) => Self::Credentials(id(name)),
            ([_, _, _, _, "federatedidentitycredentials", _], [_, _, _, name, _, credential]) => {
                Self::Credential(id(name), (*credential).to_owned())
            }
            ([_, _, _, _, action], [_, _, _, name, _]) => Self::IdentityAction(id(name), (*action).to_owned()),
            _ => Self::Unknown,
        }
    }

    pub(crate) fn kind(&self) -> ResourceKind {
        match self {
            Self::Subscriptions | Self::Subscription(_) => ResourceKind::Subscription,
            Self::Resources(_) => ResourceKind::Resource,
            Self::Provider { .. } | Self::Registration { .. } => ResourceKind::Provider,
            Self::Locks { .. } | Self::Lock { .. } => ResourceKind::Lock,
            Self::Tags { .. } => ResourceKind::Tags,
            Self::ActivityLog(_) => ResourceKind::ActivityLog,
            Self::ManagedCluster { .. } | Self::ClusterUserCredential { .. } => ResourceKind::ManagedCluster,
            Self::Groups(_) | Self::Group { .. } => ResourceKind::ResourceGroup,
            Self::Operation { .. } => ResourceKind::Operation,
            Self::Identities { .. } | Self::Identity(_) | Self::IdentityAction(..) => ResourceKind::Identity,
            Self::Credentials(_) | Self::Credential(..) => ResourceKind::Credential,
            Self::RoleAssignments { .. } | Self::RoleAssignment { .. } => ResourceKind::RoleAssignment,
            Self::RoleDefinitions { .. } | Self::RoleDefinition { .. } => ResourceKind::RoleDefinition,
            Self::Unknown => ResourceKind::Other,
        }
    }

    /// The subscription that the call is counted for.
    pub(crate) fn subscription(&self) -> Option<&str> {
        match self {
            Self::Subscription(subscription)
            | Self::Resources(subscription)
            | Self::ActivityLog(subscription)
            | Self::Groups(subscription)
            | Self::Group { subscription, .. }
            | Self::Operation { subscription, .. }
            | Self::ManagedCluster { subscription, .. }
            | Self::ClusterUserCredential { subscription, .. }
            | Self::Provider { subscription, .. }
            | Self::Registration { subscription, .. }
            | Self::Identities { subscription, .. } => Some(subscription),
            Self::Identity(id) | Self::IdentityAction(id, _) | Self::Credentials(id) | Self::Credential(id, _) => {
                Some(&id.subscription_id)
            }
            Self::RoleAssignments { scope }
            | Self::RoleAssignment { scope, .. }
            | Self::RoleDefinitions { scope }
            | Self::RoleDefinition { scope, .. }
            | Self::Locks { scope }
            | Self::Lock { scope, .. }
            | Self::Tags { scope } => subscription_of(scope),
            Self::Subscriptions | Self::Unknown => None,
        }
    }

    /// Whether a resource provider answers, and not Azure Resource Manager itself.
    pub(crate) fn has_provider(&self) -> bool {
        matches!(
            self,
            Self::Identities { .. }
                | Self::ManagedCluster { .. }
                | Self::ClusterUserCredential { .. }
                | Self::Identity(_)
                | Self::IdentityAction(..)
                | Self::Credentials(_)
                | Self::Credential(..)
                | Self::RoleAssignments { .. }
                | Self::RoleAssignment { .. }
                | Self::RoleDefinitions { .. }
                | Self::RoleDefinition { .. }
        )
    }

    /// The identity that a write of a federated credential changes.
    pub(crate) fn credential_owner(&self) -> Option<&IdentityId> {
        match self {
            Self::Credential(id, _) => Some(id),
            _ => None,
        }
    }

    /// The [operation](https://learn.microsoft.com/azure/role-based-access-control/resource-provider-operations) that a
    /// role must grant for the call.
    pub(crate) fn action(&self, method: &Method) -> Option<String> {
        let resource = match self {
            Self::Subscription(_) => "Microsoft.Resources/subscriptions",
            Self::Groups(_) | Self::Group { .. } => "Microsoft.Resources/subscriptions/resourceGroups",
            Self::Operation { .. } => "Microsoft.Resources/subscriptions/operationresults",
            Self::Identities { .. } | Self::Identity(_) => "Microsoft.ManagedIdentity/userAssignedIdentities",
            Self::IdentityAction(_, action) => {
                return Some(format!(
                    "Microsoft.ManagedIdentity/userAssignedIdentities/{action}/action"
                ));
            }
            Self::Registration { namespace, .. } => return Some(format!("{namespace}/register/action")),
            Self::Provider { .. } => "Microsoft.Resources/subscriptions/providers",
            Self::Credentials(_) | Self::Credential(..) => {
                "Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials"
            }
            Self::RoleAssignments { .. } | Self::RoleAssignment { .. } => "Microsoft.Authorization/roleAssignments",
            Self::RoleDefinitions { .. } | Self::RoleDefinition { .. } => "Microsoft.Authorization/roleDefinitions",
            Self::Locks { .. } | Self::Lock { .. } => "Microsoft.Authorization/locks",
            Self::ManagedCluster { .. } => "Microsoft.ContainerService/managedClusters",
            Self::ClusterUserCredential { .. } => {
                return Some("Microsoft.ContainerService/managedClusters/listClusterUserCredential/action".to_owned());
            }
            Self::Tags { .. } => "Microsoft.Resources/tags",
            Self::Resources(_) => "Microsoft.Resources/subscriptions/resources",
            Self::ActivityLog(_) => "Microsoft.Insights/eventtypes/values",
            // Everybody sees those in which there is something for him.
            Self::Subscriptions | Self::Unknown => return None,
        };
        let verb = match *method {
            Method::GET | Method::HEAD => "read",
            Method::DELETE => "delete",
            _ => "write",
        };
        Some(format!("{resource}/{verb}"))
    }
}

/// The subscription in which a scope lies; a management group or the tenant lies in none.
pub(crate) fn subscription_of(scope: &str) -> Option<&str> {
    let mut segments = scope.split('/').skip(1);
    match segments.next() {
        Some(first) if first.eq_ignore_ascii_case("subscriptions") => segments.next(),
        _ => None,
    }
}

/// Whether `scope` is `above` or lies below it, segment by segment and in any case.
pub(crate) fn lies_within(scope: &str, above: &str) -> bool {
    let mut inner = scope.split('/').filter(|segment| !segment.is_empty());
    above
        .split('/')
        .filter(|segment| !segment.is_empty())
        .all(|outer| inner.next().is_some_and(|segment| segment.eq_ignore_ascii_case(outer)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUB: &str = "00000000-0000-0000-0000-000000000001";

    #[test]
    fn a_path_is_read_in_any_case() {
        let path = format!(
            "/SUBSCRIPTIONS/{SUB}/resourcegroups/Rg/providers/microsoft.MANAGEDIDENTITY/userassignedidentities/Ide/federatedidentitycredentials/F1"
        );
        assert_eq!(
            Target::parse(&path),
            Target::Credential(IdentityId::new(SUB, "Rg", "Ide"), "F1".to_owned())
        );
    }

    #[test]
    fn dot_segments_are_resolved_even_when_they_are_encoded() {
        let base = format!(
            "/subscriptions/{SUB}/resourceGroups/rg/providers/Microsoft.ManagedIdentity/userAssignedIdentities"
        );
        let other = Target::Identity(IdentityId::new(SUB, "rg", "b"));
        assert_eq!(Target::parse(&format!("{base}/a/../b")), other);
        assert_eq!(Target::parse(&format!("{base}/a%2f..%2Fb")), other);
    }

    #[test]
    fn a_role_assignment_extends_the_resource_before_it() {
        let vault = format!("/subscriptions/{SUB}/resourceGroups/rg/providers/Microsoft.KeyVault/vaults/v");
        let path = format!("{vault}/providers/Microsoft.Authorization/roleAssignments/n");
        assert_eq!(
            Target::parse(&path),
            Target::RoleAssignment {
                scope: vault,
                name: "n".to_owned()
            }
        );
    }

    #[test]
    fn a_scope_is_a_prefix_of_segments_and_not_of_characters() {
        assert!(lies_within("/subscriptions/a/resourceGroups/rg", "/Subscriptions/A"));
        assert!(!lies_within(
            "/subscriptions/a/resourceGroups/rg2",
            "/subscriptions/a/resourceGroups/rg"
        ));
        assert!(!lies_within("/subscriptions/a", "/subscriptions/a/resourceGroups/rg"));
        assert!(lies_within("/subscriptions/a", "/"));
    }
}
