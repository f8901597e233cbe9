//! Entries of the activity log, which come late, twice, out of order, and from anybody.

use std::time::Duration;

use jiff::Timestamp;

use crate::names::{ClientId, IdentityId, RoleAssignmentName};

/// How long after a change a look may still show what was before: Azure's answers lag behind its writes, and clocks differ.
pub const LOG_SETTLES_IN: Duration = Duration::from_mins(5);

/// An entry as it is written in the log.
#[derive(Clone, Copy, Debug, Default)]
pub struct Entry<'a> {
    /// The id of what was written or deleted.
    pub resource: Option<&'a str>,
    /// When.
    pub at: Option<&'a str>,
    /// What it came to.
    pub status: Option<&'a str>,
    /// The HTTP status of that, in words.
    pub sub_status: Option<&'a str>,
    /// The client id of whoever did it, from the claims of the token.
    pub client: Option<&'a str>,
}

/// A change, or a try of one, that may concern bindings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// What was changed.
    pub of: Changed,
    /// When.
    pub at: Timestamp,
    /// The client id of whoever did it; none when the log does not say it.
    pub by: Option<ClientId>,
}

/// The thing that was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Changed {
    /// An identity, or a federated credential of it.
    Identity(IdentityId),
    /// A role assignment.
    RoleAssignment(RoleAssignmentName),
}

// === impl Change ===

impl Change {
    /// The change that an entry tells of; none when it is about nothing that bindings have, or says that it was refused for want of
    /// permission: who may do nothing has changed nothing. One that failed in another way may have been carried out all the same.
    #[must_use]
    pub fn read(entry: &Entry<'_>) -> Option<Self> {
        const REFUSED: [&str; 2] = ["Forbidden", "Unauthorized"];
        let failed = entry.status.is_some_and(|status| status.eq_ignore_ascii_case("Failed"));
        let refused = REFUSED
            .iter()
            .any(|refused| entry.sub_status.is_some_and(|said| said.eq_ignore_ascii_case(refused)));
        if failed && refused {
            return None;
        }
        Some(Self {
            of: Changed::read(entry.resource?)?,
            at: entry.at?.parse().ok()?,
            by: entry.client.and_then(|client| client.parse().ok()),
        })
    }

    /// How long ago it was. One from the future, by a clock that is fast, is from now.
    #[must_use]
    pub fn age(&self, now: Timestamp) -> Duration {
        Duration::try_from(now.duration_since(self.at)).unwrap_or_default()
    }
}

// === impl Changed ===

impl Changed {
    fn read(resource: &str) -> Option<Self> {
        const CREDENTIALS: &str = "federatedIdentityCredentials";
        const ASSIGNMENTS: [&str; 3] = ["providers", "Microsoft.Authorization", "roleAssignments"];
        let (parent, name) = resource.rsplit_once('/')?;
        let (of, kind) = parent.rsplit_once('/')?;
        if kind.eq_ignore_ascii_case(CREDENTIALS) {
            return of.parse().ok().map(Self::Identity);
        }
        let mut ends = parent.rsplit('/');
        let is_assignment = ASSIGNMENTS
            .iter()
            .rev()
            .all(|segment| ends.next().is_some_and(|end| end.eq_ignore_ascii_case(segment)));
        if is_assignment {
            return name.parse().ok().map(Self::RoleAssignment);
        }
        resource.parse().ok().map(Self::Identity)
    }
}

/// Whether a change of this age may not have been seen by the last look, which was so long ago: a look counts only when the change
/// had settled by then. So an entry that comes twice, or late, costs one look more at most.
#[must_use]
pub fn is_news(age: Duration, since_look: Option<Duration>) -> bool {
    since_look.is_none_or(|since| since.saturating_add(LOG_SETTLES_IN) > age)
}
