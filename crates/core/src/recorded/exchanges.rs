//! The exchanges of service accounts' tokens as a status tells of them, and their form there.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use wio_api::{PendingExchange, Reason, TokenExchangeStatus};

use crate::names::ServiceAccountName;

/// The exchange of a service account's token, in a status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedExchange {
    /// The service account.
    pub account: ServiceAccountName,
    /// What the proof rests on, as a hash.
    pub facts: String,
    /// When Entra last gave a token; none when it never did.
    pub verified_at: Option<Timestamp>,
    /// Why a token is still waited for; none when the last exchange passed.
    pub pending: Option<Pending>,
}

/// Why a token is waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    /// Since when.
    pub since: Timestamp,
    /// Why.
    pub reason: Reason,
    /// The same in words.
    pub message: String,
}

// === impl RecordedExchange ===

impl RecordedExchange {
    /// The exchange that a status tells of; none when that does not parse: then it is tried anew, and nothing else rests on it.
    #[must_use]
    pub fn parse(status: &TokenExchangeStatus) -> Option<Self> {
        Some(Self {
            account: status.service_account.parse().ok()?,
            facts: status.facts.clone(),
            verified_at: status.verified_at.as_ref().map(|at| at.0),
            pending: match &status.pending {
                Some(pending) => Some(Pending::parse(pending)?),
                None => None,
            },
        })
    }

    /// Its form in a status.
    #[must_use]
    pub fn to_status(&self) -> TokenExchangeStatus {
        TokenExchangeStatus {
            service_account: self.account.to_string(),
            facts: self.facts.clone(),
            verified_at: self.verified_at.map(Time),
            pending: self.pending.as_ref().map(|pending| PendingExchange {
                since: Time(pending.since),
                reason: pending.reason.to_string(),
                message: pending.message.clone(),
            }),
        }
    }
}

// === impl Pending ===

impl Pending {
    fn parse(status: &PendingExchange) -> Option<Self> {
        let reason = Reason::ALL.iter().find(|reason| reason.as_str() == status.reason)?;
        Some(Self {
            since: status.since.0,
            reason: *reason,
            message: status.message.clone(),
        })
    }
}
