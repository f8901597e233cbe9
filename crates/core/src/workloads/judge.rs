//! Whether a pod of a bound service account got a token, and why not.
//!
//! The pod webhook acts when a pod is created and never again, so what a pod has is decided then: by its label, and by what the service account
//! carried at that moment. <https://azure.github.io/azure-workload-identity/docs/topics/service-account-labels-and-annotations.html>

use std::collections::BTreeMap;
use std::fmt;

use wio_api::NoTokenReason;
use wio_api::pod::{
    CLIENT_ID_VARIABLE, Container, PodSpec, PodStatus, SKIP_CONTAINERS_ANNOTATION, TOKEN_FILE_VARIABLE, USE_LABEL,
};

use crate::names::ClientId;

/// Whether a pod that runs has the token of the identity that its service account is bound to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PodToken {
    /// Every container has it that is to have one.
    Given,
    /// One has not.
    Missing(NoToken),
}

/// Why a pod has no token, or not the right one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoToken {
    /// The pod does not ask for one.
    NotAsked,
    /// It asks, and the webhook did not see its creation.
    NotMutated,
    /// It was created before the service account carried a client id.
    TooEarly,
    /// It has the client id of something else.
    OtherClientId {
        /// The container.
        container: String,
        /// The client id that it has.
        has: String,
    },
    /// It takes the client id from elsewhere than its own text, so that it is not known.
    UnknownClientId {
        /// The container.
        container: String,
    },
    /// It names a token file where no volume is.
    NoSuchFile {
        /// The container.
        container: String,
        /// The path.
        path: String,
    },
}

/// Whether a pod is over: then it needs no token any more.
#[must_use]
pub fn is_over(status: &PodStatus) -> bool {
    matches!(status.phase.as_str(), "Succeeded" | "Failed")
}

/// Whether somebody is to hear of a pod without a token. One that does not ask may be meant to have none, unless nobody has one.
#[must_use]
pub const fn is_missed(asks: bool, somebody_has: bool) -> bool {
    asks || !somebody_has
}

/// Judges a pod by what it was created with.
#[must_use]
pub fn judge(
    labels: &BTreeMap<String, String>,
    annotations: &BTreeMap<String, String>,
    spec: &PodSpec,
    client_id: ClientId,
) -> PodToken {
    if labels.get(USE_LABEL).map(String::as_str) != Some("true") {
        return PodToken::Missing(NoToken::NotAsked);
    }
    let skipped = annotations.get(SKIP_CONTAINERS_ANNOTATION).map_or("", String::as_str);
    let skipped: Vec<&str> = skipped.split(';').map(str::trim).collect();
    let mut asking = spec
        .containers
        .iter()
        .filter(|one| !skipped.contains(&one.name.as_str()));
    let fault = asking.find_map(|container| fault(container, client_id));
    fault.map_or(PodToken::Given, PodToken::Missing)
}

fn fault(container: &Container, client_id: ClientId) -> Option<NoToken> {
    let variable = |name: &str| container.env.iter().find(|variable| variable.name == name);
    let Some(file) = variable(TOKEN_FILE_VARIABLE) else {
        return Some(NoToken::NotMutated);
    };
    let name = || container.name.clone();
    let client = variable(CLIENT_ID_VARIABLE).map(|variable| (variable.value.as_deref(), variable.value_from));
    match client {
        Some((None, Some(_))) => return Some(NoToken::UnknownClientId { container: name() }),
        None | Some((None | Some(""), _)) => return Some(NoToken::TooEarly),
        Some((Some(has), _)) if !has.parse().is_ok_and(|has: ClientId| has == client_id) => {
            return Some(NoToken::OtherClientId {
                container: name(),
                has: has.to_owned(),
            });
        }
        Some((Some(_), _)) => {}
    }
    let path = file.value.as_deref()?;
    let mut mounts = container
        .volume_mounts
        .iter()
        .map(|mount| mount.mount_path.trim_end_matches('/'));
    let there = mounts.any(|mount| path.strip_prefix(mount).is_some_and(|rest| rest.starts_with('/')));
    (!there).then(|| NoToken::NoSuchFile {
        container: name(),
        path: path.to_owned(),
    })
}

impl NoToken {
    /// The word for it in a status.
    #[must_use]
    pub const fn reason(&self) -> NoTokenReason {
        match self {
            Self::NotAsked => NoTokenReason::LabelMissing,
            Self::NotMutated => NoTokenReason::NotMutated,
            Self::TooEarly => NoTokenReason::StartedTooEarly,
            Self::OtherClientId { .. } => NoTokenReason::OtherClientId,
            Self::UnknownClientId { .. } => NoTokenReason::UnknownClientId,
            Self::NoSuchFile { .. } => NoTokenReason::TokenPathMoved,
        }
    }

    /// What to do about it.
    #[must_use]
    pub const fn next_step(&self) -> &'static str {
        match self {
            Self::NotAsked => {
                "set the label azure.workload.identity/use: \"true\" in the pod template, if it is to have one"
            }
            Self::NotMutated => {
                "see that the pod webhook of azure-workload-identity runs, and create the pod anew: kubectl rollout restart"
            }
            Self::TooEarly => "create the pod anew: kubectl rollout restart",
            Self::OtherClientId { .. } => {
                "take AZURE_CLIENT_ID out of the pod template if it stands there, and create the pod anew: kubectl rollout restart"
            }
            Self::UnknownClientId { .. } => "take AZURE_CLIENT_ID out of the pod template: the webhook sets it",
            Self::NoSuchFile { .. } => "take AZURE_FEDERATED_TOKEN_FILE out of the pod template: the webhook sets it",
        }
    }
}

impl fmt::Display for NoToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAsked => f.write_str("it lacks the label azure.workload.identity/use: \"true\""),
            Self::NotMutated => f.write_str("the webhook did not change it when it was created"),
            Self::TooEarly => f.write_str("it is older than the client id on its service account"),
            Self::OtherClientId { container, has } => {
                write!(f, "container {container} has another client id, {has}")
            }
            Self::UnknownClientId { container } => {
                write!(
                    f,
                    "container {container} takes AZURE_CLIENT_ID from elsewhere, so it is not known here"
                )
            }
            Self::NoSuchFile { container, path } => {
                write!(
                    f,
                    "container {container} looks for the token at {path}, where no volume is"
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const OURS: &str = "4b65e8cb-da6f-4b8e-9399-17dfd09b7846";
    const MOUNT: &str = "/var/run/secrets/azure/wi/token";

    fn judged(labelled: bool, env: &serde_json::Value) -> PodToken {
        let spec = serde_json::from_value(json!({
            "serviceAccountName": "orders",
            "containers": [
                { "name": "app", "env": env, "volumeMounts": [{ "name": "azure-identity-token", "mountPath": MOUNT }] },
                { "name": "side" },
            ],
        }))
        .unwrap();
        let labels = labelled.then(|| (USE_LABEL.to_owned(), "true".to_owned()));
        let skip = BTreeMap::from([(SKIP_CONTAINERS_ANNOTATION.to_owned(), "other; side".to_owned())]);
        judge(&labels.into_iter().collect(), &skip, &spec, OURS.parse().unwrap())
    }

    fn env(client_id: &str, file: &str) -> serde_json::Value {
        json!([{ "name": "AZURE_CLIENT_ID", "value": client_id }, { "name": "AZURE_FEDERATED_TOKEN_FILE", "value": file }])
    }

    #[test]
    fn a_pod_that_the_webhook_changed_with_the_right_client_id_has_its_token() {
        let file = format!("{MOUNT}/azure-identity-token");
        assert_eq!(judged(true, &env(OURS, &file)), PodToken::Given);
        assert_eq!(judged(true, &env(&OURS.to_uppercase(), &file)), PodToken::Given);
    }

    #[test]
    fn every_way_to_have_none_is_told_from_the_others() {
        let file = format!("{MOUNT}/azure-identity-token");
        let container = || "app".to_owned();
        let early = json!([{ "name": "AZURE_FEDERATED_TOKEN_FILE", "value": file }]);
        // What the API server makes of an empty value.
        let as_stored = json!([{ "name": "AZURE_FEDERATED_TOKEN_FILE", "value": file }, { "name": "AZURE_CLIENT_ID" }]);
        let from_elsewhere = json!([
            { "name": "AZURE_FEDERATED_TOKEN_FILE", "value": file },
            { "name": "AZURE_CLIENT_ID", "valueFrom": { "configMapKeyRef": { "name": "a", "key": "b" } } },
        ]);
        let other = "00000000-0000-4000-8000-000000000001";
        let moved = "/var/run/secrets/azure/wi/tokens/t";
        let cases = [
            (false, env(OURS, &file), NoToken::NotAsked),
            (true, json!([]), NoToken::NotMutated),
            (true, early, NoToken::TooEarly),
            (true, env("", &file), NoToken::TooEarly),
            (true, as_stored, NoToken::TooEarly),
            (
                true,
                from_elsewhere,
                NoToken::UnknownClientId { container: container() },
            ),
            (
                true,
                env(other, &file),
                NoToken::OtherClientId {
                    container: container(),
                    has: other.to_owned(),
                },
            ),
            (
                true,
                env(OURS, moved),
                NoToken::NoSuchFile {
                    container: container(),
                    path: moved.to_owned(),
                },
            ),
        ];
        for (labelled, env, why) in cases {
            assert_eq!(judged(labelled, &env), PodToken::Missing(why));
        }
    }

    #[test]
    fn a_container_that_is_to_have_none_is_not_asked() {
        let file = format!("{MOUNT}/azure-identity-token");
        let spec: PodSpec = serde_json::from_value(json!({ "containers": [
            { "name": "app", "env": env(OURS, &file), "volumeMounts": [{ "mountPath": MOUNT }] },
            { "name": "side" },
        ]}))
        .unwrap();
        let labels = BTreeMap::from([(USE_LABEL.to_owned(), "true".to_owned())]);
        let judged = judge(&labels, &BTreeMap::new(), &spec, OURS.parse().unwrap());
        assert_eq!(
            judged,
            PodToken::Missing(NoToken::NotMutated),
            "nobody said that the second one is to have none"
        );
    }
}
