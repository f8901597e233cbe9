//! A case: everything that a decision about a binding rests on, taken at one moment.

use std::collections::BTreeSet;

use crate::binding::Binding;
use crate::names::ServiceAccountName;
use crate::rules::Rules;

/// A case: everything that a decision about one binding rests on. It is owned, and all of it was read from the caches at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// The binding, and what comes before it.
    pub candidate: Candidate,
    /// The service accounts of the namespace that carry the binding's label.
    pub labelled: BTreeSet<ServiceAccountName>,
    /// The other bindings of the namespace that claim something of what this one claims, or have the same identity.
    pub neighbours: Vec<Candidate>,
    /// By what it is decided.
    pub rules: Rules,
}

/// A binding that may be decided about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The binding.
    pub binding: Binding,
    /// How many federated credentials of the namespace come before its own ([`crate::policy::Tally`]); not counted where the
    /// namespace has no limit.
    pub credentials_before: usize,
}
