//! The fence before writes: whether this process may write to Azure, asked last of all before a write leaves.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use azure_core::http::{Method, Request};

/// How long a write may take, from its first step to the last byte of the answer, and a read. Identities and federated
/// credentials are written synchronously, in a second or two; what Azure carries out all the same is met by the next try.
const WRITE_LIMIT: Duration = Duration::from_secs(20);
const READ_LIMIT: Duration = Duration::from_secs(45);

type Callback = Arc<dyn Fn() -> bool + Send + Sync>;

/// The fence before writes. Without a callback every write may pass.
#[derive(Clone)]
pub(crate) struct Fence {
    write_limit: Duration,
    may_write: Option<Callback>,
}

// === impl Fence ===

impl Fence {
    /// A fence whose callback tells whether a write may begin that takes as long as `write_limit`.
    pub(crate) fn new(write_limit: Duration, may_write: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self {
            write_limit: write_limit.min(WRITE_LIMIT),
            may_write: Some(Arc::new(may_write)),
        }
    }

    /// How long a request may take.
    pub(crate) fn limit(&self, request: &Request) -> Duration {
        if writes(request) { self.write_limit } else { READ_LIMIT }
    }

    /// Whether a request may leave now.
    pub(crate) fn admits(&self, request: &Request) -> bool {
        !writes(request) || self.may_write.as_ref().is_none_or(|may_write| may_write())
    }
}

impl Default for Fence {
    fn default() -> Self {
        Self {
            write_limit: WRITE_LIMIT,
            may_write: None,
        }
    }
}

impl fmt::Debug for Fence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fence")
            .field("write_limit", &self.write_limit)
            .finish_non_exhaustive()
    }
}

fn writes(request: &Request) -> bool {
    !matches!(request.method(), Method::Get | Method::Head)
}
