//! What bindings ask for: an event that asks for nothing new is not handed on.

use std::collections::{HashMap, HashSet};

use kube::runtime::watcher::Event;
use wio_api::{WorkloadIdentityBinding, keys};

use crate::runtime::hash::hash;

/// What each binding asked for last.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    known: HashMap<Box<str>, Ask>,
    /// The bindings that a list that has begun brought so far.
    listed: HashSet<Box<str>>,
}

/// What a reconcile can be asked for by a binding itself: a new spec, a deletion, an annotation, or our finalizer when somebody took it
/// off. Our own status is not among them, and our own finalizer is not when it comes: a binding that has just failed would be tried
/// again at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ask {
    by_others: u64,
    has_our_finalizer: bool,
}

// === impl Asked ===

impl Asked {
    /// The binding of an event that asks for something.
    pub(crate) fn take_in(&mut self, event: Event<WorkloadIdentityBinding>) -> Option<WorkloadIdentityBinding> {
        match event {
            Event::Apply(binding) => self.is_new(&binding).then_some(binding),
            Event::InitApply(binding) => {
                self.listed.extend(binding.metadata.uid.as_deref().map(Box::from));
                self.is_new(&binding).then_some(binding)
            }
            Event::Delete(binding) => {
                self.known.remove(binding.metadata.uid.as_deref().unwrap_or_default());
                None
            }
            Event::Init => {
                self.listed.clear();
                None
            }
            Event::InitDone => {
                let listed = std::mem::take(&mut self.listed);
                self.known.retain(|uid, _| listed.contains(uid));
                None
            }
        }
    }

    fn is_new(&mut self, binding: &WorkloadIdentityBinding) -> bool {
        let now = Ask::of(binding);
        let uid = binding.metadata.uid.as_deref().unwrap_or_default();
        let before = self.known.insert(uid.into(), now);
        before.is_none_or(|before| {
            before.by_others != now.by_others || (before.has_our_finalizer && !now.has_our_finalizer)
        })
    }
}

impl Ask {
    fn of(binding: &WorkloadIdentityBinding) -> Self {
        let metadata = &binding.metadata;
        let (ours, others): (Vec<&String>, Vec<&String>) = metadata
            .finalizers
            .iter()
            .flatten()
            .partition(|finalizer| *finalizer == keys::FINALIZER);
        let asked = (
            metadata.generation,
            metadata.deletion_timestamp.is_some(),
            others,
            &metadata.annotations,
        );
        Self {
            by_others: hash(&asked),
            has_our_finalizer: !ours.is_empty(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn binding(change: impl FnOnce(&mut WorkloadIdentityBinding)) -> WorkloadIdentityBinding {
        let mut binding = wio_testkit::fixtures::binding("shop", "orders").managed().build();
        binding.metadata.uid = Some("uid".to_owned());
        binding.metadata.generation = Some(1);
        change(&mut binding);
        binding
    }

    fn asks(asked: &mut Asked, change: impl FnOnce(&mut WorkloadIdentityBinding)) -> bool {
        asked.take_in(Event::Apply(binding(change))).is_some()
    }

    fn finalizers(names: &[&str]) -> impl FnOnce(&mut WorkloadIdentityBinding) {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        move |binding: &mut WorkloadIdentityBinding| binding.metadata.finalizers = Some(names)
    }

    #[test]
    fn our_own_finalizer_asks_for_something_when_it_goes_and_not_when_it_comes() {
        let mut asked = Asked::default();
        assert!(asks(&mut asked, |_| ()), "a new one");
        assert!(!asks(&mut asked, finalizers(&[keys::FINALIZER])));
        assert!(asks(&mut asked, finalizers(&[])), "somebody took it off");
        assert!(asks(&mut asked, finalizers(&["example.com/theirs"])));
    }

    #[test]
    fn a_new_spec_an_annotation_and_a_deletion_ask_for_something_and_a_status_does_not() {
        let mut asked = Asked::default();
        assert!(asks(&mut asked, |_| ()));
        assert!(!asks(&mut asked, |binding| binding.status =
            Some(wio_api::WorkloadIdentityBindingStatus::default())));
        assert!(asks(&mut asked, |binding| binding.metadata.generation = Some(2)));
        let annotate = |binding: &mut WorkloadIdentityBinding| {
            binding.metadata.generation = Some(2);
            binding.metadata.annotations = Some([("a".to_owned(), "b".to_owned())].into());
        };
        assert!(asks(&mut asked, annotate));
        assert!(!asks(&mut asked, annotate));
    }

    #[test]
    fn what_is_gone_is_forgotten_also_when_its_deletion_was_missed() {
        let mut asked = Asked::default();
        assert!(asks(&mut asked, |_| ()));
        asked.take_in(Event::Delete(binding(|_| ())));
        assert!(asks(&mut asked, |_| ()), "another one");
        asked.take_in(Event::Init);
        asked.take_in(Event::InitDone);
        assert_eq!(asked.known.len(), 0);
    }
}
