//! `WorkloadIdentityBinding`: which service accounts get tokens of which Entra identity.
//!
//! The doc comments of fields are what `kubectl explain` and the API reference say.

use std::collections::BTreeMap;

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::reading::{self, Fields, UnreadableField};
use crate::status::WorkloadIdentityBindingStatus;
use crate::{limits, rules};

/// What is wanted: an identity and the service accounts whose pods get its tokens.
#[derive(CustomResource, KubeSchema, Clone, Debug, Default, PartialEq, Serialize)]
#[kube(
    group = "workloadidentity.dev",
    version = "v1alpha1",
    kind = "WorkloadIdentityBinding",
    doc = "Gives the pods of the named service accounts Microsoft Entra tokens of one managed identity, with no secret anywhere. \
           Pods need the label azure.workload.identity/use: \"true\".",
    namespaced,
    status = "WorkloadIdentityBindingStatus",
    derive = "PartialEq",
    derive = "Default",
    shortname = "wib",
    category = "azure-identity",
    label("app.kubernetes.io/name", "workload-identity-operator"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        description = "Whether the pods of the service accounts get tokens.",
        json_path = r#".status.conditions[?(@.type=="Ready")].status"#
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        description = "Why it is ready or not.",
        json_path = r#".status.conditions[?(@.type=="Ready")].reason"#
    ),
    printcolumn(
        name = "Identity",
        type_ = "string",
        description = "The managed identity's name in Azure.",
        json_path = ".status.identity.name"
    ),
    printcolumn(
        name = "Client ID",
        type_ = "string",
        description = "The client id that the service accounts carry.",
        json_path = ".status.identity.clientId",
        priority = 1
    ),
    printcolumn(
        name = "Message",
        type_ = "string",
        description = "What is wrong and what to do, or that all is well.",
        json_path = r#".status.conditions[?(@.type=="Ready")].message"#,
        priority = 1
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[allow(
    clippy::duplicated_attributes,
    reason = "columns may have the same type and priority"
)]
pub struct WorkloadIdentityBindingSpec {
    /// The identity whose tokens the pods get: exactly one of managed and existing. Which identity it is cannot be changed.
    pub identity: IdentitySource,

    /// The service accounts of this namespace that may use the identity, 1 to 20.
    #[schemars(length(min = 1, max = limits::SERVICE_ACCOUNTS_MAX))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".to_owned()]))]
    pub service_accounts: Vec<BoundServiceAccount>,

    /// Azure roles that the identity is given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = limits::ROLE_ASSIGNMENTS_MAX))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["role".to_owned(), "scope".to_owned()]))]
    pub role_assignments: Vec<AssignedRole>,

    /// The audience of the tokens that the pod webhook mints. When it is left out, the operator's configuration decides:
    /// api://AzureADTokenExchange, unless that was changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = limits::AUDIENCE_CHARS_MAX))]
    #[x_kube(validation = rules::audience())]
    pub audience: Option<String>,

    /// Where else the identity's ids are written, for tools that read them there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub export: Option<Export>,

    /// Whether Ready is proven, by a token that the operator asks Microsoft Entra for. When it is left out, the operator's configuration decides: None,
    /// unless that was changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verification: Option<Verification>,

    /// Whether owners of pods that run without a token of the identity are restarted by the operator. Restart does it once for each Deployment,
    /// StatefulSet and DaemonSet and client id, one after the other, and only where a restart gives its pods the token. When it is left out, none is.
    /// The operator must be told that it may (--rollouts).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<Rollout>,

    /// What becomes of the Azure objects when this binding is deleted. Delete removes the federated credentials, the role
    /// assignments, the service accounts' annotations and a managed identity. RetainIdentity does the same but keeps a
    /// managed identity in Azure. Orphan leaves everything as it is.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,

    /// While it is true nothing is written to Azure or to service accounts, and what stands keeps working. Deletion still works,
    /// and so does taking away what is not permitted any more.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[schemars(extend("default" = false))]
    pub suspend: bool,

    /// What stands in the spec and this version cannot read: a newer schema let it in.
    #[serde(skip_serializing_if = "reading::is_a_note")]
    #[schemars(skip)]
    pub unreadable: Vec<UnreadableField>,
}

/// It succeeds for every spec that any version's schema let in: one object that this version cannot read must not hide all others.
impl<'de> Deserialize<'de> for WorkloadIdentityBindingSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut fields = Fields::of(Value::deserialize(deserializer)?);
        Ok(Self {
            identity: fields.take("identity"),
            service_accounts: fields.list("serviceAccounts", BoundServiceAccount::named),
            role_assignments: fields.list("roleAssignments", |_| None),
            audience: fields.take("audience"),
            export: fields.take("export"),
            verification: fields.take("verification"),
            rollout: fields.take("rollout"),
            // What was to become of it is not known: its trust ends with it, and nothing else is destroyed.
            deletion_policy: fields.take_or("deletionPolicy", || DeletionPolicy::RetainIdentity),
            suspend: fields.take("suspend"),
            unreadable: fields.unreadable(),
        })
    }
}

impl BoundServiceAccount {
    /// The service account that is named, when nothing else of it can be read: it may be trusted already.
    fn named(item: &Value) -> Option<Self> {
        Some(Self {
            name: item.get("name")?.as_str()?.to_owned(),
            create: false,
            token_expiration_seconds: None,
            conflict_policy: ConflictPolicy::Report,
        })
    }
}

/// Where the identity comes from: exactly one field is set.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = rules::some_source(),
    validation = rules::one_source(),
    validation = rules::same_source()
)]
pub struct IdentitySource {
    /// The operator creates this user-assigned managed identity and owns it. Every field is optional, so an empty object is enough.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub managed: Option<ManagedIdentity>,

    /// Someone else owns this identity; the operator only adds and removes its own federated credentials. A
    /// WorkloadIdentityPolicy says which ones may be bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub existing: Option<ExistingIdentity>,
}

/// A user-assigned managed identity that the operator creates.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = rules::immutable("name"),
    validation = rules::immutable("subscriptionId"),
    validation = rules::immutable("resourceGroup"),
    validation = rules::immutable("location")
)]
pub struct ManagedIdentity {
    /// The identity's name in Azure. When it is left out, it is derived from namespace and name of the binding, with a hash that
    /// also covers the cluster. Names that begin with wib- are derived ones and cannot be chosen. Cannot be changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = limits::IDENTITY_NAME_CHARS_MAX))]
    #[x_kube(validation = rules::identity_name(), validation = rules::name_not_reserved())]
    pub name: Option<String>,

    /// The subscription of the identity, a GUID. When it is left out, the operator's. Cannot be changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = limits::GUID_CHARS))]
    #[x_kube(validation = rules::guid())]
    pub subscription_id: Option<String>,

    /// The name of the identity's resource group. When it is left out, the operator's. Cannot be changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = limits::RESOURCE_GROUP_CHARS_MAX))]
    #[x_kube(validation = rules::resource_group())]
    pub resource_group: Option<String>,

    /// The Azure region of the identity, for example westeurope. When it is left out, the operator's. Cannot be changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = limits::LOCATION_CHARS_MAX))]
    #[x_kube(validation = rules::location())]
    pub location: Option<String>,

    /// Tags that are put on the identity beside the operator's own, at most 15. One that is taken out of here stays on the identity:
    /// others may have come to rely on it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 15, "additionalProperties" = {"type": "string", "maxLength": 256}))]
    #[x_kube(validation = rules::tag_names(), validation = rules::tags_not_reserved())]
    pub tags: BTreeMap<String, String>,

    /// Whether an identity that stands under this name already and belongs to no binding is taken over: it gets the operator's
    /// tags, and is deleted with the binding. A policy must allow it. Otherwise the binding stalls with reason IdentityNotOwned.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[schemars(extend("default" = false))]
    pub adopt: bool,
}

/// A user-assigned managed identity that someone else owns: by its resource id, or by name and resource group.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = rules::id_or_name(),
    validation = rules::same_way_to_name(),
    validation = rules::immutable("name"),
    validation = rules::immutable("resourceGroup"),
    validation = rules::immutable("subscriptionId")
)]
pub struct ExistingIdentity {
    /// The identity's Azure resource id:
    /// /subscriptions/GUID/resourceGroups/NAME/providers/Microsoft.ManagedIdentity/userAssignedIdentities/NAME.
    /// Cannot be changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = limits::IDENTITY_ID_CHARS_MAX))]
    #[x_kube(validation = rules::identity_id(), validation = rules::same_identity())]
    pub resource_id: Option<String>,

    /// The identity's name, in the place of its resource id. Cannot be changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = limits::IDENTITY_NAME_CHARS_MAX))]
    #[x_kube(validation = rules::identity_name())]
    pub name: Option<String>,

    /// The name of the resource group of the identity that name means. Cannot be changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = limits::RESOURCE_GROUP_CHARS_MAX))]
    #[x_kube(validation = rules::resource_group())]
    pub resource_group: Option<String>,

    /// The subscription of the identity that name means, a GUID. When it is left out, the operator's. Cannot be changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = limits::GUID_CHARS))]
    #[x_kube(validation = rules::guid())]
    pub subscription_id: Option<String>,
}

/// A service account of the binding's namespace whose pods may use the identity.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BoundServiceAccount {
    /// The service account's name.
    #[schemars(length(max = limits::SUBDOMAIN_CHARS_MAX))]
    #[x_kube(validation = rules::service_account_name())]
    pub name: String,

    /// Whether the operator creates the service account when it is missing, which it does when this is left out. False means that Helm or
    /// Git owns it and it must exist.
    #[serde(default = "yes")]
    pub create: bool,

    /// How long the projected service account token lives, in seconds, from one hour to one day. When it is left out, the pod
    /// webhook decides: one hour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 3600, max = 86400))]
    pub token_expiration_seconds: Option<i64>,

    /// What to do when another field manager holds a different value of one of the operator's annotations. Report, which it is when this
    /// is left out, stalls the binding with reason ServiceAccountConflict and names the manager and the field. Force takes the field over.
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
    /// The role: a built-in role's name, for example Key Vault Secrets User, the GUID of a role definition, or its whole id.
    #[schemars(length(max = limits::ROLE_CHARS_MAX))]
    #[x_kube(validation = rules::role())]
    pub role: String,

    /// The Azure resource id at which the role holds.
    #[schemars(length(max = limits::SCOPE_CHARS_MAX))]
    #[x_kube(validation = rules::scope())]
    pub scope: String,

    /// A condition under which the role holds, in the language of Azure's role assignment conditions, version 2.0. It narrows what the role gives,
    /// so it needs no more permission than the role has without one. It is changed in place, and one that somebody else changes is put back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = limits::CONDITION_CHARS_MAX))]
    #[x_kube(validation = rules::text_of_role("condition"))]
    pub condition: Option<String>,

    /// What stands beside the role assignment in Azure, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = limits::ROLE_DESCRIPTION_CHARS_MAX))]
    #[x_kube(validation = rules::text_of_role("description"))]
    pub description: Option<String>,
}

/// What the operator does about pods that run without a token of the identity.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Rollout {
    /// It restarts their owners, each once for a client id.
    Restart,
}

/// Where else the identity's ids are written.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Export {
    /// A ConfigMap of this namespace that the operator makes, with the keys clientId, tenantId and principalId, once Azure has the identity.
    /// It is deleted with the binding, whatever deletionPolicy says, and when it is not asked for any more. One of this name that somebody
    /// else made is never touched: the binding stalls with reason ExportConflict.
    pub config_map: ExportedConfigMap,
}

/// The ConfigMap that holds the identity's ids.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExportedConfigMap {
    /// The ConfigMap's name. Names that Kubernetes, OpenShift and service meshes give their own in every namespace are not possible.
    #[schemars(length(max = limits::SUBDOMAIN_CHARS_MAX))]
    #[x_kube(validation = rules::config_map_name(), validation = rules::config_map_not_reserved())]
    pub name: String,
}

/// Whether Ready is proven, and how.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Verification {
    /// How it is proven. With TokenExchange the operator mints a token of each service account, exchanges it with Microsoft Entra for one of the
    /// identity, and throws both away: after each change of what that rests on, and once a day. The binding is Ready when every exchange passed, and
    /// condition TokenExchangeVerified says so. It needs a right that the operator has where it was given: verification.enabled of the chart, or
    /// config/verification. With None nothing is proven: Ready means that everything is as it should be in Azure and in the cluster.
    pub mode: VerificationMode,
}

/// How Ready is proven.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum VerificationMode {
    /// It is not.
    #[default]
    None,
    /// A token of each service account is exchanged with Microsoft Entra.
    TokenExchange,
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
