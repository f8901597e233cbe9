//! The rules that the API server checks at admission, in the Common Expression Language, with the messages that people see.
//!
//! `wio-core` parses the same names again, because an installed schema can be older than the operator.
//! See <https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#validation-rules>.

use kube::core::{Reason, Rule};

use crate::keys::{DERIVED_NAME_PREFIX, GROUP, RESERVED_CONFIG_MAPS};
use crate::limits::LABEL_KEY_CHARS_MAX;

const GUID: &str = "[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}";
const NIL_GUID: &str = "00000000-0000-0000-0000-000000000000";
/// Azure's letters are Unicode's, and a name may not end with a full stop, so `..` is none.
const RESOURCE_GROUP: &str = r"[-\p{L}\p{Nd}_.()]{0,89}[-\p{L}\p{Nd}_()]";
const IDENTITY_NAME: &str = "[A-Za-z0-9][A-Za-z0-9_-]{2,127}";
const SUBDOMAIN: &str = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*";
const LABEL_NAME: &str = "[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?";
/// What a scope is made of: nothing that a URL, a pattern or a log line reads as something else. The quotation mark is written by
/// its number, because it would end the text in the rule.
const SCOPE_CHARS: &str = r#"[^\s\p{Z}\p{Cc}%*?#\\<>"\x27]+"#;

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

/// An existing identity is named in one of two ways.
pub(crate) fn id_or_name() -> Rule {
    Rule::new(
        "has(self.resourceId) ? !(has(self.name) || has(self.resourceGroup) || has(self.subscriptionId)) : \
         has(self.name) && has(self.resourceGroup)",
    )
    .message("name the identity by resourceId alone, or by name and resourceGroup (and subscriptionId where it is not the operator's)")
}

/// An existing identity is not named in the other way: nobody here knows whether both mean the same.
pub(crate) fn same_way_to_name() -> Rule {
    Rule::new("has(self.resourceId) == has(oldSelf.resourceId)")
        .message("a binding cannot change between resourceId and name: delete it and create it anew")
        .reason(Reason::FieldValueForbidden)
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

/// A name that is chosen is none that the operator derives.
pub(crate) fn name_not_reserved() -> Rule {
    Rule::new(format!("!self.lowerAscii().startsWith('{DERIVED_NAME_PREFIX}')"))
        .message(
            format!(
                "names that begin with {DERIVED_NAME_PREFIX} are the operator's own: leave the name out and it is derived, or choose \
                 another one"
            )
            .as_str(),
        )
        .reason(Reason::FieldValueForbidden)
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
         /providers/Microsoft.ManagedIdentity/userAssignedIdentities/<name>, whose name has 3 to 128 letters, digits, '-' or '_'",
    )
}

/// A DNS subdomain, as every service account's name is one.
pub(crate) fn service_account_name() -> Rule {
    matches(
        SUBDOMAIN,
        "must be a service account's name: lower-case letters, digits, '-' or '.', and a letter or digit at both ends",
    )
}

/// A DNS subdomain, as every ConfigMap's name is one.
pub(crate) fn config_map_name() -> Rule {
    matches(
        SUBDOMAIN,
        "must be a ConfigMap's name: lower-case letters, digits, '-' or '.', and a letter or digit at both ends",
    )
}

/// A name that is chosen is none by which every pod of a namespace finds whom to trust.
pub(crate) fn config_map_not_reserved() -> Rule {
    let names = RESERVED_CONFIG_MAPS.map(|name| format!("'{name}'")).join(", ");
    Rule::new(format!("!self.startsWith('kube-') && !(self in [{names}])"))
        .message("is the name of a ConfigMap that the cluster itself makes in namespaces: choose another one")
        .reason(Reason::FieldValueForbidden)
}

/// A text that Entra compares with the token's audience, byte for byte.
pub(crate) fn audience() -> Rule {
    matches(
        r"[^\s\p{Z}\p{Cc}*]+",
        "an audience has no white space, control characters or '*', for example api://AzureADTokenExchange",
    )
}

/// A role definition's name, GUID or whole id.
pub(crate) fn role() -> Rule {
    Rule::new(format!(
        r"self.matches(r'^[^\s\p{{Z}}\p{{Cc}}/]([^\p{{Cc}}/]*[^\s\p{{Z}}\p{{Cc}}/])?$') || self.matches(r'^(/(?i:subscriptions)/{GUID})?/(?i:providers/Microsoft\.Authorization/roleDefinitions)/{GUID}$')"
    ))
    .message(
        "must be a built-in role's name, for example Key Vault Secrets User, the GUID of a role definition, or \
         [/subscriptions/<GUID>]/providers/Microsoft.Authorization/roleDefinitions/<GUID>",
    )
}

/// The condition or the description of a role assignment: some text, with no character that Azure would take away or refuse.
pub(crate) fn text_of_role(what: &str) -> Rule {
    Rule::new(r"self.matches(r'^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f]+$') && self.trim() == self")
        .message(format!("a role's {what} has no control characters and no white space at its ends").as_str())
}

/// A resource id below a subscription or a management group, of whole pairs of type and name.
pub(crate) fn scope() -> Rule {
    Rule::new(format!(
        r"self.matches(r'^{SCOPE_CHARS}$') && self.matches(r'^/((?i:providers/Microsoft\.Management/managementGroups)/[^/]+|(?i:subscriptions)/{GUID}(/(?i:resourceGroups)/[^/]+)?(/(?i:providers)/[^/]+(/[^/]+/[^/]+)+)*)$') && !self.matches(r'/[.]+(/|$)|/(?i:providers)/[^/]+(((/[^/]+/[^/]+)*/[^/]+)?/(?i:providers)(/|$)|$)')"
    ))
    .message(
        "must be the Azure resource id of a management group, a subscription, a resource group or a resource, for example \
         /subscriptions/<GUID>/resourceGroups/<name>, without empty segments, '.', '..', '%', '*' or white space",
    )
}

/// The object is the only one of its kind.
pub(crate) fn only_name(name: &str) -> Rule {
    Rule::new(format!("self.metadata.name == '{name}'"))
        .message(format!("the only name is {name}: the operator writes that one object and reads no other").as_str())
}

/// A policy is for some namespace.
pub(crate) fn some_namespaces() -> Rule {
    Rule::new("(has(self.names) && size(self.names) > 0) || has(self.selector)")
        .message("name at least one namespace in names, or set a selector")
        .reason(Reason::FieldValueRequired)
}

/// The name of a namespace.
pub(crate) fn namespace_name() -> Rule {
    matches(
        "[a-z0-9]([-a-z0-9]*[a-z0-9])?",
        "must be a namespace's name: lower-case letters, digits or '-', and a letter or digit at both ends",
    )
}

/// A service account's name, in which `*` at the beginning or the end stands for any text.
pub(crate) fn service_account_pattern() -> Rule {
    Rule::new(format!(
        r"self.matches(r'^({SUBDOMAIN}|\*|[a-z0-9][-a-z0-9.]*\*|\*[-a-z0-9.]*[a-z0-9]|\*[-a-z0-9.]+\*)$') && !self.contains('..')"
    ))
    .message(
        "must be a service account's name, in which '*' may stand at the beginning or the end, or alone, for example orders-*",
    )
}

/// The resource id of a user-assigned managed identity, in which `*` stands for a subscription, and at the beginning or the
/// end of a name for any text in it.
pub(crate) fn identity_pattern() -> Rule {
    const GROUP_CHAR: &str = r"[-\p{L}\p{Nd}_.()]";
    const NAME_CHAR: &str = "[A-Za-z0-9_-]";
    Rule::new(format!(
        r"self.matches(r'^/(?i:subscriptions)/({GUID}|\*)/(?i:resourceGroups)/({RESOURCE_GROUP}|\*|{GROUP_CHAR}+\*|\*{GROUP_CHAR}+\*?)/(?i:providers/Microsoft\.ManagedIdentity/userAssignedIdentities)/({IDENTITY_NAME}|\*|[A-Za-z0-9]{NAME_CHAR}*\*|\*{NAME_CHAR}+\*?)$') && !self.matches(r'[.]/|/[*]?[.]+[*]?(/|$)') && !self.contains('{NIL_GUID}')"
    ))
    .message(
        "must be the resource id of a user-assigned managed identity, /subscriptions/<GUID>/resourceGroups/<name>\
         /providers/Microsoft.ManagedIdentity/userAssignedIdentities/<name>, in which '*' may stand for the subscription, \
         and at the beginning or the end of a name, or alone, for any text in it; '..' and '%' are not possible",
    )
}

/// How a managed identity's name begins.
pub(crate) fn name_prefix() -> Rule {
    matches(
        "([A-Za-z0-9][A-Za-z0-9_-]*)?",
        "must be the beginning of a managed identity's name: letters, digits, '-' or '_', and first a letter or digit, \
         without '*'",
    )
}

/// The key of a label. One that no namespace can have would be met by every namespace where it must not be there.
pub(crate) fn label_key() -> Rule {
    matches(
        &format!("({SUBDOMAIN}/)?{LABEL_NAME}"),
        "must be a label's key, for example team or example.com/team",
    )
}

/// The value of a label.
pub(crate) fn label_value() -> Rule {
    matches(
        &format!("({LABEL_NAME})?"),
        "must be a label's value: at most 63 letters, digits, '-', '_' or '.', and a letter or digit at both ends",
    )
}

/// Labels with their values.
pub(crate) fn match_labels() -> Rule {
    Rule::new(format!(
        "self.all(key, key.size() <= {LABEL_KEY_CHARS_MAX} && key.matches(r'^({SUBDOMAIN}/)?{LABEL_NAME}$') && \
         self[key].matches(r'^({LABEL_NAME})?$'))"
    ))
    .message("must be labels that a namespace can have, for example team: shop")
}

/// Values for the operators that compare with some.
pub(crate) fn values_where_needed() -> Rule {
    Rule::new("(self.operator in ['In', 'NotIn']) == (has(self.values) && size(self.values) > 0)")
        .message("In and NotIn need values, and Exists and DoesNotExist take none")
        .field_path(".values")
}

/// What Azure takes as a tag's name.
/// <https://learn.microsoft.com/azure/azure-resource-manager/management/tag-resources#limitations>
pub(crate) fn tag_names() -> Rule {
    Rule::new(r"self.all(name, name.size() <= 512 && name.matches(r'^[^<>%&\\?/]+$'))")
        .message("a tag's name has 1 to 512 characters and none of < > % & \\ ? /")
}

/// The operator recognizes its own identities by its own tags.
pub(crate) fn tags_not_reserved() -> Rule {
    Rule::new(format!("!self.exists(name, name.lowerAscii().startsWith('{GROUP}'))"))
        .message("tags that begin with workloadidentity.dev are the operator's own")
        .reason(Reason::FieldValueForbidden)
}

fn matches(pattern: &str, message: &str) -> Rule {
    Rule::new(format!("self.matches(r'^{pattern}$')")).message(message)
}
