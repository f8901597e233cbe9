//! What the world should be like for one binding.

use std::fmt;

use wio_api::{ConflictPolicy, DeletionPolicy, Reason, WorkloadIdentityBinding, WorkloadIdentityBindingStatus, keys};

use crate::authorize::{Authorized, Grant, NotPermitted, PermittedRole, Revoke};
use crate::binding::{IdentityRef, Owner, RoleRef, TokenExpiration, ValidatedBinding};
use crate::config::{Cluster, OperatorConfig};
use crate::fault::Blocked;
use crate::names::{
    Audience, ClientId, CredentialName, CredentialPrefix, IdentityId, Issuer, Location, PrincipalId,
    RoleAssignmentName, RoleDefinitionGuid, Scope, ServiceAccountName, Subject, binding_tag, credential_name,
    role_assignment_name,
};
use crate::observed::{ObservedRoleAssignment, Tags, tag};
use crate::sharing::{Claims, Sharing};

/// What the world should be like for one binding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Desired {
    /// Its service accounts are trusted.
    Bound(DesiredBinding),
    /// It may not have what it asks for: nothing of it is trusted.
    Denied(DesiredDenial),
    /// Nothing of it is left.
    Gone(DesiredRemoval),
}

/// A binding whose service accounts are to be trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DesiredBinding {
    /// The permission to write to the identity.
    pub authorized: Authorized<Grant>,
    /// Whose it is.
    pub owner: Owner,
    /// The identity.
    pub identity: DesiredIdentity,
    /// One federated credential for each service account.
    pub credentials: Vec<DesiredCredential>,
    /// The roles of the identity.
    pub roles: Vec<DesiredRole>,
    /// The service accounts.
    pub service_accounts: Vec<DesiredServiceAccount>,
    /// The operator's own identity, which this one must not turn out to be.
    pub own_client_id: Option<ClientId>,
    /// Who else has a part in the trust.
    pub sharing: Sharing,
}

/// The identity of a binding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DesiredIdentity {
    /// We create it and own it.
    Managed {
        /// Its region.
        location: Location,
        /// The tags that it must carry, ours among them.
        tags: Tags,
        /// Whether the spec asks to take over one that stands there and belongs to no binding.
        adopt: bool,
    },
    /// Someone else owns it.
    Existing,
}

/// A federated credential that should exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DesiredCredential {
    /// Its derived name.
    pub name: CredentialName,
    /// The service account that it is for.
    pub account: ServiceAccountName,
    /// Whose tokens Entra is to trust.
    pub issuer: Issuer,
    /// Which subject.
    pub subject: Subject,
    /// Which audience.
    pub audience: Audience,
}

/// A role that the identity should have. What names its assignment, the identity's principal among it, is known only when
/// the identity is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DesiredRole {
    /// The permission to give it.
    pub permitted: PermittedRole,
    /// The role as the spec names it.
    pub role: String,
}

/// A service account that should carry the identity's client id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DesiredServiceAccount {
    /// Its name.
    pub name: ServiceAccountName,
    /// Whether to create it when it is missing.
    pub create: bool,
    /// The lifetime of its projected tokens.
    pub token_expiration: Option<TokenExpiration>,
    /// What to do when another manager holds our annotations.
    pub conflict_policy: ConflictPolicy,
}

/// A binding of which nothing is to be left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DesiredRemoval {
    /// The permission to take away.
    pub authorized: Authorized<Revoke>,
    /// Whose it was.
    pub owner: Owner,
    /// Whether the identity is one that we manage.
    pub managed: bool,
    /// What is to be left in Azure.
    pub policy: DeletionPolicy,
    /// Whether a managed identity is deleted though others still use it ([`keys::DELETE_DESPITE_USERS_ANNOTATION`]).
    pub despite_users: bool,
    /// Who else has a part in the trust.
    pub sharing: Sharing,
}

/// A binding that may not have what it asks for: what it has is taken away, and a managed identity stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DesiredDenial {
    removal: DesiredRemoval,
    why: NotPermitted,
}

impl DesiredDenial {
    /// Takes away what is there as a removal would, whatever its policy: Orphan would leave what is not permitted.
    #[must_use]
    pub fn new(removal: DesiredRemoval, why: NotPermitted) -> Self {
        Self {
            removal: DesiredRemoval {
                policy: DeletionPolicy::RetainIdentity,
                ..removal
            },
            why,
        }
    }

    /// What is taken away.
    #[must_use]
    pub const fn removal(&self) -> &DesiredRemoval {
        &self.removal
    }

    /// What is not permitted.
    #[must_use]
    pub const fn why(&self) -> &NotPermitted {
        &self.why
    }
}

impl Desired {
    /// The binding.
    #[must_use]
    pub const fn owner(&self) -> &Owner {
        match self {
            Self::Bound(binding) => &binding.owner,
            Self::Denied(denial) => &denial.removal.owner,
            Self::Gone(removal) => &removal.owner,
        }
    }

    /// Who else has a part in the trust.
    #[must_use]
    pub const fn sharing(&self) -> &Sharing {
        match self {
            Self::Bound(binding) => &binding.sharing,
            Self::Denied(denial) => &denial.removal.sharing,
            Self::Gone(removal) => &removal.sharing,
        }
    }

    /// The same, with those that share its trust.
    #[must_use]
    pub fn beside(mut self, sharing: Sharing) -> Self {
        match &mut self {
            Self::Bound(binding) => binding.sharing = sharing,
            Self::Denied(denial) => denial.removal.sharing = sharing,
            Self::Gone(removal) => removal.sharing = sharing,
        }
        self
    }
}

impl DesiredBinding {
    /// What a binding that was allowed asks for, as if it were alone.
    #[must_use]
    pub fn new(
        binding: &ValidatedBinding,
        authorized: Authorized<Grant>,
        cluster: &Cluster,
        config: &OperatorConfig,
    ) -> Self {
        let owner = &binding.owner;
        let prefix = CredentialPrefix::of(&owner.cluster, &owner.namespace, &owner.name);
        let audience = binding.audience.as_ref().unwrap_or(&config.audience);
        let identity = match &binding.identity {
            IdentityRef::Existing(_) => DesiredIdentity::Existing,
            IdentityRef::Managed(managed) => DesiredIdentity::Managed {
                location: managed.location.as_ref().unwrap_or(&config.location).clone(),
                tags: managed.tags.clone().into_iter().chain(ownership_tags(owner)).collect(),
                adopt: managed.adopt,
            },
        };
        let credentials = binding
            .service_accounts
            .iter()
            .map(|account| DesiredCredential {
                name: credential_name(&prefix, &account.name, &cluster.issuer),
                account: account.name.clone(),
                issuer: cluster.issuer.clone(),
                subject: Subject::of(&owner.namespace, &account.name),
                audience: audience.clone(),
            })
            .collect();
        let service_accounts = binding
            .service_accounts
            .iter()
            .map(|account| DesiredServiceAccount {
                name: account.name.clone(),
                create: account.create,
                token_expiration: account.token_expiration,
                conflict_policy: account.conflict_policy,
            })
            .collect();
        let permitted = |asked: &RoleRef| {
            let permitted = authorized
                .roles()
                .iter()
                .find(|permitted| permitted.definition() == asked.definition && *permitted.scope() == asked.scope)?;
            Some(DesiredRole {
                permitted: permitted.clone(),
                role: asked.role.clone(),
            })
        };
        let roles = binding.role_assignments.iter().filter_map(permitted).collect();
        let claims = Claims {
            accounts: binding
                .service_accounts
                .iter()
                .map(|account| account.name.clone())
                .collect(),
            roles: Vec::new(),
        };
        Self {
            sharing: Sharing::of(owner, authorized.identity(), &cluster.issuer, claims),
            authorized,
            owner: owner.clone(),
            identity,
            credentials,
            roles,
            service_accounts,
            own_client_id: config.own_client_id,
        }
    }

    /// Why nothing may be written when the binding already has an identity and now means another one: the operator's
    /// defaults were changed since. A second identity beside the first would leave the first one trusted, and nobody
    /// would take it away.
    #[must_use]
    pub fn moved(&self, status: Option<&WorkloadIdentityBindingStatus>) -> Option<Blocked> {
        let before = status?.identity.as_ref()?;
        let now = self.authorized.identity();
        // What does not parse was not written by us, and says nothing.
        let elsewhere = before
            .resource_id
            .parse()
            .is_ok_and(|before: IdentityId| before != *now);
        elsewhere.then(|| Blocked {
            reason: Reason::IdentityMoved,
            message: format!(
                "the identity of this binding is {}, and by the spec with the operator's defaults it would now be {now}; \
                 set the operator's subscription and resource group back, or delete the binding and create it anew",
                before.resource_id
            ),
        })
    }

    /// Whether an identity with these tags is this binding's to use. One that it took over may have roles that no policy gave:
    /// it is, as long as a policy allows to take it over.
    #[must_use]
    pub fn may_use(&self, tags: &Tags) -> bool {
        match self.identity {
            DesiredIdentity::Existing => true,
            DesiredIdentity::Managed { .. } => {
                self.owner.owns(tags) && (!was_adopted(tags) || self.authorized.may_adopt())
            }
        }
    }

    /// Whether a service account is among those that are to be trusted.
    #[must_use]
    pub fn wants(&self, account: &ServiceAccountName) -> bool {
        self.service_accounts.iter().any(|wanted| wanted.name == *account)
    }

    /// The credential of a service account.
    #[must_use]
    pub fn credential_of(&self, account: &ServiceAccountName) -> Option<&DesiredCredential> {
        self.credentials
            .iter()
            .find(|credential| credential.account == *account)
    }
}

impl DesiredRole {
    /// Which role.
    #[must_use]
    pub const fn definition(&self) -> RoleDefinitionGuid {
        self.permitted.definition()
    }

    /// Where it holds.
    #[must_use]
    pub const fn scope(&self) -> &Scope {
        self.permitted.scope()
    }

    /// Whether an assignment gives this role to this principal, whatever the assignment's name.
    #[must_use]
    pub fn is_given_by(&self, assignment: &ObservedRoleAssignment, principal: PrincipalId) -> bool {
        assignment.principal == principal
            && assignment.definition == self.definition()
            && assignment.scope.parse().as_ref() == Ok(self.scope())
    }
}

impl fmt::Display for DesiredRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.role, self.scope())
    }
}

impl Owner {
    /// How the names of this binding's federated credentials begin.
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
        role_assignment_name(&self.cluster, &self.namespace, &self.name, scope, principal, definition)
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
        ownership_tags(self)
            .filter(|(name, _)| name != keys::BINDING_UID_TAG)
            .all(|(name, value)| tag(tags, &name) == Some(&value))
    }

    /// Whether an identity with these tags is this binding's and no other's, not even a later one of the same name.
    #[must_use]
    pub fn owns_exactly(&self, tags: &Tags) -> bool {
        ownership_tags(self).all(|(name, value)| tag(tags, &name) == Some(&value))
    }
}

/// Whether a binding's annotations ask to delete its managed identity though others still use it.
#[must_use]
pub fn deletes_despite_users(binding: &WorkloadIdentityBinding) -> bool {
    let annotations = binding.metadata.annotations.as_ref();
    annotations.and_then(|annotations| annotations.get(keys::DELETE_DESPITE_USERS_ANNOTATION))
        == Some(&"true".to_owned())
}

/// Whether an identity stood there before the binding that has it.
pub(crate) fn was_adopted(tags: &Tags) -> bool {
    tag(tags, keys::ADOPTED_TAG).is_some()
}

/// Whether an identity carries anything of a binding, of whatever cluster. It is somebody's then, though not all is there
/// that says whose.
pub(crate) fn is_claimed(tags: &Tags) -> bool {
    tags.keys()
        .any(|name| name.to_ascii_lowercase().starts_with(wio_api::GROUP))
}

/// The tags that say whose an identity is.
fn ownership_tags(owner: &Owner) -> impl Iterator<Item = (String, String)> {
    [
        (keys::CLUSTER_TAG, owner.cluster.to_string()),
        (keys::BINDING_TAG, binding_tag(&owner.namespace, &owner.name)),
        (keys::BINDING_UID_TAG, owner.uid.to_string()),
    ]
    .into_iter()
    .map(|(tag, value)| (tag.to_owned(), value))
}
