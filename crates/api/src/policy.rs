//! `WorkloadIdentityPolicy`: what the bindings of some namespaces may have.
//!
//! The doc comments of fields are what `kubectl explain` and the API reference say.

use std::collections::BTreeMap;

use kube::core::Rule;
use kube::{CustomResource, KubeSchema};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::policy_status::WorkloadIdentityPolicyStatus;
use crate::reading::{self, Fields, UnreadableField};
use crate::{limits, rules};

/// What the bindings of the selected namespaces may have. Policies add up: none takes away what another one allows, except
/// that maxFederatedCredentials, maxManagedIdentities and maxRoleAssignments limit a namespace that had no limit.
#[derive(CustomResource, KubeSchema, Clone, Debug, Default, PartialEq, Serialize)]
#[kube(
    group = "workloadidentity.dev",
    version = "v1alpha1",
    kind = "WorkloadIdentityPolicy",
    doc = "Says which identities the WorkloadIdentityBindings of some namespaces may bind, where they may have identities \
           created, and which roles those may be given. Without a policy a binding may only have an identity that the operator \
           creates in its own resource group, without roles. Taking a permission away takes the trust away that rests on it.",
    status = "WorkloadIdentityPolicyStatus",
    derive = "PartialEq",
    derive = "Default",
    shortname = "wip",
    category = "azure-identity",
    label("app.kubernetes.io/name", "workload-identity-operator"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        description = "Whether all of it counts.",
        json_path = r#".status.conditions[?(@.type=="Ready")].status"#
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        description = "Why it counts or not.",
        json_path = r#".status.conditions[?(@.type=="Ready")].reason"#
    ),
    printcolumn(
        name = "Namespaces",
        type_ = "string",
        description = "The namespaces that it names.",
        json_path = ".spec.namespaces.names"
    ),
    printcolumn(
        name = "Selector",
        type_ = "string",
        description = "The labels of the namespaces that it selects.",
        json_path = ".spec.namespaces.selector"
    ),
    printcolumn(
        name = "Max Credentials",
        type_ = "integer",
        description = "The most federated credentials that a namespace may hold.",
        json_path = ".spec.maxFederatedCredentials"
    ),
    printcolumn(
        name = "Service Accounts",
        type_ = "string",
        description = "The service accounts to which it is limited.",
        json_path = ".spec.serviceAccounts",
        priority = 1
    ),
    printcolumn(
        name = "Identities",
        type_ = "string",
        description = "The existing identities that may be bound.",
        json_path = ".spec.existingIdentities",
        priority = 1
    ),
    printcolumn(
        name = "Managed",
        type_ = "string",
        description = "Where identities may be created.",
        json_path = ".spec.managedIdentities",
        priority = 1
    ),
    printcolumn(
        name = "Roles",
        type_ = "string",
        description = "The roles that identities may be given, and where.",
        json_path = ".spec.roles",
        priority = 1
    ),
    printcolumn(
        name = "Message",
        type_ = "string",
        description = "What of it cannot be used, or that all of it counts.",
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
pub struct WorkloadIdentityPolicySpec {
    /// The namespaces whose bindings get these permissions: those that are named and those that the selector selects.
    pub namespaces: PolicyNamespaces,

    /// The service accounts that these permissions are for, as names in which an asterisk at the beginning or the end, or
    /// alone, stands for any text, for example orders-*. A binding has a permission when each of its service accounts is meant
    /// by a policy that gives it. When the list is left out, all are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "service_account_patterns")]
    pub service_accounts: Option<Vec<String>>,

    /// The existing identities that may be bound, as resource ids. Segments are compared one by one, whatever their case. The
    /// subscription may be an asterisk, and in the names of the resource group and of the identity an asterisk at the beginning
    /// or the end, or alone, stands for any text within that one name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "identity_patterns")]
    pub existing_identities: Vec<String>,

    /// Where bindings may have identities created, beside the operator's own resource group.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = limits::MANAGED_PERMISSIONS_MAX))]
    // A list by keys would need a default for the prefix, which may be left out, and items have none (see crd()).
    pub managed_identities: Vec<ManagedIdentityPermission>,

    /// The Azure roles that identities of bindings may be given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = limits::ROLE_PERMISSIONS_MAX))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["role".to_owned()]))]
    pub roles: Vec<RolePermission>,

    /// The most federated credentials, one for each bound service account, that all bindings of a namespace may hold together.
    /// Older bindings come first: what is above the limit is refused to the newer ones. Of several policies the highest limit
    /// holds; when none has one, there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100_000))]
    pub max_federated_credentials: Option<i64>,

    /// The most managed identities, one for each binding that asks for one, that all bindings of a namespace may have together. As with
    /// federated credentials, older bindings come first, and of several policies the highest limit holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100_000))]
    pub max_managed_identities: Option<i64>,

    /// The most role assignments that all bindings of a namespace may have together. As with federated credentials, older bindings come
    /// first, and of several policies the highest limit holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100_000))]
    pub max_role_assignments: Option<i64>,

    /// Whether a binding may have deletionPolicy Orphan. What is then left behind, trust and roles, no policy takes away any more.
    /// Without this only a binding that needs no policy at all may have it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[schemars(extend("default" = false))]
    pub allow_orphan: bool,

    /// What stands in the policy and this version cannot read: a newer schema let it in.
    #[serde(skip_serializing_if = "reading::is_a_note")]
    #[schemars(skip)]
    pub unreadable: Vec<UnreadableField>,
}

/// It succeeds for every policy that any version's schema let in: one that this version cannot read must not hide all others.
impl<'de> Deserialize<'de> for WorkloadIdentityPolicySpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut fields = Fields::of(Value::deserialize(deserializer)?);
        Ok(Self {
            namespaces: fields.take("namespaces"),
            service_accounts: fields.take("serviceAccounts"),
            existing_identities: fields.take("existingIdentities"),
            managed_identities: fields.take("managedIdentities"),
            roles: fields.take("roles"),
            max_federated_credentials: fields.take("maxFederatedCredentials"),
            max_managed_identities: fields.take("maxManagedIdentities"),
            max_role_assignments: fields.take("maxRoleAssignments"),
            allow_orphan: fields.take("allowOrphan"),
            unreadable: fields.unreadable(),
        })
    }
}

/// Namespaces: those that are named and those that the selector selects, at least one of both.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = rules::some_namespaces())]
pub struct PolicyNamespaces {
    /// The names of namespaces.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "namespace_names")]
    pub names: Vec<String>,

    /// Selects namespaces by their labels, those among them that are created later. Whoever may set labels on a namespace can
    /// bring it under this policy: use labels that an admission policy protects, or kubernetes.io/metadata.name, which the API
    /// server sets. An empty selector selects every namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<NamespaceSelector>,
}

/// Labels that a namespace must have: every one of both lists must hold.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NamespaceSelector {
    /// Labels with exactly these values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = limits::SELECTOR_TERMS_MAX, "additionalProperties" = {"type": "string", "maxLength": limits::LABEL_VALUE_CHARS_MAX}))]
    #[x_kube(validation = rules::match_labels())]
    pub match_labels: BTreeMap<String, String>,

    /// Requirements on labels.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = limits::SELECTOR_TERMS_MAX))]
    pub match_expressions: Vec<NamespaceRequirement>,
}

/// A requirement on a label.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = rules::values_where_needed())]
pub struct NamespaceRequirement {
    /// The label.
    #[schemars(length(max = limits::LABEL_KEY_CHARS_MAX))]
    #[x_kube(validation = rules::label_key())]
    pub key: String,

    /// In: the label has one of the values. NotIn: it has none of them, or is not there. Exists: it is there, whatever its
    /// value. DoesNotExist: it is not there.
    pub operator: SelectorOperator,

    /// The values for In and NotIn, and none for the others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "label_values")]
    pub values: Vec<String>,
}

/// How a label is compared.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SelectorOperator {
    /// The label has one of the values.
    In,
    /// The label has none of the values, or is not there.
    NotIn,
    /// The label is there.
    Exists,
    /// The label is not there.
    DoesNotExist,
}

/// A place where identities may be created.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ManagedIdentityPermission {
    /// The subscription, a GUID.
    #[schemars(length(max = limits::GUID_CHARS))]
    #[x_kube(validation = rules::guid())]
    pub subscription_id: String,

    /// The name of the resource group.
    #[schemars(length(max = limits::RESOURCE_GROUP_CHARS_MAX))]
    #[x_kube(validation = rules::resource_group())]
    pub resource_group: String,

    /// How a name must begin that a binding chooses for its identity. When it is left out, any name may be chosen but one that begins
    /// with wib-. A derived name, which no other binding can have, is always allowed.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = limits::IDENTITY_NAME_CHARS_MAX))]
    #[x_kube(validation = rules::name_prefix())]
    pub name_prefix: String,

    /// The regions in which identities may be created. When the list is left out, every region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "locations")]
    pub locations: Option<Vec<String>>,

    /// Whether a binding may take over an identity that stands here under its name and belongs to no binding, with
    /// spec.identity.managed.adopt. Such an identity may have roles already, and deleting the binding deletes it. When it is left
    /// out, no.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub adopt: bool,
}

/// A role that identities may be given, and where.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RolePermission {
    /// The role: a built-in role's name, for example Key Vault Secrets User, the GUID of a role definition, or its whole id. A
    /// custom role can be named by GUID or id only.
    #[schemars(length(max = limits::ROLE_CHARS_MAX))]
    #[x_kube(validation = rules::role())]
    pub role: String,

    /// The Azure resource ids at which the role may be given, and everything below them. Segments are compared one by one,
    /// whatever their case.
    #[schemars(schema_with = "scopes")]
    pub scopes: Vec<String>,
}

fn namespace_names(_: &mut SchemaGenerator) -> Schema {
    set_of(0, 1000, limits::LABEL_CHARS_MAX, &rules::namespace_name())
}

fn service_account_patterns(_: &mut SchemaGenerator) -> Schema {
    set_of(1, 100, limits::SUBDOMAIN_CHARS_MAX, &rules::service_account_pattern())
}

fn identity_patterns(_: &mut SchemaGenerator) -> Schema {
    set_of(
        0,
        limits::EXISTING_IDENTITIES_MAX,
        limits::IDENTITY_ID_CHARS_MAX,
        &rules::identity_pattern(),
    )
}

fn locations(_: &mut SchemaGenerator) -> Schema {
    set_of(1, 50, limits::LOCATION_CHARS_MAX, &rules::location())
}

fn scopes(_: &mut SchemaGenerator) -> Schema {
    set_of(
        1,
        limits::PERMITTED_SCOPES_MAX,
        limits::PERMITTED_SCOPE_CHARS_MAX,
        &rules::scope(),
    )
}

fn label_values(_: &mut SchemaGenerator) -> Schema {
    set_of(0, 50, limits::LABEL_VALUE_CHARS_MAX, &rules::label_value())
}

/// A list of texts, each once, and each held to a rule of its own, so that a refusal names the one that is meant. An empty list
/// where none would mean everything is refused by `min`: whoever takes the last item out wants nothing, not all.
fn set_of(min: usize, max: usize, chars_max: usize, rule: &Rule) -> Schema {
    let mut schema = json_schema!({
        "type": "array",
        "maxItems": max,
        "items": {"type": "string", "maxLength": chars_max, "x-kubernetes-validations": [rule]},
        "x-kubernetes-list-type": "set",
    });
    if min > 0 {
        schema.insert("minItems".to_owned(), min.into());
    }
    schema
}
