//! Which federated credential, if any, trusts an assertion. Byte for byte: a slash or a capital makes a difference.

use crate::entra::errors::EntraError;
use crate::model::Credential;

const ADVICE: &str = "Check your federated identity credential Subject, Audience and Issuer against the presented assertion. See documentation at: https://learn.microsoft.com/entra/workload-id/workload-identity-federation.";

/// What the assertion presents.
#[derive(Debug, Clone, Copy)]
pub(super) struct Presented<'a> {
    pub(super) issuer: &'a str,
    pub(super) subject: &'a str,
    pub(super) audiences: &'a [String],
}

/// Finds the credential that trusts it, or says what keeps the nearest one from it. A flexible credential, which has no
/// subject, never matches: managed identities have no such feature.
pub(super) fn find_match(
    credentials: &[Credential],
    display_name: &str,
    presented: Presented<'_>,
) -> Result<(), EntraError> {
    let Presented {
        issuer,
        subject,
        audiences,
    } = presented;
    if credentials.is_empty() {
        let message = format!("The client '{display_name}' has no configured federated identity credentials.");
        return Err(EntraError::invalid_client(70_025, message));
    }
    let of_issuer: Vec<&Credential> = credentials
        .iter()
        .filter(|credential| credential.issuer == issuer)
        .collect();
    if of_issuer.is_empty() {
        return Err(mismatch(700_211, "issuer", issuer, ""));
    }
    let with_subject = |matches: fn(&str, &str) -> bool| -> Vec<&Credential> {
        let matches =
            |credential: &&&Credential| credential.subject.as_deref().is_some_and(|own| matches(own, subject));
        of_issuer.iter().filter(matches).copied().collect()
    };
    let exact = with_subject(|own, presented| own == presented);
    if exact.is_empty() {
        if with_subject(|own, presented| own.to_lowercase() == presented.to_lowercase()).is_empty() {
            return Err(mismatch(700_213, "subject", subject, ""));
        }
        let note = "The subject matches with case-insensitive comparison, but not with case-sensitive comparison. ";
        return Err(mismatch(7_002_138, "subject", subject, note));
    }
    let audience_matches =
        |credential: &&Credential| credential.audiences.iter().any(|audience| audiences.contains(audience));
    if exact.iter().any(audience_matches) {
        return Ok(());
    }
    Err(mismatch(700_212, "audience", &audiences.join(","), ""))
}

fn mismatch(code: u32, what: &str, value: &str, note: &str) -> EntraError {
    let message =
        format!("No matching federated identity record found for presented assertion {what} '{value}'. {note}{ADVICE}");
    EntraError::invalid_client(code, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credential(subject: Option<&str>) -> Credential {
        Credential {
            name: "one".to_owned(),
            issuer: "https://issuer/".to_owned(),
            subject: subject.map(str::to_owned),
            audiences: vec!["aud".to_owned()],
            claims_matching_expression: None,
        }
    }

    fn code(issuer: &str, subject: &str, audience: &str) -> Option<u32> {
        let credentials = [credential(Some("system:serviceaccount:ns:sa")), credential(None)];
        let audiences = [audience.to_owned()];
        let presented = Presented {
            issuer,
            subject,
            audiences: &audiences,
        };
        find_match(&credentials, "client", presented)
            .err()
            .map(|error| error.code)
    }

    #[test]
    fn a_credential_matches_byte_for_byte() {
        let (issuer, subject) = ("https://issuer/", "system:serviceaccount:ns:sa");
        assert_eq!(code(issuer, subject, "aud"), None);
        assert_eq!(code("https://issuer", subject, "aud"), Some(700_211));
        assert_eq!(code(issuer, "system:serviceaccount:ns:other", "aud"), Some(700_213));
        assert_eq!(code(issuer, "system:serviceaccount:ns:SA", "aud"), Some(7_002_138));
        assert_eq!(code(issuer, subject, "AUD"), Some(700_212));
        let presented = Presented {
            issuer,
            subject,
            audiences: &[],
        };
        assert_eq!(
            find_match(&[], "client", presented).err().map(|error| error.code),
            Some(70_025)
        );
    }

    #[test]
    fn a_flexible_credential_never_matches() {
        let audiences = ["aud".to_owned()];
        let presented = Presented {
            issuer: "https://issuer/",
            subject: "",
            audiences: &audiences,
        };
        assert_eq!(
            find_match(&[credential(None)], "c", presented)
                .err()
                .map(|error| error.code),
            Some(700_213)
        );
    }
}
