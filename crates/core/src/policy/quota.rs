//! How many federated credentials of a namespace come before those of a binding.

use wio_api::WorkloadIdentityBinding;

/// The service accounts of the bindings that come before this one: older ones first, then by name. What a newer binding asks for
/// never takes trust away from an older one.
#[must_use]
pub fn used_credentials<'a>(
    binding: &WorkloadIdentityBinding,
    of_namespace: impl IntoIterator<Item = &'a WorkloadIdentityBinding>,
) -> usize {
    of_namespace
        .into_iter()
        .map(|other| credentials_before(binding, other))
        .sum()
}

/// Those of another binding, when it comes before this one.
#[must_use]
pub fn credentials_before(binding: &WorkloadIdentityBinding, other: &WorkloadIdentityBinding) -> usize {
    if other.metadata.namespace == binding.metadata.namespace && seniority(other) < seniority(binding) {
        other.spec.service_accounts.len()
    } else {
        0
    }
}

/// The order in which the bindings of a namespace come: older ones first, then by name.
pub(crate) fn seniority(binding: &WorkloadIdentityBinding) -> impl Ord + use<'_> {
    let metadata = &binding.metadata;
    // One without a time was never stored, and comes last.
    let created = metadata.creation_timestamp.as_ref().map(|time| time.0);
    (created.is_none(), created, metadata.name.as_deref())
}
