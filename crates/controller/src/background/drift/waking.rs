//! Having a binding look for itself.

use std::time::Duration;

use kube::runtime::reflector::ObjectRef;
use wio_api::WorkloadIdentityBinding;
use wio_core::names::{BindingUid, IdentityId};

use crate::reconcile::context::Books;
use crate::reconcile::knowledge::Shown;

/// A walk over many bindings, which lets others have their turn now and then.
#[derive(Debug, Default)]
pub(super) struct Walk(usize);

// === impl Walk ===

impl Walk {
    /// Goes on to the next one.
    pub(super) async fn step(&mut self) {
        /// Unpacking so many bindings takes about a millisecond.
        const STRIDE: usize = 32;
        self.0 += 1;
        if self.0.is_multiple_of(STRIDE) {
            tokio::task::yield_now().await;
        }
    }
}

/// How long a list holds: until the one after the next one is late.
pub(super) fn hold(pause: Duration) -> Duration {
    const SLACK: Duration = Duration::from_mins(2);
    pause * 2 + SLACK
}

/// Has a binding look at Azure, unless it looked or was asked lately; tells whether it has.
pub(super) fn doubt(books: &Books, binding: &WorkloadIdentityBinding, by: (&'static str, Shown<'_>)) -> bool {
    uid_of(binding).is_some_and(|uid| doubt_of(books, (&ObjectRef::from_obj(binding), &uid), by))
}

/// The same, for one that is known by name.
pub(super) fn doubt_of(
    books: &Books,
    (key, uid): (&ObjectRef<WorkloadIdentityBinding>, &BindingUid),
    (feed, shown): (&'static str, Shown<'_>),
) -> bool {
    let doubted = books.slots.doubt(uid, shown);
    if doubted {
        books.metrics.doubted(feed);
        books.look_at(key.clone());
    }
    doubted
}

/// A binding's UID.
pub(super) fn uid_of(binding: &WorkloadIdentityBinding) -> Option<BindingUid> {
    binding.metadata.uid.as_deref()?.parse().ok()
}

/// The identity that a binding's status names.
pub(super) fn identity_of(binding: &WorkloadIdentityBinding) -> Option<IdentityId> {
    binding.status.as_ref()?.identity.as_ref()?.resource_id.parse().ok()
}
