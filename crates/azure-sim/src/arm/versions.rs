//! The api-versions of each resource type.

use http::{Method, StatusCode};

use crate::answer::{Answer, Outcome};
use crate::incoming::Incoming;
use crate::target::Target;

/// `isolationScope` came with this version.
pub(super) const WITH_ISOLATION_SCOPE: &str = "2024-11-30";
/// `assignmentRestrictions` came with this version.
pub(super) const WITH_ASSIGNMENT_RESTRICTIONS: &str = "2026-05-31";
/// From this version on, a credential of an identity that is not replicated yet is answered in Microsoft Graph's words.
pub(super) const WITH_GRAPH_ERRORS: &str = "2026-04-30";
/// Previews from this one on know `claimsMatchingExpression`.
pub(super) const WITH_FLEXIBLE_CREDENTIALS: &str = "2025-01-31-preview";
/// The action `revokeTokens` came with this version.
pub(super) const WITH_TOKEN_REVOCATION: &str = "2023-07-31-preview";
/// The action `listAssociatedResources` was in these previews alone.
pub(super) const WITH_ASSOCIATED_RESOURCES: [&str; 2] = ["2021-09-30-preview", "2022-01-31-preview"];

const RESOURCES: [&str; 14] = [
    "2019-10-01",
    "2020-01-01",
    "2020-06-01",
    "2020-10-01",
    "2021-01-01",
    "2021-04-01",
    "2022-09-01",
    "2022-12-01",
    "2023-07-01",
    "2024-03-01",
    "2024-07-01",
    "2024-11-01",
    "2025-03-01",
    "2025-04-01",
];
const ACTIVITY_LOG: [&str; 1] = ["2015-04-01"];
const MANAGED_CLUSTERS: [&str; 4] = ["2024-09-01", "2025-03-01", "2025-08-01", "2026-06-01"];
const LOCKS: [&str; 3] = ["2016-09-01", "2017-04-01", "2020-05-01"];
const IDENTITIES: [&str; 11] = [
    "2015-08-31-preview",
    "2018-11-30",
    "2021-09-30-preview",
    "2022-01-31-preview",
    "2023-01-31",
    "2023-07-31-preview",
    "2024-11-30",
    "2025-01-31-preview",
    "2025-05-31-preview",
    "2026-04-30",
    "2026-05-31",
];
const CREDENTIALS: [&str; 8] = [
    "2022-01-31-preview",
    "2023-01-31",
    "2023-07-31-preview",
    "2024-11-30",
    "2025-01-31-preview",
    "2025-05-31-preview",
    "2026-04-30",
    "2026-05-31",
];
const AUTHORIZATION: [&str; 10] = [
    "2015-07-01",
    "2018-01-01-preview",
    "2018-07-01",
    "2018-09-01-preview",
    "2020-03-01-preview",
    "2020-04-01-preview",
    "2020-08-01-preview",
    "2020-10-01-preview",
    "2022-04-01",
    "2022-05-01-preview",
];

const OF_MANAGED_IDENTITY: [(&str, &[&str]); 2] = [
    ("userAssignedIdentities", &IDENTITIES),
    ("userAssignedIdentities/federatedIdentityCredentials", &CREDENTIALS),
];
const OF_CONTAINER_SERVICE: [(&str, &[&str]); 1] = [("managedClusters", &MANAGED_CLUSTERS)];
const OF_AUTHORIZATION: [(&str, &[&str]); 3] = [
    ("roleAssignments", &AUTHORIZATION),
    ("roleDefinitions", &AUTHORIZATION),
    ("locks", &LOCKS),
];
const OF_RESOURCES: [(&str, &[&str]); 4] = [
    ("subscriptions", &RESOURCES),
    ("subscriptions/providers", &RESOURCES),
    ("resourceGroups", &RESOURCES),
    ("tags", &RESOURCES),
];

/// The resource types of a provider, with their api-versions.
pub(super) fn of_provider(namespace: &str) -> &'static [(&'static str, &'static [&'static str])] {
    match namespace {
        "Microsoft.ManagedIdentity" => &OF_MANAGED_IDENTITY,
        "Microsoft.Authorization" => &OF_AUTHORIZATION,
        "Microsoft.Resources" => &OF_RESOURCES,
        "Microsoft.ContainerService" => &OF_CONTAINER_SERVICE,
        _ => &[],
    }
}

/// The resource type and its api-versions; `None` when there is no such type.
fn of_target(target: &Target) -> Option<(&'static str, &'static [&'static str])> {
    Some(match target {
        Target::Subscriptions
        | Target::Subscription(_)
        | Target::Resources(_)
        | Target::Groups(_)
        | Target::Group { .. }
        | Target::Operation { .. }
        | Target::Provider { .. }
        | Target::Registration { .. }
        | Target::Tags { .. } => ("", &RESOURCES),
        Target::Locks { .. } | Target::Lock { .. } => ("Microsoft.Authorization/locks", &LOCKS),
        Target::Identities { .. } | Target::Identity(_) | Target::IdentityAction(..) => {
            ("Microsoft.ManagedIdentity/userAssignedIdentities", &IDENTITIES)
        }
        Target::Credentials(_) | Target::Credential(..) => (
            "Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials",
            &CREDENTIALS,
        ),
        Target::RoleAssignments { .. } | Target::RoleAssignment { .. } => {
            ("Microsoft.Authorization/roleAssignments", &AUTHORIZATION)
        }
        Target::RoleDefinitions { .. } | Target::RoleDefinition { .. } => {
            ("Microsoft.Authorization/roleDefinitions", &AUTHORIZATION)
        }
        Target::ManagedCluster { .. } | Target::ClusterUserCredential { .. } => {
            ("Microsoft.ContainerService/managedClusters", &MANAGED_CLUSTERS)
        }
        Target::ActivityLog(_) => ("Microsoft.Insights/eventtypes", &ACTIVITY_LOG),
        Target::Unknown => return None,
    })
}

/// The api-version of the call, which must be one of its resource type.
pub(super) fn check<'a>(target: &Target, incoming: &'a Incoming) -> Outcome<&'a str> {
    let version = incoming
        .query("api-version")
        .filter(|version| !version.is_empty())
        .ok_or_else(|| {
            let message = "The api-version query parameter (?api-version=) is required for all requests.";
            gateway("MissingApiVersionParameter", message.to_owned())
        })?;
    let (resource_type, supported) = of_target(target).ok_or_else(|| unknown_type(incoming))?;
    if supported.contains(&version) {
        return Ok(version);
    }
    let all = supported.join(",");
    let known = [&RESOURCES[..], &IDENTITIES, &AUTHORIZATION, &MANAGED_CLUSTERS]
        .iter()
        .any(|others| others.contains(&version));
    match resource_type.split_once('/') {
        // A version that exists, but not for this type. Both answers were seen in Azure.
        Some((_, resource_type)) if known && incoming.method == Method::GET => {
            let message = format!(
                "No registered resource provider found for location 'westeurope' and API version '{version}' for type '{resource_type}'. The supported api-versions are '{all}'. The supported locations are 'westeurope'."
            );
            Err(gateway("NoRegisteredProviderFound", message))
        }
        Some((namespace, resource_type)) if known => {
            let message = format!(
                "The resource type '{resource_type}' could not be found in the namespace '{namespace}' for api version '{version}'. The supported api-versions are '{all}'."
            );
            Err(Answer::gateway_not_found("InvalidResourceType", message))
        }
        _ => {
            let message = format!("The api-version '{version}' is invalid. The supported versions are '{all}'.");
            Err(gateway("InvalidApiVersionParameter", message))
        }
    }
}

fn unknown_type(incoming: &Incoming) -> Answer {
    let message = format!("The resource type of '{}' could not be found.", incoming.path);
    Answer::gateway_not_found("InvalidResourceType", message)
}

fn gateway(code: &str, message: String) -> Answer {
    Answer::error(StatusCode::BAD_REQUEST, code, message).with_header("x-ms-failure-cause", "gateway")
}
