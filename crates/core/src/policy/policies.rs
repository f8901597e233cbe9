//! What the bindings of some namespaces may have, parsed: what cannot be parsed grants nothing, and the rest of the same
//! policy still does, so that a slip in one line takes no other trust away.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::names::{
    IdentityId, IdentityName, Location, Namespace, PolicyName, ResourceGroupId, RoleDefinitionGuid, Scope,
    ServiceAccountName,
};

use super::namespaces::{NamespaceFacts, Namespaces};
use super::patterns::{IdentityPattern, NamePrefix, ServiceAccountPattern};
use super::quota::Limits;

/// All policies of the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policies {
    all: Vec<Policy>,
    problems: Vec<PolicyProblem>,
    /// Which of them name a namespace, in their order.
    naming: BTreeMap<Namespace, Vec<usize>>,
    /// Which of them select namespaces by their labels, in their order.
    selecting: Vec<usize>,
}

/// Whether a policy can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Legibility {
    /// All of it.
    Legible,
    /// Not by this version. It grants nothing, and nobody knows what it would grant: what stands by it is not taken away.
    Unreadable,
}

/// A policy. Only [`Policies::parse`] makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Policy {
    pub(crate) name: PolicyName,
    pub(crate) legibility: Legibility,
    pub(super) namespaces: Namespaces,
    /// None when the permissions are for every service account.
    pub(crate) service_accounts: Option<Vec<ServiceAccountPattern>>,
    pub(crate) existing: Vec<IdentityPattern>,
    pub(crate) managed: Vec<Place>,
    pub(crate) roles: Vec<RoleAt>,
    pub(crate) limits: Limits,
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
        let mut naming: BTreeMap<Namespace, Vec<usize>> = BTreeMap::new();
        let mut selecting = Vec::new();
        for (at, policy) in policies.iter().enumerate() {
            for name in policy.namespaces.names() {
                naming.entry(name.clone()).or_default().push(at);
            }
            if policy.namespaces.select() {
                selecting.push(at);
            }
        }
        Self {
            all: policies,
            problems,
            naming,
            selecting,
        }
    }

    /// The names of all of them, also of those that cannot be read.
    #[must_use]
    pub fn names(&self) -> BTreeSet<PolicyName> {
        self.all.iter().map(|policy| policy.name.clone()).collect()
    }

    /// All policies, by name.
    pub(crate) fn all(&self) -> &[Policy] {
        &self.all
    }

    /// The parts that could not be parsed and so grant nothing.
    #[must_use]
    pub fn problems(&self) -> &[PolicyProblem] {
        &self.problems
    }

    /// The parts of one of them that grant nothing, and whether this version cannot read it, so that the whole grants nothing.
    pub(crate) fn problems_of(&self, name: &str) -> (Vec<&PolicyProblem>, Legibility) {
        let of_it = |problem: &&PolicyProblem| problem.policy == name;
        let unreadable = |policy: &&Policy| policy.name.as_str() == name && policy.legibility == Legibility::Unreadable;
        let legibility = match self.all.iter().find(unreadable) {
            Some(_) => Legibility::Unreadable,
            None => Legibility::Legible,
        };
        (self.problems.iter().filter(of_it).collect(), legibility)
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// The first of these policies that stands and cannot be read: what it grants is not known.
    pub(crate) fn unreadable<'a>(&self, mut names: impl Iterator<Item = &'a PolicyName>) -> Option<&'a PolicyName> {
        let is_unreadable = |policy: &Policy| policy.legibility == Legibility::Unreadable;
        names.find(|name| {
            let found = self.all.binary_search_by(|policy| policy.name.cmp(name));
            found.is_ok_and(|at| self.all.get(at).is_some_and(is_unreadable))
        })
    }

    /// How much a namespace may have.
    #[must_use]
    pub fn limits(&self, namespace: &NamespaceFacts) -> Limits {
        limits_of(&self.of(namespace))
    }

    /// The policies for a namespace, by name. Those that name other namespaces, one for each team, cost this one nothing.
    pub(crate) fn of<'a>(&'a self, namespace: &NamespaceFacts) -> Vec<&'a Policy> {
        let naming = self.naming.get(&namespace.name).into_iter().flatten();
        let candidates: BTreeSet<&usize> = naming.chain(&self.selecting).collect();
        let candidates = candidates.into_iter().filter_map(|at| self.all.get(*at));
        candidates.filter(|policy| policy.namespaces.hold(namespace)).collect()
    }
}

/// How much these policies let a namespace have: of each thing the highest number of them.
pub(crate) fn limits_of(policies: &[&Policy]) -> Limits {
    let each = policies.iter().map(|policy| policy.limits);
    each.fold(Limits::default(), |highest, limits| highest.zip(&limits, Option::max))
}

// === impl Policy ===

impl Policy {
    /// One that is for no namespace and grants nothing.
    pub(super) const fn granting_nothing(name: PolicyName) -> Self {
        Self {
            name,
            legibility: Legibility::Legible,
            namespaces: Namespaces::none(),
            service_accounts: Some(Vec::new()),
            existing: Vec::new(),
            managed: Vec::new(),
            roles: Vec::new(),
            limits: Limits {
                federated_credentials: None,
                managed_identities: None,
                role_assignments: None,
            },
            allow_orphan: false,
        }
    }

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
