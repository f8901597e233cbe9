//! The log of requests, which tests read.

use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::answer::Answer;
use crate::incoming::{Incoming, Service};
use crate::target::ResourceKind;

/// A request that arrived, and what became of it. The admin API is not logged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LoggedRequest {
    /// Counts up from 1 in the order of arrival, also over [`crate::Simulator::clear_requests`].
    pub sequence: u64,
    /// When it arrived.
    pub at: Timestamp,
    /// The method.
    pub method: String,
    /// The path as it was sent.
    pub path: String,
    /// The query as it was sent, without `?`.
    pub query: String,
    /// `api-version` of the query.
    pub api_version: Option<String>,
    /// What it is about.
    pub kind: ResourceKind,
    /// The Azure operation that a role must grant for it, as `Microsoft.Authorization/roleAssignments/write`.
    pub action: Option<String>,
    /// Whether it asks ARM to change something.
    pub writes: bool,
    /// The object id of the caller, when its bearer token is good.
    pub principal: Option<String>,
    /// `x-ms-correlation-request-id` of the answer.
    pub correlation_id: Option<String>,
    /// `User-Agent`.
    pub user_agent: Option<String>,
    /// The body: JSON, the fields of a form without its secrets, or text.
    pub body: Option<Value>,
    /// The status of the answer; `None` while there is none, or when the connection was dropped.
    pub status: Option<u16>,
    /// The error code of the answer: `error.code` of ARM, `AADSTS…` of Entra.
    pub error_code: Option<String>,
    /// Whether a scripted fault met it.
    pub injected: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Log {
    entries: Mutex<Entries>,
}

#[derive(Debug, Default)]
struct Entries {
    last: u64,
    kept: Vec<LoggedRequest>,
}

// === impl Log ===

impl Log {
    /// Writes down that a request arrived; gives its sequence number.
    pub(crate) fn begin(&self, incoming: &Incoming, principal: Option<String>, injected: bool, at: Timestamp) -> u64 {
        let action = match &incoming.service {
            Service::Arm(target) => target.action(&incoming.method),
            _ => None,
        };
        let mut entries = self.lock();
        entries.last += 1;
        let sequence = entries.last;
        entries.kept.push(LoggedRequest {
            sequence,
            at,
            method: incoming.method.to_string(),
            path: incoming.path.clone(),
            query: incoming.raw_query.clone(),
            api_version: incoming.query("api-version").map(str::to_owned),
            kind: incoming.kind(),
            action,
            writes: incoming.writes(),
            principal,
            correlation_id: None,
            user_agent: incoming.header("user-agent").map(str::to_owned),
            body: incoming.logged_body(),
            status: None,
            error_code: None,
            injected,
        });
        sequence
    }

    /// Writes down how a request was answered.
    pub(crate) fn end(&self, sequence: u64, answer: &Answer) {
        let correlation = answer
            .headers
            .iter()
            .find(|(name, _)| name == "x-ms-correlation-request-id");
        let mut entries = self.lock();
        // The newest entries are at the end, and few requests are under way at once.
        if let Some(entry) = entries.kept.iter_mut().rev().find(|entry| entry.sequence == sequence) {
            entry.status = Some(answer.status.as_u16());
            entry.error_code.clone_from(&answer.error_code);
            entry.correlation_id = correlation.map(|(_, value)| value.clone());
        }
    }

    pub(crate) fn requests(&self) -> Vec<LoggedRequest> {
        self.lock().kept.clone()
    }

    pub(crate) fn clear(&self) {
        self.lock().kept.clear();
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
