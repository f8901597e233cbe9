//! The merged policy: the one object that admission decides with (docs/adr/0009).
//!
//! Everything is compared there as it is here, in lower case where Azure disregards it, and by parts: an expression is charged
//! for what it reads, and a regular expression costs fifty times as much as a comparison.

use wio_api::{
    AcceptedSettings, EffectiveDefaults, EffectiveIdentities, EffectiveName, EffectiveNames, EffectivePlace,
    EffectivePolicy, EffectiveRole, WorkloadIdentityEffectivePolicySpec,
};

use super::caseless;
use super::patterns::{IdentityPattern, Part, ServiceAccountPattern};
use super::policies::{Place, Policies, Policy, RoleAt};
use crate::config::OperatorConfig;
use crate::names::{IdentityId, ResourceGroupId, RoleDefinitionGuid};

/// The merged policy: all policies, and what the configuration says about every binding, for admission. What is kept there for the operator itself,
/// which policies vanished and which settings were accepted, others know.
#[must_use]
pub fn merge(config: &OperatorConfig, policies: &Policies) -> WorkloadIdentityEffectivePolicySpec {
    let groups = config.protected_groups.iter().map(any_in);
    let identities = config.protected_identities.iter().map(exactly);
    WorkloadIdentityEffectivePolicySpec {
        subscription_id: config.group.subscription.to_string(),
        resource_group: lower(config.group.name.as_str()),
        location: lower(config.location.as_str()),
        require_policy: config.require_policy,
        protected: groups.chain(identities).collect(),
        locked_roles: config.locked_roles().flat_map(names).collect(),
        roles_locked_at_identities: config.roles_locked_at_identities().flat_map(names).collect(),
        identity_scopes: config.identity_groups().map(reaching).collect(),
        policies: policies.all().iter().map(policy).collect(),
        vanished: Vec::new(),
        accepted: AcceptedSettings::default(),
        defaults: Some(defaults(config)),
        problems: policies.problems().iter().map(ToString::to_string).collect(),
    }
}

/// The settings that fill in what bindings leave open: [`in_force`](crate::settings_change::in_force) reads them.
fn defaults(config: &OperatorConfig) -> EffectiveDefaults {
    let (watch_namespaces, exclude_namespaces) = config.namespaces.names();
    EffectiveDefaults {
        audience: config.audience.to_string(),
        verification: config.verification,
        tags: config.default_tags.clone().into_iter().collect(),
        ignored_tags: config.ignored_tags.iter().map(ToString::to_string).collect(),
        allow_private_issuer: config.allow_private_issuer,
        watch_namespaces,
        exclude_namespaces,
    }
}

fn policy(policy: &Policy) -> EffectivePolicy {
    EffectivePolicy {
        name: policy.name.to_string(),
        namespaces: policy.namespaces.named(),
        selector: policy.namespaces.selected(),
        service_accounts: policy.service_accounts.as_deref().map(accounts),
        existing_identities: policy.existing.iter().map(identities).collect(),
        managed_identities: policy.managed.iter().map(place).collect(),
        roles: policy.roles.iter().map(role).collect(),
        max_federated_credentials: limit(policy.limits.federated_credentials),
        max_managed_identities: limit(policy.limits.managed_identities),
        max_role_assignments: limit(policy.limits.role_assignments),
        allow_orphan: policy.allow_orphan,
    }
}

fn limit(max: Option<usize>) -> Option<i64> {
    max.map(|max| i64::try_from(max).unwrap_or(i64::MAX))
}

fn accounts(patterns: &[ServiceAccountPattern]) -> EffectiveNames {
    let mut names = EffectiveNames::default();
    for pattern in patterns {
        let (list, text) = match pattern.part() {
            Part::Is(text) => (&mut names.is, text),
            Part::StartsWith(text) => (&mut names.starts_with, text),
            Part::EndsWith(text) => (&mut names.ends_with, text),
            Part::Contains(text) => (&mut names.contains, text),
        };
        list.push(text.to_owned());
    }
    names
}

fn identities(pattern: &IdentityPattern) -> EffectiveIdentities {
    let (subscription, group, name) = pattern.parts();
    EffectiveIdentities {
        subscription_id: subscription.map(|subscription| subscription.to_string()),
        resource_group: one_name(group),
        name: one_name(name),
    }
}

fn one_name(part: Part<'_>) -> EffectiveName {
    let mut name = EffectiveName::default();
    let (field, text) = match part {
        // Every name contains nothing.
        Part::Contains("") => return name,
        Part::Is(text) => (&mut name.is, text),
        Part::StartsWith(text) => (&mut name.starts_with, text),
        Part::EndsWith(text) => (&mut name.ends_with, text),
        Part::Contains(text) => (&mut name.contains, text),
    };
    *field = Some(text.to_owned());
    name
}

fn place(place: &Place) -> EffectivePlace {
    EffectivePlace {
        subscription_id: place.group.subscription.to_string(),
        resource_group: lower(place.group.name.as_str()),
        name_prefix: place.name_prefix.to_string(),
        locations: place
            .locations
            .as_ref()
            .map(|locations| locations.iter().map(|location| lower(location.as_str())).collect()),
        adopt: place.adopt,
    }
}

fn role(role: &RoleAt) -> EffectiveRole {
    EffectiveRole {
        names: names(&role.definition),
        scopes: role.scopes.iter().map(|scope| lower(scope.as_str())).collect(),
    }
}

/// By what a binding can name a role: its GUID, alone or at the end of an id, and its names.
fn names(role: &RoleDefinitionGuid) -> Vec<String> {
    let names = role.built_in_names().map(lower);
    std::iter::once(role.to_string()).chain(names).collect()
}

/// The subscription of a resource group, the group itself, and what is in it.
fn reaching(group: &ResourceGroupId) -> String {
    format!(
        "(?i)^/subscriptions/{}(/resourceGroups/{}(/.*)?)?$",
        group.subscription,
        caseless::expression(group.name.as_str())
    )
}

fn any_in(group: &ResourceGroupId) -> String {
    protected(group, "[^/]*")
}

/// The name of an identity has no letter that means something else to a regular expression.
fn exactly(identity: &IdentityId) -> String {
    protected(&identity.group, identity.name.as_str())
}

fn protected(group: &ResourceGroupId, name: &str) -> String {
    format!(
        "(?i)^/subscriptions/{}/resourceGroups/{}/providers/Microsoft[.]ManagedIdentity/userAssignedIdentities/{name}$",
        group.subscription,
        caseless::expression(group.name.as_str())
    )
}

/// As the parsed names are compared: letters beyond ASCII keep their case.
fn lower(text: &str) -> String {
    text.to_ascii_lowercase()
}
