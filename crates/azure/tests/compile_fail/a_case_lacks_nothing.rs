//! No decision is asked for without the neighbours and the rules: a case that lacks them is none.

use std::collections::BTreeSet;

use wio_core::binding::Binding;
use wio_core::case::{Candidate, Case};
use wio_core::verdict::{Verdict, verdict};

fn alone(binding: Binding) -> Verdict {
    verdict(&Case {
        candidate: Candidate {
            binding,
            used_before: wio_core::policy::Usage::default(),
        },
        labelled: BTreeSet::new(),
    })
}

fn main() {}
