//! The unseen: the world as it may be for a binding of which something is to be gone. What may stand though nothing showed it is taken to stand, until a
//! deletion by its name says otherwise: a list may miss what was written half a minute ago, and trust does not wait for it to end.

use std::collections::BTreeSet;

use crate::desired::{DesiredBinding, DesiredDenial, DesiredRemoval};
use crate::names::{CredentialName, PrincipalId};
use crate::observed::{
    AzureState, Observed, ObservedCredential, ObservedIdentity, ObservedRoleAssignment, PresentIdentity,
};
use crate::recorded::Recorded;
use crate::traces::told;

// === impl DesiredRemoval, impl DesiredDenial, impl DesiredBinding ===

impl DesiredRemoval {
    /// The world as it may be: what was observed, and what may stand though nothing showed it, until a deletion by its name says
    /// otherwise. The credentials of an identity that is deleted go with it, so only those are named that certainly stood: until it is gone, roles go.
    #[must_use]
    pub fn presumed(&self, mut observed: Observed, remembered: Option<&AzureState>) -> Observed {
        let told = self.traces.told.iter().chain(credentials_of(remembered));
        if let ObservedIdentity::Present(present) = &mut observed.azure.identity {
            let deleted = self.deletes_identity_with(&present.tags);
            let derived = self.traces.derived.iter().filter(|_| !deleted);
            presume(present, derived.chain(told), |credential| {
                self.sharing.takes(credential)
            });
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

    /// The credentials that may stand on an identity that is not shown: it may be too new to be.
    pub(crate) fn unshown(&self) -> impl Iterator<Item = &CredentialName> {
        let all = self.traces.told.iter().chain(&self.traces.derived);
        let takes = all.filter(|credential| self.sharing.takes(credential));
        let names: BTreeSet<&CredentialName> = takes.map(|credential| &credential.name).collect();
        names.into_iter()
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

impl DesiredDenial {
    /// The world as it may be for a binding that may have nothing: what was observed, and the credentials of which its status tells or that are remembered.
    /// What its spec asks for proves nothing: it may never have been given, and would be taken away again at each look.
    #[must_use]
    pub fn presumed(&self, mut observed: Observed, remembered: Option<&AzureState>) -> Observed {
        let removal = self.removal();
        if let ObservedIdentity::Present(present) = &mut observed.azure.identity {
            let told = removal.traces.told.iter().chain(credentials_of(remembered));
            presume(present, told, |credential| removal.sharing.takes(credential));
        }
        observed
    }
}

impl DesiredBinding {
    /// The world as it may be for a binding that gave something up: what was observed, and the credentials of which its status tells and that it does not
    /// want any more.
    #[must_use]
    pub fn presumed(&self, mut observed: Observed, recorded: &Recorded) -> Observed {
        if let ObservedIdentity::Present(present) = &mut observed.azure.identity {
            let told = told(&self.owner, recorded).filter(|(account, _)| self.credential_of(account).is_none());
            let given_up: Vec<ObservedCredential> = told.map(|(_, credential)| credential).collect();
            presume(present, given_up.iter(), |credential| self.sharing.takes(credential));
        }
        observed
    }
}

fn credentials_of(state: Option<&AzureState>) -> impl Iterator<Item = &ObservedCredential> {
    let present = state.and_then(|state| state.identity.present());
    present.into_iter().flat_map(|present| &present.credentials)
}

/// Takes credentials to stand that are taken away and beside which nothing is shown that excludes them.
fn presume<'a>(
    present: &mut PresentIdentity,
    credentials: impl Iterator<Item = &'a ObservedCredential>,
    takes: impl Fn(&ObservedCredential) -> bool,
) {
    for credential in credentials {
        if takes(credential) && !excludes(&present.credentials, credential) {
            present.credentials.push(credential.clone());
        }
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
