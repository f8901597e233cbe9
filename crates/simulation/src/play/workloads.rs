//! Pods, what makes them, and what its controllers and the pod webhook do about it.

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::core::v1::{ConfigMap, Pod, ServiceAccount};
use kube::Resource;
use serde_json::{Value, json};
use tokio::time::Instant;
use wio_api::{WorkloadIdentityBinding, keys};
use wio_testkit::FakeApiServer;

use super::Player;
use crate::history::{CLIENT_ID, text};
use crate::plan::{Act, Deployed, Maker};
use crate::world::{account_of, namespace};

/// The variable that the webhook gives a pod whose service account carries a client id.
pub(super) const VARIABLE: &str = "AZURE_CLIENT_ID";

/// All that makes pods.
#[derive(Default)]
pub(super) struct Workloads {
    made: Vec<Made>,
    /// How many there ever were.
    count: usize,
    /// Of what the cluster's controllers look at.
    changes: Vec<tokio::sync::watch::Receiver<u64>>,
}

/// Something that makes pods.
pub(super) struct Made {
    binding: usize,
    pub(super) namespace: String,
    pub(super) name: String,
    deployed: Deployed,
    pub(super) account: String,
    revision: usize,
    /// When the rollout that is under way is over.
    over_at: Option<Instant>,
}

// === impl Workloads ===

impl Workloads {
    /// Does what the controllers of the cluster do: whose template changed is rolled out. Says whether anything changed since that they look at.
    pub(super) fn control(&mut self, cluster: &FakeApiServer) -> bool {
        if self.changes.is_empty() {
            self.changes = vec![
                cluster.changes_of::<WorkloadIdentityBinding>(),
                cluster.changes_of::<ConfigMap>(),
                cluster.changes_of::<Deployment>(),
                cluster.changes_of::<StatefulSet>(),
            ];
        }
        let mut changed = false;
        for heard in &mut self.changes {
            changed |= heard.has_changed().unwrap_or_default();
            heard.mark_unchanged();
        }
        let over = self
            .made
            .iter()
            .any(|made| made.over_at.is_some_and(|at| at <= Instant::now()));
        if changed || over {
            self.made.iter_mut().for_each(|made| made.control(cluster));
        }
        changed
    }

    /// All of it.
    pub(super) fn all(&self) -> &[Made] {
        &self.made
    }

    /// Whether nothing is being rolled out.
    pub(super) fn rests(&self) -> bool {
        self.made.iter().all(|made| made.over_at.is_none())
    }
}

// === impl Made ===

impl Made {
    fn object(&self, cluster: &FakeApiServer) -> Value {
        match self.deployed.maker {
            Maker::Deployment => cluster.get_json::<Deployment>(&self.namespace, &self.name),
            Maker::StatefulSet => cluster.get_json::<StatefulSet>(&self.namespace, &self.name),
        }
    }

    fn edit(&self, cluster: &FakeApiServer, change: impl FnOnce(&mut Value)) {
        match self.deployed.maker {
            Maker::Deployment => cluster.edit::<Deployment>(&self.namespace, &self.name, change),
            Maker::StatefulSet => cluster.edit::<StatefulSet>(&self.namespace, &self.name, change),
        };
    }

    /// For which client id it was restarted.
    pub(super) fn restarted_for(&self, cluster: &FakeApiServer) -> String {
        let object = self.object(cluster);
        let annotations = object.pointer("/spec/template/metadata/annotations");
        let mark = annotations.and_then(|all| all.get(keys::ROLLOUT_ANNOTATION));
        mark.and_then(Value::as_str).unwrap_or_default().to_owned()
    }

    fn control(&mut self, cluster: &FakeApiServer) {
        let object = self.object(cluster);
        let (generation, observed) = (
            object.pointer("/metadata/generation"),
            object.pointer("/status/observedGeneration"),
        );
        if generation != observed {
            self.over_at = Some(Instant::now() + self.deployed.takes);
            self.tell(cluster, 0);
        } else if self.over_at.is_some_and(|at| at <= Instant::now()) {
            self.over_at = None;
            self.end_pods(cluster);
            self.revision += 1;
            self.make_pods(cluster, &object);
            self.tell(cluster, self.deployed.replicas);
        }
    }

    /// Its controller tells how far it is.
    fn tell(&self, cluster: &FakeApiServer, updated: usize) {
        let replicas = self.deployed.replicas;
        let current = self.revision - usize::from(updated < replicas && self.revision > 0);
        self.edit(cluster, |object| {
            let generation = object.pointer("/metadata/generation").cloned();
            if let Some(all) = object.as_object_mut() {
                let status = json!({
                    "observedGeneration": generation, "replicas": replicas, "updatedReplicas": updated, "availableReplicas": replicas,
                    "currentRevision": current.to_string(), "updateRevision": (current + usize::from(updated < replicas)).to_string(),
                });
                all.insert("status".to_owned(), status);
            }
        });
    }

    fn set(&self) -> String {
        format!("{}-{}", self.name, self.revision)
    }

    fn pod(&self, n: usize) -> String {
        format!("{}-{n}", self.set())
    }

    fn make_pods(&self, cluster: &FakeApiServer, object: &Value) {
        let by = match self.deployed.maker {
            Maker::Deployment => cluster.seed(json!({
                "apiVersion": "apps/v1", "kind": "ReplicaSet",
                "metadata": {"name": self.set(), "namespace": self.namespace, "ownerReferences": owned_by(object)},
                "spec": {"replicas": self.deployed.replicas},
            })),
            Maker::StatefulSet => object.clone(),
        };
        for n in 0..self.deployed.replicas {
            self.make_pod(cluster, &self.pod(n), &by);
        }
    }

    /// As the webhook lets it be made.
    fn make_pod(&self, cluster: &FakeApiServer, name: &str, by: &Value) {
        let account = cluster.get_json::<ServiceAccount>(&self.namespace, &self.account);
        let client = text(&account, CLIENT_ID);
        let mut env = vec![json!({"name": "AZURE_FEDERATED_TOKEN_FILE", "value": "/t/x"})];
        if !client.is_empty() && !self.deployed.hopeless {
            env.push(json!({"name": VARIABLE, "value": client}));
        }
        cluster.seed(json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {
                "name": name, "namespace": self.namespace, "ownerReferences": owned_by(by),
                "labels": {"azure.workload.identity/use": "true", "pod-template-hash": self.revision.to_string()},
            },
            "spec": {
                "serviceAccountName": self.account,
                "containers": [{"name": "app", "env": env, "volumeMounts": [{"name": "t", "mountPath": "/t"}]}],
            },
            "status": {"phase": "Running"},
        }));
    }

    fn end_pods(&self, cluster: &FakeApiServer) {
        for n in 0..self.deployed.replicas {
            delete::<Pod>(cluster, &self.namespace, &self.pod(n));
        }
        if self.deployed.maker == Maker::Deployment {
            delete::<ReplicaSet>(cluster, &self.namespace, &self.set());
        }
    }

    fn replace_pod(&self, cluster: &FakeApiServer) -> bool {
        let name = self.pod(0);
        let pod = cluster.get_json::<Pod>(&self.namespace, &name);
        let reference = pod.pointer("/metadata/ownerReferences/0").cloned().unwrap_or_default();
        let by = json!({
            "apiVersion": "apps/v1", "kind": text(&reference, "/kind"),
            "metadata": {"name": text(&reference, "/name"), "uid": text(&reference, "/uid")},
        });
        delete::<Pod>(cluster, &self.namespace, &name);
        self.make_pod(cluster, &name, &by);
        true
    }

    fn unmark(&self, cluster: &FakeApiServer) -> bool {
        if self.restarted_for(cluster).is_empty() {
            return false;
        }
        self.edit(cluster, |object| {
            let annotations = object.pointer_mut("/spec/template/metadata/annotations");
            if let Some(all) = annotations.and_then(Value::as_object_mut) {
                all.remove(keys::ROLLOUT_ANNOTATION);
            }
        });
        true
    }
}

fn owned_by(object: &Value) -> Value {
    json!([{
        "apiVersion": "apps/v1", "kind": text(object, "/kind"), "name": text(object, "/metadata/name"),
        "uid": text(object, "/metadata/uid"), "controller": true,
    }])
}

fn delete<K: Resource<DynamicType = ()>>(cluster: &FakeApiServer, namespace: &str, name: &str) {
    if !cluster.get_json::<K>(namespace, name).is_null() {
        cluster.delete::<K>(namespace, name);
    }
}

// === impl Player ===

impl Player<'_> {
    /// What somebody does to pods of a binding's first service account, and to what makes them.
    pub(super) fn on_pods(&mut self, act: &Act, n: usize) -> bool {
        if let Act::Deploy(_, deployed) = act {
            return self.deploy(n, *deployed);
        }
        let cluster = &self.world.cluster;
        let Some(at) = self.workloads.made.iter().position(|made| made.binding == n) else {
            return false;
        };
        match act {
            Act::Undeploy(_) => {
                let made = self.workloads.made.remove(at);
                made.end_pods(cluster);
                match made.deployed.maker {
                    Maker::Deployment => delete::<Deployment>(cluster, &made.namespace, &made.name),
                    Maker::StatefulSet => delete::<StatefulSet>(cluster, &made.namespace, &made.name),
                }
                true
            }
            Act::LosePod(_) => {
                let made = self.workloads.made.get(at);
                made.is_some_and(|made| made.replace_pod(cluster))
            }
            _ => self.workloads.made.get(at).is_some_and(|made| made.unmark(cluster)),
        }
    }

    fn deploy(&mut self, n: usize, deployed: Deployed) -> bool {
        let Some(planned) = self.plan.bindings.get(n) else {
            return false;
        };
        let made = Made {
            binding: n,
            namespace: namespace(planned.namespace),
            name: format!("w{}", self.workloads.count),
            deployed,
            account: account_of(n, planned, 0),
            revision: 0,
            over_at: None,
        };
        let kind = match deployed.maker {
            Maker::Deployment => "Deployment",
            Maker::StatefulSet => "StatefulSet",
        };
        let cluster = &self.world.cluster;
        let object = cluster.seed(json!({
            "apiVersion": "apps/v1", "kind": kind,
            "metadata": {"name": made.name, "namespace": made.namespace},
            "spec": {
                "replicas": deployed.replicas,
                "template": {
                    "metadata": {"labels": {"azure.workload.identity/use": "true"}},
                    "spec": {"serviceAccountName": made.account, "containers": [{"name": "app"}]},
                },
            },
        }));
        made.make_pods(cluster, &object);
        made.tell(cluster, deployed.replicas);
        let key = (made.namespace.clone(), made.name.clone());
        self.history.makers.insert(key, made.account.clone());
        self.workloads.count += 1;
        self.workloads.made.push(made);
        true
    }
}
