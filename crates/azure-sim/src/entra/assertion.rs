//! A client assertion: the token of another issuer that a client presents in the place of a secret.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jiff::Timestamp;
use jsonwebtoken::{DecodingKey, decode};
use serde_json::{Map, Value};

use super::access_token::signature_only;
use super::errors::EntraError;
use super::matching::Presented;

/// How far the clocks of issuer and Entra may lie apart.
const CLOCK_SKEW_SECONDS: i64 = 5 * 60;

/// An assertion that was read; nothing of it is proven before [`Assertion::verify`].
#[derive(Debug)]
pub(super) struct Assertion {
    text: String,
    algorithm: String,
    pub(super) key_id: Option<String>,
    pub(super) issuer: String,
    subject: String,
    audiences: Vec<String>,
    not_before: Option<i64>,
    expires: i64,
}

// === impl Assertion ===

impl Assertion {
    pub(super) fn read(text: &str) -> Result<Self, EntraError> {
        let malformed =
            |reason: &str| EntraError::invalid_request(50_027, format!("JWT token is invalid or malformed: {reason}."));
        let parts: Vec<&str> = text.split('.').collect();
        let [header, claims, _] = parts.as_slice() else {
            return Err(malformed("three parts are expected"));
        };
        let header = object(header).ok_or_else(|| malformed("the header is not JSON"))?;
        let claims = object(claims).ok_or_else(|| malformed("the claims are not JSON"))?;
        let string = |of: &Map<String, Value>, name: &str| of.get(name).and_then(Value::as_str).map(str::to_owned);
        let needed = |name: &str| string(&claims, name).ok_or_else(|| malformed(&format!("'{name}' is missing")));
        let number = |name: &str| claims.get(name).and_then(Value::as_f64).map(seconds);
        let audiences = match claims.get("aud") {
            Some(Value::String(audience)) => vec![audience.clone()],
            Some(Value::Array(audiences)) => audiences.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            _ => return Err(malformed("'aud' is missing")),
        };
        Ok(Self {
            text: text.to_owned(),
            algorithm: string(&header, "alg").ok_or_else(|| malformed("'alg' is missing"))?,
            key_id: string(&header, "kid"),
            issuer: needed("iss")?,
            subject: needed("sub")?,
            audiences,
            not_before: number("nbf"),
            expires: number("exp").ok_or_else(|| malformed("'exp' is missing"))?,
        })
    }

    pub(super) fn presented(&self) -> Presented<'_> {
        Presented {
            issuer: &self.issuer,
            subject: &self.subject,
            audiences: &self.audiences,
        }
    }

    /// The assertion must be signed with RS256, and now must lie within its time.
    pub(super) fn require_usable(&self, now: Timestamp) -> Result<(), EntraError> {
        if self.algorithm != "RS256" {
            let message = format!(
                "Invalid JWT token. '{}' is not a supported signature algorithm. Supported signing algorithms are: 'RS256, RS384, RS512'",
                self.algorithm
            );
            return Err(EntraError::invalid_request(5_002_738, message));
        }
        let begun = self
            .not_before
            .is_none_or(|not_before| not_before <= now.as_second() + CLOCK_SKEW_SECONDS);
        if begun && now.as_second() < self.expires {
            return Ok(());
        }
        let shown =
            |seconds: i64| Timestamp::from_second(seconds).map_or_else(|_| seconds.to_string(), |at| at.to_string());
        let message = format!(
            "Client assertion is not within its valid time range. Current time: {}, assertion valid from {}, expiry time of assertion {}. Review the documentation at https://learn.microsoft.com/entra/identity-platform/certificate-credentials .",
            shown(now.as_second()),
            shown(self.not_before.unwrap_or_default()),
            shown(self.expires)
        );
        Err(EntraError::invalid_client(700_024, message))
    }

    /// A token of Entra itself is no assertion of somebody else.
    pub(super) fn require_foreign(&self) -> Result<(), EntraError> {
        let own = ["https://login.microsoftonline.com/", "https://sts.windows.net/"];
        if own.iter().any(|own| self.issuer.starts_with(own)) {
            let message = "AAD-issued tokens may not be used for federated identity flows.";
            return Err(EntraError::invalid_client(700_222, message));
        }
        Ok(())
    }

    /// Proves the assertion with its issuer's key.
    pub(super) fn verify(&self, key: Option<&DecodingKey>) -> Result<(), EntraError> {
        let proven = key.is_some_and(|key| decode::<Map<String, Value>>(&self.text, key, &signature_only()).is_ok());
        if proven {
            return Ok(());
        }
        let key_id = self.key_id.as_deref().unwrap_or_default();
        if key.is_none() {
            let message = format!(
                "The certificate with identifier {key_id} used to sign the federated credential could not be found in the metadata of identity provider {}. Please validate that your Identity Provider's metadata exposes the key used to sign the incoming token.",
                self.issuer
            );
            return Err(EntraError::invalid_client(7_000_272, message));
        }
        let message = format!("Client assertion failed signature validation. Key id: '{key_id}'.");
        Err(EntraError::invalid_client(700_027, message))
    }
}

fn object(part: &str) -> Option<Map<String, Value>> {
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(part).ok()?).ok()
}

#[allow(
    clippy::cast_possible_truncation,
    reason = "the cast saturates, and no clock comes near the ends"
)]
fn seconds(number: f64) -> i64 {
    number.floor() as i64
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn assertion(algorithm: &str, claims: &Value) -> Result<Assertion, EntraError> {
        let part = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
        Assertion::read(&format!("{}.{}.sig", part(&json!({ "alg": algorithm })), part(claims)))
    }

    fn valid_between(algorithm: &str, not_before: i64, expires: i64) -> Assertion {
        let claims = json!({ "iss": "i", "sub": "s", "aud": ["a"], "nbf": not_before, "exp": expires });
        assertion(algorithm, &claims).unwrap()
    }

    #[test]
    fn what_is_no_token_is_malformed() {
        let code = |text: &str| Assertion::read(text).err().map(|error| error.code);
        assert_eq!(code(""), Some(50_027));
        assert_eq!(code("a.b.c"), Some(50_027));
        assert_eq!(
            assertion("RS256", &json!({ "iss": "i" })).err().map(|error| error.code),
            Some(50_027)
        );
    }

    #[test]
    fn an_assertion_is_good_within_its_time_alone() {
        let code = |now: i64| {
            let usable = valid_between("RS256", 1000, 2000).require_usable(Timestamp::from_second(now).unwrap());
            usable.err().map(|error| error.code)
        };
        assert_eq!(code(1500), None);
        assert_eq!(code(800), None, "clocks differ a little");
        assert_eq!(code(600), Some(700_024));
        assert_eq!(code(2000), Some(700_024));
    }

    #[test]
    fn an_unsigned_assertion_is_refused() {
        let usable = valid_between("none", 0, 2000).require_usable(Timestamp::from_second(1500).unwrap());
        assert_eq!(usable.err().map(|error| error.code), Some(5_002_738));
        assert!(valid_between("RS256", 0, 2000).verify(None).is_err());
    }
}
