//! The desired state of the world for one binding. Only the verdict makes one, and it knows from the start who shares it.

use std::collections::BTreeSet;
use std::fmt;

use jiff::Timestamp;
use wio_api::{ConflictPolicy, VerificationMode};

use crate::authorize::{Granted, NotPermitted, PermittedRole, Revocable};
use crate::binding::Binding;
use crate::case::Case;
use crate::config::OperatorConfig;
use crate::names::{
    Audience, ConfigMapName, CredentialName, IdentityId, Issuer, Location, PrincipalId, RoleDefinitionGuid, Scope,
    ServiceAccountName, Subject, credential_name,
};
use crate::observed::{ObservedRoleAssignment, Tags, tag};
use crate::own_cluster::Withheld;
use crate::owner::{Owner, deletion_policy_tag};
use crate::recorded::{Recorded, RecordedIds, RetiringCredential, Rewrites};
use crate::role_terms::RoleTerms;
use crate::rules::Rules;
use crate::sharing::{Claim, Claims, Sharing};
use crate::spec::{IdentityRef, RoleRef, ServiceAccountRef, Spec, TokenExpiration};
use crate::tags::wanted;
use crate::traces::{Told, Traces, told_in};

/// The desired state of the world for one binding.
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
#[non_exhaustive]
pub struct DesiredBinding {
    /// The permission to write to the identity.
    pub granted: Granted,
    /// Whose it is.
    pub owner: Owner,
    /// The identity.
    pub identity: DesiredIdentity,
    /// The ids that were recorded of this very identity, each none when it was only announced; none when nothing was recorded.
    pub recorded: Option<RecordedIds>,
    /// One federated credential for each service account.
    pub credentials: Vec<DesiredCredential>,
    /// The credentials of an issuer that the cluster had before, whose time is over.
    pub retired: BTreeSet<CredentialName>,
    /// The roles of the identity.
    pub roles: Vec<DesiredRole>,
    /// The service accounts.
    pub service_accounts: Vec<DesiredServiceAccount>,
    /// The ConfigMap that the identity's ids are exported into; none when it is not asked for.
    pub export: Option<ConfigMapName>,
    /// Whether its readiness is to be proven.
    pub verification: VerificationMode,
    /// Whether nothing may be written: the spec says so.
    pub suspended: bool,
    /// What it shares with other bindings.
    pub(crate) sharing: Sharing,
    /// The credentials of which a status tells.
    pub(crate) told: Vec<Told>,
    /// When other bindings last wrote the credentials on which its proof may rest.
    pub(crate) rewritten: Rewrites,
    /// The tags that it does not insist on: Azure keeps other values.
    pub(crate) overruled: BTreeSet<String>,
    /// What waits until it is known by which identities the cluster acts; none when that is known.
    pub(crate) withheld: Option<Box<Withheld>>,
}

/// The identity of a binding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DesiredIdentity {
    /// We create it and own it.
    Managed {
        /// Whether its name is derived, so that nobody else's identity has it.
        derived: bool,
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
    /// On which terms.
    pub terms: RoleTerms,
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
#[non_exhaustive]
pub struct DesiredRemoval {
    /// The permission to take away.
    pub revocable: Revocable,
    /// Whose it was.
    pub owner: Owner,
    /// Whether the identity is one that we manage.
    pub managed: bool,
    /// The ids that were recorded of this very identity, each none when it was only announced; none when nothing was recorded.
    pub recorded: Option<RecordedIds>,
    /// What becomes of the identity.
    pub ending: Ending,
    /// Why the trust ends with the binding though its spec says Orphan; none when the spec does not say so.
    pub orphan_denied: Option<NotPermitted>,
    /// What it shares with other bindings.
    pub(crate) sharing: Sharing,
    /// The service accounts that other bindings want, whatever those may have: none of them is deleted.
    pub(crate) wanted_by_others: BTreeSet<ServiceAccountName>,
    /// What may stand of it though no list shows it.
    pub(crate) traces: Traces,
    /// The same for another identity that it may have as well: its spec means another one than its status names.
    pub(crate) elsewhere: Option<Box<Self>>,
}

/// The end of an identity, and of the service accounts that the operator created, when all trust through them is taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The binding goes on. All of them stay: running pods hold tokens for the Kubernetes API by the UID of
    /// their service account, and a policy that was written anew must not end those.
    Stay,
    /// The binding goes, and the identity stays.
    Retain,
    /// The binding goes, and the identity is deleted when it is exactly this binding's and nobody else uses it.
    Delete,
    /// The binding goes, and the identity is deleted when it is exactly this binding's, though others of its namespace still use it, or it has roles of others. Trust that
    /// somebody outside the namespace has through it is not the namespace's to end.
    DeleteDespiteUsers,
}

/// A binding that may not have what it asks for: its trust is taken away, and a managed identity and the service accounts stay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DesiredDenial {
    removal: DesiredRemoval,
    why: NotPermitted,
}

// === impl Ending ===

impl Ending {
    /// Whether the identity may be deleted.
    #[must_use]
    pub const fn deletes_identity(self) -> bool {
        match self {
            Self::Stay | Self::Retain => false,
            Self::Delete | Self::DeleteDespiteUsers => true,
        }
    }

    /// Whether the service accounts that the operator created are deleted.
    #[must_use]
    pub const fn deletes_accounts(self) -> bool {
        match self {
            Self::Stay => false,
            Self::Retain | Self::Delete | Self::DeleteDespiteUsers => true,
        }
    }
}

// === impl DesiredRemoval ===

impl DesiredRemoval {
    /// Whether an identity with these tags is to be deleted: it is exactly this binding's, and not to stay.
    #[must_use]
    pub fn deletes_identity_with(&self, tags: &Tags) -> bool {
        self.managed && self.ending.deletes_identity() && self.owner.owns_exactly(tags)
    }

    /// What is to be taken away from another identity when nothing is left on this one.
    #[must_use]
    pub fn elsewhere(&self) -> Option<&Self> {
        self.elsewhere.as_deref()
    }

    /// The removal from this identity, whichever of the two it is.
    #[must_use]
    pub fn from(self, identity: &IdentityId) -> Option<Self> {
        if self.revocable.identity() == identity {
            return Some(self);
        }
        self.elsewhere
            .filter(|other| other.revocable.identity() == identity)
            .map(|other| *other)
    }
}

// === impl DesiredDenial ===

impl DesiredDenial {
    /// Takes away what is there as a removal would, and nothing is deleted that others may hold on to: what the spec says about
    /// the end is not permitted either.
    pub(crate) fn new(removal: DesiredRemoval, why: NotPermitted) -> Self {
        Self {
            removal: DesiredRemoval {
                ending: Ending::Stay,
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

    /// The same for another reason than the verdict found.
    #[cfg(feature = "testing")]
    #[must_use]
    pub fn because(self, why: NotPermitted) -> Self {
        Self { why, ..self }
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

    /// The permission to take away what is ours.
    #[must_use]
    pub fn revocable(&self) -> Revocable {
        match self {
            Self::Bound(binding) => binding.granted.revocable(),
            Self::Denied(denial) => denial.removal.revocable.clone(),
            Self::Gone(removal) => removal.revocable.clone(),
        }
    }

    /// What it shares with other bindings.
    #[must_use]
    pub const fn sharing(&self) -> &Sharing {
        match self {
            Self::Bound(binding) => &binding.sharing,
            Self::Denied(denial) => &denial.removal.sharing,
            Self::Gone(removal) => &removal.sharing,
        }
    }

    /// The same, shared in another way than the verdict found.
    #[cfg(feature = "testing")]
    #[must_use]
    pub fn with_sharing(mut self, sharing: Sharing) -> Self {
        match &mut self {
            Self::Bound(binding) => binding.sharing = sharing,
            Self::Denied(denial) => denial.removal.sharing = sharing,
            Self::Gone(removal) => removal.sharing = sharing,
        }
        self
    }
}

// === impl DesiredBinding ===

impl DesiredBinding {
    /// The desired state of a binding that may have what it asks for.
    pub(crate) fn new(case: &Case, spec: &Spec, granted: Granted, sharing: Sharing) -> Self {
        let (binding, rules) = (&case.candidate.binding, &case.rules);
        let owner = &binding.owner;
        let permitted = |asked| DesiredRole::permitted(asked, &granted);
        Self {
            told: told_in(case, granted.identity()).collect(),
            identity: DesiredIdentity::new(spec, binding, &rules.config),
            recorded: binding.recorded.ids_of(granted.identity()),
            credentials: credentials(spec, owner, rules),
            retired: BTreeSet::new(),
            roles: spec.role_assignments.iter().filter_map(permitted).collect(),
            service_accounts: spec.service_accounts.iter().map(DesiredServiceAccount::from).collect(),
            export: spec.export.clone(),
            verification: spec.verification.unwrap_or(rules.config.verification),
            suspended: binding.lifecycle.suspended,
            owner: owner.clone(),
            granted,
            sharing,
            rewritten: Rewrites::default(),
            overruled: BTreeSet::new(),
            withheld: Withheld::by(&rules.config).map(Box::new),
        }
    }

    /// The tags that were written and that Azure keeps at other values: an Azure Policy of effect modify has the last word.
    #[must_use]
    pub fn overruled_by(&self, present: &Tags) -> BTreeSet<String> {
        let DesiredIdentity::Managed { tags, .. } = &self.identity else {
            return BTreeSet::new();
        };
        let differing = tags.iter().filter(|(name, value)| tag(present, name) != Some(value));
        differing.map(|(name, _)| name.clone()).collect()
    }

    /// Does not insist on these tags. Whose an identity is, its tags say all the same.
    pub fn tolerate(&mut self, overruled: &BTreeSet<String>) {
        if let DesiredIdentity::Managed { tags, .. } = &mut self.identity {
            tags.retain(|name, _| !overruled.contains(name));
            self.overruled.extend(overruled.iter().cloned());
        }
    }

    /// The same at this moment, which decides which credentials of a former issuer have had their time.
    pub(crate) fn retiring(self, recorded: &Recorded, now: Timestamp) -> Self {
        let over = |credential: &&RetiringCredential| credential.until.is_some_and(|until| until <= now);
        Self {
            retired: recorded
                .retiring
                .iter()
                .filter(over)
                .map(|credential| credential.name.clone())
                .collect(),
            ..self
        }
    }

    /// What it shares with other bindings.
    #[must_use]
    pub const fn sharing(&self) -> &Sharing {
        &self.sharing
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

    /// How a service account is wanted, to compare it with what other bindings claim.
    pub(crate) fn claim(&self, account: &DesiredServiceAccount) -> Option<Claim> {
        let credential = self.credential_of(&account.name)?;
        Some(Claim {
            account: account.name.clone(),
            audience: credential.audience.clone(),
            token_expiration: account.token_expiration,
        })
    }

    /// What it asks for, as claims.
    pub(crate) fn claims(&self) -> Claims {
        Claims {
            accounts: self
                .service_accounts
                .iter()
                .map(|account| account.name.clone())
                .collect(),
            roles: self
                .roles
                .iter()
                .map(|role| (role.definition(), role.scope().clone()))
                .collect(),
        }
    }
}

fn credentials(spec: &Spec, owner: &Owner, rules: &Rules) -> Vec<DesiredCredential> {
    let prefix = owner.credential_prefix();
    let issuer = &rules.cluster.issuer;
    let audience = spec.audience.as_ref().unwrap_or(&rules.config.audience);
    let credential = |account: &ServiceAccountRef| DesiredCredential {
        name: credential_name(&prefix, &account.name, issuer),
        account: account.name.clone(),
        issuer: issuer.clone(),
        subject: Subject::of(&owner.namespace, &account.name),
        audience: audience.clone(),
    };
    spec.service_accounts.iter().map(credential).collect()
}

impl DesiredIdentity {
    fn new(spec: &Spec, binding: &Binding, config: &OperatorConfig) -> Self {
        let ours = || {
            let policy = deletion_policy_tag(binding.lifecycle.deletion_policy);
            binding.owner.tags().chain([policy])
        };
        match &spec.identity {
            IdentityRef::Existing(_) => Self::Existing,
            IdentityRef::Managed(managed) => Self::Managed {
                derived: spec.name_is_derived(),
                location: managed.location.as_ref().unwrap_or(&config.location).clone(),
                tags: wanted(&config.default_tags, &managed.tags, &config.ignored_tags)
                    .into_iter()
                    .chain(ours())
                    .collect(),
                adopt: managed.adopt,
            },
        }
    }

    /// Whether nobody else's identity has its name.
    #[must_use]
    pub const fn name_is_derived(&self) -> bool {
        matches!(self, Self::Managed { derived: true, .. })
    }
}

impl From<&ServiceAccountRef> for DesiredServiceAccount {
    fn from(account: &ServiceAccountRef) -> Self {
        Self {
            name: account.name.clone(),
            create: account.create,
            token_expiration: account.token_expiration,
            conflict_policy: account.conflict_policy,
        }
    }
}

// === impl DesiredRole ===

impl DesiredRole {
    fn permitted(asked: &RoleRef, granted: &Granted) -> Option<Self> {
        let permitted = granted
            .roles()
            .iter()
            .find(|permitted| permitted.definition() == asked.definition && *permitted.scope() == asked.scope)?;
        Some(Self {
            permitted: permitted.clone(),
            role: asked.role.clone(),
            terms: asked.terms.clone(),
        })
    }

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

    /// Whether an assignment gives this role to this principal under the condition that is asked for, whatever the assignment's name. Of one that is only
    /// recorded nobody knows better.
    #[must_use]
    pub fn is_given_by(&self, assignment: &ObservedRoleAssignment, principal: PrincipalId) -> bool {
        let terms = assignment.terms.as_ref();
        self.is_meant_by(assignment, principal) && terms.is_none_or(|terms| terms.condition == self.terms.condition)
    }

    /// Whether an assignment of ours says for people what is asked for.
    #[must_use]
    pub fn is_described_by(&self, assignment: &ObservedRoleAssignment) -> bool {
        let terms = assignment.terms.as_ref();
        terms.is_none_or(|terms| terms.description == self.terms.description)
    }

    /// Whether an assignment is about this role of this principal, whatever its name and its terms: Azure allows one.
    #[must_use]
    pub fn is_meant_by(&self, assignment: &ObservedRoleAssignment, principal: PrincipalId) -> bool {
        assignment.principal == principal
            && assignment.definition == self.definition()
            && assignment.scope.parse().as_ref() == Ok(self.scope())
    }
}

impl fmt::Display for DesiredRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let condition = self.terms.condition.as_ref().map_or("", |_| " under a condition");
        write!(f, "{} at {}{condition}", self.role, self.scope())
    }
}
