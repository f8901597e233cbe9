//! A binding, parsed: who it is, what it asks for, what was recorded of it, and where in its life it is.

use std::collections::BTreeMap;

use wio_api::limits::RECONCILE_AT_MAX;
use wio_api::{DeletionPolicy, WorkloadIdentityBinding, keys};

use crate::names::{BindingName, ClusterId, InvalidName, ServiceAccountName};
use crate::owner::Owner;
use crate::policy::{Seniority, Usage};
use crate::recorded::Recorded;
use crate::service_account::NamedBinding;
use crate::sharing::Claims;
use crate::spec::{self, IdentityRef, InvalidField, Spec, TokenExpiration};

/// A binding as the cache holds it, every part of it parsed as far as it goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// Who it is.
    pub owner: Owner,
    /// What it asks for, or every field that cannot be used.
    pub spec: Result<Spec, Vec<InvalidField>>,
    /// The identity that it means, as far as that parses: also of a spec that cannot be used.
    pub identity: Option<IdentityRef>,
    /// What it has, had or asks for, as far as that parses: also of a spec that cannot be used.
    pub claims: Claims,
    /// The lifetimes of tokens that it asks for, as far as they parse.
    pub token_expirations: BTreeMap<ServiceAccountName, TokenExpiration>,
    /// What was recorded of it.
    pub recorded: Recorded,
    /// Where in its life it is.
    pub lifecycle: Lifecycle,
}

/// Where in its life a binding is, and how that is to end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lifecycle {
    /// The generation of its spec.
    pub generation: i64,
    /// Its place among the bindings of its namespace.
    pub seniority: Seniority,
    /// Whether it is being deleted.
    pub deleting: bool,
    /// Whether our finalizer is on it.
    pub finalizer: Finalizer,
    /// Whether nothing may be written for it.
    pub suspended: bool,
    /// What is to be left in Azure.
    pub deletion_policy: DeletionPolicy,
    /// The value by which a look at Azure is asked for ([`keys::RECONCILE_AT_ANNOTATION`]), as far as it counts.
    pub look_asked: Option<String>,
    /// Whether its managed identity is deleted though others of its namespace still use it ([`keys::DELETE_DESPITE_USERS_ANNOTATION`]).
    pub despite_users: bool,
}

/// Our finalizer, as a binding shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finalizer {
    /// It is there.
    Set,
    /// It is not there.
    Missing,
    /// We took it off ourselves: everything was confirmed to be gone.
    Released,
}

// === impl Binding ===

impl Binding {
    /// Parses a binding. It succeeds for every object that an API server stored.
    ///
    /// # Errors
    /// Every field of the metadata that cannot be used.
    pub fn parse(object: &WorkloadIdentityBinding, cluster: &ClusterId) -> Result<Self, Vec<InvalidField>> {
        let owner = owner(object, cluster)?;
        let recorded = Recorded::from(object.status.as_ref());
        let metadata = &object.metadata;
        let annotations = metadata.annotations.as_ref();
        let despite_users = annotations.and_then(|all| all.get(keys::DELETE_DESPITE_USERS_ANNOTATION));
        Ok(Self {
            spec: spec::parse(&object.spec),
            identity: spec::identity_meant(&object.spec.identity),
            claims: claims(object, &recorded),
            token_expirations: token_expirations(object),
            lifecycle: Lifecycle {
                generation: metadata.generation.unwrap_or_default(),
                seniority: seniority(object, owner.name.clone()),
                deleting: metadata.deletion_timestamp.is_some(),
                finalizer: if has_finalizer(object) {
                    Finalizer::Set
                } else {
                    Finalizer::Missing
                },
                suspended: object.spec.suspend,
                deletion_policy: object.spec.deletion_policy,
                look_asked: annotations.and_then(|all| look_asked(all.get(keys::RECONCILE_AT_ANNOTATION)?)),
                despite_users: despite_users.is_some_and(|value| value == "true"),
            },
            owner,
            recorded,
        })
    }

    /// The seniority of a binding that is not parsed; none when it has no name that a binding can have.
    #[must_use]
    pub fn seniority_of(object: &WorkloadIdentityBinding) -> Option<Seniority> {
        let name = object.metadata.name.as_deref()?.parse().ok()?;
        Some(seniority(object, name))
    }

    /// The value by which a look at Azure is asked for that was not heeded yet.
    #[must_use]
    pub fn asks_for_look(&self) -> Option<&str> {
        let asked = self.lifecycle.look_asked.as_deref()?;
        (self.recorded.heeded.as_deref() != Some(asked)).then_some(asked)
    }

    /// Whether something may have been made for it: it has our finalizer, or had it, as an identity in its status says.
    #[must_use]
    pub fn may_have_something(&self) -> bool {
        self.lifecycle.finalizer == Finalizer::Set || self.recorded.names_identity()
    }

    /// Whether our finalizer was taken off by somebody else though something was made: whoever does so must not keep what a
    /// policy takes away.
    #[must_use]
    pub fn lost_finalizer(&self) -> bool {
        self.lifecycle.finalizer == Finalizer::Missing && self.recorded.names_identity()
    }
}

impl NamedBinding {
    /// A binding that a service account names; none when it is not stored.
    #[must_use]
    pub fn of(object: &WorkloadIdentityBinding, account: &ServiceAccountName) -> Option<Self> {
        let mut accounts = object.spec.service_accounts.iter();
        Some(Self {
            name: object.metadata.name.clone()?,
            uid: object.metadata.uid.clone()?,
            binds: accounts.any(|bound| bound.name == account.as_str()),
        })
    }
}

/// How much a binding asks for of what policies limit.
#[must_use]
pub fn usage(object: &WorkloadIdentityBinding) -> Usage {
    let spec = &object.spec;
    Usage {
        federated_credentials: spec.service_accounts.len(),
        managed_identities: usize::from(spec.identity.managed.is_some()),
        role_assignments: spec.role_assignments.len(),
    }
}

fn look_asked(value: &str) -> Option<String> {
    let end = value.floor_char_boundary(RECONCILE_AT_MAX);
    let beginning = value.get(..end)?;
    (!beginning.is_empty()).then(|| beginning.to_owned())
}

fn seniority(object: &WorkloadIdentityBinding, name: BindingName) -> Seniority {
    let created = object.metadata.creation_timestamp.as_ref().map(|time| time.0);
    Seniority::new(created, name)
}

/// Whether a binding has our finalizer.
#[must_use]
pub fn has_finalizer(object: &WorkloadIdentityBinding) -> bool {
    let finalizers = object.metadata.finalizers.iter().flatten();
    finalizers.into_iter().any(|finalizer| finalizer == keys::FINALIZER)
}

fn owner(object: &WorkloadIdentityBinding, cluster: &ClusterId) -> Result<Owner, Vec<InvalidField>> {
    let metadata = &object.metadata;
    let namespace = required("metadata.namespace", metadata.namespace.as_deref());
    let name = required("metadata.name", metadata.name.as_deref());
    let uid = required("metadata.uid", metadata.uid.as_deref());
    match (namespace, name, uid) {
        (Ok(namespace), Ok(name), Ok(uid)) => Ok(Owner {
            cluster: cluster.clone(),
            namespace,
            name,
            uid,
        }),
        (namespace, name, uid) => Err([namespace.err(), name.err(), uid.err()].into_iter().flatten().collect()),
    }
}

fn required<T: std::str::FromStr<Err = InvalidName>>(field: &str, text: Option<&str>) -> Result<T, InvalidField> {
    text.unwrap_or_default()
        .parse()
        .map_err(|problem: InvalidName| InvalidField {
            field: field.to_owned(),
            problem: problem.to_string(),
        })
}

/// The claims of a binding: what its spec asks for, field by field, and what was recorded.
fn claims(object: &WorkloadIdentityBinding, recorded: &Recorded) -> Claims {
    let spec = &object.spec;
    let asked = spec
        .service_accounts
        .iter()
        .filter_map(|account| account.name.parse().ok());
    let asked_roles = spec
        .role_assignments
        .iter()
        .filter_map(|role| Some((role.role.parse().ok()?, role.scope.parse().ok()?)));
    let had_roles = recorded
        .role_assignments
        .iter()
        .map(|role| (role.definition, role.scope.clone()));
    Claims {
        accounts: asked.chain(recorded.accounts().cloned()).collect(),
        roles: asked_roles.chain(had_roles).collect(),
    }
}

fn token_expirations(object: &WorkloadIdentityBinding) -> BTreeMap<ServiceAccountName, TokenExpiration> {
    let accounts = object.spec.service_accounts.iter();
    accounts
        .filter_map(|account| {
            let lifetime = TokenExpiration::new(account.token_expiration_seconds?)?;
            Some((account.name.parse().ok()?, lifetime))
        })
        .collect()
}
