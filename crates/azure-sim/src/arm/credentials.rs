//! Federated identity credentials. What is refused, and in which words, is from
//! <https://learn.microsoft.com/entra/workload-id/workload-identity-federation-considerations>.

use http::{Method, StatusCode};
use serde_json::{Map, Value, json};
use url::Url;

use crate::answer::{Answer, Outcome};
use crate::arm::call::Call;
use crate::arm::versions::{WITH_FLEXIBLE_CREDENTIALS, WITH_GRAPH_ERRORS};
use crate::clock::after;
use crate::model::{Credential, Identity, IdentityId};
use crate::names::is_credential_name;
use crate::state::State;

/// An identity holds no more.
const MOST_CREDENTIALS: usize = 20;
/// The longest issuer, subject or audience, in characters.
const LONGEST_VALUE: usize = 600;

pub(super) fn list(call: &Call<'_>, state: &State, id: &IdentityId) -> Outcome<Answer> {
    let identity = parent(state, id, &Method::GET)?;
    let listed = call.listed(state).identities.get(&id.key());
    let key = |credential: &Credential| credential.name.to_ascii_lowercase();
    call.page(
        listed
            .iter()
            .flat_map(|listed| &listed.credentials)
            .map(|credential| (key(credential), rendered(identity, credential))),
    )
}

pub(super) fn get(call: &Call<'_>, state: &State, id: &IdentityId, name: &str) -> Outcome<Answer> {
    let identity = parent(state, id, &Method::GET)?;
    let seen = call.read(state).identities.get(&id.key());
    let credential = seen.and_then(|seen| seen.credential(name)).ok_or_else(|| {
        let message = format!("Resource '{id}/federatedIdentityCredentials/{name}' was not found.");
        Answer::error(StatusCode::NOT_FOUND, "NotFound", message)
    })?;
    Ok(Answer::ok(rendered(identity, credential)))
}

/// Creates or replaces a credential.
pub(super) fn put(call: &Call<'_>, state: &mut State, id: &IdentityId, name: &str) -> Outcome<Answer> {
    if !is_credential_name(name) {
        return Err(bad_request(format!(
            "Federated Identity Credential name '{name}' is invalid."
        )));
    }
    state.live.writable_group(&id.subscription_id, &id.resource_group)?;
    let identity = parent(state, id, &Method::PUT)?;
    if call.config.regions_without_credentials.contains(&identity.location) {
        let message = "The request format was unexpected: Support for federated identity credentials not enabled.";
        return Err(Answer::error(
            StatusCode::METHOD_NOT_ALLOWED,
            "MethodNotAllowed",
            message,
        ));
    }
    if call.now < after(identity.created_at, call.config.parent_replication) {
        return Err(not_replicated(call, identity));
    }
    let mut credential = parsed(call, name)?;
    let existing = identity.credential(name);
    let same_trust = |other: &&Credential| {
        !other.name.eq_ignore_ascii_case(name)
            && other.issuer == credential.issuer
            && other.subject == credential.subject
            && other.claims_matching_expression == credential.claims_matching_expression
    };
    if identity.credentials.iter().any(|other| same_trust(&other)) {
        let message = "Issuer and subject combination already exists for this Managed Identity.";
        return Err(Answer::conflict("Conflict", message));
    }
    if existing.is_none() && identity.credentials.len() >= MOST_CREDENTIALS {
        let message =
            format!("Too many Federated Identity Credentials: a managed identity can have at most {MOST_CREDENTIALS}.");
        return Err(bad_request(message));
    }
    // A name keeps the case in which it was created.
    let created = existing
        .map(|existing| credential.name.clone_from(&existing.name))
        .is_none();
    let body = rendered(identity, &credential);
    let answer = if created {
        let location = credential_id(identity, &credential);
        Answer::json(StatusCode::CREATED, body).with_header("location", location)
    } else {
        Answer::ok(body)
    };
    state.put_credential(id, credential, call.now);
    Ok(answer)
}

pub(super) fn delete(call: &Call<'_>, state: &mut State, id: &IdentityId, name: &str) -> Outcome<Answer> {
    parent(state, id, &Method::DELETE)?;
    let was_there = state.remove_credential(id, name, call.now);
    Ok(Answer::empty(if was_there {
        StatusCode::OK
    } else {
        StatusCode::NO_CONTENT
    }))
}

fn parent<'a>(state: &'a State, id: &IdentityId, method: &Method) -> Outcome<&'a Identity> {
    state.live.group(&id.subscription_id, &id.resource_group)?;
    state
        .live
        .identities
        .get(&id.key())
        .ok_or_else(|| parent_not_found(id, method))
}

fn parent_not_found(id: &IdentityId, method: &Method) -> Answer {
    let verb = match *method {
        Method::GET => "read",
        Method::DELETE => "delete",
        _ => "write",
    };
    let message = format!(
        "Failed to perform '{verb}' on resource(s) of type 'userAssignedIdentities/federatedIdentityCredentials', because the parent resource '{id}' could not be found."
    );
    Answer::gateway_not_found("ParentResourceNotFound", message)
}

fn not_replicated(call: &Call<'_>, identity: &Identity) -> Answer {
    if call.version < WITH_GRAPH_ERRORS {
        return parent_not_found(&identity.id, &Method::PUT);
    }
    let code = "MsGraphResourceNotFoundOnFederatedIdentityCredentialCreation";
    let message = format!(
        "MS Graph resource not found during the creation of a federated identity credential of the managed identity '{}'.",
        identity.id
    );
    Answer::error(StatusCode::NOT_FOUND, code, message)
}

fn parsed(call: &Call<'_>, name: &str) -> Outcome<Credential> {
    let body = call.incoming.json()?;
    let empty = Map::new();
    let properties = body.get("properties").and_then(Value::as_object).unwrap_or(&empty);
    if properties.is_empty() {
        return Err(bad_request(
            "Federated Identity Credential from HTTP body has empty properties".to_owned(),
        ));
    }
    let flexible = call.version >= WITH_FLEXIBLE_CREDENTIALS && call.version.ends_with("-preview");
    let expression = properties
        .get("claimsMatchingExpression")
        .filter(|value| flexible && !value.is_null())
        .cloned();
    let text = |name: &str| {
        properties
            .get(name)
            .and_then(Value::as_str)
            .filter(|text| !text.is_empty())
    };
    let audiences: Option<Vec<String>> = properties
        .get("audiences")
        .and_then(|audiences| serde_json::from_value(audiences.clone()).ok());
    let (issuer, subject) = (text("issuer"), text("subject"));
    let (Some(issuer), Some(audiences)) = (issuer, audiences) else {
        return Err(incomplete());
    };
    if subject.is_some() == expression.is_some() {
        return Err(incomplete());
    }
    if audiences.len() != 1 {
        return Err(bad_request(
            "Federated identity credentials must have exactly one audience.".to_owned(),
        ));
    }
    let values = [
        ("issuer", Some(issuer)),
        ("subject", subject),
        ("audience", audiences.first().map(String::as_str)),
    ];
    for (name, value) in values {
        valid_value(name, value.unwrap_or("-"))?;
    }
    if !Url::parse(issuer).is_ok_and(|url| url.scheme() == "https" && url.has_host()) {
        return Err(bad_request(format!(
            "The issuer '{issuer}' is invalid: it must be a URL that begins with https."
        )));
    }
    Ok(Credential {
        name: name.to_owned(),
        issuer: issuer.to_owned(),
        subject: subject.map(str::to_owned),
        audiences,
        claims_matching_expression: expression,
    })
}

fn valid_value(name: &str, value: &str) -> Outcome<()> {
    if value.is_empty() {
        return Err(incomplete());
    }
    if value.chars().count() > LONGEST_VALUE {
        return Err(bad_request(format!(
            "The {name} is longer than {LONGEST_VALUE} characters."
        )));
    }
    if value.contains('*') {
        return Err(bad_request(format!(
            "The {name} '{value}' is invalid: wildcard characters are not supported."
        )));
    }
    Ok(())
}

fn incomplete() -> Answer {
    let message = "The request format was unexpected. Federated Identity Credential must specify 'issuer', 'subject' and 'audience'.";
    bad_request(message.to_owned())
}

fn bad_request(message: String) -> Answer {
    Answer::bad_request("BadRequest", message)
}

fn credential_id(identity: &Identity, credential: &Credential) -> String {
    format!("{}/federatedIdentityCredentials/{}", identity.id, credential.name)
}

fn rendered(identity: &Identity, credential: &Credential) -> Value {
    let Credential {
        name,
        issuer,
        subject,
        audiences,
        claims_matching_expression,
    } = credential;
    let mut properties = Map::new();
    properties.insert("issuer".to_owned(), json!(issuer));
    if let Some(subject) = subject {
        properties.insert("subject".to_owned(), json!(subject));
    }
    properties.insert("audiences".to_owned(), json!(audiences));
    if let Some(expression) = claims_matching_expression {
        properties.insert("claimsMatchingExpression".to_owned(), expression.clone());
    }
    json!({
        "id": credential_id(identity, credential),
        "name": name,
        "type": "Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials",
        "properties": properties,
    })
}
