//! What a status says of issuers: of those that the cluster had before, and of another cluster's.

use std::collections::BTreeSet;

use wio_api::WorkloadIdentityBindingStatus;

use crate::desired::DesiredBinding;
use crate::observed::ObservedCredential;
use crate::recorded::RetiringCredential;

/// A sentence about the credentials of former issuers; empty when there are none.
pub(super) fn retiring(credentials: &[RetiringCredential]) -> String {
    let (ending, kept): (Vec<_>, Vec<_>) = credentials.iter().partition(|credential| credential.until.is_some());
    let last = ending.iter().filter_map(|credential| credential.until).max();
    let ending = last.map_or(String::new(), |until| {
        format!(
            " {} more of a former issuer stay until {until} for tokens that were issued before.",
            ending.len()
        )
    });
    let issuers: BTreeSet<&str> = kept.iter().map(|credential| credential.issuer.as_str()).collect();
    if issuers.is_empty() {
        return ending;
    }
    let issuers: Vec<&str> = issuers.into_iter().collect();
    format!(
        "{ending} {} more trust {}, which this cluster had before the operator was started anew; they stay, for another cluster may have \
         it, until the operator's setting --former-issuer names it.",
        kept.len(),
        issuers.join(", ")
    )
}

/// A sentence about credentials that another cluster made for the same binding; empty when there are none.
pub(super) fn of_another_cluster(desired: &DesiredBinding, credentials: &[ObservedCredential]) -> String {
    let strangers = credentials
        .iter()
        .filter(|credential| desired.sharing.is_of_another_cluster(credential));
    let issuers: BTreeSet<&str> = strangers.map(|credential| credential.issuer.as_str()).collect();
    if issuers.is_empty() {
        return String::new();
    }
    let issuers: Vec<&str> = issuers.into_iter().collect();
    format!(
        " Another cluster has this cluster's id, the UID of its namespace kube-system, and trusts the tokens of {} for the same binding; \
         what it made is left alone. If no other cluster has that issuer, this one had it and its status was lost: the operator's setting \
         --former-issuer names it then, and the credentials end.",
        issuers.join(", ")
    )
}

/// What is told when the credentials follow another issuer than the one before.
pub(super) fn issuer_change(
    previous: &WorkloadIdentityBindingStatus,
    next: &WorkloadIdentityBindingStatus,
) -> Option<String> {
    let before = previous.issuer.as_ref()?;
    let now = next.issuer.as_ref().filter(|now| *now != before)?;
    Some(format!(
        "The issuer of the cluster's tokens changed from {before} to {now}. Tokens of both are trusted for a time: \
         status.retiringFederatedCredentials says how long."
    ))
}
