use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use futures::{FutureExt, Stream, StreamExt, TryStreamExt};
use kube::api::{WatchEvent, WatchParams};
use tokio::time::Instant;

use super::*;

type Events<K> = Pin<Box<dyn Stream<Item = kube::Result<WatchEvent<K>>> + Send>>;

async fn watch(server: &FakeApiServer, params: &WatchParams, version: &str) -> kube::Result<Events<ServiceAccount>> {
    Ok(accounts(server.client()).watch(params, version).await?.boxed())
}

fn version(object: &Value) -> String {
    object["metadata"]["resourceVersion"].as_str().unwrap().to_owned()
}

/// What the next event says: `ADDED orders@7`.
async fn next(events: &mut Events<ServiceAccount>) -> Option<String> {
    let text = |kind: &str, object: &ServiceAccount| {
        format!(
            "{kind} {}@{}",
            object.metadata.name.as_deref().unwrap(),
            object.metadata.resource_version.as_deref().unwrap()
        )
    };
    Some(match events.try_next().await.unwrap()? {
        WatchEvent::Added(object) => text("ADDED", &object),
        WatchEvent::Modified(object) => text("MODIFIED", &object),
        WatchEvent::Deleted(object) => text("DELETED", &object),
        WatchEvent::Bookmark(bookmark) => format!(
            "BOOKMARK @{} {:?}",
            bookmark.metadata.resource_version, bookmark.metadata.annotations
        ),
        WatchEvent::Error(status) => format!("ERROR {} {}", status.code, status.reason),
    })
}

fn label(server: &FakeApiServer, name: &str, value: &Value) -> String {
    version(&server.edit::<ServiceAccount>("shop", name, |object| object["metadata"]["labels"] = value.clone()))
}

#[tokio::test]
async fn a_watch_tells_what_happened_since_its_version_in_order() {
    let server = server();
    let start = version(&server.seed(account("before")));
    let added = version(&server.seed(account("orders")));
    let mut events = watch(&server, &WatchParams::default(), &start).await.unwrap();
    let changed = label(&server, "orders", &json!({"a": "b"}));
    server.delete::<ServiceAccount>("shop", "orders");
    assert_eq!(next(&mut events).await.unwrap(), format!("ADDED orders@{added}"));
    assert_eq!(next(&mut events).await.unwrap(), format!("MODIFIED orders@{changed}"));
    let deleted = next(&mut events).await.unwrap();
    assert!(
        deleted.starts_with("DELETED orders@") && deleted > format!("DELETED orders@{changed}"),
        "{deleted}"
    );
    assert!(next(&mut events).now_or_never().is_none());
}

#[tokio::test]
async fn a_watch_without_a_version_begins_with_what_is_there() {
    let server = server();
    let at = version(&server.seed(account("orders")));
    let mut events = watch(&server, &WatchParams::default(), "0").await.unwrap();
    assert_eq!(next(&mut events).await.unwrap(), format!("ADDED orders@{at}"));
}

#[tokio::test]
async fn an_object_that_leaves_the_selection_is_deleted_for_the_watch() {
    let server = server();
    let start = version(&server.seed(account("orders")));
    let mut events = watch(&server, &WatchParams::default().labels("bound=true"), &start)
        .await
        .unwrap();
    let entered = label(&server, "orders", &json!({"bound": "true"}));
    let changed = label(&server, "orders", &json!({"bound": "true", "more": "x"}));
    let left = label(&server, "orders", &json!({"more": "x"}));
    label(&server, "orders", &json!({}));
    server.delete::<ServiceAccount>("shop", "orders");
    assert_eq!(next(&mut events).await.unwrap(), format!("ADDED orders@{entered}"));
    assert_eq!(next(&mut events).await.unwrap(), format!("MODIFIED orders@{changed}"));
    let event = events.try_next().await.unwrap().unwrap();
    let WatchEvent::Deleted(object) = event else {
        panic!("{event:?}")
    };
    assert_eq!(
        object.metadata.labels.unwrap()["bound"],
        "true",
        "the last state that the watch may see"
    );
    assert_eq!(object.metadata.resource_version, Some(left));
    assert!(next(&mut events).now_or_never().is_none());
}

#[tokio::test]
async fn a_watch_of_one_object_hears_of_no_other() {
    let server = server();
    let start = version(&server.seed(account("orders")));
    let mut events = watch(&server, &WatchParams::default().fields("metadata.name=orders"), &start)
        .await
        .unwrap();
    server.seed(account("other"));
    let changed = label(&server, "orders", &json!({"a": "b"}));
    assert_eq!(next(&mut events).await.unwrap(), format!("MODIFIED orders@{changed}"));
}

#[tokio::test]
async fn a_metadata_watch_has_metadata_only() {
    let server = server();
    server.seed(binding("orders"));
    let api = bindings(server.client());
    let mut events = api.watch_metadata(&WatchParams::default(), "0").await.unwrap().boxed();
    let WatchEvent::Added(object) = events.try_next().await.unwrap().unwrap() else {
        panic!()
    };
    assert_eq!(object.types.unwrap().kind, "PartialObjectMetadata");
}

#[tokio::test(start_paused = true)]
async fn a_quiet_watch_gets_bookmarks_and_ends_at_its_time() {
    let server = server();
    let start = version(&server.seed(account("orders")));
    let begun = Instant::now();
    let mut events = watch(&server, &WatchParams::default().timeout(150), &start)
        .await
        .unwrap();
    for minute in 1..=2 {
        // Changes of other resources move the bookmark on.
        let namespace = server.create_namespace(&format!("n{minute}"));
        assert_eq!(
            next(&mut events).await.unwrap(),
            format!("BOOKMARK @{} {{}}", version(&namespace))
        );
        assert_eq!(begun.elapsed(), Duration::from_mins(minute));
    }
    assert_eq!(next(&mut events).await, None);
    assert_eq!(begun.elapsed(), Duration::from_secs(150));
}

#[tokio::test]
async fn a_streamed_list_says_where_it_ends() {
    let server = server();
    let at = version(&server.seed(account("orders")));
    let mut events = watch(&server, &WatchParams::streaming_lists(), "0").await.unwrap();
    assert_eq!(next(&mut events).await.unwrap(), format!("ADDED orders@{at}"));
    assert_eq!(
        next(&mut events).await.unwrap(),
        format!("BOOKMARK @{at} {{\"k8s.io/initial-events-end\": \"true\"}}")
    );
}

#[tokio::test]
async fn a_watch_from_a_compacted_version_is_gone() {
    let server = server();
    let old = version(&server.seed(account("orders")));
    let mut open = watch(&server, &WatchParams::default(), &old).await.unwrap();
    let new = label(&server, "orders", &json!({"a": "b"}));
    server.compact();
    let mut late = watch(&server, &WatchParams::default(), &old).await.unwrap();
    assert_eq!(
        next(&mut late).await.unwrap(),
        "ERROR 410 Expired",
        "an event and not a status: kube's watcher lists again only after the event"
    );
    assert_eq!(next(&mut late).await, None);
    watch(&server, &WatchParams::default(), &new).await.map(|_| ()).unwrap();
    assert_eq!(
        next(&mut open).await.unwrap(),
        format!("MODIFIED orders@{new}"),
        "an open watch goes on"
    );
}

#[tokio::test]
async fn broken_watches_can_go_on_where_they_were() {
    let server = server();
    let at = version(&server.seed(account("orders")));
    let mut events = watch(&server, &WatchParams::default(), &at).await.unwrap();
    server.break_watches();
    let missed = label(&server, "orders", &json!({"a": "b"}));
    assert_eq!(next(&mut events).await, None);
    let mut events = watch(&server, &WatchParams::default(), &at).await.unwrap();
    assert_eq!(next(&mut events).await.unwrap(), format!("MODIFIED orders@{missed}"));
}

#[tokio::test]
async fn expired_watches_are_told_so() {
    let server = server();
    let at = version(&server.seed(account("orders")));
    let mut events = watch(&server, &WatchParams::default(), &at).await.unwrap();
    server.expire_watches();
    assert_eq!(next(&mut events).await.unwrap(), "ERROR 410 Expired");
    assert_eq!(next(&mut events).await, None);
}

#[tokio::test]
async fn lost_events_are_never_told() {
    let server = server();
    let at = version(&server.seed(account("orders")));
    let mut events = watch(&server, &WatchParams::default(), &at).await.unwrap();
    server.lose_events("serviceaccounts", 2);
    label(&server, "orders", &json!({"a": "1"}));
    server.seed(account("lost"));
    let told = label(&server, "orders", &json!({"a": "2"}));
    assert_eq!(next(&mut events).await.unwrap(), format!("MODIFIED orders@{told}"));
}

#[tokio::test]
async fn held_events_come_when_they_are_released() {
    let server = server();
    let at = version(&server.seed(account("orders")));
    let mut events = watch(&server, &WatchParams::default(), &at).await.unwrap();
    server.hold_events("serviceaccounts");
    let changed = label(&server, "orders", &json!({"a": "1"}));
    assert!(next(&mut events).now_or_never().is_none());
    server.release_events("serviceaccounts");
    assert_eq!(next(&mut events).await.unwrap(), format!("MODIFIED orders@{changed}"));
}

#[tokio::test]
async fn a_watch_wakes_when_something_happens() {
    let server = server();
    let at = version(&server.seed(account("orders")));
    let mut events = watch(&server, &WatchParams::default(), &at).await.unwrap();
    let waiting = tokio::spawn(async move { next(&mut events).await });
    tokio::task::yield_now().await;
    let changed = label(&server, "orders", &json!({"a": "1"}));
    assert_eq!(waiting.await.unwrap().unwrap(), format!("MODIFIED orders@{changed}"));
}

/// Counts how often it is woken.
#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// Half of what the simulation writes is its operators' leases, and each of them has five watches.
#[tokio::test]
async fn a_watch_is_not_woken_by_what_happens_to_other_resources() {
    let server = server();
    let at = version(&server.seed(account("orders")));
    let mut events = watch(&server, &WatchParams::default(), &at).await.unwrap();
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(Arc::clone(&woken));
    assert!(events.as_mut().poll_next(&mut Context::from_waker(&waker)).is_pending());
    server.create_namespace("other");
    assert_eq!(woken.0.load(Ordering::SeqCst), 0);
    let changed = label(&server, "orders", &json!({"a": "1"}));
    assert_eq!(woken.0.load(Ordering::SeqCst), 1);
    assert_eq!(next(&mut events).await.unwrap(), format!("MODIFIED orders@{changed}"));
}
