//! Role assignments, listed, given and taken away:
//! <https://learn.microsoft.com/rest/api/authorization/role-assignments>.

use azure_core::http::{Method, Request, Url};
use wio_core::absence::{Absence, Deletion, Kind};
use wio_core::authorize::{Granted, Revocable};
use wio_core::desired::DesiredRole;
use wio_core::fault::{AzureCause, AzureFault};
use wio_core::names::{PrincipalId, RoleAssignmentName, Scope};
use wio_core::observed::ObservedRoleAssignment;
use wio_core::owner::Owner;

use crate::answer::deletion;
use crate::client::Azure;
use crate::paging::{Pages, Unlisted, list_all, list_patiently};
use crate::telemetry::Operation;

use super::wire::{self, Assignment};

/// The bound on pages of a list: a subscription has at most 4000 role assignments, and a list of more pages leads in a
/// circle.
const MAX_PAGES: usize = 100;

const READ: &str = "Microsoft.Authorization/roleAssignments/read";
const WRITE: &str = "Microsoft.Authorization/roleAssignments/write";
const DELETE: &str = "Microsoft.Authorization/roleAssignments/delete";

// === impl Azure ===

impl Azure {
    /// A principal's role assignments at the scope, above it and below it. A scope that does not exist has none.
    ///
    /// # Errors
    /// When any page cannot be had: half a list is no list.
    pub async fn list_role_assignments(
        &self,
        scope: &Scope,
        principal: PrincipalId,
    ) -> Result<Vec<ObservedRoleAssignment>, AzureFault> {
        let listed = match self.role_pages(scope, principal).await {
            Err(cause) if Absence::proven(Kind::Scope, &cause).is_some() => Ok(Vec::new()),
            listed => listed,
        };
        listed.map_err(|cause| AzureFault {
            operation: format!("list the role assignments of principal {principal} at {scope}"),
            cause: denied(cause, READ, scope),
        })
    }

    /// The role assignments that a principal has at the scope, above it and below it, by itself or as a member of a group.
    ///
    /// # Errors
    /// When any page cannot be had: half a list is no list.
    pub async fn list_roles_held(
        &self,
        scope: &Scope,
        principal: PrincipalId,
    ) -> Result<Vec<ObservedRoleAssignment>, AzureFault> {
        let list = self.pipeline.urls.assigned_to(scope, principal);
        let listed = list_all(&self.pipeline, Operation::ListRoleAssignments, &list, MAX_PAGES).await;
        let listed = listed.map_err(|cause| AzureFault {
            operation: format!("list what principal {principal} may do at {scope}"),
            cause: denied(cause, READ, scope),
        })?;
        Ok(listed.filter_map(Assignment::observed).entries)
    }

    async fn role_pages(
        &self,
        scope: &Scope,
        principal: PrincipalId,
    ) -> Result<Vec<ObservedRoleAssignment>, AzureCause> {
        let list = self.pipeline.urls.role_assignments(scope, principal);
        let listed = list_all(&self.pipeline, Operation::ListRoleAssignments, &list, MAX_PAGES).await?;
        Ok(listed.filter_map(Assignment::observed).entries)
    }

    /// All role assignments at the scope, above it and below it, whoever has them.
    ///
    /// # Errors
    /// When any page cannot be had: half a list is no list.
    pub async fn list_all_role_assignments(&self, scope: &Scope) -> Result<Pages<ObservedRoleAssignment>, Unlisted> {
        let list = self.pipeline.urls.all_role_assignments(scope);
        let listed = list_patiently(&self.pipeline, Operation::ListRoleAssignments, &list, MAX_PAGES).await;
        let listed = listed.map_err(|incomplete| {
            let incomplete = incomplete.because(|cause| denied(cause, READ, scope));
            incomplete.when(format!("list the role assignments at {scope}"))
        })?;
        Ok(listed.filter_map(Assignment::observed))
    }

    /// Gives the identity's principal a role. When somebody else gave it the same role before, that assignment is
    /// returned: Azure allows no second one, its name is not ours, and so it is never taken away.
    ///
    /// # Errors
    /// Everything but a success, among it a role that the witness does not permit.
    pub async fn put_role_assignment(
        &self,
        granted: &Granted,
        owner: &Owner,
        role: &DesiredRole,
        principal: PrincipalId,
    ) -> Result<ObservedRoleAssignment, AzureFault> {
        self.assign(granted, owner, role, principal)
            .await
            .map_err(|cause| AzureFault {
                operation: format!("give the managed identity {} the role {role}", granted.identity().name),
                cause,
            })
    }

    async fn assign(
        &self,
        granted: &Granted,
        owner: &Owner,
        role: &DesiredRole,
        principal: PrincipalId,
    ) -> Result<ObservedRoleAssignment, AzureCause> {
        const EXISTS: &str = "RoleAssignmentExists";
        if !granted.roles().contains(&role.permitted) {
            return Err(AzureCause::Refused(
                "the role was not permitted for this identity".to_owned(),
            ));
        }
        let scope = role.scope();
        let name = owner.role_assignment_name(scope, principal, role.definition());
        let url = self.pipeline.urls.role_assignment(scope, name);
        match self.put_role(url, role, principal).await {
            Ok(written) if written.name == name && role.is_given_by(&written, principal) => Ok(written),
            Ok(written) if written.name == name && role.is_meant_by(&written, principal) => Err(AzureCause::Malformed(
                "it shows another condition than the one that was sent".to_owned(),
            )),
            Ok(written) => Err(AzureCause::Malformed(format!("it speaks of {}", written.id()))),
            Err(AzureCause::Answer(answer)) if answer.code == EXISTS => {
                let equal = |seen: &ObservedRoleAssignment| role.is_given_by(seen, principal);
                let seen = self.role_pages(scope, principal).await.unwrap_or_default();
                seen.into_iter().find(equal).ok_or(AzureCause::Answer(answer))
            }
            Err(cause) if Absence::proven(Kind::Scope, &cause).is_some() => {
                Err(AzureCause::RoleScopeNotFound(scope.clone()))
            }
            Err(cause) => Err(denied(cause, WRITE, scope)),
        }
    }

    async fn put_role(
        &self,
        url: Url,
        role: &DesiredRole,
        principal: PrincipalId,
    ) -> Result<ObservedRoleAssignment, AzureCause> {
        let mut request = Request::new(url, Method::Put);
        request.insert_header("content-type", "application/json");
        request.set_body(wire::request(role, principal).to_string());
        let answer = self
            .pipeline
            .send_checked(Operation::PutRoleAssignment, request)
            .await?;
        let written: Assignment = answer.json()?;
        written.observed().ok_or_else(|| {
            AzureCause::Malformed("the role assignment has no usable name, role or principal".to_owned())
        })
    }

    /// Deletes a role assignment, and tells whether it was there. One whose scope is gone is gone. Where it may not be deleted it is read: a
    /// role that Azure refused to give, because a condition withholds it, may not be taken away either, and it is not there.
    ///
    /// # Errors
    /// Whatever does not say that it is gone.
    pub async fn delete_role_assignment(
        &self,
        revocable: &Revocable,
        scope: &Scope,
        name: RoleAssignmentName,
    ) -> Result<Deletion, AzureFault> {
        let url = self.pipeline.urls.role_assignment(scope, name);
        let request = Request::new(url.clone(), Method::Delete);
        let deleted = self
            .pipeline
            .send_checked(Operation::DeleteRoleAssignment, request)
            .await;
        let deleted = deletion(Kind::RoleAssignment, deleted);
        let read = (Operation::GetRoleAssignment, url);
        let deleted = self
            .pipeline
            .read_where_forbidden(Kind::RoleAssignment, deleted, read)
            .await;
        deleted.map_err(|cause| AzureFault {
            operation: format!(
                "delete the role assignment {name} at {scope} of the managed identity {}",
                revocable.identity().name
            ),
            cause: denied(cause, DELETE, scope),
        })
    }
}

/// Names the permission that is missing. Azure's own words name it too, and with it the caller and a moment.
fn denied(cause: AzureCause, action: &'static str, scope: &Scope) -> AzureCause {
    match cause {
        AzureCause::Answer(answer) if answer.status == 403 && answer.code == "AuthorizationFailed" => {
            AzureCause::RoleAccessDenied {
                action,
                scope: scope.clone(),
            }
        }
        cause => cause,
    }
}
