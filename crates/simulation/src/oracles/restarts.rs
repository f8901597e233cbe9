//! Restarts of what makes pods.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use serde_json::Value;
use wio_api::keys;
use wio_testkit::{ApiRequest, Verb};

use super::Judged;
use crate::history::{CLIENT_ID, History, Moment, Owned, is_ready, named, text, wants};
use crate::plan::Act;

/// How long a binding has been ready at the least when something is restarted for it: the interval between looks, less the time of a pass.
const STOOD: Duration = Duration::from_secs(55);

/// How long it may take until an operator hears that somebody took a client id away.
const HEARD: Duration = Duration::from_mins(2);

fn all(history: &History) -> impl Iterator<Item = &ApiRequest> {
    let asked = history.asked.iter();
    asked.filter(|request| request.group == "apps" && request.verb.writes())
}

/// For which client id it is.
fn client_id(request: &ApiRequest) -> &str {
    let annotations = request.body.pointer("/spec/template/metadata/annotations");
    let mark = annotations.and_then(|all| all.get(keys::ROLLOUT_ANNOTATION));
    mark.and_then(Value::as_str).unwrap_or_default()
}

fn said(history: &History, request: &ApiRequest, what: &str) -> String {
    let at = history.time_of(request).as_secs_f64();
    format!("{at:.1} s: {}/{} {what}", request.namespace, request.name)
}

/// Nothing is restarted twice for one client id: whoever did it does not ask for it again, and whoever does not know of it changes nothing.
pub(super) fn once(history: &History) -> Judged {
    let mut judged = Judged::default();
    let mut done: BTreeMap<(&str, &str), &ApiRequest> = BTreeMap::new();
    for request in all(history).filter(|request| request.status == Some(200) || request.changed) {
        let key = (text(&request.body, "/metadata/uid"), client_id(request));
        let before = done.insert(key, request);
        let once = before.is_none_or(|before| {
            let again = request.changed || before.client == request.client;
            !again || nobody_knows(history, before, request)
        });
        judged.case(once, || said(history, request, "is restarted twice for one client id"));
    }
    judged
}

/// Whether somebody took the mark off, and what stood in the status of the first one is gone as well, or never came there.
fn nobody_knows(history: &History, first: &ApiRequest, second: &ApiRequest) -> bool {
    let times = history.time_of(first)..=history.time_of(second);
    let did = |meant: fn(&Act) -> bool| {
        history
            .acts
            .iter()
            .any(|timed| times.contains(&timed.at) && meant(&timed.act))
    };
    did(|act| matches!(act, Act::Unmark(_)))
        && (first.client != second.client
            || did(|act| matches!(act, Act::Delete(_) | Act::Create(_) | Act::LoseIdentity))
            || was_forgotten(history, first, &times))
}

/// Whether a status that told of the restart told of no pods any more: its binding lost its permission.
fn was_forgotten(history: &History, restart: &ApiRequest, times: &RangeInclusive<Duration>) -> bool {
    let near = history
        .owners
        .iter()
        .filter(|owned| owned.namespace == restart.namespace);
    near.into_iter().any(|owned| {
        let statuses = history.between(*times.start(), *times.end());
        let statuses = statuses.filter_map(|moment| History::binding(moment, owned)?.pointer("/status"));
        let mut since = statuses.skip_while(|status| !tells_of(status, restart));
        since.any(|status| status.get("workloads").is_none())
    })
}

/// Whether a status tells of the restart of an owner.
fn tells_of(status: &Value, restart: &ApiRequest) -> bool {
    let restarts = status.pointer("/workloads/restarts").and_then(Value::as_array);
    restarts.into_iter().flatten().any(|one| {
        let (kind_and_name, at) = (text(one, "/owner"), text(one, "/restartedAt"));
        !at.is_empty() && kind_and_name.rsplit('/').next() == Some(restart.name.as_str())
    })
}

/// All that is ever written there is the mark.
pub(super) fn mark(history: &History) -> Judged {
    let mut judged = Judged::default();
    for request in all(history) {
        let one = |pointer: &str| {
            request
                .body
                .pointer(pointer)
                .and_then(Value::as_object)
                .is_some_and(|all| all.len() == 1)
        };
        let parts = [
            "/spec",
            "/spec/template",
            "/spec/template/metadata",
            "/spec/template/metadata/annotations",
        ];
        let holds = request.verb == Verb::Apply
            && !request.force
            && request.body.as_object().is_some_and(|all| all.len() == 4)
            && parts.into_iter().all(one)
            && !client_id(request).is_empty();
        judged.case(holds, || {
            said(history, request, "is written otherwise than by its mark")
        });
    }
    judged
}

/// Nothing is restarted that no binding asks for, nor before its service account carries the client id.
pub(super) fn asked(history: &History) -> Judged {
    let mut judged = Judged::default();
    for request in all(history) {
        let at = history.time_of(request);
        let key = (request.namespace.clone(), request.name.clone());
        let account = history.makers.get(&key).map_or("", String::as_str);
        let by = |owned: &&Owned| {
            owned.namespace == request.namespace
                && history
                    .around(at)
                    .any(|now| asks(now, owned, account, client_id(request)))
        };
        let all: Vec<&Owned> = history.owners.iter().filter(by).collect();
        judged.case(!all.is_empty(), || {
            said(history, request, "is restarted, and no binding asks for it")
        });
        let stood = |owned: &&Owned| {
            let ready = |now: &Moment| History::binding(now, owned).is_some_and(is_ready);
            at >= STOOD && history.between(at.saturating_sub(STOOD), at).all(ready)
        };
        judged.case(all.is_empty() || all.iter().any(stood), || {
            said(
                history,
                request,
                "is restarted for a binding that was not ready for long",
            )
        });
        let has_it = |now: &Moment| {
            let carrying = named(&now.accounts, &request.namespace, account);
            carrying.is_some_and(|carrying| text(carrying, CLIENT_ID) == client_id(request))
        };
        let came = history.between(at.saturating_sub(HEARD), at).any(has_it);
        judged.case(came, || {
            said(
                history,
                request,
                "is restarted before its service account carries the client id",
            )
        });
    }
    judged
}

fn asks(now: &Moment, owned: &Owned, account: &str, client: &str) -> bool {
    History::binding(now, owned).is_some_and(|binding| {
        text(binding, "/spec/rollout") == "Restart"
            && binding.pointer("/metadata/deletionTimestamp").is_none()
            && binding.pointer("/spec/suspend") != Some(&Value::Bool(true))
            && wants(binding, account)
            && text(binding, "/status/identity/clientId") == client
    })
}
