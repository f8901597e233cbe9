//! The watch of service accounts that bindings name and that carry no label: one that is in conflict, or that is still to be made.
//!
//! A cluster has many others. None is listed and none is kept: the watch begins with what changes from now on, and each event is
//! looked up in the index of bindings. What changes while it is away is found by the pauses of the bindings that wait for it.

use std::collections::{BTreeSet, HashSet};
use std::time::Duration;

use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::Api;
use kube::api::{ListParams, PartialObjectMeta, WatchEvent, WatchParams};
use kube::runtime::reflector::ObjectRef;
use tokio::time::{Instant, timeout_at};
use wio_api::WorkloadIdentityBinding;
use wio_core::recorded::Recorded;

use crate::reconcile::context::{Books, Context};
use crate::runtime::backoff::Backoff;

/// How long the server keeps a watch open.
const LIFE_S: u32 = 290;
/// A watch of which nothing was heard for this long is dead: the server ends it earlier.
const SILENCE: Duration = Duration::from_mins(6);
/// How long events are gathered: whoever edits a service account all the time has its binding looked at once in that time.
const GATHER: Duration = Duration::from_secs(1);

/// Has bindings looked at that wait for a service account when that one changes; never returns.
pub(crate) async fn follow(ctx: &Context) {
    ctx.caches.filled().await;
    let mut backoff = Backoff::of_watch();
    loop {
        let begun = Instant::now();
        if let Err(error) = watch(ctx).await {
            tell_failed(&error);
        }
        if begun.elapsed() > SILENCE {
            backoff.start_over();
        }
        tokio::time::sleep(backoff.pause()).await;
    }
}

fn tell_failed(error: &kube::Error) {
    tracing::warn!(%error, "watching the service accounts that bindings name failed; trying again");
}

/// Watches from now on, as long as it goes.
async fn watch(ctx: &Context) -> kube::Result<()> {
    let api: Api<ServiceAccount> = Api::all(ctx.clients.api.client.clone());
    let now = api.list_metadata(&ListParams::default().limit(1)).await?;
    let mut version = now.metadata.resource_version.unwrap_or_default();
    let parameters = WatchParams::default().timeout(LIFE_S);
    loop {
        let begun = Instant::now();
        let events = api.watch_metadata(&parameters, &version).await?.boxed();
        let alive = take_in(ctx, events, &mut version).await?;
        // A server that ends every watch at once is not asked all the time.
        if !alive || begun.elapsed() < GATHER {
            return Ok(());
        }
    }
}

/// Takes in the events of a watch until it ends; tells whether it was alive to its end.
async fn take_in(ctx: &Context, mut events: Events, version: &mut String) -> kube::Result<bool> {
    let mut gathered = Gathered::default();
    loop {
        match timeout_at(gathered.until(), events.try_next()).await {
            Ok(Ok(Some(event))) => gathered.take_in(event, ctx, version)?,
            Ok(ended) => {
                gathered.flush(&ctx.books);
                return ended.map(|_| true);
            }
            Err(_) if gathered.due.is_none() => return Ok(false),
            Err(_) => gathered.flush(&ctx.books),
        }
    }
}

type Meta = PartialObjectMeta<ServiceAccount>;
type Events = BoxStream<'static, kube::Result<WatchEvent<Meta>>>;

/// The bindings that are to be looked at.
#[derive(Default)]
struct Gathered {
    bindings: HashSet<ObjectRef<WorkloadIdentityBinding>>,
    due: Option<Instant>,
}

impl Gathered {
    /// Until when an event is waited for.
    fn until(&self) -> Instant {
        self.due.unwrap_or_else(|| Instant::now() + SILENCE)
    }

    fn take_in(&mut self, event: WatchEvent<Meta>, ctx: &Context, version: &mut String) -> kube::Result<()> {
        match event {
            WatchEvent::Added(account) | WatchEvent::Modified(account) | WatchEvent::Deleted(account) => {
                let waiting = waiting_for(&account, ctx);
                if !waiting.is_empty() {
                    self.bindings.extend(waiting);
                    self.due.get_or_insert_with(|| Instant::now() + GATHER);
                }
                if let Some(newer) = account.metadata.resource_version {
                    *version = newer;
                }
            }
            WatchEvent::Bookmark(bookmark) => *version = bookmark.metadata.resource_version,
            WatchEvent::Error(status) => return Err(kube::Error::Api(status)),
        }
        Ok(())
    }

    fn flush(&mut self, books: &Books) {
        self.due = None;
        for binding in self.bindings.drain() {
            books.look_at(binding);
        }
    }
}

/// The bindings that name a service account and are not done with theirs. What was read of it is not believed any more.
fn waiting_for(account: &Meta, ctx: &Context) -> Vec<ObjectRef<WorkloadIdentityBinding>> {
    let metadata = &account.metadata;
    let name = metadata.name.as_deref().and_then(|name| name.parse().ok());
    let (Some(namespace), Some(name)) = (metadata.namespace.as_deref(), name) else {
        return Vec::new();
    };
    let bindings = &ctx.caches.bindings;
    let mut naming = bindings.index.sharing(namespace, &BTreeSet::from([name]), &[]);
    naming.retain(|key| {
        let is_to_go = |binding: &WorkloadIdentityBinding| binding.metadata.deletion_timestamp.is_some();
        let Some(binding) = bindings.by_key(key).filter(|binding| !is_to_go(binding)) else {
            return false;
        };
        if let Some(uid) = binding.metadata.uid.as_deref().and_then(|uid| uid.parse().ok()) {
            ctx.books.slots.account_changed(&uid);
        }
        !Recorded::from(binding.status.as_ref()).progress.accounts_ready
    });
    naming
}
