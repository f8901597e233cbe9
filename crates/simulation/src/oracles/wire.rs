//! What was asked of Azure and of the API server.

use std::time::Duration;

use serde_json::Value;
use wio_testkit::Verb;

use super::Judged;
use crate::history::{History, Owned, Sent};

const IDENTITIES: &str = "/userassignedidentities/";
const CREDENTIALS: &str = "/federatedidentitycredentials/";
const BINDINGS: &str = "workloadidentitybindings";
/// How long what was read may be old when something is done by it: a request's longest time, and the next one's begin.
const YOUNG: Duration = Duration::from_secs(100);

/// The identity and, when it is about one, the credential that a request names.
fn named(sent: &Sent) -> Option<(&str, Option<&str>)> {
    let (_, rest) = sent.path.split_once(IDENTITIES)?;
    Some(match rest.split_once(CREDENTIALS) {
        Some((identity, credential)) => (identity, Some(credential)),
        None => (rest, None),
    })
}

fn is_identity(sent: &Sent) -> bool {
    named(sent).is_some_and(|(identity, credential)| credential.is_none() && !identity.contains('/'))
}

fn at(sent: &Sent) -> f64 {
    sent.begun.as_secs_f64()
}

/// Whether this life read just this before, and not long ago.
fn read_before(history: &History, index: usize, sent: &Sent) -> bool {
    let earlier = history.sent.iter().take(index);
    earlier.rev().any(|read| {
        read.method == "GET"
            && read.life == sent.life
            && read.path == sent.path
            && sent.begun.saturating_sub(read.begun) <= YOUNG
    })
}

pub(super) fn names(history: &History) -> Judged {
    let mut judged = Judged::default();
    for sent in history.sent.iter().filter(|sent| sent.method == "PUT") {
        let ours = match named(sent) {
            Some((_, Some(credential))) => history.owner(credential).is_some(),
            Some((identity, None)) => history.owners.iter().any(|owned| owned.identity == identity),
            None => continue,
        };
        judged.case(ours, || format!("{:.1} s: PUT {}", at(sent), sent.path));
    }
    judged
}

pub(super) fn read_before_delete(history: &History) -> Judged {
    let mut judged = Judged::default();
    for (index, sent) in history.sent.iter().enumerate() {
        if sent.method == "DELETE" && is_identity(sent) {
            judged.case(read_before(history, index, sent), || {
                format!("{:.1} s: {} was deleted unread", at(sent), sent.path)
            });
        }
    }
    judged
}

pub(super) fn look_first(history: &History) -> Judged {
    let mut judged = Judged::default();
    for (index, sent) in history.sent.iter().enumerate() {
        if sent.method == "PUT" && is_identity(sent) {
            judged.case(read_before(history, index, sent), || {
                format!("{:.1} s: {} was written unread", at(sent), sent.path)
            });
        }
    }
    judged
}

pub(super) fn one_writer(history: &History) -> Judged {
    let mut judged = Judged::default();
    let writes: Vec<(&Sent, &str)> = history
        .sent
        .iter()
        .filter(|sent| sent.method != "GET")
        .filter_map(|sent| match named(sent) {
            Some((identity, Some(_))) => Some((sent, identity)),
            _ => None,
        })
        .collect();
    for (n, (sent, identity)) in writes.iter().enumerate() {
        let before = writes
            .iter()
            .take(n)
            .rev()
            .find(|(other, of)| of == identity && other.life == sent.life);
        if let Some((before, _)) = before {
            let over = before.ended.is_some_and(|ended| ended <= sent.begun);
            judged.case(over, || {
                format!("{:.1} s: {} while {} was under way", at(sent), sent.path, before.path)
            });
        }
    }
    judged
}

pub(super) fn spec(history: &History) -> Judged {
    let mut judged = Judged::default();
    let writes = history
        .asked
        .iter()
        .filter(|request| request.verb.writes() && request.resource == BINDINGS);
    for request in writes {
        let touches = match &*request.body {
            Value::Array(steps) => steps.iter().any(|step| {
                step.get("path")
                    .and_then(Value::as_str)
                    .is_some_and(|path| path.starts_with("/spec"))
            }),
            body => body.get("spec").is_some(),
        };
        judged.case(!touches && request.verb != Verb::Delete, || {
            format!("{request} writes the spec")
        });
    }
    judged
}

pub(super) fn secrets(history: &History) -> Judged {
    let mut judged = Judged::default();
    for request in history.asked.iter().filter(|request| request.verb.writes()) {
        let mut tokens = history
            .exchanges
            .iter()
            .map(|exchange| &exchange.token)
            .chain([&history.token]);
        judged.case(!tokens.any(|token| holds(&request.body, token)), || {
            format!("{request} carries a token")
        });
    }
    judged
}

fn holds(value: &Value, secret: &str) -> bool {
    match value {
        Value::String(text) => text.contains(secret),
        Value::Array(all) => all.iter().any(|one| holds(one, secret)),
        Value::Object(all) => all.values().any(|one| holds(one, secret)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

pub(super) fn seen_live(history: &History) -> Judged {
    let mut judged = Judged::default();
    let Some(first) = history.asked.first() else {
        return judged;
    };
    for sent in history.sent.iter().filter(|sent| sent.method == "PUT") {
        let Some(owned) = named(sent).and_then(|(_, credential)| history.owner(credential?)) else {
            continue;
        };
        let client = format!("operator-{}", sent.life);
        let seen = |of: &Owned| {
            history.asked.iter().any(|request| {
                let begun = request.at - first.at;
                request.client == client
                    && request.resource == BINDINGS
                    && request.namespace == of.namespace
                    && request.name == of.name
                    && request.status == Some(200)
                    && begun <= sent.begun
                    && sent.begun.saturating_sub(begun) <= YOUNG * 2
            })
        };
        // Whoever shares the trust and finds it changed puts it right by what itself was seen to ask for.
        let by_a_sharer = || history.owners.iter().any(|one| one.shares(owned) && seen(one));
        judged.case(seen(owned) || by_a_sharer(), || {
            format!(
                "{:.1} s: {} without a look at {}/{}",
                at(sent),
                sent.path,
                owned.namespace,
                owned.name
            )
        });
    }
    judged
}
