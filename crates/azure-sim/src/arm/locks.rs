//! Management locks.

use http::{Method, StatusCode};

use crate::answer::{Answer, Outcome};
use crate::incoming::Incoming;
use crate::model::{Lock, LockLevel};
use crate::resources::Resources;
use crate::target::{Target, lies_within, segments};

/// Refuses what a lock at the scope or above it refuses; for a resource group that is to go, also one below it.
pub(super) fn require_unlocked(live: &Resources, incoming: &Incoming, target: &Target) -> Outcome<()> {
    let (verb, refusing): (&str, &[LockLevel]) = match incoming.method {
        Method::GET | Method::HEAD => return Ok(()),
        Method::DELETE => ("delete", &[LockLevel::CanNotDelete, LockLevel::ReadOnly]),
        _ => ("write", &[LockLevel::ReadOnly]),
    };
    let scope = format!("/{}", segments(&incoming.path).join("/"));
    let takes_along = verb == "delete" && matches!(target, Target::Group { .. });
    let holds = |lock: &&Lock| {
        refusing.contains(&lock.level)
            && (lies_within(&scope, &lock.scope) || (takes_along && lies_within(&lock.scope, &scope)))
    };
    let mut locked: Vec<String> = live
        .locks
        .values()
        .filter(holds)
        .map(|lock| lock.scope.clone())
        .collect();
    locked.dedup();
    if locked.is_empty() {
        return Ok(());
    }
    let message = format!(
        "The scope '{scope}' cannot perform {verb} operation because following scope(s) are locked: '{}'. Please remove the lock and try again.",
        locked.join(",")
    );
    let refused = Answer::error(StatusCode::CONFLICT, "ScopeLocked", message);
    Err(refused.with_header("x-ms-failure-cause", "gateway"))
}
