//! What bindings ask for: an event that asks for nothing new is not handed on.

use wio_api::{WorkloadIdentityBinding, keys};

use crate::runtime::hash::hash;

/// What a reconcile can be asked for by a binding itself: a new spec, a deletion, an annotation, or our finalizer when somebody took it
/// off. Our own status is not among them, and our own finalizer is not when it comes: a binding that has just failed would be tried
/// again at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ask {
    by_others: u64,
    has_our_finalizer: bool,
}

// === impl Ask ===

impl Ask {
    pub(super) fn of(binding: &WorkloadIdentityBinding) -> Self {
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

    /// Whether it asks for something that the same binding did not ask for before.
    pub(super) const fn is_new_after(&self, before: &Self) -> bool {
        before.by_others != self.by_others || (before.has_our_finalizer && !self.has_our_finalizer)
    }
}

#[cfg(test)]
mod tests {
    use kube::runtime::watcher::Event;
    use wio_core::policy::Limits;

    use super::*;
    use crate::caches::index::Index;

    fn binding(change: impl FnOnce(&mut WorkloadIdentityBinding)) -> WorkloadIdentityBinding {
        let mut binding = wio_testkit::fixtures::binding("shop", "orders").managed().build();
        binding.metadata.uid = Some("uid".to_owned());
        binding.metadata.generation = Some(1);
        change(&mut binding);
        binding
    }

    fn asks(index: &Index, change: impl FnOnce(&mut WorkloadIdentityBinding)) -> bool {
        let binding = binding(change);
        let asks = index.asks(&binding);
        take_in(index, &Event::Apply(binding));
        asks
    }

    fn take_in(index: &Index, event: &Event<WorkloadIdentityBinding>) {
        index.take_in(event, |_| Limits::default());
    }

    fn finalizers(names: &[&str]) -> impl FnOnce(&mut WorkloadIdentityBinding) {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        move |binding: &mut WorkloadIdentityBinding| binding.metadata.finalizers = Some(names)
    }

    #[test]
    fn our_own_finalizer_asks_for_something_when_it_goes_and_not_when_it_comes() {
        let index = Index::default();
        assert!(asks(&index, |_| ()), "a new one");
        assert!(!asks(&index, finalizers(&[keys::FINALIZER])));
        assert!(asks(&index, finalizers(&[])), "somebody took it off");
        assert!(asks(&index, finalizers(&["example.com/theirs"])));
    }

    #[test]
    fn a_new_spec_an_annotation_and_a_deletion_ask_for_something_and_a_status_does_not() {
        let index = Index::default();
        assert!(asks(&index, |_| ()));
        assert!(!asks(&index, |binding| binding.status =
            Some(wio_api::WorkloadIdentityBindingStatus::default())));
        assert!(asks(&index, |binding| binding.metadata.generation = Some(2)));
        let annotate = |binding: &mut WorkloadIdentityBinding| {
            binding.metadata.generation = Some(2);
            binding.metadata.annotations = Some([("a".to_owned(), "b".to_owned())].into());
        };
        assert!(asks(&index, annotate));
        assert!(!asks(&index, annotate));
    }

    #[test]
    fn what_is_gone_is_forgotten_also_when_its_deletion_was_missed() {
        let index = Index::default();
        assert!(asks(&index, |_| ()));
        take_in(&index, &Event::Delete(binding(|_| ())));
        assert!(asks(&index, |_| ()), "another one");
        take_in(&index, &Event::Init);
        take_in(&index, &Event::InitDone);
        assert!(asks(&index, |_| ()), "one more");
        assert!(
            asks(&index, |binding| binding.metadata.uid = Some("other".to_owned())),
            "another one of the same name"
        );
    }

    #[test]
    fn what_a_list_shows_again_asks_for_nothing() {
        let index = Index::default();
        assert!(asks(&index, |_| ()));
        take_in(&index, &Event::Init);
        assert!(!index.asks(&binding(|_| ())));
    }
}
