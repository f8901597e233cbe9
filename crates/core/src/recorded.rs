//! What the operator wrote down: the status of a binding, parsed once, and its inverse.
//!
//! Only the operator writes statuses. **What does not parse was not written by this operator: it is left out, its field is
//! noted, and nothing is taken for known from a status with such a field.** What does parse is acted upon all the same. A credential or
//! role that does not parse stays in the status: another version of the operator may have written it.

mod exchanges;
mod rewrites;

use std::collections::BTreeSet;
use std::str::FromStr;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use wio_api::limits::FEDERATED_CREDENTIALS_MAX;
use wio_api::{
    ConditionType, FederatedCredentialStatus, FederatedCredentialUsage, IdentityOrigin, IdentityStatus,
    RetiringFederatedCredentialStatus, RoleAssignmentStatus, ServiceAccountOrigin, ServiceAccountStatus,
    WorkloadIdentityBinding, WorkloadIdentityBindingStatus,
};

use crate::names::{
    Audience, ClientId, ConfigMapName, CredentialName, IdentityId, Issuer, PolicyName, PrincipalId, RoleAssignmentName,
    RoleDefinitionGuid, Scope, ServiceAccountName, ServiceAccountUid, Subject, TenantId,
};
use crate::observed::IdentityFacts;
pub use exchanges::{Pending, RecordedExchange};
pub use rewrites::Rewrites;
pub(crate) use rewrites::{after, whole};

/// What the status of a binding says, parsed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recorded {
    /// The identity that the binding has or had.
    pub identity: Option<RecordedIdentity>,
    /// The issuer whose tokens the credentials trust.
    pub issuer: Option<Issuer>,
    /// The federated credentials.
    pub credentials: Vec<RecordedCredential>,
    /// The federated credentials of an issuer that the cluster had before.
    pub retiring: Vec<RetiringCredential>,
    /// How many credentials the identity has, of this binding and of others; none when it was not looked at.
    pub credential_usage: Option<CredentialUsage>,
    /// The service accounts.
    pub service_accounts: Vec<RecordedServiceAccount>,
    /// The ConfigMaps that the ids were exported into, or were about to be.
    pub exports: BTreeSet<ConfigMapName>,
    /// The role assignments.
    pub role_assignments: Vec<RecordedRoleAssignment>,
    /// Where roles were assigned or were about to be.
    pub role_assignment_scopes: BTreeSet<Scope>,
    /// The exchanges of service accounts' tokens that prove that it is ready.
    pub exchanges: Vec<RecordedExchange>,
    /// The credentials that it wrote though other bindings rest on them.
    pub rewrites: Rewrites,
    /// The principals that the identity had before, of which role assignments may be left.
    pub former_principals: BTreeSet<PrincipalId>,
    /// Whether something may have been written: a write was about to be sent, and was not certainly refused.
    pub written: bool,
    /// The policies by which the binding has what it has.
    pub authorized_by: BTreeSet<PolicyName>,
    /// How the last pass ended.
    pub progress: Progress,
    /// The value of the annotation [`wio_api::keys::RECONCILE_AT_ANNOTATION`] that was last heeded.
    pub heeded: Option<String>,
    /// The fields with something that does not parse.
    pub unreadable: BTreeSet<&'static str>,
}

/// An identity in a status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedIdentity {
    /// Its id.
    pub id: IdentityId,
    /// The ids that Azure gave it; each none when it was only announced, or does not parse.
    pub ids: RecordedIds,
    /// How it came to be.
    pub origin: IdentityOrigin,
}

/// The ids that Azure gave an identity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecordedIds {
    /// The client id.
    pub client: Option<ClientId>,
    /// The principal id.
    pub principal: Option<PrincipalId>,
    /// The tenant.
    pub tenant: Option<TenantId>,
}

/// A federated credential in a status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedCredential {
    /// Its name.
    pub name: CredentialName,
    /// The service account that it is for.
    pub account: ServiceAccountName,
    /// The subject that it trusts.
    pub subject: Subject,
    /// The audience that it trusts.
    pub audience: Audience,
}

/// A federated credential of an issuer that the cluster had before, in a status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetiringCredential {
    /// Its name.
    pub name: CredentialName,
    /// The service account that it is for.
    pub account: ServiceAccountName,
    /// The issuer that it trusts.
    pub issuer: Issuer,
    /// The subject that it trusts.
    pub subject: Subject,
    /// The audience that it trusts.
    pub audience: Audience,
    /// How long it stays; none when nobody knows that its issuer is no other cluster's.
    pub until: Option<Timestamp>,
}

/// How many federated credentials an identity has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CredentialUsage {
    /// Those of the binding.
    pub ours: u32,
    /// Those of anybody else.
    pub foreign: u32,
}

/// A service account in a status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedServiceAccount {
    /// Its name.
    pub name: ServiceAccountName,
    /// Its UID.
    pub uid: ServiceAccountUid,
    /// How it came to be.
    pub origin: ServiceAccountOrigin,
    /// The credential of somebody else on which its trust rests.
    pub foreign_credential: Option<CredentialName>,
}

/// A role assignment in a status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedRoleAssignment {
    /// Its Azure resource id.
    pub id: String,
    /// Its name, the last part of the id.
    pub name: RoleAssignmentName,
    /// The role as the spec named it.
    pub role: String,
    /// The role.
    pub definition: RoleDefinitionGuid,
    /// Where it holds.
    pub scope: Scope,
}

/// How the last pass over a binding ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// The generation that the status speaks of.
    pub observed_generation: Option<i64>,
    /// The generation for which it says Ready=True.
    pub ready: Option<i64>,
    /// Whether it has conditions at all: those of a binding that no pass ended for has none.
    pub has_conditions: bool,
    /// Whether it has a condition about roles.
    pub has_roles_condition: bool,
    /// Whether every service account is as it should be.
    pub accounts_ready: bool,
}

/// The fields of a status, by their names there.
mod field {
    pub(super) const IDENTITY: &str = "identity";
    pub(super) const ISSUER: &str = "issuer";
    pub(super) const CREDENTIALS: &str = "federatedCredentials";
    pub(super) const RETIRING: &str = "retiringFederatedCredentials";
    pub(super) const SERVICE_ACCOUNTS: &str = "serviceAccounts";
    pub(super) const EXPORTS: &str = "exportedConfigMaps";
    pub(super) const ROLE_ASSIGNMENTS: &str = "roleAssignments";
    pub(super) const SCOPES: &str = "roleAssignmentScopes";
    pub(super) const FORMER_PRINCIPALS: &str = "formerPrincipalIds";
    pub(super) const WRITTEN: &str = "written";
    pub(super) const AUTHORIZED_BY: &str = "authorizedBy";
    pub(super) const CONDITIONS: &str = "conditions";
    pub(super) const USAGE: &str = "federatedCredentialUsage";
    pub(super) const GENERATION: &str = "observedGeneration";

    pub(super) const ALL: [&str; 13] = [
        IDENTITY,
        ISSUER,
        CREDENTIALS,
        SERVICE_ACCOUNTS,
        EXPORTS,
        ROLE_ASSIGNMENTS,
        SCOPES,
        FORMER_PRINCIPALS,
        WRITTEN,
        AUTHORIZED_BY,
        CONDITIONS,
        USAGE,
        GENERATION,
    ];
}

// === impl Recorded ===

impl From<Option<&WorkloadIdentityBindingStatus>> for Recorded {
    fn from(status: Option<&WorkloadIdentityBindingStatus>) -> Self {
        status.map(Self::from).unwrap_or_default()
    }
}

impl From<&WorkloadIdentityBindingStatus> for Recorded {
    fn from(status: &WorkloadIdentityBindingStatus) -> Self {
        let mut note = Notes(BTreeSet::new());
        if status.identity.as_ref().is_some_and(|identity| !has_all_ids(identity)) {
            note.0.insert(field::IDENTITY);
        }
        let unreadable = field::ALL
            .iter()
            .filter(|field| status.unreadable.contains_key(**field));
        note.0.extend(unreadable);
        Self {
            identity: note.one(field::IDENTITY, status.identity.as_ref(), identity),
            issuer: note.one(field::ISSUER, status.issuer.as_ref(), |issuer| issuer.parse().ok()),
            credentials: note.all(field::CREDENTIALS, &status.federated_credentials, credential),
            retiring: note.all(field::RETIRING, &status.retiring_federated_credentials, retiring),
            credential_usage: status.federated_credential_usage.as_ref().map(|usage| CredentialUsage {
                ours: usage.ours,
                foreign: usage.foreign,
            }),
            service_accounts: note.all(field::SERVICE_ACCOUNTS, &status.service_accounts, service_account),
            exports: note.all(field::EXPORTS, &status.exported_config_maps, |name| parsed(name)),
            role_assignments: note.all(field::ROLE_ASSIGNMENTS, &status.role_assignments, role_assignment),
            role_assignment_scopes: note.all(field::SCOPES, &status.role_assignment_scopes, |scope| parsed(scope)),
            // Nothing but another exchange rests on these.
            exchanges: status
                .token_exchanges
                .iter()
                .filter_map(RecordedExchange::parse)
                .collect(),
            rewrites: Rewrites::parse(&status.credential_rewrites),
            former_principals: note.all(field::FORMER_PRINCIPALS, &status.former_principal_ids, |id| parsed(id)),
            written: status.written,
            authorized_by: note.all(field::AUTHORIZED_BY, &status.authorized_by, |policy| parsed(policy)),
            progress: Progress::of(status),
            heeded: status.last_handled_reconcile_at.clone(),
            unreadable: note.0,
        }
    }
}

impl Recorded {
    /// Whether an identity is named, also one whose id does not parse: then something was made.
    #[must_use]
    pub fn names_identity(&self) -> bool {
        self.identity.is_some() || self.unreadable.contains(field::IDENTITY)
    }

    /// The issuers of the credentials that it tells of.
    pub fn issuers(&self) -> impl Iterator<Item = &Issuer> {
        let retiring = self.retiring.iter().map(|credential| &credential.issuer);
        self.issuer.iter().chain(retiring)
    }

    /// The issuer that stands in the status of a binding: the one that was believed when it was written.
    #[must_use]
    pub fn issuer_of(object: &WorkloadIdentityBinding) -> Option<Issuer> {
        object.status.as_ref()?.issuer.as_deref()?.parse().ok()
    }

    /// The ids that were recorded of an identity; none when it is not the one that was recorded.
    #[must_use]
    pub fn ids_of(&self, id: &IdentityId) -> Option<RecordedIds> {
        let recorded = self.identity.as_ref().filter(|recorded| recorded.id == *id);
        recorded.map(|recorded| recorded.ids)
    }

    /// The principals that the binding's roles were given to, the last one first.
    pub fn principals(&self) -> impl Iterator<Item = PrincipalId> {
        let last = self.identity.iter().filter_map(|identity| identity.ids.principal);
        last.chain(self.former_principals.iter().copied())
    }

    /// The service accounts that it tells of: those that have a credential, had one for a former issuer, or carry the client id.
    pub fn accounts(&self) -> impl Iterator<Item = &ServiceAccountName> {
        let annotated = self.service_accounts.iter().map(|account| &account.name);
        self.own_trust().chain(annotated)
    }

    /// Those of them that are trusted as far as it tells, by a credential of the binding or of somebody else.
    pub fn trusted_accounts(&self) -> impl Iterator<Item = &ServiceAccountName> {
        let by_others = self
            .service_accounts
            .iter()
            .filter(|account| account.foreign_credential.is_some());
        self.own_trust().chain(by_others.map(|account| &account.name))
    }

    fn own_trust(&self) -> impl Iterator<Item = &ServiceAccountName> {
        let trusted = self.credentials.iter().map(|credential| &credential.account);
        // Also one whose credential for the issuer of today was refused: it may be known by nothing else.
        let retiring = self.retiring.iter().map(|credential| &credential.account);
        trusted.chain(retiring)
    }

    /// Whether nothing was ever written, nor was about to be: the status does not say so, and names nothing that only a write
    /// can have made. A ConfigMap is named before it is made, and one that was goes with its binding, which owns it.
    #[must_use]
    pub fn nothing_was_written(&self) -> bool {
        let only_seen = |identity: &RecordedIdentity| {
            identity.origin == IdentityOrigin::Referenced || identity.ids == RecordedIds::default()
        };
        !self.written
            && self.identity.as_ref().is_none_or(only_seen)
            && self.credentials.is_empty()
            && self.service_accounts.is_empty()
            && !self.may_have_roles()
            && self.unreadable.is_empty()
    }

    /// Whether role assignments may stand: some were seen, or announced.
    #[must_use]
    pub fn may_have_roles(&self) -> bool {
        !self.role_assignments.is_empty() || !self.role_assignment_scopes.is_empty()
    }

    /// Whether roles were given once: a condition speaks of them for as long as any is left.
    #[must_use]
    pub fn had_roles(&self) -> bool {
        !self.role_assignments.is_empty() || self.progress.has_roles_condition
    }

    /// Keeps in a status what does not parse in the one before: it may be all that tells of something that stands.
    pub fn keep_unreadable(previous: &WorkloadIdentityBindingStatus, next: &mut WorkloadIdentityBindingStatus) {
        keep(
            &previous.federated_credentials,
            &mut next.federated_credentials,
            credential,
        );
        keep(
            &previous.retiring_federated_credentials,
            &mut next.retiring_federated_credentials,
            retiring,
        );
        keep(&previous.role_assignments, &mut next.role_assignments, role_assignment);
        let export = |name: &String| parsed::<ConfigMapName>(name);
        keep(&previous.exported_config_maps, &mut next.exported_config_maps, export);
        let scope = |scope: &String| parsed::<Scope>(scope);
        keep(
            &previous.role_assignment_scopes,
            &mut next.role_assignment_scopes,
            scope,
        );
        let principal = |id: &String| parsed::<PrincipalId>(id);
        keep(
            &previous.former_principal_ids,
            &mut next.former_principal_ids,
            principal,
        );
    }

    /// Writes what was observed into a status; the conditions stay as they are, and so does the generation.
    pub fn write(&self, status: &mut WorkloadIdentityBindingStatus) {
        status.identity = self.identity.as_ref().map(identity_status);
        status.federated_credentials = self.credentials.iter().map(credential_status).collect();
        status.retiring_federated_credentials = self.retiring.iter().map(retiring_status).collect();
        status.federated_credential_usage = self.credential_usage.map(|usage| FederatedCredentialUsage {
            ours: usage.ours,
            foreign: usage.foreign,
            limit: u32::try_from(FEDERATED_CREDENTIALS_MAX).unwrap_or(u32::MAX),
        });
        status.service_accounts = self.service_accounts.iter().map(service_account_status).collect();
        status.exported_config_maps = self.exports.iter().map(ToString::to_string).collect();
        status.role_assignments = self.role_assignments.iter().map(role_assignment_status).collect();
        status.role_assignment_scopes = self.role_assignment_scopes.iter().map(ToString::to_string).collect();
        status.token_exchanges = self.exchanges.iter().map(RecordedExchange::to_status).collect();
        status.credential_rewrites = self.rewrites.to_status();
        status.former_principal_ids = self.former_principals.iter().map(ToString::to_string).collect();
        status.written = self.written;
        status.authorized_by = self.authorized_by.iter().map(ToString::to_string).collect();
        status.last_handled_reconcile_at.clone_from(&self.heeded);
        if let Some(issuer) = &self.issuer {
            status.issuer = Some(issuer.to_string());
        }
    }
}

impl RecordedIdentity {
    /// What Azure gave the identity, when all of it parses.
    #[must_use]
    pub fn facts(&self) -> Option<IdentityFacts> {
        Some(IdentityFacts {
            client_id: self.ids.client?,
            principal_id: self.ids.principal?,
            tenant_id: self.ids.tenant?,
        })
    }
}

impl From<IdentityFacts> for RecordedIds {
    fn from(facts: IdentityFacts) -> Self {
        Self {
            client: Some(facts.client_id),
            principal: Some(facts.principal_id),
            tenant: Some(facts.tenant_id),
        }
    }
}

/// Parses, and notes the fields that do not.
struct Notes(BTreeSet<&'static str>);

impl Notes {
    fn one<W, T>(&mut self, field: &'static str, written: Option<&W>, parse: impl Fn(&W) -> Option<T>) -> Option<T> {
        self.all::<_, _, Vec<T>>(field, written, parse).pop()
    }

    fn all<'w, W: 'w, T, C: FromIterator<T>>(
        &mut self,
        field: &'static str,
        written: impl IntoIterator<Item = &'w W>,
        parse: impl Fn(&W) -> Option<T>,
    ) -> C {
        written
            .into_iter()
            .filter_map(|written| {
                let parsed = parse(written);
                if parsed.is_none() {
                    self.0.insert(field);
                }
                parsed
            })
            .collect()
    }
}

// === from the wire and to it ===

fn keep<W: Clone + PartialEq, T>(previous: &[W], next: &mut Vec<W>, parse: impl Fn(&W) -> Option<T>) {
    let unreadable = previous.iter().filter(|written| parse(written).is_none());
    let missing: Vec<W> = unreadable.filter(|written| !next.contains(written)).cloned().collect();
    next.extend(missing);
}

fn parsed<T: FromStr>(text: &str) -> Option<T> {
    text.parse().ok()
}

/// Whether the ids of an identity are as they were written: all of them, or none of one that was only announced.
fn has_all_ids(identity: &IdentityStatus) -> bool {
    let written = [&identity.client_id, &identity.principal_id, &identity.tenant_id];
    let ids = RecordedIds::of(identity);
    let all = ids.client.is_some() && ids.principal.is_some() && ids.tenant.is_some();
    all || written.iter().all(|id| id.is_none())
}

impl RecordedIds {
    fn of(identity: &IdentityStatus) -> Self {
        Self {
            client: identity.client_id.as_deref().and_then(parsed),
            principal: identity.principal_id.as_deref().and_then(parsed),
            tenant: identity.tenant_id.as_deref().and_then(parsed),
        }
    }
}

fn identity(status: &IdentityStatus) -> Option<RecordedIdentity> {
    Some(RecordedIdentity {
        id: status.resource_id.parse().ok()?,
        ids: RecordedIds::of(status),
        origin: status.origin,
    })
}

fn identity_status(identity: &RecordedIdentity) -> IdentityStatus {
    IdentityStatus {
        resource_id: identity.id.to_string(),
        name: identity.id.name.to_string(),
        client_id: identity.ids.client.map(|id| id.to_string()),
        principal_id: identity.ids.principal.map(|id| id.to_string()),
        tenant_id: identity.ids.tenant.map(|id| id.to_string()),
        origin: identity.origin,
    }
}

fn credential(status: &FederatedCredentialStatus) -> Option<RecordedCredential> {
    Some(RecordedCredential {
        name: status.name.parse().ok()?,
        account: status.service_account.parse().ok()?,
        subject: status.subject.parse().ok()?,
        audience: status.audience.parse().ok()?,
    })
}

fn credential_status(credential: &RecordedCredential) -> FederatedCredentialStatus {
    FederatedCredentialStatus {
        name: credential.name.to_string(),
        service_account: credential.account.to_string(),
        subject: credential.subject.to_string(),
        audience: credential.audience.to_string(),
    }
}

fn retiring(status: &RetiringFederatedCredentialStatus) -> Option<RetiringCredential> {
    Some(RetiringCredential {
        name: status.name.parse().ok()?,
        account: status.service_account.parse().ok()?,
        issuer: status.issuer.parse().ok()?,
        subject: status.subject.parse().ok()?,
        audience: status.audience.parse().ok()?,
        until: status.until.as_ref().map(|until| until.0),
    })
}

fn retiring_status(credential: &RetiringCredential) -> RetiringFederatedCredentialStatus {
    RetiringFederatedCredentialStatus {
        name: credential.name.to_string(),
        service_account: credential.account.to_string(),
        issuer: credential.issuer.to_string(),
        subject: credential.subject.to_string(),
        audience: credential.audience.to_string(),
        until: credential.until.map(Time),
    }
}

fn service_account(status: &ServiceAccountStatus) -> Option<RecordedServiceAccount> {
    Some(RecordedServiceAccount {
        name: status.name.parse().ok()?,
        uid: status.uid.parse().ok()?,
        origin: status.origin,
        foreign_credential: match &status.foreign_credential {
            Some(name) => Some(name.parse().ok()?),
            None => None,
        },
    })
}

fn service_account_status(account: &RecordedServiceAccount) -> ServiceAccountStatus {
    ServiceAccountStatus {
        name: account.name.to_string(),
        uid: account.uid.to_string(),
        origin: account.origin,
        foreign_credential: account.foreign_credential.as_ref().map(ToString::to_string),
    }
}

fn role_assignment(status: &RoleAssignmentStatus) -> Option<RecordedRoleAssignment> {
    Some(RecordedRoleAssignment {
        id: status.id.clone(),
        name: status.id.rsplit('/').next()?.parse().ok()?,
        role: status.role.clone(),
        definition: status.role.parse().ok()?,
        scope: status.scope.parse().ok()?,
    })
}

fn role_assignment_status(assignment: &RecordedRoleAssignment) -> RoleAssignmentStatus {
    RoleAssignmentStatus {
        id: assignment.id.clone(),
        role: assignment.role.clone(),
        scope: assignment.scope.to_string(),
    }
}

impl Progress {
    /// How the pass ended that left this status.
    pub(crate) fn of(status: &WorkloadIdentityBindingStatus) -> Self {
        let is_true = |kind| status.condition(kind).filter(|condition| condition.status == "True");
        Self {
            observed_generation: status.observed_generation,
            ready: is_true(ConditionType::Ready).and_then(|condition| condition.observed_generation),
            has_conditions: !status.conditions.is_empty(),
            has_roles_condition: status.condition(ConditionType::RoleAssignmentsReady).is_some(),
            accounts_ready: is_true(ConditionType::ServiceAccountsReady).is_some(),
        }
    }
}
