//! `WorkloadIdentityBinding`: which service accounts get tokens of which Entra identity.

use std::collections::BTreeMap;

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::status::WorkloadIdentityBindingStatus;

/// Gives the pods of the named service accounts Microsoft Entra tokens of one managed identity, with no secret.
#[derive(CustomResource, KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "workloadidentity.dev",
    version = "v1alpha1",
    kind = "WorkloadIdentityBinding",
    namespaced,
    status = "WorkloadIdentityBindingStatus",
    derive = "PartialEq",
    derive = "Default",
    shortname = "wib",
    category = "azure-identity"
)]
#[serde(rename_all = "camelCase")]
pub struct WorkloadIdentityBindingSpec {
    /// The identity whose tokens the pods get: exactly one of `managed` and `existing`.
    pub identity: IdentitySource,

    /// The service accounts of this namespace that may use the identity.
    pub service_accounts: Vec<BoundServiceAccount>,

    /// Azure roles that the identity is given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub role_assignments: Vec<AssignedRole>,

    /// The audience of the tokens that the pod webhook mints. Default: the operator's configuration, which is
    /// `api://AzureADTokenExchange` unless it was changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audience: Option<String>,

    /// What becomes of the Azure objects when this binding is deleted.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,

    /// While true nothing is written to Azure or to service accounts; what stands keeps working. Deletion still works.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub suspend: bool,
}

/// Where the identity comes from: exactly one field is set.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IdentitySource {
    /// The operator creates the user-assigned managed identity and owns it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub managed: Option<ManagedIdentity>,

    /// Someone else owns the identity; the operator only adds and removes its own federated credentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub existing: Option<ExistingIdentity>,
}

/// A user-assigned managed identity that the operator creates.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ManagedIdentity {
    /// The identity's name in Azure. Default: derived from namespace and name, with a hash of the cluster's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,

    /// The subscription of the identity, a GUID. Default: the operator's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subscription_id: Option<String>,

    /// The resource group of the identity. Default: the operator's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_group: Option<String>,

    /// The Azure region of the identity. Default: the operator's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,

    /// Tags put on the identity beside the operator's own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
}

/// A user-assigned managed identity that someone else owns.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExistingIdentity {
    /// The identity's Azure resource id:
    /// `/subscriptions/<id>/resourceGroups/<group>/providers/Microsoft.ManagedIdentity/userAssignedIdentities/<name>`.
    pub resource_id: String,
}

/// A service account of the binding's namespace whose pods may use the identity.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BoundServiceAccount {
    /// The service account's name.
    pub name: String,

    /// Whether the operator creates the service account when it is missing. False: Helm or Git owns it and it must exist.
    #[serde(default = "yes")]
    pub create: bool,

    /// The lifetime in seconds of the projected service account token. Default: the pod webhook's, 3600.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_expiration_seconds: Option<i64>,

    /// What to do when another field manager holds a different value of one of our annotations.
    #[serde(default)]
    pub conflict_policy: ConflictPolicy,
}

const fn yes() -> bool {
    true
}

/// An Azure role that the identity is given at a scope.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AssignedRole {
    /// The role: a built-in role's name or a role definition's GUID.
    pub role: String,

    /// The Azure resource id at which the role holds.
    pub scope: String,
}

/// What becomes of the Azure objects when the binding is deleted.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum DeletionPolicy {
    /// Federated credentials, role assignments, annotations and a managed identity are removed.
    #[default]
    Delete,
    /// As Delete, but a managed identity stays in Azure, without our trust.
    RetainIdentity,
    /// Everything stays as it is; the operator only lets go of the binding.
    Orphan,
}

/// What to do when another field manager holds a different value of one of our annotations.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ConflictPolicy {
    /// The binding stalls with reason `ServiceAccountConflict` that names the manager and the field.
    #[default]
    Report,
    /// The operator takes the field over.
    Force,
}
