//! Events: one for each thing that a person is to learn. A lost one is lost; the conditions hold the truth.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::{Api, Patch, PatchParams, PostParams};
use kube::{Client, Resource};
use serde_json::json;
use tokio::time::Instant;
use wio_api::keys;
use wio_core::fault::Fault;
use wio_core::status::Told;

use crate::runtime::hash::hash;
use crate::runtime::request::request;
use crate::settings::Clock;

/// Publishes Events. One for the whole process: what is told again in the same words is counted on the Event that says it, and what is
/// told in other words is an Event of its own. kube's recorder goes by the reason alone, and goes on showing the first words.
pub(crate) struct Events {
    client: Client,
    clock: Clock,
    instance: String,
    recent: Mutex<Recent>,
}

/// The Events of the last minutes, by the UID of the object that they are about and a hash of their words.
#[derive(Default)]
struct Recent {
    of_objects: HashMap<String, HashMap<u64, Sent>>,
    swept: Option<Instant>,
}

/// An Event that was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Sent {
    name: String,
    count: i32,
    at: Instant,
}

/// An object that Events are about.
pub(crate) trait Subject: Resource<DynamicType = ()> + Sync {}

impl<K: Resource<DynamicType = ()> + Sync> Subject for K {}

/// What is to be sent.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    /// A new Event of this name.
    Create(String),
    /// One more on the Event of this name.
    Count(String, i32),
    /// Nothing: there were too many.
    Nothing,
}

/// What the API server takes as an Event's note.
const MAX_NOTE_BYTES: usize = 1024;
/// What is told again after this long is an Event of its own.
const SERIES: Duration = Duration::from_mins(6);
/// The most Events of an object within [`SERIES`]: whoever edits a spec all the time fills nobody's store with them.
const MAX_EVENTS: usize = 20;

// === impl Events ===

impl Events {
    pub(crate) fn new(client: Client, clock: Clock, instance: Option<String>) -> Self {
        Self {
            client,
            clock,
            instance: instance.unwrap_or_else(|| keys::FIELD_MANAGER.to_owned()),
            recent: Mutex::default(),
        }
    }

    pub(crate) async fn publish(&self, object: &impl Subject, told: Told) {
        let uid = object.meta().uid.as_deref().unwrap_or_default();
        let words = hash(&told);
        let next = self.recent().next(uid, words, || self.new_name(object, words));
        if let Err(fault) = self.send(object, told, next).await {
            self.recent().forget(uid, words);
            tracing::debug!(%fault, "an event is lost");
        }
    }

    async fn send(&self, object: &impl Subject, told: Told, next: Next) -> Result<(), Fault> {
        let events: Api<Event> = Api::namespaced(self.client.clone(), namespace(object));
        let operation = || "publish an event".to_owned();
        match next {
            Next::Nothing => {
                tell_left_out(&told);
                Ok(())
            }
            Next::Create(name) => {
                let event = self.event(object, told, name);
                let parameters = PostParams::default();
                request(operation, events.create(&parameters, &event)).await.map(drop)
            }
            Next::Count(name, count) => {
                let series = json!({ "count": count, "lastObservedTime": MicroTime((self.clock)()) });
                let patch = Patch::Merge(json!({ "series": series }));
                let parameters = PatchParams::default();
                request(operation, events.patch(&name, &parameters, &patch))
                    .await
                    .map(drop)
            }
        }
    }

    fn event(&self, object: &impl Subject, told: Told, name: String) -> Event {
        let kind = if told.warning { "Warning" } else { "Normal" };
        Event {
            metadata: ObjectMeta {
                namespace: Some(namespace(object).to_owned()),
                name: Some(name),
                ..ObjectMeta::default()
            },
            action: Some("Reconcile".to_owned()),
            event_time: Some(MicroTime((self.clock)())),
            note: Some(cut(told.message)),
            reason: Some(told.reason),
            regarding: Some(object.object_ref(&())),
            reporting_controller: Some(keys::FIELD_MANAGER.to_owned()),
            reporting_instance: Some(self.instance.clone()),
            type_: Some(kind.to_owned()),
            ..Event::default()
        }
    }

    /// A name that no other Event has: the object's, as far as there is room for it, and the time.
    fn new_name(&self, object: &impl Subject, words: u64) -> String {
        const ROOM: usize = 200;
        let name: String = object
            .meta()
            .name
            .iter()
            .flat_map(|name| name.chars())
            .take(ROOM)
            .collect();
        let name = name.trim_end_matches(['-', '.']);
        // Two that differ may be told within one tick of a clock.
        format!("{name}.{:x}-{words:x}", (self.clock)().as_nanosecond())
    }

    /// A panic elsewhere cannot leave a map of plain values half written in a way that matters.
    fn recent(&self) -> MutexGuard<'_, Recent> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The namespace for an object's Events: its own, and for an object of the cluster the one where `kubectl describe` looks for them.
fn namespace(object: &impl Subject) -> &str {
    object.meta().namespace.as_deref().unwrap_or("default")
}

fn tell_left_out(told: &Told) {
    tracing::debug!(reason = told.reason, "an event too many is left out");
}

fn cut(mut note: String) -> String {
    if note.len() > MAX_NOTE_BYTES {
        let end = note.floor_char_boundary(MAX_NOTE_BYTES - '…'.len_utf8());
        note.truncate(end);
        note.push('…');
    }
    note
}

// === impl Recent ===

impl Recent {
    fn next(&mut self, uid: &str, words: u64, name: impl FnOnce() -> String) -> Next {
        self.sweep();
        let sent = self.of_objects.entry(uid.to_owned()).or_default();
        let at = Instant::now();
        if let Some(sent) = sent.get_mut(&words).filter(|sent| sent.at.elapsed() < SERIES) {
            sent.count = sent.count.saturating_add(1);
            sent.at = at;
            return Next::Count(sent.name.clone(), sent.count);
        }
        sent.retain(|_, sent| sent.at.elapsed() < SERIES);
        if sent.len() >= MAX_EVENTS {
            return Next::Nothing;
        }
        let name = name();
        let new = Sent {
            name: name.clone(),
            count: 1,
            at,
        };
        sent.insert(words, new);
        Next::Create(name)
    }

    fn forget(&mut self, uid: &str, words: u64) {
        if let Some(sent) = self.of_objects.get_mut(uid) {
            sent.remove(&words);
        }
    }

    /// Forgets what is old, now and then.
    fn sweep(&mut self) {
        if self.swept.is_some_and(|swept| swept.elapsed() < SERIES) {
            return;
        }
        self.swept = Some(Instant::now());
        self.of_objects
            .retain(|_, sent| sent.values().any(|sent| sent.at.elapsed() < SERIES));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(recent: &mut Recent, uid: &str, words: u64) -> Next {
        recent.next(uid, words, || format!("{uid}.{words}"))
    }

    #[tokio::test(start_paused = true)]
    async fn the_same_words_are_counted_and_other_words_are_an_event_of_their_own() {
        let mut recent = Recent::default();
        assert_eq!(next(&mut recent, "a", 1), Next::Create("a.1".to_owned()));
        assert_eq!(next(&mut recent, "a", 1), Next::Count("a.1".to_owned(), 2));
        assert_eq!(next(&mut recent, "a", 2), Next::Create("a.2".to_owned()));
        assert_eq!(next(&mut recent, "b", 1), Next::Create("b.1".to_owned()));
        tokio::time::advance(SERIES).await;
        assert_eq!(next(&mut recent, "a", 1), Next::Create("a.1".to_owned()), "long ago");
    }

    #[tokio::test(start_paused = true)]
    async fn an_object_has_a_bounded_number_of_events() {
        let mut recent = Recent::default();
        let created = (0..1000).filter(|words| matches!(next(&mut recent, "a", *words), Next::Create(_)));
        assert_eq!(created.count(), MAX_EVENTS);
        assert_eq!(
            next(&mut recent, "b", 1),
            Next::Create("b.1".to_owned()),
            "the others have theirs"
        );
        tokio::time::advance(SERIES).await;
        assert_eq!(next(&mut recent, "a", 7), Next::Create("a.7".to_owned()));
        assert_eq!(recent.of_objects.len(), 1, "what is old is forgotten");
    }

    #[tokio::test(start_paused = true)]
    async fn an_event_that_was_lost_is_not_counted() {
        let mut recent = Recent::default();
        next(&mut recent, "a", 1);
        recent.forget("a", 1);
        assert_eq!(next(&mut recent, "a", 1), Next::Create("a.1".to_owned()));
    }
}
