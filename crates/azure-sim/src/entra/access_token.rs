//! Access tokens: how they are made, and how Azure Resource Manager reads them again.

use std::sync::LazyLock;

use jiff::Timestamp;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::clock::after;
use crate::config::Config;
use crate::model::Identity;
use crate::quick_key::QuickKey;

/// The simulator's own signing key. It signs nothing but tokens of simulated clouds, and is the same in all of them so
/// that runs are alike and tokens outlive a restart.
static SIGNING_KEY: LazyLock<QuickKey> =
    LazyLock::new(|| QuickKey::new("_cfjHrzx3HDhsMSS4QKfqK3bAr_ZlBA0h-_uHAG-XtI", &PRIMES));
#[rustfmt::skip]
const PRIMES: [u64; 32] = [
    0xfff5_1f79_e2e9_0529, 0xff66_1dd2_3183_5d1d, 0xffc3_0920_6e3b_e66f, 0xfeab_1116_20a1_78e5,
    0xfe12_2cd3_9817_6cf1, 0xfc3c_e9bb_738a_2f9b, 0xfff3_27bc_1b6d_d11d, 0xfc26_91d5_2738_352b,
    0xfc14_463f_44bb_60b9, 0xffef_7bfe_7486_e411, 0xfe41_3df4_775e_3a6d, 0xfcbc_2385_5e9d_d185,
    0xfdb6_906f_3ef7_532f, 0xfdef_4023_0dfe_a97f, 0xfc78_6103_2470_1949, 0xfdc0_a45e_6508_5cf3,
    0xfccb_f9b1_8bc3_8b57, 0xfc43_d195_a81b_5241, 0xfd7f_facd_e501_4f09, 0xff3d_e164_209b_424f,
    0xfdeb_c24a_e790_4a77, 0xfef0_fac3_f333_5d65, 0xffeb_c3a5_43d0_e117, 0xff08_42f4_ea18_48a9,
    0xfc0b_dbe8_2840_c557, 0xfc3c_f4a5_2ea7_9163, 0xfdec_5424_136a_fbbd, 0xfe9b_f424_0e31_48d1,
    0xfeb4_c0e9_f27f_f711, 0xfe78_dbe8_f99b_f429, 0xfe30_c59d_5342_c541, 0xfcf0_0190_7448_9fb9,
];

/// Makes the key now.
pub(crate) fn make_key() {
    LazyLock::force(&SIGNING_KEY);
}

/// A token that was issued.
pub(crate) struct Issued {
    pub(crate) token: String,
    pub(crate) not_before: i64,
    pub(crate) expires: i64,
}

/// Issues a token that lets the identity use `audience`.
pub(crate) fn issue(
    config: &Config,
    identity: &Identity,
    audience: &str,
    now: Timestamp,
) -> Result<Issued, serde_json::Error> {
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
    Ok(Issued {
        token: SIGNING_KEY.sign(&claims)?,
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
    SIGNING_KEY.key_set()
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
        assert_eq!(header.kid.as_deref(), key_set()["keys"][0]["kid"].as_str());
    }

    #[test]
    fn each_signature_is_one_that_others_verify() {
        for number in 0..20 {
            let claims = json!({ "sub": number });
            let token = SIGNING_KEY.sign(&claims).unwrap();
            assert_eq!(verify(&token).map(Value::Object), Some(claims));
            let (signed, signature) = token.rsplit_once('.').unwrap();
            assert_eq!(verify(&format!("{signed}x.{signature}")), None);
        }
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
