//! Role definitions: the built-in ones, and custom ones beside them.

use http::StatusCode;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::access::actions::is_supported;
use crate::access::built_in_roles::built_in_roles;
use crate::access::rights::role;
use crate::answer::{Answer, Outcome};
use crate::arm::call::Call;
use crate::arm::tags::malformed;
use crate::clock::shown;
use crate::model::{Permission, RoleDefinition};
use crate::names::guid;
use crate::state::State;
use crate::target::{lies_within, subscription_of};

pub(super) fn list(call: &Call<'_>, state: &State, scope: &str) -> Outcome<Answer> {
    let filter = call.incoming.query("$filter").unwrap_or_default();
    let quoted = |prefix: &str| filter.strip_prefix(prefix).and_then(|rest| rest.strip_suffix('\''));
    let (name, kind) = (quoted("roleName eq '"), quoted("type eq '"));
    if name.is_none() && kind.is_none() && !filter.is_empty() && !filter.eq_ignore_ascii_case("atScopeAndBelow()") {
        return Err(Answer::bad_request(
            "InvalidFilter",
            format!("The filter '{filter}' is not supported."),
        ));
    }
    let holds = |role: &&RoleDefinition| {
        assignable(role, scope)
            && name.is_none_or(|name| role.role_name.eq_ignore_ascii_case(name))
            && kind.is_none_or(|kind| kind_of(role).eq_ignore_ascii_case(kind))
    };
    let roles = built_in_roles()
        .values()
        .chain(call.listed(state).definitions.values())
        .filter(holds);
    // Azure gives all in one page.
    let value: Vec<Value> = roles.map(|role| rendered(role, scope)).collect();
    Ok(Answer::ok(json!({ "value": value })))
}

pub(super) fn get(call: &Call<'_>, state: &State, scope: &str, name: &str) -> Outcome<Answer> {
    let found = guid(name)
        .and_then(|name| role(call.read(state), name))
        .filter(|role| assignable(role, scope));
    found.map(|role| Answer::ok(rendered(role, scope))).ok_or_else(|| {
        let message = format!("The specified role definition with ID '{name}' does not exist.");
        Answer::error(StatusCode::NOT_FOUND, "RoleDefinitionDoesNotExist", message)
    })
}

/// Writes a custom role.
pub(super) fn put(call: &Call<'_>, state: &mut State, scope: &str, name: &str) -> Outcome<Answer> {
    let Some(name) = guid(name) else {
        let message = format!("The role definition ID '{name}' is not valid. The role definition ID must be a GUID.");
        return Err(Answer::bad_request("InvalidRoleDefinitionId", message));
    };
    if let Some(built_in) = built_in_roles().get(&name) {
        let message = format!("The built-in role '{}' cannot be changed.", built_in.role_name);
        return Err(Answer::bad_request("RoleDefinitionUpdateNotPermitted", message));
    }
    let body = call.incoming.json()?;
    let empty = Map::new();
    let properties = body.get("properties").and_then(Value::as_object).unwrap_or(&empty);
    let text = |name: &str| properties.get(name).and_then(Value::as_str).map(str::to_owned);
    let Some(role_name) = text("roleName").filter(|name| !name.is_empty()) else {
        return Err(malformed("'properties.roleName' is missing"));
    };
    let permissions = properties.get("permissions").cloned().unwrap_or_default();
    let permissions: Vec<Permission> = serde_json::from_value(permissions)
        .map_err(|error| malformed(&format!("'properties.permissions': {error}")))?;
    let assignable_scopes = properties
        .get("assignableScopes")
        .cloned()
        .unwrap_or_else(|| json!([scope]));
    let assignable_scopes: Vec<String> = serde_json::from_value(assignable_scopes)
        .map_err(|error| malformed(&format!("'properties.assignableScopes': {error}")))?;
    let taken = |other: &RoleDefinition| other.name != name && other.role_name.eq_ignore_ascii_case(&role_name);
    if built_in_roles()
        .values()
        .chain(state.live.definitions.values())
        .any(taken)
    {
        let message = "A custom role with the same name already exists in this directory. Use a different name.";
        return Err(Answer::conflict("RoleDefinitionWithSameNameExists", message));
    }
    supported(&permissions)?;
    let before = state.live.definitions.get(&name);
    let role = RoleDefinition {
        name,
        role_name,
        description: text("description"),
        custom: true,
        permissions,
        assignable_scopes,
        created_on: before.and_then(|before| before.created_on).or(Some(call.now)),
        updated_on: Some(call.now),
        created_by: before
            .and_then(|before| before.created_by.clone())
            .or_else(|| Some(call.caller.principal.clone())),
        updated_by: Some(call.caller.principal.clone()),
    };
    let answer = Answer::json(StatusCode::CREATED, rendered(&role, scope));
    state.live.definitions.insert(name, role);
    Ok(answer)
}

pub(super) fn delete(state: &mut State, scope: &str, name: &str) -> Outcome<Answer> {
    let Some(name) = guid(name) else {
        return Ok(Answer::empty(StatusCode::NO_CONTENT));
    };
    if state
        .live
        .assignments
        .values()
        .any(|assignment| assignment.role_definition_id == name)
    {
        let message = "There are existing role assignments referencing role. Remove them before deleting the role.";
        return Err(Answer::conflict("RoleDefinitionHasAssignments", message));
    }
    let removed = state.live.definitions.remove(&name);
    Ok(removed.map_or_else(
        || Answer::empty(StatusCode::NO_CONTENT),
        |role| Answer::ok(rendered(&role, scope)),
    ))
}

/// A definition with one action that no provider has is refused whole.
fn supported(permissions: &[Permission]) -> Outcome<()> {
    let patterns = permissions.iter().flat_map(Permission::patterns);
    for pattern in patterns {
        if !is_supported(pattern) {
            let message = format!("'{pattern}' does not match any of the actions supported by the providers.");
            return Err(Answer::bad_request("InvalidActionOrNotAction", message));
        }
    }
    Ok(())
}

fn assignable(role: &RoleDefinition, scope: &str) -> bool {
    role.assignable_scopes
        .iter()
        .any(|assignable| lies_within(scope, assignable) || lies_within(assignable, scope))
}

fn kind_of(role: &RoleDefinition) -> &'static str {
    if role.custom { "CustomRole" } else { "BuiltInRole" }
}

/// The id of a role as a request at this scope shows it: with the subscription of the request, whatever was sent.
pub(super) fn definition_id(name: Uuid, scope: &str) -> String {
    let within = subscription_of(scope).map(|subscription| format!("/subscriptions/{subscription}"));
    let within = within.unwrap_or_default();
    format!("{within}/providers/Microsoft.Authorization/roleDefinitions/{name}")
}

fn rendered(role: &RoleDefinition, scope: &str) -> Value {
    json!({
        "properties": {
            "roleName": role.role_name,
            "type": kind_of(role),
            "description": role.description,
            "assignableScopes": role.assignable_scopes,
            "permissions": role.permissions,
            "createdOn": role.created_on.map(shown),
            "updatedOn": role.updated_on.map(shown),
            "createdBy": role.created_by,
            "updatedBy": role.updated_by,
        },
        "id": definition_id(role.name, scope),
        "type": "Microsoft.Authorization/roleDefinitions",
        "name": role.name,
    })
}
