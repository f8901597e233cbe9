//! Events: one for each change of Ready. A lost one is lost; the conditions hold the truth.

use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::{Client, Resource};
use wio_api::{WorkloadIdentityBinding, keys};
use wio_core::status::Transition;

use crate::runtime::request::request;

/// Publishes Events. One for the whole process: it gathers repeated ones into a series.
pub(crate) struct Events(Recorder);

/// What the API server takes as an Event's note.
const MAX_NOTE_BYTES: usize = 1024;

impl Events {
    pub(crate) fn new(client: Client, instance: Option<String>) -> Self {
        Self(Recorder::new(
            client,
            Reporter {
                controller: keys::FIELD_MANAGER.to_owned(),
                instance,
            },
        ))
    }

    pub(crate) async fn publish(&self, binding: &WorkloadIdentityBinding, transition: Transition) {
        let event = Event {
            type_: if transition.warning {
                EventType::Warning
            } else {
                EventType::Normal
            },
            reason: transition.reason,
            note: Some(cut(transition.message)),
            action: "Reconcile".to_owned(),
            secondary: None,
        };
        let operation = || "publish an event".to_owned();
        if let Err(fault) = request(operation, self.0.publish(&event, &binding.object_ref(&()))).await {
            tracing::debug!(%fault, "an event is lost");
        }
    }
}

fn cut(mut note: String) -> String {
    if note.len() > MAX_NOTE_BYTES {
        let end = note.floor_char_boundary(MAX_NOTE_BYTES - '…'.len_utf8());
        note.truncate(end);
        note.push('…');
    }
    note
}
