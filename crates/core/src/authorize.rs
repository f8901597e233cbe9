//! Who may bind what. The verdict is a witness: whatever writes to Azure asks for one, and only this file makes them.

use std::fmt;
use std::marker::PhantomData;

use crate::binding::{IdentityRef, ValidatedBinding};
use crate::config::OperatorConfig;
use crate::names::{IdentityId, ResourceGroupId};

/// Proof that writing to one identity was allowed, and the identity that it was allowed for.
///
/// `Authorized<Grant>` allows creating and changing; `Authorized<Revoke>` only taking away what is ours.
#[derive(Debug, PartialEq, Eq)]
pub struct Authorized<P: Power> {
    identity: IdentityId,
    power: PhantomData<P>,
}

/// What a witness allows.
pub trait Power: private::Sealed {}

/// Creating, changing and taking away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grant {}

/// Taking away what is ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Revoke {}

impl Power for Grant {}
impl Power for Revoke {}

mod private {
    pub trait Sealed {}
    impl Sealed for super::Grant {}
    impl Sealed for super::Revoke {}
}

/// What a binding asks for is not allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotPermitted {
    /// The field that asks for it.
    pub field: &'static str,
    /// What is asked, what is allowed, and what would be needed.
    pub message: String,
}

impl fmt::Display for NotPermitted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is not permitted: {}", self.field, self.message)
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
            power: PhantomData,
        }
    }
}

impl Authorized<Grant> {
    /// Who may give may take away.
    #[must_use]
    pub fn revoking(&self) -> Authorized<Revoke> {
        revoke(self.identity.clone())
    }
}

/// Taking away our own trust needs no permission: it must work above all when a permission was withdrawn.
#[must_use]
pub const fn revoke(identity: IdentityId) -> Authorized<Revoke> {
    Authorized {
        identity,
        power: PhantomData,
    }
}

/// Decides whether a binding may have what it asks for.
///
/// A managed identity is allowed in the operator's own resource group, without roles: such an identity can do nothing
/// yet. An existing one is allowed in the resource groups that the operator's configuration lists.
///
/// # Errors
/// The first thing that is asked and not allowed.
pub fn authorize(binding: &ValidatedBinding, config: &OperatorConfig) -> Result<Authorized<Grant>, NotPermitted> {
    if let Some(role) = binding.role_assignments.first() {
        return Err(NotPermitted {
            field: "spec.roleAssignments",
            message: format!(
                "this version of the operator assigns no roles; remove {:?} and assign it to the identity by other means",
                role.role
            ),
        });
    }
    let identity = binding.identity_id(config);
    match &binding.identity {
        IdentityRef::Managed(managed) => {
            permit_same(
                "spec.identity.managed.subscriptionId",
                &identity.group.subscription,
                &config.group.subscription,
            )?;
            permit_same(
                "spec.identity.managed.resourceGroup",
                &identity.group.name,
                &config.group.name,
            )?;
            if let Some(location) = &managed.location {
                permit_same("spec.identity.managed.location", location, &config.location)?;
            }
        }
        IdentityRef::Existing(id) => permit_existing(id, &config.existing_identity_groups)?,
    }
    Ok(Authorized {
        identity,
        power: PhantomData,
    })
}

fn permit_same<T: PartialEq + fmt::Display>(field: &'static str, asked: &T, allowed: &T) -> Result<(), NotPermitted> {
    if asked == allowed {
        return Ok(());
    }
    Err(NotPermitted {
        field,
        message: format!("it asks for {asked}, and managed identities may only be created in {allowed}; leave it out"),
    })
}

fn permit_existing(id: &IdentityId, groups: &[ResourceGroupId]) -> Result<(), NotPermitted> {
    if groups.contains(&id.group) {
        return Ok(());
    }
    let allowed = if groups.is_empty() {
        "the operator allows no existing identities".to_owned()
    } else {
        let list: Vec<String> = groups.iter().map(ToString::to_string).collect();
        format!("the operator allows existing identities only in {}", list.join(", "))
    };
    Err(NotPermitted {
        field: "spec.identity.existing.resourceId",
        message: format!(
            "{allowed}; whoever runs it may add {} to --existing-identity-resource-groups",
            id.group
        ),
    })
}
