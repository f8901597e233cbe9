//! How many federated credentials of a namespace come before those of a binding.

use wio_api::WorkloadIdentityBinding;

/// The service accounts of the bindings that come before this one: older ones first, then by name. What a newer binding asks for
/// never takes trust away from an older one.
#[must_use]
pub fn used_credentials<'a>(
    binding: &WorkloadIdentityBinding,
    of_namespace: impl IntoIterator<Item = &'a WorkloadIdentityBinding>,
) -> usize {
    let place = |object: &WorkloadIdentityBinding| {
        let metadata = &object.metadata;
        // One without a time was never stored, and comes last.
        let created = metadata.creation_timestamp.as_ref().map(|time| time.0);
        (created.is_none(), created, metadata.name.clone())
    };
    let own = place(binding);
    of_namespace
        .into_iter()
        .filter(|other| other.metadata.namespace == binding.metadata.namespace && place(other) < own)
        .map(|other| other.spec.service_accounts.len())
        .sum()
}
