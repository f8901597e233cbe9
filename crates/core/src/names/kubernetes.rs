//! Kubernetes' names: <https://kubernetes.io/docs/concepts/overview/working-with-objects/names/>.

use wio_api::limits::{LABEL_CHARS_MAX, LABEL_VALUE_CHARS_MAX, SUBDOMAIN_CHARS_MAX};

use super::text::text_newtype;
use wio_api::keys::RESERVED_CONFIG_MAPS;

const LABEL_RULE: &str = "it must be a DNS label: 1 to 63 lower-case letters, digits or '-'";
const SUBDOMAIN_RULE: &str = "it must be a DNS subdomain: 1 to 253 lower-case letters, digits, '-' or '.'";
const UID_RULE: &str = "it must be a Kubernetes UID: 1 to 64 letters, digits or '-'";

text_newtype!(
    /// A namespace's name.
    Namespace,
    "namespace name",
    LABEL_RULE,
    is_label
);
text_newtype!(
    /// A `WorkloadIdentityBinding`'s name.
    BindingName,
    "binding name",
    SUBDOMAIN_RULE,
    is_subdomain
);
text_newtype!(
    /// A `WorkloadIdentityPolicy`'s name.
    PolicyName,
    "policy name",
    SUBDOMAIN_RULE,
    is_subdomain
);
text_newtype!(
    /// The key of a label.
    LabelKey,
    "label key",
    "it must be 1 to 63 letters, digits, '-', '_' or '.', a letter or digit at both ends, after a DNS subdomain and '/' or alone",
    |text| match text.split_once('/') {
        Some((prefix, name)) => is_subdomain(prefix) && is_label_text(name),
        None => is_label_text(text),
    }
);
text_newtype!(
    /// The value of a label.
    LabelValue,
    "label value",
    "it must be at most 63 letters, digits, '-', '_' or '.', and have a letter or digit at both ends",
    |text| text.is_empty() || is_label_text(text)
);
text_newtype!(
    /// A service account's name.
    ServiceAccountName,
    "service account name",
    SUBDOMAIN_RULE,
    is_subdomain
);
text_newtype!(
    /// The name of a ConfigMap that a binding exports into: none that the cluster itself makes in namespaces.
    ConfigMapName,
    "name of a ConfigMap to export into",
    "it must be a DNS subdomain of 1 to 253 lower-case letters, digits, '-' or '.', and none of the names that the cluster itself gives \
     ConfigMaps in namespaces, such as kube-root-ca.crt",
    |text| is_subdomain(text) && !text.starts_with("kube-") && !RESERVED_CONFIG_MAPS.contains(&text)
);
text_newtype!(
    /// A ConfigMap's UID: the same name with another UID is another ConfigMap.
    ConfigMapUid,
    "ConfigMap UID",
    UID_RULE,
    is_uid
);
text_newtype!(
    /// A binding's UID: the same name with another UID is another binding.
    BindingUid,
    "binding UID",
    UID_RULE,
    is_uid
);
text_newtype!(
    /// A service account's UID: the same name with another UID is another service account.
    ServiceAccountUid,
    "service account UID",
    UID_RULE,
    is_uid
);
text_newtype!(
    /// The cluster's id: the UID of namespace `kube-system`, which lives exactly as long as the cluster.
    ClusterId,
    "cluster id",
    UID_RULE,
    is_uid
);

fn is_label(text: &str) -> bool {
    const EDGE: fn(char) -> bool = |c| c.is_ascii_lowercase() || c.is_ascii_digit();
    (1..=LABEL_CHARS_MAX).contains(&text.len())
        && text.starts_with(EDGE)
        && text.ends_with(EDGE)
        && text.chars().all(|c| EDGE(c) || c == '-')
}

fn is_subdomain(text: &str) -> bool {
    (1..=SUBDOMAIN_CHARS_MAX).contains(&text.len())
        && text.split('.').all(|part| {
            let edge = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
            part.starts_with(edge) && part.ends_with(edge) && part.chars().all(|c| edge(c) || c == '-')
        })
}

/// <https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#syntax-and-character-set>
fn is_label_text(text: &str) -> bool {
    const EDGE: fn(char) -> bool = |c| c.is_ascii_alphanumeric();
    (1..=LABEL_VALUE_CHARS_MAX).contains(&text.len())
        && text.starts_with(EDGE)
        && text.ends_with(EDGE)
        && text.chars().all(|c| EDGE(c) || "-_.".contains(c))
}

fn is_uid(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
}
