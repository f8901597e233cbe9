//! The tags of a resource as a resource of their own: <https://learn.microsoft.com/rest/api/resources/tags>.

use std::collections::BTreeMap;

use http::Method;
use serde_json::{Value, json};

use crate::answer::{Answer, Outcome};
use crate::arm::call::Call;
use crate::arm::tags::{malformed, modify, tags};
use crate::model::{IdentityId, group_key};
use crate::state::State;
use crate::target::{Target, subscription_of};

type Tags = BTreeMap<String, String>;

pub(super) fn get(state: &mut State, scope: &str) -> Outcome<Answer> {
    let tags = tags_at(state, scope)?;
    Ok(rendered(scope, tags))
}

/// Puts the tags of the body in the place of all (PUT, and PATCH with `Replace`), beside the others (`Merge`), or takes
/// them away (`Delete`).
pub(super) fn write(call: &Call<'_>, state: &mut State, scope: &str) -> Outcome<Answer> {
    let body = call.incoming.json()?;
    let properties = body.get("properties").and_then(Value::as_object);
    let said = properties.map(tags).transpose()?.flatten().unwrap_or_default();
    let operation = match body.get("operation").and_then(Value::as_str) {
        _ if call.incoming.method == Method::PUT => "replace".to_owned(),
        Some(operation) => operation.to_lowercase(),
        None => return Err(malformed("'operation' is missing")),
    };
    let current = tags_at(state, scope)?;
    match operation.as_str() {
        "replace" => *current = said,
        "merge" => {
            for (name, value) in said {
                current.retain(|other, _| !other.eq_ignore_ascii_case(&name));
                current.insert(name, value);
            }
        }
        "delete" => current.retain(|name, _| !said.keys().any(|gone| gone.eq_ignore_ascii_case(name))),
        _ => return Err(malformed("'operation' must be Merge, Replace or Delete")),
    }
    if scope.parse::<IdentityId>().is_ok() {
        modify(current, &call.config.tag_policies, scope);
    }
    Ok(rendered(scope, current))
}

/// The tags of the identity or the resource group.
fn tags_at<'a>(state: &'a mut State, scope: &str) -> Outcome<&'a mut Tags> {
    if let Ok(id) = scope.parse::<IdentityId>() {
        state.live.writable_group(&id.subscription_id, &id.resource_group)?;
        return Ok(&mut state.live.identity_mut(&id)?.tags);
    }
    let group = match Target::parse(scope) {
        Target::Group { subscription, name } => {
            state.live.writable_group(&subscription, &name)?;
            state.live.groups.get_mut(&group_key(&subscription, &name))
        }
        _ => None,
    };
    group.map(|group| &mut group.tags).ok_or_else(|| {
        let within = subscription_of(scope).unwrap_or_default();
        let message = format!("The tags of '{scope}' in the subscription '{within}' could not be found.");
        Answer::gateway_not_found("ResourceNotFound", message)
    })
}

fn rendered(scope: &str, tags: &Tags) -> Answer {
    Answer::ok(json!({
        "id": format!("{scope}/providers/Microsoft.Resources/tags/default"),
        "name": "default",
        "type": "Microsoft.Resources/tags",
        "properties": { "tags": tags },
    }))
}
