//! The rules that the API server checks at admission, in the Common Expression Language, with the messages that people see.
//!
//! `wio-core` parses the same names again, because an installed schema can be older than the operator.
//! See <https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#validation-rules>.

use kube::core::{Reason, Rule};

/// The most service accounts of a binding: Azure keeps at most 20 federated credentials in an identity.
/// <https://learn.microsoft.com/entra/workload-id/workload-identity-federation-considerations>
pub(crate) const SERVICE_ACCOUNTS_MAX: usize = 20;
/// The most role assignments of a binding.
pub(crate) const ROLE_ASSIGNMENTS_MAX: usize = 20;
/// The longest DNS subdomain. <https://kubernetes.io/docs/concepts/overview/working-with-objects/names/>
pub(crate) const SUBDOMAIN_CHARS_MAX: usize = 253;
/// The longest audience that Entra stores in a federated credential.
pub(crate) const AUDIENCE_CHARS_MAX: usize = 600;
/// The longest name of a user-assigned managed identity.
pub(crate) const IDENTITY_NAME_CHARS_MAX: usize = 128;
/// The length of a GUID in its usual form.
pub(crate) const GUID_CHARS: usize = 36;
/// The longest name of a resource group.
pub(crate) const RESOURCE_GROUP_CHARS_MAX: usize = 90;
/// Far more than the longest region's name.
pub(crate) const LOCATION_CHARS_MAX: usize = 64;
/// More than the longest id of a managed identity, so that the rule's message is seen and not a bare length.
pub(crate) const IDENTITY_ID_CHARS_MAX: usize = 400;
/// The longest name of a role definition.
pub(crate) const ROLE_CHARS_MAX: usize = 512;
/// The longest scope of a role assignment that the operator takes.
pub(crate) const SCOPE_CHARS_MAX: usize = 1024;

const GUID: &str = "[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}";
const NIL_GUID: &str = "00000000-0000-0000-0000-000000000000";
/// Azure's letters are Unicode's, and a name may not end with a full stop, so `..` is none.
const RESOURCE_GROUP: &str = r"[-\p{L}\p{Nd}_.()]{0,89}[-\p{L}\p{Nd}_()]";
const IDENTITY_NAME: &str = "[A-Za-z0-9][A-Za-z0-9_-]{2,127}";

/// The identity source holds exactly one source.
pub(crate) fn some_source() -> Rule {
    Rule::new("has(self.managed) || has(self.existing)")
        .message("set managed: {} (the operator creates the identity) or existing (someone else owns it)")
        .reason(Reason::FieldValueRequired)
}

/// The identity source holds exactly one source.
pub(crate) fn one_source() -> Rule {
    Rule::new("!(has(self.managed) && has(self.existing))")
        .message("managed and existing exclude each other: keep one of them")
        .reason(Reason::FieldValueForbidden)
        .field_path(".existing")
}

/// A managed identity does not become an existing one, or the other way round.
pub(crate) fn same_source() -> Rule {
    Rule::new("has(self.managed) == has(oldSelf.managed)")
        .message("a binding cannot change between managed and existing: delete it and create it anew")
        .reason(Reason::FieldValueForbidden)
}

/// The optional text stays what it was, and stays absent when it was absent. Azure disregards case, and so does the rule.
pub(crate) fn immutable(field: &str) -> Rule {
    Rule::new(format!(
        "has(self.{field}) == has(oldSelf.{field}) && \
         (!has(self.{field}) || self.{field}.lowerAscii() == oldSelf.{field}.lowerAscii())"
    ))
    .message(format!(
        "{field} cannot be changed, set or removed, because the binding would mean another identity: delete the binding and \
         create it anew"
    ).as_str())
    .reason(Reason::FieldValueForbidden)
    .field_path(format!(".{field}"))
}

/// The id stays what it was; Azure disregards case, and so does the rule.
pub(crate) fn same_identity() -> Rule {
    Rule::new("self.lowerAscii() == oldSelf.lowerAscii()")
        .message(
            "cannot be changed, because the binding would mean another identity: delete the binding and create it anew",
        )
        .reason(Reason::FieldValueForbidden)
}

/// The name of a user-assigned managed identity.
pub(crate) fn identity_name() -> Rule {
    matches(
        IDENTITY_NAME,
        "a managed identity's name has 3 to 128 letters, digits, '-' or '_', and begins with a letter or digit",
    )
}

/// A GUID that is not all zeros.
pub(crate) fn guid() -> Rule {
    Rule::new(format!("self.matches(r'^{GUID}$') && self != '{NIL_GUID}'"))
        .message("must be a GUID such as 6f2e1c1d-52a4-4d0c-8d2f-0c6a2d0b7a11, and not all zeros")
}

/// The name of a resource group.
pub(crate) fn resource_group() -> Rule {
    matches(
        RESOURCE_GROUP,
        "a resource group's name has 1 to 90 letters, digits, '-', '.', '_', '(' or ')', and does not end with '.'; give \
         the name only, not the resource id",
    )
}

/// The short name of a region.
pub(crate) fn location() -> Rule {
    matches(
        "[a-z0-9]{2,64}",
        "must be a region's short name, lower-case letters and digits only, for example westeurope",
    )
}

/// The resource id of a user-assigned managed identity. Azure writes the fixed segments in any case. No segment's rule
/// allows `..`, `%`, white space or nothing, so an id cannot lead elsewhere.
pub(crate) fn identity_id() -> Rule {
    Rule::new(format!(
        "self.matches(r'^/(?i:subscriptions)/{GUID}/(?i:resourceGroups)/{RESOURCE_GROUP}\
         /(?i:providers/Microsoft\\.ManagedIdentity/userAssignedIdentities)/{IDENTITY_NAME}$') && \
         !self.contains('{NIL_GUID}')"
    ))
    .message(
        "must be the resource id of a user-assigned managed identity: /subscriptions/<GUID>/resourceGroups/<name>\
         /providers/Microsoft.ManagedIdentity/userAssignedIdentities/<name>",
    )
}

/// A DNS subdomain, as every service account's name is one.
pub(crate) fn service_account_name() -> Rule {
    matches(
        r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*",
        "must be a service account's name: lower-case letters, digits, '-' or '.', and a letter or digit at both ends",
    )
}

/// A text that Entra compares with the token's audience, byte for byte.
pub(crate) fn audience() -> Rule {
    matches(
        r"[^\s\p{Z}\p{Cc}*]+",
        "an audience has no white space, control characters or '*', for example api://AzureADTokenExchange",
    )
}

/// A role definition's name or GUID.
pub(crate) fn role() -> Rule {
    matches(
        r"[^\s\p{Cc}/]([^\p{Cc}/]*[^\s\p{Cc}/])?",
        "must be a built-in role's name, for example Key Vault Secrets User, or the GUID of a role definition, without its path",
    )
}

/// A resource id below a subscription or a management group.
pub(crate) fn scope() -> Rule {
    Rule::new(format!(
        r"self.matches(r'^/((?i:subscriptions)/{GUID}|(?i:providers/Microsoft\.Management/managementGroups)/[^/\s%?#]+)(/[^/\s%?#\\]+)*$') && !self.matches(r'/[.]+(/|$)')"
    ))
    .message(
        "must be an Azure resource id that begins with /subscriptions/<GUID> or \
         /providers/Microsoft.Management/managementGroups/<name>, without empty segments, '..', '%' or white space",
    )
}

/// What Azure takes as a tag's name.
/// <https://learn.microsoft.com/azure/azure-resource-manager/management/tag-resources#limitations>
pub(crate) fn tag_names() -> Rule {
    Rule::new(r"self.all(name, name.size() <= 512 && name.matches(r'^[^<>%&\\?/]+$'))")
        .message("a tag's name has 1 to 512 characters and none of < > % & \\ ? /")
}

/// The operator recognizes its own identities by its own tags.
pub(crate) fn tags_not_reserved() -> Rule {
    Rule::new(format!(
        "!self.exists(name, name.lowerAscii().startsWith('{}'))",
        crate::GROUP
    ))
    .message("tags that begin with workloadidentity.dev are the operator's own")
    .reason(Reason::FieldValueForbidden)
}

fn matches(pattern: &str, message: &str) -> Rule {
    Rule::new(format!("self.matches(r'^{pattern}$')")).message(message)
}
