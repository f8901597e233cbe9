//! Watches: streams of changes that read the store's history.
//! See <https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes>.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::Stream;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::Instant;

use super::Shared;
use super::answer::{Answer, Form, bad_request, expired, failure};
use super::resource::ResourceType;
use super::route::Query;
use super::selector::Filter;
use super::store::{Change, Store, stamp};

/// A quiet watch gets a bookmark this often, as from a real server.
const BOOKMARK_INTERVAL: Duration = Duration::from_mins(1);
/// How long a watch lasts that asks for no time.
const DEFAULT_TIMEOUT: Duration = Duration::from_mins(30);

/// How open watches end before their time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Endings {
    /// How many times all streams were closed.
    pub(crate) broken: u64,
    /// How many times all streams were told that their version is too old.
    pub(crate) expired: u64,
}

/// A watch as asked for.
pub(crate) struct Watch {
    resource: Arc<ResourceType>,
    filter: Filter,
    form: Form,
    /// Everything up to this revision was told.
    told: u64,
    lines: VecDeque<Bytes>,
    /// It ends when these lines are read.
    over: bool,
    bookmarks: bool,
    timeout: Duration,
}

impl Watch {
    /// From a compacted version the watch is opened and its only event is the 410, as from a real server.
    ///
    /// # Errors
    /// When the parameters make no sense.
    pub(crate) fn open(
        store: &Store,
        resource: &Arc<ResourceType>,
        filter: Filter,
        form: Form,
        query: &Query,
    ) -> Answer<Self> {
        let from = query.get("resourceVersion").filter(|version| *version != "0");
        let from: Option<u64> = from
            .map(|version| {
                version
                    .parse()
                    .map_err(|_| bad_request(&format!("invalid resource version {version:?}")))
            })
            .transpose()?;
        let initial_events = query.is_true("sendInitialEvents");
        let bookmarks = query.is_true("allowWatchBookmarks");
        let timeout = query.get("timeoutSeconds").and_then(|seconds| seconds.parse().ok());
        let mut watch = Self {
            resource: Arc::clone(resource),
            filter,
            form,
            told: from.unwrap_or_else(|| store.revision()),
            lines: VecDeque::new(),
            over: false,
            bookmarks,
            timeout: timeout.map_or(DEFAULT_TIMEOUT, Duration::from_secs),
        };
        if initial_events && (!bookmarks || query.get("resourceVersionMatch") != Some("NotOlderThan")) {
            let why = "sendInitialEvents needs allowWatchBookmarks and resourceVersionMatch NotOlderThan";
            return Err(failure(422, "Invalid", why));
        }
        match from {
            Some(from) if !initial_events => {
                if from > store.revision() {
                    return Err(failure(504, "Timeout", &format!("Too large resource version: {from}")));
                }
                if from < store.compacted() || store.changes_after(resource.id(), from).is_none() {
                    let why = format!("too old resource version: {from} ({})", store.compacted());
                    watch.error(&expired(&why));
                    watch.over = true;
                }
            }
            _ => watch.tell_present_state(store, initial_events),
        }
        Ok(watch)
    }

    fn tell_present_state(&mut self, store: &Store, mark_end: bool) {
        for (_, object) in store.objects(&Arc::clone(&self.resource)) {
            if self.filter.matches(object) {
                self.tell("ADDED", object);
            }
        }
        self.told = store.revision();
        if mark_end {
            self.bookmark(&json!({"k8s.io/initial-events-end": "true"}));
        }
    }

    fn tell(&mut self, kind: &str, object: &Value) {
        // The type first, as from a real server: whoever reads it need not keep the object until it comes.
        let object = self.form.object(object);
        let line = format!("{{\"type\":\"{kind}\",\"object\":{object}}}\n");
        self.lines.push_back(Bytes::from(line));
    }

    fn bookmark(&mut self, annotations: &Value) {
        let mut object = json!({
            "apiVersion": self.resource.api_version(),
            "kind": self.resource.kind,
            "metadata": {"creationTimestamp": null, "annotations": annotations},
        });
        stamp(&mut object, self.told);
        self.tell("BOOKMARK", &object);
    }

    fn error(&mut self, status: &kube::core::Status) {
        let event = json!({"type": "ERROR", "object": status});
        self.lines.push_back(Bytes::from(format!("{event}\n")));
    }

    /// Tells what changed since the last time; false when the watch has to end.
    fn catch_up(&mut self, store: &Store) -> bool {
        let resource = Arc::clone(&self.resource);
        let Some(changes) = store.changes_after(resource.id(), self.told) else {
            self.error(&expired(&format!("too old resource version: {}", self.told)));
            return false;
        };
        for change in changes {
            self.tell_change(change);
        }
        self.told = store.revision();
        true
    }

    fn tell_change(&mut self, change: &Change) {
        let before = change.old.as_deref().filter(|old| self.filter.matches(old));
        let after = Some(&*change.new).filter(|new| !change.deleted && self.filter.matches(new));
        match (before, after) {
            (None, None) => {}
            (None, Some(new)) => self.tell("ADDED", new),
            (Some(_), Some(new)) => self.tell("MODIFIED", new),
            (Some(_), None) if change.deleted => self.tell("DELETED", &change.new),
            (Some(old), None) => {
                // It left the selection: the watcher is told the last state that it may see, at the new version.
                let mut old = old.clone();
                stamp(&mut old, change.revision);
                self.tell("DELETED", &old);
            }
        }
    }

    /// The watch as a stream of lines.
    pub(crate) fn stream(self, shared: Arc<Shared>, endings: Endings) -> impl Stream<Item = Bytes> + Send {
        let now = Instant::now();
        let open = Open {
            changes: shared.changes_of(self.resource.id()),
            deadline: now + self.timeout,
            next_bookmark: self.bookmarks.then(|| now + BOOKMARK_INTERVAL),
            ended: self.over,
            watch: self,
            shared,
            endings,
        };
        futures::stream::unfold(open, Open::next)
    }
}

/// A watch that somebody reads.
struct Open {
    watch: Watch,
    shared: Arc<Shared>,
    changes: watch::Receiver<u64>,
    endings: Endings,
    deadline: Instant,
    next_bookmark: Option<Instant>,
    ended: bool,
}

impl Open {
    async fn next(mut self) -> Option<(Bytes, Self)> {
        loop {
            if let Some(line) = self.watch.lines.pop_front() {
                return Some((line, self));
            }
            if self.ended {
                return None;
            }
            self.changes.mark_unchanged();
            self.look();
            if self.ended || !self.watch.lines.is_empty() {
                continue;
            }
            let bookmark = async {
                match self.next_bookmark {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                // Time never overtakes a change that is already there.
                biased;
                _ = self.changes.changed() => {}
                () = tokio::time::sleep_until(self.deadline) => self.ended = true,
                () = bookmark => {
                    // It tells the present version, up to which there was nothing to tell.
                    self.look();
                    self.watch.bookmark(&json!({}));
                    self.next_bookmark = Some(Instant::now() + BOOKMARK_INTERVAL);
                }
            }
        }
    }

    fn look(&mut self) {
        let shared = Arc::clone(&self.shared);
        let state = shared.lock();
        if state.endings.broken != self.endings.broken {
            self.ended = true;
        } else if state.endings.expired != self.endings.expired {
            self.watch
                .error(&expired(&format!("too old resource version: {}", self.watch.told)));
            self.ended = true;
        } else if !state.held.contains(self.watch.resource.id()) {
            self.ended = !self.watch.catch_up(&state.store);
        }
    }
}
