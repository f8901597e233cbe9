//! The managed-identity token endpoint of a virtual machine to which every identity is assigned.
//! <https://learn.microsoft.com/entra/identity/managed-identities-azure-resources/how-to-use-vm-token>

use http::{Method, StatusCode};
use serde_json::json;
use uuid::Uuid;

use crate::answer::{Answer, Outcome};
use crate::cloud::Cloud;
use crate::entra::access_token;
use crate::incoming::Incoming;
use crate::model::{Identity, IdentityId};
use crate::state::State;
use crate::target::segments;

/// Answers a request to the instance metadata service.
pub(crate) fn serve(cloud: &Cloud, incoming: &Incoming) -> Answer {
    token(cloud, incoming).unwrap_or_else(|refused| refused)
}

fn token(cloud: &Cloud, incoming: &Incoming) -> Outcome<Answer> {
    let path = segments(&incoming.path).join("/").to_lowercase();
    if path != "metadata/identity/oauth2/token" {
        return Err(error(
            StatusCode::NOT_FOUND,
            "not_found",
            "The requested resource could not be found.",
        ));
    }
    if incoming.method != Method::GET {
        return Err(error(
            StatusCode::METHOD_NOT_ALLOWED,
            "method_not_allowed",
            "Only GET is allowed.",
        ));
    }
    // The header proves that no page in a browser and no redirect sent the request.
    if !incoming
        .header("metadata")
        .is_some_and(|value| value.eq_ignore_ascii_case("true"))
    {
        return Err(bad_request("Required metadata header not specified"));
    }
    if incoming.query("api-version").is_none() {
        return Err(bad_request("Required api-version parameter not specified"));
    }
    let resource = incoming
        .query("resource")
        .filter(|resource| !resource.is_empty())
        .ok_or_else(|| bad_request("Required audience parameter not specified"))?;
    let config = cloud.settings();
    let (identity, now) = cloud.with_state(|state, now| Ok((chosen(state, incoming)?.clone(), now)))?;
    let issued = access_token::issue(&config, &identity, resource, now)
        .map_err(|cause| error(StatusCode::INTERNAL_SERVER_ERROR, "unknown", &cause.to_string()))?;
    let lifetime = (issued.expires - issued.not_before).to_string();
    Ok(Answer::ok(json!({
        "access_token": issued.token,
        "client_id": identity.client_id,
        "expires_in": lifetime,
        "ext_expires_in": lifetime,
        "expires_on": issued.expires.to_string(),
        "not_before": issued.not_before.to_string(),
        "resource": resource,
        "token_type": "Bearer",
    })))
}

/// The identity that the request names; without a name, the only one there is.
fn chosen<'a>(state: &'a State, incoming: &Incoming) -> Outcome<&'a Identity> {
    let guid = |name: &str| incoming.query(name).map(|id| Uuid::try_parse(id).unwrap_or_default());
    let resource_id = incoming.query("msi_res_id").or_else(|| incoming.query("mi_res_id"));
    let found = if let Some(client_id) = guid("client_id") {
        state.live.identity_of_client(client_id)
    } else if let Some(principal_id) = guid("object_id") {
        state.live.identity_of_principal(principal_id)
    } else if let Some(resource_id) = resource_id {
        resource_id
            .parse::<IdentityId>()
            .ok()
            .and_then(|id| state.live.identities.get(&id.key()))
    } else if state.live.identities.len() > 1 {
        return Err(bad_request(
            "Multiple user assigned identities exist, please specify the clientId / resourceId of the identity in the token request",
        ));
    } else {
        state.live.identities.values().next()
    };
    found.ok_or_else(|| bad_request("Identity not found"))
}

fn bad_request(description: &str) -> Answer {
    error(StatusCode::BAD_REQUEST, "invalid_request", description)
}

fn error(status: StatusCode, code: &str, description: &str) -> Answer {
    let body = json!({ "error": code, "error_description": description });
    Answer {
        error_code: Some(code.to_owned()),
        ..Answer::json(status, body)
    }
}
