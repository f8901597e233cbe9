//! Management locks.

use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::answer::{Answer, Outcome};
use crate::arm::call::Call;
use crate::arm::tags::malformed;
use crate::incoming::Incoming;
use crate::model::{Lock, LockLevel};
use crate::resources::Resources;
use crate::state::State;
use crate::target::{ResourceKind, Target, lies_within, segments};

/// Refuses what a lock at the scope or above it refuses; for a resource group that is to go, also one below it.
pub(super) fn require_unlocked(live: &Resources, incoming: &Incoming, target: &Target) -> Outcome<()> {
    let (verb, refusing): (&str, &[LockLevel]) = match incoming.method {
        Method::GET | Method::HEAD => return Ok(()),
        Method::DELETE => ("delete", &[LockLevel::CanNotDelete, LockLevel::ReadOnly]),
        _ => ("write", &[LockLevel::ReadOnly]),
    };
    // A lock does not hold for itself, or nobody could take it away.
    if target.kind() == ResourceKind::Lock {
        return Ok(());
    }
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

/// The locks at the scope and below it.
pub(super) fn list(call: &Call<'_>, state: &State, scope: &str) -> Outcome<Answer> {
    let listed = call.listed(state).locks.iter();
    let within = listed.filter(|(_, lock)| lies_within(&lock.scope, scope));
    call.page(within.map(|(key, lock)| (key.clone(), rendered(lock))))
}

pub(super) fn get(call: &Call<'_>, state: &State, scope: &str, name: &str) -> Outcome<Answer> {
    let found = call.read(state).locks.get(&key(scope, name));
    found.map(|lock| Answer::ok(rendered(lock))).ok_or_else(|| {
        let message = format!("The lock '{name}' could not be found.");
        Answer::error(StatusCode::NOT_FOUND, "LockNotFound", message)
    })
}

pub(super) fn put(call: &Call<'_>, state: &mut State, scope: &str, name: &str) -> Outcome<Answer> {
    let body = call.incoming.json()?;
    let property = |name: &str| body.get("properties").and_then(|properties| properties.get(name));
    let level = property("level").cloned().unwrap_or_default();
    let level =
        serde_json::from_value(level).map_err(|_| malformed("'properties.level' must be CanNotDelete or ReadOnly"))?;
    let lock = Lock {
        scope: scope.to_owned(),
        name: name.to_owned(),
        level,
        notes: property("notes").and_then(Value::as_str).map(str::to_owned),
    };
    let body = rendered(&lock);
    let replaced = state.live.locks.insert(lock.key(), lock).is_some();
    Ok(if replaced {
        Answer::ok(body)
    } else {
        Answer::json(StatusCode::CREATED, body)
    })
}

pub(super) fn delete(state: &mut State, scope: &str, name: &str) -> Answer {
    let removed = state.live.locks.remove(&key(scope, name));
    Answer::empty(if removed.is_some() {
        StatusCode::OK
    } else {
        StatusCode::NO_CONTENT
    })
}

fn key(scope: &str, name: &str) -> String {
    format!("{scope}/providers/Microsoft.Authorization/locks/{name}").to_lowercase()
}

fn rendered(lock: &Lock) -> Value {
    json!({
        "properties": { "level": lock.level, "notes": lock.notes },
        "id": lock.id(),
        "type": "Microsoft.Authorization/locks",
        "name": lock.name,
    })
}
