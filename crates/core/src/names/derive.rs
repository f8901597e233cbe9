//! Derived names. They carry the cluster, so that two clusters that share an identity or a resource group can never
//! overwrite each other, and they are a function of the binding, so that a restart finds its objects again.

use std::fmt;

use sha2::{Digest, Sha256};

use uuid::{Uuid, uuid};
use wio_api::keys::DERIVED_NAME_PREFIX;
use wio_api::limits::{CREDENTIAL_NAME_CHARS_MAX, IDENTITY_NAME_CHARS_MAX, TAG_VALUE_CHARS_MAX};

use super::azure::{CredentialName, IdentityName, PrincipalId};
use super::kubernetes::{BindingName, ClusterId, Namespace, ServiceAccountName};
use super::role::{RoleAssignmentName, RoleDefinitionGuid, Scope};
use super::trust::Issuer;

/// 16 characters of 5 bits: 80 bits, far beyond a chance collision among all bindings of all clusters.
const HASH_CHARS: usize = 16;
const ALPHABET: [char; 32] = [
    'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k', 'l', 'm', 'n', 'o', 'p', 'q', 'r', 's', 't', 'u', 'v', 'w',
    'x', 'y', 'z', '2', '3', '4', '5', '6', '7',
];

/// The name of the identity that a binding manages, when the spec does not name one:
/// `wib-<namespace>-<binding>-<hash of cluster, namespace and binding>`.
#[must_use]
pub fn identity_name(cluster: &ClusterId, namespace: &Namespace, binding: &BindingName) -> IdentityName {
    let hash = hash(&[cluster.as_str(), namespace.as_str(), binding.as_str()]);
    IdentityName::from_derived(identity_prefix(namespace, binding) + &hash)
}

/// Whether a name is the one that is derived for a binding so called, of this or another cluster: the id of a cluster that was built
/// anew is another one, and what its bindings have is still theirs.
#[must_use]
pub fn is_identity_name(name: &IdentityName, namespace: &Namespace, binding: &BindingName) -> bool {
    let name = name.as_str().to_ascii_lowercase();
    name.strip_prefix(&identity_prefix(namespace, binding))
        .is_some_and(is_hash)
}

/// How the names begin that the bindings of a namespace may choose where every namespace's identities stand. No namespace has an
/// underscore in its name, so no two of them have such a name in common.
#[must_use]
pub fn name_prefix(namespace: &Namespace) -> String {
    format!("{namespace}_")
}

/// Whether a name that was chosen says of which namespace it is.
#[must_use]
pub fn is_named_for(name: &IdentityName, namespace: &Namespace) -> bool {
    let of = name.as_str().split_once('_').map(|(namespace, _)| namespace);
    of.is_some_and(|of| of.eq_ignore_ascii_case(namespace.as_str()))
}

/// How the derived name of a binding's identity begins: all but the hash.
fn identity_prefix(namespace: &Namespace, binding: &BindingName) -> String {
    const ROOM: usize = IDENTITY_NAME_CHARS_MAX - DERIVED_NAME_PREFIX.len() - HASH_CHARS - 1;
    format!(
        "{DERIVED_NAME_PREFIX}{}-",
        readable(&format!("{namespace}-{binding}"), ROOM)
    )
}

/// The value of the tag that names a binding: `<namespace>/<binding>`, and when that is longer than Azure's tags can be,
/// its beginning and a hash of the whole.
#[must_use]
pub fn binding_tag(namespace: &Namespace, binding: &BindingName) -> String {
    let whole = format!("{namespace}/{binding}");
    if whole.len() <= TAG_VALUE_CHARS_MAX {
        return whole;
    }
    let beginning: String = whole.chars().take(TAG_VALUE_CHARS_MAX - HASH_CHARS - 1).collect();
    format!("{beginning}-{}", hash(&[namespace.as_str(), binding.as_str()]))
}

/// How the names of all federated credentials of a binding begin: what begins so is ours, and nothing else is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CredentialPrefix(String);

impl CredentialPrefix {
    /// The prefix of a binding's credentials: `wib-<hash of cluster, namespace and binding>-`.
    #[must_use]
    pub fn of(cluster: &ClusterId, namespace: &Namespace, binding: &BindingName) -> Self {
        Self(format!(
            "{DERIVED_NAME_PREFIX}{}-",
            hash(&[cluster.as_str(), namespace.as_str(), binding.as_str()])
        ))
    }

    /// The prefix of the binding, of whatever cluster, for which a credential's name was derived; none when it was for none.
    pub(crate) fn of_name(name: &CredentialName) -> Option<Self> {
        let prefix = name.as_str().get(..DERIVED_NAME_PREFIX.len() + HASH_CHARS + 1)?;
        Some(Self(prefix.to_ascii_lowercase())).filter(Self::is_derived)
    }

    /// Whether a credential of this name belongs to the binding. Azure may answer in another case than was sent.
    #[must_use]
    pub fn owns(&self, name: &CredentialName) -> bool {
        name.as_str()
            .get(..self.0.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(&self.0))
    }

    /// Whether some binding has this prefix.
    fn is_derived(&self) -> bool {
        let hash = self.0.strip_prefix(DERIVED_NAME_PREFIX);
        hash.and_then(|rest| rest.strip_suffix('-')).is_some_and(is_hash)
    }
}

impl fmt::Display for CredentialPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name of a service account's federated credential: the binding's prefix, the service account's name for people,
/// and a hash of service account and issuer (a cluster created anew under the same id has another issuer).
#[must_use]
pub fn credential_name(prefix: &CredentialPrefix, account: &ServiceAccountName, issuer: &Issuer) -> CredentialName {
    let hash = hash(&[account.as_str(), issuer.as_str()]);
    let room = CREDENTIAL_NAME_CHARS_MAX - prefix.0.len() - HASH_CHARS - 1;
    CredentialName::from_derived(format!("{prefix}{}-{hash}", readable(account.as_str(), room)))
}

/// Whether a credential has the name that is derived for this service account and issuer, whichever binding of whichever
/// cluster it was derived for. Azure may answer in another case than was sent.
#[must_use]
pub fn is_credential_name(name: &CredentialName, account: &ServiceAccountName, issuer: &Issuer) -> bool {
    CredentialPrefix::of_name(name).is_some_and(|prefix| credential_name(&prefix, account, issuer) == *name)
}

/// The name of a binding's role assignment: a name-based UUID (RFC 9562, version 5) of who wants it and of the three
/// things that are unique in Azure. Role assignments have no tags: that a name is this one of its own assignment proves
/// whose it is (docs/adr/0007).
#[must_use]
pub fn role_assignment_name(
    (cluster, namespace, binding): (&ClusterId, &Namespace, &BindingName),
    scope: &Scope,
    principal: PrincipalId,
    definition: RoleDefinitionGuid,
) -> RoleAssignmentName {
    /// Made once by chance. Another one would make every assignment a foreign one.
    const NAMES: Uuid = uuid!("7fa1c29b-c08f-4e80-aa7b-36984aa3a172");
    let scope = scope.as_str().to_ascii_lowercase();
    let (principal, definition) = (principal.to_string(), definition.to_string());
    let parts = [
        cluster.as_str(),
        namespace.as_str(),
        binding.as_str(),
        scope.as_str(),
        principal.as_str(),
        definition.as_str(),
    ];
    let name: Vec<u8> = parts.into_iter().flat_map(framed).collect();
    Uuid::new_v5(&NAMES, &name).into()
}

/// A part, preceded by its length, so that no other split of the same text reads alike.
fn framed(part: &str) -> impl Iterator<Item = u8> {
    (part.len() as u64).to_be_bytes().into_iter().chain(part.bytes())
}

/// The text in the letters that Azure's names allow, cut to `room` bytes.
fn readable(text: &str, room: usize) -> String {
    text.chars()
        .map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '-' })
        .take(room)
        .collect()
}

fn is_hash(text: &str) -> bool {
    text.len() == HASH_CHARS && text.chars().all(|c| ALPHABET.contains(&c))
}

/// A hash of parts that no other split of the same text has.
#[must_use]
pub fn hash(parts: &[&str]) -> String {
    let mut digest = Sha256::new();
    for part in parts {
        digest.update(framed(part).collect::<Vec<u8>>());
    }
    digest
        .finalize()
        .iter()
        .take(HASH_CHARS)
        .filter_map(|byte| ALPHABET.get(usize::from(byte & 31)))
        .collect()
}
