//! The status of a `WorkloadIdentityBinding`: what was observed and done, never what was wished for.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What was observed and done.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkloadIdentityBindingStatus {
    /// The generation of the spec that this status speaks of, or -1 before the operator saw the binding.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// Ready, Reconciling, Stalled, Authorized, IdentityReady, FederatedCredentialsReady, ServiceAccountsReady and
    /// RoleAssignmentsReady. Reconciling and Stalled are absent when they are not true, RoleAssignmentsReady when no role is
    /// asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".to_owned()]))]
    pub conditions: Vec<Condition>,

    /// The names of the policies that allow this binding what it has. Absent when none had to: an identity that the operator
    /// creates in its own resource group, without roles, is allowed by default.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub authorized_by: Vec<String>,

    /// The identity as Azure knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<IdentityStatus>,

    /// The issuer of this cluster's service account tokens, as its discovery document says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,

    /// The federated credentials that exist for this binding.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".to_owned()]))]
    pub federated_credentials: Vec<FederatedCredentialStatus>,

    /// How many of the identity's federated credentials are used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub federated_credential_usage: Option<FederatedCredentialUsage>,

    /// The service accounts that carry the identity's client id.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".to_owned()]))]
    pub service_accounts: Vec<ServiceAccountStatus>,

    /// The role assignments that exist for this binding.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["id".to_owned()]))]
    pub role_assignments: Vec<RoleAssignmentStatus>,

    /// The subscriptions and management groups in which the operator assigned roles for this binding or was about to: where it
    /// looks for what is to be taken away.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub role_assignment_scopes: Vec<String>,
}

/// The identity as Azure knows it.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IdentityStatus {
    /// The identity's Azure resource id.
    pub resource_id: String,
    /// The identity's name in Azure.
    pub name: String,
    /// The client id, also called application id, which the service accounts carry.
    pub client_id: String,
    /// The object id of the service principal: claim oid of its tokens and the principal of role assignments.
    pub principal_id: String,
    /// The Entra tenant.
    pub tenant_id: String,
    /// Created when the operator created the identity and owns it, Adopted when it took over one that was there before,
    /// Referenced when someone else owns it.
    pub origin: IdentityOrigin,
}

/// How the identity came to be.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum IdentityOrigin {
    /// Created and owned by the operator.
    Created,
    /// Taken over by the operator, which owns it now.
    Adopted,
    /// Owned by someone else.
    Referenced,
}

/// One federated credential: Entra trusts this subject's tokens from this cluster.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FederatedCredentialStatus {
    /// The credential's name in Azure.
    pub name: String,
    /// The service account that it is for.
    pub service_account: String,
    /// The subject that Entra expects: system:serviceaccount:NAMESPACE:NAME.
    pub subject: String,
    /// The audience that Entra expects.
    pub audience: String,
}

/// How many of the identity's federated credentials are used; Azure allows 20.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FederatedCredentialUsage {
    /// Credentials of this binding.
    pub ours: u32,
    /// Credentials of anybody else.
    pub foreign: u32,
    /// The most that Azure allows in one identity.
    pub limit: u32,
}

/// A service account that carries the identity's client id.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceAccountStatus {
    /// The service account's name.
    pub name: String,
    /// Its UID: another UID under the same name is another service account.
    pub uid: String,
    /// Created when the operator created it, Adopted when it was there before.
    pub origin: ServiceAccountOrigin,
}

/// How the service account came to be.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ServiceAccountOrigin {
    /// Created by the operator.
    Created,
    /// It was there before; the operator only annotates it.
    Adopted,
}

/// A role assignment that exists for this binding.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RoleAssignmentStatus {
    /// The role assignment's Azure resource id.
    pub id: String,
    /// The role as the spec names it.
    pub role: String,
    /// The scope at which it holds.
    pub scope: String,
}
