//! The bearer token of a request to Azure Resource Manager.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use http::{StatusCode, header};
use jiff::Timestamp;
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::answer::{Answer, Outcome};
use crate::cloud::Cloud;
use crate::config::Config;
use crate::entra::access_token;
use crate::incoming::Incoming;

/// The audiences with which Azure Resource Manager of the public cloud and of the sovereign ones accepts a token.
const ARM_AUDIENCES: [&str; 8] = [
    "https://management.azure.com",
    "https://management.core.windows.net",
    "https://management.usgovcloudapi.net",
    "https://management.core.usgovcloudapi.net",
    "https://management.chinacloudapi.cn",
    "https://management.core.chinacloudapi.cn",
    "https://management.microsoftazure.de",
    "https://management.core.cloudapi.de",
];

/// The principal whose token the request carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Caller {
    /// The object id.
    pub(crate) principal: String,
    /// The application id.
    pub(crate) client: String,
}

/// Reads and checks the bearer token.
pub(crate) fn authenticate(cloud: &Cloud, incoming: &Incoming) -> Outcome<Caller> {
    let config = cloud.settings();
    let refuse = |code: &str, message: String| Err(unauthorized(incoming, &config, code, &message));
    let Some(header) = incoming.header(header::AUTHORIZATION.as_str()) else {
        let message = "Authentication failed. The 'Authorization' header is missing.".to_owned();
        return refuse("AuthenticationFailed", message);
    };
    let Some(token) = bearer(header) else {
        let message = "Authentication failed. The 'Authorization' header is provided in an invalid format.".to_owned();
        return refuse("AuthenticationFailedInvalidHeader", message);
    };
    if let Some(principal) = config.static_tokens.get(token) {
        return Ok(Caller {
            principal: principal.to_string(),
            client: claimed_client(token).unwrap_or_else(|| principal.to_string()),
        });
    }
    let Some(claims) = access_token::verify(token) else {
        return refuse("InvalidAuthenticationToken", "The access token is invalid.".to_owned());
    };
    let audience = text(&claims, "aud");
    if !is_arm_audience(&config, audience) {
        let allowed = "'https://management.core.windows.net/','https://management.core.windows.net','https://management.azure.com/','https://management.azure.com'";
        let message = format!(
            "The access token has been obtained for wrong audience or resource '{audience}'. It should exactly match with one of the allowed audiences {allowed}."
        );
        return refuse("InvalidAuthenticationTokenAudience", message);
    }
    let tenant = config.tenant_id.to_string();
    if text(&claims, "tid") != tenant {
        let message = format!("The access token is from the wrong issuer. It must match the tenant '{tenant}'.");
        return refuse("InvalidAuthenticationTokenTenant", message);
    }
    let (now, issued, expires) = (cloud.now(), moment(&claims, "iat"), moment(&claims, "exp"));
    if expires <= now {
        let message = format!("The access token expiry UTC time '{expires}' is earlier than current UTC time '{now}'.");
        return refuse("ExpiredAuthenticationToken", message);
    }
    let caller = Caller {
        principal: text(&claims, "oid").to_owned(),
        client: text(&claims, "appid").to_owned(),
    };
    let valid_from = Uuid::try_parse(&caller.principal).ok().and_then(|principal| {
        cloud.with_state(|state, _| {
            state
                .live
                .identity_of_principal(principal)
                .and_then(|found| found.tokens_valid_from)
        })
    });
    if valid_from.is_some_and(|valid_from| issued < valid_from) {
        return refuse(
            "RevokedAuthenticationToken",
            "The access token has been revoked.".to_owned(),
        );
    }
    Ok(caller)
}

/// The application id that a token claims which is accepted as it stands.
fn claimed_client(token: &str) -> Option<String> {
    let claims = BASE64_URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    let claims: Map<String, Value> = serde_json::from_slice(&claims).ok()?;
    Some(claims.get("appid")?.as_str()?.to_owned())
}

fn bearer(header: &str) -> Option<&str> {
    let (scheme, token) = header.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then_some(token.trim())
        .filter(|token| !token.is_empty())
}

/// Whether Azure Resource Manager accepts a token for this.
pub(crate) fn is_arm_audience(config: &Config, audience: &str) -> bool {
    let plain = |audience: &str| audience.trim_end_matches('/').to_lowercase();
    ARM_AUDIENCES.contains(&plain(audience).as_str())
        || config.arm_audiences.iter().any(|other| plain(other) == plain(audience))
}

fn text<'a>(claims: &'a Map<String, Value>, name: &str) -> &'a str {
    claims.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// A time among the claims, in whole seconds; what is missing is long ago.
fn moment(claims: &Map<String, Value>, name: &str) -> Timestamp {
    let seconds = claims.get(name).and_then(Value::as_i64).unwrap_or_default();
    Timestamp::from_second(seconds).unwrap_or(Timestamp::UNIX_EPOCH)
}

fn unauthorized(incoming: &Incoming, config: &Config, code: &str, message: &str) -> Answer {
    let challenge = format!(
        "Bearer authorization_uri=\"{}/{}\", error=\"invalid_token\", error_description=\"{message}\"",
        incoming.base, config.tenant_id
    );
    Answer::error(StatusCode::UNAUTHORIZED, code, message)
        .with_header("www-authenticate", challenge)
        .with_header("x-ms-failure-cause", "gateway")
}
