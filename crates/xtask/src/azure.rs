//! Who may do what in Azure: the one table from which the roles in `config/azure` and the page that explains them come.

use std::fmt::Write;

use serde::Serialize;
use wio_core::config::LOCKED_ROLES;

/// A custom role: <https://learn.microsoft.com/azure/role-based-access-control/role-definitions>.
#[derive(Debug)]
pub(crate) struct Role {
    /// Where its definition lies, from the repository's root.
    pub(crate) path: &'static str,
    pub(crate) name: &'static str,
    /// What it is for. Azure shows it beside the name.
    pub(crate) purpose: &'static str,
    /// Where it is to be assigned.
    pub(crate) scope: &'static str,
    pub(crate) permissions: &'static [Permission],
}

/// One action of a role.
#[derive(Debug)]
pub(crate) struct Permission {
    /// Why it is needed.
    pub(crate) reason: &'static str,
    pub(crate) action: &'static str,
    pub(crate) plane: Plane,
}

/// What an action is carried out on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plane {
    /// Resources of Azure Resource Manager.
    Control,
    /// What a resource holds: here the API server of a cluster.
    Data,
}

const READ_IDENTITY: Permission = Permission {
    reason: "It reads an identity before it changes or deletes anything of it, and lists those of a resource group, to find what others changed and what bindings left that are gone.",
    action: "Microsoft.ManagedIdentity/userAssignedIdentities/read",
    plane: Plane::Control,
};
const READ_CREDENTIALS: Permission = Permission {
    reason: "It lists an identity's federated credentials, to find what differs and to leave alone what is not its own, and reads one that it may not delete.",
    action: "Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials/read",
    plane: Plane::Control,
};
const WRITE_CREDENTIALS: Permission = Permission {
    reason: "It writes one federated credential for each bound service account.",
    action: "Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials/write",
    plane: Plane::Control,
};
const DELETE_CREDENTIALS: Permission = Permission {
    reason: "It ends trust by deleting its federated credentials.",
    action: "Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials/delete",
    plane: Plane::Control,
};

/// The operator's roles.
pub(crate) const OPERATOR: &[Role] = &[
    Role {
        path: "config/azure/roles/identities.json",
        name: "Workload Identity Operator - Identities",
        purpose: "Lets the Workload Identity Operator create, change and delete managed identities and their federated credentials.",
        scope: "the operator's resource group, and every other one that a policy names under managedIdentities",
        permissions: &[
            READ_IDENTITY,
            Permission {
                reason: "It creates an identity, and changes its tags.",
                action: "Microsoft.ManagedIdentity/userAssignedIdentities/write",
                plane: Plane::Control,
            },
            Permission {
                reason: "It deletes an identity that it created, with the binding.",
                action: "Microsoft.ManagedIdentity/userAssignedIdentities/delete",
                plane: Plane::Control,
            },
            READ_CREDENTIALS,
            WRITE_CREDENTIALS,
            DELETE_CREDENTIALS,
        ],
    },
    Role {
        path: "config/azure/roles/federated-credentials.json",
        name: "Workload Identity Operator - Federated Credentials",
        purpose: "Lets the Workload Identity Operator add and remove federated credentials of managed identities that others own.",
        scope: "the identities that a policy names under existingIdentities, or their resource groups",
        permissions: &[READ_IDENTITY, READ_CREDENTIALS, WRITE_CREDENTIALS, DELETE_CREDENTIALS],
    },
    Role {
        path: "config/azure/roles/role-assignments.json",
        name: "Workload Identity Operator - Role Assignments",
        purpose: "Lets the Workload Identity Operator give roles to managed identities and take them away. Assign it with the \
                  condition in config/azure, or it can make anybody an owner.",
        scope: "the scopes of the roles that a policy names, with the condition",
        permissions: &[
            Permission {
                reason: "It gives an identity the roles that its binding asks for.",
                action: "Microsoft.Authorization/roleAssignments/write",
                plane: Plane::Control,
            },
            Permission {
                reason: "It takes away what it gave, before the identity goes.",
                action: "Microsoft.Authorization/roleAssignments/delete",
                plane: Plane::Control,
            },
        ],
    },
    Role {
        path: "config/azure/roles/role-assignments-reader.json",
        name: "Workload Identity Operator - Role Assignments Reader",
        purpose: "Lets the Workload Identity Operator find the role assignments of its identities.",
        scope: "every subscription in which it assigns roles: Azure lists them by subscription only",
        permissions: &[Permission {
            reason: "It lists the roles of an identity, and all of a subscription, to find what differs and who else uses the identity.",
            action: "Microsoft.Authorization/roleAssignments/read",
            plane: Plane::Control,
        }],
    },
    Role {
        path: "config/azure/roles/activity-log-reader.json",
        name: "Workload Identity Operator - Activity Log Reader",
        purpose: "Lets the Workload Identity Operator see in the activity log who changed a federated credential. It is optional: without it \
                  the operator looks at each identity far more often.",
        scope: "every subscription in which it has identities or roles; it is optional",
        permissions: &[Permission {
            reason: "It reads who changed an identity, a federated credential or a role, so that it need not look at each of them all the time.",
            action: "Microsoft.Insights/eventtypes/values/read",
            plane: Plane::Control,
        }],
    },
    Role {
        path: "config/azure/roles/cluster-reader.json",
        name: "Workload Identity Operator - Cluster Reader",
        purpose: "Lets the Workload Identity Operator see by which identities its AKS cluster acts on Azure, which no binding may have. It is for \
                  --cluster-id.",
        scope: "the AKS cluster that --cluster-id names; without that it is not needed",
        permissions: &[Permission {
            reason: "It reads which identities the control plane, the kubelets and the add-ons have, and which resource group the nodes, to refuse them to bindings.",
            action: "Microsoft.ContainerService/managedClusters/read",
            plane: Plane::Control,
        }],
    },
];

/// A role for people of clusters that let Entra authorize.
pub(crate) const BINDING_EDITOR: Role = Role {
    path: "config/azure/people/binding-editor.json",
    name: "Workload Identity Binding Editor",
    purpose: "Lets people edit WorkloadIdentityBindings of an AKS cluster with Entra authorization. Assign it with its \
              condition, or it is for the custom resources of everybody.",
    scope: "a namespace of a cluster, with its condition",
    permissions: &[
        Permission {
            reason: "get, list, watch",
            action: "Microsoft.ContainerService/managedClusters/customresources/read",
            plane: Plane::Data,
        },
        Permission {
            reason: "create, update, patch",
            action: "Microsoft.ContainerService/managedClusters/customresources/write",
            plane: Plane::Data,
        },
        Permission {
            reason: "delete, deletecollection",
            action: "Microsoft.ContainerService/managedClusters/customresources/delete",
            plane: Plane::Data,
        },
    ],
};

/// Stands for the GUIDs of the roles that may be assigned.
const ROLES: &str = "ROLES";

/// Takes the place of the subscription's GUID.
const SUBSCRIPTION: &str = "00000000-0000-0000-0000-000000000000";

/// As `az role definition create` takes it.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Definition {
    name: &'static str,
    is_custom: bool,
    description: &'static str,
    actions: Vec<&'static str>,
    not_actions: [&'static str; 0],
    data_actions: Vec<&'static str>,
    not_data_actions: [&'static str; 0],
    assignable_scopes: [String; 1],
}

/// What a role allows on resources of Azure Resource Manager.
pub(crate) fn actions(role: &Role) -> Vec<&'static str> {
    of_plane(role, Plane::Control)
}

fn of_plane(role: &Role, plane: Plane) -> Vec<&'static str> {
    let of_plane = role.permissions.iter().filter(|permission| permission.plane == plane);
    of_plane.map(|permission| permission.action).collect()
}

/// The definition of a role, as JSON.
pub(crate) fn definition(role: &Role) -> anyhow::Result<String> {
    let definition = Definition {
        name: role.name,
        is_custom: true,
        description: role.purpose,
        actions: actions(role),
        not_actions: [],
        data_actions: of_plane(role, Plane::Data),
        not_data_actions: [],
        assignable_scopes: [format!("/subscriptions/{SUBSCRIPTION}")],
    };
    Ok(serde_json::to_string_pretty(&definition)? + "\n")
}

/// Which role assignments whoever holds the role may write and delete. What is written is told by the request, what is
/// deleted by the resource: <https://learn.microsoft.com/azure/role-based-access-control/delegate-role-assignments-examples>.
pub(crate) fn assignments_condition() -> String {
    // Whatever else it allows, not the roles that manage access.
    let locked = LOCKED_ROLES.map(|role| role.to_string()).join(", ");
    let branches = [("write", "Request"), ("delete", "Resource")].map(|(verb, source)| {
        let attribute = format!("@{source}[Microsoft.Authorization/roleAssignments");
        format!(
            "(\n (\n  !(ActionMatches{{'Microsoft.Authorization/roleAssignments/{verb}'}})\n )\n OR\n (\n  \
             {attribute}:RoleDefinitionId] ForAnyOfAnyValues:GuidEquals {{{ROLES}}}\n  AND\n  \
             {attribute}:RoleDefinitionId] ForAnyOfAllValues:GuidNotEquals {{{locked}}}\n  AND\n  \
             {attribute}:PrincipalType] ForAnyOfAnyValues:StringEqualsIgnoreCase {{'ServicePrincipal'}}\n )\n)\n"
        )
    });
    branches.join("AND\n")
}

/// Limits [`BINDING_EDITOR`] to bindings. The attribute that is called kind holds the resource's plural:
/// <https://learn.microsoft.com/azure/aks/entra-id-authorization#available-condition-attributes>.
pub(crate) fn bindings_condition() -> String {
    let actions: Vec<String> = BINDING_EDITOR
        .permissions
        .iter()
        .map(|permission| format!("  !(ActionMatches{{'{}'}})\n", permission.action))
        .collect();
    let attribute = "@Request[Microsoft.ContainerService/managedClusters/customResources";
    let group = wio_api::GROUP;
    format!(
        "(\n (\n{} )\n OR\n (\n  {attribute}:group] StringEqualsIgnoreCase '{group}'\n  AND\n  \
         {attribute}:kind] StringEqualsIgnoreCase 'workloadidentitybindings'\n )\n)\n",
        actions.join("  AND\n")
    )
}

/// The page that says what each action is for.
pub(crate) fn markdown() -> String {
    let mut text = String::from(
        "<!-- Generated by `cargo xtask generate`: change it in crates/xtask/src/azure.rs. -->\n\
         # What the operator may do in Azure, and why\n\n\
         An end-to-end test compares these roles with the requests that the operator sends: none is unused, none is missing.\n",
    );
    for role in OPERATOR {
        let file = role.path.trim_start_matches("config/azure/");
        let _ = write!(
            text,
            "\n## {}\n[{file}]({file}). Assign it at: {}.\n\n| action | why |\n|---|---|\n",
            role.name, role.scope
        );
        for permission in role.permissions {
            let _ = writeln!(text, "| `{}` | {} |", permission.action, permission.reason);
        }
    }
    text += "\n## Roles that the condition never lets it assign or delete\n| role | GUID |\n|---|---|\n";
    for role in LOCKED_ROLES {
        let _ = writeln!(text, "| {} | `{role}` |", role.built_in_name().unwrap_or_default());
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::{Value, json};

    use super::*;

    fn all() -> impl Iterator<Item = &'static Role> {
        OPERATOR.iter().chain([&BINDING_EDITOR])
    }

    #[test]
    fn no_role_has_a_wildcard_or_an_action_twice() {
        for role in all() {
            let actions: BTreeSet<&str> = role.permissions.iter().map(|permission| permission.action).collect();
            assert_eq!(actions.len(), role.permissions.len(), "{role:?}");
            for permission in role.permissions {
                let verb = permission.action.rsplit('/').next().unwrap();
                assert!(["read", "write", "delete"].contains(&verb), "{permission:?}");
                assert!(!permission.action.contains('*'), "{permission:?}");
            }
        }
    }

    #[test]
    fn the_operator_reads_no_data_and_signs_in_as_nobody() {
        for permission in OPERATOR.iter().flat_map(|role| role.permissions) {
            assert_eq!(permission.plane, Plane::Control, "{permission:?}");
            // Giving an identity to a machine is another way to its tokens.
            assert!(!permission.action.contains("assign/"), "{permission:?}");
            assert!(permission.reason.ends_with('.'), "{permission:?}");
        }
    }

    #[test]
    fn what_assigns_roles_does_nothing_else_so_that_its_condition_is_about_all_of_it() {
        let condition = assignments_condition();
        let assigning = OPERATOR.iter().filter(|role| {
            let mut actions = role.permissions.iter().map(|permission| permission.action);
            actions.any(|action| action.starts_with("Microsoft.Authorization/") && !action.ends_with("/read"))
        });
        let assigning: Vec<&Role> = assigning.collect();
        assert_eq!(assigning.len(), 1);
        for permission in assigning.iter().flat_map(|role| role.permissions) {
            let branch = format!("!(ActionMatches{{'{}'}})", permission.action);
            assert!(condition.contains(&branch), "{permission:?}: {condition}");
        }
    }

    #[test]
    fn the_assignments_condition_is_of_the_form_that_microsoft_documents() {
        assert_eq!(
            assignments_condition(),
            "(
 (
  !(ActionMatches{'Microsoft.Authorization/roleAssignments/write'})
 )
 OR
 (
  @Request[Microsoft.Authorization/roleAssignments:RoleDefinitionId] ForAnyOfAnyValues:GuidEquals {ROLES}
  AND
  @Request[Microsoft.Authorization/roleAssignments:RoleDefinitionId] ForAnyOfAllValues:GuidNotEquals {8e3af657-a8ff-443c-a75c-2fe8c4bcb635, 18d7d88d-d35e-4fb5-a5c3-7773c20a72d9, f58310d9-a9f6-439a-9e8d-f62e7b41a168}
  AND
  @Request[Microsoft.Authorization/roleAssignments:PrincipalType] ForAnyOfAnyValues:StringEqualsIgnoreCase {'ServicePrincipal'}
 )
)
AND
(
 (
  !(ActionMatches{'Microsoft.Authorization/roleAssignments/delete'})
 )
 OR
 (
  @Resource[Microsoft.Authorization/roleAssignments:RoleDefinitionId] ForAnyOfAnyValues:GuidEquals {ROLES}
  AND
  @Resource[Microsoft.Authorization/roleAssignments:RoleDefinitionId] ForAnyOfAllValues:GuidNotEquals {8e3af657-a8ff-443c-a75c-2fe8c4bcb635, 18d7d88d-d35e-4fb5-a5c3-7773c20a72d9, f58310d9-a9f6-439a-9e8d-f62e7b41a168}
  AND
  @Resource[Microsoft.Authorization/roleAssignments:PrincipalType] ForAnyOfAnyValues:StringEqualsIgnoreCase {'ServicePrincipal'}
 )
)
"
        );
    }

    #[test]
    fn the_bindings_condition_names_every_action_of_its_role_and_our_resource() {
        let condition = bindings_condition();
        for permission in BINDING_EDITOR.permissions {
            assert!(condition.contains(permission.action), "{condition}");
        }
        let crd = wio_api::crd();
        assert!(condition.contains(&format!(":group] StringEqualsIgnoreCase '{}'", crd.spec.group)));
        assert!(condition.contains(&format!(":kind] StringEqualsIgnoreCase '{}'", crd.spec.names.plural)));
    }

    #[test]
    fn a_definition_has_what_the_azure_cli_asks_for() {
        let text = definition(&OPERATOR[1]).unwrap();
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["Name"], "Workload Identity Operator - Federated Credentials");
        assert_eq!(value["IsCustom"], true);
        assert_eq!(value["Actions"].as_array().unwrap().len(), 4);
        assert_eq!(value["DataActions"], json!([]));
        assert_eq!(
            value["AssignableScopes"],
            json!([format!("/subscriptions/{SUBSCRIPTION}")])
        );
    }
}
