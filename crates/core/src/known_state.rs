//! What may be taken for true without a look at Azure: nothing is read that is known, so that a restart with many
//! bindings costs no reads and a new binding none but its writes.

use wio_api::{FederatedCredentialStatus, IdentityOrigin, RoleAssignmentStatus, WorkloadIdentityBindingStatus, keys};

use crate::desired::{DesiredBinding, DesiredCredential, DesiredIdentity, DesiredRole};
use crate::names::{PrincipalId, is_credential_name};
use crate::observed::{
    IdentityFacts, ObservedCredential, ObservedIdentity, ObservedRoleAssignment, ObservedRoleAssignments,
    PresentIdentity,
};
use crate::plan::{GrantStep, Plan, Revocation};

/// What is taken for true of Azure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AzureState {
    /// The identity.
    pub identity: ObservedIdentity,
    /// Its role assignments.
    pub role_assignments: ObservedRoleAssignments,
}

/// The identity of a binding that was never reconciled and whose identity's name is derived: it cannot be there,
/// because the name carries this cluster and this binding. Should it be there after all (a binding that was deleted
/// and restored, a crash between the first write and the status), the first write is answered 200 instead of 201 and
/// the shell looks.
#[must_use]
pub fn new_binding(
    desired: &DesiredBinding,
    name_is_derived: bool,
    status: Option<&WorkloadIdentityBindingStatus>,
) -> Option<AzureState> {
    let untouched = status.is_none_or(|status| {
        status.identity.is_none() && status.conditions.is_empty() && status.role_assignment_scopes.is_empty()
    });
    let managed = matches!(desired.identity, DesiredIdentity::Managed { .. });
    // Who is not there has no roles.
    (managed && name_is_derived && untouched).then(|| AzureState {
        identity: ObservedIdentity::Absent,
        role_assignments: ObservedRoleAssignments::default(),
    })
}

/// The identity as a status of this generation with Ready=True left it: what a restart begins with until the next
/// scheduled look at Azure.
#[must_use]
pub fn from_status(
    desired: &DesiredBinding,
    generation: i64,
    status: &WorkloadIdentityBindingStatus,
) -> Option<AzureState> {
    let ready = status
        .conditions
        .iter()
        .any(|c| c.type_ == "Ready" && c.status == "True" && c.observed_generation == Some(generation));
    if !ready || status.observed_generation != Some(generation) {
        return None;
    }
    let issuer = status.issuer.clone()?;
    let identity = status.identity.as_ref()?;
    if identity.resource_id.parse().as_ref() != Ok(desired.authorized.identity()) {
        return None;
    }
    // What is not wanted any more (of an issuer that has changed) would be taken away, and nothing is taken away from
    // memory: a look is due.
    let wanted = |credential: &FederatedCredentialStatus| {
        let named = |wanted: &DesiredCredential| {
            let name = credential.name.parse();
            name.is_ok_and(|name| is_credential_name(&name, &wanted.account, &wanted.issuer))
        };
        desired
            .credentials
            .iter()
            .any(|wanted| wanted.subject.as_str() == credential.subject && named(wanted))
    };
    let same_issuer = |wanted: &DesiredCredential| wanted.issuer.as_str() == issuer;
    if !desired.credentials.iter().all(same_issuer) || !status.federated_credentials.iter().all(wanted) {
        return None;
    }
    let credential = |credential: &FederatedCredentialStatus| {
        Some(ObservedCredential {
            name: credential.name.parse().ok()?,
            issuer: issuer.clone(),
            subject: Some(credential.subject.clone()),
            audiences: vec![credential.audience.clone()],
        })
    };
    // Foreign credentials are counted in the status and not named: a look is due when there are any.
    let foreign = status
        .federated_credential_usage
        .as_ref()
        .map_or(0, |usage| usage.foreign);
    if foreign > 0 {
        return None;
    }
    let facts = IdentityFacts {
        client_id: identity.client_id.parse().ok()?,
        principal_id: identity.principal_id.parse().ok()?,
        tenant_id: identity.tenant_id.parse().ok()?,
    };
    let role_assignments = roles_from_status(desired, facts.principal_id, &status.role_assignments)?;
    let identity = ObservedIdentity::Present(PresentIdentity {
        facts,
        tags: match &desired.identity {
            DesiredIdentity::Managed { tags, .. } => {
                let adopted = (identity.origin == IdentityOrigin::Adopted)
                    .then(|| (keys::ADOPTED_TAG.to_owned(), "true".to_owned()));
                tags.clone().into_iter().chain(adopted).collect()
            }
            DesiredIdentity::Existing => std::collections::BTreeMap::new(),
        },
        credentials: status
            .federated_credentials
            .iter()
            .map(credential)
            .collect::<Option<_>>()?,
    });
    Some(AzureState {
        identity,
        role_assignments,
    })
}

/// The role assignments that a status names, when they are the ones that are wanted: what is not wanted any more is
/// taken away, and what is missing is given, after a look.
fn roles_from_status(
    desired: &DesiredBinding,
    principal: PrincipalId,
    left: &[RoleAssignmentStatus],
) -> Option<ObservedRoleAssignments> {
    let given = |role: &DesiredRole| {
        let left = left
            .iter()
            .find(|left| left.role == role.role && left.scope.parse().as_ref() == Ok(role.scope()))?;
        Some(ObservedRoleAssignment {
            name: left.id.rsplit('/').next()?.parse().ok()?,
            scope: left.scope.clone(),
            definition: role.definition(),
            principal,
        })
    };
    let given: Vec<ObservedRoleAssignment> = desired.roles.iter().map(given).collect::<Option<_>>()?;
    (given.len() == left.len()).then_some(ObservedRoleAssignments::Known(given))
}

/// Whether a plan may be carried out that was made from what is presumed or remembered. Nothing is taken away from
/// Azure and nothing that others may have changed is overwritten without a look at it: their tags on an identity, or
/// an identity of a name that somebody chose.
#[must_use]
pub fn is_enough_for(plan: &Plan, name_is_derived: bool) -> bool {
    let takes = |step: &Revocation| match step {
        Revocation::DeleteCredential(_) | Revocation::DeleteRoleAssignment { .. } | Revocation::DeleteIdentity => true,
        // It is read again by whoever releases it.
        Revocation::ReleaseServiceAccount { .. } => false,
    };
    let overwrites = |step: &GrantStep| match step {
        GrantStep::CreateIdentity { .. } => !name_is_derived,
        GrantStep::TagIdentity { .. } => true,
        GrantStep::PutCredential(_) | GrantStep::PutRoleAssignment(_) | GrantStep::ApplyServiceAccount(_) => false,
    };
    !plan.revocations.iter().any(takes) && !plan.grants.iter().any(overwrites)
}
