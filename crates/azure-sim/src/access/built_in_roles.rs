//! Azure's [built-in roles](https://learn.microsoft.com/azure/role-based-access-control/built-in-roles), those that
//! matter to workload identities.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use jiff::Timestamp;
use uuid::{Uuid, uuid};

use crate::model::{Permission, RoleDefinition};

struct BuiltIn {
    id: Uuid,
    name: &'static str,
    description: &'static str,
    actions: &'static [&'static str],
    not_actions: &'static [&'static str],
    data_actions: &'static [&'static str],
}

const NONE: BuiltIn = BuiltIn {
    id: Uuid::nil(),
    name: "",
    description: "",
    actions: &[],
    not_actions: &[],
    data_actions: &[],
};

/// When Azure got roles; the days of the single ones are nothing to anybody.
const INTRODUCED: Timestamp = Timestamp::constant(1_422_914_109, 0);

const BUILT_IN: [BuiltIn; 18] = [
    BuiltIn {
        id: uuid!("8e3af657-a8ff-443c-a75c-2fe8c4bcb635"),
        name: "Owner",
        description: "Grants full access to manage all resources, including the ability to assign roles in Azure RBAC.",
        actions: &["*"],
        ..NONE
    },
    BuiltIn {
        id: uuid!("b24988ac-6180-42a0-ab88-20f7382dd24c"),
        name: "Contributor",
        description: "Grants full access to manage all resources, but does not allow you to assign roles in Azure RBAC, manage assignments in Azure Blueprints, or share image galleries.",
        actions: &["*"],
        not_actions: &[
            "Microsoft.Authorization/*/Delete",
            "Microsoft.Authorization/*/Write",
            "Microsoft.Authorization/elevateAccess/Action",
            "Microsoft.Blueprint/blueprintAssignments/write",
            "Microsoft.Blueprint/blueprintAssignments/delete",
            "Microsoft.Compute/galleries/share/action",
            "Microsoft.Purview/consents/write",
            "Microsoft.Purview/consents/delete",
            "Microsoft.Resources/deploymentStacks/manageDenySetting/action",
            "Microsoft.Subscription/cancel/action",
            "Microsoft.Subscription/enable/action",
        ],
        ..NONE
    },
    BuiltIn {
        id: uuid!("acdd72a7-3385-48ef-bd42-f606fba81ae7"),
        name: "Reader",
        description: "View all resources, but does not allow you to make any changes.",
        actions: &["*/read"],
        ..NONE
    },
    BuiltIn {
        id: uuid!("18d7d88d-d35e-4fb5-a5c3-7773c20a72d9"),
        name: "User Access Administrator",
        description: "Lets you manage user access to Azure resources.",
        actions: &["*/read", "Microsoft.Authorization/*", "Microsoft.Support/*"],
        ..NONE
    },
    BuiltIn {
        id: uuid!("f58310d9-a9f6-439a-9e8d-f62e7b41a168"),
        name: "Role Based Access Control Administrator",
        description: "Manage access to Azure resources by assigning roles using Azure RBAC. This role does not allow you to manage access using other ways, such as Azure Policy.",
        actions: &[
            "Microsoft.Authorization/roleAssignments/write",
            "Microsoft.Authorization/roleAssignments/delete",
            "*/read",
            "Microsoft.Support/*",
        ],
        ..NONE
    },
    BuiltIn {
        id: uuid!("e40ec5ca-96e0-45a2-b4ff-59039f2c2b59"),
        name: "Managed Identity Contributor",
        description: "Create, Read, Update, and Delete User Assigned Identity",
        actions: &[
            "Microsoft.ManagedIdentity/userAssignedIdentities/read",
            "Microsoft.ManagedIdentity/userAssignedIdentities/write",
            "Microsoft.ManagedIdentity/userAssignedIdentities/delete",
            "Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials/read",
            "Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials/write",
            "Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials/delete",
            "Microsoft.ManagedIdentity/userAssignedIdentities/revokeTokens/action",
            "Microsoft.Authorization/*/read",
            "Microsoft.Insights/alertRules/*",
            "Microsoft.Resources/subscriptions/resourceGroups/read",
            "Microsoft.Resources/deployments/*",
            "Microsoft.Support/*",
        ],
        ..NONE
    },
    BuiltIn {
        id: uuid!("f1a07417-d97a-45cb-824c-7a7467783830"),
        name: "Managed Identity Operator",
        description: "Read and Assign User Assigned Identity",
        actions: &[
            "Microsoft.ManagedIdentity/userAssignedIdentities/*/read",
            "Microsoft.ManagedIdentity/userAssignedIdentities/*/assign/action",
            "Microsoft.Authorization/*/read",
            "Microsoft.Insights/alertRules/*",
            "Microsoft.Resources/subscriptions/resourceGroups/read",
            "Microsoft.Resources/deployments/*",
            "Microsoft.Support/*",
        ],
        ..NONE
    },
    BuiltIn {
        id: uuid!("00482a5a-887f-4fb3-b363-3b7fe8e74483"),
        name: "Key Vault Administrator",
        description: "Perform all data plane operations on a key vault and all objects in it, including certificates, keys, and secrets.",
        actions: &["Microsoft.Authorization/*/read", "Microsoft.KeyVault/vaults/*/read"],
        data_actions: &["Microsoft.KeyVault/vaults/*"],
        ..NONE
    },
    BuiltIn {
        id: uuid!("21090545-7ca7-4776-b22c-e363652d74d2"),
        name: "Key Vault Reader",
        description: "Read metadata of key vaults and its certificates, keys, and secrets.",
        actions: &["Microsoft.KeyVault/vaults/*/read"],
        data_actions: &[
            "Microsoft.KeyVault/vaults/*/read",
            "Microsoft.KeyVault/vaults/secrets/readMetadata/action",
        ],
        ..NONE
    },
    BuiltIn {
        id: uuid!("4633458b-17de-408a-b874-0445c86b69e6"),
        name: "Key Vault Secrets User",
        description: "Read secret contents.",
        data_actions: &[
            "Microsoft.KeyVault/vaults/secrets/getSecret/action",
            "Microsoft.KeyVault/vaults/secrets/readMetadata/action",
        ],
        ..NONE
    },
    BuiltIn {
        id: uuid!("b86a8fe4-44ce-4948-aee5-eccb2c155cd7"),
        name: "Key Vault Secrets Officer",
        description: "Perform any action on the secrets of a key vault, except manage permissions.",
        actions: &["Microsoft.Authorization/*/read", "Microsoft.KeyVault/vaults/*/read"],
        data_actions: &["Microsoft.KeyVault/vaults/secrets/*"],
        ..NONE
    },
    BuiltIn {
        id: uuid!("12338af0-0e69-4776-bea7-57ae8d297424"),
        name: "Key Vault Crypto User",
        description: "Perform cryptographic operations using keys.",
        data_actions: &[
            "Microsoft.KeyVault/vaults/keys/read",
            "Microsoft.KeyVault/vaults/keys/sign/action",
            "Microsoft.KeyVault/vaults/keys/verify/action",
        ],
        ..NONE
    },
    BuiltIn {
        id: uuid!("2a2b9908-6ea1-4ae2-8e65-a410df84e7d1"),
        name: "Storage Blob Data Reader",
        description: "Allows for read access to Azure Storage blob containers and data",
        actions: &[
            "Microsoft.Storage/storageAccounts/blobServices/containers/read",
            "Microsoft.Storage/storageAccounts/blobServices/generateUserDelegationKey/action",
        ],
        data_actions: &["Microsoft.Storage/storageAccounts/blobServices/containers/blobs/read"],
        ..NONE
    },
    BuiltIn {
        id: uuid!("ba92f5b4-2d11-453d-a403-e96b0029c9fe"),
        name: "Storage Blob Data Contributor",
        description: "Allows for read, write and delete access to Azure Storage blob containers and data",
        actions: &[
            "Microsoft.Storage/storageAccounts/blobServices/containers/delete",
            "Microsoft.Storage/storageAccounts/blobServices/containers/read",
            "Microsoft.Storage/storageAccounts/blobServices/containers/write",
            "Microsoft.Storage/storageAccounts/blobServices/generateUserDelegationKey/action",
        ],
        data_actions: &["Microsoft.Storage/storageAccounts/blobServices/containers/blobs/*"],
        ..NONE
    },
    BuiltIn {
        id: uuid!("b7e6dc6d-f1e8-4753-8033-0f276bb0955b"),
        name: "Storage Blob Data Owner",
        description: "Allows for full access to Azure Storage blob containers and data, including assigning POSIX access control.",
        actions: &[
            "Microsoft.Storage/storageAccounts/blobServices/containers/*",
            "Microsoft.Storage/storageAccounts/blobServices/generateUserDelegationKey/action",
        ],
        data_actions: &["Microsoft.Storage/storageAccounts/blobServices/containers/blobs/*"],
        ..NONE
    },
    BuiltIn {
        id: uuid!("7f951dda-4ed3-4680-a7ca-43fe172d538d"),
        name: "AcrPull",
        description: "acr pull",
        actions: &["Microsoft.ContainerRegistry/registries/pull/read"],
        ..NONE
    },
    BuiltIn {
        id: uuid!("69a216fc-b8fb-44d8-bc22-1f3c2cd27a39"),
        name: "Azure Service Bus Data Sender",
        description: "Allows for send access to Azure Service Bus resources.",
        actions: &[
            "Microsoft.ServiceBus/*/queues/read",
            "Microsoft.ServiceBus/*/topics/read",
            "Microsoft.ServiceBus/*/topics/subscriptions/read",
        ],
        data_actions: &["Microsoft.ServiceBus/*/send/action"],
        ..NONE
    },
    BuiltIn {
        id: uuid!("3913510d-42f4-4e42-8a64-420c390055eb"),
        name: "Monitoring Metrics Publisher",
        description: "Enables publishing metrics against Azure resources",
        actions: &[
            "Microsoft.Insights/Register/Action",
            "Microsoft.Support/*",
            "Microsoft.Resources/subscriptions/resourceGroups/read",
        ],
        data_actions: &["Microsoft.Insights/Metrics/Write", "Microsoft.Insights/Telemetry/Write"],
        ..NONE
    },
];

static DEFINITIONS: LazyLock<BTreeMap<Uuid, RoleDefinition>> =
    LazyLock::new(|| BUILT_IN.iter().map(|role| (role.id, role.definition())).collect());

/// The built-in roles by their GUIDs.
pub(crate) fn built_in_roles() -> &'static BTreeMap<Uuid, RoleDefinition> {
    &DEFINITIONS
}

// === impl BuiltIn ===

impl BuiltIn {
    fn definition(&self) -> RoleDefinition {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        RoleDefinition {
            name: self.id,
            role_name: self.name.to_owned(),
            description: Some(self.description.to_owned()),
            custom: false,
            permissions: vec![Permission {
                actions: owned(self.actions),
                not_actions: owned(self.not_actions),
                data_actions: owned(self.data_actions),
                not_data_actions: Vec::new(),
            }],
            assignable_scopes: vec!["/".to_owned()],
            created_on: Some(INTRODUCED),
            updated_on: Some(INTRODUCED),
            created_by: None,
            updated_by: None,
        }
    }
}
