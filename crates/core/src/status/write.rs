//! Writing a status: from the previous one, what was observed, and the outcome.

use jiff::Timestamp;
use wio_api::{
    IdentityOrigin, IdentityStatus, RetiringFederatedCredentialStatus, TokenExchangeStatus,
    WorkloadIdentityBindingStatus,
};

use super::subject::Subject;
use super::{conditions, facts as seen, patience};
use crate::binding::Lifecycle;
use crate::cluster::Belief;
use crate::desired::{Desired, DesiredCredential};
use crate::names::IdentityId;
use crate::observed::ObservedIdentity;
use crate::outcome::Outcome;
use crate::ownership::standing;
use crate::plan::{GrantStep, Plan};
use crate::reasons::facts;
use crate::recorded::Recorded;

/// The status that an outcome makes.
///
/// What was not observed this time stays as it was last seen; the conditions say so. A condition's time moves only
/// when its status does, so that an unchanged world makes an unchanged status.
#[must_use]
pub fn status(subject: Subject<'_>, outcome: &Outcome, now: Timestamp) -> WorkloadIdentityBindingStatus {
    let as_before = patience::as_before(subject, outcome);
    let mut next = as_before.unwrap_or_else(|| of_outcome(subject, outcome, now));
    if let Some(heeded) = subject.heeded {
        next.last_handled_reconcile_at = Some(heeded.to_owned());
    }
    next
}

fn of_outcome(subject: Subject<'_>, outcome: &Outcome, now: Timestamp) -> WorkloadIdentityBindingStatus {
    let problems = patience::problems(subject, outcome, now);
    let previous = subject.previous.cloned().unwrap_or_default();
    let mut next = previous.clone();
    let mut recorded = Recorded::from(&previous);
    if stays_ready(subject.lifecycle, &recorded, outcome) {
        return previous;
    }
    next.observed_generation = Some(subject.lifecycle.generation);
    if subject.cluster.belief == Belief::Believed && (next.issuer.is_none() || knows_credentials(outcome)) {
        next.issuer = Some(subject.cluster.issuer.to_string());
        recorded.issuer = Some(subject.cluster.issuer.clone());
    }
    if let Outcome::Reconciled(reconciled) = outcome
        // What is still on its way is looked for by what is written down.
        && outcome.landing().is_none()
    {
        let named_none = recorded.identity.is_none();
        recorded = seen::observed(&recorded, reconciled, now);
        recorded.write(&mut next);
        Recorded::keep_unreadable(&previous, &mut next);
        let azure = &reconciled.observed().azure;
        // Not narrower than what stands: an identity that does not parse here may be all that tells of it.
        if named_none && next.identity.is_none() && azure.identity.present().is_some() {
            next.identity = previous.identity;
        }
    } else if let Some(Desired::Bound(bound)) = outcome.desired() {
        // What it may have is decided, whether or not Azure could be looked at.
        next.authorized_by = bound.granted.authorized_by().iter().map(ToString::to_string).collect();
    }
    recorded.written = subject.written;
    // What was announced stays announced: the next try would have to do it again.
    next.written |= !recorded.nothing_was_written();
    next.conditions = conditions::conditions(&next, &recorded, subject, (outcome, &problems), now);
    next.replace_unreadable();
    next
}

/// Whether a status names something that only a write can have made, whatever was announced.
#[must_use]
pub fn tells_of_writes(status: &WorkloadIdentityBindingStatus) -> bool {
    let unannounced = Recorded {
        written: false,
        ..Recorded::from(status)
    };
    !unannounced.nothing_was_written()
}

/// Whether the credentials of a former issuer, if there are any, are told of beside the issuer of today. Where they are not, the former
/// one has to stand in the status: it says whose credentials are ours.
fn knows_credentials(outcome: &Outcome) -> bool {
    let Outcome::Reconciled(reconciled) = outcome else {
        return false;
    };
    let azure = &reconciled.observed().azure;
    match reconciled.desired() {
        Desired::Bound(desired) => azure.identity == ObservedIdentity::Absent || standing(desired, azure).is_some(),
        Desired::Denied(_) | Desired::Gone(_) => false,
    }
}

/// Whether a binding that is ready is held for something that says nothing about its pods.
fn stays_ready(lifecycle: &Lifecycle, recorded: &Recorded, outcome: &Outcome) -> bool {
    let Outcome::Held(blocked) = outcome else { return false };
    facts(blocked.reason).keeps_ready && !lifecycle.deleting && recorded.progress.ready == Some(lifecycle.generation)
}

/// The status that says that something is about to be written, and names the identity that is about to be created, every
/// place where roles are about to be assigned, the ConfigMap that is about to be written, and credentials for another issuer than it knows, and no proof any more
/// that rests on a credential which is about to be written anew; none when it does already. It is written before the first of them is: what is made and
/// not written down, because the operator ended in between, would be lost to it as soon as the spec or the operator's defaults mean
/// something else.
#[must_use]
pub fn announcing(
    previous: Option<&WorkloadIdentityBindingStatus>,
    identity: &IdentityId,
    plan: &Plan,
) -> Option<WorkloadIdentityBindingStatus> {
    let before = previous.cloned().unwrap_or_default();
    let mut next = before.clone();
    for step in &plan.grants {
        match step {
            GrantStep::PutRoleAssignment(role) => next.role_assignment_scopes.push(role.scope().root().to_string()),
            GrantStep::CreateIdentity { .. } => next.identity = next.identity.or_else(|| Some(announced(identity))),
            GrantStep::PutCredential(wanted) | GrantStep::ReplaceCredential { wanted, .. } => {
                announce_issuer(&mut next, wanted);
                // Whether Entra knows the new one is not proven by the one before.
                let other = |exchange: &TokenExchangeStatus| exchange.service_account != wanted.account.as_str();
                next.token_exchanges.retain(other);
            }
            GrantStep::ApplyExport(name) => next.exported_config_maps.push(name.to_string()),
            GrantStep::TagIdentity { .. } | GrantStep::ApplyServiceAccount(_) => {}
        }
    }
    next.written |= !plan.grants.is_empty();
    next.role_assignment_scopes.sort();
    next.role_assignment_scopes.dedup();
    next.exported_config_maps.sort();
    next.exported_config_maps.dedup();
    (next != before).then_some(next)
}

/// Tells of a credential that is about to trust another issuer than the status knows. If nothing else can be written down and the former issuer
/// comes back, it is known by this to be the binding's, and not another cluster's.
fn announce_issuer(next: &mut WorkloadIdentityBindingStatus, wanted: &DesiredCredential) {
    let issuer = wanted.issuer.to_string();
    if *next.issuer.get_or_insert_with(|| issuer.clone()) == issuer {
        return;
    }
    let retiring = &mut next.retiring_federated_credentials;
    if retiring.iter().any(|told| told.name == wanted.name.as_str()) {
        return;
    }
    retiring.push(RetiringFederatedCredentialStatus {
        name: wanted.name.to_string(),
        service_account: wanted.account.to_string(),
        issuer,
        subject: wanted.subject.to_string(),
        audience: wanted.audience.to_string(),
        until: None,
    });
}

fn announced(id: &IdentityId) -> IdentityStatus {
    IdentityStatus {
        resource_id: id.to_string(),
        name: id.name.to_string(),
        client_id: None,
        principal_id: None,
        tenant_id: None,
        origin: IdentityOrigin::Created,
    }
}
