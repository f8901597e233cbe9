//! The activity log of each subscription: who changed a federated credential, which no list of many shows.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::sleep;
use wio_api::WorkloadIdentityBinding;
use wio_azure::Followed;
use wio_core::drift::{Change, Changed, Share, least_pause};
use wio_core::fault::{AzureCause, AzureFault};
use wio_core::names::{ClientId, IdentityId, RoleAssignmentName, Scope, SubscriptionId};

use super::waking::{doubt, hold, identity_of};
use crate::caches::glance::Mark;
use crate::caches::stores::Bindings;
use crate::reconcile::context::Context;
use crate::reconcile::knowledge::Shown;

/// How often the log is read.
const EVERY: Duration = Duration::from_mins(5);

/// How far back it is read each time: an entry comes up to 20 minutes late.
const OVERLAP: Duration = Duration::from_mins(30);

/// How far back it is read the first time: what was changed while the operator was down.
const AT_START: Duration = Duration::from_hours(24);

/// The most bindings that one reading wakes. When there are more the log counts as not read, and they look for themselves.
const MOST_WOKEN: usize = 500;

/// What is known of the log of a subscription.
#[derive(Debug, Default)]
struct Log {
    /// Until when it was read without a gap.
    read_to: Option<Timestamp>,
    /// Whether it was told that it cannot be read.
    told: bool,
}

/// What of a subscription's log is to be read.
#[derive(Debug, Default)]
struct Subscriptions {
    of_identities: HashSet<SubscriptionId>,
    of_roles: HashSet<SubscriptionId>,
}

/// Reads the logs again and again; never returns.
pub(super) async fn keep(ctx: &Context) {
    let mut logs: HashMap<SubscriptionId, Log> = HashMap::new();
    loop {
        let (mut requests, mut followed) = (0, Vec::new());
        let subscriptions = Subscriptions::of(&ctx.caches.bindings);
        logs.retain(|subscription, _| subscriptions.contains(*subscription));
        for subscription in subscriptions.all() {
            let log = logs.entry(subscription).or_default();
            let read = read(ctx, (subscription, &subscriptions), log).await;
            requests += read.requests;
            followed.extend(read.is_followed.then_some(subscription));
        }
        let pause = pause(requests, ctx.books.coverage.drift_interval());
        for subscription in followed {
            ctx.books.coverage.read_log(subscription, hold(pause));
        }
        ctx.books.metrics.followed(ctx.books.coverage.counts());
        sleep(pause).await;
    }
}

/// The pause after a round that took so many requests. However many those are: a log that is read more seldom than bindings would look for
/// themselves spares nothing.
fn pause(requests: usize, drift_interval: Duration) -> Duration {
    least_pause(Share::Log, requests, EVERY).min(drift_interval)
}

/// What the reading of a log came to.
struct Read {
    requests: usize,
    is_followed: bool,
}

/// Reads one log and wakes whom it concerns.
async fn read(ctx: &Context, (subscription, all): (SubscriptionId, &Subscriptions), log: &mut Log) -> Read {
    let now = (ctx.caches.learned.clock)();
    let since = log.since(now, ctx.books.coverage.drift_interval());
    let (mut requests, mut changes) = (0, Vec::new());
    for provider in all.providers(subscription) {
        match ctx.clients.azure.list_changes(subscription, provider, since).await {
            Ok(listed) => {
                requests += listed.requests;
                changes.extend(listed.entries);
            }
            Err(unlisted) => {
                tell_unread(&unlisted.fault, log);
                return Read {
                    requests: requests + unlisted.requests,
                    is_followed: false,
                };
            }
        }
    }
    let is_followed = wake(ctx, changes, now);
    if is_followed {
        log.read_to = Some(now);
        log.told = false;
    } else {
        tell_too_many(subscription);
    }
    Read { requests, is_followed }
}

/// Says once what is missing when the log cannot be read.
fn tell_unread(fault: &AzureFault, log: &mut Log) {
    if std::mem::replace(&mut log.told, true) {
        return;
    }
    let forbidden = matches!(&fault.cause, AzureCause::Answer(answer) if answer.status == 403);
    let cure = if forbidden {
        "the role Activity Log Reader of config/azure spares that"
    } else {
        "it is tried again"
    };
    tracing::warn!(%fault, "the activity log is not followed, and each binding looks for itself at each drift interval: {cure}");
}

/// Wakes the bindings of what was changed by anybody else; tells whether those were all.
fn wake(ctx: &Context, changes: Vec<Change>, now: Timestamp) -> bool {
    let news = News::of(changes, ctx.clients.azure.signed_in_as(), now);
    if news.is_empty() {
        return true;
    }
    let mut woken = 0;
    for binding in ctx.caches.bindings.all() {
        let Some(age) = news.of_binding(&binding) else { continue };
        if woken >= MOST_WOKEN {
            return false;
        }
        if doubt(&ctx.books, &binding, ("log", Shown::Change(age))) {
            woken += 1;
            tell_changed(&binding);
        }
    }
    true
}

fn tell_too_many(subscription: SubscriptionId) {
    tracing::warn!(%subscription, "the activity log names more bindings than are woken at once; bindings look for themselves");
}

fn tell_changed(binding: &WorkloadIdentityBinding) {
    let metadata = &binding.metadata;
    tracing::info!(
        namespace = metadata.namespace,
        name = metadata.name,
        "the activity log tells of a change by somebody else; the binding looks"
    );
}

// === impl Log ===

impl Log {
    /// From when on it is to be read: with an overlap, and no further back than that every binding has looked for itself since, when it could
    /// not be read for long. A log that somebody has flooded is followed again when that is so long ago.
    fn since(&self, now: Timestamp, drift_interval: Duration) -> Timestamp {
        let longest = AT_START.max(drift_interval * 2);
        let oldest = now.checked_sub(longest).unwrap_or(Timestamp::MIN);
        let overlapping = self.read_to.and_then(|read_to| read_to.checked_sub(OVERLAP).ok());
        overlapping.unwrap_or(oldest).max(oldest)
    }
}

/// How long ago each thing was last changed by anybody but the operator.
#[derive(Debug, Default)]
struct News {
    identities: HashMap<IdentityId, Duration>,
    roles: HashMap<RoleAssignmentName, Duration>,
}

// === impl News ===

impl News {
    /// What the operator does itself is known without the log. Whose something is stands in the claims of the token, which nobody can
    /// forge.
    fn of(changes: Vec<Change>, operator: Option<ClientId>, now: Timestamp) -> Self {
        let mut news = Self::default();
        for change in changes {
            if change.by.is_some() && change.by == operator {
                continue;
            }
            let age = change.age(now);
            let known = match change.of {
                Changed::Identity(id) => news.identities.entry(id).or_insert(age),
                Changed::RoleAssignment(name) => news.roles.entry(name).or_insert(age),
            };
            *known = age.min(*known);
        }
        news
    }

    fn is_empty(&self) -> bool {
        self.identities.is_empty() && self.roles.is_empty()
    }

    fn of_binding(&self, binding: &WorkloadIdentityBinding) -> Option<Duration> {
        let of_identity = identity_of(binding).and_then(|id| self.identities.get(&id));
        let assignments = binding.status.iter().flat_map(|status| &status.role_assignments);
        let of_roles = assignments.filter_map(|assignment| {
            let name = assignment.id.rsplit('/').next()?.parse().ok()?;
            self.roles.get(&name)
        });
        of_identity.into_iter().chain(of_roles).min().copied()
    }
}

// === impl Subscriptions ===

impl Subscriptions {
    fn of(bindings: &Bindings) -> Self {
        let identities = bindings.index.one_of_each_subscription();
        let mut subscriptions = Self {
            of_identities: identities
                .filter_map(|binding| Some(identity_of(&binding)?.group.subscription))
                .collect(),
            of_roles: HashSet::new(),
        };
        for binding in bindings.all_with(Mark::Roles) {
            let scopes = binding.status.iter().flat_map(|status| &status.role_assignment_scopes);
            let of_roles = scopes.filter_map(|scope| scope.parse::<Scope>().ok()?.subscription());
            subscriptions.of_roles.extend(of_roles);
        }
        subscriptions
    }

    fn all(&self) -> impl Iterator<Item = SubscriptionId> {
        self.of_identities.union(&self.of_roles).copied()
    }

    fn contains(&self, subscription: SubscriptionId) -> bool {
        self.of_identities.contains(&subscription) || self.of_roles.contains(&subscription)
    }

    fn providers(&self, subscription: SubscriptionId) -> impl Iterator<Item = Followed> {
        let identities = self
            .of_identities
            .contains(&subscription)
            .then_some(Followed::ManagedIdentity);
        let roles = self.of_roles.contains(&subscription).then_some(Followed::Authorization);
        identities.into_iter().chain(roles)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_hours(1);

    fn since(read: Option<Duration>, drift_interval: Duration) -> Duration {
        let now: Timestamp = "2026-01-10T00:00:00Z".parse().unwrap();
        let read_to = read.map(|ago| now - ago);
        let since = Log { read_to, told: false }.since(now, drift_interval);
        Duration::try_from(now.duration_since(since)).unwrap()
    }

    /// Whoever filled it once would have kept it from being followed for ever.
    #[test]
    fn a_log_that_could_not_be_read_for_long_is_read_for_a_day_back_and_no_more() {
        assert_eq!(since(Some(EVERY), HOUR), EVERY + OVERLAP);
        assert_eq!(since(Some(HOUR * 5), HOUR), HOUR * 5 + OVERLAP);
        assert_eq!(since(Some(HOUR * 100), HOUR), AT_START);
        assert_eq!(since(None, HOUR), AT_START);
        assert_eq!(
            since(None, HOUR * 100),
            HOUR * 200,
            "each binding has looked for itself since"
        );
    }
}
