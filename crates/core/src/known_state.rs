//! The state of Azure that is known without a read, so that a restart with many bindings costs no reads.

use wio_api::{IdentityOrigin, keys};

use crate::binding::Binding;
use crate::desired::{DesiredBinding, DesiredIdentity, DesiredRole};
use crate::names::{Issuer, PrincipalId, Subject, is_credential_name};
use crate::observed::{
    AzureState, ObservedCredential, ObservedIdentity, ObservedRoleAssignment, ObservedRoleAssignments, PresentIdentity,
    Tags,
};
use crate::plan::{GrantStep, Plan, Revocation};
use crate::recorded::{Recorded, RecordedCredential, RecordedRoleAssignment, RetiringCredential};

/// The state of Azure as a status of this generation with Ready=True left it: what a restart begins with until the next
/// drift check.
#[must_use]
pub fn from_status(desired: &DesiredBinding, binding: &Binding) -> Option<AzureState> {
    let recorded = &binding.recorded;
    let generation = Some(binding.lifecycle.generation);
    let current = recorded.progress.ready == generation && recorded.progress.observed_generation == generation;
    // What those had who are gone no status tells.
    if !current || !recorded.unreadable.is_empty() || !recorded.former_principals.is_empty() {
        return None;
    }
    let issuer = recorded.issuer.as_ref()?;
    let identity = recorded.identity.as_ref()?;
    // Foreign credentials are counted in the status and not named. On an identity of somebody else they are as it should be, and
    // are named again by the next drift check; on a managed one a read is due.
    let foreign = recorded.credential_usage.map_or(0, |usage| usage.foreign);
    // Trust that is not recorded as ours rests on one of them, as it was.
    let unexpected = foreign > 0 && (identity_is_ours(desired) || !all_recorded(desired, recorded));
    // What is not wanted any more (of an issuer that has changed) would be taken away, and nothing is taken away from
    // memory: a read is due.
    let as_wanted = desired.credentials.iter().all(|wanted| wanted.issuer == *issuer)
        && recorded
            .credentials
            .iter()
            .all(|credential| is_wanted(desired, credential));
    if identity.id != *desired.granted.identity() || unexpected || !as_wanted {
        return None;
    }
    let facts = identity.facts()?;
    Some(AzureState {
        role_assignments: roles_from_status(desired, facts.principal_id, &recorded.role_assignments)?,
        identity: ObservedIdentity::Present(PresentIdentity {
            facts,
            tags: tags(&desired.identity, identity.origin),
            credentials: recorded
                .credentials
                .iter()
                .map(|credential| observed(credential, issuer))
                .chain((0..foreign).filter_map(ObservedCredential::counted))
                .chain(recorded.retiring.iter().map(retiring))
                .collect(),
        }),
    })
}

fn all_recorded(desired: &DesiredBinding, recorded: &Recorded) -> bool {
    let credentials = &recorded.credentials;
    let is_recorded = |subject: &Subject| credentials.iter().any(|credential| credential.subject == *subject);
    desired.credentials.iter().all(|wanted| is_recorded(&wanted.subject))
}

const fn identity_is_ours(desired: &DesiredBinding) -> bool {
    matches!(desired.identity, DesiredIdentity::Managed { .. })
}

fn is_wanted(desired: &DesiredBinding, credential: &RecordedCredential) -> bool {
    desired.credentials.iter().any(|wanted| {
        wanted.subject == credential.subject && is_credential_name(&credential.name, &wanted.account, &wanted.issuer)
    })
}

fn tags(identity: &DesiredIdentity, origin: IdentityOrigin) -> Tags {
    match identity {
        DesiredIdentity::Managed { tags, .. } => {
            let adopted =
                (origin == IdentityOrigin::Adopted).then(|| (keys::ADOPTED_TAG.to_owned(), "true".to_owned()));
            tags.clone().into_iter().chain(adopted).collect()
        }
        DesiredIdentity::Existing => Tags::new(),
    }
}

fn observed(credential: &RecordedCredential, issuer: &Issuer) -> ObservedCredential {
    ObservedCredential {
        name: credential.name.clone(),
        issuer: issuer.to_string(),
        subject: Some(credential.subject.to_string()),
        audiences: vec![credential.audience.to_string()],
    }
}

fn retiring(credential: &RetiringCredential) -> ObservedCredential {
    ObservedCredential {
        name: credential.name.clone(),
        issuer: credential.issuer.to_string(),
        subject: Some(credential.subject.to_string()),
        audiences: vec![credential.audience.to_string()],
    }
}

/// The role assignments that a status names, when they are the ones that are wanted: what is not wanted any more is
/// taken away, and what is missing is given, after a read.
fn roles_from_status(
    desired: &DesiredBinding,
    principal: PrincipalId,
    recorded: &[RecordedRoleAssignment],
) -> Option<ObservedRoleAssignments> {
    let given = |role: &DesiredRole| {
        let recorded = recorded
            .iter()
            .find(|recorded| recorded.role == role.role && recorded.scope == *role.scope())?;
        Some(ObservedRoleAssignment {
            name: recorded.name,
            scope: recorded.scope.to_string(),
            definition: role.definition(),
            principal,
            terms: Some(role.terms.clone()),
        })
    };
    let given: Vec<ObservedRoleAssignment> = desired.roles.iter().map(given).collect::<Option<_>>()?;
    (given.len() == recorded.len()).then_some(ObservedRoleAssignments::read(given))
}

/// Whether a plan may be carried out that was made from what is known without a read. Nothing is taken away from
/// Azure, no identity is created and no tags are replaced without a look at what stands there: the request that creates one replaces the
/// tags of one that is there. And nothing is given through an identity that stands while it is not known whether
/// it is the operator's own.
#[must_use]
pub fn is_enough_for(plan: &Plan, state: &AzureState, signed_in: bool) -> bool {
    let takes = |step: &Revocation| match step {
        Revocation::DeleteCredential(_) | Revocation::DeleteRoleAssignment { .. } | Revocation::DeleteIdentity => true,
        // It is read again by whoever releases it.
        Revocation::ReleaseServiceAccount { .. } | Revocation::DeleteExport { .. } => false,
    };
    let present = state.identity.present();
    let may_be_own = !signed_in && present.is_some();
    // One that is only counted may trust what a new one would.
    let unnamed = present.is_some_and(|present| present.credentials.iter().any(ObservedCredential::is_only_counted));
    let overwrites = |step: &GrantStep| match step {
        GrantStep::CreateIdentity { .. } | GrantStep::TagIdentity { .. } | GrantStep::ReplaceCredential { .. } => true,
        GrantStep::PutCredential(_) => may_be_own || unnamed,
        GrantStep::PutRoleAssignment(_) | GrantStep::ApplyServiceAccount(_) | GrantStep::ApplyExport(_) => may_be_own,
    };
    !plan.revocations.iter().any(takes) && !plan.grants.iter().any(overwrites)
}
