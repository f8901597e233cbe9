//! The observed state of the world for one binding, in Azure and in the cluster.

use std::collections::BTreeMap;

use litemap::LiteMap;

use crate::names::{
    Audience, BindingUid, ClientId, ConfigMapName, ConfigMapUid, CredentialName, PrincipalId, RoleAssignmentName,
    ServiceAccountName, ServiceAccountUid, TenantId,
};
pub use crate::observed_roles::{ObservedRoleAssignment, ObservedRoleAssignments, Unread};

/// The observed state of the world: everything that planning needs to know. There is no empty one: what was not looked at cannot be planned for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed {
    /// Azure.
    pub azure: AzureState,
    /// The service accounts of the binding's namespace that it has, had or asks for, or that carry its label.
    pub service_accounts: BTreeMap<ServiceAccountName, ObservedServiceAccount>,
    /// The ConfigMaps that it exports into, or did, as far as there are any. Of a binding that is denied they are not looked at: nothing rests on
    /// them.
    pub exports: BTreeMap<ConfigMapName, ObservedExport>,
    /// The client id by which the operator itself is signed in to Azure; none before its first token.
    pub signed_in_as: Option<ClientId>,
}

/// The state of Azure for one binding: read just now, remembered, or taken for known ([`crate::known_state`]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AzureState {
    /// The identity and its federated credentials.
    pub identity: ObservedIdentity,
    /// The role assignments of the identity's principal, and of the one that it had before when it was created anew.
    pub role_assignments: ObservedRoleAssignments,
}

/// The identity as Azure showed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ObservedIdentity {
    /// It is not there.
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

/// The tags of an Azure resource. Azure disregards the case of their names and keeps that of their values. They are kept for each binding: as a
/// flat list they take half of what a tree's node does.
pub type Tags = LiteMap<String, String>;

/// The value of a tag, whatever the case of its name.
pub(crate) fn tag<'a>(tags: &'a Tags, name: &str) -> Option<&'a str> {
    tags.iter()
        .find(|(other, _)| other.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.as_str())
}

/// The tags that an identity must have so that it carries those that are wanted; none when it does. Tags of others stay: an Azure
/// Policy may have put them there, and would again. One that is wanted replaces what stands there in another case of its name: to
/// Azure they are one tag, and two in a request are an error.
pub(crate) fn with_tags(present: &Tags, wanted: &Tags) -> Option<Tags> {
    let differs = wanted.iter().any(|(name, value)| tag(present, name) != Some(value));
    let others = || present.iter().filter(|(name, _)| tag(wanted, name).is_none());
    differs.then(|| {
        others()
            .chain(wanted)
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect()
    })
}

/// The ids that Azure gives an identity when it is created. A recreated one gets new ids.
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
    /// The binding whose label it carries.
    pub bound_by: BoundBy,
    /// Whether the operator created it for this binding.
    pub created_by_us: bool,
    /// What other field managers hold of the labels and annotations that the operator writes, by key. Known only of a service account
    /// that does not carry the label of a binding that exists: it is read for that.
    pub held: BTreeMap<&'static str, Held>,
}

/// A ConfigMap of a name that a binding exports into, as the API server showed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObservedExport {
    /// Its UID.
    pub uid: ConfigMapUid,
    /// Whether it carries the binding's label: the operator made it for this binding.
    pub ours: bool,
    /// Whether the binding owns it, so that it goes with the binding whoever deletes that.
    pub owned: bool,
    /// The ids that it holds; none when it does not hold all of them.
    pub holds: Option<IdentityFacts>,
}

/// A label or annotation that another field manager holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The field manager.
    pub manager: String,
    /// The value, as written.
    pub value: String,
}

/// The binding whose label a service account carries.
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

/// How the names of credentials begin that are only counted. Azure never shows one without an issuer.
const COUNTED: &str = "not-looked-at-";

impl ObservedCredential {
    /// One of somebody else of which a status tells only that it is there: it has a place among those that Azure allows, and trusts
    /// nobody that is known.
    pub(crate) fn counted(number: u32) -> Option<Self> {
        Some(Self {
            name: format!("{COUNTED}{number}").parse().ok()?,
            issuer: String::new(),
            subject: None,
            audiences: Vec::new(),
        })
    }

    /// Whether it is only counted.
    pub(crate) fn is_only_counted(&self) -> bool {
        self.issuer.is_empty() && self.name.as_str().starts_with(COUNTED)
    }

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

// === impl Observed: what our own writes did to the world, so that it stays true without another look ===

impl Observed {
    /// The identity was created or read anew; its credentials stay as they are.
    pub fn identity_written(&mut self, facts: IdentityFacts, tags: Tags) {
        match &mut self.azure.identity {
            ObservedIdentity::Present(present) => {
                present.facts = facts;
                present.tags = tags;
            }
            ObservedIdentity::Absent => {
                self.azure.identity = ObservedIdentity::Present(PresentIdentity {
                    facts,
                    tags,
                    credentials: Vec::new(),
                });
            }
        }
    }

    /// A federated credential was written.
    pub fn credential_written(&mut self, credential: ObservedCredential) {
        if let ObservedIdentity::Present(present) = &mut self.azure.identity {
            present.credentials.retain(|other| other.name != credential.name);
            present.credentials.push(credential);
        }
    }

    /// A federated credential was deleted.
    pub fn credential_deleted(&mut self, name: &CredentialName) {
        if let ObservedIdentity::Present(present) = &mut self.azure.identity {
            present.credentials.retain(|credential| credential.name != *name);
        }
    }

    /// A role assignment was written, or an equal one was found.
    pub fn role_assigned(&mut self, assignment: ObservedRoleAssignment) {
        self.azure.role_assignments.assigned(assignment);
    }

    /// A role assignment was deleted.
    pub fn role_assignment_deleted(&mut self, name: RoleAssignmentName) {
        self.azure.role_assignments.deleted(name);
    }

    /// A service account was created or annotated.
    pub fn account_applied(&mut self, name: ServiceAccountName, account: ObservedServiceAccount) {
        self.service_accounts.insert(name, account);
    }

    /// A service account was released or deleted.
    pub fn account_released(&mut self, name: &ServiceAccountName) {
        self.service_accounts.remove(name);
    }

    /// A ConfigMap was written.
    pub fn exported(&mut self, name: ConfigMapName, export: ObservedExport) {
        self.exports.insert(name, export);
    }

    /// A ConfigMap was deleted.
    pub fn export_deleted(&mut self, name: &ConfigMapName) {
        self.exports.remove(name);
    }

    /// The identity was deleted.
    pub fn identity_deleted(&mut self) {
        self.azure.identity = ObservedIdentity::Absent;
    }
}
