//! What was found of other tools.

use std::collections::BTreeMap;

use wio_core::names::{ClientId, IdentityId, Subject};

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    /// The trust that stands.
    pub(crate) trusts: Vec<Trust>,
    /// The identities by their client ids.
    pub(crate) identities: BTreeMap<ClientId, IdentityId>,
    /// What no binding can carry on, and why.
    pub(crate) left: Vec<Left>,
}

/// A service account that gets tokens of an identity, or is meant to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trust {
    pub(crate) namespace: String,
    pub(crate) account: String,
    pub(crate) identity: Which,
    /// Whether it is known to stand. An annotation is a claim: whoever writes service accounts may name any identity.
    pub(crate) stands: bool,
    /// The audience, where it is known.
    pub(crate) audience: Option<String>,
    /// Where it was found.
    pub(crate) by: String,
}

/// The identity that a trust is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Which {
    /// By its resource id.
    Id(IdentityId),
    /// By its client id.
    Client(String),
}

/// What no binding can carry on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Left {
    pub(crate) what: String,
    pub(crate) why: String,
}

// === impl Trust ===

impl Trust {
    /// Its identity, where it is among those that are known.
    pub(crate) fn id(&self, known: &BTreeMap<ClientId, IdentityId>) -> Option<IdentityId> {
        match &self.identity {
            Which::Id(id) => Some(id.clone()),
            Which::Client(client) => known.get(&client.parse().ok()?).cloned(),
        }
    }
}

// === impl Found ===

impl Found {
    pub(crate) fn leave(&mut self, what: impl Into<String>, why: impl Into<String>) {
        self.left.push(Left {
            what: what.into(),
            why: why.into(),
        });
    }

    /// The identity of a trust, where it is known.
    pub(crate) fn id(&self, trust: &Trust) -> Option<IdentityId> {
        trust.id(&self.identities)
    }

    /// Notes an identity, as far as its ids can be read.
    pub(crate) fn identity(&mut self, client: Option<&str>, id: Option<&str>) {
        if let (Some(Ok(client)), Some(Ok(id))) = (client.map(str::parse), id.map(str::parse)) {
            self.identities.insert(client, id);
        }
    }

    /// Notes a federated credential of another tool: only one for a service account of this cluster is a trust here.
    pub(crate) fn credential(&mut self, by: String, of: &Credential<'_>, own_issuer: Option<&str>) {
        let named = || of.identity.and_then(|id| id.parse().ok());
        let Some(id) = of.made.and_then(parent).or_else(named) else {
            return self.leave(by, "the managed identity that it belongs to cannot be told from it");
        };
        let Some((namespace, account)) = of.subject.and_then(Subject::service_account) else {
            let subject = of.subject.unwrap_or("none");
            return self.leave(by, format!("its subject, {subject}, is no service account"));
        };
        if of.made.is_none() {
            return self.leave(by, "it was never made in Azure: its status has no id");
        }
        match (of.issuer, own_issuer) {
            (_, None) => self.leave(
                by,
                "the issuer of this cluster's tokens could not be read, so whether it is for this cluster is not known",
            ),
            (issuer, Some(own)) if issuer != Some(own) => {
                let issuer = issuer.unwrap_or("none");
                self.leave(by, format!("it trusts another issuer than this cluster's: {issuer}"));
            }
            _ => self.trusts.push(Trust {
                namespace: namespace.to_string(),
                account: account.to_string(),
                identity: Which::Id(id),
                stands: true,
                audience: of.audience.map(str::to_owned),
                by,
            }),
        }
    }
}

/// A federated credential of another tool, as it is written there.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Credential<'a> {
    /// Its id, once it was made in Azure.
    pub(crate) made: Option<&'a str>,
    pub(crate) identity: Option<&'a str>,
    pub(crate) issuer: Option<&'a str>,
    pub(crate) subject: Option<&'a str>,
    pub(crate) audience: Option<&'a str>,
}

/// The identity in which a credential stands, by the id that Azure gave the credential: what is asked for may have changed since.
fn parent(made: &str) -> Option<IdentityId> {
    let end = made.to_ascii_lowercase().rfind("/federatedidentitycredentials/")?;
    made.get(..end)?.parse().ok()
}
