//! JSON Web Tokens: what one says of itself, and taking them out of messages.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde_json::{Map, Value};
use wio_core::names::ClientId;

/// What a token says of itself, as far as it is shown:
/// <https://learn.microsoft.com/entra/identity-platform/access-token-claims-reference>.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claims {
    /// `iss`: who issued it.
    pub issuer: Option<String>,
    /// `sub`: whom it is about.
    pub subject: Option<String>,
    /// `aud`: for whom it is.
    pub audiences: Vec<String>,
    /// `exp`: when it ends.
    pub expires: Option<Timestamp>,
    /// `oid`: the object id of the principal that has it.
    pub object: Option<String>,
    /// `appid` in tokens of version 1.0, which Azure Resource Manager asks for, or `azp` in those of version 2.0: the client id of the
    /// application that it was issued to.
    pub application: Option<String>,
    /// `tid`: the tenant.
    pub tenant: Option<String>,
}

/// The claims of a token; none where it is no JSON Web Token. The signature is not verified: whoever the token is for does that,
/// and refuses a forged one.
pub(crate) fn claims(token: &str) -> Option<Claims> {
    let mut parts = token.split('.');
    let (Some(_), Some(payload), Some(_), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
        return None;
    };
    let payload = BASE64_URL_SAFE_NO_PAD.decode(payload).ok()?;
    let claims: Map<String, Value> = serde_json::from_slice(&payload).ok()?;
    let text = |name: &str| claims.get(name).and_then(Value::as_str).map(str::to_owned);
    let audiences = match claims.get("aud") {
        Some(Value::Array(several)) => several.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        Some(Value::String(one)) => vec![one.clone()],
        _ => Vec::new(),
    };
    Some(Claims {
        issuer: text("iss"),
        subject: text("sub"),
        audiences,
        expires: claims
            .get("exp")
            .and_then(Value::as_i64)
            .and_then(|second| Timestamp::from_second(second).ok()),
        object: text("oid"),
        application: text("appid").or_else(|| text("azp")),
        tenant: text("tid"),
    })
}

/// The application (client) id that an access token was issued to; none where it is no JSON Web Token or names none.
pub(crate) fn application(token: &str) -> Option<ClientId> {
    claims(token)?.application?.parse().ok()
}

/// A text without what looks like a JSON Web Token in it. Parsers quote what they did not expect.
pub(crate) fn without_tokens(text: &str) -> String {
    let not_of_a_token = |c: char| !(c.is_ascii_alphanumeric() || "-_.=+/".contains(c));
    text.split_inclusive(not_of_a_token)
        .map(|word| if word.starts_with("eyJ") { "<token> " } else { word })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const APPLICATION: &str = "1a2b3c4d-0000-4000-8000-00000000c11e";
    const OTHER: &str = "6f2e1c1d-52a4-4d0c-8d2f-0c6a2d0b7a11";

    fn token(claims: &Value) -> String {
        let part = |json: &Value| BASE64_URL_SAFE_NO_PAD.encode(json.to_string());
        format!(
            "{}.{}.c2lnbmF0dXJl",
            part(&json!({"alg": "RS256", "typ": "JWT"})),
            part(claims)
        )
    }

    #[test]
    fn the_application_is_named_by_the_claim_of_the_tokens_version() {
        let named = Some(APPLICATION.parse().unwrap());
        let v1 = json!({
            "aud": "https://management.azure.com", "ver": "1.0", "appid": APPLICATION, "appidacr": "2", "oid": OTHER,
            "exp": 1_700_000_000, "name": "Größe ?>~"
        });
        assert_eq!(application(&token(&v1)), named);
        let v2 = json!({"ver": "2.0", "azp": APPLICATION, "azpacr": "2", "oid": OTHER});
        assert_eq!(application(&token(&v2)), named);
        let shouted = json!({"appid": APPLICATION.to_uppercase()});
        assert_eq!(application(&token(&shouted)), named);
        assert_eq!(application(&token(&json!({"appid": APPLICATION, "azp": OTHER}))), named);
    }

    #[test]
    fn a_token_that_names_no_application_says_none() {
        for claims in [
            json!({"oid": OTHER}),
            json!({"appid": null, "azp": null}),
            json!({"appid": "", "azp": OTHER}),
            json!({"appid": "orders"}),
            json!({"appid": 7}),
            json!({"appid": [APPLICATION]}),
            json!({"appid": "00000000-0000-0000-0000-000000000000"}),
            json!([]),
            json!("text"),
        ] {
            assert_eq!(application(&token(&claims)), None, "{claims}");
        }
    }

    #[test]
    fn what_is_no_json_web_token_says_none() {
        let whole = token(&json!({"appid": APPLICATION}));
        let (signed, signature) = whole.rsplit_once('.').unwrap();
        let (header, payload) = signed.split_once('.').unwrap();
        for text in [
            String::new(),
            "opaque".to_owned(),
            "..".to_owned(),
            "a.b.c".to_owned(),
            signed.to_owned(),
            payload.to_owned(),
            format!("{whole}.more"),
            format!("{header}.{payload}=.{signature}"),
            format!("{header}.{}.{signature}", json!({"appid": APPLICATION})),
        ] {
            assert_eq!(application(&text), None, "{text}");
        }
    }

    #[test]
    fn what_looks_like_a_token_is_taken_out_of_messages() {
        let quoted = r#"invalid type: string "eyJhbGciOi.eyJpc3Mi.c2ln", expected i64"#;
        let clean = without_tokens(quoted);
        assert!(!clean.contains("eyJ") && !clean.contains("c2ln"), "{clean}");
        assert!(
            clean.starts_with("invalid type: string \"") && clean.ends_with("expected i64"),
            "{clean}"
        );
        assert_eq!(
            without_tokens("AADSTS700016: keyJ is fine."),
            "AADSTS700016: keyJ is fine."
        );
    }
}
