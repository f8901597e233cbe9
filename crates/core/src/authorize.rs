//! Who may bind what. The verdict is a witness: whatever writes to Azure asks for one, and only this file makes them.

mod decide;
mod refusal;

use std::fmt;

use wio_api::{DeletionPolicy, WorkloadIdentityBinding, WorkloadIdentityBindingStatus};

use crate::binding::{Owner, ValidatedBinding, validate};
use crate::config::OperatorConfig;
use crate::names::{IdentityId, PolicyName, RoleDefinitionGuid, Scope};
use crate::policy::{NamespaceFacts, Policies};

use decide::{Asked, decide};

/// The roles with which one can give oneself any other: no policy allows them unless the operator's configuration unlocks
/// them. A custom role can do the same under a name of its own, which is why a policy names those by GUID.
pub const LOCKED_ROLES: [RoleDefinitionGuid; 3] = [
    RoleDefinitionGuid::OWNER,
    RoleDefinitionGuid::USER_ACCESS_ADMINISTRATOR,
    RoleDefinitionGuid::RBAC_ADMINISTRATOR,
];

/// Proof that writing to one identity was allowed, and the identity that it was allowed for.
///
/// `Authorized<Grant>` allows creating and changing; `Authorized<Revoke>` only taking away what is ours.
#[derive(Debug, PartialEq, Eq)]
pub struct Authorized<P: Power> {
    identity: IdentityId,
    terms: P::Terms,
}

/// On what terms a permission was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    authorized_by: Vec<PolicyName>,
    may_adopt: bool,
    roles: Vec<PermittedRole>,
}

/// A role that may be given to the identity of the witness that holds it. Only [`authorize`] makes one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PermittedRole {
    definition: RoleDefinitionGuid,
    scope: Scope,
}

/// What a witness allows.
pub trait Power: private::Sealed {
    /// On what terms.
    type Terms: Clone + fmt::Debug + PartialEq + Eq;
}

/// Creating, changing and taking away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grant {}

/// Taking away what is ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Revoke {}

impl Power for Grant {
    type Terms = Terms;
}
impl Power for Revoke {
    type Terms = ();
}

mod private {
    pub trait Sealed {}
    impl Sealed for super::Grant {}
    impl Sealed for super::Revoke {}
}

/// What a binding asks for is not allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotPermitted {
    /// The path of the field that asks for it.
    pub field: String,
    /// What is asked, what is allowed, and what would be needed.
    pub message: String,
}

impl fmt::Display for NotPermitted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is not permitted: {}", self.field, self.message)
    }
}

// === impl PermittedRole ===

impl PermittedRole {
    /// Which role.
    #[must_use]
    pub const fn definition(&self) -> RoleDefinitionGuid {
        self.definition
    }

    /// Where it holds.
    #[must_use]
    pub const fn scope(&self) -> &Scope {
        &self.scope
    }
}

// === impl Authorized ===

impl<P: Power> Authorized<P> {
    /// The identity that the witness speaks of.
    #[must_use]
    pub const fn identity(&self) -> &IdentityId {
        &self.identity
    }
}

impl<P: Power> Clone for Authorized<P> {
    fn clone(&self) -> Self {
        Self {
            identity: self.identity.clone(),
            terms: self.terms.clone(),
        }
    }
}

impl Authorized<Grant> {
    /// The roles that the identity may be given.
    #[must_use]
    pub fn roles(&self) -> &[PermittedRole] {
        &self.terms.roles
    }

    /// The policies that allow it, by name; none when nothing is asked that needs one.
    #[must_use]
    pub fn authorized_by(&self) -> &[PolicyName] {
        &self.terms.authorized_by
    }

    /// Whether a policy allows to take over an identity that stands there and belongs to no binding. Whether the binding asks
    /// for it is another question.
    #[must_use]
    pub const fn may_adopt(&self) -> bool {
        self.terms.may_adopt
    }

    /// Who may give may take away.
    #[must_use]
    pub fn revoking(&self) -> Authorized<Revoke> {
        revoke(self.identity.clone())
    }
}

/// Taking away our own trust needs no permission: it must work above all when a permission was withdrawn.
#[must_use]
pub const fn revoke(identity: IdentityId) -> Authorized<Revoke> {
    Authorized { identity, terms: () }
}

/// Decides whether a binding may have what it asks for.
///
/// Without a policy it may have a managed identity in the operator's own resource group, without roles: such an identity can
/// do nothing yet. `used_credentials` are those of the namespace that come before its own
/// ([`crate::policy::used_credentials`]).
///
/// # Errors
/// The first thing that is asked and not allowed.
pub fn authorize(
    binding: &ValidatedBinding,
    config: &OperatorConfig,
    policies: &Policies,
    namespace: &NamespaceFacts,
    used_credentials: usize,
) -> Result<Authorized<Grant>, NotPermitted> {
    let identity = binding.identity_id(config);
    let asked = Asked::by(binding, &identity, config, used_credentials);
    let decision = decide(&asked, config, policies, namespace)?;
    let roles = binding
        .role_assignments
        .iter()
        .map(|role| PermittedRole {
            definition: role.definition,
            scope: role.scope.clone(),
        })
        .collect();
    Ok(Authorized {
        identity,
        terms: Terms {
            authorized_by: decision.authorized_by,
            may_adopt: decision.may_adopt,
            roles,
        },
    })
}

/// Decides whether what a binding has, by its status, may go on. It is asked when the spec says nothing that can be decided on:
/// otherwise whoever makes the spec unusable would keep what a policy takes away.
///
/// # Errors
/// The first thing that it has and that is not allowed.
pub fn authorize_standing(
    owner: &Owner,
    status: &WorkloadIdentityBindingStatus,
    deletion_policy: DeletionPolicy,
    config: &OperatorConfig,
    policies: &Policies,
    namespace: &NamespaceFacts,
) -> Result<(), NotPermitted> {
    match Asked::standing(owner, status, deletion_policy) {
        Some(asked) => decide(&asked, config, policies, namespace).map(drop),
        None => Ok(()),
    }
}

/// Decides what is to be left of a binding that is being deleted. Orphan leaves trust that nothing accounts for any more: it is
/// asked anew, because a spec can be edited and the binding deleted before a reconcile refuses it. Where it is not permitted
/// the trust ends and the identity stays, as with every denial.
///
/// # Errors
/// Why Orphan is not permitted.
pub fn authorize_orphan(
    owner: &Owner,
    binding: &WorkloadIdentityBinding,
    config: &OperatorConfig,
    policies: &Policies,
    namespace: &NamespaceFacts,
) -> Result<(), NotPermitted> {
    // Both what it has and what it asks for: either may be behind what stands in Azure.
    if let Some(status) = &binding.status {
        authorize_standing(owner, status, DeletionPolicy::Orphan, config, policies, namespace)?;
    }
    match validate(binding, &owner.cluster) {
        Ok(validated) => {
            let asked = Asked {
                used_credentials: None,
                orphan: true,
                ..Asked::by(&validated, &validated.identity_id(config), config, 0)
            };
            decide(&asked, config, policies, namespace).map(drop)
        }
        Err(_) => Ok(()),
    }
}
