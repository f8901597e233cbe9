//! Readiness as Flux, Argo CD and `kubectl`'s friends compute it, and the contract that our objects keep for them.
//! See <https://github.com/kubernetes-sigs/cli-utils/blob/master/pkg/kstatus/README.md>.

use std::collections::BTreeMap;
use std::fmt;

use k8s_openapi::jiff::Timestamp;
use serde_json::Value;

/// What a tool that waits for an object makes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It is as its spec asks.
    Current,
    /// It is on the way.
    InProgress,
    /// It will not get there by itself.
    Failed,
    /// It is being deleted.
    Terminating,
}

/// The state of an object and what it follows from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The state.
    pub state: State,
    /// The reason of the condition that decided, or the rule that did.
    pub reason: String,
    /// The message of the condition that decided, or the rule that did.
    pub message: String,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} ({}): {}", self.state, self.reason, self.message)
    }
}

impl Status {
    fn new(state: State, reason: &str, message: impl Into<String>) -> Self {
        Self {
            state,
            reason: reason.to_owned(),
            message: message.into(),
        }
    }

    fn of(state: State, condition: &Value) -> Self {
        Self::new(state, text(condition, "reason"), text(condition, "message"))
    }
}

/// Computes the state of an object of any kind with conditions.
///
/// The order of the rules counts: deletion, an unobserved generation (a missing `observedGeneration` is no objection),
/// the first true one of Reconciling and Stalled, Ready, and last: an object that says nothing is current.
#[must_use]
pub fn compute(object: &Value) -> Status {
    if at(object, "/metadata/deletionTimestamp").is_string() {
        return Status::new(State::Terminating, "Terminating", "Resource scheduled for deletion");
    }
    let (generation, observed) = (
        at(object, "/metadata/generation"),
        at(object, "/status/observedGeneration"),
    );
    if observed.is_i64() && generation.is_i64() && observed != generation {
        let message = format!("generation is {generation}, but the observed generation is {observed}");
        return Status::new(State::InProgress, "LatestGenerationNotObserved", message);
    }
    let decides =
        |condition: &&Value| ["Reconciling", "Stalled"].contains(&text(condition, "type")) && is_true(condition);
    if let Some(condition) = conditions(object).iter().find(decides) {
        let state = if text(condition, "type") == "Stalled" {
            State::Failed
        } else {
            State::InProgress
        };
        return Status::of(state, condition);
    }
    match conditions(object)
        .iter()
        .find(|condition| text(condition, "type") == "Ready")
    {
        Some(ready) if is_true(ready) => Status::of(State::Current, ready),
        Some(ready) => Status::of(State::InProgress, ready),
        None => Status::new(State::Current, "", "Resource is current"),
    }
}

/// Holds an object to the contract that ours keep after every reconcile.
///
/// # Errors
/// Every breach, in words.
pub fn check(object: &Value) -> Result<(), Vec<String>> {
    let mut breaches = Vec::new();
    let generation = at(object, "/metadata/generation");
    let observed = at(object, "/status/observedGeneration");
    if !generation.is_i64() {
        breaches.push("metadata.generation is missing".to_owned());
    }
    if observed != generation {
        breaches.push(format!(
            "status.observedGeneration is {observed}, the generation is {generation}"
        ));
    }
    let mut by_type: BTreeMap<&str, &Value> = BTreeMap::new();
    for condition in conditions(object) {
        let kind = text(condition, "type");
        if by_type.insert(kind, condition).is_some() {
            breaches.push(format!("condition {kind:?} is there twice"));
        }
        let faults = condition_faults(condition, generation);
        breaches.extend(faults.into_iter().map(|fault| format!("condition {kind:?}: {fault}")));
    }
    breaches.extend(summary_faults(
        &by_type,
        at(object, "/metadata/deletionTimestamp").is_string(),
    ));
    if breaches.is_empty() { Ok(()) } else { Err(breaches) }
}

/// Fails the test when the object breaks the contract.
///
/// # Panics
/// When it does, with every breach and the object.
#[track_caller]
#[allow(clippy::panic, reason = "it is an assertion")]
pub fn assert_kept(object: &Value) {
    if let Err(breaches) = check(object) {
        panic!(
            "the object breaks the kstatus contract:\n  {}\nit is {object:#}",
            breaches.join("\n  ")
        );
    }
}

/// Ready, Reconciling and Stalled together.
fn summary_faults(by_type: &BTreeMap<&str, &Value>, deleting: bool) -> Vec<String> {
    let mut faults = Vec::new();
    let abnormal: Vec<&str> = ["Reconciling", "Stalled"]
        .into_iter()
        .filter(|kind| by_type.contains_key(kind))
        .collect();
    for kind in &abnormal {
        let condition = by_type.get(kind).copied().unwrap_or(&Value::Null);
        if !is_true(condition) {
            faults.push(format!(
                "{kind} is {:?}: it has to be absent when it is not True",
                text(condition, "status")
            ));
        }
    }
    if abnormal.len() > 1 {
        faults.push("Reconciling and Stalled are both there".to_owned());
    }
    match by_type.get("Ready") {
        None => faults.push("Ready is missing".to_owned()),
        Some(ready) if is_true(ready) && !abnormal.is_empty() => {
            faults.push(format!("Ready is True beside {}", abnormal.join(" and ")));
        }
        // The last status of an object that is about to go has nothing more to wait for.
        Some(ready) if !is_true(ready) && abnormal.is_empty() && !deleting => {
            let status = text(ready, "status");
            faults.push(format!(
                "Ready is {status:?} and neither Reconciling nor Stalled says what happens next"
            ));
        }
        Some(ready) if text(ready, "status") == "Unknown" && abnormal == ["Stalled"] => {
            faults.push("Ready is \"Unknown\" beside Stalled: what is stalled is known not to be ready".to_owned());
        }
        Some(_) => {}
    }
    faults
}

fn condition_faults(condition: &Value, generation: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    for field in ["type", "reason"] {
        if !is_camel_case(text(condition, field)) {
            faults.push(format!("{field} {:?} is not CamelCase", text(condition, field)));
        }
    }
    if !["True", "False", "Unknown"].contains(&text(condition, "status")) {
        faults.push(format!("status is {}", at(condition, "/status")));
    }
    let observed = at(condition, "/observedGeneration");
    if observed != generation {
        faults.push(format!(
            "observedGeneration is {observed}, the generation is {generation}"
        ));
    }
    let time = text(condition, "lastTransitionTime");
    if time.parse::<Timestamp>().is_err() {
        faults.push(format!("lastTransitionTime {time:?} is no time"));
    }
    let message = text(condition, "message");
    if !ends_sensibly(message) {
        faults.push(format!("message {message:?} is empty or does not end"));
    }
    if message.len() > MESSAGE_LIMIT {
        faults.push(format!(
            "message has {} bytes, more than {MESSAGE_LIMIT}",
            message.len()
        ));
    }
    faults
}

/// The API server refuses longer messages in conditions.
const MESSAGE_LIMIT: usize = 32_768;

fn is_camel_case(word: &str) -> bool {
    word.starts_with(|first: char| first.is_ascii_uppercase()) && word.chars().all(|c| c.is_ascii_alphanumeric())
}

/// Not in the middle: after a word, a closing mark or the end of a sentence.
fn ends_sensibly(message: &str) -> bool {
    let ends = |last: char| last.is_alphanumeric() || ".!?)]}>\"'`/".contains(last);
    message.ends_with(ends) && !message.ends_with("..") && message.starts_with(|first: char| !first.is_whitespace())
}

fn at<'a>(value: &'a Value, pointer: &str) -> &'a Value {
    value.pointer(pointer).unwrap_or(&Value::Null)
}

fn conditions(object: &Value) -> &[Value] {
    at(object, "/status/conditions").as_array().map_or(&[], Vec::as_slice)
}

fn text<'a>(condition: &'a Value, field: &str) -> &'a str {
    condition.get(field).and_then(Value::as_str).unwrap_or_default()
}

fn is_true(condition: &Value) -> bool {
    text(condition, "status") == "True"
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn condition(kind: &str, status: &str, reason: &str) -> Value {
        json!({
            "type": kind, "status": status, "reason": reason, "message": format!("{reason} it is."),
            "observedGeneration": 2, "lastTransitionTime": "2026-01-01T00:00:00Z",
        })
    }

    fn object(conditions: &[Value]) -> Value {
        json!({"metadata": {"generation": 2}, "status": {"observedGeneration": 2, "conditions": conditions}})
    }

    fn state(object: &Value) -> (State, String) {
        let status = compute(object);
        (status.state, status.reason)
    }

    #[test]
    fn an_object_that_says_nothing_is_current() {
        assert_eq!(compute(&json!({"metadata": {"generation": 2}})).state, State::Current);
        assert_eq!(
            compute(&json!({"metadata": {"generation": 2}, "status": {}})).state,
            State::Current
        );
    }

    #[test]
    fn a_deleted_object_is_terminating_whatever_it_says() {
        let mut object = object(&[condition("Ready", "True", "Succeeded")]);
        object["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        assert_eq!(compute(&object).state, State::Terminating);
    }

    #[test]
    fn a_generation_that_was_not_observed_is_in_progress_even_when_ready() {
        let mut object = object(&[condition("Ready", "True", "Succeeded")]);
        object["status"]["observedGeneration"] = json!(1);
        assert_eq!(
            state(&object),
            (State::InProgress, "LatestGenerationNotObserved".to_owned())
        );
        object["status"]["observedGeneration"] = json!(-1);
        assert_eq!(compute(&object).state, State::InProgress);
        object["status"].as_object_mut().unwrap().remove("observedGeneration");
        assert_eq!(compute(&object).state, State::Current, "a missing one skips the check");
    }

    #[test]
    fn conditions_decide_in_their_order() {
        let ready = |status| condition("Ready", status, "TheReason");
        for (conditions, expected) in [
            (vec![ready("True")], State::Current),
            (vec![ready("False")], State::InProgress),
            (vec![ready("Unknown")], State::InProgress),
            (
                vec![ready("False"), condition("Stalled", "True", "Denied")],
                State::Failed,
            ),
            (
                vec![ready("False"), condition("Reconciling", "True", "Progressing")],
                State::InProgress,
            ),
            (
                vec![ready("True"), condition("Stalled", "True", "Denied")],
                State::Failed,
            ),
            (
                vec![ready("True"), condition("Stalled", "False", "Denied")],
                State::Current,
            ),
            (
                vec![condition("Stalled", "True", "A"), condition("Reconciling", "True", "B")],
                State::Failed,
            ),
            (
                vec![condition("Reconciling", "True", "B"), condition("Stalled", "True", "A")],
                State::InProgress,
            ),
        ] {
            assert_eq!(compute(&object(&conditions)).state, expected, "{conditions:?}");
        }
        let stalled = compute(&object(&[ready("False"), condition("Stalled", "True", "Denied")]));
        assert_eq!(stalled.to_string(), "Failed (Denied): Denied it is.");
    }

    #[test]
    fn the_states_of_a_binding_keep_the_contract() {
        for conditions in [
            vec![
                condition("Ready", "True", "Succeeded"),
                condition("IdentityReady", "True", "Succeeded"),
            ],
            vec![
                condition("Ready", "Unknown", "Progressing"),
                condition("Reconciling", "True", "Progressing"),
            ],
            vec![
                condition("Ready", "False", "Throttled"),
                condition("Reconciling", "True", "ProgressingWithRetry"),
            ],
            vec![
                condition("Ready", "False", "NotPermitted"),
                condition("Stalled", "True", "NotPermitted"),
            ],
        ] {
            assert_kept(&object(&conditions));
        }
        let mut deleting = object(&[condition("Ready", "False", "Deleting")]);
        deleting["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        assert_kept(&deleting);
    }

    #[track_caller]
    fn breach(object: &Value, expected: &str) {
        let breaches = check(object).unwrap_err();
        assert!(
            breaches.iter().any(|breach| breach.contains(expected)),
            "{expected:?} is not in {breaches:?}"
        );
    }

    #[test]
    fn every_breach_is_named() {
        let ready = || condition("Ready", "True", "Succeeded");
        let not_ready = || condition("Ready", "False", "Throttled");
        breach(&object(&[]), "Ready is missing");
        breach(&object(&[ready(), ready()]), "condition \"Ready\" is there twice");
        breach(&object(&[not_ready()]), "neither Reconciling nor Stalled");
        breach(
            &object(&[ready(), condition("Reconciling", "True", "Progressing")]),
            "Ready is True beside Reconciling",
        );
        breach(
            &object(&[ready(), condition("Stalled", "False", "Fine")]),
            "Stalled is \"False\": it has to be absent",
        );
        breach(
            &object(&[
                not_ready(),
                condition("Stalled", "True", "A"),
                condition("Reconciling", "True", "B"),
            ]),
            "both there",
        );
        breach(
            &object(&[condition("Ready", "Unknown", "A"), condition("Stalled", "True", "A")]),
            "known not to be ready",
        );
        for (field, value, expected) in [
            (
                "observedGeneration",
                json!(1),
                "observedGeneration is 1, the generation is 2",
            ),
            ("observedGeneration", json!(null), "observedGeneration is null"),
            ("reason", json!(""), "is not CamelCase"),
            ("reason", json!("not_camel"), "is not CamelCase"),
            ("status", json!(true), "status is true"),
            ("lastTransitionTime", json!("yesterday"), "is no time"),
            ("message", json!(""), "does not end"),
            ("message", json!("Azure said: "), "does not end"),
            ("message", json!("Azure said:"), "does not end"),
            ("message", json!("and so on..."), "does not end"),
            ("message", json!("x".repeat(40_000)), "40000 bytes"),
        ] {
            let mut condition = ready();
            condition[field] = value;
            breach(&object(&[condition]), expected);
        }
        let mut stale = object(&[ready()]);
        stale["status"]["observedGeneration"] = json!(-1);
        breach(&stale, "status.observedGeneration is -1, the generation is 2");
    }

    #[test]
    #[should_panic(expected = "Ready is missing")]
    fn a_broken_contract_fails_the_test() {
        assert_kept(&object(&[]));
    }
}
