//! Whether a binding has what it asks for beside its trust.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use serde_json::Value;

use super::Player;
use super::workloads::{Made, VARIABLE};
use crate::history::{Moment, Owned, bound_by, holds_ids, is_ready, named, text, wants};

impl Player<'_> {
    /// What a binding that is ready does not have yet of it.
    pub(super) fn has_what_it_asks_for(&self, now: &Moment, owned: &Owned, binding: &Value) -> Result<(), String> {
        let name = format!("{}/{}", owned.namespace, owned.name);
        let missing = |what: &str| Err(format!("{name}: {what}"));
        let map = text(binding, "/spec/export/configMap/name");
        let exported = named(&now.maps, &owned.namespace, map);
        if !map.is_empty() && !exported.is_some_and(|exported| holds_ids(exported, binding)) {
            return missing("its ids are not exported");
        }
        let roles = binding.pointer("/spec/roleAssignments").and_then(Value::as_array);
        let principal = text(binding, "/status/identity/principalId");
        for role in roles.into_iter().flatten() {
            let mut given = now.azure.role_assignments.iter();
            let is = given.any(|given| {
                given.principal_id.to_string() == principal
                    && given.condition.as_deref() == role.get("condition").and_then(Value::as_str)
            });
            if !is {
                return missing("it does not have its role");
            }
        }
        self.tells_of_pods(owned, binding).or_else(|what| missing(&what))
    }

    /// Every ConfigMap of a binding is one that it asks for; ids are no trust, so one that may have nothing keeps what it has until it is gone.
    pub(super) fn no_map_is_left(now: &Moment) -> Result<(), String> {
        for map in &now.maps {
            let Some(uid) = bound_by(map) else { continue };
            let mut bindings = now.bindings.iter();
            let asked = bindings.any(|binding| {
                text(binding, "/metadata/uid") == uid
                    && (!is_ready(binding)
                        || text(binding, "/spec/export/configMap/name") == text(map, "/metadata/name"))
            });
            if !asked {
                return Err(format!("{} is left", text(map, "/metadata/name")));
            }
        }
        Ok(())
    }

    fn tells_of_pods(&self, owned: &Owned, binding: &Value) -> Result<(), String> {
        if !self.plan.setup.workloads {
            return Ok(());
        }
        if !self.workloads.rests() {
            return Err("something is being rolled out".to_owned());
        }
        let client = text(binding, "/status/identity/clientId");
        let pods = self.world.cluster.objects::<Pod>();
        let ours = pods.iter().filter(|pod| {
            text(pod, "/metadata/namespace") == owned.namespace && wants(binding, text(pod, "/spec/serviceAccountName"))
        });
        let (with, without): (Vec<_>, Vec<_>) = ours.partition(|pod| given(pod) == client);
        let told = |pointer: &str| binding.pointer(pointer).and_then(Value::as_u64).unwrap_or_default();
        let told = (
            told("/status/workloads/withToken"),
            told("/status/workloads/withoutToken"),
        );
        let count = |all: &[_]| u64::try_from(all.len()).unwrap_or_default();
        if told != (count(&with), count(&without)) {
            return Err(format!(
                "it tells of {told:?} pods of {} and {}",
                with.len(),
                without.len()
            ));
        }
        let asks = self.plan.setup.rollouts && text(binding, "/spec/rollout") == "Restart";
        let lacking: Vec<&Made> = self
            .workloads
            .all()
            .iter()
            .filter(|made| {
                let named = format!("{}-", made.name);
                let lacks = |pod: &&&Arc<Value>| text(pod, "/metadata/name").starts_with(&named);
                asks && made.namespace == owned.namespace && without.iter().any(|pod| lacks(&pod))
            })
            .collect();
        // Where a restart of one did not help, it disturbs no other.
        let restarted =
            |made: &&Made| made.restarted_for(&self.world.cluster) == client || remembers(binding, made, client);
        match lacking.first().filter(|_| !lacking.iter().any(restarted)) {
            Some(made) => Err(format!("{} was not restarted", made.name)),
            None => Ok(()),
        }
    }
}

/// Whether the status remembers that it was restarted.
fn remembers(binding: &Value, made: &Made, client: &str) -> bool {
    let restarts = binding.pointer("/status/workloads/restarts").and_then(Value::as_array);
    restarts.into_iter().flatten().any(|one| {
        text(one, "/owner").ends_with(&format!("/{}", made.name))
            && text(one, "/clientId") == client
            && text(one, "/result").starts_with("Restart")
    })
}

/// The client id that a pod has.
fn given(pod: &Value) -> &str {
    let env = pod.pointer("/spec/containers/0/env").and_then(Value::as_array);
    let mut given = env.into_iter().flatten().filter(|one| text(one, "/name") == VARIABLE);
    given.next().map_or("", |one| text(one, "/value"))
}
