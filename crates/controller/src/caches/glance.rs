//! A binding at a glance: what is counted or looked for among all of them, so that none is unpacked for that.

use std::hash::Hash;
use std::num::NonZeroU64;

use jiff::Timestamp;
use wio_api::{ConditionType, IdentityOrigin, Reason, WorkloadIdentityBinding};
use wio_core::binding::has_finalizer;
use wio_core::names::IdentityId;

use crate::runtime::hash::hash;

/// A binding at a glance.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Glance {
    /// Whether it is Ready; none while that is not known.
    is_ready: Option<bool>,
    /// The reason of that.
    pub(crate) reason: Reason,
    /// Since when something is to be taken away of what it still has.
    pub(crate) revoked_since: Option<Timestamp>,
    /// How many credentials of anybody else are on its identity, which is the operator's.
    pub(crate) foreign: u32,
    /// Whether its identity has little room for further credentials.
    pub(crate) nearly_full: bool,
    /// How many of its pods run without a token.
    pub(crate) without_token: u32,
    /// The identity that its status names, and the resource group of that, by their hashes.
    pub(super) identity: Option<NonZeroU64>,
    pub(super) group: Option<NonZeroU64>,
    /// A bit for each [`Mark`] that it has.
    marks: u8,
}

/// What few bindings have that are looked for among all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    /// An identity that somebody else owns.
    Referenced,
    /// Something that a policy gave.
    ByPolicy,
    /// Roles, or places where there may be some.
    Roles,
}

// === impl Glance ===

impl Glance {
    pub(super) fn of(binding: &WorkloadIdentityBinding) -> Self {
        let (is_ready, reason) = readiness(binding);
        let identity = identity(binding);
        Self {
            is_ready,
            reason,
            revoked_since: revoked_since(binding),
            foreign: foreign_on_managed(binding),
            nearly_full: nearly_full(binding),
            without_token: without_token(binding),
            identity: identity.as_ref().and_then(short),
            group: identity.and_then(|id| short(&id.group)),
            marks: [Mark::Referenced, Mark::ByPolicy, Mark::Roles]
                .into_iter()
                .filter(|mark| mark.is_on(binding))
                .fold(0, |marks, mark| marks | mark.bit()),
        }
    }

    pub(super) const fn has(&self, mark: Mark) -> bool {
        self.marks & mark.bit() != 0
    }

    pub(super) fn is_ready(&self) -> bool {
        self.is_ready == Some(true)
    }

    /// The status of its Ready condition.
    pub(crate) const fn ready(&self) -> &'static str {
        match self.is_ready {
            Some(true) => "True",
            Some(false) => "False",
            None => "Unknown",
        }
    }
}

// === impl Mark ===

impl Mark {
    const fn bit(self) -> u8 {
        1 << self as u8
    }

    fn is_on(self, binding: &WorkloadIdentityBinding) -> bool {
        let Some(status) = &binding.status else { return false };
        match self {
            Self::Referenced => {
                let identity = status.identity.as_ref();
                identity.is_some_and(|identity| identity.origin == IdentityOrigin::Referenced)
            }
            Self::ByPolicy => !status.authorized_by.is_empty(),
            Self::Roles => !status.role_assignment_scopes.is_empty(),
        }
    }
}

/// The identity that a binding's status names.
fn identity(binding: &WorkloadIdentityBinding) -> Option<IdentityId> {
    binding.status.as_ref()?.identity.as_ref()?.resource_id.parse().ok()
}

/// A value in eight bytes. Two that have the same ones are as unlikely as a guessed key.
pub(crate) fn short<T: Hash + ?Sized>(value: &T) -> Option<NonZeroU64> {
    NonZeroU64::new(hash(value))
}

/// Only what the operator itself writes becomes a label: a status can be edited by hand.
fn readiness(binding: &WorkloadIdentityBinding) -> (Option<bool>, Reason) {
    let status = binding.status.as_ref();
    let Some(ready) = status.and_then(|status| status.condition(ConditionType::Ready)) else {
        return (None, Reason::Progressing);
    };
    let is_ready = match ready.status.as_str() {
        "True" => Some(true),
        "False" => Some(false),
        _ => None,
    };
    let known = Reason::ALL.iter().find(|reason| reason.as_str() == ready.reason);
    (is_ready, known.copied().unwrap_or(Reason::Progressing))
}

fn without_token(binding: &WorkloadIdentityBinding) -> u32 {
    let workloads = binding.status.as_ref().and_then(|status| status.workloads.as_ref());
    workloads.map_or(0, |workloads| workloads.without_token)
}

/// Since when something is to be taken away of what a binding still has.
fn revoked_since(binding: &WorkloadIdentityBinding) -> Option<Timestamp> {
    let status = binding.status.as_ref();
    if let Some(deleted) = &binding.metadata.deletion_timestamp {
        return has_finalizer(binding).then_some(deleted.0);
    }
    let status =
        status.filter(|status| !status.federated_credentials.is_empty() || !status.role_assignments.is_empty())?;
    let authorized = status.condition(ConditionType::Authorized);
    let denied = authorized.filter(|condition| condition.status == "False")?;
    Some(denied.last_transition_time.0)
}

/// Credentials of anybody else on an identity that is the operator's.
fn foreign_on_managed(binding: &WorkloadIdentityBinding) -> u32 {
    let Some(status) = &binding.status else { return 0 };
    let managed = status
        .identity
        .as_ref()
        .is_some_and(|identity| identity.origin != IdentityOrigin::Referenced);
    let usage = status.federated_credential_usage.as_ref().filter(|_| managed);
    usage.map_or(0, |usage| usage.foreign)
}

/// Whether at most two credentials have room on its identity.
fn nearly_full(binding: &WorkloadIdentityBinding) -> bool {
    const LITTLE: u32 = 2;
    let status = binding.status.as_ref();
    let usage = status.and_then(|status| status.federated_credential_usage.as_ref());
    usage.is_some_and(|usage| usage.ours.saturating_add(usage.foreign).saturating_add(LITTLE) >= usage.limit)
}
