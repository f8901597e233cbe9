//! User-assigned managed identities.

use http::StatusCode;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::answer::{Answer, Outcome};
use crate::arm::admission::{TOO_MANY, throttled};
use crate::arm::call::Call;
use crate::arm::tags::{location, location_required, malformed, modify, tags};
use crate::arm::versions;
use crate::arm::versions::{WITH_ASSIGNMENT_RESTRICTIONS, WITH_ISOLATION_SCOPE};
use crate::model::{Identity, IdentityId, group_key};
use crate::names::is_identity_name;
use crate::state::State;
use crate::target::lies_within;

/// What a body says of the properties that an identity's owner may set.
#[derive(Default)]
struct Wishes {
    isolation_scope: Option<String>,
    assignment_restrictions: Option<Vec<String>>,
}

pub(super) fn list(call: &Call<'_>, state: &State, subscription: &str, group: Option<&str>) -> Outcome<Answer> {
    let scope = match group {
        Some(group) => {
            state.live.group(subscription, group)?;
            group_key(subscription, group)
        }
        None => format!("/subscriptions/{subscription}"),
    };
    let listed = call.listed(state).identities.iter();
    let within = listed.filter(|(key, _)| lies_within(key, &scope));
    call.page(within.map(|(key, identity)| (key.clone(), rendered(call, identity))))
}

pub(super) fn get(call: &Call<'_>, state: &State, id: &IdentityId) -> Outcome<Answer> {
    state.live.group(&id.subscription_id, &id.resource_group)?;
    let found = call.read(state).identity(id);
    found.map(|identity| Answer::ok(rendered(call, identity)))
}

/// Creates an identity, or replaces its tags.
pub(super) fn put(call: &Call<'_>, state: &mut State, id: &IdentityId) -> Outcome<Answer> {
    if !is_identity_name(&id.name) {
        let message = format!(
            "The resource name '{}' is invalid. It must start with a letter or number and have 3 to 128 letters, numbers, '-' and '_'.",
            id.name
        );
        return Err(Answer::bad_request("InvalidResourceName", message));
    }
    state.live.writable_group(&id.subscription_id, &id.resource_group)?;
    let body = call.incoming.json()?;
    let mut tags = tags(&body)?.unwrap_or_default();
    modify(&mut tags, &call.config.tag_policies, &id.to_string());
    let location = location(&body)?.ok_or_else(location_required)?;
    let wishes = Wishes::read(call, &body)?;
    if let Some(identity) = state.live.identities.get_mut(&id.key()) {
        if identity.location != location {
            let message = format!(
                "The resource '{}' already exists in location '{}' in resource group '{}'. A resource with the same name cannot be created in location '{location}'. Please select a new resource name.",
                id.name, identity.location, id.resource_group
            );
            return Err(Answer::conflict("InvalidResourceLocation", message));
        }
        identity.tags = tags;
        wishes.grant(identity);
        return Ok(Answer::ok(rendered(call, identity)));
    }
    if let Some(limits) = &call.config.limits {
        let counted = state
            .throttle
            .count_creation(limits, &id.subscription_id, &location, call.now);
        counted.map_err(|exhausted| throttled("TooManyRequests", TOO_MANY, exhausted))?;
    }
    let mut identity = Identity {
        id: id.clone(),
        location,
        tags,
        client_id: state.next_id(call.config.seed),
        principal_id: state.next_id(call.config.seed),
        isolation_scope: "None".to_owned(),
        assignment_restrictions: Vec::new(),
        created_at: call.now,
        tokens_valid_from: None,
        credentials: Vec::new(),
    };
    wishes.grant(&mut identity);
    let answer = Answer::json(StatusCode::CREATED, rendered(call, &identity)).with_header("location", id.to_string());
    state.live.identities.insert(id.key(), identity);
    Ok(answer)
}

/// Changes what the body speaks of, and nothing else.
pub(super) fn patch(call: &Call<'_>, state: &mut State, id: &IdentityId) -> Outcome<Answer> {
    state.live.writable_group(&id.subscription_id, &id.resource_group)?;
    let body = call.incoming.json()?;
    let (tags, wishes) = (tags(&body)?, Wishes::read(call, &body)?);
    let identity = state.live.identity_mut(id)?;
    if let Some(tags) = tags {
        identity.tags = tags;
    }
    modify(&mut identity.tags, &call.config.tag_policies, &id.to_string());
    wishes.grant(identity);
    Ok(Answer::ok(rendered(call, identity)))
}

/// Deletes an identity and its credentials. Role assignments to it stay, as Azure leaves them.
pub(super) fn delete(state: &mut State, id: &IdentityId) -> Outcome<Answer> {
    state.live.group(&id.subscription_id, &id.resource_group)?;
    let was_there = state.remove_identity(id).is_some();
    Ok(Answer::empty(if was_there {
        StatusCode::OK
    } else {
        StatusCode::NO_CONTENT
    }))
}

pub(super) fn act(call: &Call<'_>, state: &mut State, id: &IdentityId, action: &str) -> Outcome<Answer> {
    state.live.group(&id.subscription_id, &id.resource_group)?;
    let identity = state.live.identity_mut(id)?;
    match action.to_lowercase().as_str() {
        "revoketokens" if call.version >= versions::WITH_TOKEN_REVOCATION => {
            identity.tokens_valid_from = Some(call.now);
            Ok(Answer::empty(StatusCode::OK))
        }
        // Nothing that an identity could be assigned to is simulated.
        "listassociatedresources" if versions::WITH_ASSOCIATED_RESOURCES.contains(&call.version) => {
            Ok(Answer::ok(json!({ "totalCount": 0, "value": [] })))
        }
        _ => {
            let message = format!(
                "The action '{action}' of the resource type 'Microsoft.ManagedIdentity/userAssignedIdentities' could not be found for api version '{}'.",
                call.version
            );
            Err(Answer::gateway_not_found("InvalidResourceType", message))
        }
    }
}

fn rendered(call: &Call<'_>, identity: &Identity) -> Value {
    let tenant: Uuid = call.config.tenant_id;
    let Identity {
        id,
        location,
        tags,
        client_id,
        principal_id,
        ..
    } = identity;
    let mut properties = Map::new();
    properties.insert("tenantId".to_owned(), json!(tenant));
    properties.insert("principalId".to_owned(), json!(principal_id));
    properties.insert("clientId".to_owned(), json!(client_id));
    if call.version >= WITH_ISOLATION_SCOPE {
        properties.insert("isolationScope".to_owned(), json!(identity.isolation_scope));
    }
    if call.version >= WITH_ASSIGNMENT_RESTRICTIONS {
        let restrictions = json!({ "providers": identity.assignment_restrictions });
        properties.insert("assignmentRestrictions".to_owned(), restrictions);
    }
    json!({
        "location": location,
        "tags": tags,
        "id": id.to_string(),
        "name": id.name,
        "type": "Microsoft.ManagedIdentity/userAssignedIdentities",
        "properties": properties,
    })
}

// === impl Wishes ===

impl Wishes {
    /// Reads the properties that the api-version knows; others are not looked at, as Azure does.
    fn read(call: &Call<'_>, body: &Map<String, Value>) -> Outcome<Self> {
        let mut wishes = Self::default();
        let property = |name: &str| body.get("properties").and_then(|properties| properties.get(name));
        if let Some(scope) = property("isolationScope").filter(|_| call.version >= WITH_ISOLATION_SCOPE) {
            let known = scope.as_str().filter(|scope| ["None", "Regional"].contains(scope));
            let known = known.ok_or_else(|| {
                Answer::bad_request(
                    "BadRequest",
                    format!("The isolation scope {scope} is invalid: None or Regional."),
                )
            })?;
            wishes.isolation_scope = Some(known.to_owned());
        }
        let restrictions = property("assignmentRestrictions").filter(|_| call.version >= WITH_ASSIGNMENT_RESTRICTIONS);
        if let Some(providers) = restrictions.and_then(|restrictions| restrictions.get("providers")) {
            let read = serde_json::from_value(providers.clone());
            wishes.assignment_restrictions =
                Some(read.map_err(|_| malformed("'assignmentRestrictions.providers' must be a list of strings"))?);
        }
        Ok(wishes)
    }

    fn grant(self, identity: &mut Identity) {
        if let Some(scope) = self.isolation_scope {
            identity.isolation_scope = scope;
        }
        if let Some(restrictions) = self.assignment_restrictions {
            identity.assignment_restrictions = restrictions;
        }
    }
}
