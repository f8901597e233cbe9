//! The state of Azure for one binding, as it is shown now.

use wio_core::binding::Binding;
use wio_core::fault::Fault;
use wio_core::names::{IdentityId, PrincipalId};
use wio_core::observed::{AzureState, ObservedIdentity, ObservedRoleAssignments, PresentIdentity, Unread};
use wio_core::role_assignment_scopes::{self, Last, Need};

use crate::client::Azure;

impl Azure {
    /// The identity and its role assignments. A place whose role assignments cannot be read is said to be unread, and is no fault.
    ///
    /// # Errors
    /// Why the identity or its credentials cannot be read, or that a request waits for its turn at Azure's budgets.
    pub async fn observe(&self, binding: &Binding, id: &IdentityId, last: Last) -> Result<AzureState, Fault> {
        let identity = self.observe_identity(id).await?;
        let principal = identity.present().map(|present| present.facts.principal_id);
        let role_assignments = self.observe_roles(binding, id, principal, last).await;
        let unread = |(_, unread): (_, &Unread)| Fault::Azure(unread.why.clone());
        if let Some(fault) = role_assignments.unread().map(unread).find(Fault::was_not_sent) {
            return Err(fault);
        }
        Ok(AzureState {
            identity,
            role_assignments,
        })
    }

    /// An identity with its federated credentials.
    ///
    /// # Errors
    /// Why either cannot be read.
    pub async fn observe_identity(&self, id: &IdentityId) -> Result<ObservedIdentity, Fault> {
        let Some(view) = self.get_identity(id).await.map_err(Fault::Azure)? else {
            return Ok(ObservedIdentity::Absent);
        };
        let credentials = self.list_credentials(id).await.map_err(Fault::Azure)?;
        Ok(ObservedIdentity::Present(PresentIdentity {
            facts: view.facts,
            tags: view.tags,
            credentials,
        }))
    }

    /// The role assignments wherever the binding claims one or its status remembers one.
    async fn observe_roles(
        &self,
        binding: &Binding,
        id: &IdentityId,
        principal: Option<PrincipalId>,
        last: Last,
    ) -> ObservedRoleAssignments {
        let mut found = ObservedRoleAssignments::read(Vec::new());
        let principals = role_assignment_scopes::principals(principal, &binding.recorded);
        for (place, need) in role_assignment_scopes::to_read(id, binding, last) {
            for principal in &principals {
                match (self.list_role_assignments(&place, *principal).await, need) {
                    (Ok(listed), _) => found.listed(listed),
                    (Err(why), Need::Remembered | Need::Asked) => {
                        let remembered = need == Need::Remembered;
                        let recorded = role_assignment_scopes::recorded_at(&place, binding);
                        found.not_read(&place, Unread { why, remembered }, recorded);
                        break;
                    }
                    (Err(fault), Need::Optional) => {
                        tracing::debug!(%fault, "the role assignments that others gave are not known");
                    }
                }
            }
        }
        found
    }
}
