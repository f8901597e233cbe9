//! The ConfigMaps that ids are exported into, as far as others touch them.

use k8s_openapi::api::core::v1::ConfigMap;
use serde_json::{Value, json};
use wio_api::{WorkloadIdentityBinding, keys};

use super::Player;
use crate::history::text;
use crate::plan::Act;
use crate::world::{MADE_BY, SOMEBODY, map_of, namespace};

impl Player<'_> {
    /// What the garbage collector does: a ConfigMap goes with the binding that owns it.
    pub(super) fn collect_garbage(&self) {
        let cluster = &self.world.cluster;
        let bindings = cluster.objects::<WorkloadIdentityBinding>();
        for map in cluster.objects::<ConfigMap>() {
            let owner = text(&map, "/metadata/ownerReferences/0/uid");
            if !owner.is_empty() && !bindings.iter().any(|binding| text(binding, "/metadata/uid") == owner) {
                cluster.delete::<ConfigMap>(text(&map, "/metadata/namespace"), text(&map, "/metadata/name"));
            }
        }
    }

    /// What somebody does to the ConfigMap that a binding exports into.
    pub(super) fn on_map(&self, act: &Act, n: usize) -> bool {
        let Some(planned) = self.plan.bindings.get(n) else {
            return false;
        };
        let (namespace, name) = (namespace(planned.namespace), map_of(n));
        let cluster = &self.world.cluster;
        let there = cluster.get_json::<ConfigMap>(&namespace, &name);
        if there.is_null() != matches!(act, Act::MakeMap(_)) {
            return false;
        }
        let labels = there.pointer("/metadata/labels");
        let strange = labels.is_some_and(|labels| labels.get(MADE_BY).is_some());
        match act {
            Act::ReleaseMap(_) if !strange => return false,
            Act::MakeMap(_) => {
                cluster.seed(json!({
                    "apiVersion": "v1", "kind": "ConfigMap",
                    "metadata": {"name": name, "namespace": namespace, "labels": {MADE_BY: SOMEBODY}},
                    "data": {keys::EXPORTED_CLIENT_ID: "theirs", "note": "x"},
                }));
            }
            Act::EditMap(_) => {
                cluster.edit::<ConfigMap>(&namespace, &name, |object| {
                    if let Some(data) = object.get_mut("data").and_then(Value::as_object_mut) {
                        data.insert(keys::EXPORTED_CLIENT_ID.to_owned(), json!(SOMEBODY));
                    }
                });
            }
            _ => cluster.delete::<ConfigMap>(&namespace, &name),
        }
        true
    }
}
