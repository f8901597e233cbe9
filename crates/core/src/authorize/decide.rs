//! The decision itself, for what a binding asks and for what it has.

use wio_api::{DeletionPolicy, IdentityOrigin, WorkloadIdentityBindingStatus};

use super::refusal::Refusal;
use super::{LOCKED_ROLES, NotPermitted};
use crate::binding::{IdentityRef, Owner, RoleRef, ValidatedBinding};
use crate::config::OperatorConfig;
use crate::names::{
    IdentityId, Location, PolicyName, ResourceGroupId, ResourceGroupName, ServiceAccountName, identity_name,
};
use crate::policy::{NamespaceFacts, Place, Policies, Policy, limit_of};

/// Everything that needs a permission.
pub(super) struct Asked {
    pub(super) identity: IdentityId,
    pub(super) kind: Kind,
    pub(super) accounts: Vec<ServiceAccountName>,
    pub(super) roles: Vec<RoleRef>,
    /// How many federated credentials of the namespace come before these; none when they stand already.
    pub(super) used_credentials: Option<usize>,
    /// Whether all of it is to stay when the binding goes.
    pub(super) orphan: bool,
}

/// Whose the identity is.
pub(super) enum Kind {
    /// Someone else's.
    Existing,
    /// The operator's.
    Managed {
        /// Whether nobody chose its name.
        derived: bool,
        /// Its region, when it is known.
        location: Option<Location>,
        /// Whether it is to be taken over, or was.
        adopt: Adopt,
    },
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Adopt {
    No,
    /// If it stands there.
    Asked,
    /// It was, and may have roles that no policy gave.
    Done,
}

/// What is allowed, beside what was asked.
pub(super) struct Decision {
    pub(super) authorized_by: Vec<PolicyName>,
    pub(super) may_adopt: bool,
}

impl Asked {
    /// What a spec asks for.
    pub(super) fn by(binding: &ValidatedBinding, identity: &IdentityId, config: &OperatorConfig, used: usize) -> Self {
        let kind = match &binding.identity {
            IdentityRef::Existing(_) => Kind::Existing,
            IdentityRef::Managed(managed) => Kind::Managed {
                derived: binding.name_is_derived(),
                location: Some(managed.location.as_ref().unwrap_or(&config.location).clone()),
                adopt: match (binding.adopted, managed.adopt) {
                    (true, _) => Adopt::Done,
                    (false, true) => Adopt::Asked,
                    (false, false) => Adopt::No,
                },
            },
        };
        Self {
            identity: identity.clone(),
            kind,
            accounts: binding
                .service_accounts
                .iter()
                .map(|account| account.name.clone())
                .collect(),
            roles: binding.role_assignments.clone(),
            used_credentials: Some(used),
            orphan: binding.deletion_policy == DeletionPolicy::Orphan,
        }
    }

    /// What a status says that there is; none when it names no identity. The operator alone writes status, so what does not
    /// parse in it is nothing that stands.
    pub(super) fn standing(
        owner: &Owner,
        status: &WorkloadIdentityBindingStatus,
        deletion_policy: DeletionPolicy,
    ) -> Option<Self> {
        let has = status.identity.as_ref()?;
        let identity: IdentityId = has.resource_id.parse().ok()?;
        let derived = identity.name == identity_name(&owner.cluster, &owner.namespace, &owner.name);
        let managed = |adopt| Kind::Managed {
            derived,
            location: None,
            adopt,
        };
        let role = |role: &wio_api::RoleAssignmentStatus| {
            Some(RoleRef {
                role: role.role.clone(),
                definition: role.role.parse().ok()?,
                scope: role.scope.parse().ok()?,
            })
        };
        Some(Self {
            kind: match has.origin {
                IdentityOrigin::Referenced => Kind::Existing,
                IdentityOrigin::Created => managed(Adopt::No),
                IdentityOrigin::Adopted => managed(Adopt::Done),
            },
            identity,
            accounts: status
                .federated_credentials
                .iter()
                .filter_map(|credential| credential.service_account.parse().ok())
                .collect(),
            roles: status.role_assignments.iter().filter_map(role).collect(),
            used_credentials: None,
            orphan: deletion_policy == DeletionPolicy::Orphan,
        })
    }
}

pub(super) fn decide(
    asked: &Asked,
    config: &OperatorConfig,
    policies: &Policies,
    namespace: &NamespaceFacts,
) -> Result<Decision, NotPermitted> {
    let matching = policies.of(namespace);
    let refusal = Refusal {
        asked,
        config,
        policies,
        matching: &matching,
        namespace: &namespace.name,
    };
    // What is protected comes first: no policy, and no hint at one, helps there.
    if is_protected(&asked.identity, config) {
        return Err(refusal.protected());
    }
    if let Some(locked) = asked.roles.iter().find(|role| is_locked(role, config)) {
        return Err(Refusal::locked(locked));
    }
    let mut used = identity(asked, &matching, config, &refusal)?;
    let adopting = adopters(asked, &matching);
    if let Kind::Managed { adopt, .. } = asked.kind {
        match (adopt, &adopting) {
            (Adopt::Done, None) => return Err(refusal.adopted()),
            (Adopt::Done | Adopt::Asked, Some(allowing)) => used.extend(allowing),
            (Adopt::Asked, None) | (Adopt::No, _) => {}
        }
    }
    for role in &asked.roles {
        used.extend(
            all_meant(&asked.accounts, &matching, |policy| {
                policy.allows_role(role.definition, &role.scope)
            })
            .map_err(|unmet| refusal.role(role, &unmet))?,
        );
    }
    // What needs no policy ends with no policy either: it may stay.
    if asked.orphan && !used.is_empty() {
        let allowing = all_meant(&asked.accounts, &matching, |policy| policy.allow_orphan);
        used.extend(allowing.map_err(|unmet| refusal.orphan(&unmet))?);
    }
    quota(asked, &matching, &refusal)?;
    let mut authorized_by: Vec<PolicyName> = used.into_iter().map(|policy| policy.name.clone()).collect();
    authorized_by.sort();
    authorized_by.dedup();
    Ok(Decision {
        authorized_by,
        may_adopt: adopting.is_some(),
    })
}

/// Why a permission is not had.
pub(super) enum Unmet<'a> {
    /// No policy gives it.
    Nowhere,
    /// Some policies give it, and none of them to this service account.
    NotTo(&'a ServiceAccountName, Vec<&'a Policy>),
}

/// The policies by which every service account has a permission.
fn all_meant<'a>(
    accounts: &'a [ServiceAccountName],
    matching: &[&'a Policy],
    gives: impl Fn(&Policy) -> bool,
) -> Result<Vec<&'a Policy>, Unmet<'a>> {
    let giving: Vec<&Policy> = matching.iter().copied().filter(|policy| gives(policy)).collect();
    if giving.is_empty() {
        return Err(Unmet::Nowhere);
    }
    match accounts
        .iter()
        .find(|account| !giving.iter().any(|policy| policy.means(account)))
    {
        Some(account) => Err(Unmet::NotTo(account, giving)),
        None => Ok(giving
            .into_iter()
            .filter(|policy| accounts.is_empty() || accounts.iter().any(|account| policy.means(account)))
            .collect()),
    }
}

fn identity<'a>(
    asked: &'a Asked,
    matching: &[&'a Policy],
    config: &OperatorConfig,
    refusal: &Refusal<'_>,
) -> Result<Vec<&'a Policy>, NotPermitted> {
    let id = &asked.identity;
    let allowing = match &asked.kind {
        Kind::Existing => all_meant(&asked.accounts, matching, |policy| policy.allows_existing(id)),
        Kind::Managed { location, .. } => {
            let by_default =
                id.group == config.group && location.as_ref().is_none_or(|location| *location == config.location);
            if by_default {
                return Ok(Vec::new());
            }
            all_meant(&asked.accounts, matching, |policy| {
                places(policy, asked).next().is_some()
            })
        }
    };
    allowing.map_err(|unmet| refusal.identity(&unmet))
}

/// The policies by which the identity may be taken over.
fn adopters<'a>(asked: &'a Asked, matching: &[&'a Policy]) -> Option<Vec<&'a Policy>> {
    let adopts = |policy: &Policy| places(policy, asked).any(|place| place.adopt);
    all_meant(&asked.accounts, matching, adopts).ok()
}

/// The places of a policy where the managed identity may stand.
fn places<'a>(policy: &'a Policy, asked: &Asked) -> impl Iterator<Item = &'a Place> {
    let id = &asked.identity;
    policy.managed.iter().filter(move |place| match &asked.kind {
        Kind::Existing => false,
        Kind::Managed { derived, location, .. } => {
            place.group == id.group
                && location.as_ref().is_none_or(|location| place.has(location))
                && place.takes(&id.name, *derived)
        }
    })
}

fn quota(asked: &Asked, matching: &[&Policy], refusal: &Refusal<'_>) -> Result<(), NotPermitted> {
    let Some(before) = asked.used_credentials else {
        return Ok(());
    };
    match limit_of(matching) {
        Some(max) if before.saturating_add(asked.accounts.len()) > max => Err(refusal.quota(before, max)),
        _ => Ok(()),
    }
}

fn is_locked(role: &RoleRef, config: &OperatorConfig) -> bool {
    LOCKED_ROLES.contains(&role.definition) && !config.unlocked_roles.contains(&role.definition)
}

fn is_protected(id: &IdentityId, config: &OperatorConfig) -> bool {
    let in_group = |group: &ResourceGroupId| {
        group.subscription == id.group.subscription && may_be_same(&group.name, &id.group.name)
    };
    config.protected_groups.iter().any(in_group)
        || config
            .protected_identities
            .iter()
            .any(|identity| identity.name == id.name && in_group(&identity.group))
}

/// Whether Azure may take two names for one. Names of resource groups have letters beyond ASCII, and how Azure compares those is
/// not written down: in doubt they are one.
fn may_be_same(a: &ResourceGroupName, b: &ResourceGroupName) -> bool {
    let (a, b) = (a.as_str(), b.as_str());
    a.to_lowercase() == b.to_lowercase() || a.to_uppercase() == b.to_uppercase()
}
