//! Owners of pods that a restart would give a token.

use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use wio_api::{NoTokenReason, RestartResult, RestartStatus};

use super::judge::NoToken;
use super::owner::PodOwner;

/// An owner of pods that lack a token which they would have if they were created anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// As it is told to people.
    pub owner: PodOwner,
    /// The service account as which the pods run.
    pub account: String,
    /// What made the first of them; none where nothing did whose pods can be made anew.
    pub maker: Option<Maker>,
}

/// The controller of a pod, or of a ReplicaSet: this very object and no other of its name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Maker {
    /// Its kind.
    pub kind: MakerKind,
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
}

/// The kinds of `apps` whose pods are made anew one after the other when their template changes, and ReplicaSet, which stands between.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MakerKind {
    /// A Deployment.
    Deployment,
    /// A StatefulSet.
    StatefulSet,
    /// A DaemonSet.
    DaemonSet,
    /// A ReplicaSet, which is a Deployment's or nobody's.
    ReplicaSet,
}

/// Whether pods that lack a token for this reason have it when they are created anew. That the webhook was away is no change of the identity, and it may
/// be away still; what the template itself says, a restart repeats.
pub(super) const fn is_mended_by_restart(reason: NoTokenReason) -> bool {
    match reason {
        NoTokenReason::StartedTooEarly | NoTokenReason::OtherClientId => true,
        NoTokenReason::LabelMissing
        | NoTokenReason::NotMutated
        | NoTokenReason::UnknownClientId
        | NoTokenReason::TokenPathMoved => false,
    }
}

/// What is to be done about pods of an owner, where this becomes of the owners that a binding has the operator restart.
#[must_use]
pub fn next_step(why: &NoToken, owner: &str, restarts: &[RestartStatus]) -> &'static str {
    let mended = is_mended_by_restart(why.reason());
    let mut restarts = restarts.iter().filter(|one| mended && one.owner == owner);
    match restarts.next().map(|one| one.result) {
        Some(RestartResult::Waiting) => "the operator restarts its owner by itself, as spec.rollout asks: wait",
        Some(RestartResult::Restarting) => {
            "the operator restarted its owner, as spec.rollout asks: see whether its rollout goes on, kubectl rollout status"
        }
        Some(RestartResult::Restarted | RestartResult::NotRestarted) | None => why.next_step(),
    }
}

// === impl Maker ===

impl Maker {
    /// The controller of an object, where it is one of these.
    #[must_use]
    pub fn of(metadata: &ObjectMeta) -> Option<Self> {
        let mut owners = metadata.owner_references.iter().flatten();
        let controller = owners.find(|owner| owner.controller == Some(true))?;
        Some(Self {
            kind: MakerKind::of(&controller.api_version, &controller.kind)?,
            name: controller.name.clone(),
            uid: controller.uid.clone(),
        })
    }
}

// === impl MakerKind ===

impl MakerKind {
    /// The kind, and the resource in requests.
    #[must_use]
    pub const fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Deployment => ("Deployment", "deployments"),
            Self::StatefulSet => ("StatefulSet", "statefulsets"),
            Self::DaemonSet => ("DaemonSet", "daemonsets"),
            Self::ReplicaSet => ("ReplicaSet", "replicasets"),
        }
    }

    /// By its name.
    #[must_use]
    pub fn named(kind: &str) -> Option<Self> {
        [Self::Deployment, Self::StatefulSet, Self::DaemonSet, Self::ReplicaSet]
            .into_iter()
            .find(|known| known.names().0 == kind)
    }

    /// Other groups have kinds of these names too.
    fn of(api_version: &str, kind: &str) -> Option<Self> {
        (api_version == "apps/v1").then(|| Self::named(kind)).flatten()
    }
}

impl fmt::Display for Maker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind.names().0, self.name)
    }
}
