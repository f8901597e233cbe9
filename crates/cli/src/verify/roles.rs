//! The roles of the identity: those that the binding's status records, and those that it has, where it may see them itself.

use std::collections::BTreeSet;

use wio_api::{WorkloadIdentityBinding, WorkloadIdentityBindingStatus};
use wio_azure::Azure;
use wio_core::fault::AzureCause;
use wio_core::names::{IdentityId, PrincipalId, Scope, SubscriptionId};
use wio_core::observed::ObservedRoleAssignment;

use super::data::{RoleNow, Roles};

/// Those that are recorded.
pub(crate) fn recorded(status: &WorkloadIdentityBindingStatus, why_not_now: &str) -> Roles {
    Roles {
        recorded: status.role_assignments.clone(),
        now: None,
        not_looked_at: vec![why_not_now.to_owned()],
    }
}

/// Those that are recorded, and those that the identity sees with its own access token.
pub(crate) async fn look(
    azure: &Azure,
    binding: &WorkloadIdentityBinding,
    status: &WorkloadIdentityBindingStatus,
) -> Roles {
    let identity = status.identity.as_ref();
    let principal: Option<PrincipalId> = identity
        .and_then(|one| one.principal_id.as_deref())
        .and_then(|id| id.parse().ok());
    let Some(principal) = principal else {
        return recorded(status, "the identity's principal id is not known yet");
    };
    let mut found = Vec::new();
    let mut not_looked_at = Vec::new();
    let mut looked = false;
    for subscription in subscriptions(binding, status) {
        match azure.list_role_assignments(&Scope::from(subscription), principal).await {
            Ok(listed) => {
                looked = true;
                found.extend(listed);
            }
            Err(fault) => not_looked_at.push(match fault.cause {
                AzureCause::RoleAccessDenied { .. } => {
                    format!("subscription {subscription}: the identity may not read role assignments there")
                }
                _ => format!("subscription {subscription}: {fault}"),
            }),
        }
    }
    let ours = |seen: &ObservedRoleAssignment| {
        let name = seen.name.to_string();
        let is = |id: &str| id.rsplit('/').next().is_some_and(|own| own.eq_ignore_ascii_case(&name));
        status.role_assignments.iter().any(|one| is(&one.id))
    };
    let now: BTreeSet<RoleNow> = found
        .iter()
        .filter(|seen| seen.principal == principal)
        .map(|seen| RoleNow {
            role: seen
                .definition
                .built_in_name()
                .map_or_else(|| seen.definition.to_string(), str::to_owned),
            scope: seen.scope.clone(),
            recorded: ours(seen),
        })
        .collect();
    Roles {
        recorded: status.role_assignments.clone(),
        now: looked.then(|| now.into_iter().collect()),
        not_looked_at,
    }
}

/// The subscriptions in which it may have roles: the identity's own, and those of the roles that the binding asks for or gave.
fn subscriptions(
    binding: &WorkloadIdentityBinding,
    status: &WorkloadIdentityBindingStatus,
) -> BTreeSet<SubscriptionId> {
    let identity: Option<IdentityId> = status
        .identity
        .as_ref()
        .and_then(|identity| identity.resource_id.parse().ok());
    let asked = binding.spec.role_assignments.iter().map(|one| &one.scope);
    let given = status.role_assignments.iter().map(|one| &one.scope);
    let of_roles = asked.chain(given).filter_map(|scope| {
        let scope: Scope = scope.parse().ok()?;
        scope.subscription()
    });
    identity
        .map(|id| id.group.subscription)
        .into_iter()
        .chain(of_roles)
        .collect()
}
