//! What a status is written about.

use std::time::Duration;

use wio_api::{Reason, WorkloadIdentityBindingStatus};

use crate::binding::Lifecycle;
use crate::cluster::Cluster;

/// What a status is written about.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The status as it stands.
    pub previous: Option<&'a WorkloadIdentityBindingStatus>,
    /// Where in its life the binding is.
    pub lifecycle: &'a Lifecycle,
    /// The cluster.
    pub cluster: &'a Cluster,
    /// The value by which somebody asked for the look at Azure that was taken; none when nobody did.
    pub heeded: Option<&'a str>,
    /// The looks at Azure that failed since the last one that did not; none when that was the last one.
    pub failed_looks: Option<FailedLooks>,
    /// Whether something may have been written to Azure: a write was sent, and not certainly refused.
    pub written: bool,
    /// What is to be said of service accounts that somebody else changes back again and again; none when nobody does.
    pub contested: Option<&'a str>,
}

/// How long what was seen of Azure is believed while looks fail. Pods go on getting tokens when Azure Resource Manager is busy or
/// away, and half an hour without it must not turn every binding of a cluster to False.
pub const BELIEVED_FOR: Duration = Duration::from_mins(30);

/// Looks at Azure that failed, one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FailedLooks {
    /// Why the first of them did.
    pub reason: Reason,
    /// How long it is ago.
    pub lasted: Duration,
}

// === impl FailedLooks ===

impl FailedLooks {
    /// Whether what was seen before is still believed.
    #[must_use]
    pub fn may_go_on(self) -> bool {
        self.lasted < BELIEVED_FOR
    }

    /// What Ready says, with a note of them: the same words for as long as they fail.
    pub(super) fn noted(self, message: &str) -> String {
        const NOTE: &str = " Azure cannot be looked at for a while";
        let before = message.split(NOTE).next().unwrap_or_default();
        format!(
            "{before}{NOTE} ({}): this is as it was seen before, and the operator looks again.",
            self.reason
        )
    }
}
