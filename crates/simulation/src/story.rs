//! Tells a play: what the plan did, what the operators wrote, what the statuses told, and what became of it.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::time::Duration;

use serde_json::Value;
use wio_testkit::ApiRequest;

use crate::history::{History, text};
use crate::plan::Plan;

/// The story of a play, in the order of time.
#[must_use]
pub fn tell(plan: &Plan, history: &History) -> String {
    let mut lines: Vec<(Duration, String)> = Vec::new();
    for timed in &history.acts {
        lines.push((timed.at, format!("* {:?}", timed.act)));
    }
    for sent in history.sent.iter().filter(|sent| sent.method != "GET") {
        let status = sent.status.map_or("no answer".to_owned(), |status| status.to_string());
        let path = sent.path.rsplit("/providers/").next().unwrap_or_default();
        let ended = sent.ended.map_or(0.0, |ended| ended.as_secs_f64());
        lines.push((
            sent.begun,
            format!(
                "  operator-{} {} {path}: {status} (until {ended:.1})",
                sent.life, sent.method
            ),
        ));
    }
    let first = history.asked.first().map(|request| request.at);
    for request in history
        .asked
        .iter()
        .filter(|request| request.verb.writes() && request.resource != "events" && !renews(request))
    {
        let at = first.map_or(Duration::ZERO, |first| request.at - first);
        lines.push((at, format!("  {} {request}", request.client)));
    }
    for (before, now) in history.steps() {
        for is in &now.bindings {
            let was = before.bindings.iter().find(|was| uid(was) == uid(is));
            for change in was.map(|was| changes(was, is)).unwrap_or_default() {
                lines.push((now.at, format!("    {} {change}", text(is, "/metadata/name"))));
            }
        }
    }
    lines.sort_by_key(|(at, _)| *at);
    let mut story = format!("{plan}\n");
    for (at, line) in lines {
        let _ = writeln!(story, "{:>8.1} s {line}", at.as_secs_f64());
    }
    story
}

fn uid(binding: &Value) -> &str {
    text(binding, "/metadata/uid")
}

/// What became other in the status of a binding, but for times.
fn changes(was: &Value, is: &Value) -> Vec<String> {
    let mut changes = Vec::new();
    differences("", &was["status"], &is["status"], &mut changes);
    changes
}

fn differences(path: &str, was: &Value, is: &Value, changes: &mut Vec<String>) {
    let nothing = Value::Null;
    match (was, is) {
        (Value::Object(was), Value::Object(is)) => {
            let names: BTreeSet<&String> = was.keys().chain(is.keys()).collect();
            for name in names.into_iter().filter(|name| !is_told_elsewhere(name)) {
                let (was, is) = (was.get(name).unwrap_or(&nothing), is.get(name).unwrap_or(&nothing));
                differences(&format!("{path}.{name}"), was, is, changes);
            }
        }
        (Value::Array(was), Value::Array(is)) if is.iter().any(|one| one.get("type").is_some()) => {
            for is in is {
                let kind = text(is, "/type");
                let was = was.iter().find(|was| text(was, "/type") == kind).unwrap_or(&nothing);
                differences(&format!("{path}.{kind}"), was, is, changes);
            }
        }
        (Value::Array(was), Value::Array(is)) => {
            for at in 0..was.len().max(is.len()) {
                let (was, is) = (was.get(at).unwrap_or(&nothing), is.get(at).unwrap_or(&nothing));
                differences(&format!("{path}[{at}]"), was, is, changes);
            }
        }
        _ if was != is => changes.push(format!("{path}: {was} -> {is}")),
        _ => {}
    }
}

/// Times, and what says a reason again.
fn is_told_elsewhere(name: &str) -> bool {
    name.ends_with("Time") || ["message", "observedGeneration"].contains(&name)
}

/// Whether it only keeps a lease.
fn renews(request: &ApiRequest) -> bool {
    request.resource == "leases" && request.status == Some(200)
}
