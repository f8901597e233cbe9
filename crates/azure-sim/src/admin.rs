//! The simulator's own API, under `/_sim/`: for tests and for people, without authentication, and not logged.

use http::{Method, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::answer::{Answer, Outcome};
use crate::cloud::Cloud;
use crate::config::Config;
use crate::faults::Fault;
use crate::incoming::Incoming;
use crate::model::Snapshot;
use crate::target::segments;

/// Answers a request to the admin API.
pub(crate) fn serve(cloud: &Cloud, incoming: &Incoming) -> Answer {
    dispatch(cloud, incoming).unwrap_or_else(|refused| refused)
}

fn dispatch(cloud: &Cloud, incoming: &Incoming) -> Outcome<Answer> {
    let segments = segments(&incoming.path);
    let path: Vec<&str> = segments.iter().map(String::as_str).collect();
    match (&incoming.method, path.as_slice()) {
        (&Method::GET, ["_sim"]) => Ok(index()),
        (&Method::GET, ["_sim", "snapshot"]) => Ok(shown(&cloud.snapshot())),
        (&Method::PUT, ["_sim", "snapshot"]) => {
            cloud.restore(read::<Snapshot>(incoming)?);
            Ok(done())
        }
        (&Method::GET, ["_sim", "requests"]) => Ok(shown(&cloud.log().requests())),
        (&Method::DELETE, ["_sim", "requests"]) => {
            cloud.log().clear();
            Ok(done())
        }
        (&Method::GET, ["_sim", "faults"]) => Ok(shown(&cloud.faults().remaining())),
        (&Method::POST, ["_sim", "faults"]) => {
            cloud.faults().inject(read::<Fault>(incoming)?);
            Ok(done())
        }
        (&Method::DELETE, ["_sim", "faults"]) => {
            cloud.faults().clear();
            Ok(done())
        }
        (&Method::GET, ["_sim", "config"]) => Ok(shown(&*cloud.settings())),
        (&Method::PATCH, ["_sim", "config"]) => {
            let config = patched(&cloud.settings(), incoming.json()?)?;
            let answer = shown(&config);
            cloud.reconfigure(|current| *current = config);
            Ok(answer)
        }
        (_, ["_sim", "snapshot" | "requests" | "faults" | "config"]) => {
            let message = format!("{} is not possible here; GET /_sim says what is.", incoming.method);
            Err(Answer::error(
                StatusCode::METHOD_NOT_ALLOWED,
                "MethodNotAllowed",
                message,
            ))
        }
        _ => {
            let message = format!("{} does not exist; GET /_sim says what does.", incoming.path);
            Err(Answer::error(StatusCode::NOT_FOUND, "NotFound", message))
        }
    }
}

fn index() -> Answer {
    Answer::ok(json!({
        "GET /_sim/snapshot": "all that exists",
        "PUT /_sim/snapshot": "put a snapshot in the place of all that exists; locks are in it, as {\"locks\": [{\"scope\": \"/subscriptions/…\", \"name\": \"keep\", \"level\": \"CanNotDelete\"}]}",
        "GET /_sim/requests": "every request so far, but those of this API",
        "DELETE /_sim/requests": "forget them",
        "GET /_sim/faults": "the scripted faults that are not used up",
        "POST /_sim/faults": "script one: {\"when\": {\"method\": \"PUT\", \"kind\": \"credential\"}, \"times\": 1, \"execute\": true, \"executeAfterMs\": 60000, \"effect\": {\"respond\": {\"status\": 500, \"code\": \"InternalServerError\"}}}",
        "DELETE /_sim/faults": "forget them",
        "GET /_sim/config": "the settings",
        "PATCH /_sim/config": "change some of them, as {\"latencyMs\": 300, \"listLagMs\": 60000, \"readLagMs\": 60000, \"subscriptionStates\": {\"<guid>\": \"unregistered\" | \"disabled\" | \"ofAnotherTenant\"}, \"tagPolicies\": [{\"scope\": \"/subscriptions/…\", \"tag\": \"owner\", \"value\": \"central\"}]}",
    }))
}

fn done() -> Answer {
    Answer::empty(StatusCode::NO_CONTENT)
}

fn shown(value: &impl Serialize) -> Answer {
    match serde_json::to_value(value) {
        Ok(body) => Answer::ok(body),
        Err(error) => Answer::error(
            StatusCode::INTERNAL_SERVER_ERROR,
            "InternalServerError",
            error.to_string(),
        ),
    }
}

fn read<T: DeserializeOwned>(incoming: &Incoming) -> Outcome<T> {
    serde_json::from_slice(&incoming.body)
        .map_err(|error| Answer::bad_request("InvalidRequestContent", error.to_string()))
}

/// The settings with those of the body in their places. Objects are merged; a `null` within one removes the entry, and a
/// `null` setting is one that is turned off.
fn patched(config: &Config, changes: Map<String, Value>) -> Outcome<Config> {
    let invalid = |error: serde_json::Error| Answer::bad_request("InvalidRequestContent", error.to_string());
    let mut settings = serde_json::to_value(config).map_err(invalid)?;
    for (name, change) in changes {
        match settings.get_mut(&name) {
            Some(setting) if !change.is_null() => merge(setting, change),
            Some(setting) => *setting = Value::Null,
            None => {
                let message = format!("There is no setting '{name}'; GET /_sim/config shows all.");
                return Err(Answer::bad_request("InvalidRequestContent", message));
            }
        }
    }
    serde_json::from_value(settings).map_err(invalid)
}

/// Merges as <https://www.rfc-editor.org/rfc/rfc7396> says.
fn merge(into: &mut Value, change: Value) {
    match (into, change) {
        (Value::Object(fields), Value::Object(changes)) => {
            for (name, change) in changes {
                if change.is_null() {
                    fields.remove(&name);
                } else {
                    merge(fields.entry(name).or_insert(Value::Null), change);
                }
            }
        }
        (into, change) => *into = change,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn patch(config: &Config, changes: &Value) -> Outcome<Config> {
        patched(config, changes.as_object().cloned().unwrap())
    }

    #[test]
    fn a_patch_changes_what_it_names() {
        let config = Config::default().with_static_token("one");
        let changes = json!({
            "latencyMs": 250,
            "staticTokens": { "two": "3b1de86c-8f0a-4a37-9a6d-5f0c8d5f7e21" },
            "limits": { "reads": { "capacity": 1 } },
        });
        let patched = patch(&config, &changes).unwrap();
        assert_eq!(patched.latency, Duration::from_millis(250));
        assert_eq!(patched.static_tokens.len(), 2);
        let (before, after) = (config.limits.unwrap(), patched.limits.unwrap());
        assert_eq!(
            (after.reads.capacity, after.reads.per_second.to_bits()),
            (1, before.reads.per_second.to_bits())
        );
        assert_eq!(after.writes, before.writes);
        assert_eq!(
            patch(&patched, &json!({ "staticTokens": { "two": null } }))
                .unwrap()
                .static_tokens
                .len(),
            1
        );
    }

    #[test]
    fn a_limit_is_turned_off_by_null() {
        assert_eq!(
            patch(&Config::default(), &json!({ "limits": null })).unwrap().limits,
            None
        );
    }

    #[test]
    fn an_unknown_setting_is_named() {
        let refused = patch(&Config::default(), &json!({ "latency": 5 })).unwrap_err();
        assert!(refused.body.unwrap().to_string().contains("'latency'"));
    }
}
