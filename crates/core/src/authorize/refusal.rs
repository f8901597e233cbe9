//! The words of a refusal: the field, what it asks, what is allowed, and what to ask the platform team for.

use wio_api::keys::DERIVED_NAME_PREFIX;

use super::asked::{Asked, Kind, Unmet};
use super::permission::NotPermitted;
use crate::listing::first;
use crate::names::{Location, ResourceGroupId, ServiceAccountName, name_prefix};
use crate::policy::{Limited, Place, Policy, RoleAt};
use crate::rules::Rules;
use crate::spec::RoleRef;

/// The refusal of what was asked, with all that its words can speak of.
pub(super) struct Refusal<'a> {
    pub(super) asked: &'a Asked,
    pub(super) rules: &'a Rules,
    /// The policies for the namespace.
    pub(super) matching: &'a [&'a Policy],
}

impl Refusal<'_> {
    /// No policy can allow it.
    pub(super) fn protected(&self) -> NotPermitted {
        refused(
            match self.asked.kind {
                Kind::Existing { field } => field,
                Kind::Managed { .. } => "spec.identity.managed.resourceGroup",
            },
            format!(
                "{} is one of the cluster's own identities or in one of its resource groups, which the operator's configuration \
                 protects whatever a policy says; use another identity",
                self.asked.identity
            ),
        )
    }

    /// It is another binding's, and no policy can allow it.
    pub(super) fn reserved(&self) -> NotPermitted {
        refused(
            match self.asked.kind {
                Kind::Existing { field } => field,
                Kind::Managed { .. } => "spec.identity.managed.name",
            },
            format!(
                "{} has a name that begins with {DERIVED_NAME_PREFIX}, as the operator derives it for one binding, and no other binding \
                 may have that binding's identity whatever a policy says; use another identity",
                self.asked.identity
            ),
        )
    }

    /// No policy can allow it unless the configuration does.
    pub(super) fn locked(role: &RoleRef) -> NotPermitted {
        refused(
            "spec.roleAssignments[].role",
            format!(
                "with role {:?} the identity could give itself any other, so the operator's configuration locks it whatever a \
                 policy says; ask for a role that does not manage access",
                role.role
            ),
        )
    }

    /// No policy can allow it there unless the configuration does.
    pub(super) fn locked_at_identities(role: &RoleRef, group: &ResourceGroupId) -> NotPermitted {
        refused(
            "spec.roleAssignments[].scope",
            format!(
                "with role {:?} at {} the identity could get the tokens of others or assign roles in {group}, so the operator's \
                 configuration locks it there whatever a policy says; ask for it at a scope that does not reach there, or for another role",
                role.role, role.scope
            ),
        )
    }

    /// The identity was taken over, and that is not allowed any more.
    pub(super) fn adopted(&self) -> NotPermitted {
        refused(
            "spec.identity.managed.adopt",
            format!(
                "{} was taken over by this binding, and {} to have it taken over; {} adopt: true in spec.managedIdentities of a \
                 WorkloadIdentityPolicy for namespace {}",
                self.asked.identity,
                self.no_policy_allows(),
                ASK,
                self.rules.namespace.name
            ),
        )
    }

    /// The identity may not be had, or not by all service accounts.
    pub(super) fn identity(&self, unmet: &Unmet<'_>) -> NotPermitted {
        let identity = self.asked.identity.to_string();
        match (unmet, &self.asked.kind) {
            (Unmet::NotTo(account, giving), _) => self.not_to(account, giving, &identity),
            (Unmet::Nowhere, Kind::Existing { field }) => ungiven(
                field,
                format!(
                    "{} {identity}{}; {ASK} it to spec.existingIdentities of a WorkloadIdentityPolicy for namespace {}",
                    self.no_policy_allows(),
                    self.allowed(|policy| policy.existing.iter().map(ToString::to_string).collect()),
                    self.rules.namespace.name
                ),
            ),
            (Unmet::Nowhere, Kind::Managed { location, .. }) => self.place(location.as_ref()),
        }
    }

    /// The managed identity may not stand where it is asked for.
    fn place(&self, location: Option<&Location>) -> NotPermitted {
        let config = &self.rules.config;
        let namespace = &self.rules.namespace.name;
        let allowed = self.allowed(|policy| policy.managed.iter().map(in_words).collect());
        if config.require_policy {
            return ungiven(
                "spec.identity.managed",
                format!(
                    "{} {}{allowed}, and the operator's configuration asks for a policy for each managed identity; {ASK} its place to \
                     spec.managedIdentities of a WorkloadIdentityPolicy for namespace {namespace}",
                    self.no_policy_allows(),
                    self.asked.identity
                ),
            );
        }
        let (field, value) = self.odd_one(location);
        ungiven(
            &format!("spec.identity.managed.{field}"),
            format!(
                "it asks for {value}, and by default identities are created in {} in {} under a derived name or one that begins with \
                 {}{allowed}; leave it out, or have the platform team add it to spec.managedIdentities of a WorkloadIdentityPolicy for \
                 namespace {namespace}",
                config.group,
                config.location,
                name_prefix(namespace)
            ),
        )
    }

    /// The first field of a place that neither the default nor any policy has, with what it asks for.
    fn odd_one(&self, location: Option<&Location>) -> (&'static str, String) {
        let id = &self.asked.identity;
        let own = &self.rules.config.group;
        let own_location = |location: &Location| *own == id.group && *location == self.rules.config.location;
        let mut places: Vec<&Place> = self.matching.iter().flat_map(|policy| &policy.managed).collect();
        places.retain(|place| place.group.subscription == id.group.subscription);
        if places.is_empty() && own.subscription != id.group.subscription {
            return ("subscriptionId", id.group.subscription.to_string());
        }
        places.retain(|place| place.group == id.group);
        if places.is_empty() && *own != id.group {
            return ("resourceGroup", id.group.name.to_string());
        }
        match location {
            Some(location) if !own_location(location) && !places.iter().any(|place| place.has(location)) => {
                ("location", location.to_string())
            }
            Some(_) | None => ("name", id.name.to_string()),
        }
    }

    /// The role may not be given, or not there, or not to all service accounts.
    pub(super) fn role(&self, role: &RoleRef, unmet: &Unmet<'_>) -> NotPermitted {
        let what = format!("role {:?} at {}", role.role, role.scope);
        if let Unmet::NotTo(account, giving) = unmet {
            return self.not_to(account, giving, &what);
        }
        let scopes = |policy: &Policy| -> Vec<String> {
            let same = policy
                .roles
                .iter()
                .filter(|allowed| allowed.definition == role.definition);
            same.flat_map(|allowed| &allowed.scopes)
                .map(ToString::to_string)
                .collect()
        };
        let elsewhere = self.matching.iter().any(|policy| !scopes(policy).is_empty());
        let (field, allowed) = if elsewhere {
            (
                "scope",
                self.allowed(|policy| scopes(policy).iter().map(|scope| format!("it at {scope}")).collect()),
            )
        } else {
            let name = |allowed: &RoleAt| match allowed.definition.built_in_name() {
                Some(name) => format!("{name:?}"),
                None => allowed.definition.to_string(),
            };
            ("role", self.allowed(|policy| policy.roles.iter().map(name).collect()))
        };
        ungiven(
            &format!("spec.roleAssignments[].{field}"),
            format!(
                "{} {what}{allowed}; {ASK} it to spec.roles of a WorkloadIdentityPolicy for namespace {}",
                self.no_policy_allows(),
                self.rules.namespace.name
            ),
        )
    }

    /// What the binding has may not be left behind.
    pub(super) fn orphan(&self, unmet: &Unmet<'_>) -> NotPermitted {
        let to = match unmet {
            Unmet::NotTo(account, _) => format!(" to service account {account}"),
            Unmet::Nowhere => String::new(),
        };
        refused(
            "spec.deletionPolicy",
            format!(
                "Orphan leaves behind what no policy could take away later, and {} that{to}; set Delete or RetainIdentity, or {ASK} \
                 spec.allowOrphan: true to a WorkloadIdentityPolicy for namespace {} and its service accounts",
                self.no_policy_allows(),
                self.rules.namespace.name
            ),
        )
    }

    /// The namespace would have too much of something.
    pub(super) fn quota(&self, what: Limited, before: usize, max: usize) -> NotPermitted {
        let (field, (one, many), fewer, limit) = match what {
            Limited::FederatedCredentials => (
                "spec.serviceAccounts",
                ("federated credential", "federated credentials"),
                "bind fewer service accounts",
                "maxFederatedCredentials",
            ),
            Limited::ManagedIdentities => (
                "spec.identity.managed",
                ("managed identity", "managed identities"),
                "share the identity of another binding by more service accounts there",
                "maxManagedIdentities",
            ),
            Limited::RoleAssignments => (
                "spec.roleAssignments",
                ("role assignment", "role assignments"),
                "ask for fewer roles",
                "maxRoleAssignments",
            ),
        };
        let held = if before >= max {
            "them all".to_owned()
        } else {
            before.to_string()
        };
        let by = self.matching.iter().find(|policy| policy.limits.of(what) == Some(max));
        let things = if max == 1 { one } else { many };
        refused(
            field,
            format!(
                "namespace {} may hold {max} {things}{}, older bindings hold {held}, and this one asks for {}; {fewer}, or have the \
                 platform team raise spec.{limit}",
                self.rules.namespace.name,
                by.map(|policy| format!(" by WorkloadIdentityPolicy {}", policy.name))
                    .unwrap_or_default(),
                self.asked.usage().of(what)
            ),
        )
    }

    /// A service account may not have what others may.
    fn not_to(&self, account: &ServiceAccountName, giving: &[&Policy], what: &str) -> NotPermitted {
        let index = self
            .asked
            .accounts
            .iter()
            .position(|other| other == account)
            .unwrap_or_default();
        let to = |policy: &&Policy| {
            let patterns = policy.service_accounts.iter().flatten().map(ToString::to_string);
            format!(
                "WorkloadIdentityPolicy {} allows it to {}",
                policy.name,
                few(&patterns.collect::<Vec<_>>())
            )
        };
        refused(
            &format!("spec.serviceAccounts[{index}].name"),
            format!(
                "service account {account} may not have {what}: {}; remove it, or have the platform team add it to \
                 spec.serviceAccounts there",
                few(&giving.iter().map(to).collect::<Vec<_>>())
            ),
        )
    }

    fn no_policy_allows(&self) -> String {
        match self.matching {
            [] => format!(
                "no WorkloadIdentityPolicy is for namespace {}, so none allows",
                self.rules.namespace.name
            ),
            _ => "no WorkloadIdentityPolicy allows".to_owned(),
        }
    }

    /// What the policies for the namespace allow instead, and which of their parts cannot be used.
    fn allowed(&self, what: impl Fn(&Policy) -> Vec<String>) -> String {
        let mut told: Vec<String> = Vec::new();
        for policy in self.matching {
            let what = what(policy);
            if !what.is_empty() {
                told.push(format!("{} allows {}", policy.name, few(&what)));
            }
        }
        let broken = self.rules.policies.problems().iter().filter(|problem| {
            self.matching
                .iter()
                .any(|policy| policy.name.as_str() == problem.policy)
        });
        let broken: Vec<String> = broken.map(ToString::to_string).collect();
        format!("{}{}", in_brackets(&told), in_brackets(&broken))
    }
}

const ASK: &str = "ask the platform team to add";

fn refused(field: &str, message: String) -> NotPermitted {
    NotPermitted {
        field: field.to_owned(),
        message,
        awaits_policy: false,
    }
}

/// What one more policy would allow.
fn ungiven(field: &str, message: String) -> NotPermitted {
    NotPermitted {
        awaits_policy: true,
        ..refused(field, message)
    }
}

fn in_words(place: &Place) -> String {
    let locations = place.locations.as_ref().map(|locations| {
        let names: Vec<String> = locations.iter().map(ToString::to_string).collect();
        format!(" in {}", few(&names))
    });
    let prefix = place.name_prefix.to_string();
    let prefix = if prefix.is_empty() {
        prefix
    } else {
        format!(" with names that begin with {prefix}")
    };
    format!("{}{}{prefix}", place.group, locations.unwrap_or_default())
}

fn in_brackets(items: &[String]) -> String {
    if items.is_empty() {
        return String::new();
    }
    format!(" ({})", few(items))
}

/// The first few of them.
fn few(items: &[String]) -> String {
    const SHOWN: usize = 3;
    first(items, SHOWN)
}
