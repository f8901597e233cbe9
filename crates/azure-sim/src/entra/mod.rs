//! Entra: the token endpoint of one tenant, and the documents that lead clients to it.

pub(crate) mod access_token;
mod assertion;
mod discovery;
pub(crate) mod errors;
pub(crate) mod issuers;
pub(crate) mod keys;
mod matching;
mod token;

use http::{Method, StatusCode};

use crate::answer::Answer;
use crate::config::Config;
use crate::incoming::Incoming;
use crate::simulator::Simulator;
use errors::EntraError;

/// Answers a request to Entra. The path's segments are in lower case.
pub(crate) async fn serve(simulator: &Simulator, incoming: &Incoming, path: &[String]) -> Answer {
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    let config = simulator.settings();
    let answer = match (&incoming.method, path.as_slice()) {
        (&Method::POST, [tenant, "oauth2", "v2.0", "token"]) => match require_tenant(&config, tenant) {
            Ok(()) => token::issue(simulator, incoming).await,
            Err(error) => Err(error),
        },
        (&Method::GET, [tenant, "v2.0", ".well-known", "openid-configuration"]) => {
            discovery::openid_configuration(&config, incoming, tenant)
        }
        (&Method::GET, [_, "discovery", "v2.0", "keys"] | [_, "discovery", "keys"]) => Ok(discovery::keys()),
        (&Method::GET, ["common", "discovery", "instance"]) => Ok(discovery::instance(incoming)),
        _ => return Answer::empty(StatusCode::NOT_FOUND),
    };
    answer.unwrap_or_else(|error| error.answer(incoming, simulator.now()))
}

fn require_tenant(config: &Config, tenant: &str) -> Result<(), EntraError> {
    if tenant == config.tenant_id.to_string() {
        return Ok(());
    }
    if uuid::Uuid::try_parse(tenant).is_err() && !tenant.contains('.') {
        let message =
            format!("Specified tenant identifier '{tenant}' is neither a valid DNS name, nor a valid external domain.");
        return Err(EntraError::invalid_request(900_023, message));
    }
    let message = format!(
        "Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID and are signing into the correct cloud. Check with your subscription administrator, this may happen if there are no active subscriptions for the tenant."
    );
    Err(EntraError::invalid_request(90_002, message))
}
