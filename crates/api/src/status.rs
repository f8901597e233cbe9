//! The status of a `WorkloadIdentityBinding`: what was observed and done, never what was wished for.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value, json};

use crate::condition::ConditionType;
use crate::reading::Fields;
use crate::workloads::WorkloadsStatus;

/// What was observed and done.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkloadIdentityBindingStatus {
    /// The generation of the spec that this status speaks of, or -1 before the operator saw the binding.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// The value of the annotation workloadidentity.dev/reconcile-at, its first 64 bytes, for which Azure was last looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_handled_reconcile_at: Option<String>,

    /// Ready, Reconciling, Stalled, Authorized, IdentityReady, FederatedCredentialsReady, ServiceAccountsReady,
    /// RoleAssignmentsReady, TokenExchangeVerified and WorkloadsReady. Reconciling and Stalled are absent when they are not true, RoleAssignmentsReady when
    /// no role is asked for, TokenExchangeVerified when no proof is, and WorkloadsReady where the operator does not look at pods.
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

    /// The issuer of this cluster's service account tokens, whom the federated credentials trust.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,

    /// The federated credentials that exist for this binding.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".to_owned()]))]
    pub federated_credentials: Vec<FederatedCredentialStatus>,

    /// The federated credentials of issuers that the cluster had before. They stay as long as a token can live, for pods whose
    /// tokens were issued before. For a moment also those that are about to be written for another issuer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".to_owned()]))]
    pub retiring_federated_credentials: Vec<RetiringFederatedCredentialStatus>,

    /// How many of the identity's federated credentials are used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub federated_credential_usage: Option<FederatedCredentialUsage>,

    /// The service accounts that carry the identity's client id.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".to_owned()]))]
    pub service_accounts: Vec<ServiceAccountStatus>,

    /// The ConfigMaps that hold the identity's ids, or are about to: the one of spec.export, and one that is still to be deleted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub exported_config_maps: Vec<String>,

    /// The role assignments that exist for this binding.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["id".to_owned()]))]
    pub role_assignments: Vec<RoleAssignmentStatus>,

    /// The exchanges of the service accounts' tokens for one of the identity, as spec.verification asks for them. Absent where none is asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["serviceAccount".to_owned()]))]
    pub token_exchanges: Vec<TokenExchangeStatus>,

    /// The service accounts whose federated credential this binding wrote, or was about to, though another binding of the namespace that asks for a proof rests
    /// on it. What that one had proven before is asked for once more. They are told of for two days.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["serviceAccount".to_owned()]))]
    pub credential_rewrites: Vec<CredentialRewriteStatus>,

    /// The object ids of service principals that the identity had before it was created anew, as long as role assignments of this binding
    /// may be left of them: Azure leaves those behind.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub former_principal_ids: Vec<String>,

    /// Whether something may have been written for this binding, to Azure or to a service account: from before the first request that
    /// writes, also when it was refused. As long as it is absent, a deletion asks nothing of Azure.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub written: bool,

    /// The subscriptions and management groups in which the operator assigned roles for this binding or was about to: where it
    /// looks for what is to be taken away.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub role_assignment_scopes: Vec<String>,

    /// The pods of the service accounts, as they were last seen. Absent where the operator was not told to look at pods: that is its setting
    /// --workloads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workloads: Option<WorkloadsStatus>,

    /// The fields that this version cannot read, as they stand: a newer one wrote them, and may read them again.
    #[serde(flatten)]
    #[schemars(skip)]
    pub unreadable: Map<String, Value>,
}

/// It succeeds for every status that any version wrote.
impl<'de> Deserialize<'de> for WorkloadIdentityBindingStatus {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut fields = Fields::of(Value::deserialize(deserializer)?);
        Ok(Self {
            observed_generation: fields.take("observedGeneration"),
            last_handled_reconcile_at: fields.take("lastHandledReconcileAt"),
            conditions: fields.take("conditions"),
            authorized_by: fields.take("authorizedBy"),
            identity: fields.take("identity"),
            issuer: fields.take("issuer"),
            federated_credentials: fields.take("federatedCredentials"),
            retiring_federated_credentials: fields.take("retiringFederatedCredentials"),
            federated_credential_usage: fields.take("federatedCredentialUsage"),
            service_accounts: fields.take("serviceAccounts"),
            exported_config_maps: fields.take("exportedConfigMaps"),
            role_assignments: fields.take("roleAssignments"),
            token_exchanges: fields.take("tokenExchanges"),
            credential_rewrites: fields.take("credentialRewrites"),
            former_principal_ids: fields.take("formerPrincipalIds"),
            written: fields.take("written"),
            role_assignment_scopes: fields.take("roleAssignmentScopes"),
            workloads: fields.take("workloads"),
            unreadable: fields.into_what_stands(),
        })
    }
}

impl WorkloadIdentityBindingStatus {
    /// The condition of a type; none when it does not stand there.
    #[must_use]
    pub fn condition(&self, kind: ConditionType) -> Option<&Condition> {
        let mut conditions = self.conditions.iter();
        conditions.find(|condition| condition.type_ == kind.as_str())
    }

    /// Lets go of what could not be read where it is known anew.
    pub fn replace_unreadable(&mut self) {
        let mut unreadable = std::mem::take(&mut self.unreadable);
        let written = json!(self);
        unreadable.retain(|field, _| written.get(field).is_none());
        self.unreadable = unreadable;
    }
}

/// The identity as Azure knows it. It stands here with its resource id alone from before it is created until it is certain that it is
/// this binding's.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IdentityStatus {
    /// The identity's Azure resource id.
    pub resource_id: String,
    /// The identity's name in Azure.
    pub name: String,
    /// The client id, also called application id, which the service accounts carry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// The object id of the service principal: claim oid of its tokens and the principal of role assignments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal_id: Option<String>,
    /// The Entra tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant_id: Option<String>,
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

/// One federated credential of an issuer that the cluster had before.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RetiringFederatedCredentialStatus {
    /// The credential's name in Azure.
    pub name: String,
    /// The service account that it is for.
    pub service_account: String,
    /// The issuer that Entra expects.
    pub issuer: String,
    /// The subject that Entra expects: system:serviceaccount:NAMESPACE:NAME.
    pub subject: String,
    /// The audience that Entra expects.
    pub audience: String,
    /// When it is deleted, at the earliest. Absent when the operator did not see itself that the issuer was replaced: it may be another
    /// cluster's then, and the credential stays until the operator's setting --former-issuer names the issuer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Time>,
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
    /// The federated credential of somebody else on which Entra's trust in this service account rests. Absent when it rests on the
    /// operator's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub foreign_credential: Option<String>,
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

/// The exchange of a service account's token for one of the identity.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TokenExchangeStatus {
    /// The service account.
    pub service_account: String,
    /// What the proof rests on, as a hash: issuer, subject, audience, tenant, client id and the federated credential. Where one of them changes,
    /// nothing is proven.
    pub facts: String,
    /// When Microsoft Entra last gave a token. Absent when it never did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verified_at: Option<Time>,
    /// Why a token is still waited for. Absent when the last exchange passed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending: Option<PendingExchange>,
}

/// An exchange that did not pass yet.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PendingExchange {
    /// Since when a token is waited for.
    pub since: Time,
    /// Why there is none: TokenExchangeAwaited, TokenExchangeRefused, TokenExchangeNotTried or TokenRequestForbidden.
    pub reason: String,
    /// The same in words, with Microsoft Entra's code where it gave one.
    pub message: String,
}

/// A federated credential that was written though another binding rests on it.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CredentialRewriteStatus {
    /// The service account.
    pub service_account: String,
    /// When, in whole seconds.
    pub at: Time,
}
