//! Resource groups, and the operation that deletes one.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use http::StatusCode;
use serde_json::{Value, json};

use crate::answer::{Answer, Outcome};
use crate::arm::call::Call;
use crate::arm::signed_link;
use crate::arm::tags::{location, location_required, tags};
use crate::clock::after;
use crate::model::{ResourceGroup, group_key};
use crate::names::is_group_name;
use crate::state::State;

/// How long Azure asks to wait between two looks at a deletion.
const RETRY_AFTER_SECONDS: &str = "15";

pub(super) fn list(call: &Call<'_>, state: &State, subscription: &str) -> Outcome<Answer> {
    let groups = call
        .listed(state)
        .groups
        .iter()
        .filter(|(_, group)| group.subscription_id.eq_ignore_ascii_case(subscription));
    call.page(groups.map(|(key, group)| (key.clone(), rendered(group))))
}

pub(super) fn get(call: &Call<'_>, state: &State, subscription: &str, name: &str) -> Outcome<Answer> {
    let found = call.read(state).group(subscription, name);
    found.map(|group| Answer::ok(rendered(group)))
}

pub(super) fn head(state: &State, subscription: &str, name: &str) -> Answer {
    let found = state.live.group(subscription, name).is_ok();
    Answer::empty(if found {
        StatusCode::NO_CONTENT
    } else {
        StatusCode::NOT_FOUND
    })
}

pub(super) fn put(call: &Call<'_>, state: &mut State, subscription: &str, name: &str) -> Outcome<Answer> {
    if !is_group_name(name) {
        let message = format!(
            "The provided resource group name '{name}' is invalid. The name can only be a letter, digit, '-', '.', '(', ')' or '_', must have at most 90 characters and must not end with '.'."
        );
        return Err(Answer::bad_request("InvalidParameter", message));
    }
    let body = call.incoming.json()?;
    let tags = tags(&body)?.unwrap_or_default();
    let location = location(&body)?.ok_or_else(location_required)?;
    let key = group_key(subscription, name);
    if state.live.groups.contains_key(&key) {
        state.live.writable_group(subscription, name)?;
    }
    if let Some(group) = state.live.groups.get_mut(&key) {
        if group.location != location {
            let message = format!(
                "Invalid resource group location '{location}'. The Resource group already exists in location '{}'.",
                group.location
            );
            return Err(Answer::conflict("InvalidResourceGroupLocation", message));
        }
        group.tags = tags;
        return Ok(Answer::ok(rendered(group)));
    }
    let (subscription_id, name) = (subscription.to_owned(), name.to_owned());
    let group = ResourceGroup {
        subscription_id,
        name,
        location,
        tags,
        gone_at: None,
    };
    let answer = Answer::json(StatusCode::CREATED, rendered(&group));
    state.live.groups.insert(key, group);
    Ok(answer)
}

pub(super) fn patch(call: &Call<'_>, state: &mut State, subscription: &str, name: &str) -> Outcome<Answer> {
    state.live.writable_group(subscription, name)?;
    let changed = tags(&call.incoming.json()?)?;
    let Some(group) = state.live.groups.get_mut(&group_key(subscription, name)) else {
        return get(call, state, subscription, name);
    };
    if let Some(changed) = changed {
        group.tags = changed;
    }
    Ok(Answer::ok(rendered(group)))
}

pub(super) fn delete(call: &Call<'_>, state: &mut State, subscription: &str, name: &str) -> Outcome<Answer> {
    state.live.group(subscription, name)?;
    let Some(group) = state.live.groups.get_mut(&group_key(subscription, name)) else {
        return get(call, state, subscription, name);
    };
    let gone_at = after(call.now, call.config.group_deletion);
    group.gone_at.get_or_insert(gone_at);
    let operation = operation_name(group);
    // A deletion that takes no time is over for the next call.
    Ok(accepted(call, subscription, &operation))
}

/// How far a deletion is: 202 while it goes on, 200 when it is over.
pub(super) fn operation(call: &Call<'_>, state: &State, subscription: &str, name: &str) -> Answer {
    let going_on = |group: &&ResourceGroup| {
        group.gone_at.is_some()
            && group.subscription_id.eq_ignore_ascii_case(subscription)
            && operation_name(group) == name
    };
    match state.live.groups.values().find(going_on) {
        Some(_) => accepted(call, subscription, name),
        None => Answer::empty(StatusCode::OK),
    }
}

fn accepted(call: &Call<'_>, subscription: &str, operation: &str) -> Answer {
    let path = format!("/subscriptions/{subscription}/operationresults/{operation}");
    Answer::empty(StatusCode::ACCEPTED)
        .with_header(
            "location",
            call.link(&path, &signed_link::query(call.version, call.now)),
        )
        .with_header("retry-after", RETRY_AFTER_SECONDS)
}

/// Names the deletion as ARM does: a job id in which `-` is written `:2D`, in base64.
fn operation_name(group: &ResourceGroup) -> String {
    let ResourceGroup { name, location, .. } = group;
    let job = format!("RESOURCEGROUPDELETIONJOB-{}-{}", name.replace('-', ":2D"), location).to_uppercase();
    BASE64_URL_SAFE_NO_PAD.encode(json!({ "jobId": job, "jobLocation": location }).to_string())
}

fn rendered(group: &ResourceGroup) -> Value {
    let ResourceGroup {
        subscription_id,
        name,
        location,
        tags,
        gone_at,
    } = group;
    let state = if gone_at.is_some() { "Deleting" } else { "Succeeded" };
    let mut body = json!({
        "id": format!("/subscriptions/{subscription_id}/resourceGroups/{name}"),
        "name": name,
        "type": "Microsoft.Resources/resourceGroups",
        "location": location,
        "properties": { "provisioningState": state },
    });
    if !tags.is_empty()
        && let Some(object) = body.as_object_mut()
    {
        object.insert("tags".to_owned(), json!(tags));
    }
    body
}
