variable "subscription_id" {
  description = "The subscription in which the roles are defined and role assignments are read."
  type        = string
}

variable "location" {
  description = "The region of the resource groups and of the operator's own identity."
  type        = string
}

variable "issuers" {
  description = "The OIDC issuers of the clusters in which the operator runs as this identity, by a name for each. Exactly as the cluster says it: AKS ends it with a slash."
  type        = map(string)

  validation {
    condition     = alltrue([for issuer in var.issuers : startswith(issuer, "https://")])
    error_message = "An issuer is an https address, as the cluster's /.well-known/openid-configuration has it."
  }
}

variable "resource_group" {
  description = "The name of the resource group that is made for the identities of bindings."
  type        = string
  default     = "workload-identities"
}

variable "operator_resource_group" {
  description = "The name of the resource group that is made for the operator's own identity. Nothing else belongs in it."
  type        = string
  default     = "workload-identity-operator"
}

variable "managed_resource_groups" {
  description = "The ids of other resource groups in which policies let the operator create and delete identities."
  type        = set(string)
  default     = []
}

variable "existing_identity_scopes" {
  description = "The ids of identities, or of their resource groups, that others own and bindings may use."
  type        = set(string)
  default     = []
}

variable "role_assignment_scopes" {
  description = "The ids of the scopes at which the operator may assign roles, in this subscription."
  type        = set(string)
  default     = []
}

variable "assignable_roles" {
  description = "The GUIDs of the roles that the operator may assign. It can take away no other role either."
  type        = set(string)
  default     = []

  validation {
    condition = alltrue([
      for role in var.assignable_roles : can(regex("^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$", role))
    ])
    error_message = "A role is named by its GUID in lower case, such as 4633458b-17de-408a-b874-0445c86b69e6."
  }

  validation {
    condition = length(setintersection(var.assignable_roles, [
      "8e3af657-a8ff-443c-a75c-2fe8c4bcb635",
      "18d7d88d-d35e-4fb5-a5c3-7773c20a72d9",
      "f58310d9-a9f6-439a-9e8d-f62e7b41a168",
    ])) == 0
    error_message = "Owner, User Access Administrator and Role Based Access Control Administrator are never assignable."
  }

  validation {
    condition     = length(var.assignable_roles) > 0 || length(var.role_assignment_scopes) == 0
    error_message = "Say which roles may be assigned at role_assignment_scopes."
  }
}

variable "follow_activity_log" {
  description = "Whether the operator may read the activity log of the subscription. Without it each identity is read far more often."
  type        = bool
  default     = true
}

variable "clusters" {
  description = "The ids of the AKS clusters that the operator reads to protect the identities by which they act, by a name for each."
  type        = map(string)
  default     = {}
}
