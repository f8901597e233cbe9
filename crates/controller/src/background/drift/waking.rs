//! Having a binding look for itself.

use std::time::Duration;

use kube::runtime::reflector::ObjectRef;
use wio_api::WorkloadIdentityBinding;
use wio_core::names::{BindingUid, IdentityId};

use crate::reconcile::context::Books;
use crate::reconcile::knowledge::Shown;

/// How long a list holds: until the one after the next one is late.
pub(super) fn hold(pause: Duration) -> Duration {
    const SLACK: Duration = Duration::from_mins(2);
    pause * 2 + SLACK
}

/// Has a binding look at Azure, unless it looked or was asked lately; tells whether it has.
pub(super) fn doubt(
    books: &Books,
    binding: &WorkloadIdentityBinding,
    (feed, shown): (&'static str, Shown<'_>),
) -> bool {
    let Some(uid) = uid_of(binding) else { return false };
    let doubted = books.slots.doubt(&uid, shown);
    if doubted {
        books.metrics.doubted(feed);
        books.look_at(ObjectRef::from_obj(binding));
    }
    doubted
}

fn uid_of(binding: &WorkloadIdentityBinding) -> Option<BindingUid> {
    binding.metadata.uid.as_deref()?.parse().ok()
}

/// The identity that a binding's status names.
pub(super) fn identity_of(binding: &WorkloadIdentityBinding) -> Option<IdentityId> {
    binding.status.as_ref()?.identity.as_ref()?.resource_id.parse().ok()
}
