//! A condition before it is known when its status changed.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use wio_api::{Condition, ConditionType, Reason};

use crate::outcome::Problem;

pub(super) const TRUE: &str = "True";
pub(super) const FALSE: &str = "False";
pub(super) const UNKNOWN: &str = "Unknown";

/// A condition before it is known when its status changed.
pub(super) struct Draft {
    pub(super) kind: ConditionType,
    status: &'static str,
    reason: Reason,
    message: String,
}

pub(super) const fn draft(kind: ConditionType, status: &'static str, reason: Reason, message: String) -> Draft {
    Draft {
        kind,
        status,
        reason,
        message,
    }
}

pub(super) fn counted(n: usize, one: &str, more: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { more })
}

/// A message with a note behind it, where there is one.
pub(super) fn noted(message: String, note: Option<&str>) -> String {
    match note {
        Some(note) => format!("{message} {note}"),
        None => message,
    }
}

/// All problems in one sentence each, each once, within what the API server stores.
pub(super) fn messages<'a>(problems: impl IntoIterator<Item = &'a Problem>) -> String {
    const MAX_CHARS: usize = 4096;
    let mut told: Vec<String> = Vec::new();
    for problem in problems {
        let sentence = sentence(&problem.message);
        if !told.contains(&sentence) {
            told.push(sentence);
        }
    }
    let all = told.join(" ");
    if all.chars().count() <= MAX_CHARS {
        return all;
    }
    let beginning: String = all.chars().take(MAX_CHARS).collect();
    format!("{beginning} (shortened)")
}

fn sentence(text: &str) -> String {
    let text = text
        .trim()
        .trim_end_matches(|c: char| c.is_whitespace() || ":,;.".contains(c));
    // A field's path keeps its case.
    let path = text.split_whitespace().next().is_some_and(|word| word.contains('.'));
    let mut chars = text.chars();
    let Some(first) = chars.next() else {
        return "No more is known.".to_owned();
    };
    let end = if text.ends_with(['!', '?']) { "" } else { "." };
    if path {
        return format!("{text}{end}");
    }
    format!("{}{}{end}", first.to_uppercase(), chars.as_str())
}

impl Draft {
    /// The time of the previous condition of this type stays unless its status changes. That of Reconciling tells since when this
    /// generation of the spec is worked on.
    pub(super) fn finish(self, previous: &[Condition], generation: i64, now: Timestamp) -> Condition {
        let same = previous
            .iter()
            .find(|c| c.type_ == self.kind.as_str() && c.status == self.status)
            .filter(|c| self.kind != ConditionType::Reconciling || c.observed_generation == Some(generation));
        Condition {
            type_: self.kind.to_string(),
            status: self.status.to_owned(),
            reason: self.reason.to_string(),
            message: self.message,
            observed_generation: Some(generation),
            last_transition_time: same.map_or(Time(now), |condition| condition.last_transition_time.clone()),
        }
    }
}
