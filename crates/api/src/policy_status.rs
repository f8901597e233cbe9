//! The status of a `WorkloadIdentityPolicy`: whether admission and the operator decide by it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::KubeSchema;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::condition::ConditionType;
use crate::reading::Fields;

/// Whether admission and the operator decide by this policy, and what of it cannot be used.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkloadIdentityPolicyStatus {
    /// The generation of the spec that this status speaks of, or -1 before the operator saw the policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// Ready, Reconciling and Stalled. Ready is true once admission decides by all of this policy; Reconciling and Stalled are absent
    /// when they are not true.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".to_owned()]))]
    pub conditions: Vec<Condition>,
}

/// It succeeds for every status that any version wrote: it says nothing that is decided by, and is written anew when it differs.
impl<'de> Deserialize<'de> for WorkloadIdentityPolicyStatus {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut fields = Fields::of(Value::deserialize(deserializer)?);
        Ok(Self {
            observed_generation: fields.take("observedGeneration"),
            conditions: fields.take("conditions"),
        })
    }
}

impl WorkloadIdentityPolicyStatus {
    /// The condition of a type; none when it does not stand there.
    #[must_use]
    pub fn condition(&self, kind: ConditionType) -> Option<&Condition> {
        let mut conditions = self.conditions.iter();
        conditions.find(|condition| condition.type_ == kind.as_str())
    }
}
