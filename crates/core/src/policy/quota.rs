//! What policies limit in a namespace, and which bindings come first.

use jiff::Timestamp;

use crate::names::BindingName;

/// The order of the bindings of a namespace: older ones first, then by name. What a newer binding asks for never takes trust
/// away from an older one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seniority {
    /// One without a time was never stored, and comes last.
    unstored: bool,
    created: Option<Timestamp>,
    name: BindingName,
}

/// A thing of which policies limit how much a namespace may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limited {
    /// Federated credentials: one for each bound service account.
    FederatedCredentials,
    /// Managed identities: one for each binding that asks for one.
    ManagedIdentities,
    /// Role assignments.
    RoleAssignments,
}

/// A number for each limited thing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Each<T> {
    /// That of federated credentials.
    pub federated_credentials: T,
    /// That of managed identities.
    pub managed_identities: T,
    /// That of role assignments.
    pub role_assignments: T,
}

/// How much bindings ask for.
pub type Usage = Each<usize>;

/// How much a namespace may have; none when it may have any number.
pub type Limits = Each<Option<usize>>;

// === impl Seniority ===

impl Seniority {
    /// The place of a binding of this name that was created at this time.
    #[must_use]
    pub const fn new(created: Option<Timestamp>, name: BindingName) -> Self {
        Self {
            unstored: created.is_none(),
            created,
            name,
        }
    }

    /// When the binding was created.
    #[must_use]
    pub const fn created(&self) -> Option<Timestamp> {
        self.created
    }

    /// The binding's name.
    #[must_use]
    pub const fn name(&self) -> &BindingName {
        &self.name
    }
}

// === impl Limited ===

impl Limited {
    /// All of them.
    pub const ALL: [Self; 3] = [
        Self::FederatedCredentials,
        Self::ManagedIdentities,
        Self::RoleAssignments,
    ];
}

// === impl Each ===

impl<T: Copy> Each<T> {
    /// The number of one thing.
    #[must_use]
    pub const fn of(&self, what: Limited) -> T {
        match what {
            Limited::FederatedCredentials => self.federated_credentials,
            Limited::ManagedIdentities => self.managed_identities,
            Limited::RoleAssignments => self.role_assignments,
        }
    }

    /// Both, thing by thing.
    #[must_use]
    pub fn zip<U: Copy, V>(&self, other: &Each<U>, with: impl Fn(T, U) -> V) -> Each<V> {
        let both = |what| with(self.of(what), other.of(what));
        Each {
            federated_credentials: both(Limited::FederatedCredentials),
            managed_identities: both(Limited::ManagedIdentities),
            role_assignments: both(Limited::RoleAssignments),
        }
    }
}

impl Usage {
    /// Both together.
    #[must_use]
    pub fn and(&self, more: &Self) -> Self {
        self.zip(more, usize::saturating_add)
    }
}

impl Limits {
    /// Whether nothing is limited, so that counting is not worth it.
    #[must_use]
    pub fn is_none(&self) -> bool {
        Limited::ALL.into_iter().all(|what| self.of(what).is_none())
    }

    /// The first thing of which there would be too much when this is asked for after that. What is not asked for is no reason to refuse
    /// anything, however much of it there is.
    #[must_use]
    pub fn exceeded(&self, before: &Usage, asks: &Usage) -> Option<Limited> {
        let exceeds = |max, what| asks.of(what) > 0 && before.of(what).saturating_add(asks.of(what)) > max;
        Limited::ALL
            .into_iter()
            .find(|what| self.of(*what).is_some_and(|max| exceeds(max, *what)))
    }

    /// The usage as far as it matters: nothing of what is not limited, and no more than the limit.
    pub(super) fn cut(&self, usage: &Usage) -> Usage {
        usage.zip(self, |used, max| max.map_or(0, |max| used.min(max)))
    }
}
