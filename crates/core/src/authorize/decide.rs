//! The decision about what is asked, whether a spec asks for it or a record says that it is there.

use wio_api::DeletionPolicy;

use super::asked::{Adopt, Asked, Kind, Unmet};
use super::permission::{Granted, NotPermitted, PermittedRole};
use super::refusal::Refusal;
use crate::binding::Binding;
use crate::config::OperatorConfig;
use crate::names::{IdentityId, Namespace, PolicyName, ResourceGroupId, Scope, ServiceAccountName, is_named_for};
use crate::owner::Owner;
use crate::policy::{Place, Policy, Usage, limits_of};
use crate::recorded::Recorded;
use crate::rules::Rules;
use crate::spec::{RoleRef, Spec};

/// The decision: by which policies it is allowed, and what else is.
struct Decision {
    authorized_by: Vec<PolicyName>,
    may_adopt: bool,
}

/// Decides whether a binding may have what its spec asks for.
///
/// Without a policy it may have a managed identity in the operator's own resource group, without roles, under its derived name or one that
/// says of which namespace it is, unless the configuration asks for a policy there too: such an identity has no rights in Azure yet. `used_before` is what comes before it in the namespace ([`crate::policy::Tally`]).
///
/// # Errors
/// The first thing that is asked and not allowed.
pub fn authorize(spec: &Spec, binding: &Binding, used_before: &Usage, rules: &Rules) -> Result<Granted, NotPermitted> {
    let asked = Asked {
        used_before: Some(*used_before),
        ..Asked::by_spec(spec, &binding.owner, &binding.recorded, &rules.config)
            .ending(binding.lifecycle.deletion_policy)
    };
    let decision = decide(&asked, rules)?;
    let permitted = |role: RoleRef| PermittedRole::new(role.definition, role.scope);
    Ok(Granted::new(
        asked.identity,
        decision.authorized_by,
        decision.may_adopt,
        asked.roles.into_iter().map(permitted).collect(),
    ))
}

/// Decides whether what a binding has, by its record, may go on. It is asked when the spec says nothing that can be decided on:
/// otherwise whoever makes the spec unusable would keep what a policy takes away.
///
/// # Errors
/// The first thing that it has and that is not allowed.
pub fn authorize_recorded(
    owner: &Owner,
    recorded: &Recorded,
    deletion_policy: DeletionPolicy,
    rules: &Rules,
) -> Result<(), NotPermitted> {
    match Asked::by_record(owner, recorded) {
        Some(asked) => decide(&asked.ending(deletion_policy), rules).map(drop),
        None => Ok(()),
    }
}

/// Decides whether what a binding has may be left behind when it is deleted. Orphan leaves trust that nothing accounts for any
/// more: it is asked anew, because a spec can be edited and the binding deleted before a reconcile refuses it. Where it is not
/// permitted the trust ends and the identity stays, as with every denial.
///
/// # Errors
/// Why Orphan is not permitted.
pub fn authorize_orphan(binding: &Binding, rules: &Rules) -> Result<(), NotPermitted> {
    // Both what it has and what it asks for: either may be behind what stands in Azure.
    authorize_recorded(&binding.owner, &binding.recorded, DeletionPolicy::Orphan, rules)?;
    let asked = match &binding.spec {
        Ok(spec) => Some(Asked::by_spec(spec, &binding.owner, &binding.recorded, &rules.config)),
        Err(_) => Asked::by_claims(binding, &rules.config),
    };
    asked.map_or(Ok(()), |asked| {
        decide(&asked.ending(DeletionPolicy::Orphan), rules).map(drop)
    })
}

fn decide(asked: &Asked, rules: &Rules) -> Result<Decision, NotPermitted> {
    let config = &rules.config;
    let matching = rules.policies.of(&rules.namespace);
    let refusal = Refusal {
        asked,
        rules,
        matching: &matching,
    };
    forbidden(asked, config, &refusal)?;
    let mut used = identity(asked, &matching, rules, &refusal)?;
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
    // What needs no policy ends with no policy either: it may stay. A role always needed one.
    if asked.orphan && (asked.may_have_roles || !used.is_empty()) {
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

/// What no policy can allow comes first: no policy, and no hint at one, helps there.
fn forbidden(asked: &Asked, config: &OperatorConfig, refusal: &Refusal<'_>) -> Result<(), NotPermitted> {
    if is_protected(&asked.identity, config) {
        return Err(refusal.protected());
    }
    if asked.takes_a_reserved_name() {
        return Err(refusal.reserved());
    }
    if let Some(locked) = asked.roles.iter().find(|role| is_locked(role, config)) {
        return Err(Refusal::locked(locked));
    }
    let near = |role| Some((role, group_within_reach(role, config)?));
    match asked.roles.iter().find_map(near) {
        Some((role, group)) => Err(Refusal::locked_at_identities(role, group)),
        None => Ok(()),
    }
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
    rules: &Rules,
    refusal: &Refusal<'_>,
) -> Result<Vec<&'a Policy>, NotPermitted> {
    let id = &asked.identity;
    let allowing = match &asked.kind {
        Kind::Existing { .. } => all_meant(&asked.accounts, matching, |policy| policy.allows_existing(id)),
        Kind::Managed { .. } if is_default(asked, &rules.namespace.name, &rules.config) => return Ok(Vec::new()),
        Kind::Managed { .. } => all_meant(&asked.accounts, matching, |policy| {
            places(policy, asked).next().is_some()
        }),
    };
    allowing.map_err(|unmet| refusal.identity(&unmet))
}

/// Whether it is what needs no policy: a managed identity in the operator's own place, under a name that is nobody else's.
fn is_default(asked: &Asked, namespace: &Namespace, config: &OperatorConfig) -> bool {
    let Kind::Managed { derived, location, .. } = &asked.kind else {
        return false;
    };
    let id = &asked.identity;
    !config.require_policy
        && id.group == config.group
        && location.as_ref().is_none_or(|location| *location == config.location)
        && (*derived || is_named_for(&id.name, namespace))
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
        Kind::Existing { .. } => false,
        Kind::Managed { derived, location, .. } => {
            place.group == id.group
                && location.as_ref().is_none_or(|location| place.has(location))
                && place.takes(&id.name, *derived)
        }
    })
}

fn quota(asked: &Asked, matching: &[&Policy], refusal: &Refusal<'_>) -> Result<(), NotPermitted> {
    let Some(before) = asked.used_before else {
        return Ok(());
    };
    let limits = limits_of(matching);
    match limits.exceeded(&before, &asked.usage()) {
        Some(what) => Err(refusal.quota(what, before.of(what), limits.of(what).unwrap_or_default())),
        None => Ok(()),
    }
}

fn is_locked(role: &RoleRef, config: &OperatorConfig) -> bool {
    config.locked_roles().any(|locked| *locked == role.definition)
}

/// The resource group within reach of a role with which one gets the tokens of identities there.
fn group_within_reach<'a>(role: &RoleRef, config: &'a OperatorConfig) -> Option<&'a ResourceGroupId> {
    let locked = config
        .roles_locked_at_identities()
        .any(|locked| *locked == role.definition);
    config
        .identity_groups()
        .find(|group| locked && reaches(&role.scope, group))
}

/// Whether a role at a scope holds in a resource group or in something of it. What a management group holds is not known: it may be all.
fn reaches(scope: &Scope, group: &ResourceGroupId) -> bool {
    let elsewhere = scope
        .subscription()
        .is_some_and(|subscription| subscription != group.subscription);
    let in_group = scope
        .resource_group()
        .is_some_and(|name| may_be_same(name, group.name.as_str()));
    !elsewhere && (scope.is_above_groups() || in_group)
}

/// Whether an identity is one that no binding may have, whatever a policy says.
pub(crate) fn is_protected(id: &IdentityId, config: &OperatorConfig) -> bool {
    let in_group = |group: &ResourceGroupId| {
        group.subscription == id.group.subscription && may_be_same(group.name.as_str(), id.group.name.as_str())
    };
    config.protected_groups.iter().any(in_group)
        || config
            .protected_identities
            .iter()
            .any(|identity| identity.name == id.name && in_group(&identity.group))
}

/// Whether Azure may take two names for one. Names of resource groups have letters beyond ASCII, and how Azure compares those is
/// not written down: in doubt they are one.
fn may_be_same(a: &str, b: &str) -> bool {
    a.to_lowercase() == b.to_lowercase() || a.to_uppercase() == b.to_uppercase()
}
