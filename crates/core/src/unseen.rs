//! The unseen: the world as it may be for a binding that is to be gone. What may stand though nothing showed it is taken to stand, until a
//! deletion by its name says otherwise.

use std::collections::BTreeSet;

use crate::desired::DesiredRemoval;
use crate::names::PrincipalId;
use crate::observed::{AzureState, Observed, ObservedCredential, ObservedIdentity, ObservedRoleAssignment};

// === impl DesiredRemoval ===

impl DesiredRemoval {
    /// The world as it may be: what was observed, and what may stand though nothing showed it, until a deletion by its name says
    /// otherwise. The credentials of an identity that is deleted go with it; its roles do not.
    #[must_use]
    pub fn presumed(&self, mut observed: Observed, remembered: Option<&AzureState>) -> Observed {
        if let ObservedIdentity::Present(present) = &mut observed.azure.identity
            && !self.deletes_identity_with(&present.tags)
        {
            let remembered = remembered.and_then(|state| state.identity.present());
            let remembered = remembered.iter().flat_map(|present| &present.credentials);
            for credential in self.traces.credentials.iter().chain(remembered) {
                if self.sharing.takes(credential) && !excludes(&present.credentials, credential) {
                    present.credentials.push(credential.clone());
                }
            }
        }
        let principal = observed
            .azure
            .identity
            .present()
            .map(|present| present.facts.principal_id);
        let roles = &mut observed.azure.role_assignments;
        let remembered = remembered.map_or(&[][..], |state| state.role_assignments.known());
        let derived = self.derived_assignments(principal);
        for assignment in derived.iter().chain(remembered) {
            if self.owner.owns_assignment(assignment) && !roles.known().iter().any(|seen| is_same(seen, assignment)) {
                roles.assigned(assignment.clone());
            }
        }
        observed
    }

    fn derived_assignments(&self, principal: Option<PrincipalId>) -> Vec<ObservedRoleAssignment> {
        let principals: BTreeSet<PrincipalId> = self.traces.principals.iter().copied().chain(principal).collect();
        let of = |principal: PrincipalId| {
            let roles = self.traces.roles.iter();
            roles.map(move |(definition, scope)| ObservedRoleAssignment {
                name: self.owner.role_assignment_name(scope, principal, *definition),
                scope: scope.to_string(),
                definition: *definition,
                principal,
                terms: None,
            })
        };
        principals.into_iter().flat_map(of).collect()
    }
}

/// Whether credentials are shown beside which this one cannot stand: Azure allows one of a name, and one for a subject of an issuer.
fn excludes(shown: &[ObservedCredential], credential: &ObservedCredential) -> bool {
    shown.iter().any(|other| {
        let trusts_the_same = credential
            .subject
            .as_deref()
            .is_some_and(|subject| other.trusts(&credential.issuer, subject));
        other.name == credential.name || trusts_the_same
    })
}

/// Whether two assignments cannot stand beside each other: Azure allows one for a scope, a principal and a role.
fn is_same(seen: &ObservedRoleAssignment, assignment: &ObservedRoleAssignment) -> bool {
    seen.name == assignment.name
        || seen.principal == assignment.principal
            && seen.definition == assignment.definition
            && seen.scope.eq_ignore_ascii_case(&assignment.scope)
}
