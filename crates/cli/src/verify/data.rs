//! What was found, as data: what `-o json` and `-o yaml` say. No token is in it.

use serde::Serialize;
use wio_api::RoleAssignmentStatus;

/// What was found about a binding.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Verification {
    pub namespace: String,
    pub name: String,
    /// Of all of its service accounts together.
    pub verdict: Verdict,
    pub identity: Identity,
    /// Where Entra was asked.
    pub authority: String,
    /// What the access tokens were asked for.
    pub scope: String,
    pub service_accounts: Vec<Proof>,
    pub roles: Roles,
    /// What a success does not prove.
    pub note: &'static str,
}

/// Whether a token is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) enum Verdict {
    /// Entra gave one.
    Proven,
    /// Entra refused.
    Refused,
    /// Entra was not asked, or did not answer.
    NotTried,
}

/// The identity whose tokens were asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Identity {
    pub name: String,
    pub client_id: String,
    pub tenant_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub principal_id: Option<String>,
}

/// What was found about a service account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Proof {
    pub service_account: String,
    pub verdict: Verdict,
    /// What its token says of itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub presented: Option<Presented>,
    /// What the access token says of itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub given: Option<Given>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refusal: Option<Refused>,
    /// Why it could not be tried.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_tried: Option<String>,
    /// What else is to be known.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_step: Option<String>,
}

/// The claims of a service account's token.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Presented {
    pub iss: String,
    pub sub: String,
    pub aud: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exp: Option<String>,
}

/// The claims of an access token.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Given {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub appid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tid: Option<String>,
    pub aud: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exp: Option<String>,
}

/// What Entra said, and what it means.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Refused {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// In plain words; none for a code that is not known here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub meaning: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub passes_by_itself: Option<String>,
    /// In Entra's words.
    pub message: String,
    /// By which Microsoft finds the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
    /// What the token says otherwise than the federated credential that is recorded.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub differences: Vec<Difference>,
}

/// Two values that should be the same, byte for byte.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Difference {
    pub claim: String,
    pub token: String,
    pub credential: String,
    /// How many characters they have in common at their beginning.
    pub same_characters: usize,
}

/// The roles of the identity in Azure.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Roles {
    /// Those that the binding gave it.
    pub recorded: Vec<RoleAssignmentStatus>,
    /// Those that it has now; none where it was not looked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub now: Option<Vec<RoleNow>>,
    /// Where it was not looked, and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_looked_at: Vec<String>,
}

/// A role that the identity has.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RoleNow {
    /// Its name where it is a built-in one that is known here, and else its GUID.
    pub role: String,
    pub scope: String,
    /// Whether the binding gave it.
    pub recorded: bool,
}

// === impl Verdict ===

impl Verdict {
    /// That of several together: one refusal is a refusal.
    pub(crate) fn together(several: impl Iterator<Item = Self>) -> Self {
        let mut all = Self::Proven;
        for one in several {
            all = match (all, one) {
                (Self::Refused, _) | (_, Self::Refused) => Self::Refused,
                (Self::NotTried, _) | (_, Self::NotTried) => Self::NotTried,
                (Self::Proven, Self::Proven) => Self::Proven,
            };
        }
        all
    }
}
