//! The ConfigMaps that ids are exported into.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use wio_api::keys;
use wio_testkit::Verb;

use super::Judged;
use crate::history::{History, Moment, bound_by, holds_ids, is_ready, named, text};
use crate::plan::Act;

/// How long after somebody changed it what a binding exports may differ from what it says: the interval between looks, and a few tries.
const MENDED: Duration = Duration::from_mins(5);

fn is_touch(act: &Act) -> bool {
    matches!(
        act,
        Act::MakeMap(_) | Act::EditMap(_) | Act::LoseMap(_) | Act::ReleaseMap(_)
    )
}

fn said(now: &Moment, map: &Value, what: &str) -> String {
    format!(
        "{:.1} s: the ConfigMap {}/{} {what}",
        now.at.as_secs_f64(),
        text(map, "/metadata/namespace"),
        text(map, "/metadata/name")
    )
}

/// One that is not the binding's own stays as it is.
pub(super) fn foreign(history: &History) -> Judged {
    let mut judged = Judged::default();
    for (before, now) in history.steps() {
        for was in &before.maps {
            let uid = text(was, "/metadata/uid");
            let is = now.maps.iter().find(|is| text(is, "/metadata/uid") == uid);
            let same = is.is_some_and(|is| Arc::ptr_eq(is, was));
            let stays = match bound_by(was) {
                // Whose it is does not change, and only the binding's own operator lets it go.
                Some(owner) => is.is_none_or(|is| bound_by(is) == Some(owner)),
                None => same || history.did(now.at, is_touch),
            };
            judged.case(stays, || said(now, was, "was somebody else's, and was touched"));
        }
    }
    judged
}

/// Each is told of in its binding's status before it is written.
pub(super) fn announced(history: &History) -> Judged {
    let mut judged = Judged::default();
    for (n, request) in history.asked.iter().enumerate() {
        if request.resource != "configmaps"
            || !request.verb.writes()
            || request.verb == Verb::Delete
            || !request.changed
        {
            continue;
        }
        let name = text(&request.body, "/metadata/name");
        let binding = text(&request.body, "/metadata/ownerReferences/0/name");
        let mut before = history.asked.iter().take(n).rev().filter(|told| {
            (told.resource.as_str(), told.subresource.as_str()) == ("workloadidentitybindings", "status")
                && told.changed
                && (told.namespace == request.namespace && told.name == binding)
        });
        let told = before.next().is_some_and(|told| tells_of(&told.body, name));
        judged.case(told, || {
            format!("{request} writes {name}, of which no status told before")
        });
    }
    judged
}

/// Each that is written holds the ids of the binding's identity, as Azure gave them.
pub(super) fn ids(history: &History) -> Judged {
    let mut judged = Judged::default();
    for (before, now) in history.steps() {
        let touched = history.did(now.at, is_touch);
        let news = now
            .maps
            .iter()
            .filter(|map| !before.maps.iter().any(|was| Arc::ptr_eq(was, map)));
        for (map, owner) in news.filter_map(|map| Some((map, bound_by(map)?))) {
            if touched {
                continue;
            }
            let binding = [before, now].into_iter().find_map(|moment| {
                let mut bindings = moment.bindings.iter();
                bindings.find(|binding| text(binding, "/metadata/uid") == owner)
            });
            let owned = binding.and_then(|binding| {
                let mut owners = history.owners.iter();
                owners.find(|owned| {
                    owned.namespace == text(binding, "/metadata/namespace")
                        && owned.name == text(binding, "/metadata/name")
                })
            });
            let client = map
                .get("data")
                .map_or("", |data| text(data, &format!("/{}", keys::EXPORTED_CLIENT_ID)));
            let given = owned.is_some_and(|owned| {
                history
                    .moments
                    .iter()
                    .take_while(|moment| moment.at <= now.at)
                    .any(|moment| {
                        let mut identities = moment.azure.identities.iter();
                        identities.any(|identity| {
                            identity.client_id.to_string() == client
                                && (owned.existing || identity.id.name == owned.identity)
                        })
                    })
            });
            judged.case(given, || said(now, map, "holds what is not its binding's identity"));
        }
    }
    judged
}

/// Whether a binding's status names a ConfigMap as one that it writes, or is about to.
fn tells_of(binding: &Value, map: &str) -> bool {
    let told = binding.pointer("/status/exportedConfigMaps").and_then(Value::as_array);
    told.is_some_and(|told| told.iter().any(|one| one == map))
}

/// When a binding says that it is ready, the ids of its status are exported.
pub(super) fn as_told(history: &History) -> Judged {
    let mut judged = Judged::default();
    for (before, now) in history.steps() {
        for binding in &now.bindings {
            let map = text(binding, "/spec/export/configMap/name");
            let as_before = before.bindings.iter().any(|was| Arc::ptr_eq(was, binding));
            let since = now.at.saturating_sub(MENDED);
            let touched = history.acts.iter().any(|timed| {
                timed.at >= since && timed.at <= now.at && (is_touch(&timed.act) || timed.act == Act::LoseIdentity)
            });
            if map.is_empty() || as_before || touched || !is_ready(binding) {
                continue;
            }
            let exported = named(&now.maps, text(binding, "/metadata/namespace"), map);
            judged.case(exported.is_some_and(|exported| holds_ids(exported, binding)), || {
                format!(
                    "{:.1} s: {}/{} is ready, and its ids are not in {map}",
                    now.at.as_secs_f64(),
                    text(binding, "/metadata/namespace"),
                    text(binding, "/metadata/name")
                )
            });
        }
    }
    judged
}
