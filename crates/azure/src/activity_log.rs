//! The activity log of a subscription: <https://learn.microsoft.com/rest/api/monitor/activity-logs/list>.

use jiff::Timestamp;
use serde::Deserialize;
use wio_core::drift::{Change, Entry as LogEntry};
use wio_core::names::SubscriptionId;

use crate::client::Azure;
use crate::paging::{Pages, Unlisted, list_patiently};
use crate::telemetry::Operation;

/// The bound on pages that are read at once. How many entries a page holds Azure does not say. A log with more cannot be followed. At a hundred a
/// page these are the entries of 5,000 new bindings: whose they are is known only when they were read.
const MAX_PAGES: usize = 200;

/// The resource providers whose changes are followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Followed {
    /// Managed identities and their federated credentials.
    ManagedIdentity,
    /// Role assignments.
    Authorization,
}

/// An entry. Each field may be missing: one odd entry must not break the list.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    resource_id: Option<String>,
    authorization: Option<Authorization>,
    claims: Option<Claims>,
    event_timestamp: Option<String>,
    status: Option<Localized>,
    sub_status: Option<Localized>,
}

#[derive(Deserialize)]
struct Authorization {
    scope: Option<String>,
}

/// A change, as soon as it is read: of a long log all entries are never there at once.
#[derive(Deserialize)]
#[serde(from = "Entry")]
struct Read(Option<Change>);

/// The claims of the token with which something was done, which nobody but Entra can write.
#[derive(Deserialize)]
struct Claims {
    appid: Option<String>,
}

#[derive(Deserialize)]
struct Localized {
    value: Option<String>,
}

// === impl Followed ===

impl Followed {
    const fn namespace(self) -> &'static str {
        match self {
            Self::ManagedIdentity => "Microsoft.ManagedIdentity",
            Self::Authorization => "Microsoft.Authorization",
        }
    }
}

// === impl Azure ===

impl Azure {
    /// What was changed, or tried, in a subscription since a moment, as far as its log says so by now: an entry comes minutes late, and
    /// not in order.
    ///
    /// # Errors
    /// When any page cannot be had, or there are too many: half a list is no list.
    pub async fn list_changes(
        &self,
        subscription: SubscriptionId,
        provider: Followed,
        since: Timestamp,
    ) -> Result<Pages<Change>, Unlisted> {
        let list = self
            .pipeline
            .urls
            .activity_log(subscription, provider.namespace(), since);
        let listed = list_patiently::<Read>(&self.pipeline, Operation::ListActivityLog, &list, MAX_PAGES).await;
        let what = || format!("read the activity log of the subscription {subscription}");
        let listed = listed.map_err(|incomplete| incomplete.when(what()))?;
        Ok(listed.filter_map(|read| read.0))
    }
}

// === impl Read ===

impl From<Entry> for Read {
    fn from(entry: Entry) -> Self {
        Self(entry.change())
    }
}

// === impl Entry ===

impl Entry {
    fn change(self) -> Option<Change> {
        let scope = self.authorization.and_then(|authorization| authorization.scope);
        Change::read(&LogEntry {
            resource: self.resource_id.or(scope).as_deref(),
            at: self.event_timestamp.as_deref(),
            status: self.status.and_then(|status| status.value).as_deref(),
            sub_status: self.sub_status.and_then(|status| status.value).as_deref(),
            client: self.claims.and_then(|claims| claims.appid).as_deref(),
        })
    }
}
