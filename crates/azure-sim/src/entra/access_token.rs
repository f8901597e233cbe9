//! Access tokens: how they are made, and how Azure Resource Manager reads them again.

use jiff::Timestamp;
use jsonwebtoken::errors::Error;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::clock::after;
use crate::config::Config;
use crate::model::Identity;

/// The simulator's own signing key. It signs nothing but tokens of simulated clouds, and is the same in all of them so
/// that runs are alike and tokens outlive a restart.
const SIGNING_KEY: &str = include_str!("signing-key.pem");
/// Its public half, as Entra publishes its keys.
const KEY_SET: &str = include_str!("signing-key.jwks.json");

/// A token that was issued.
pub(crate) struct Issued {
    pub(crate) token: String,
    pub(crate) not_before: i64,
    pub(crate) expires: i64,
}

/// Issues a token that lets the identity use `audience`.
pub(crate) fn issue(config: &Config, identity: &Identity, audience: &str, now: Timestamp) -> Result<Issued, Error> {
    let (issued_at, expires) = (now.as_second(), after(now, config.token_lifetime).as_second());
    let tenant = config.tenant_id;
    let issuer = format!("https://sts.windows.net/{tenant}/");
    // The claims of Entra's v1.0 tokens, which Azure's own APIs ask for.
    let claims = json!({
        "aud": audience,
        "iss": issuer,
        "iat": issued_at,
        "nbf": issued_at,
        "exp": expires,
        "appid": identity.client_id,
        "appidacr": "2",
        "idp": issuer,
        "idtyp": "app",
        "oid": identity.principal_id,
        "sub": identity.principal_id,
        "tid": tenant,
        "uti": Uuid::new_v4().simple().to_string(),
        "ver": "1.0",
        "xms_mirid": identity.id.to_string(),
    });
    let header = Header {
        kid: key_id(),
        ..Header::new(Algorithm::RS256)
    };
    let token = encode(&header, &claims, &EncodingKey::from_rsa_pem(SIGNING_KEY.as_bytes())?)?;
    Ok(Issued {
        token,
        not_before: issued_at,
        expires,
    })
}

/// The claims of a token that [`issue`] made. Whether it is still valid, and for whom, is for the caller to look at.
pub(crate) fn verify(token: &str) -> Option<Map<String, Value>> {
    let key_set = key_set();
    let key = key_set.pointer("/keys/0")?;
    let part = |name: &str| key.get(name).and_then(Value::as_str);
    let key = DecodingKey::from_rsa_components(part("n")?, part("e")?).ok()?;
    decode(token, &key, &signature_only()).ok().map(|token| token.claims)
}

/// Looks at the signature alone: times are judged by the simulated clock.
pub(super) fn signature_only() -> Validation {
    let mut validation = Validation::new(Algorithm::RS256);
    validation.validate_exp = false;
    validation.validate_aud = false;
    validation.required_spec_claims.clear();
    validation
}

/// The public keys with which access tokens are verified.
pub(super) fn key_set() -> Value {
    serde_json::from_str(KEY_SET).unwrap_or_default()
}

fn key_id() -> Option<String> {
    key_set()
        .pointer("/keys/0/kid")
        .and_then(Value::as_str)
        .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::model::IdentityId;

    fn identity() -> Identity {
        Identity {
            id: IdentityId::new("00000000-0000-0000-0000-000000000001", "rg", "orders"),
            location: "westeurope".to_owned(),
            tags: BTreeMap::new(),
            client_id: Uuid::from_u128(1),
            principal_id: Uuid::from_u128(2),
            isolation_scope: "None".to_owned(),
            assignment_restrictions: Vec::new(),
            created_at: Timestamp::UNIX_EPOCH,
            tokens_valid_from: None,
            credentials: Vec::new(),
        }
    }

    #[test]
    fn a_token_speaks_of_its_identity_and_verifies_with_the_published_key() {
        let issued = issue(
            &Config::default(),
            &identity(),
            "https://vault.azure.net",
            Timestamp::UNIX_EPOCH,
        )
        .unwrap();
        let claims = verify(&issued.token).unwrap();
        assert_eq!(claims["oid"], json!(Uuid::from_u128(2)));
        assert_eq!(claims["appid"], json!(Uuid::from_u128(1)));
        assert_eq!(claims["aud"], "https://vault.azure.net");
        assert_eq!(claims["exp"], 24 * 60 * 60);
        let header = jsonwebtoken::decode_header(&issued.token).unwrap();
        assert_eq!(header.kid, key_id());
    }

    #[test]
    fn a_token_that_was_tampered_with_is_refused() {
        let issued = issue(&Config::default(), &identity(), "x", Timestamp::UNIX_EPOCH).unwrap();
        let mut parts: Vec<&str> = issued.token.split('.').collect();
        let other = issue(&Config::default(), &identity(), "y", Timestamp::UNIX_EPOCH).unwrap();
        parts[1] = other.token.split('.').nth(1).unwrap();
        assert_eq!(verify(&parts.join(".")), None);
        assert_eq!(verify("x"), None);
    }
}
