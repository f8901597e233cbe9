//! A call to Azure Resource Manager, as its handlers see it.

use http::StatusCode;
use jiff::Timestamp;

use crate::access::caller::Caller;
use crate::answer::Answer;
use crate::config::Config;
use crate::incoming::Incoming;
use crate::resources::Resources;
use crate::state::State;
use crate::target::Target;

/// A call that asks to be admitted.
#[derive(Clone, Copy)]
pub(super) struct Applicant<'a> {
    pub(super) incoming: &'a Incoming,
    pub(super) target: &'a Target,
    pub(super) config: &'a Config,
    pub(super) caller: &'a Caller,
}

/// A call that was admitted.
#[derive(Clone, Copy)]
pub(super) struct Call<'a> {
    pub(super) incoming: &'a Incoming,
    pub(super) config: &'a Config,
    pub(super) caller: &'a Caller,
    pub(super) version: &'a str,
    pub(super) now: Timestamp,
}

// === impl Call ===

impl Call<'_> {
    /// What a list shows, which may lag behind.
    pub(super) fn listed<'a>(&self, state: &'a State) -> &'a Resources {
        state.seen(self.now, self.config.list_lag)
    }

    /// What a look at one resource shows, which may lag behind.
    pub(super) fn read<'a>(&self, state: &'a State) -> &'a Resources {
        state.seen(self.now, self.config.read_lag)
    }

    pub(super) fn not_allowed(&self) -> Answer {
        let method = &self.incoming.method;
        let message = format!("The requested resource does not support http method '{method}'.");
        Answer::error(StatusCode::METHOD_NOT_ALLOWED, "UnsupportedHttpMethod", message)
    }

    /// A link to the caller's own base; ARM's links are absolute.
    pub(super) fn link(&self, path: &str, query: &str) -> String {
        format!("{}{path}?{query}", self.incoming.base)
    }
}
