//! The token endpoint, for the one grant that workload identities use.
//! <https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow>

use std::collections::BTreeMap;

use http::StatusCode;
use serde_json::{Value, json};
use uuid::Uuid;

use super::access_token::{self, Issued};
use super::assertion::Assertion;
use super::errors::EntraError;
use super::matching::find_match;
use super::resources;
use crate::answer::Answer;
use crate::clock::after;
use crate::cloud::Cloud;
use crate::incoming::Incoming;
use crate::model::Identity;

const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// The two forms of the endpoint, which name differently what the token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    /// `oauth2/token`, with a `resource`.
    /// <https://learn.microsoft.com/previous-versions/azure/active-directory/azuread-dev/v1-oauth2-client-creds-grant-flow>
    V1,
    /// `oauth2/v2.0/token`, with a `scope`.
    V2,
}

/// What the form of a token request asks for.
struct Wanted {
    client: String,
    audience: String,
    assertion: Assertion,
}

/// Exchanges a client assertion for an access token.
pub(super) async fn issue(cloud: &Cloud, incoming: &Incoming, protocol: Protocol) -> Result<Answer, EntraError> {
    let Wanted {
        client,
        audience,
        assertion,
    } = Wanted::read(&incoming.form(), protocol)?;
    let identity = trusting_identity(cloud, &client, &assertion)?;
    assertion.require_usable(cloud.now())?;
    assertion.require_foreign()?;
    let keep = cloud.settings().issuer_keys;
    let key = cloud
        .issuer_keys()
        .find(&assertion.issuer, assertion.key_id.as_deref(), keep)
        .await;
    let key = key.map_err(|unreachable| {
        let message = format!("Request to External OIDC endpoint failed: {unreachable}.");
        EntraError::invalid_request(90_061, message)
    })?;
    assertion.verify(key.as_ref())?;
    let config = cloud.settings();
    resources::require(&config, &audience)?;
    let issued = access_token::issue(&config, &identity, &audience, cloud.now()).map_err(|error| {
        EntraError::new(
            "server_error",
            90_033,
            format!("A transient error has occurred: {error}."),
        )
    })?;
    let answer = Answer::json(StatusCode::OK, protocol.body(&issued, &audience));
    Ok(answer.with_header("cache-control", "no-store, no-cache"))
}

/// The client's identity, if it trusts what the assertion presents, as far as Entra heard of both.
fn trusting_identity(cloud: &Cloud, client: &str, assertion: &Assertion) -> Result<Identity, EntraError> {
    let config = cloud.settings();
    cloud.with_state(|state, now| {
        let identity = Uuid::try_parse(client).ok().and_then(|client| state.live.identity_of_client(client));
        let heard_of = identity.filter(|identity| after(identity.created_at, config.identity_propagation) <= now);
        let identity = heard_of.ok_or_else(|| {
            let message = format!(
                "Application with identifier '{client}' was not found in the directory '{}'. This can happen if the application has not been installed by the administrator of the tenant or consented to by any user in the tenant. You may have sent your authentication request to the wrong tenant.",
                config.tenant_id
            );
            EntraError::new("unauthorized_client", 700_016, message)
        })?;
        let identity = identity.clone();
        let lag = config.credential_propagation + state.next_region_lag(config.slow_region);
        let heard = now.checked_sub(lag).unwrap_or(now);
        let trusted = state.trusted_at(identity.client_id, heard);
        find_match(trusted, &identity.id.name, assertion.presented())?;
        Ok(identity)
    })
}

// === impl Protocol ===

impl Protocol {
    fn audience(self, form: &BTreeMap<String, String>) -> Result<String, EntraError> {
        match self {
            Self::V1 => needed(form, "resource").map(str::to_owned),
            Self::V2 => needed(form, "scope").and_then(audience_of),
        }
    }

    fn body(self, issued: &Issued, audience: &str) -> Value {
        let seconds = issued.expires - issued.not_before;
        match self {
            // Every number is a text.
            Self::V1 => json!({
                "token_type": "Bearer",
                "expires_in": seconds.to_string(),
                "ext_expires_in": seconds.to_string(),
                "expires_on": issued.expires.to_string(),
                "not_before": issued.not_before.to_string(),
                "resource": audience,
                "access_token": issued.token,
            }),
            Self::V2 => json!({
                "token_type": "Bearer",
                "expires_in": seconds,
                "ext_expires_in": seconds,
                "access_token": issued.token,
            }),
        }
    }
}

/// The one resource that a scope names.
fn audience_of(scope: &str) -> Result<String, EntraError> {
    let mut audiences = scope.split(' ').filter_map(|scope| scope.strip_suffix("/.default"));
    let audience = audiences.next().ok_or_else(|| {
        let message = format!(
            "The provided value for scope {scope} is not valid. Client credential flows must have a scope value with /.default suffixed to the resource identifier (application ID URI)."
        );
        EntraError::new("invalid_scope", 1_002_012, message)
    })?;
    if audiences.any(|other| other != audience) {
        let message = format!(
            "Provided value for the input parameter scope '{scope}' is not valid because it contains more than one resource."
        );
        return Err(EntraError::invalid_request(28_000, message));
    }
    Ok(audience.to_owned())
}

fn field<'a>(form: &'a BTreeMap<String, String>, name: &str) -> Option<&'a str> {
    form.get(name).map(String::as_str).filter(|value| !value.is_empty())
}

fn needed<'a>(form: &'a BTreeMap<String, String>, name: &str) -> Result<&'a str, EntraError> {
    field(form, name).ok_or_else(|| {
        let message = format!("The request body must contain the following parameter: '{name}'.");
        EntraError::invalid_request(900_144, message)
    })
}

// === impl Wanted ===

impl Wanted {
    fn read(form: &BTreeMap<String, String>, protocol: Protocol) -> Result<Self, EntraError> {
        let grant = needed(form, "grant_type")?;
        if grant != "client_credentials" {
            let message = format!("The app requested an unsupported grant type '{grant}'.");
            return Err(EntraError::new("unsupported_grant_type", 70_003, message));
        }
        let client = needed(form, "client_id")?.to_owned();
        let audience = protocol.audience(form)?;
        let Some(assertion) = field(form, "client_assertion") else {
            return Err(if field(form, "client_secret").is_some() {
                let message = format!("Invalid client secret provided for the app '{client}': it has no secrets.");
                EntraError::invalid_client(7_000_215, message)
            } else {
                let message = "'client_assertion', 'client_secret' or 'request' is required for the 'client_credentials' grant type.";
                EntraError::invalid_client(7_000_216, message)
            });
        };
        let assertion_type = needed(form, "client_assertion_type")?;
        if assertion_type != JWT_BEARER {
            let message = format!("The client assertion type '{assertion_type}' is not supported: '{JWT_BEARER}' is.");
            return Err(EntraError::invalid_request(90_023, message));
        }
        Ok(Self {
            client,
            audience,
            assertion: Assertion::read(assertion)?,
        })
    }
}
