//! Words that checks have in common.

use jiff::SignedDuration;

use super::facts::OPERATOR;

/// A count and what it counts: `1 binding`, `3 bindings`.
pub(super) fn counted(count: usize, what: &str) -> String {
    if count == 1 {
        format!("1 {what}")
    } else {
        match what.strip_suffix('y') {
            Some(stem) => format!("{count} {stem}ies"),
            None => format!("{count} {what}s"),
        }
    }
}

/// At most some of many, and how many more there are.
pub(super) fn some(many: impl IntoIterator<Item = String>) -> Vec<String> {
    const AT_MOST: usize = 5;
    let mut many: Vec<String> = many.into_iter().collect();
    let more = many.len().saturating_sub(AT_MOST);
    if more > 1 {
        many.truncate(AT_MOST);
        many.push(format!("and {more} more"));
    }
    many
}

/// A span to the second, for people.
pub(super) fn ago(span: SignedDuration) -> String {
    let seconds = span.as_secs().max(0);
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86400),
    }
}

/// The command that upgrades the operator and keeps its values; more of them may follow.
pub(super) fn upgrade(namespace: &str) -> String {
    format!(
        "helm upgrade {OPERATOR} charts/workload-identity-operator --namespace {namespace} --reset-then-reuse-values"
    )
}
