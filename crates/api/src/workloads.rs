//! What the status of a binding says of the pods of its service accounts.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The pods that run as the service accounts of the binding, as they were last seen.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkloadsStatus {
    /// How many there are. Pods that are over or being deleted do not count.
    pub pods: u32,
    /// How many have a token of the identity.
    pub with_token: u32,
    /// How many ask for one and have none, or one of something else.
    pub without_token: u32,
    /// How many do not ask for one: they lack the label azure.workload.identity/use: "true".
    pub not_asking: u32,
    /// Whose pods lack a token and why, the first 20: those that ask for one, and then those that do not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["owner".to_owned(), "serviceAccount".to_owned(), "reason".to_owned()]))]
    pub lacking: Vec<PodsWithoutToken>,
    /// What becomes of the owners of pods that spec.rollout is about, at most 20: those that were restarted for the client id, and then those that
    /// could be.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["owner".to_owned()]))]
    pub restarts: Vec<RestartStatus>,
}

/// What becomes of one owner of pods.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RestartStatus {
    /// The owner: KIND/NAME, for example Deployment/orders.
    pub owner: String,
    /// The client id for which it is restarted, once.
    pub client_id: String,
    /// What became of it.
    pub result: RestartResult,
    /// When the operator restarted it. Absent where it did not, or does not know: it ended before it could write that down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restarted_at: Option<Time>,
    /// The same in words.
    pub message: String,
}

/// What became of an owner of pods that lack a token.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum RestartResult {
    /// It was restarted for the client id, and not all its pods have the token yet.
    Restarting,
    /// It was restarted for the client id, and its rollout was over.
    Restarted,
    /// It is to be restarted, and its time has not come.
    Waiting,
    /// It is not restarted.
    NotRestarted,
}

/// Pods of one owner that lack a token for the same reason.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodsWithoutToken {
    /// Who makes them: KIND/NAME, for example Deployment/orders; Pod/NAME where nobody does.
    pub owner: String,
    /// The service account as which they run.
    pub service_account: String,
    /// Why they have none.
    pub reason: NoTokenReason,
    /// The same of the first of them in words, and what to do.
    pub message: String,
    /// How many they are.
    pub pods: u32,
    /// The name of the first of them, in the order of the alphabet.
    pub first_pod: String,
}

/// Why a pod has no token, or not the right one.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum NoTokenReason {
    /// It lacks the label by which pods ask for one.
    LabelMissing,
    /// It asks, and the pod webhook did not change it when it was created.
    NotMutated,
    /// It was created before its service account carried a client id.
    StartedTooEarly,
    /// A container has another client id.
    OtherClientId,
    /// A container takes its client id from elsewhere, so that it is not known.
    UnknownClientId,
    /// A container looks for the token where no volume is.
    TokenPathMoved,
}
