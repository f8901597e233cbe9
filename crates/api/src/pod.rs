//! A pod as far as tokens are concerned: what is read of it, and nothing else. <https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/>

use serde::Deserialize;

/// The label on pods by which they ask for a token.
pub const USE_LABEL: &str = "azure.workload.identity/use";
/// The annotation on pods that names the containers which are to get none, with semicolons between.
pub const SKIP_CONTAINERS_ANNOTATION: &str = "azure.workload.identity/skip-containers";
/// The variable from which Azure's clients take the client id.
pub const CLIENT_ID_VARIABLE: &str = "AZURE_CLIENT_ID";
/// The variable from which Azure's clients take the path of the token.
pub const TOKEN_FILE_VARIABLE: &str = "AZURE_FEDERATED_TOKEN_FILE";

/// What a pod was created with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodSpec {
    /// The service account as which it runs; the API server writes `default` where none is asked for.
    pub service_account_name: String,
    /// Its containers.
    pub containers: Vec<Container>,
}

/// A container of a pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Container {
    /// Its name.
    pub name: String,
    /// Its variables.
    pub env: Vec<Variable>,
    /// Where its volumes are.
    pub volume_mounts: Vec<VolumeMount>,
}

/// A variable of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// Its value; none when it is empty, which the API server leaves out, or taken from elsewhere.
    pub value: Option<String>,
    /// Where it is taken from, such as a ConfigMap.
    pub value_from: Option<Elsewhere>,
}

/// The source of a variable's value, of which nothing is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Elsewhere {}

/// The place of a volume in a container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct VolumeMount {
    /// The path.
    pub mount_path: String,
}

/// How a pod goes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodStatus {
    /// Pending, Running, Succeeded, Failed or Unknown.
    pub phase: String,
}
