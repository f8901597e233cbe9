//! The steps of a plan, as data.

use std::fmt;

use crate::desired::{DesiredCredential, DesiredRole, DesiredServiceAccount};
use crate::fault::Blocked;
use crate::names::{
    BindingUid, ConfigMapName, ConfigMapUid, CredentialName, Location, RoleAssignmentName, Scope, ServiceAccountName,
    ServiceAccountUid,
};
use crate::observed::{Observed, Tags};

/// A plan, in this order: what takes away goes first, so that trust ends before anything else and frees its room.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// What to take away, in order.
    pub revocations: Vec<Revocation>,
    /// What to give, in order.
    pub grants: Vec<GrantStep>,
    /// What cannot be done until somebody else acts.
    pub blocked: Vec<Blocked>,
}

/// A step that takes away what is ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Revocation {
    /// Delete a federated credential.
    DeleteCredential(CredentialName),
    /// Delete a role assignment.
    DeleteRoleAssignment {
        /// Where it holds.
        scope: Scope,
        /// Its name.
        name: RoleAssignmentName,
    },
    /// Let go of a service account: remove our annotations and label, or delete it.
    ReleaseServiceAccount {
        /// The service account.
        name: ServiceAccountName,
        /// Its UID: another one under the same name is not meant.
        uid: ServiceAccountUid,
        /// The label that it carries: ours, or that of another binding that left it to us. With another one it is not meant any more.
        label: BindingUid,
        /// Whether it is deleted, because we created it and the binding goes.
        delete: bool,
    },
    /// Delete a ConfigMap that the identity's ids were exported into.
    DeleteExport {
        /// Its name.
        name: ConfigMapName,
        /// Its UID: another one under the same name is not meant.
        uid: ConfigMapUid,
        /// The label that it carries. With another one it is not meant any more.
        label: BindingUid,
    },
    /// Delete the identity.
    DeleteIdentity,
}

/// A step that creates or changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GrantStep {
    /// Create the identity.
    CreateIdentity {
        /// Its region.
        location: Location,
        /// Its tags.
        tags: Tags,
    },
    /// Give the identity these tags, and no others.
    TagIdentity {
        /// Its tags, those of others among them.
        tags: Tags,
    },
    /// Create or mend a federated credential.
    PutCredential(DesiredCredential),
    /// Delete the credential of an issuer that the cluster had before and create this one: there is no room for both.
    ReplaceCredential {
        /// The one that goes.
        former: CredentialName,
        /// The one that comes.
        wanted: DesiredCredential,
    },
    /// Give the identity's principal, which is known when this step's turn comes, a role.
    PutRoleAssignment(DesiredRole),
    /// Create or annotate a service account with the client id of the identity, which is known when this step's turn comes.
    ApplyServiceAccount(DesiredServiceAccount),
    /// Write the ids of the identity, which are known when this step's turn comes, into this ConfigMap.
    ApplyExport(ConfigMapName),
}

impl fmt::Display for Revocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DeleteCredential(name) => write!(f, "federated credential {name}"),
            Self::DeleteRoleAssignment { scope, name } => write!(f, "role assignment {name} at {scope}"),
            Self::ReleaseServiceAccount { name, .. } => write!(f, "annotations of service account {name}"),
            Self::DeleteExport { name, .. } => write!(f, "ConfigMap {name}"),
            Self::DeleteIdentity => f.write_str("identity"),
        }
    }
}

impl fmt::Display for GrantStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CreateIdentity { location, .. } => write!(f, "identity in {location}"),
            Self::TagIdentity { .. } => f.write_str("tags of the identity"),
            Self::PutCredential(credential) => {
                write!(f, "federated credential {} for {}", credential.name, credential.subject)
            }
            Self::ReplaceCredential { former, wanted } => {
                write!(
                    f,
                    "federated credential {} for {}, instead of {former}",
                    wanted.name, wanted.subject
                )
            }
            Self::PutRoleAssignment(role) => write!(f, "role {role}"),
            Self::ApplyServiceAccount(account) => write!(f, "annotations of service account {}", account.name),
            Self::ApplyExport(name) => write!(f, "ConfigMap {name}"),
        }
    }
}

impl Plan {
    /// Whether there is something to write.
    #[must_use]
    pub fn has_steps(&self) -> bool {
        !self.revocations.is_empty() || !self.grants.is_empty()
    }

    /// Whether it makes an identity.
    #[must_use]
    pub fn makes_identity(&self) -> bool {
        let makes = |step: &GrantStep| matches!(step, GrantStep::CreateIdentity { .. });
        self.grants.iter().any(makes)
    }
}

impl GrantStep {
    /// Whether it writes to Azure.
    #[must_use]
    pub const fn writes_to_azure(&self) -> bool {
        match self {
            Self::CreateIdentity { .. }
            | Self::TagIdentity { .. }
            | Self::PutCredential(_)
            | Self::ReplaceCredential { .. }
            | Self::PutRoleAssignment(_) => true,
            Self::ApplyServiceAccount(_) | Self::ApplyExport(_) => false,
        }
    }

    /// What it does, in words that come after "to".
    #[must_use]
    pub fn change(&self) -> String {
        match self {
            Self::CreateIdentity { .. } => "create the identity".to_owned(),
            Self::TagIdentity { .. } => "tag the identity".to_owned(),
            Self::PutCredential(credential) => format!("trust the service account {}", credential.account),
            Self::ReplaceCredential { wanted, .. } => {
                format!("trust the service account {} by the issuer of today", wanted.account)
            }
            Self::PutRoleAssignment(role) => format!("assign {role}"),
            Self::ApplyServiceAccount(account) => format!("annotate the service account {}", account.name),
            Self::ApplyExport(name) => format!("write the ConfigMap {name}"),
        }
    }
}

impl Revocation {
    /// What it does, in words that come after "to".
    #[must_use]
    pub fn change(&self) -> String {
        match self {
            Self::DeleteCredential(name) => format!("delete the federated credential {name}"),
            Self::DeleteRoleAssignment { scope, .. } => format!("take away a role at {scope}"),
            Self::ReleaseServiceAccount { name, .. } => format!("release the service account {name}"),
            Self::DeleteExport { name, .. } => format!("delete the ConfigMap {name}"),
            Self::DeleteIdentity => "delete the identity".to_owned(),
        }
    }

    /// Takes out of what was observed what this step took out of the world.
    pub fn fold(&self, observed: &mut Observed) {
        match self {
            Self::DeleteCredential(name) => observed.credential_deleted(name),
            Self::DeleteRoleAssignment { name, .. } => observed.role_assignment_deleted(*name),
            Self::ReleaseServiceAccount { name, .. } => observed.account_released(name),
            Self::DeleteExport { name, .. } => observed.export_deleted(name),
            Self::DeleteIdentity => observed.identity_deleted(),
        }
    }
}
