//! Limits of fields, each with its source: the schema demands them and `wio-core` parses by them.

/// The most service accounts of a binding: Azure keeps at most 20 federated credentials in an identity.
/// <https://learn.microsoft.com/entra/workload-id/workload-identity-federation-considerations>
pub const SERVICE_ACCOUNTS_MAX: usize = 20;
/// The most role assignments of a binding.
pub const ROLE_ASSIGNMENTS_MAX: usize = 20;
/// The most bytes of the annotation that asks for a look at Azure which count: enough for any time or UUID.
pub const RECONCILE_AT_MAX: usize = 64;
/// The longest DNS subdomain. <https://kubernetes.io/docs/concepts/overview/working-with-objects/names/>
pub const SUBDOMAIN_CHARS_MAX: usize = 253;
/// The longest audience that Entra stores in a federated credential.
pub const AUDIENCE_CHARS_MAX: usize = 600;
/// The longest name of a user-assigned managed identity.
pub const IDENTITY_NAME_CHARS_MAX: usize = 128;
/// The length of a GUID in its usual form.
pub const GUID_CHARS: usize = 36;
/// The longest name of a resource group.
pub const RESOURCE_GROUP_CHARS_MAX: usize = 90;
/// Far more than the longest region's name.
pub const LOCATION_CHARS_MAX: usize = 64;
/// More than the longest id of a managed identity, so that the rule's message is seen and not a bare length.
pub const IDENTITY_ID_CHARS_MAX: usize = 400;
/// The longest name of a role definition.
pub const ROLE_CHARS_MAX: usize = 512;
/// The longest scope of a role assignment that the operator takes.
pub const SCOPE_CHARS_MAX: usize = 1024;
/// The longest DNS label. <https://kubernetes.io/docs/concepts/overview/working-with-objects/names/>
pub const LABEL_CHARS_MAX: usize = 63;
/// The longest value of a Kubernetes label. <https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/>
pub const LABEL_VALUE_CHARS_MAX: usize = 63;
/// The longest key of a Kubernetes label: a DNS subdomain, a slash and a name.
pub const LABEL_KEY_CHARS_MAX: usize = 317;
/// The most labels, and the most requirements on labels, of a policy's selector.
pub const SELECTOR_TERMS_MAX: usize = 20;
/// The most places of a policy where identities may be created.
pub const MANAGED_PERMISSIONS_MAX: usize = 50;
/// The most existing identities of a policy. A second policy can hold more.
pub const EXISTING_IDENTITIES_MAX: usize = 100;
/// The most roles of a policy. An API server reckons what a rule can cost at most before it takes the schema: more roles, more
/// scopes or longer ones, and it would refuse the rule for scopes. A second policy can hold more.
pub const ROLE_PERMISSIONS_MAX: usize = 32;
/// The most scopes of a role in a policy.
pub const PERMITTED_SCOPES_MAX: usize = 16;
/// The longest scope in a policy.
pub const PERMITTED_SCOPE_CHARS_MAX: usize = 512;

/// The most entries of a status about pods that lack a token, and about owners that were restarted.
pub const TOLD_WORKLOADS_MAX: usize = 20;

/// The most federated credentials that Azure keeps in an identity.
/// <https://learn.microsoft.com/entra/workload-id/workload-identity-federation-considerations>
pub const FEDERATED_CREDENTIALS_MAX: usize = 20;
/// The longest name of a federated credential.
pub const CREDENTIAL_NAME_CHARS_MAX: usize = 120;
/// The longest value of a tag.
/// <https://learn.microsoft.com/azure/azure-resource-manager/management/tag-resources#limitations>
pub const TAG_VALUE_CHARS_MAX: usize = 256;
/// The most characters of a role assignment's condition: <https://learn.microsoft.com/azure/role-based-access-control/conditions-format>.
pub const CONDITION_CHARS_MAX: usize = 8192;
/// The most characters of a role assignment's description.
pub const ROLE_DESCRIPTION_CHARS_MAX: usize = 1024;
