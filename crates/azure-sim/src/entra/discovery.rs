//! The documents that lead clients to the token endpoint, all on the caller's own base.

use http::StatusCode;
use serde_json::json;
use url::Url;

use super::access_token;
use super::errors::EntraError;
use super::tenant::require_tenant;
use crate::answer::Answer;
use crate::config::Config;
use crate::incoming::Incoming;

/// <https://learn.microsoft.com/entra/identity-platform/v2-protocols-oidc#fetch-the-openid-configuration-document>
pub(super) fn openid_configuration(config: &Config, incoming: &Incoming, tenant: &str) -> Result<Answer, EntraError> {
    let shared = ["common", "organizations"].contains(&tenant);
    if !shared {
        require_tenant(config, tenant)?;
    }
    let issuer_tenant = if shared { "{tenantid}" } else { tenant };
    let base = &incoming.base;
    Ok(Answer::ok(json!({
        "issuer": format!("{base}/{issuer_tenant}/v2.0"),
        "authorization_endpoint": format!("{base}/{tenant}/oauth2/v2.0/authorize"),
        "token_endpoint": format!("{base}/{tenant}/oauth2/v2.0/token"),
        "device_authorization_endpoint": format!("{base}/{tenant}/oauth2/v2.0/devicecode"),
        "jwks_uri": format!("{base}/{tenant}/discovery/v2.0/keys"),
        "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt", "client_secret_basic"],
        "response_types_supported": ["code", "id_token", "code id_token", "id_token token"],
        "response_modes_supported": ["query", "fragment", "form_post"],
        "subject_types_supported": ["pairwise"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "scopes_supported": ["openid", "profile", "email", "offline_access"],
        "claims_supported": ["sub", "iss", "aud", "exp", "iat", "tid", "oid", "ver"],
        "tenant_region_scope": "EU",
        "cloud_instance_name": host(incoming),
    })))
}

pub(super) fn keys() -> Answer {
    Answer::ok(access_token::key_set())
}

/// What Microsoft's clients ask the authority that they know best about an authority that they do not know: here the
/// host of this simulator is the only cloud.
pub(super) fn instance(incoming: &Incoming) -> Answer {
    let endpoint = incoming
        .query("authorization_endpoint")
        .and_then(|endpoint| Url::parse(endpoint).ok());
    let tenant = endpoint
        .as_ref()
        .and_then(Url::path_segments)
        .and_then(|mut segments| segments.next());
    let Some(tenant) = tenant.filter(|tenant| !tenant.is_empty()) else {
        let body = json!({
            "error": "invalid_instance",
            "error_description": "AADSTS50049: Unknown or invalid instance.",
            "error_codes": [50049],
        });
        return Answer {
            error_code: Some("AADSTS50049".to_owned()),
            ..Answer::json(StatusCode::BAD_REQUEST, body)
        };
    };
    let host = host(incoming);
    Answer::ok(json!({
        "tenant_discovery_endpoint": format!("{}/{tenant}/v2.0/.well-known/openid-configuration", incoming.base),
        "api-version": "1.1",
        "metadata": [{ "preferred_network": host, "preferred_cache": host, "aliases": [host] }],
    }))
}

fn host(incoming: &Incoming) -> &str {
    incoming.base.trim_start_matches("https://")
}
