//! Whether an owner of pods is to be restarted, by what it is like.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use wio_api::keys;
use wio_api::owner::{OwnerSpec, OwnerStatus, PodTemplate};
use wio_api::pod::{CLIENT_ID_VARIABLE, TOKEN_FILE_VARIABLE, USE_LABEL};

use crate::names::ClientId;
use crate::workloads::{Candidate, Maker, MakerKind};

/// An owner of pods, as it was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Owner {
    /// Which kind, name and UID were asked for.
    pub maker: Maker,
    /// Its metadata.
    pub metadata: ObjectMeta,
    /// What is wanted of it.
    pub spec: OwnerSpec,
    /// How far it is.
    pub status: OwnerStatus,
}

/// One restart: of this object, if it is as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restart {
    maker: Maker,
    version: String,
    client_id: ClientId,
}

/// How an owner stands to a restart for a client id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It was restarted for it.
    Restarted,
    /// It is to be restarted.
    Due(Restart),
    /// Its time has not come.
    Waits(&'static str),
    /// A restart would not help it, or is not the operator's to make.
    Refused(String),
}

const UNDER_WAY: &str = "a rollout of it is under way: whether its pods have the token then, is seen when it is over";

// === impl Restart ===

impl Restart {
    /// The object.
    #[must_use]
    pub const fn maker(&self) -> &Maker {
        &self.maker
    }

    /// The version of it that the decision rests on.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// What its template is annotated with.
    #[must_use]
    pub const fn client_id(&self) -> ClientId {
        self.client_id
    }
}

// === impl Owner ===

impl Owner {
    /// How it stands to a restart that gives its pods this client id.
    #[must_use]
    pub fn standing(&self, candidate: &Candidate, client_id: ClientId) -> Standing {
        let annotated = self.spec.template.metadata.annotations.get(keys::ROLLOUT_ANNOTATION);
        if self.metadata.uid.as_deref() != Some(self.maker.uid.as_str()) {
            return Standing::Refused("another one of its name has taken its place".to_owned());
        }
        // Whoever wrote it, and however it was written: never twice.
        if annotated.is_some_and(|annotated| is_of(annotated, client_id)) {
            return Standing::Restarted;
        }
        if let Some(why) = self.refusal(candidate) {
            return Standing::Refused(why);
        }
        if self.is_under_way() {
            return Standing::Waits(UNDER_WAY);
        }
        match self.metadata.resource_version.clone() {
            Some(version) => Standing::Due(Restart {
                maker: self.maker.clone(),
                version,
                client_id,
            }),
            None => Standing::Waits("the API server did not say which version of it this is"),
        }
    }

    /// Whether all its pods are of its template and are available.
    #[must_use]
    pub fn is_rolled_out(&self) -> bool {
        let (wanted, available) = match self.maker.kind {
            MakerKind::DaemonSet => (self.status.desired_number_scheduled, self.status.number_available),
            MakerKind::Deployment | MakerKind::StatefulSet | MakerKind::ReplicaSet => {
                (self.replicas(), self.status.available_replicas)
            }
        };
        !self.is_under_way() && available >= wanted
    }

    fn refusal(&self, candidate: &Candidate) -> Option<String> {
        let template = &self.spec.template;
        let said = match self.maker.kind {
            MakerKind::ReplicaSet => "nothing but a Deployment makes the pods of a ReplicaSet anew",
            _ if self.metadata.deletion_timestamp.is_some() => "it is being deleted",
            MakerKind::Deployment if self.spec.paused => "it is paused",
            MakerKind::StatefulSet | MakerKind::DaemonSet if self.spec.update_strategy.kind == "OnDelete" => {
                "its update strategy is OnDelete: whoever deletes its pods has them made anew"
            }
            MakerKind::StatefulSet if self.spec.update_strategy.rolling_update.partition > 0 => {
                "its update strategy has a partition, so that not all its pods would be made anew"
            }
            _ if template.metadata.labels.get(USE_LABEL).map(String::as_str) != Some("true") => {
                "its pod template lacks the label azure.workload.identity/use: \"true\""
            }
            _ if runs_as(template) != candidate.account => {
                "its pod template names another service account than its pods run as"
            }
            _ => return own_variable(template),
        };
        Some(said.to_owned())
    }

    /// Whether its pods are on their way to another template. Pods that are not ready may be so for want of a token, and hold nothing up.
    fn is_under_way(&self) -> bool {
        let status = &self.status;
        let behind = match self.maker.kind {
            MakerKind::DaemonSet => status.updated_number_scheduled < status.desired_number_scheduled,
            MakerKind::StatefulSet if status.current_revision != status.update_revision => true,
            MakerKind::Deployment | MakerKind::StatefulSet | MakerKind::ReplicaSet => {
                status.updated_replicas < self.replicas().max(status.replicas)
            }
        };
        behind
            || self
                .metadata
                .generation
                .is_some_and(|generation| status.observed_generation < generation)
    }

    fn replicas(&self) -> i32 {
        self.spec.replicas.unwrap_or(1)
    }
}

/// The service account of the pods of a template: the API server gives a pod this one that names none, and leaves the template as it is.
fn runs_as(template: &PodTemplate) -> &str {
    match template.spec.service_account_name.as_str() {
        "" => "default",
        named => named,
    }
}

/// Whether an annotation says this client id.
fn is_of(annotated: &str, client_id: ClientId) -> bool {
    annotated
        .parse()
        .is_ok_and(|annotated: ClientId| annotated == client_id)
}

/// The variable of the webhook that a template sets itself: a restart would repeat it.
fn own_variable(template: &PodTemplate) -> Option<String> {
    let mut set = template.spec.containers.iter().flat_map(|container| {
        let variables = container.env.iter().map(|variable| variable.name.as_str());
        variables.map(move |variable| (variable, container.name.as_str()))
    });
    let (variable, container) =
        set.find(|(variable, _)| [CLIENT_ID_VARIABLE, TOKEN_FILE_VARIABLE].contains(variable))?;
    Some(format!(
        "its pod template sets {variable} in container {container}, which the webhook leaves alone: take it out there"
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::fixtures::*;
    use super::*;

    fn standing(kind: MakerKind, change: &Value) -> Standing {
        owner(kind, change).standing(&candidate(kind), OURS.parse().unwrap())
    }

    const KINDS: [MakerKind; 3] = [MakerKind::Deployment, MakerKind::StatefulSet, MakerKind::DaemonSet];

    #[test]
    fn one_that_a_restart_helps_is_restarted_as_it_was_read() {
        for kind in KINDS {
            let Standing::Due(restart) = standing(kind, &json!({})) else {
                panic!("{kind:?}");
            };
            assert_eq!((restart.maker().uid.as_str(), restart.version()), ("u", "7"));
            assert_eq!(restart.client_id().to_string(), OURS);
        }
    }

    #[test]
    fn one_whose_template_names_no_service_account_runs_as_default() {
        for kind in KINDS {
            let unnamed = owner(
                kind,
                &json!({ "spec": { "template": { "spec": { "serviceAccountName": "" } } } }),
            );
            let runs_as = |account: &str| {
                let candidate = Candidate {
                    account: account.to_owned(),
                    ..candidate(kind)
                };
                unnamed.standing(&candidate, OURS.parse().unwrap())
            };
            assert!(matches!(runs_as("default"), Standing::Due(_)), "{kind:?}");
            assert!(matches!(runs_as("orders"), Standing::Refused(_)), "{kind:?}");
        }
    }

    #[test]
    fn one_that_was_restarted_for_the_client_id_is_never_restarted_again_for_it() {
        let annotated = |value: &str| json!({ "spec": { "template": { "metadata": { "annotations": { keys::ROLLOUT_ANNOTATION: value } } } } });
        for kind in KINDS {
            assert_eq!(standing(kind, &annotated(OURS)), Standing::Restarted);
            assert_eq!(standing(kind, &annotated(&OURS.to_uppercase())), Standing::Restarted);
            // Another change, and one back to what was before: A, B, A.
            assert!(matches!(standing(kind, &annotated(OTHER)), Standing::Due(_)));
        }
    }

    #[test]
    fn one_whose_pods_are_on_their_way_already_is_waited_for() {
        use MakerKind::{DaemonSet, Deployment, StatefulSet};
        let cases = [
            (Deployment, json!({ "status": { "observedGeneration": 1 } })),
            (Deployment, json!({ "status": { "updatedReplicas": 1 } })),
            (Deployment, json!({ "status": { "replicas": 3 } })),
            (StatefulSet, json!({ "status": { "updateRevision": "b" } })),
            (StatefulSet, json!({ "status": { "updatedReplicas": 1 } })),
            (DaemonSet, json!({ "status": { "updatedNumberScheduled": 1 } })),
            (DaemonSet, json!({ "status": { "observedGeneration": 1 } })),
        ];
        for (kind, change) in cases {
            assert_eq!(standing(kind, &change), Standing::Waits(UNDER_WAY), "{change}");
            assert!(!owner(kind, &change).is_rolled_out(), "{change}");
        }
    }

    #[test]
    fn pods_that_are_not_ready_hold_no_restart_up_and_a_rollout_is_over_with_them() {
        for kind in KINDS {
            let broken = json!({ "status": { "availableReplicas": 1, "numberAvailable": 1 } });
            assert!(matches!(standing(kind, &broken), Standing::Due(_)));
            assert!(!owner(kind, &broken).is_rolled_out());
            assert!(owner(kind, &json!({})).is_rolled_out());
        }
    }

    #[test]
    fn one_that_a_restart_does_not_help_or_that_is_not_ours_to_restart_is_left_alone() {
        use MakerKind::{DaemonSet, Deployment, ReplicaSet, StatefulSet};
        let variable = |name: &str| {
            let env = json!([{ "name": name, "value": OTHER }]);
            json!({ "spec": { "template": { "spec": { "containers": [{ "name": "app", "env": env }] } } } })
        };
        let label =
            |value: Value| json!({ "spec": { "template": { "metadata": { "labels": { USE_LABEL: value } } } } });
        let cases = [
            (Deployment, json!({ "metadata": { "uid": "v" } }), "taken its place"),
            (
                Deployment,
                json!({ "metadata": { "deletionTimestamp": "2026-11-28T00:00:00Z" } }),
                "being deleted",
            ),
            (Deployment, json!({ "spec": { "paused": true } }), "paused"),
            (
                StatefulSet,
                json!({ "spec": { "updateStrategy": { "type": "OnDelete" } } }),
                "OnDelete",
            ),
            (
                DaemonSet,
                json!({ "spec": { "updateStrategy": { "type": "OnDelete" } } }),
                "OnDelete",
            ),
            (
                StatefulSet,
                json!({ "spec": { "updateStrategy": { "rollingUpdate": { "partition": 1 } } } }),
                "partition",
            ),
            (Deployment, label(json!("false")), "lacks the label"),
            (Deployment, label(json!(null)), "lacks the label"),
            (
                Deployment,
                variable("AZURE_CLIENT_ID"),
                "AZURE_CLIENT_ID in container app",
            ),
            (
                DaemonSet,
                variable("AZURE_FEDERATED_TOKEN_FILE"),
                "AZURE_FEDERATED_TOKEN_FILE",
            ),
            (
                Deployment,
                json!({ "spec": { "template": { "spec": { "serviceAccountName": "other" } } } }),
                "another service account",
            ),
            (ReplicaSet, json!({}), "nothing but a Deployment"),
        ];
        for (kind, change, why) in cases {
            let Standing::Refused(said) = standing(kind, &change) else {
                panic!("{change}");
            };
            assert!(said.contains(why), "{said}");
        }
    }
}
