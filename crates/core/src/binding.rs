//! A binding whose every field was parsed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use wio_api::{
    AssignedRole, ConflictPolicy, DeletionPolicy, IdentityOrigin, IdentitySource, ManagedIdentity,
    WorkloadIdentityBinding, keys,
};

use crate::config::OperatorConfig;
use crate::names::{
    Audience, BindingName, BindingUid, ClusterId, IdentityId, IdentityName, InvalidName, Location, Namespace,
    ResourceGroupId, ResourceGroupName, RoleDefinitionGuid, Scope, ServiceAccountName, SubscriptionId, identity_name,
};

/// A binding whose every field was parsed. Only [`validate`] makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ValidatedBinding {
    /// Who it is.
    pub owner: Owner,
    /// The generation of the spec.
    pub generation: i64,
    /// The identity that it means.
    pub identity: IdentityRef,
    /// The service accounts, at least one, each once.
    pub service_accounts: Vec<ServiceAccountRef>,
    /// The roles that it asks for, each at each scope once.
    pub role_assignments: Vec<RoleRef>,
    /// The audience, when it names one.
    pub audience: Option<Audience>,
    /// What becomes of the Azure objects at the end.
    pub deletion_policy: DeletionPolicy,
    /// Whether nothing may be written.
    pub suspended: bool,
    /// Whether its identity is one that it took over, as its status says.
    pub adopted: bool,
}

/// Who a binding is, in all the world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The cluster.
    pub cluster: ClusterId,
    /// The namespace.
    pub namespace: Namespace,
    /// The binding's name.
    pub name: BindingName,
    /// The binding's UID.
    pub uid: BindingUid,
}

/// The identity that a binding means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IdentityRef {
    /// One that we create and own.
    Managed(ManagedRef),
    /// One that someone else owns.
    Existing(IdentityId),
}

/// An identity that we create and own; what is not given comes from the operator's configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManagedRef {
    /// The name; otherwise it is derived.
    pub name: Option<IdentityName>,
    /// The subscription.
    pub subscription: Option<SubscriptionId>,
    /// The resource group.
    pub resource_group: Option<ResourceGroupName>,
    /// The region.
    pub location: Option<Location>,
    /// The user's tags.
    pub tags: BTreeMap<String, String>,
    /// Whether one that stands there and belongs to no binding is to be taken over.
    pub adopt: bool,
}

/// A service account of the binding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceAccountRef {
    /// Its name.
    pub name: ServiceAccountName,
    /// Whether to create it when it is missing.
    pub create: bool,
    /// The lifetime of its projected tokens in seconds.
    pub token_expiration: Option<TokenExpiration>,
    /// What to do when another manager holds our annotations.
    pub conflict_policy: ConflictPolicy,
}

/// A role that the binding asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleRef {
    /// The role as the spec names it.
    pub role: String,
    /// The role.
    pub definition: RoleDefinitionGuid,
    /// Where it is to hold.
    pub scope: Scope,
}

/// The lifetime of a projected token in seconds: 3600 to 86400, as the pod webhook demands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenExpiration(u32);

/// A field that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidField {
    /// Its path.
    pub field: String,
    /// What is wrong with its value, and what would be right.
    pub problem: String,
}

impl fmt::Display for InvalidField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.problem)
    }
}

// === impl ValidatedBinding ===

impl ValidatedBinding {
    /// Whether the identity's name is one that nobody else's identity has: it was derived from cluster and binding.
    #[must_use]
    pub const fn name_is_derived(&self) -> bool {
        matches!(&self.identity, IdentityRef::Managed(managed) if managed.name.is_none())
    }

    /// The id of the identity that the binding means.
    #[must_use]
    pub fn identity_id(&self, config: &OperatorConfig) -> IdentityId {
        match &self.identity {
            IdentityRef::Existing(id) => id.clone(),
            IdentityRef::Managed(managed) => IdentityId {
                group: ResourceGroupId {
                    subscription: managed.subscription.unwrap_or(config.group.subscription),
                    name: managed
                        .resource_group
                        .clone()
                        .unwrap_or_else(|| config.group.name.clone()),
                },
                name: managed
                    .name
                    .clone()
                    .unwrap_or_else(|| identity_name(&self.owner.cluster, &self.owner.namespace, &self.owner.name)),
            },
        }
    }
}

// === impl TokenExpiration ===

impl TokenExpiration {
    /// What the pod webhook accepts.
    pub const SECONDS: std::ops::RangeInclusive<i64> = 3600..=86400;

    /// The lifetime, when the pod webhook accepts it.
    #[must_use]
    pub fn new(seconds: i64) -> Option<Self> {
        u32::try_from(seconds)
            .ok()
            .filter(|_| Self::SECONDS.contains(&seconds))
            .map(Self)
    }
}

impl fmt::Display for TokenExpiration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Parses a binding. The schema of the custom resource refuses the same things at admission; here they are parsed
/// again, because a schema can be older than the operator.
///
/// # Errors
/// Every field that cannot be used.
pub fn validate(binding: &WorkloadIdentityBinding, cluster: &ClusterId) -> Result<ValidatedBinding, Vec<InvalidField>> {
    let mut invalid = Vec::new();
    let metadata = &binding.metadata;
    let owner = owner(binding, cluster, &mut invalid);
    let identity = identity(&binding.spec.identity, &mut invalid);
    let service_accounts = service_accounts(binding, &mut invalid);
    let role_assignments = role_assignments(&binding.spec.role_assignments, &mut invalid);
    let audience = optional("spec.audience", binding.spec.audience.as_deref(), &mut invalid);
    match (owner, identity) {
        (Some(owner), Some(identity)) if invalid.is_empty() => Ok(ValidatedBinding {
            owner,
            generation: metadata.generation.unwrap_or_default(),
            identity,
            service_accounts,
            role_assignments,
            audience,
            deletion_policy: binding.spec.deletion_policy,
            suspended: binding.spec.suspend,
            adopted: has_adopted(binding),
        }),
        _ => Err(invalid),
    }
}

fn has_adopted(binding: &WorkloadIdentityBinding) -> bool {
    let identity = binding.status.as_ref().and_then(|status| status.identity.as_ref());
    identity.is_some_and(|identity| identity.origin == IdentityOrigin::Adopted)
}

/// Whether a binding has our finalizer.
#[must_use]
pub fn has_finalizer(binding: &WorkloadIdentityBinding) -> bool {
    let finalizers = binding.metadata.finalizers.iter().flatten();
    finalizers.into_iter().any(|finalizer| finalizer == keys::FINALIZER)
}

/// Whether something may have been made for a binding: it has our finalizer, or had it, as an identity in its status says.
#[must_use]
pub fn may_have_something(binding: &WorkloadIdentityBinding) -> bool {
    let made = binding.status.as_ref().and_then(|status| status.identity.as_ref());
    has_finalizer(binding) || made.is_some()
}

/// Who a binding is; it parses for every object that an API server stored.
///
/// # Errors
/// Every field of the metadata that cannot be used.
pub fn owner_of(binding: &WorkloadIdentityBinding, cluster: &ClusterId) -> Result<Owner, Vec<InvalidField>> {
    let mut invalid = Vec::new();
    owner(binding, cluster, &mut invalid).ok_or(invalid)
}

fn owner(binding: &WorkloadIdentityBinding, cluster: &ClusterId, invalid: &mut Vec<InvalidField>) -> Option<Owner> {
    let metadata = &binding.metadata;
    let namespace = required(
        "metadata.namespace",
        metadata.namespace.as_deref().unwrap_or_default(),
        invalid,
    );
    let name = required("metadata.name", metadata.name.as_deref().unwrap_or_default(), invalid);
    let uid = required("metadata.uid", metadata.uid.as_deref().unwrap_or_default(), invalid);
    Some(Owner {
        cluster: cluster.clone(),
        namespace: namespace?,
        name: name?,
        uid: uid?,
    })
}

fn identity(source: &IdentitySource, invalid: &mut Vec<InvalidField>) -> Option<IdentityRef> {
    match (&source.managed, &source.existing) {
        (Some(managed), None) => Some(IdentityRef::Managed(managed_identity(managed, invalid))),
        (None, Some(existing)) => {
            required("spec.identity.existing.resourceId", &existing.resource_id, invalid).map(IdentityRef::Existing)
        }
        _ => {
            invalid.push(InvalidField {
                field: "spec.identity".to_owned(),
                problem: "exactly one of managed and existing must be set".to_owned(),
            });
            None
        }
    }
}

fn managed_identity(managed: &ManagedIdentity, invalid: &mut Vec<InvalidField>) -> ManagedRef {
    const FIELD: &str = "spec.identity.managed";
    for tag in managed
        .tags
        .keys()
        .filter(|tag| tag.to_ascii_lowercase().starts_with(wio_api::GROUP))
    {
        invalid.push(InvalidField {
            field: format!("{FIELD}.tags"),
            problem: format!(
                "{tag:?} begins with {}, which only the operator may use",
                wio_api::GROUP
            ),
        });
    }
    for (name, same) in same_tags(&managed.tags) {
        invalid.push(InvalidField {
            field: format!("{FIELD}.tags"),
            problem: format!("{name:?} and {same:?} are one tag to Azure, which disregards case; keep one of them"),
        });
    }
    ManagedRef {
        name: optional(&format!("{FIELD}.name"), managed.name.as_deref(), invalid),
        subscription: optional(
            &format!("{FIELD}.subscriptionId"),
            managed.subscription_id.as_deref(),
            invalid,
        ),
        resource_group: optional(
            &format!("{FIELD}.resourceGroup"),
            managed.resource_group.as_deref(),
            invalid,
        ),
        location: optional(&format!("{FIELD}.location"), managed.location.as_deref(), invalid),
        tags: managed.tags.clone(),
        adopt: managed.adopt,
    }
}

/// The pairs of tag names that differ in case alone.
fn same_tags(tags: &BTreeMap<String, String>) -> Vec<(&str, &str)> {
    let mut seen = BTreeMap::new();
    tags.keys()
        .filter_map(|name| Some((seen.insert(name.to_ascii_lowercase(), name.as_str())?, name.as_str())))
        .collect()
}

fn service_accounts(binding: &WorkloadIdentityBinding, invalid: &mut Vec<InvalidField>) -> Vec<ServiceAccountRef> {
    const FIELD: &str = "spec.serviceAccounts";
    const MAX: usize = 20;
    let accounts = &binding.spec.service_accounts;
    if accounts.is_empty() || accounts.len() > MAX {
        invalid.push(InvalidField {
            field: FIELD.to_owned(),
            problem: format!("it holds {} service accounts; 1 to {MAX} are possible", accounts.len()),
        });
        return Vec::new();
    }
    let mut seen = BTreeSet::new();
    let mut parsed = Vec::new();
    for (index, account) in accounts.iter().enumerate() {
        let field = format!("{FIELD}[{index}]");
        if !seen.insert(account.name.as_str()) {
            invalid.push(InvalidField {
                field: format!("{field}.name"),
                problem: format!("{:?} stands in the list twice", account.name),
            });
        }
        let token_expiration = account.token_expiration_seconds.and_then(|seconds| {
            let parsed = TokenExpiration::new(seconds);
            if parsed.is_none() {
                invalid.push(InvalidField {
                    field: format!("{field}.tokenExpirationSeconds"),
                    problem: format!("{seconds} is not between 3600 and 86400"),
                });
            }
            parsed
        });
        if let Some(name) = required(&format!("{field}.name"), &account.name, invalid) {
            parsed.push(ServiceAccountRef {
                name,
                create: account.create,
                token_expiration,
                conflict_policy: account.conflict_policy,
            });
        }
    }
    parsed
}

fn role_assignments(roles: &[AssignedRole], invalid: &mut Vec<InvalidField>) -> Vec<RoleRef> {
    const FIELD: &str = "spec.roleAssignments";
    const MAX: usize = 20;
    if roles.len() > MAX {
        invalid.push(InvalidField {
            field: FIELD.to_owned(),
            problem: format!("it holds {} role assignments; at most {MAX} are possible", roles.len()),
        });
        return Vec::new();
    }
    // A name and its GUID are one role, and a scope is the same in any case.
    let mut seen = BTreeSet::new();
    let parsed = roles.iter().enumerate().filter_map(|(index, asked)| {
        let definition = required(&format!("{FIELD}[{index}].role"), &asked.role, invalid);
        let scope = required(&format!("{FIELD}[{index}].scope"), &asked.scope, invalid);
        Some(RoleRef {
            role: asked.role.clone(),
            definition: definition?,
            scope: scope?,
        })
    });
    parsed
        .filter(|role| seen.insert((role.definition, role.scope.clone())))
        .collect()
}

fn required<T: FromStr<Err = InvalidName>>(field: &str, text: &str, invalid: &mut Vec<InvalidField>) -> Option<T> {
    text.parse()
        .map_err(|problem: InvalidName| {
            invalid.push(InvalidField {
                field: field.to_owned(),
                problem: problem.to_string(),
            });
        })
        .ok()
}

fn optional<T: FromStr<Err = InvalidName>>(
    field: &str,
    text: Option<&str>,
    invalid: &mut Vec<InvalidField>,
) -> Option<T> {
    text.and_then(|text| required(field, text, invalid))
}
