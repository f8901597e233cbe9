//! A case: everything that a decision about a binding rests on, taken at one moment.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::binding::Binding;
use crate::names::{BindingUid, ServiceAccountName};
use crate::policy::Usage;
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
    /// Those of them that may not have what they have any more and keep it, because nobody wished that ([`crate::held`]).
    pub held: BTreeSet<BindingUid>,
    /// The other bindings of any namespace that name the same managed identity.
    pub rivals: Vec<Rival>,
    /// By what it is decided.
    pub rules: Rules,
    /// That moment.
    pub now: Timestamp,
}

/// Another binding that names the same managed identity, with the rules of its own namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rival {
    /// The binding.
    pub candidate: Candidate,
    /// By what it is decided.
    pub rules: Rules,
}

/// A binding that may be decided about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The binding.
    pub binding: Binding,
    /// How much of the namespace comes before what it asks for ([`crate::policy::Tally`]); what has no limit is not counted.
    pub used_before: Usage,
}
