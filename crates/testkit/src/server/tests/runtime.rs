use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt};
use kube::api::{Patch, PatchParams};
use kube::runtime::controller::Action;
use kube::runtime::reflector::store::Writer;
use kube::runtime::{Controller, WatchStreamExt, reflector, watcher};
use kube::{Api, ResourceExt};
use tokio::time::Instant;

use super::super::{Effect, Matcher, Verb};
use super::*;

/// What the watcher tells next, errors counted as such.
async fn next(events: &mut (impl Stream<Item = watcher::Result<watcher::Event<ServiceAccount>>> + Unpin)) -> String {
    match events.next().await.unwrap() {
        Ok(event) => event.to_string(),
        Err(error) => format!("{error:?}").split('(').next().unwrap().to_owned(),
    }
}

#[tokio::test(start_paused = true)]
async fn kubes_watcher_lists_follows_and_lists_again() {
    let server = server();
    server.seed(account("a"));
    server.seed(account("b"));
    let config = watcher::Config::default().page_size(1);
    let mut events = watcher(accounts(server.client()), config).default_backoff().boxed();
    for expected in ["Init", "InitApply(a)", "InitApply(b)", "InitDone"] {
        assert_eq!(next(&mut events).await, expected);
    }
    server.seed(account("c"));
    assert_eq!(next(&mut events).await, "Apply(c)");
    server.break_watches();
    server.delete::<ServiceAccount>("shop", "a");
    assert_eq!(next(&mut events).await, "Delete(a)");
    server.expire_watches();
    server.delete::<ServiceAccount>("shop", "b");
    for expected in ["WatchError", "Init", "InitApply(c)", "InitDone"] {
        assert_eq!(next(&mut events).await, expected);
    }
    server.inject(Matcher::any().verb(Verb::Watch).times(2), Effect::gone());
    server.break_watches();
    server.seed(account("d"));
    assert_eq!(next(&mut events).await, "WatchStartFailed");
    assert_eq!(next(&mut events).await, "WatchStartFailed");
    assert_eq!(next(&mut events).await, "Apply(d)");
}

#[tokio::test(start_paused = true)]
async fn kubes_watcher_streams_its_first_list() {
    let server = server();
    server.seed(account("a"));
    let mut events = watcher(accounts(server.client()), watcher::Config::default().streaming_lists()).boxed();
    for expected in ["Init", "InitApply(a)", "InitDone"] {
        assert_eq!(next(&mut events).await, expected);
    }
    server.seed(account("b"));
    assert_eq!(next(&mut events).await, "Apply(b)");
}

#[tokio::test(start_paused = true)]
async fn a_reflector_lasts_a_quiet_day() {
    let server = server();
    server.seed(account("a"));
    let (reader, writer) = reflector::store::<ServiceAccount>();
    let drive = reflector(writer, watcher(accounts(server.client()), watcher::Config::default()));
    tokio::spawn(drive.for_each(|event| async { drop(event.unwrap()) }));
    reader.wait_until_ready().await.unwrap();
    tokio::time::sleep(Duration::from_hours(24)).await;
    server.seed(account("b"));
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(reader.state().len(), 2);
    let lists = server
        .requests()
        .iter()
        .filter(|request| request.verb == Verb::List)
        .count();
    assert_eq!(lists, 1, "bookmarks and versions spare new lists");
}

async fn reconcile(object: Arc<WorkloadIdentityBinding>, client: Arc<kube::Client>) -> Result<Action, Infallible> {
    let status = json!({
        "apiVersion": "workloadidentity.dev/v1alpha1",
        "kind": "WorkloadIdentityBinding",
        "metadata": {"name": object.name_any()},
        "status": {"observedGeneration": object.metadata.generation},
    });
    let api = bindings((*client).clone());
    let written = api
        .patch_status(
            &object.name_any(),
            &PatchParams::apply("op").force(),
            &Patch::Apply(status),
        )
        .await;
    Ok(if written.is_ok() {
        Action::requeue(Duration::from_hours(1))
    } else {
        Action::requeue(Duration::from_secs(10))
    })
}

#[tokio::test(start_paused = true)]
async fn kubes_controller_runs_on_it_for_a_virtual_day() {
    let server = server();
    server.seed(binding("orders"));
    let fault = server.inject(Matcher::any().verb(Verb::Apply).once(), Effect::connection_error());
    let controller = Controller::new(
        Api::<WorkloadIdentityBinding>::all(server.client()),
        watcher::Config::default(),
    )
    .owns(Api::<ServiceAccount>::all(server.client()), watcher::Config::default());
    let context = Arc::new(server.client());
    tokio::spawn(
        controller
            .run(reconcile, |_, _, _| Action::await_change(), context)
            .for_each(|_| async {}),
    );

    let start = Instant::now();
    let observed = |generation: i64| {
        move |object: &WorkloadIdentityBinding| object.status.as_ref().unwrap().observed_generation == Some(generation)
    };
    server.wait_for("shop", "orders", observed(1)).await;
    assert_eq!((fault.hits(), start.elapsed() >= Duration::from_secs(10)), (1, true));
    server.edit::<WorkloadIdentityBinding>("shop", "orders", |object| object["spec"]["suspend"] = json!(true));
    server.wait_for("shop", "orders", observed(2)).await;
    assert!(start.elapsed() < Duration::from_secs(30));

    server.clear_requests();
    tokio::time::sleep(Duration::from_hours(24)).await;
    let applies = server.writes();
    assert!((23..=25).contains(&applies.len()), "{}", applies.len());
    assert!(
        applies.iter().all(|request| !request.changed),
        "an apply without a difference changes nothing"
    );
}

#[tokio::test(start_paused = true)]
async fn a_store_misses_what_was_lost_until_the_next_list() {
    let server = server();
    server.seed(account("a"));
    let writer = Writer::<ServiceAccount>::default();
    let reader = writer.as_reader();
    let drive = reflector(
        writer,
        watcher(accounts(server.client()), watcher::Config::default()).default_backoff(),
    );
    tokio::spawn(drive.for_each(|_| async {}));
    reader.wait_until_ready().await.unwrap();
    server.lose_events("serviceaccounts", 1);
    server.delete::<ServiceAccount>("shop", "a");
    tokio::time::sleep(Duration::from_hours(1)).await;
    assert_eq!(reader.state().len(), 1);
    server.expire_watches();
    tokio::time::sleep(Duration::from_mins(1)).await;
    assert_eq!(reader.state().len(), 0);
}
