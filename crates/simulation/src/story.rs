//! Tells a play: what the plan did, what the operators wrote, and what became of it.

use std::fmt::Write;
use std::time::Duration;

use wio_testkit::ApiRequest;

use crate::history::History;
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
    lines.sort_by_key(|(at, _)| *at);
    let mut story = format!("{plan}\n");
    for (at, line) in lines {
        let _ = writeln!(story, "{:>8.1} s {line}", at.as_secs_f64());
    }
    story
}

/// Whether it only keeps a lease.
fn renews(request: &ApiRequest) -> bool {
    request.resource == "leases" && request.status == Some(200)
}
