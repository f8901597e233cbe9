# The operator's own identity, its trust in one cluster, its roles, and what they are assigned at. Take it as a module:
#
#   module "workload_identity_operator" {
#     source          = "./config/azure"
#     subscription_id = "..."
#     location        = "westeurope"
#     issuers         = { shop = azurerm_kubernetes_cluster.shop.oidc_issuer_url }
#   }
#
# and, for identities of others and for role assignments, also:
#
#     existing_identity_scopes  = ["/subscriptions/.../resourceGroups/platform"]
#     role_assignment_scopes    = ["/subscriptions/.../resourceGroups/platform"]
#     assignable_roles          = ["4633458b-17de-408a-b874-0445c86b69e6"] # Key Vault Secrets User
#
# and, where the operator protects the identities by which its clusters act (azure.clusterId of the chart):
#
#     clusters = { shop = azurerm_kubernetes_cluster.shop.id }

terraform {
  required_version = ">= 1.9"
  required_providers {
    azurerm = {
      source  = "hashicorp/azurerm"
      version = ">= 4.0, < 5.0"
    }
  }
}

locals {
  subscription = "/subscriptions/${var.subscription_id}"
  # The same files that `az role definition create` takes.
  roles = {
    for name in ["identities", "federated-credentials", "role-assignments", "role-assignments-reader", "activity-log-reader", "cluster-reader"] :
    name => jsondecode(file("${path.module}/roles/${name}.json"))
  }
  assigns_roles = length(var.role_assignment_scopes) > 0
  condition = replace(
    file("${path.module}/roles/role-assignments.condition"), "ROLES", join(", ", var.assignable_roles)
  )
}

# Where the operator creates the identities of bindings.
resource "azurerm_resource_group" "identities" {
  name     = var.resource_group
  location = var.location
}

# Where its own identity lies: it has no role there, or it could change whom that identity trusts.
resource "azurerm_resource_group" "operator" {
  name     = var.operator_resource_group
  location = var.location
}

resource "azurerm_user_assigned_identity" "operator" {
  name                = "workload-identity-operator"
  resource_group_name = azurerm_resource_group.operator.name
  location            = var.location
}

resource "azurerm_federated_identity_credential" "operator" {
  for_each            = var.issuers
  name                = each.key
  resource_group_name = azurerm_resource_group.operator.name
  parent_id           = azurerm_user_assigned_identity.operator.id
  issuer              = each.value
  subject             = "system:serviceaccount:workload-identity-system:workload-identity-operator"
  audience            = ["api://AzureADTokenExchange"]
}

resource "azurerm_role_definition" "operator" {
  for_each          = local.roles
  name              = each.value.Name
  description       = each.value.Description
  scope             = local.subscription
  assignable_scopes = [local.subscription]
  permissions {
    actions = each.value.Actions
  }
}

resource "azurerm_role_assignment" "identities" {
  for_each           = merge({ own = azurerm_resource_group.identities.id }, { for id in var.managed_resource_groups : id => id })
  scope              = each.value
  role_definition_id = azurerm_role_definition.operator["identities"].role_definition_resource_id
  principal_id       = azurerm_user_assigned_identity.operator.principal_id
  principal_type     = "ServicePrincipal"
}

resource "azurerm_role_assignment" "federated_credentials" {
  for_each           = var.existing_identity_scopes
  scope              = each.value
  role_definition_id = azurerm_role_definition.operator["federated-credentials"].role_definition_resource_id
  principal_id       = azurerm_user_assigned_identity.operator.principal_id
  principal_type     = "ServicePrincipal"
}

resource "azurerm_role_assignment" "role_assignments" {
  for_each           = var.role_assignment_scopes
  scope              = each.value
  role_definition_id = azurerm_role_definition.operator["role-assignments"].role_definition_resource_id
  principal_id       = azurerm_user_assigned_identity.operator.principal_id
  principal_type     = "ServicePrincipal"
  condition_version  = "2.0"
  condition          = local.condition
}

resource "azurerm_role_assignment" "role_assignments_reader" {
  count              = local.assigns_roles ? 1 : 0
  scope              = local.subscription
  role_definition_id = azurerm_role_definition.operator["role-assignments-reader"].role_definition_resource_id
  principal_id       = azurerm_user_assigned_identity.operator.principal_id
  principal_type     = "ServicePrincipal"
}

resource "azurerm_role_assignment" "activity_log_reader" {
  count              = var.follow_activity_log ? 1 : 0
  scope              = local.subscription
  role_definition_id = azurerm_role_definition.operator["activity-log-reader"].role_definition_resource_id
  principal_id       = azurerm_user_assigned_identity.operator.principal_id
  principal_type     = "ServicePrincipal"
}

resource "azurerm_role_assignment" "cluster_reader" {
  for_each           = var.clusters
  scope              = each.value
  role_definition_id = azurerm_role_definition.operator["cluster-reader"].role_definition_resource_id
  principal_id       = azurerm_user_assigned_identity.operator.principal_id
  principal_type     = "ServicePrincipal"
}
