//! A model of Azure and the cluster that keeps their rules.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;
use wio_api::limits::FEDERATED_CREDENTIALS_MAX;
use wio_api::{ConflictPolicy, keys};
use wio_core::desired::{Desired, DesiredBinding, DesiredCredential, DesiredRole, DesiredServiceAccount};
use wio_core::names::{PrincipalId, ServiceAccountName, ServiceAccountUid};
use wio_core::observed::{
    AzureState, BoundBy, Held, IdentityFacts, Observed, ObservedCredential, ObservedIdentity, ObservedRoleAssignment,
    ObservedRoleAssignments, ObservedServiceAccount, PresentIdentity, Tags,
};
use wio_core::owner::Owner;
use wio_core::plan::{GrantStep, Plan, Revocation};

use crate::given::{UID, by_rival, name};

/// What Azure and the cluster hold for one binding.
#[derive(Clone, Debug, PartialEq)]
pub struct World {
    pub identity: Option<PresentIdentity>,
    /// Role assignments, of the identity's principal and of others'. They outlive it.
    pub roles: Vec<ObservedRoleAssignment>,
    pub accounts: BTreeMap<ServiceAccountName, Account>,
    /// Identities that were created so far: each gets a client id of its own.
    pub created: u128,
}

/// A service account, and who put what on it.
#[derive(Clone, Debug, PartialEq)]
pub struct Account {
    pub uid: ServiceAccountUid,
    pub bound_by: BoundBy,
    pub created_by_operator: bool,
    /// What the operator's field manager holds.
    pub ours: Values,
    /// What another field manager holds.
    pub others: Values,
}

/// The annotations that the pod webhook reads.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Values {
    pub client_id: Option<String>,
    pub tenant_id: Option<String>,
    pub token_expiration: Option<String>,
}

/// What became of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ran {
    Done,
    /// Another field manager holds another value, and the spec does not say Force.
    Refused,
}

pub fn facts(n: u128) -> IdentityFacts {
    IdentityFacts {
        client_id: Uuid::from_u128(0xc000 + n).into(),
        principal_id: Uuid::from_u128(0xa000 + n).into(),
        tenant_id: Uuid::from_u128(0x7e57).into(),
    }
}

pub fn right_values(wanted: &DesiredServiceAccount, facts: &IdentityFacts) -> Values {
    Values {
        client_id: Some(facts.client_id.to_string()),
        tenant_id: Some(facts.tenant_id.to_string()),
        token_expiration: wanted.token_expiration.map(|seconds| seconds.to_string()),
    }
}

pub fn account(n: usize, bound_by: BoundBy) -> Account {
    Account {
        uid: name(&format!("uid-{n}")),
        bound_by,
        created_by_operator: false,
        ours: Values::default(),
        others: Values::default(),
    }
}

pub fn as_wanted(wanted: &DesiredCredential) -> ObservedCredential {
    ObservedCredential {
        name: wanted.name.clone(),
        issuer: wanted.issuer.to_string(),
        subject: Some(wanted.subject.to_string()),
        audiences: vec![wanted.audience.to_string()],
    }
}

/// The assignment that the operator would make.
pub fn assignment(owner: &Owner, wanted: &DesiredRole, principal: PrincipalId) -> ObservedRoleAssignment {
    ObservedRoleAssignment {
        terms: Some(wanted.terms.clone()),
        name: owner.role_assignment_name(wanted.scope(), principal, wanted.definition()),
        scope: wanted.scope().to_string(),
        definition: wanted.definition(),
        principal,
    }
}

/// An assignment that somebody else made.
pub fn foreign_assignment(n: u128, role: &str, scope: &str) -> ObservedRoleAssignment {
    ObservedRoleAssignment {
        terms: Some(wio_core::role_terms::RoleTerms::default()),
        name: Uuid::from_u128(0xf0_0000 + n).into(),
        scope: scope.to_owned(),
        definition: name(role),
        principal: facts(0).principal_id,
    }
}

/// What Azure allows once: a scope, a principal and a role.
fn same_triple(one: &ObservedRoleAssignment, other: &ObservedRoleAssignment) -> bool {
    one.principal == other.principal
        && one.definition == other.definition
        && one.scope.eq_ignore_ascii_case(&other.scope)
}

pub fn foreign_credential(n: usize) -> ObservedCredential {
    ObservedCredential {
        name: name(&format!("terraform-{n}")),
        issuer: "https://token.actions.githubusercontent.com".to_owned(),
        subject: Some(format!("repo:shop/orders:ref:refs/heads/{n}")),
        audiences: vec!["api://AzureADTokenExchange".to_owned()],
    }
}

pub fn tags_of(owner: &Owner) -> Tags {
    Tags::from_iter([
        (keys::CLUSTER_TAG.to_owned(), owner.cluster.to_string()),
        (
            keys::BINDING_TAG.to_owned(),
            format!("{}/{}", owner.namespace, owner.name),
        ),
        (keys::BINDING_UID_TAG.to_owned(), owner.uid.to_string()),
        (keys::DELETION_POLICY_TAG.to_owned(), "Delete".to_owned()),
    ])
}

impl Account {
    /// What others hold, as it is known of one that no binding marked.
    fn held(&self) -> BTreeMap<&'static str, Held> {
        if matches!(self.bound_by, BoundBy::Us | BoundBy::Other { .. }) {
            return BTreeMap::new();
        }
        let held = [
            (keys::CLIENT_ID_ANNOTATION, &self.others.client_id),
            (keys::TENANT_ID_ANNOTATION, &self.others.tenant_id),
            (keys::TOKEN_EXPIRATION_ANNOTATION, &self.others.token_expiration),
        ];
        let manager = || "helm".to_owned();
        let entry = |(key, value): (_, &Option<String>)| {
            Some((
                key,
                Held {
                    manager: manager(),
                    value: value.clone()?,
                },
            ))
        };
        held.into_iter().filter_map(entry).collect()
    }
}

impl World {
    pub fn empty() -> Self {
        Self {
            identity: None,
            roles: Vec::new(),
            accounts: BTreeMap::new(),
            created: 0,
        }
    }

    /// Everything as the binding asks.
    pub fn as_desired(bound: &DesiredBinding) -> Self {
        let facts = facts(0);
        let tags = match &bound.identity {
            wio_core::desired::DesiredIdentity::Managed { tags, .. } => tags.clone(),
            wio_core::desired::DesiredIdentity::Existing => Tags::new(),
        };
        let labelled = |(n, wanted): (usize, &DesiredServiceAccount)| {
            let ours = right_values(wanted, &facts);
            (
                wanted.name.clone(),
                Account {
                    ours,
                    ..account(n, BoundBy::Us)
                },
            )
        };
        Self {
            identity: Some(PresentIdentity {
                facts,
                tags,
                credentials: bound.credentials.iter().map(as_wanted).collect(),
            }),
            roles: bound
                .roles
                .iter()
                .map(|role| assignment(&bound.owner, role, facts.principal_id))
                .collect(),
            accounts: bound.service_accounts.iter().enumerate().map(labelled).collect(),
            created: 1,
        }
    }

    /// The same world without federated credentials.
    pub fn forget_credentials(&mut self) {
        if let Some(identity) = &mut self.identity {
            identity.credentials.clear();
        }
    }

    /// The same world with one more federated credential, if Azure would allow it.
    pub fn insert(&mut self, credential: ObservedCredential) {
        let _ = self.put(credential, false);
    }

    /// The same world with one more role assignment, if Azure would allow it.
    pub fn insert_role(&mut self, assignment: ObservedRoleAssignment) {
        let taken = |other: &ObservedRoleAssignment| other.name == assignment.name || same_triple(other, &assignment);
        if !self.roles.iter().any(taken) {
            self.roles.push(assignment);
        }
    }

    pub fn credentials(&self) -> &[ObservedCredential] {
        self.identity.as_ref().map_or(&[], |identity| &identity.credentials)
    }

    /// What the shell would observe.
    pub fn observe(&self, named: &BTreeSet<ServiceAccountName>) -> Observed {
        let seen = |account: &Account| ObservedServiceAccount {
            held: account.held(),
            uid: account.uid.clone(),
            client_id: account
                .ours
                .client_id
                .clone()
                .or_else(|| account.others.client_id.clone()),
            tenant_id: account
                .ours
                .tenant_id
                .clone()
                .or_else(|| account.others.tenant_id.clone()),
            token_expiration: account.ours.token_expiration.clone(),
            bound_by: account.bound_by.clone(),
            created_by_us: account.created_by_operator,
        };
        Observed {
            azure: AzureState {
                identity: self
                    .identity
                    .clone()
                    .map_or(ObservedIdentity::Absent, ObservedIdentity::Present),
                role_assignments: ObservedRoleAssignments::read(self.roles.clone()),
            },
            service_accounts: self
                .accounts
                .iter()
                .filter(|(name, account)| named.contains(name) || account.bound_by == BoundBy::Us)
                .map(|(name, account)| (name.clone(), seen(account)))
                .collect(),
            exports: BTreeMap::new(),
            signed_in_as: None,
        }
    }

    /// Carries out a plan, or its first steps. Fails when a step breaks one of Azure's rules or one of ours.
    pub fn run(&mut self, desired: &Desired, plan: &Plan, steps: usize) -> Result<Vec<Ran>, String> {
        let mut ran = Vec::new();
        for step in plan.revocations.iter().take(steps) {
            self.revoke(step)?;
            ran.push(Ran::Done);
        }
        for step in plan.grants.iter().take(steps.saturating_sub(plan.revocations.len())) {
            let Desired::Bound(bound) = desired else {
                return Err(format!("{step:?} for a binding that is to be gone"));
            };
            ran.push(self.grant(bound, step)?);
        }
        Ok(ran)
    }

    fn revoke(&mut self, step: &Revocation) -> Result<(), String> {
        match step {
            Revocation::DeleteCredential(name) => {
                let identity = self.identity.as_mut().ok_or("a credential of no identity")?;
                let before = identity.credentials.len();
                identity.credentials.retain(|credential| credential.name != *name);
                (identity.credentials.len() < before)
                    .then_some(())
                    .ok_or(format!("{name} is not there"))
            }
            Revocation::DeleteRoleAssignment { scope, name } => {
                let before = self.roles.len();
                self.roles.retain(|assignment| {
                    assignment.name != *name || !assignment.scope.eq_ignore_ascii_case(scope.as_str())
                });
                (self.roles.len() < before)
                    .then_some(())
                    .ok_or(format!("{name} is not at {scope}"))
            }
            Revocation::DeleteExport { name, .. } => Err(format!("{name} is not in this world")),
            Revocation::DeleteIdentity => {
                let identity = self.identity.take().ok_or("an identity that is not there")?;
                // Azure would take these along without a word, and leave those behind for ever.
                let has_role =
                    |assignment: &ObservedRoleAssignment| assignment.principal == identity.facts.principal_id;
                (identity.credentials.is_empty() && !self.roles.iter().any(has_role))
                    .then_some(())
                    .ok_or("others still use the identity".to_owned())
            }
            Revocation::ReleaseServiceAccount {
                name,
                uid,
                label,
                delete,
            } => {
                let account = self.accounts.get_mut(name).ok_or(format!("{name} is not there"))?;
                let labelled = match &account.bound_by {
                    BoundBy::Us => label.as_str() == UID,
                    BoundBy::Gone { uid } | BoundBy::Other { uid, .. } => uid == label,
                    BoundBy::Nobody => account.created_by_operator && label.as_str() == UID,
                };
                if account.uid != *uid || !labelled {
                    return Err(format!("{name} is not the one meant"));
                }
                account.ours = Values::default();
                account.bound_by = BoundBy::Nobody;
                if *delete && account.others == Values::default() {
                    self.accounts.remove(name);
                }
                Ok(())
            }
        }
    }

    fn grant(&mut self, bound: &DesiredBinding, step: &GrantStep) -> Result<Ran, String> {
        match step {
            GrantStep::CreateIdentity { tags, .. } => {
                if self.identity.is_some() {
                    return Err("the identity is there already".to_owned());
                }
                self.identity = Some(PresentIdentity {
                    facts: facts(self.created),
                    tags: tags.clone(),
                    credentials: Vec::new(),
                });
                self.created += 1;
                Ok(Ran::Done)
            }
            GrantStep::ApplyExport(name) => Err(format!("{name} is not asked for in this world")),
            GrantStep::TagIdentity { tags } => {
                let names: BTreeSet<String> = tags.keys().map(|name| name.to_lowercase()).collect();
                if names.len() < tags.len() {
                    return Err(format!("one tag twice in {tags:?}"));
                }
                let identity = self.identity.as_mut().ok_or("tags of no identity")?;
                // A tag that is there keeps the case of its name.
                let kept = |name: &String| identity.tags.keys().find(|old| old.eq_ignore_ascii_case(name)).cloned();
                identity.tags = tags
                    .iter()
                    .map(|(name, value)| (kept(name).unwrap_or_else(|| name.clone()), value.clone()))
                    .collect();
                Ok(Ran::Done)
            }
            GrantStep::PutCredential(wanted) => self.put(as_wanted(wanted), true).map(|()| Ran::Done),
            GrantStep::ReplaceCredential { former, wanted } => {
                self.revoke(&Revocation::DeleteCredential(former.clone()))?;
                self.put(as_wanted(wanted), true).map(|()| Ran::Done)
            }
            GrantStep::PutRoleAssignment(wanted) => {
                let identity = self.identity.as_ref().ok_or("a role for no identity")?;
                let new = assignment(&bound.owner, wanted, identity.facts.principal_id);
                let named = self.roles.iter().find(|other| other.name == new.name);
                if let Some(named) = named.filter(|named| !same_triple(named, &new)) {
                    return Err(format!("RoleAssignmentUpdateNotPermitted: {named:?}"));
                }
                if named.is_none() && self.roles.iter().any(|other| same_triple(other, &new)) {
                    return Err(format!("RoleAssignmentExists: {new:?}"));
                }
                self.insert_role(new);
                Ok(Ran::Done)
            }
            GrantStep::ApplyServiceAccount(wanted) => self.apply(bound, wanted),
        }
    }

    fn put(&mut self, credential: ObservedCredential, replace: bool) -> Result<(), String> {
        let identity = self.identity.as_mut().ok_or("a credential of no identity")?;
        let same_name = |other: &&ObservedCredential| other.name == credential.name;
        let exists = identity.credentials.iter().any(|other| same_name(&other));
        if exists && !replace {
            return Err(format!("{} is there already", credential.name));
        }
        let trusted_twice = identity.credentials.iter().find(|other| {
            !same_name(other)
                && other.subject.is_some()
                && other.issuer == credential.issuer
                && other.subject == credential.subject
        });
        if let Some(other) = trusted_twice {
            return Err(format!("{} and {} trust the same subject", credential.name, other.name));
        }
        if !exists && identity.credentials.len() == FEDERATED_CREDENTIALS_MAX {
            return Err(format!("{} is the 21st", credential.name));
        }
        identity.credentials.retain(|other| other.name != credential.name);
        identity.credentials.push(credential);
        Ok(())
    }

    fn apply(&mut self, bound: &DesiredBinding, wanted: &DesiredServiceAccount) -> Result<Ran, String> {
        let identity = self.identity.as_ref().ok_or("a client id of no identity")?;
        let trust = bound
            .credential_of(&wanted.name)
            .ok_or("a service account without a credential")?;
        let trusted = identity.credentials.iter().any(|credential| {
            credential.trusts(trust.issuer.as_str(), trust.subject.as_str())
                && credential.audiences == [trust.audience.to_string()]
        });
        if !trusted {
            return Err(format!("{} gets a client id that nobody trusts it with", wanted.name));
        }
        let values = right_values(wanted, &identity.facts);
        let fresh = Account {
            created_by_operator: true,
            ..account(1000 + self.accounts.len(), BoundBy::Nobody)
        };
        if !wanted.create && !self.accounts.contains_key(&wanted.name) {
            return Err(format!("{} is created though the spec says not to", wanted.name));
        }
        let account = self.accounts.entry(wanted.name.clone()).or_insert(fresh);
        if account.bound_by == by_rival() {
            return Err(format!("{} is bound by another binding", wanted.name));
        }
        let differs =
            |theirs: &Option<String>, ours: &Option<String>| theirs.is_some() && ours.is_some() && theirs != ours;
        let conflict = differs(&account.others.client_id, &values.client_id)
            || differs(&account.others.tenant_id, &values.tenant_id)
            || differs(&account.others.token_expiration, &values.token_expiration);
        if conflict && wanted.conflict_policy == ConflictPolicy::Report {
            return Ok(Ran::Refused);
        }
        if conflict {
            account.others = Values::default();
        }
        account.ours = values;
        account.bound_by = BoundBy::Us;
        Ok(Ran::Done)
    }
}
