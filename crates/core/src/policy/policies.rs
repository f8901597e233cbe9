//! What the bindings of some namespaces may have, parsed: what cannot be parsed grants nothing, and the rest of the same
//! policy still does, so that a slip in one line takes no other trust away.

use std::fmt;

use crate::names::{
    IdentityId, IdentityName, Location, PolicyName, ResourceGroupId, RoleDefinitionGuid, Scope, ServiceAccountName,
};

use super::namespaces::{NamespaceFacts, Namespaces};
use super::patterns::{IdentityPattern, NamePrefix, ServiceAccountPattern};

/// All policies of the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policies {
    policies: Vec<Policy>,
    problems: Vec<PolicyProblem>,
}

/// A policy. Only [`Policies::parse`] makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Policy {
    pub(crate) name: PolicyName,
    pub(super) namespaces: Namespaces,
    /// None when the permissions are for every service account.
    pub(crate) service_accounts: Option<Vec<ServiceAccountPattern>>,
    pub(crate) existing: Vec<IdentityPattern>,
    pub(crate) managed: Vec<Place>,
    pub(crate) roles: Vec<RoleAt>,
    pub(crate) max_credentials: Option<usize>,
    /// Whether what a binding made may stay when it goes.
    pub(crate) allow_orphan: bool,
}

/// A place where identities may be created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) group: ResourceGroupId,
    pub(crate) name_prefix: NamePrefix,
    /// None when every region is allowed.
    pub(crate) locations: Option<Vec<Location>>,
    pub(crate) adopt: bool,
}

/// A role that may be given at some scopes and below them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RoleAt {
    pub(crate) definition: RoleDefinitionGuid,
    pub(crate) scopes: Vec<Scope>,
}

/// A part of a policy that cannot be parsed and so grants nothing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PolicyProblem {
    /// The policy's name, as written.
    pub policy: String,
    /// The field's path.
    pub field: String,
    /// What is wrong with its value, and what would be right.
    pub problem: String,
}

impl fmt::Display for PolicyProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} of WorkloadIdentityPolicy {} grants nothing: {}",
            self.field, self.policy, self.problem
        )
    }
}

// === impl Policies ===

impl Policies {
    /// These policies, sorted by name.
    pub(super) fn new(mut policies: Vec<Policy>, mut problems: Vec<PolicyProblem>) -> Self {
        policies.sort_by(|a, b| a.name.cmp(&b.name));
        problems.sort();
        Self { policies, problems }
    }

    /// All policies, by name.
    pub(crate) fn all(&self) -> &[Policy] {
        &self.policies
    }

    /// The parts that could not be parsed and so grant nothing.
    #[must_use]
    pub fn problems(&self) -> &[PolicyProblem] {
        &self.problems
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.policies.is_empty()
    }

    /// How many federated credentials a namespace may hold; none when it may hold any number, so that counting is not worth it.
    #[must_use]
    pub fn limit(&self, namespace: &NamespaceFacts) -> Option<usize> {
        limit_of(&self.of(namespace))
    }

    /// The policies for a namespace, by name.
    pub(crate) fn of<'a>(&'a self, namespace: &NamespaceFacts) -> Vec<&'a Policy> {
        self.policies
            .iter()
            .filter(|policy| policy.namespaces.hold(namespace))
            .collect()
    }
}

/// How many federated credentials these policies let a namespace hold: the highest number of them.
pub(crate) fn limit_of(policies: &[&Policy]) -> Option<usize> {
    policies.iter().filter_map(|policy| policy.max_credentials).max()
}

// === impl Policy ===

impl Policy {
    /// Whether its permissions are for this service account.
    pub(crate) fn means(&self, account: &ServiceAccountName) -> bool {
        match &self.service_accounts {
            None => true,
            Some(patterns) => patterns.iter().any(|pattern| pattern.matches(account)),
        }
    }

    /// Whether it allows to bind an identity that somebody else owns.
    pub(crate) fn allows_existing(&self, id: &IdentityId) -> bool {
        self.existing.iter().any(|pattern| pattern.matches(id))
    }

    /// Whether it allows a role at a scope.
    pub(crate) fn allows_role(&self, definition: RoleDefinitionGuid, scope: &Scope) -> bool {
        self.roles.iter().any(|role| {
            role.definition == definition && role.scopes.iter().any(|allowed| scope.is_at_or_below(allowed))
        })
    }
}

// === impl Place ===

impl Place {
    /// Whether an identity may be created here, as far as its region is concerned.
    pub(crate) fn has(&self, location: &Location) -> bool {
        self.locations
            .as_ref()
            .is_none_or(|locations| locations.contains(location))
    }

    /// Whether an identity may be called so here.
    pub(crate) fn takes(&self, name: &IdentityName, derived: bool) -> bool {
        derived || self.name_prefix.begins(name)
    }
}
