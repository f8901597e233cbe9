//! The three texts that Entra compares, exactly and with regard to case, before it trusts a token.

use super::kubernetes::{Namespace, ServiceAccountName};
use super::text::text_newtype;

/// <https://learn.microsoft.com/entra/workload-id/workload-identity-federation-considerations>
const MAX_CHARS: usize = 600;
const RULE: &str = "it must be 1 to 600 characters without spaces, control characters or '*'";

text_newtype!(
    /// The issuer of the cluster's service account tokens, byte for byte as its discovery document says
    /// (a missing final slash is a mismatch).
    Issuer,
    "issuer",
    "it must be an https URL of at most 600 characters without spaces or '*'",
    |text| is_trust_text(text) && text.starts_with("https://") && url::Url::parse(text).is_ok()
);
text_newtype!(
    /// The subject of a service account's tokens: `system:serviceaccount:<namespace>:<name>`.
    Subject,
    "subject",
    RULE,
    is_trust_text
);
text_newtype!(
    /// The audience of the tokens that the pod webhook mints.
    Audience,
    "audience",
    RULE,
    is_trust_text
);

impl Subject {
    /// The service account whose tokens have this subject, and its namespace; none when they are of something else.
    pub(crate) fn service_account(subject: &str) -> Option<(Namespace, ServiceAccountName)> {
        let (namespace, account) = subject.strip_prefix("system:serviceaccount:")?.split_once(':')?;
        Some((namespace.parse().ok()?, account.parse().ok()?))
    }

    /// The subject of a service account's tokens.
    #[must_use]
    pub fn of(namespace: &Namespace, account: &ServiceAccountName) -> Self {
        Self(format!("system:serviceaccount:{namespace}:{account}"))
    }
}

impl Audience {
    /// The audience that the pod webhook uses in every cloud unless it is told otherwise.
    pub const DEFAULT: &'static str = "api://AzureADTokenExchange";
}

fn is_trust_text(text: &str) -> bool {
    (1..=MAX_CHARS).contains(&text.chars().count())
        && !text.chars().any(|c| c.is_whitespace() || c.is_control() || c == '*')
}
