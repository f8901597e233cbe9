//! Whose an Azure object is: the binding, as its derived names and the tags of its identity say.

use wio_api::limits::TAG_VALUE_CHARS_MAX;
use wio_api::{DeletionPolicy, keys};

use crate::names::{
    BindingName, BindingUid, ClusterId, CredentialPrefix, IdentityName, Namespace, PrincipalId, RoleAssignmentName,
    RoleDefinitionGuid, Scope, binding_tag, identity_name, role_assignment_name,
};
use crate::observed::{ObservedRoleAssignment, Tags, tag};

/// Who a binding is, in all the world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The cluster.
    pub cluster: ClusterId,
    /// The namespace.
    pub namespace: Namespace,
    /// The binding's name.
    pub name: BindingName,
    /// The binding's UID.
    pub uid: BindingUid,
}

// === impl Owner ===

impl Owner {
    /// The derived name of this binding's managed identity, which no other binding's identity has.
    #[must_use]
    pub fn identity_name(&self) -> IdentityName {
        identity_name(&self.cluster, &self.namespace, &self.name)
    }

    /// The prefix of the names of this binding's federated credentials.
    #[must_use]
    pub fn credential_prefix(&self) -> CredentialPrefix {
        CredentialPrefix::of(&self.cluster, &self.namespace, &self.name)
    }

    /// The name of this binding's assignment of a role.
    #[must_use]
    pub fn role_assignment_name(
        &self,
        scope: &Scope,
        principal: PrincipalId,
        definition: RoleDefinitionGuid,
    ) -> RoleAssignmentName {
        role_assignment_name(self.binding_name(), scope, principal, definition)
    }

    fn binding_name(&self) -> (&ClusterId, &Namespace, &BindingName) {
        (&self.cluster, &self.namespace, &self.name)
    }

    /// Whether a role assignment is this binding's: its name is the one that is derived from what it says itself.
    #[must_use]
    pub fn owns_assignment(&self, assignment: &ObservedRoleAssignment) -> bool {
        assignment.scope.parse().is_ok_and(|scope: Scope| {
            assignment.name == self.role_assignment_name(&scope, assignment.principal, assignment.definition)
        })
    }

    /// Whether an identity with these tags is this binding's, also when it was made by an earlier binding of the same
    /// name: a binding moved or restored by a GitOps tool has another UID and takes up its own objects.
    #[must_use]
    pub fn owns(&self, tags: &Tags) -> bool {
        self.tags_of_name()
            .all(|(name, value)| tag(tags, &name) == Some(&value))
    }

    /// Whether an identity with these tags is this binding's and no other's, not even a later one of the same name.
    #[must_use]
    pub fn owns_exactly(&self, tags: &Tags) -> bool {
        self.tags().all(|(name, value)| tag(tags, &name) == Some(&value))
    }

    /// Whether tags name another binding or another cluster. A later or earlier binding of the same name is not another one, and tags
    /// that are missing name nobody.
    pub(crate) fn is_contradicted_by(&self, tags: &Tags) -> bool {
        self.tags_of_name()
            .any(|(name, value)| tag(tags, &name).is_some_and(|found| found != value))
    }

    /// The binding that the tags of an identity name. None when not all of it can be told: a tag is missing, or names something
    /// that no binding is called, or is so long that it may have been shortened.
    pub(crate) fn named_by(tags: &Tags) -> Option<Self> {
        let (namespace, name) = tag(tags, keys::BINDING_TAG)
            .filter(|whole| whole.len() < TAG_VALUE_CHARS_MAX)?
            .split_once('/')?;
        Some(Self {
            cluster: tag(tags, keys::CLUSTER_TAG)?.parse().ok()?,
            namespace: namespace.parse().ok()?,
            name: name.parse().ok()?,
            uid: tag(tags, keys::BINDING_UID_TAG)?.parse().ok()?,
        })
    }

    /// Those of the tags that every binding of the same name has, whatever its UID.
    fn tags_of_name(&self) -> impl Iterator<Item = (String, String)> {
        self.tags().filter(|(name, _)| name != keys::BINDING_UID_TAG)
    }

    /// The tags by which an identity is known as this binding's.
    pub(crate) fn tags(&self) -> impl Iterator<Item = (String, String)> {
        [
            (keys::CLUSTER_TAG, self.cluster.to_string()),
            (keys::BINDING_TAG, binding_tag(&self.namespace, &self.name)),
            (keys::BINDING_UID_TAG, self.uid.to_string()),
        ]
        .into_iter()
        .map(|(tag, value)| (tag.to_owned(), value))
    }
}

/// Whether an identity was taken over: it stood there before the binding that has it.
pub(crate) fn was_adopted(tags: &Tags) -> bool {
    tag(tags, keys::ADOPTED_TAG).is_some()
}

/// Whether an identity carries anything of a binding, of whatever cluster. It is somebody's then, though not all is there
/// that says whose.
pub(crate) fn is_claimed(tags: &Tags) -> bool {
    tags.keys()
        .any(|name| name.to_ascii_lowercase().starts_with(wio_api::GROUP))
}

/// The tag that says what becomes of an identity when its binding is deleted.
pub(crate) fn deletion_policy_tag(policy: DeletionPolicy) -> (String, String) {
    let value = match policy {
        DeletionPolicy::Delete => DELETE,
        DeletionPolicy::RetainIdentity => RETAIN_IDENTITY,
        DeletionPolicy::Orphan => ORPHAN,
    };
    (keys::DELETION_POLICY_TAG.to_owned(), value.to_owned())
}

/// What becomes of an identity when its binding is deleted, as its tags say; none when they do not.
pub(crate) fn deletion_policy(tags: &Tags) -> Option<DeletionPolicy> {
    match tag(tags, keys::DELETION_POLICY_TAG)? {
        DELETE => Some(DeletionPolicy::Delete),
        RETAIN_IDENTITY => Some(DeletionPolicy::RetainIdentity),
        ORPHAN => Some(DeletionPolicy::Orphan),
        _ => None,
    }
}

/// The values of that tag, as the spec has them.
const DELETE: &str = "Delete";
const RETAIN_IDENTITY: &str = "RetainIdentity";
const ORPHAN: &str = "Orphan";
