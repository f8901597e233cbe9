//! The pulse of the watches: how long ago the API server was last heard of through each.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::Request;
use http_body_util::BodyExt;
use kube::Client;
use kube::client::Body;
use tokio::time::Instant;
use wio_api::Reason;
use wio_core::fault::{Blocked, Fault};

/// A watch that was heard of longer ago is one of an operator that is cut off. Each is begun anew within five minutes, and a server
/// sends bookmarks in between.
const MOST: Duration = Duration::from_mins(6);

/// What is watched, first what grants rest on besides the binding, which is read.
const WATCHED: [&str; 4] = [
    "/apis/workloadidentity.dev/v1alpha1/workloadidentitypolicies",
    "/api/v1/namespaces",
    "/apis/workloadidentity.dev/v1alpha1/workloadidentitybindings",
    "/api/v1/serviceaccounts",
];

/// How many of them grants rest on.
const RESTED_ON: usize = 2;

/// When each watch was last heard of, in their order; none before the first list. And how often each was begun.
#[derive(Debug, Default)]
pub(crate) struct Pulse {
    heard: [Mutex<Option<Instant>>; WATCHED.len()],
    begun: [AtomicU64; WATCHED.len()],
}

// === impl Pulse ===

impl Pulse {
    /// Why nothing may be given by what these watches told; none when they were heard of lately.
    pub(crate) fn confirm(&self) -> Result<(), Fault> {
        let is_old = |(_, age): &(_, Option<Duration>)| age.is_none_or(|age| age > MOST);
        let old = self.ages().take(RESTED_ON).find(is_old);
        old.map_or(Ok(()), |(resource, _)| {
            Err(Fault::Blocked(Blocked {
                reason: Reason::NotDecided,
                message: format!(
                    "the API server has told nothing of {resource} for minutes, so nothing is given by what was known before"
                ),
            }))
        })
    }

    /// How long ago each watch was last heard of, by what it watches; none before the first list.
    pub(crate) fn ages(&self) -> impl Iterator<Item = (&'static str, Option<Duration>)> {
        let age = |last: &Mutex<Option<Instant>>| {
            let last = *last.lock().unwrap_or_else(PoisonError::into_inner);
            last.map(|last| last.elapsed())
        };
        WATCHED.into_iter().map(resource).zip(self.heard.iter().map(age))
    }

    /// How often each watch was begun, by what it watches.
    pub(crate) fn begun(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let count = |begun: &AtomicU64| begun.load(Ordering::Relaxed);
        WATCHED.into_iter().map(resource).zip(self.begun.iter().map(count))
    }

    fn heard(&self, watch: usize) {
        if let Some(last) = self.heard.get(watch) {
            *last.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        }
    }

    fn begins(&self, watch: usize) {
        if let Some(begun) = self.begun.get(watch) {
            begun.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn resource(path: &'static str) -> &'static str {
    path.rsplit('/').next().unwrap_or(path)
}

/// The same client, whose lists and watches are heard.
pub(crate) fn listening(client: Client, pulse: &Arc<Pulse>) -> Client {
    let hearing = Arc::clone(pulse);
    let namespace = client.default_namespace().to_owned();
    let service = tower::service_fn(move |request: Request<Body>| {
        let (client, pulse) = (client.clone(), Arc::clone(&hearing));
        let watch = WATCHED.iter().position(|path| request.uri().path() == *path);
        let lists = request.uri().query().is_none_or(|query| !query.contains("watch=true"));
        watch
            .filter(|_| !lists)
            .into_iter()
            .for_each(|watch| pulse.begins(watch));
        async move {
            let response = client.send(request).await?;
            // A list that is refused says nothing about what there is.
            let watch = watch.filter(|_| response.status().is_success());
            let heard = move || watch.into_iter().for_each(|watch| pulse.heard(watch));
            heard();
            // Each part of an answer is a sign of life: an event, a bookmark, a page of a list.
            Ok::<_, kube::Error>(response.map(|body| {
                body.map_frame(move |frame| {
                    heard();
                    frame
                })
            }))
        }
    });
    Client::new(service, namespace)
}
