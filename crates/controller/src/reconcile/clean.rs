//! What is remembered of a binding that may have nothing and has nothing, so that it costs no reads for ever.

use std::time::Duration;

use tokio::time::Instant;
use wio_core::names::IdentityId;
use wio_core::observed::AzureState;

use crate::runtime::jitter::jittered;

/// Until then a write that was under way when the trust was taken away has certainly landed: Azure Resource Manager gives a request up
/// after a minute.
const LANDED: Duration = Duration::from_secs(90);

/// The state of Azure in which nothing of a denied binding was left.
#[derive(Debug)]
pub(crate) struct Clean {
    identity: IdentityId,
    state: AzureState,
    check_at: Instant,
}

impl Clean {
    /// Azure as it was read just now, with nothing left to take away. The first time it is looked at again soon, and after that as
    /// often as drift is checked.
    pub(crate) fn seen(
        before: Option<&Self>,
        identity: &IdentityId,
        state: AzureState,
        drift_interval: Duration,
    ) -> Self {
        let again = before.is_some_and(|before| before.identity == *identity);
        let time = if again {
            drift_interval
        } else {
            LANDED.min(drift_interval)
        };
        Self {
            identity: identity.clone(),
            state,
            check_at: Instant::now() + jittered(time),
        }
    }

    /// What is known of this identity, until it is to be looked at again.
    pub(crate) fn known(&self, identity: &IdentityId) -> Option<&AzureState> {
        (self.identity == *identity && Instant::now() < self.check_at).then_some(&self.state)
    }
}
