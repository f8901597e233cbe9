//! The witnesses of a permission, and the refusal of one.

use std::fmt;

use crate::names::{IdentityId, PolicyName, RoleDefinitionGuid, Scope};

/// The permission to create and change one identity and what hangs on it. Only [`super::authorize`] makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Granted {
    identity: IdentityId,
    authorized_by: Vec<PolicyName>,
    may_adopt: bool,
    roles: Vec<PermittedRole>,
}

/// The permission to take away what is ours on one identity. Only the verdict makes one, and whoever may give may take away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revocable {
    identity: IdentityId,
}

/// The permission to give an identity one role at one scope. Only [`super::authorize`] makes one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PermittedRole {
    definition: RoleDefinitionGuid,
    scope: Scope,
}

/// The refusal of what a binding asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotPermitted {
    /// The path of the field that asks for it.
    pub field: String,
    /// What is asked, what is allowed, and what would be needed.
    pub message: String,
    /// Whether one more policy would allow it.
    pub awaits_policy: bool,
}

impl fmt::Display for NotPermitted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is not permitted: {}", self.field, self.message)
    }
}

// === impl Granted ===

impl Granted {
    pub(super) const fn new(
        identity: IdentityId,
        authorized_by: Vec<PolicyName>,
        may_adopt: bool,
        roles: Vec<PermittedRole>,
    ) -> Self {
        Self {
            identity,
            authorized_by,
            may_adopt,
            roles,
        }
    }

    /// The identity that may be written to.
    #[must_use]
    pub const fn identity(&self) -> &IdentityId {
        &self.identity
    }

    /// The roles that the identity may be given.
    #[must_use]
    pub fn roles(&self) -> &[PermittedRole] {
        &self.roles
    }

    /// The policies that allow it, by name; none when nothing is asked that needs one.
    #[must_use]
    pub fn authorized_by(&self) -> &[PolicyName] {
        &self.authorized_by
    }

    /// Whether a policy allows to take over an identity that stands there and belongs to no binding. Whether the binding asks
    /// for it is another question.
    #[must_use]
    pub const fn may_adopt(&self) -> bool {
        self.may_adopt
    }

    /// The permission to take away: whoever may give has it.
    #[must_use]
    pub fn revocable(&self) -> Revocable {
        Revocable::new(self.identity.clone())
    }
}

// === impl Revocable ===

impl Revocable {
    /// Taking away our own trust needs no policy: it must work above all when a permission was withdrawn.
    pub(crate) const fn new(identity: IdentityId) -> Self {
        Self { identity }
    }

    /// The identity from which may be taken away.
    #[must_use]
    pub const fn identity(&self) -> &IdentityId {
        &self.identity
    }
}

// === impl PermittedRole ===

impl PermittedRole {
    pub(super) const fn new(definition: RoleDefinitionGuid, scope: Scope) -> Self {
        Self { definition, scope }
    }

    /// Which role.
    #[must_use]
    pub const fn definition(&self) -> RoleDefinitionGuid {
        self.definition
    }

    /// Where it may hold.
    #[must_use]
    pub const fn scope(&self) -> &Scope {
        &self.scope
    }
}
