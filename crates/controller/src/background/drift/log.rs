//! The activity log of each subscription: who changed a federated credential, which no list of many shows.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::sleep;
use wio_azure::{Followed, Unlisted};
use wio_core::drift::{Change, Share, least_pause};
use wio_core::fault::{AzureCause, AzureFault};
use wio_core::names::{Scope, SubscriptionId};

use super::news::News;
use super::waking::{Walk, hold, identity_of};
use crate::caches::glance::Mark;
use crate::caches::stores::Bindings;
use crate::reconcile::context::Context;

/// How often the log is read.
const EVERY: Duration = Duration::from_mins(5);

/// How far back it is read each time: an entry comes up to 20 minutes late.
const OVERLAP: Duration = Duration::from_mins(30);

/// How far back it is read the first time: what was changed while the operator was down.
const AT_START: Duration = Duration::from_hours(24);

/// What is known of the log of a subscription.
#[derive(Debug, Default)]
struct Log {
    /// Until when it was read without a gap.
    read_to: Option<Timestamp>,
    /// Whether it was told that it cannot be read.
    told: bool,
}

/// What is known of the logs.
type Logs = HashMap<SubscriptionId, Log>;

/// What of a subscription's log is to be read.
#[derive(Debug, Default)]
struct Subscriptions {
    of_identities: HashSet<SubscriptionId>,
    of_roles: HashSet<SubscriptionId>,
}

/// What a round of reading brought.
#[derive(Debug, Default)]
struct Round {
    requests: usize,
    /// The logs that were read whole, and until when.
    whole: Vec<(SubscriptionId, Timestamp)>,
    news: News,
}

/// Reads the logs again and again; never returns.
pub(super) async fn keep(ctx: &Context) {
    let mut logs = Logs::new();
    loop {
        let round = read(ctx, &mut logs).await;
        let exceeded = round.news.wake(ctx).await;
        let pause = pause(round.requests, ctx.books.coverage.drift_interval());
        for (subscription, read_to) in round.whole {
            if exceeded.contains(&subscription) {
                tell_too_many(subscription);
                continue;
            }
            logs.insert(subscription, Log::read(read_to));
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

/// Reads each log once.
async fn read(ctx: &Context, logs: &mut Logs) -> Round {
    let mut round = Round::default();
    let subscriptions = Subscriptions::of(&ctx.caches.bindings).await;
    logs.retain(|subscription, _| subscriptions.contains(*subscription));
    for subscription in subscriptions.all() {
        let log = logs.entry(subscription).or_default();
        let now = (ctx.caches.learned.clock)();
        let since = log.since(now, ctx.books.coverage.drift_interval());
        let providers = subscriptions.providers(subscription);
        match changes(ctx, (subscription, providers), since, &mut round.requests).await {
            Ok(changes) => {
                let operator = ctx.clients.azure.signed_in_as();
                round.news.take_in(subscription, changes, (operator, now));
                round.whole.push((subscription, now));
            }
            Err(fault) => tell_unread(&fault, log),
        }
    }
    round
}

/// What a log tells of these providers; counts the requests that it took, also where it cannot be read.
async fn changes(
    ctx: &Context,
    (subscription, providers): (SubscriptionId, impl Iterator<Item = Followed>),
    since: Timestamp,
    requests: &mut usize,
) -> Result<Vec<Change>, AzureFault> {
    let mut changes = Vec::new();
    for provider in providers {
        match ctx.clients.azure.list_changes(subscription, provider, since).await {
            Ok(listed) => {
                *requests += listed.requests;
                changes.extend(listed.entries);
            }
            Err(Unlisted { fault, requests: sent }) => {
                *requests += sent;
                return Err(fault);
            }
        }
    }
    Ok(changes)
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

fn tell_too_many(subscription: SubscriptionId) {
    tracing::warn!(%subscription, "the activity log names more bindings than are woken at once; bindings look for themselves");
}

// === impl Log ===

impl Log {
    const fn read(to: Timestamp) -> Self {
        Self {
            read_to: Some(to),
            told: false,
        }
    }

    /// From when on it is to be read: with an overlap, and no further back than that every binding has looked for itself since, when it could
    /// not be read for long. A log that somebody has flooded is followed again when that is so long ago.
    fn since(&self, now: Timestamp, drift_interval: Duration) -> Timestamp {
        let longest = AT_START.max(drift_interval * 2);
        let oldest = now.checked_sub(longest).unwrap_or(Timestamp::MIN);
        let overlapping = self.read_to.and_then(|read_to| read_to.checked_sub(OVERLAP).ok());
        overlapping.unwrap_or(oldest).max(oldest)
    }
}

// === impl Subscriptions ===

impl Subscriptions {
    async fn of(bindings: &Bindings) -> Self {
        let identities = bindings.index.one_of_each_group();
        let mut subscriptions = Self {
            of_identities: identities
                .filter_map(|binding| Some(identity_of(&binding)?.group.subscription))
                .collect(),
            of_roles: HashSet::new(),
        };
        let mut walk = Walk::default();
        for binding in bindings.all_with(Mark::Roles) {
            let scopes = binding.status.iter().flat_map(|status| &status.role_assignment_scopes);
            let of_roles = scopes.filter_map(|scope| scope.parse::<Scope>().ok()?.subscription());
            subscriptions.of_roles.extend(of_roles);
            walk.step().await;
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
