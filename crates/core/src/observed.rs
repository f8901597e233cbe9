//! What was seen, in Azure and in the cluster.

use std::collections::BTreeMap;
use std::fmt;

use crate::fault::AzureFault;
use crate::names::{
    Audience, BindingUid, ClientId, CredentialName, PrincipalId, RoleAssignmentName, RoleDefinitionGuid,
    ServiceAccountName, ServiceAccountUid, TenantId,
};

/// Everything that planning needs to know of the world.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// The identity and its federated credentials.
    pub identity: ObservedIdentity,
    /// The role assignments of the identity's principal, and of the one that it had before when it was created anew.
    pub role_assignments: ObservedRoleAssignments,
    /// The service accounts of the binding's namespace that the spec names or that carry our mark.
    pub service_accounts: BTreeMap<ServiceAccountName, ObservedServiceAccount>,
}

/// The identity as Azure showed it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ObservedIdentity {
    /// It is not there.
    #[default]
    Absent,
    /// It is there.
    Present(PresentIdentity),
}

/// An identity that is there, and its federated credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PresentIdentity {
    /// What Azure gave it.
    pub facts: IdentityFacts,
    /// Its tags.
    pub tags: Tags,
    /// Its federated credentials, ours and others'.
    pub credentials: Vec<ObservedCredential>,
}

/// The tags of an Azure resource. Azure disregards the case of their names and keeps that of their values.
pub type Tags = BTreeMap<String, String>;

/// The value of a tag, whatever the case of its name.
pub(crate) fn tag<'a>(tags: &'a Tags, name: &str) -> Option<&'a str> {
    tags.iter()
        .find(|(other, _)| other.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.as_str())
}

/// What Azure gives an identity when it is created. A recreated one gets new ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdentityFacts {
    /// What a workload asks tokens for.
    pub client_id: ClientId,
    /// Whom roles are given to; the `oid` of the tokens.
    pub principal_id: PrincipalId,
    /// The Entra tenant.
    pub tenant_id: TenantId,
}

/// A federated credential as Azure showed it. The texts are kept as they are: a foreign one may hold anything, and
/// a flexible one (with an expression instead of a subject) has no subject at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObservedCredential {
    /// Its name.
    pub name: CredentialName,
    /// Whose tokens it trusts.
    pub issuer: String,
    /// Which subject it trusts; none when it is a flexible one.
    pub subject: Option<String>,
    /// Which audiences it trusts.
    pub audiences: Vec<String>,
}

/// The role assignments as Azure showed them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ObservedRoleAssignments {
    /// All of them, ours and others', also those that hold for the principal at a wider scope. None without a look when
    /// none are asked for and none were before.
    Known(Vec<ObservedRoleAssignment>),
    /// They could not be looked at. No role is given or taken away then, and no identity deleted.
    Unknown(AzureFault),
}

/// A role assignment as Azure showed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObservedRoleAssignment {
    /// Its name.
    pub name: RoleAssignmentName,
    /// Where it holds, as written: a foreign one may hold at `/`, where none of ours can.
    pub scope: String,
    /// The role.
    pub definition: RoleDefinitionGuid,
    /// Who has the role.
    pub principal: PrincipalId,
}

/// A service account as the API server showed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObservedServiceAccount {
    /// Its UID.
    pub uid: ServiceAccountUid,
    /// The client id that it carries, as written.
    pub client_id: Option<String>,
    /// The tenant id that it carries, as written.
    pub tenant_id: Option<String>,
    /// The token lifetime that the operator wrote on it. Another manager's stays as it is while the spec names none.
    pub token_expiration: Option<String>,
    /// The binding whose mark it carries.
    pub bound_by: BoundBy,
    /// Whether the operator created it for this binding.
    pub created_by_us: bool,
}

/// Whose mark a service account carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BoundBy {
    /// Nobody's.
    Nobody,
    /// This binding's.
    Us,
    /// That of another binding that exists.
    Other {
        /// The other binding's name.
        binding: String,
        /// Its UID.
        uid: BindingUid,
    },
    /// That of a binding that is gone, so it may be taken over.
    Gone {
        /// The gone binding's UID.
        uid: BindingUid,
    },
}

impl ObservedIdentity {
    /// The identity, when it is there.
    #[must_use]
    pub const fn present(&self) -> Option<&PresentIdentity> {
        match self {
            Self::Absent => None,
            Self::Present(present) => Some(present),
        }
    }
}

impl ObservedRoleAssignments {
    /// Those that are known.
    #[must_use]
    pub fn known(&self) -> &[ObservedRoleAssignment] {
        match self {
            Self::Known(assignments) => assignments,
            Self::Unknown(_) => &[],
        }
    }
}

impl Default for ObservedRoleAssignments {
    fn default() -> Self {
        Self::Known(Vec::new())
    }
}

impl ObservedRoleAssignment {
    /// Its Azure resource id.
    #[must_use]
    pub fn id(&self) -> String {
        format!(
            "{}/providers/Microsoft.Authorization/roleAssignments/{}",
            self.scope.trim_end_matches('/'),
            self.name
        )
    }
}

impl fmt::Display for ObservedRoleAssignment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.definition.built_in_name() {
            Some(name) => write!(f, "{name} at {}", self.scope),
            None => write!(f, "{} at {}", self.definition, self.scope),
        }
    }
}

impl ObservedCredential {
    /// Whether Entra would accept a token with exactly these claims by this credential.
    #[must_use]
    pub fn trusts(&self, issuer: &str, subject: &str) -> bool {
        self.issuer == issuer && self.subject.as_deref() == Some(subject)
    }

    /// Whether it trusts this audience and no other.
    #[must_use]
    pub fn has_audience(&self, audience: &Audience) -> bool {
        self.audiences.iter().map(String::as_str).eq([audience.as_str()])
    }
}
