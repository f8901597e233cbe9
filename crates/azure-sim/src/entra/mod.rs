//! Entra: the token endpoint of one tenant, and the documents that lead clients to it.

pub(crate) mod access_token;
mod assertion;
mod discovery;
pub(crate) mod errors;
pub(crate) mod issuers;
pub(crate) mod keys;
mod matching;
mod resources;
mod tenant;
mod token;

use http::{Method, StatusCode};

use crate::answer::Answer;
use crate::cloud::Cloud;
use crate::incoming::Incoming;
use tenant::require_tenant;
use token::Protocol;

/// Answers a request to Entra. The path's segments are in lower case.
pub(crate) async fn serve(cloud: &Cloud, incoming: &Incoming, path: &[String]) -> Answer {
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    let config = cloud.settings();
    let answer = match (&incoming.method, path.as_slice()) {
        (&Method::POST, [tenant, "oauth2", "v2.0", "token"]) => match require_tenant(&config, tenant) {
            Ok(()) => token::issue(cloud, incoming, Protocol::V2).await,
            Err(error) => Err(error),
        },
        (&Method::POST, [tenant, "oauth2", "token"]) => match require_tenant(&config, tenant) {
            Ok(()) => token::issue(cloud, incoming, Protocol::V1).await,
            Err(error) => Err(error),
        },
        (&Method::GET, [tenant, "v2.0", ".well-known", "openid-configuration"]) => {
            discovery::openid_configuration(&config, incoming, tenant)
        }
        (&Method::GET, [_, "discovery", "v2.0", "keys"] | [_, "discovery", "keys"]) => Ok(discovery::keys()),
        (&Method::GET, ["common", "discovery", "instance"]) => Ok(discovery::instance(incoming)),
        // Microsoft Graph, to which nobody here has a right: clients that ask it for a name go on with the object id.
        (_, ["v1.0", ..]) => {
            let message = "Insufficient privileges to complete the operation.";
            return Answer::error(StatusCode::FORBIDDEN, "Authorization_RequestDenied", message);
        }
        _ => return Answer::empty(StatusCode::NOT_FOUND),
    };
    answer.unwrap_or_else(|error| error.answer(incoming, cloud.now()))
}
