//! The obstacles on the way through the revocations of a plan: which of them may still be tried after what went wrong.

use std::collections::BTreeSet;

use super::steps::Revocation;
use crate::fault::Fault;
use crate::names::Scope;
use crate::reasons::{Reach, disposition, facts};

/// What went wrong so far, and what cannot be reached because of it. **One refused revocation stops no other**: a lock on one credential
/// keeps neither the next one nor a role.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Obstacles {
    faults: Vec<Fault>,
    closed: BTreeSet<Place>,
    azure_is_closed: bool,
}

/// A part of the world that is throttled, away and back on its own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    /// The identity with its federated credentials.
    Identity,
    /// The subscription or management group of a role assignment.
    Scope(Scope),
    /// The cluster.
    Cluster,
}

// === impl Obstacles ===

impl Obstacles {
    /// Whether a step may be tried, as far as what went wrong before says. The identity goes last, and only when nothing is left:
    /// trust ends first.
    #[must_use]
    pub fn allow(&self, step: &Revocation) -> bool {
        let place = Place::of(step);
        let closed = self.closed.contains(&place) || (self.azure_is_closed && place != Place::Cluster);
        let too_early = *step == Revocation::DeleteIdentity && !self.faults.is_empty();
        !closed && !too_early
    }

    /// Takes in what went wrong with a step.
    pub fn meet(&mut self, step: &Revocation, fault: Fault) {
        match facts(disposition(&fault).reason()).reach {
            Reach::Object => {}
            Reach::Place => {
                self.closed.insert(Place::of(step));
            }
            Reach::Azure => self.azure_is_closed = true,
        }
        self.faults.push(fault);
    }

    /// Whether something of Azure could not be taken away: nothing is given then.
    #[must_use]
    pub fn bar_grants(&self) -> bool {
        self.faults.iter().any(|fault| !matches!(fault, Fault::Kubernetes(_)))
    }

    /// Everything that went wrong, in the order of the steps.
    #[must_use]
    pub fn into_faults(self) -> Vec<Fault> {
        self.faults
    }
}

// === impl Place ===

impl Place {
    fn of(step: &Revocation) -> Self {
        match step {
            Revocation::DeleteCredential(_) | Revocation::DeleteIdentity => Self::Identity,
            Revocation::DeleteRoleAssignment { scope, .. } => Self::Scope(scope.root()),
            Revocation::ReleaseServiceAccount { .. } | Revocation::DeleteExport { .. } => Self::Cluster,
        }
    }
}
