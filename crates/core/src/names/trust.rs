//! The three texts that Entra compares, exactly and with regard to case, before it trusts a token.

use std::net::Ipv4Addr;

use url::{Host, Url};

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
    "it must be a URL of at most 600 characters without spaces or '*', for example https://issuer.example/",
    |text| is_trust_text(text) && (text.starts_with("https://") || text.starts_with("http://")) && Url::parse(text).is_ok()
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
    #[must_use]
    pub fn service_account(subject: &str) -> Option<(Namespace, ServiceAccountName)> {
        let (namespace, account) = subject.strip_prefix("system:serviceaccount:")?.split_once(':')?;
        Some((namespace.parse().ok()?, account.parse().ok()?))
    }

    /// The subject of a service account's tokens.
    #[must_use]
    pub fn of(namespace: &Namespace, account: &ServiceAccountName) -> Self {
        Self(format!("system:serviceaccount:{namespace}:{account}"))
    }
}

impl Issuer {
    /// Why Entra cannot read this issuer's keys from the internet, as far as its URL tells; none when it may be able to. The default of
    /// kubeadm, kind and k3s is `https://kubernetes.default.svc.cluster.local`.
    #[must_use]
    pub fn unreachable(&self) -> Option<&'static str> {
        const PRIVATE_NAMES: [&str; 5] = [".svc", ".local", ".internal", ".localhost", ".localdomain"];
        let Ok(url) = Url::parse(&self.0) else {
            return Some("it is no URL");
        };
        if url.scheme() != "https" {
            return Some("it is not https");
        }
        match url.host() {
            Some(Host::Domain(name)) => {
                let name = name.trim_end_matches('.').to_ascii_lowercase();
                let private = !name.contains('.') || PRIVATE_NAMES.iter().any(|end| name.ends_with(end));
                private.then_some("its host is a name that only a private network knows")
            }
            Some(Host::Ipv4(address)) => is_private(address).then_some(PRIVATE_ADDRESS),
            Some(Host::Ipv6(address)) => {
                let mapped = address.to_ipv4_mapped().is_some_and(is_private);
                let own = address.is_loopback() || address.is_unspecified();
                let private = mapped || own || address.is_unique_local() || address.is_unicast_link_local();
                private.then_some(PRIVATE_ADDRESS)
            }
            None => Some("it names no host"),
        }
    }
}

const PRIVATE_ADDRESS: &str = "its host is an address of a private network";

/// Addresses that the internet does not route: <https://www.iana.org/assignments/iana-ipv4-special-registry>.
fn is_private(address: Ipv4Addr) -> bool {
    let [first, second, ..] = address.octets();
    let shared = first == 100 && (64..128).contains(&second);
    address.is_private() || address.is_loopback() || address.is_link_local() || shared || first == 0
}

impl Audience {
    /// The audience that the pod webhook uses in every cloud unless it is told otherwise.
    pub const DEFAULT: &'static str = "api://AzureADTokenExchange";
}

fn is_trust_text(text: &str) -> bool {
    (1..=MAX_CHARS).contains(&text.chars().count())
        && !text.chars().any(|c| c.is_whitespace() || c.is_control() || c == '*')
}
