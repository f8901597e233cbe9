//! The words of a refusal: the field, what it asks, what is allowed, and what to ask the platform team for.

use super::NotPermitted;
use super::decide::{Asked, Kind, Unmet};
use crate::binding::RoleRef;
use crate::config::OperatorConfig;
use crate::names::{Namespace, ServiceAccountName};
use crate::policy::{Place, Policies, Policy, RoleAt};

/// What a refusal can speak of.
pub(super) struct Refusal<'a> {
    pub(super) asked: &'a Asked,
    pub(super) config: &'a OperatorConfig,
    pub(super) policies: &'a Policies,
    /// The policies for the namespace.
    pub(super) matching: &'a [&'a Policy],
    pub(super) namespace: &'a Namespace,
}

impl Refusal<'_> {
    /// No policy can allow it.
    pub(super) fn protected(&self) -> NotPermitted {
        refused(
            match self.asked.kind {
                Kind::Existing => EXISTING,
                Kind::Managed { .. } => "spec.identity.managed.resourceGroup",
            },
            format!(
                "{} is one of the cluster's own identities or in one of its resource groups, which the operator's configuration \
                 protects whatever a policy says; use another identity",
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
                self.namespace
            ),
        )
    }

    /// The identity may not be had, or not by all service accounts.
    pub(super) fn identity(&self, unmet: &Unmet<'_>) -> NotPermitted {
        let identity = self.asked.identity.to_string();
        match (unmet, &self.asked.kind) {
            (Unmet::NotTo(account, giving), _) => self.not_to(account, giving, &identity),
            (Unmet::Nowhere, Kind::Existing) => refused(
                EXISTING,
                format!(
                    "{} {identity}{}; {ASK} it to spec.existingIdentities of a WorkloadIdentityPolicy for namespace {}",
                    self.no_policy_allows(),
                    self.allowed(|policy| policy.existing.iter().map(ToString::to_string).collect()),
                    self.namespace
                ),
            ),
            (Unmet::Nowhere, Kind::Managed { location, .. }) => {
                let id = &self.asked.identity;
                let places: Vec<&Place> = self.matching.iter().flat_map(|policy| &policy.managed).collect();
                let own = &self.config.group;
                let subscription = |place: &&&Place| place.group.subscription == id.group.subscription;
                let group = |place: &&&Place| place.group == id.group;
                let here =
                    |place: &&&Place| group(place) && location.as_ref().is_none_or(|location| place.has(location));
                let (field, value) =
                    if own.subscription != id.group.subscription && !places.iter().any(|p| subscription(&p)) {
                        ("subscriptionId", id.group.subscription.to_string())
                    } else if *own != id.group && !places.iter().any(|p| group(&p)) {
                        ("resourceGroup", id.group.name.to_string())
                    } else if let Some(location) = location.as_ref().filter(|_| !places.iter().any(|p| here(&p))) {
                        ("location", location.to_string())
                    } else {
                        ("name", id.name.to_string())
                    };
                refused(
                    &format!("spec.identity.managed.{field}"),
                    format!(
                        "it asks for {value}, and by default identities are created in {own} in {}{}; leave it out, or have the \
                         platform team add it to spec.managedIdentities of a WorkloadIdentityPolicy for namespace {}",
                        self.config.location,
                        self.allowed(|policy| policy.managed.iter().map(in_words).collect()),
                        self.namespace
                    ),
                )
            }
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
        refused(
            &format!("spec.roleAssignments[].{field}"),
            format!(
                "{} {what}{allowed}; {ASK} it to spec.roles of a WorkloadIdentityPolicy for namespace {}",
                self.no_policy_allows(),
                self.namespace
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
                self.namespace
            ),
        )
    }

    /// The namespace holds too many federated credentials.
    pub(super) fn quota(&self, before: usize, max: usize) -> NotPermitted {
        let held = if before >= max {
            "them all".to_owned()
        } else {
            before.to_string()
        };
        let by = self.matching.iter().find(|policy| policy.max_credentials == Some(max));
        refused(
            "spec.serviceAccounts",
            format!(
                "namespace {} may hold {max} federated credentials{}, older bindings hold {held}, and this one asks for {}; \
                 bind fewer service accounts, or have the platform team raise spec.maxFederatedCredentials",
                self.namespace,
                by.map(|policy| format!(" by WorkloadIdentityPolicy {}", policy.name))
                    .unwrap_or_default(),
                self.asked.accounts.len()
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
                few(patterns.collect())
            )
        };
        refused(
            &format!("spec.serviceAccounts[{index}].name"),
            format!(
                "service account {account} may not have {what}: {}; remove it, or have the platform team add it to \
                 spec.serviceAccounts there",
                few(giving.iter().map(to).collect())
            ),
        )
    }

    fn no_policy_allows(&self) -> String {
        match self.matching {
            [] => format!(
                "no WorkloadIdentityPolicy is for namespace {}, so none allows",
                self.namespace
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
                told.push(format!("{} allows {}", policy.name, few(what)));
            }
        }
        let broken = self.policies.problems().iter().filter(|problem| {
            self.matching
                .iter()
                .any(|policy| policy.name.as_str() == problem.policy)
        });
        let broken: Vec<String> = broken.map(ToString::to_string).collect();
        format!("{}{}", in_brackets(told), in_brackets(broken))
    }
}

const EXISTING: &str = "spec.identity.existing.resourceId";
const ASK: &str = "ask the platform team to add";

fn refused(field: &str, message: String) -> NotPermitted {
    NotPermitted {
        field: field.to_owned(),
        message,
    }
}

fn in_words(place: &Place) -> String {
    let locations = place.locations.as_ref().map(|locations| {
        let names: Vec<String> = locations.iter().map(ToString::to_string).collect();
        format!(" in {}", few(names))
    });
    let prefix = place.name_prefix.to_string();
    let prefix = if prefix.is_empty() {
        prefix
    } else {
        format!(" with names that begin with {prefix}")
    };
    format!("{}{}{prefix}", place.group, locations.unwrap_or_default())
}

fn in_brackets(items: Vec<String>) -> String {
    if items.is_empty() {
        return String::new();
    }
    format!(" ({})", few(items))
}

/// The first few: a message is read by people, and a policy can hold hundreds.
fn few(mut items: Vec<String>) -> String {
    const SHOWN: usize = 3;
    let more = items.len().saturating_sub(SHOWN);
    items.truncate(SHOWN);
    let shown = items.join(", ");
    if more == 0 {
        shown
    } else {
        format!("{shown} and {more} more")
    }
}
