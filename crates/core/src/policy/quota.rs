//! The quota of federated credentials: how many of a namespace come before those of a binding.

use std::collections::BTreeMap;

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

/// The federated credentials that the bindings of one namespace ask for, by seniority.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    credentials: BTreeMap<Seniority, usize>,
}

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
}

// === impl Tally ===

impl Tally {
    /// Counts the credentials of a binding, instead of those that were counted for it before.
    pub fn count(&mut self, binding: Seniority, credentials: usize) {
        self.credentials.insert(binding, credentials);
    }

    /// Counts a binding no more.
    pub fn forget(&mut self, binding: &Seniority) {
        self.credentials.remove(binding);
    }

    /// Whether nothing is counted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.credentials.is_empty()
    }

    /// How many credentials come before those of a binding. Counting ends at the namespace's limit: of ten thousand bindings
    /// that ask for too much, none is worth counting all others.
    #[must_use]
    pub fn before(&self, binding: &Seniority, limit: usize) -> usize {
        let mut before: usize = 0;
        for credentials in self
            .credentials
            .range(..binding.clone())
            .map(|(_, credentials)| credentials)
        {
            before = before.saturating_add(*credentials);
            if before >= limit {
                return limit;
            }
        }
        before
    }
}
