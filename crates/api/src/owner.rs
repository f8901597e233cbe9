//! A Deployment, a StatefulSet or a DaemonSet as far as a restart is concerned: what is read of it, and nothing else.
//! <https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/>

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::pod::PodSpec;

/// What is wanted of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OwnerSpec {
    /// How many pods it is to have; one where it is left out. A DaemonSet has none of it.
    pub replicas: Option<i32>,
    /// Whether a Deployment does not act on its template.
    pub paused: bool,
    /// How a StatefulSet or a DaemonSet takes its pods to a changed template.
    pub update_strategy: UpdateStrategy,
    /// What its pods are made from.
    pub template: PodTemplate,
}

/// How pods are taken to a changed template.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct UpdateStrategy {
    /// RollingUpdate or OnDelete.
    #[serde(rename = "type")]
    pub kind: String,
    /// The terms of RollingUpdate.
    pub rolling_update: RollingUpdate,
}

/// The terms of a rolling update.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RollingUpdate {
    /// The ordinal below which pods of a StatefulSet stay as they are.
    pub partition: i32,
}

/// What pods are made from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct PodTemplate {
    /// Their labels and annotations.
    pub metadata: TemplateMetadata,
    /// All else.
    pub spec: PodSpec,
}

/// Labels and annotations of pods that are to come.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct TemplateMetadata {
    /// The labels.
    pub labels: BTreeMap<String, String>,
    /// The annotations.
    pub annotations: BTreeMap<String, String>,
}

/// How far it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OwnerStatus {
    /// The generation that its controller acted on last.
    pub observed_generation: i64,
    /// How many pods a Deployment or a StatefulSet has, of any template.
    pub replicas: i32,
    /// How many of them are of the newest template.
    pub updated_replicas: i32,
    /// How many of them are ready for long enough.
    pub available_replicas: i32,
    /// The revision of a StatefulSet that its pods are of, as it knows it.
    pub current_revision: String,
    /// The newest revision of a StatefulSet.
    pub update_revision: String,
    /// How many pods a DaemonSet is to have.
    pub desired_number_scheduled: i32,
    /// How many of them are of the newest template.
    pub updated_number_scheduled: i32,
    /// How many of them are ready for long enough.
    pub number_available: i32,
}
