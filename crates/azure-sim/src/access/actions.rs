//! The [operations](https://learn.microsoft.com/azure/role-based-access-control/resource-provider-operations) that there
//! are, of the providers that matter to workload identities.

use crate::access::patterns::covers;

/// The beginnings of operations that are known to the last one.
const KNOWN: [&str; 3] = [
    "microsoft.authorization/",
    "microsoft.containerservice/managedclusters/customresources/",
    "microsoft.managedidentity/",
];

const OPERATIONS: [&str; 51] = [
    "Microsoft.Authorization/classicAdministrators/read",
    "Microsoft.Authorization/classicAdministrators/write",
    "Microsoft.Authorization/classicAdministrators/delete",
    "Microsoft.Authorization/denyAssignments/read",
    "Microsoft.Authorization/denyAssignments/write",
    "Microsoft.Authorization/denyAssignments/delete",
    "Microsoft.Authorization/elevateAccess/action",
    "Microsoft.Authorization/locks/read",
    "Microsoft.Authorization/locks/write",
    "Microsoft.Authorization/locks/delete",
    "Microsoft.Authorization/operations/read",
    "Microsoft.Authorization/permissions/read",
    "Microsoft.Authorization/policyAssignments/read",
    "Microsoft.Authorization/policyAssignments/write",
    "Microsoft.Authorization/policyAssignments/delete",
    "Microsoft.Authorization/policyAssignments/exempt/action",
    "Microsoft.Authorization/policyDefinitions/read",
    "Microsoft.Authorization/policyDefinitions/write",
    "Microsoft.Authorization/policyDefinitions/delete",
    "Microsoft.Authorization/policyExemptions/read",
    "Microsoft.Authorization/policyExemptions/write",
    "Microsoft.Authorization/policyExemptions/delete",
    "Microsoft.Authorization/policySetDefinitions/read",
    "Microsoft.Authorization/policySetDefinitions/write",
    "Microsoft.Authorization/policySetDefinitions/delete",
    "Microsoft.Authorization/providerOperations/read",
    "Microsoft.Authorization/roleAssignmentScheduleInstances/read",
    "Microsoft.Authorization/roleAssignmentScheduleRequests/read",
    "Microsoft.Authorization/roleAssignmentScheduleRequests/write",
    "Microsoft.Authorization/roleAssignmentSchedules/read",
    "Microsoft.Authorization/roleAssignments/read",
    "Microsoft.Authorization/roleAssignments/write",
    "Microsoft.Authorization/roleAssignments/delete",
    "Microsoft.Authorization/roleDefinitions/read",
    "Microsoft.Authorization/roleDefinitions/write",
    "Microsoft.Authorization/roleDefinitions/delete",
    // Of the custom resources the documentation shows `read`; the others are in the source of Guard, AKS's webhook.
    "Microsoft.ContainerService/managedClusters/customresources/read",
    "Microsoft.ContainerService/managedClusters/customresources/write",
    "Microsoft.ContainerService/managedClusters/customresources/delete",
    "Microsoft.ManagedIdentity/identities/read",
    "Microsoft.ManagedIdentity/operations/read",
    "Microsoft.ManagedIdentity/register/action",
    "Microsoft.ManagedIdentity/userAssignedIdentities/read",
    "Microsoft.ManagedIdentity/userAssignedIdentities/write",
    "Microsoft.ManagedIdentity/userAssignedIdentities/delete",
    "Microsoft.ManagedIdentity/userAssignedIdentities/assign/action",
    "Microsoft.ManagedIdentity/userAssignedIdentities/listAssociatedResources/action",
    "Microsoft.ManagedIdentity/userAssignedIdentities/revokeTokens/action",
    "Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials/read",
    "Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials/write",
    "Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials/delete",
];

/// Whether a provider has an operation that the pattern of a role definition names. Of other providers every name with
/// the form of an operation is taken.
pub(crate) fn is_supported(pattern: &str) -> bool {
    let lower = pattern.to_lowercase();
    if KNOWN.iter().any(|known| lower.starts_with(known)) {
        return OPERATIONS.iter().any(|operation| covers(pattern, operation));
    }
    pattern == "*" || pattern.contains('/')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_known_provider_does_not_have_is_not_supported() {
        for good in [
            "*",
            "*/read",
            "Microsoft.Authorization/*/Delete",
            "microsoft.managedidentity/userassignedidentities/*",
            "Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials/write",
            "Microsoft.KeyVault/vaults/secrets/getSecret/action",
        ] {
            assert!(is_supported(good), "{good}");
        }
        for bad in [
            "",
            "read",
            "Microsoft.Authorization/roleAssignment/write",
            "Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredential/read",
            "Microsoft.ContainerService/managedClusters/customresources/writ",
        ] {
            assert!(!is_supported(bad), "{bad}");
        }
    }
}
