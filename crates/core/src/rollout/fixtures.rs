//! Owners for tests.

use serde_json::{Value, json};
use wio_api::pod::USE_LABEL;

use super::owner::Owner;
use crate::workloads::{Candidate, Maker, MakerKind, PodOwner};

pub(super) const OURS: &str = "4b65e8cb-da6f-4b8e-9399-17dfd09b7846";
pub(super) const OTHER: &str = "00000000-0000-4000-8000-000000000001";

pub(super) fn maker(kind: MakerKind, name: &str) -> Maker {
    Maker {
        kind,
        name: name.to_owned(),
        uid: "u".to_owned(),
    }
}

pub(super) fn candidate_named(kind: MakerKind, name: &str) -> Candidate {
    Candidate {
        owner: PodOwner {
            kind: kind.names().0.to_owned(),
            name: name.to_owned(),
        },
        account: "orders".to_owned(),
        maker: Some(maker(kind, name)),
    }
}

pub(super) fn candidate(kind: MakerKind) -> Candidate {
    candidate_named(kind, "orders")
}

/// An owner of two pods that is to be restarted, but for what is changed.
pub(super) fn owner(kind: MakerKind, change: &Value) -> Owner {
    let mut object = json!({
        "metadata": { "name": "orders", "uid": "u", "resourceVersion": "7", "generation": 2 },
        "spec": {
            "replicas": 2,
            "updateStrategy": { "type": "RollingUpdate", "rollingUpdate": {} },
            "template": {
                "metadata": { "labels": { USE_LABEL: "true" }, "annotations": {} },
                "spec": { "serviceAccountName": "orders", "containers": [{ "name": "app" }] },
            },
        },
        "status": {
            "observedGeneration": 2, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2, "currentRevision": "a", "updateRevision": "a",
            "desiredNumberScheduled": 2, "updatedNumberScheduled": 2, "numberAvailable": 2,
        },
    });
    merge(&mut object, change);
    let take = |part: &str| object[part].clone();
    Owner {
        maker: maker(kind, "orders"),
        metadata: serde_json::from_value(take("metadata")).unwrap(),
        spec: serde_json::from_value(take("spec")).unwrap(),
        status: serde_json::from_value(take("status")).unwrap(),
    }
}

/// A merge patch: null takes away.
fn merge(object: &mut Value, change: &Value) {
    let Value::Object(changes) = change else {
        object.clone_from(change);
        return;
    };
    for (key, change) in changes {
        if change.is_null() {
            object.as_object_mut().unwrap().remove(key);
        } else {
            merge(&mut object[key], change);
        }
    }
}
