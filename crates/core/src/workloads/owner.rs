//! Who makes a pod, as it is told to people.

use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

/// The label by which a Deployment tells its ReplicaSets, and their pods, from each other.
const TEMPLATE_HASH_LABEL: &str = "pod-template-hash";

/// The longest kind that is told: whoever writes pods may write anything there.
const KIND_CHARS_MAX: usize = 63;

/// Who makes a pod anew when it is gone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PodOwner {
    /// Its kind; `Pod` for a pod that nobody makes anew.
    pub kind: String,
    /// Its name.
    pub name: String,
}

// === impl PodOwner ===

impl PodOwner {
    /// The owner of a pod: its controller, or the Deployment whose ReplicaSet that is, by the name that a Deployment gives.
    #[must_use]
    pub fn of(pod: &ObjectMeta) -> Self {
        let mut owners = pod.owner_references.iter().flatten();
        let Some(controller) = owners.find(|owner| owner.controller == Some(true)) else {
            return Self::told("Pod", pod.name.as_deref().unwrap_or_default());
        };
        let hash = pod.labels.as_ref().and_then(|labels| labels.get(TEMPLATE_HASH_LABEL));
        let deployment = hash.filter(|_| controller.kind == "ReplicaSet").and_then(|hash| {
            let name = controller.name.strip_suffix(hash.as_str())?;
            name.strip_suffix('-')
        });
        match deployment {
            Some(deployment) => Self::told("Deployment", deployment),
            None => Self::told(&controller.kind, &controller.name),
        }
    }

    fn told(kind: &str, name: &str) -> Self {
        Self {
            kind: shortened(kind, KIND_CHARS_MAX),
            name: shortened(name, wio_api::limits::SUBDOMAIN_CHARS_MAX),
        }
    }
}

impl fmt::Display for PodOwner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind, self.name)
    }
}

/// A text, and of a long one its beginning.
pub(crate) fn shortened(text: &str, chars: usize) -> String {
    text.chars().take(chars).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(labels: &serde_json::Value, controller: Option<(&str, &str)>) -> String {
        let owners: Vec<_> = controller
            .iter()
            .map(|(kind, name)| json!({ "apiVersion": "v1", "kind": kind, "name": name, "uid": "u", "controller": true }))
            .collect();
        let pod = json!({ "name": "orders-5d-x", "labels": labels, "ownerReferences": owners });
        PodOwner::of(&serde_json::from_value(pod).unwrap()).to_string()
    }

    #[test]
    fn a_pod_belongs_to_whom_people_restart() {
        let hashed = json!({ "pod-template-hash": "5d" });
        assert_eq!(told(&hashed, Some(("ReplicaSet", "orders-5d"))), "Deployment/orders");
        assert_eq!(
            told(&json!({}), Some(("ReplicaSet", "orders-5d"))),
            "ReplicaSet/orders-5d"
        );
        assert_eq!(told(&hashed, Some(("ReplicaSet", "mine"))), "ReplicaSet/mine");
        assert_eq!(told(&hashed, Some(("StatefulSet", "orders"))), "StatefulSet/orders");
        assert_eq!(told(&hashed, None), "Pod/orders-5d-x");
        assert_eq!(told(&hashed, Some((&"K".repeat(9999), "x"))).len(), KIND_CHARS_MAX + 2);
    }
}
