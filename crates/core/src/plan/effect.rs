//! What a step did to the world, so that what was observed stays true without another look.

use super::Revocation;
use crate::names::ServiceAccountName;
use crate::observed::{
    IdentityFacts, Observed, ObservedCredential, ObservedIdentity, ObservedRoleAssignment, ObservedRoleAssignments,
    ObservedServiceAccount, PresentIdentity, Tags,
};

impl Observed {
    /// The identity was created or read anew; its credentials stay as they are.
    pub fn identity_written(&mut self, facts: IdentityFacts, tags: Tags) {
        match &mut self.identity {
            ObservedIdentity::Present(present) => {
                present.facts = facts;
                present.tags = tags;
            }
            ObservedIdentity::Absent => {
                self.identity = ObservedIdentity::Present(PresentIdentity {
                    facts,
                    tags,
                    credentials: Vec::new(),
                });
            }
        }
    }

    /// A federated credential was written.
    pub fn credential_written(&mut self, credential: ObservedCredential) {
        if let ObservedIdentity::Present(present) = &mut self.identity {
            present.credentials.retain(|other| other.name != credential.name);
            present.credentials.push(credential);
        }
    }

    /// A role assignment was written, or an equal one was found.
    pub fn role_assigned(&mut self, assignment: ObservedRoleAssignment) {
        if let ObservedRoleAssignments::Known(assignments) = &mut self.role_assignments {
            assignments.retain(|other| other.name != assignment.name);
            assignments.push(assignment);
        }
    }

    /// A service account was created or annotated.
    pub fn account_applied(&mut self, name: ServiceAccountName, account: ObservedServiceAccount) {
        self.service_accounts.insert(name, account);
    }

    /// A step that takes away is done.
    pub fn revoked(&mut self, step: &Revocation) {
        if let (Revocation::DeleteRoleAssignment { name, .. }, ObservedRoleAssignments::Known(assignments)) =
            (step, &mut self.role_assignments)
        {
            assignments.retain(|assignment| assignment.name != *name);
        }
        match (step, &mut self.identity) {
            (Revocation::DeleteCredential(name), ObservedIdentity::Present(present)) => {
                present.credentials.retain(|credential| credential.name != *name);
            }
            (Revocation::DeleteIdentity, identity) => *identity = ObservedIdentity::Absent,
            (Revocation::ReleaseServiceAccount { name, .. }, _) => {
                self.service_accounts.remove(name);
            }
            (Revocation::DeleteCredential(_), ObservedIdentity::Absent)
            | (Revocation::DeleteRoleAssignment { .. }, _) => {}
        }
    }
}
