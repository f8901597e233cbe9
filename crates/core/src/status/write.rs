//! Writing a status: from the previous one, what was observed, and the outcome.

use std::collections::BTreeSet;

use jiff::Timestamp;
use wio_api::WorkloadIdentityBindingStatus;

use super::{conditions, facts};
use crate::binding::Lifecycle;
use crate::cluster::Cluster;
use crate::outcome::Outcome;
use crate::plan::{GrantStep, Plan};
use crate::recorded::Recorded;

/// What a status is written about.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The status as it stands.
    pub previous: Option<&'a WorkloadIdentityBindingStatus>,
    /// Where in its life the binding is.
    pub lifecycle: &'a Lifecycle,
    /// The cluster.
    pub cluster: &'a Cluster,
}

/// The status that an outcome makes.
///
/// What was not observed this time stays as it was last seen; the conditions say so. A condition's time moves only
/// when its status does, so that an unchanged world makes an unchanged status.
#[must_use]
pub fn status(subject: Subject<'_>, outcome: &Outcome, now: Timestamp) -> WorkloadIdentityBindingStatus {
    let previous = subject.previous.cloned().unwrap_or_default();
    let mut next = previous.clone();
    next.observed_generation = Some(subject.lifecycle.generation);
    next.issuer = Some(subject.cluster.issuer.to_string());
    let mut recorded = Recorded::from(&next);
    if let Outcome::Reconciled(reconciled) = outcome {
        let named_none = recorded.identity.is_none();
        recorded = facts::observed(&recorded, reconciled);
        recorded.write(&mut next);
        Recorded::keep_unreadable(&previous, &mut next);
        let azure = &reconciled.observed().azure;
        // Not narrower than what stands: an identity that does not parse here may be all that tells of it.
        if named_none && next.identity.is_none() && azure.identity.present().is_some() {
            next.identity = previous.identity;
        }
    }
    next.conditions = conditions::conditions(&next, &recorded, subject.lifecycle, outcome, now);
    next
}

/// The status that names every place where roles are about to be assigned; none when it does already. It is written before the
/// first of them is: a role that is assigned and not written down, because the operator ended in between, would be lost to it as
/// soon as the spec does not ask for it any more.
#[must_use]
pub fn announcing(
    previous: Option<&WorkloadIdentityBindingStatus>,
    plan: &Plan,
) -> Option<WorkloadIdentityBindingStatus> {
    let named = previous.map_or(&[][..], |status| &status.role_assignment_scopes);
    let mut scopes: BTreeSet<String> = named.iter().cloned().collect();
    for step in &plan.grants {
        if let GrantStep::PutRoleAssignment(role) = step {
            scopes.insert(role.scope().root().to_string());
        }
    }
    (scopes.len() > named.len()).then(|| WorkloadIdentityBindingStatus {
        role_assignment_scopes: scopes.into_iter().collect(),
        ..previous.cloned().unwrap_or_default()
    })
}
