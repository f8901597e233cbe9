output "client_id" {
  description = "The client id of the operator's own identity: the chart's azure.clientId."
  value       = azurerm_user_assigned_identity.operator.client_id
}

output "principal_id" {
  description = "Its object id."
  value       = azurerm_user_assigned_identity.operator.principal_id
}

output "resource_group" {
  description = "Where the operator creates identities: the chart's azure.resourceGroup."
  value       = azurerm_resource_group.identities.name
}
