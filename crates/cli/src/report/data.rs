//! The report, as data: what `-o json` and `-o yaml` say.

use serde::Serialize;
use wio_api::{
    Condition, FederatedCredentialUsage, IdentityStatus, RestartStatus, RoleAssignmentStatus, WorkloadsStatus,
};

/// The report about a binding.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Report {
    pub namespace: String,
    pub name: String,
    /// Whether all is well: it is ready, its service accounts and pods could be looked at, and every pod that asks for a token has the right one.
    pub well: bool,
    /// What to do next; none when there is nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_step: Option<String>,
    /// What could not be looked at, and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_looked_at: Vec<String>,
    pub phase: Phase,
    /// The condition Ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ready: Option<Condition>,
    /// The conditions of the parts that are not as they should be, and what each waits for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub waits_for: Vec<Condition>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub authorized_by: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity: Option<IdentityStatus>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credential_usage: Option<FederatedCredentialUsage>,
    /// Other bindings whose credentials stand in the same identity, as namespace/name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub shares_identity_with: Vec<String>,
    pub roles: Vec<Role>,
    pub service_accounts: Vec<Account>,
    /// What the operator saw of the pods, where the caller may not look at them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workloads: Option<WorkloadsStatus>,
    /// What became of the owners of pods for the client id as it is; none where spec.rollout does not ask for restarts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restarts: Option<Restarts>,
}

/// What the operator says of the owners of pods that it is to restart.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Restarts {
    /// Why nothing is known of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unknown: Option<String>,
    pub owners: Vec<RestartStatus>,
}

/// Where in its life a binding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) enum Phase {
    /// The operator has seen the spec as it stands.
    Observed,
    /// It has not seen it yet.
    NotObserved,
    /// The operator does not act in its namespace.
    LeftAlone,
    /// Nothing is written for it.
    Suspended,
    /// It is being deleted.
    Deleting,
}

/// A role that is asked for or given.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Role {
    #[serde(rename = "role")]
    pub name: String,
    pub scope: String,
    /// The role assignment; none when there is none yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub assignment: Option<RoleAssignmentStatus>,
}

/// A service account that is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Account {
    pub name: String,
    pub state: AccountState,
    /// The name of the federated credential by which Entra trusts it; none when there is none yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credential: Option<String>,
    /// The subject and audience that it trusts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audience: Option<String>,
    /// Its pods that run; none when they could not be looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pods: Option<Vec<PodReport>>,
}

/// How a service account stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) enum AccountState {
    /// It carries the identity's client id.
    Annotated,
    /// It carries another one, which is given here, or none.
    OtherClientId(Option<String>),
    /// It is not there.
    Missing,
    /// It could not be looked at, or the identity has no client id yet.
    Unknown,
}

/// A pod that runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PodReport {
    pub name: String,
    /// Whether it asks for a token.
    pub asks: bool,
    /// Whether it has the token; none when the identity has no client id yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub has_token: Option<bool>,
    /// Why it has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_step: Option<String>,
}
