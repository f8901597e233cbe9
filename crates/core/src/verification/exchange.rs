//! What is exchanged: whose token, and for a token of whom.

use crate::desired::DesiredCredential;
use crate::names::{Audience, ClientId, CredentialName, Issuer, ServiceAccountName, Subject, TenantId, hash};
use crate::observed::PresentIdentity;

/// An exchange that proves that the pods of a service account get tokens, with all that it rests on.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Exchange {
    /// The service account, of the binding's namespace. It carries the client id.
    pub account: ServiceAccountName,
    /// The audience of its token.
    pub audience: Audience,
    /// The tenant of the identity.
    pub tenant: TenantId,
    /// The identity.
    pub client: ClientId,
    /// Whose tokens the credential trusts.
    pub(super) issuer: Issuer,
    /// Which subject it trusts.
    pub(super) subject: Subject,
    /// The credential.
    pub(super) credential: CredentialName,
}

// === impl Exchange ===

impl Exchange {
    /// The exchange for a service account by the credential that trusts it; none when no credential does.
    pub(super) fn new(wanted: &DesiredCredential, present: &PresentIdentity) -> Option<Self> {
        let mut credentials = present.credentials.iter();
        let credential = credentials.find(|credential| {
            credential.trusts(wanted.issuer.as_str(), wanted.subject.as_str())
                && credential.has_audience(&wanted.audience)
        })?;
        Some(Self::by(wanted, present, &credential.name))
    }

    /// The exchange by the credential of this name, which is there or will be.
    pub(super) fn by(wanted: &DesiredCredential, present: &PresentIdentity, credential: &CredentialName) -> Self {
        Self {
            account: wanted.account.clone(),
            audience: wanted.audience.clone(),
            tenant: present.facts.tenant_id,
            client: present.facts.client_id,
            issuer: wanted.issuer.clone(),
            subject: wanted.subject.clone(),
            credential: credential.clone(),
        }
    }

    /// What it rests on, as a hash.
    pub(super) fn facts(&self) -> String {
        hash(&[
            self.issuer.as_str(),
            self.subject.as_str(),
            self.audience.as_str(),
            &self.tenant.to_string(),
            &self.client.to_string(),
            // Azure may answer in another case than was sent.
            &self.credential.as_str().to_ascii_lowercase(),
        ])
    }
}
