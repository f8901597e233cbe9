//! `WorkloadIdentityEffectivePolicy`: all policies and the operator's own configuration as admission reads them.
//!
//! The doc comments of fields are what `kubectl explain` and the API reference say.

use std::collections::BTreeMap;

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::binding::VerificationMode;
use crate::policy::SelectorOperator;
use crate::rules;

/// What admission decides with. Every text that Azure compares without regard to case is in lower case.
// Every field of the first level is written even when it is empty: what an apply leaves out, another writer's value would outlive.
#[derive(CustomResource, KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "workloadidentity.dev",
    version = "v1alpha1",
    kind = "WorkloadIdentityEffectivePolicy",
    plural = "workloadidentityeffectivepolicies",
    doc = "All WorkloadIdentityPolicies and the operator's configuration in one object, as admission reads them. The operator \
           writes it, under the name cluster, and writes it again when somebody changes it: change the policies instead. It also \
           tells which parts of policies cannot be used.",
    derive = "PartialEq",
    derive = "Default",
    shortname = "wiep",
    category = "azure-identity",
    label("app.kubernetes.io/name", "workload-identity-operator"),
    validation = rules::only_name(EFFECTIVE_POLICY_NAME),
    printcolumn(
        name = "Resource Group",
        type_ = "string",
        description = "Where managed identities are created.",
        json_path = ".spec.resourceGroup"
    ),
    printcolumn(
        name = "Location",
        type_ = "string",
        description = "The region of managed identities.",
        json_path = ".spec.location"
    ),
    printcolumn(
        name = "Problems",
        type_ = "string",
        description = "The parts of policies that cannot be used.",
        json_path = ".spec.problems"
    ),
    printcolumn(
        name = "Locked Roles",
        type_ = "string",
        description = "The roles that no policy can give.",
        json_path = ".spec.lockedRoles",
        priority = 1
    ),
    printcolumn(
        name = "Protected",
        type_ = "string",
        description = "The identities that no policy can give.",
        json_path = ".spec.protected",
        priority = 1
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[allow(
    clippy::duplicated_attributes,
    reason = "columns may have the same type and priority"
)]
pub struct WorkloadIdentityEffectivePolicySpec {
    /// The operator's own subscription, where managed identities are created unless a binding says otherwise.
    pub subscription_id: String,

    /// The operator's own resource group, where managed identities are created unless a binding says otherwise.
    pub resource_group: String,

    /// The operator's own region, where managed identities are created unless a binding says otherwise.
    pub location: String,

    /// Whether a managed identity there needs a policy as well.
    pub require_policy: bool,

    /// The identities that no policy can give, as regular expressions over whole resource ids.
    pub protected: Vec<String>,

    /// The roles that no policy can give, by GUID and by name.
    pub locked_roles: Vec<String>,

    /// The roles that no policy can give where they reach identity scopes, by GUID and by name.
    pub roles_locked_at_identities: Vec<String>,

    /// Where those roles reach identities that nobody may have by a role, as regular expressions over scopes. Every management group is
    /// one as well.
    pub identity_scopes: Vec<String>,

    /// The policies, by name. One that gives nothing to anybody is not among them.
    pub policies: Vec<EffectivePolicy>,

    /// The parts of policies that cannot be used and so give nothing, and why.
    pub problems: Vec<String>,

    /// The policies that disappeared and whose end is not acted upon yet: what they allowed stands, and nothing new is allowed by them.
    #[serde(default)]
    pub vanished: Vec<String>,

    /// The settings of the operator by which bindings have what they have. They differ from those above as long as these would take trust from
    /// many bindings and nobody has said that it is meant.
    #[serde(default)]
    pub accepted: AcceptedSettings,

    /// The settings of the operator that fill in what bindings leave open. Admission does not read them: they are for whoever foretells what the
    /// operator would do, as kubectl wib plan. Absent where an older operator wrote this object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub defaults: Option<EffectiveDefaults>,
}

/// Settings of the operator that decide about bindings, as they were given.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AcceptedSettings {
    /// The resource id of the resource group where managed identities are created.
    pub resource_group_id: String,
    /// The region of managed identities.
    pub location: String,
    /// Whether a managed identity there needs a policy as well.
    pub require_policy: bool,
    /// The resource ids of identities that no policy can give.
    pub protected_identities: Vec<String>,
    /// The resource ids of resource groups whose identities no policy can give.
    pub protected_resource_groups: Vec<String>,
    /// The GUIDs of roles that policies can give although they are locked otherwise.
    pub unlocked_roles: Vec<String>,
    /// The namespaces in which alone the operator acts; without any, in all but the excluded ones.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub watch_namespaces: Vec<String>,
    /// The namespaces in which the operator does not act.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exclude_namespaces: Vec<String>,
}

/// Settings of the operator that fill in what bindings leave open.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EffectiveDefaults {
    /// The audience of bindings that name none.
    pub audience: String,
    /// Whether the readiness of bindings is proven whose spec does not say.
    pub verification: VerificationMode,
    /// The tags of every managed identity whose binding does not give them other values.
    pub tags: BTreeMap<String, String>,
    /// The names of tags that are others', or how they begin and then an asterisk: they are neither written nor compared.
    pub ignored_tags: Vec<String>,
    /// Whether the cluster may have an issuer that Entra cannot reach.
    pub allow_private_issuer: bool,
    /// The namespaces in which alone the operator acts; without any, in all but the excluded ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub watch_namespaces: Vec<String>,
    /// The namespaces in which the operator does not act.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exclude_namespaces: Vec<String>,
}

/// A policy, with all that cannot be used left out.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EffectivePolicy {
    /// The name of the WorkloadIdentityPolicy.
    pub name: String,

    /// The names of the namespaces that it is for.
    pub namespaces: Vec<String>,

    /// Selects namespaces by their labels. When it is left out, none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<EffectiveSelector>,

    /// The service accounts that it is for. When it is left out, all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_accounts: Option<EffectiveNames>,

    /// The existing identities that may be bound.
    pub existing_identities: Vec<EffectiveIdentities>,

    /// Where identities may be created.
    pub managed_identities: Vec<EffectivePlace>,

    /// The roles that may be given.
    pub roles: Vec<EffectiveRole>,

    /// The most federated credentials of a namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_federated_credentials: Option<i64>,

    /// The most managed identities of a namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_managed_identities: Option<i64>,

    /// The most role assignments of a namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_role_assignments: Option<i64>,

    /// Whether a binding may leave what it made when it is deleted.
    pub allow_orphan: bool,
}

/// Requirements on the labels of a namespace, which must all hold. Without any, every namespace is selected.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EffectiveSelector {
    /// The requirements.
    pub match_expressions: Vec<EffectiveRequirement>,
}

/// A requirement on a label.
#[derive(JsonSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EffectiveRequirement {
    /// The label.
    pub key: String,

    /// In: the label has one of the values. NotIn: it has none of them, or is not there. Exists: it is there, whatever its
    /// value. DoesNotExist: it is not there.
    pub operator: SelectorOperator,

    /// The values for In and NotIn, and none for the others.
    pub values: Vec<String>,
}

/// Names, by any of the lists.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EffectiveNames {
    /// Those that are one of these.
    pub is: Vec<String>,
    /// Those that begin with one of these.
    pub starts_with: Vec<String>,
    /// Those that end with one of these.
    pub ends_with: Vec<String>,
    /// Those that contain one of these.
    pub contains: Vec<String>,
}

/// A name of which all that is given must hold. Without anything, every name.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EffectiveName {
    /// What it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is: Option<String>,
    /// How it begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub starts_with: Option<String>,
    /// How it ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends_with: Option<String>,
    /// What it contains.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contains: Option<String>,
}

/// Existing identities, by the parts of their resource ids.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EffectiveIdentities {
    /// The subscription. When it is left out, every one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subscription_id: Option<String>,
    /// The resource group's name.
    pub resource_group: EffectiveName,
    /// The identity's name.
    pub name: EffectiveName,
}

/// A place where identities may be created.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EffectivePlace {
    /// The subscription.
    pub subscription_id: String,
    /// The resource group's name.
    pub resource_group: String,
    /// How a chosen name begins.
    pub name_prefix: String,
    /// The regions. When the list is left out, every one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locations: Option<Vec<String>>,
    /// Whether an identity that stands there and belongs to no binding may be taken over.
    pub adopt: bool,
}

/// A role that may be given.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EffectiveRole {
    /// Its GUID, and its names when it is a built-in one that the operator knows.
    pub names: Vec<String>,
    /// Where it may be given, and everywhere below.
    pub scopes: Vec<String>,
}

/// The name of the one effective policy.
pub const EFFECTIVE_POLICY_NAME: &str = "cluster";
