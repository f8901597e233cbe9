//! Rewrites: when a federated credential was written by a binding though another one rests on it. What was proven of it before proves nothing any more.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use wio_api::CredentialRewriteStatus;

use crate::names::ServiceAccountName;

/// How long a rewrite is told of: no proof is believed for longer.
const TOLD_FOR: SignedDuration = SignedDuration::from_hours(48);

/// When the federated credential of each service account was last written, or was about to be, in whole seconds. By these times nothing is measured: a later one
/// is only after what was known when it was noted, whatever the clocks of two operators say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rewrites(BTreeMap<ServiceAccountName, Timestamp>);

// === impl Rewrites ===

impl Rewrites {
    /// What a status tells of; what does not parse is left out.
    #[must_use]
    pub fn parse(status: &[CredentialRewriteStatus]) -> Self {
        let parsed = status
            .iter()
            .filter_map(|one| Some((one.service_account.parse().ok()?, one.at.0)));
        Self(parsed.collect())
    }

    /// Its form in a status.
    #[must_use]
    pub fn to_status(&self) -> Vec<CredentialRewriteStatus> {
        let all = self.0.iter();
        all.map(|(account, at)| CredentialRewriteStatus {
            service_account: account.to_string(),
            at: Time(*at),
        })
        .collect()
    }

    /// Notes a rewrite, unless a later one is known.
    pub fn note(&mut self, account: &ServiceAccountName, at: Timestamp) {
        let last = self.0.entry(account.clone()).or_insert(at);
        *last = at.max(*last);
    }

    /// Notes all of these.
    pub fn merge(&mut self, others: &Self) {
        for (account, at) in &others.0 {
            self.note(account, *at);
        }
    }

    /// The last rewrite of a service account's credential.
    #[must_use]
    pub fn of(&self, account: &ServiceAccountName) -> Option<Timestamp> {
        self.0.get(account).copied()
    }

    /// The service accounts, each with the last rewrite of its credential.
    pub fn iter(&self) -> impl Iterator<Item = (&ServiceAccountName, Timestamp)> {
        self.0.iter().map(|(account, at)| (account, *at))
    }

    /// Whether what was proven of a service account at that time was proven before its credential was written anew.
    #[must_use]
    pub fn outdate(&self, account: &ServiceAccountName, proven_at: Timestamp) -> bool {
        self.of(account).is_some_and(|at| proven_at <= at)
    }

    /// Those that are still to be told of, of service accounts that are still asked for.
    #[must_use]
    pub fn lasting(&self, now: Timestamp, is_asked_for: impl Fn(&ServiceAccountName) -> bool) -> Self {
        let lasts = |at: Timestamp| now.duration_since(at) < TOLD_FOR;
        let all = self
            .0
            .iter()
            .filter(|(account, at)| lasts(**at) && is_asked_for(account));
        Self(all.map(|(account, at)| (account.clone(), *at)).collect())
    }
}

/// One second after a time: after all that was noted at it.
pub(crate) fn after(at: Timestamp) -> Timestamp {
    at.checked_add(SignedDuration::from_secs(1)).unwrap_or(at)
}

/// A time in whole seconds, as a status tells it.
pub(crate) fn whole(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}
