//! What is seen of the pods of a binding, counted as they are read: thousands of pods leave a few numbers and a short list.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use wio_api::pod::{PodSpec, PodStatus};
use wio_api::{PodsWithoutToken, RestartStatus, WorkloadsStatus, limits};

use super::candidate::{Candidate, Maker, is_mended_by_restart, next_step};
use super::judge::{NoToken, PodToken, is_over, judge};
use super::owner::{PodOwner, shortened};
use crate::names::ClientId;

/// The longest message about pods: names of containers, variables and paths are the users' to choose.
const MESSAGE_CHARS_MAX: usize = 200;

/// What is seen of the pods of a binding, so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    with_token: u32,
    without_token: u32,
    not_asking: u32,
    /// The first of them, in the order of the status.
    groups: BTreeMap<Group, Pods>,
}

/// Pods that lack a token alike. Those that do not ask for one come last.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Group {
    asks_not: bool,
    owner: PodOwner,
    account: String,
    reason: wio_api::NoTokenReason,
}

/// The pods of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Pods {
    count: u32,
    /// The name of the first one, in the order of the alphabet.
    first: String,
    /// What made that one.
    maker: Option<Maker>,
    why: NoToken,
}

// === impl Tally ===

impl Tally {
    /// Takes in a pod of a service account, unless it is over.
    pub fn see(
        &mut self,
        (metadata, spec, status): (&ObjectMeta, &PodSpec, Option<&PodStatus>),
        account: &str,
        client_id: ClientId,
    ) {
        if status.is_some_and(is_over) || metadata.deletion_timestamp.is_some() {
            return;
        }
        let none = BTreeMap::new();
        let labels = metadata.labels.as_ref().unwrap_or(&none);
        let annotations = metadata.annotations.as_ref().unwrap_or(&none);
        match judge(labels, annotations, spec, client_id) {
            PodToken::Given => self.with_token = self.with_token.saturating_add(1),
            PodToken::Missing(why) => self.miss(metadata, account, &why),
        }
    }

    fn miss(&mut self, metadata: &ObjectMeta, account: &str, why: &NoToken) {
        let asks_not = *why == NoToken::NotAsked;
        let count = if asks_not {
            &mut self.not_asking
        } else {
            &mut self.without_token
        };
        *count = count.saturating_add(1);
        let group = Group {
            asks_not,
            owner: PodOwner::of(metadata),
            account: account.to_owned(),
            reason: why.reason(),
        };
        let name = metadata.name.as_deref().unwrap_or_default();
        let pods = self.groups.entry(group).or_insert_with(|| Pods {
            count: 0,
            first: name.to_owned(),
            maker: Maker::of(metadata),
            why: why.clone(),
        });
        pods.count = pods.count.saturating_add(1);
        if name < pods.first.as_str() {
            (pods.first, pods.why) = (name.to_owned(), why.clone());
            pods.maker = Maker::of(metadata);
        }
        // What comes after so many others is not told, however many more of it there are.
        if self.groups.len() > limits::TOLD_WORKLOADS_MAX {
            self.groups.pop_last();
        }
    }

    /// Of those that the status tells of, the owners that a restart would help.
    #[must_use]
    pub fn candidates(&self) -> Vec<Candidate> {
        let mended = self
            .groups
            .iter()
            .filter(|(group, _)| is_mended_by_restart(group.reason));
        let mut candidates: Vec<Candidate> = mended
            .map(|(group, pods)| Candidate {
                owner: group.owner.clone(),
                account: group.account.clone(),
                maker: pods.maker.clone(),
            })
            .collect();
        candidates.dedup_by(|a, b| a.owner == b.owner);
        candidates
    }

    /// What the status says of it, where this becomes of the owners: whoever waits for the operator has nothing to do.
    #[must_use]
    pub fn status(&self, restarts: Vec<RestartStatus>) -> WorkloadsStatus {
        let told = self.groups.iter().map(|(group, pods)| {
            let owner = group.owner.to_string();
            let step = next_step(&pods.why, &owner, &restarts);
            PodsWithoutToken {
                message: shortened(&format!("{}; {step}", pods.why), MESSAGE_CHARS_MAX),
                owner,
                service_account: group.account.clone(),
                reason: group.reason,
                pods: pods.count,
                first_pod: pods.first.clone(),
            }
        });
        let told: Vec<PodsWithoutToken> = told.collect();
        WorkloadsStatus {
            pods: self
                .with_token
                .saturating_add(self.without_token)
                .saturating_add(self.not_asking),
            with_token: self.with_token,
            without_token: self.without_token,
            not_asking: self.not_asking,
            lacking: told,
            restarts,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use wio_api::RestartResult;

    use super::*;

    const OURS: &str = "4b65e8cb-da6f-4b8e-9399-17dfd09b7846";

    /// A pod that asks for a token and was created too early, but for what is changed.
    fn see(tally: &mut Tally, name: &str, change: impl FnOnce(&mut Value)) {
        let mut pod = json!({
            "metadata": {
                "name": name,
                "labels": { "azure.workload.identity/use": "true", "pod-template-hash": "5d" },
                "ownerReferences": [
                    { "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "orders-5d", "uid": "u", "controller": true },
                ],
            },
            "spec": { "containers": [{ "name": "app", "env": [{ "name": "AZURE_FEDERATED_TOKEN_FILE", "value": "/t/x" }] }] },
            "status": { "phase": "Running" },
        });
        change(&mut pod);
        let take = |part: &str| pod[part].clone();
        let metadata = serde_json::from_value(take("metadata")).unwrap();
        let spec = serde_json::from_value(take("spec")).unwrap();
        let status = serde_json::from_value(take("status")).unwrap();
        tally.see((&metadata, &spec, Some(&status)), "orders", OURS.parse().unwrap());
    }

    fn give(pod: &mut Value) {
        pod["spec"]["containers"][0]["env"] = json!([
            { "name": "AZURE_CLIENT_ID", "value": OURS },
            { "name": "AZURE_FEDERATED_TOKEN_FILE", "value": "/t/x" },
        ]);
        pod["spec"]["containers"][0]["volumeMounts"] = json!([{ "mountPath": "/t" }]);
    }

    #[test]
    fn pods_are_counted_and_told_of_by_owner_and_reason() {
        let mut tally = Tally::default();
        see(&mut tally, "b", |_| {});
        see(&mut tally, "a", |_| {});
        see(&mut tally, "c", give);
        see(&mut tally, "bare", |pod| {
            pod["metadata"]["labels"] = json!({});
            pod["metadata"]["ownerReferences"] = json!([]);
        });
        see(&mut tally, "over", |pod| pod["status"]["phase"] = json!("Succeeded"));
        see(&mut tally, "going", |pod| {
            pod["metadata"]["deletionTimestamp"] = json!("2026-11-28T00:00:00Z");
        });
        let told = tally.status(Vec::new());
        assert_eq!(
            (told.pods, told.with_token, told.without_token, told.not_asking),
            (4, 1, 2, 1)
        );
        let lines: Vec<String> = told
            .lacking
            .iter()
            .map(|one| format!("{} {:?} ×{} {}", one.owner, one.reason, one.pods, one.first_pod))
            .collect();
        assert_eq!(
            lines,
            [
                "Deployment/orders StartedTooEarly ×2 a",
                "Pod/bare LabelMissing ×1 bare"
            ]
        );
        assert!(told.lacking[0].message.contains("kubectl rollout restart"), "{told:?}");
    }

    #[test]
    fn the_list_is_short_and_does_not_depend_on_the_order_of_the_pods() {
        let names: Vec<String> = (0..200).map(|n| format!("p{:03}", n * 7 % 200)).collect();
        let bare = |pod: &mut Value| pod["metadata"]["ownerReferences"] = json!([]);
        let mut forwards = Tally::default();
        for name in &names {
            see(&mut forwards, name, bare);
        }
        let mut backwards = Tally::default();
        for name in names.iter().rev() {
            see(&mut backwards, name, bare);
        }
        assert_eq!(forwards, backwards);
        let told = forwards.status(Vec::new());
        assert_eq!(told.without_token, 200);
        assert_eq!(told.lacking.len(), limits::TOLD_WORKLOADS_MAX);
        assert_eq!(told.lacking[19].first_pod, "p019");
    }

    #[test]
    fn owners_that_a_restart_helps_are_known_by_what_made_their_pods() {
        let made_by = |api: &str, kind: &str, name: &str| {
            let owner = json!({ "apiVersion": api, "kind": kind, "name": name, "uid": "s", "controller": true });
            move |pod: &mut Value| pod["metadata"]["ownerReferences"] = json!([owner])
        };
        let mut tally = Tally::default();
        see(&mut tally, "a", |_| {});
        see(&mut tally, "b", |pod| {
            let other = json!({ "name": "AZURE_CLIENT_ID", "value": "x" });
            pod["spec"]["containers"][0]["env"].as_array_mut().unwrap().push(other);
        });
        see(&mut tally, "c", made_by("apps/v1", "StatefulSet", "set"));
        see(&mut tally, "d", made_by("apps.kruise.io/v1", "DaemonSet", "foreign"));
        see(&mut tally, "e", made_by("batch/v1", "Job", "job"));
        see(&mut tally, "f", |pod| pod["spec"]["containers"][0]["env"] = json!([]));
        see(&mut tally, "g", |pod| pod["metadata"]["labels"] = json!({}));
        let candidates = tally.candidates();
        let told: Vec<String> = candidates
            .iter()
            .map(|one| {
                let maker = one.maker.as_ref().map(|maker| format!("{maker} {}", maker.uid));
                format!("{} {} {maker:?}", one.owner, one.account)
            })
            .collect();
        assert_eq!(
            told,
            [
                "DaemonSet/foreign orders None",
                "Deployment/orders orders Some(\"ReplicaSet/orders-5d u\")",
                "Job/job orders None",
                "StatefulSet/set orders Some(\"StatefulSet/set s\")",
            ],
            "neither those that the webhook missed nor those that do not ask"
        );
    }

    #[test]
    fn whoever_waits_for_the_operator_is_not_told_to_restart_anything() {
        use RestartResult::{NotRestarted, Restarted, Restarting, Waiting};
        let mut tally = Tally::default();
        see(&mut tally, "early", |_| {});
        see(&mut tally, "missed", |pod| {
            pod["spec"]["containers"][0]["env"] = json!([]);
        });
        let message = |owner: &str, result| {
            let restart = RestartStatus {
                owner: owner.to_owned(),
                client_id: OURS.to_owned(),
                result,
                restarted_at: None,
                message: String::new(),
            };
            let told = tally.status(vec![restart]).lacking;
            let of = |reason| told.iter().find(|one| one.reason == reason).unwrap().message.clone();
            let missed = of(wio_api::NoTokenReason::NotMutated);
            assert!(
                missed.contains("kubectl rollout restart"),
                "no restart of the operator's mends it: {missed}"
            );
            of(wio_api::NoTokenReason::StartedTooEarly)
        };
        assert!(message("Deployment/orders", Waiting).ends_with("as spec.rollout asks: wait"));
        assert!(message("Deployment/orders", Restarting).contains("the operator restarted its owner"));
        for (owner, result) in [
            ("Deployment/orders", NotRestarted),
            ("Deployment/orders", Restarted),
            ("Deployment/other", Waiting),
        ] {
            assert!(
                message(owner, result).ends_with("kubectl rollout restart"),
                "{owner} {result:?}"
            );
        }
    }

    #[test]
    fn what_users_may_choose_is_told_in_few_words() {
        let mut tally = Tally::default();
        see(&mut tally, "a", |pod| {
            let other = json!({ "name": "AZURE_CLIENT_ID", "value": "x".repeat(100_000) });
            pod["spec"]["containers"][0]["env"].as_array_mut().unwrap().push(other);
        });
        assert_eq!(
            tally.status(Vec::new()).lacking[0].message.chars().count(),
            MESSAGE_CHARS_MAX
        );
    }
}
