//! Role assignments, api 2022-04-01.

use http::StatusCode;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::access::conditions::is_well_formed;
use crate::access::rights::role;
use crate::answer::{Answer, Outcome};
use crate::arm::call::Call;
use crate::arm::definitions::definition_id;
use crate::clock::{after, shown};
use crate::incoming::Incoming;
use crate::model::{IdentityId, RoleAssignment};
use crate::names::guid;
use crate::resources::Resources;
use crate::state::State;
use crate::target::{lies_within, segments, subscription_of};

/// What a body asks for.
struct Wish {
    role_definition_id: Uuid,
    principal_id: Uuid,
    principal_type: Option<String>,
    description: Option<String>,
    condition: Option<String>,
    condition_version: Option<String>,
}

/// Which assignments a list holds.
#[derive(Default)]
struct Filter {
    at_scope: bool,
    principal: Option<Uuid>,
}

/// The assignments at the scope, above it and, unless the filter is `atScope()`, below it.
pub(super) fn list(call: &Call<'_>, state: &State, scope: &str) -> Outcome<Answer> {
    exists(state, scope)?;
    let filter = Filter::read(call.incoming.query("$filter"))?;
    let mut matching: Vec<(String, Value)> = call
        .listed(state)
        .assignments
        .values()
        .filter(|assignment| filter.holds(assignment, scope))
        .map(|assignment| (assignment.id().to_lowercase(), rendered(assignment, scope)))
        .collect();
    matching.sort_by(|(a, _), (b, _)| a.cmp(b));
    call.page(matching.into_iter())
}

pub(super) fn get(call: &Call<'_>, state: &State, scope: &str, name: &str) -> Outcome<Answer> {
    let found = find(call.read(state), scope, name).ok_or_else(|| {
        let message = format!("The role assignment '{name}' is not found.");
        Answer::error(StatusCode::NOT_FOUND, "RoleAssignmentNotFound", message)
    })?;
    Ok(Answer::ok(rendered(found, scope)))
}

pub(super) fn delete(state: &mut State, scope: &str, name: &str) -> Outcome<Answer> {
    assignment_name(name)?;
    let found = find(&state.live, scope, name).map(|found| found.name);
    let removed = found.and_then(|found| state.live.assignments.remove(&found));
    Ok(removed.map_or_else(
        || Answer::empty(StatusCode::NO_CONTENT),
        |removed| Answer::ok(rendered(&removed, scope)),
    ))
}

/// Creates an assignment, or changes the description and the condition of the one with this name.
pub(super) fn put(call: &Call<'_>, state: &mut State, scope: &str, name: &str) -> Outcome<Answer> {
    let name = assignment_name(name)?;
    exists(state, scope)?;
    if let Some((subscription, group)) = group_of(scope) {
        state.live.writable_group(&subscription, &group)?;
    }
    let wish = Wish::read(&call.incoming.json()?)?;
    if role(&state.live, wish.role_definition_id).is_none() {
        let id = wish.role_definition_id.simple();
        let message = format!("The specified role definition with ID '{id}' does not exist.");
        return Err(Answer::bad_request("RoleDefinitionDoesNotExist", message));
    }
    let principal_type = principal_type(call, state, &wish)?;
    let same = |other: &RoleAssignment| {
        same_scope(&other.scope, scope)
            && other.principal_id == wish.principal_id
            && other.role_definition_id == wish.role_definition_id
    };
    if let Some(existing) = state.live.assignments.get_mut(&name) {
        if !same(existing) {
            let message = "Tenant ID, application ID, principal ID, and scope are not allowed to be updated.";
            return Err(Answer::bad_request("RoleAssignmentUpdateNotPermitted", message));
        }
        existing.description = wish.description;
        existing.condition = wish.condition;
        existing.condition_version = wish.condition_version;
        existing.updated_on = call.now;
        return Ok(Answer::ok(as_written(existing, scope)));
    }
    if let Some(existing) = state.live.assignments.values().find(|other| same(other)) {
        let message = format!(
            "The role assignment already exists. The ID of the existing role assignment is {}.",
            existing.name.simple()
        );
        return Err(Answer::conflict("RoleAssignmentExists", message));
    }
    has_room(call, state, scope)?;
    let assignment = RoleAssignment {
        name,
        scope: scope.to_owned(),
        role_definition_id: wish.role_definition_id,
        principal_id: wish.principal_id,
        principal_type,
        description: wish.description,
        condition: wish.condition,
        condition_version: wish.condition_version,
        created_on: call.now,
        updated_on: call.now,
        created_by: call.caller.principal.clone(),
    };
    let answer = Answer::json(StatusCode::CREATED, as_written(&assignment, scope));
    state.insert_assignment(assignment, after(call.now, call.config.role_propagation));
    Ok(answer)
}

fn assignment_name(name: &str) -> Outcome<Uuid> {
    guid(name).ok_or_else(|| {
        let message = format!("The role assignment ID '{name}' is not valid. The role assignment ID must be a GUID.");
        Answer::bad_request("InvalidRoleAssignmentId", message)
    })
}

/// A subscription holds only so many assignments.
fn has_room(call: &Call<'_>, state: &State, scope: &str) -> Outcome<()> {
    if let Some(subscription) = subscription_of(scope) {
        let subscription = format!("/subscriptions/{subscription}");
        let held = state
            .live
            .assignments
            .values()
            .filter(|other| lies_within(&other.scope, &subscription))
            .count();
        if held >= call.config.role_assignment_limit {
            let message = "No more role assignments can be created.";
            return Err(Answer::bad_request("RoleAssignmentLimitExceeded", message));
        }
    }
    Ok(())
}

/// The principal's type. Saying it spares the look into the directory, where a new principal may be missing yet.
fn principal_type(call: &Call<'_>, state: &State, wish: &Wish) -> Outcome<String> {
    let identity = state.live.identity_of_principal(wish.principal_id);
    let replicated =
        identity.filter(|identity| after(identity.created_at, call.config.principal_replication) <= call.now);
    let is_user = call
        .config
        .static_tokens
        .values()
        .any(|principal| *principal == wish.principal_id);
    match (&wish.principal_type, replicated) {
        (Some(said), Some(_)) if said != "ServicePrincipal" => {
            let message = format!(
                "The PrincipalId '{}' has type 'ServicePrincipal' , which is different from specified PrinciaplType '{said}'.",
                wish.principal_id.simple()
            );
            Err(Answer::bad_request("UnmatchedPrincipalType", message))
        }
        (Some(said), _) => Ok(said.clone()),
        (None, Some(_)) => Ok("ServicePrincipal".to_owned()),
        (None, None) if is_user => Ok("User".to_owned()),
        (None, None) => {
            let message = format!(
                "Principal {} does not exist in the directory {}. Check that you have the correct principal ID. If you are creating this principal and then immediately assigning a role, this error might be related to a replication delay. In this case, set the role assignment principalType property to a value, such as ServicePrincipal, User, or Group.  See https://aka.ms/docs-principaltype",
                wish.principal_id.simple(),
                call.config.tenant_id
            );
            Err(Answer::bad_request("PrincipalNotFound", message))
        }
    }
}

/// What a request to write an assignment says, as conditions know it. Only what the body itself says counts.
pub(super) fn asked(incoming: &Incoming) -> Vec<(&'static str, String)> {
    let body = incoming.json().unwrap_or_default();
    let property = |name: &str| body.get("properties")?.get(name)?.as_str();
    let role = property("roleDefinitionId").and_then(|role| role.rsplit('/').next());
    attributes(role, property("principalId"), property("principalType"))
}

/// What an assignment is, as conditions know it.
pub(super) fn held(state: &State, scope: &str, name: &str) -> Vec<(&'static str, String)> {
    find(&state.live, scope, name).map_or_else(Vec::new, |found| {
        let (role, principal) = (found.role_definition_id.to_string(), found.principal_id.to_string());
        attributes(Some(&role), Some(&principal), Some(&found.principal_type))
    })
}

/// <https://learn.microsoft.com/azure/role-based-access-control/conditions-authorization-actions-attributes#authorization-attributes>
fn attributes(
    role: Option<&str>,
    principal: Option<&str>,
    principal_type: Option<&str>,
) -> Vec<(&'static str, String)> {
    let all = [
        ("Microsoft.Authorization/roleAssignments:RoleDefinitionId", role),
        ("Microsoft.Authorization/roleAssignments:PrincipalId", principal),
        ("Microsoft.Authorization/roleAssignments:PrincipalType", principal_type),
    ];
    let said = all
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?.to_owned())));
    said.collect()
}

/// The scope must be one that exists, as far as this cloud holds such things: what lies in a resource group and is no
/// identity is taken to exist.
pub(super) fn exists(state: &State, scope: &str) -> Outcome<()> {
    if let Some((subscription, group)) = group_of(scope) {
        state.live.group(&subscription, &group)?;
    }
    match scope.parse::<IdentityId>() {
        Ok(id) => state.live.identity(&id).map(drop),
        Err(_) => Ok(()),
    }
}

/// The subscription and the name of the resource group that the scope is or lies in.
fn group_of(scope: &str) -> Option<(String, String)> {
    match segments(scope).as_slice() {
        [subscriptions, subscription, groups, group, ..]
            if subscriptions.eq_ignore_ascii_case("subscriptions") && groups.eq_ignore_ascii_case("resourceGroups") =>
        {
            Some((subscription.clone(), group.clone()))
        }
        _ => None,
    }
}

fn find<'a>(resources: &'a Resources, scope: &str, name: &str) -> Option<&'a RoleAssignment> {
    resources
        .assignments
        .get(&guid(name)?)
        .filter(|assignment| same_scope(&assignment.scope, scope))
}

fn same_scope(one: &str, other: &str) -> bool {
    lies_within(one, other) && lies_within(other, one)
}

/// The answer to a write, which does not know yet who created it.
fn as_written(assignment: &RoleAssignment, scope: &str) -> Value {
    let mut body = rendered(assignment, scope);
    if let Some(created_by) = body.pointer_mut("/properties/createdBy") {
        *created_by = Value::Null;
    }
    body
}

/// The assignment as a request at this scope shows it.
fn rendered(assignment: &RoleAssignment, scope: &str) -> Value {
    json!({
        "properties": {
            "roleDefinitionId": definition_id(assignment.role_definition_id, scope),
            "principalId": assignment.principal_id,
            "principalType": assignment.principal_type,
            "scope": assignment.scope,
            "condition": assignment.condition,
            "conditionVersion": assignment.condition_version,
            "createdOn": shown(assignment.created_on),
            "updatedOn": shown(assignment.updated_on),
            "createdBy": assignment.created_by,
            "updatedBy": assignment.created_by,
            "delegatedManagedIdentityResourceId": null,
            "description": assignment.description,
        },
        "id": assignment.id(),
        "type": "Microsoft.Authorization/roleAssignments",
        "name": assignment.name,
    })
}

// === impl Wish ===

impl Wish {
    fn read(body: &Map<String, Value>) -> Outcome<Self> {
        let property = |name: &str| body.get("properties")?.get(name)?.as_str();
        let owned = |name: &str| property(name).map(str::to_owned);
        let role = property("roleDefinitionId").ok_or_else(|| {
            Answer::bad_request(
                "BadRequestFormat",
                "The request was incorrectly formatted: 'roleDefinitionId' is missing.",
            )
        })?;
        let role_definition_id = role.rsplit('/').next().and_then(guid).ok_or_else(|| {
            let message =
                format!("The role definition ID '{role}' is not valid. The role definition ID must be a GUID.");
            Answer::bad_request("InvalidRoleDefinitionId", message)
        })?;
        let principal_id = property("principalId")
            .and_then(|id| Uuid::try_parse(id).ok())
            .ok_or_else(|| {
                let message = "A valid principal ID must be provided for role assignment.";
                Answer::bad_request("InvalidPrincipalId", message)
            })?;
        let principal_type = owned("principalType");
        let known = ["User", "Group", "ServicePrincipal", "ForeignGroup", "Device"];
        if let Some(said) = principal_type.as_deref().filter(|said| !known.contains(said)) {
            let message = format!("The principal type '{said}' is not valid.");
            return Err(Answer::bad_request("InvalidPrincipalType", message));
        }
        let (condition, condition_version) = (owned("condition"), owned("conditionVersion"));
        if let Some(condition) = &condition
            && !(condition_version.as_deref() == Some("2.0") && is_well_formed(condition))
        {
            // The message is as quoted; its code is in no quotation.
            let message = "The given role assignment condition is invalid.";
            return Err(Answer::bad_request("InvalidRoleAssignmentCondition", message));
        }
        Ok(Self {
            role_definition_id,
            principal_id,
            principal_type,
            description: owned("description"),
            condition,
            condition_version,
        })
    }
}

// === impl Filter ===

impl Filter {
    /// Reads `atScope()`, `principalId eq '…'`, `assignedTo('…')`, or several of them joined by `and`.
    fn read(text: Option<&str>) -> Outcome<Self> {
        let mut filter = Self::default();
        for term in text
            .unwrap_or_default()
            .split(" and ")
            .map(str::trim)
            .filter(|term| !term.is_empty())
        {
            if term.eq_ignore_ascii_case("atScope()") {
                filter.at_scope = true;
                continue;
            }
            let quoted = term
                .strip_prefix("principalId eq '")
                .and_then(|rest| rest.strip_suffix('\''))
                .or_else(|| {
                    term.strip_prefix("assignedTo('")
                        .and_then(|rest| rest.strip_suffix("')"))
                });
            let principal = quoted.and_then(|id| Uuid::try_parse(id).ok()).ok_or_else(|| {
                Answer::bad_request("InvalidFilter", format!("The filter '{term}' is not supported."))
            })?;
            filter.principal = Some(principal);
        }
        Ok(filter)
    }

    fn holds(&self, assignment: &RoleAssignment, scope: &str) -> bool {
        let at_or_above = lies_within(scope, &assignment.scope);
        let below = lies_within(&assignment.scope, scope);
        (at_or_above || (below && !self.at_scope))
            && self
                .principal
                .is_none_or(|principal| assignment.principal_id == principal)
    }
}
