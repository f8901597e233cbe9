//! What the world should be like for one binding.

use wio_api::{ConflictPolicy, DeletionPolicy, Reason, WorkloadIdentityBindingStatus, keys};

use crate::authorize::{Authorized, Grant, Revoke};
use crate::binding::{IdentityRef, Owner, TokenExpiration, ValidatedBinding};
use crate::config::{Cluster, OperatorConfig};
use crate::fault::Blocked;
use crate::names::{
    Audience, CredentialName, CredentialPrefix, IdentityId, Issuer, Location, ServiceAccountName, Subject, binding_tag,
    credential_name,
};
use crate::observed::{Tags, tag};

/// What the world should be like for one binding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Desired {
    /// Its service accounts are trusted.
    Bound(DesiredBinding),
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
    /// The service accounts.
    pub service_accounts: Vec<DesiredServiceAccount>,
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
}

impl Desired {
    /// The binding.
    #[must_use]
    pub const fn owner(&self) -> &Owner {
        match self {
            Self::Bound(binding) => &binding.owner,
            Self::Gone(removal) => &removal.owner,
        }
    }
}

impl DesiredBinding {
    /// What a binding that was allowed asks for.
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
        Self {
            authorized,
            owner: owner.clone(),
            identity,
            credentials,
            service_accounts,
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

    /// The credential of a service account.
    #[must_use]
    pub fn credential_of(&self, account: &ServiceAccountName) -> Option<&DesiredCredential> {
        self.credentials
            .iter()
            .find(|credential| credential.account == *account)
    }
}

impl Owner {
    /// How the names of this binding's federated credentials begin.
    #[must_use]
    pub fn credential_prefix(&self) -> CredentialPrefix {
        CredentialPrefix::of(&self.cluster, &self.namespace, &self.name)
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
