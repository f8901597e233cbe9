//! The unseen: the world as it may be for a binding of which something is to be gone. What may stand though nothing showed it is taken to stand, until a
//! deletion by its name says otherwise: a list may miss what was written half a minute ago, and trust does not wait for it to end.

use std::collections::BTreeSet;

use crate::desired::{Desired, DesiredBinding, DesiredRemoval};
use crate::names::{CredentialName, PrincipalId, ServiceAccountName};
use crate::observed::{
    AzureState, Observed, ObservedCredential, ObservedIdentity, ObservedRoleAssignment, PresentIdentity,
};
use crate::owner::Owner;
use crate::sharing::Sharing;
use crate::traces::Told;

// === impl DesiredRemoval, impl DesiredBinding, impl Desired ===

impl DesiredRemoval {
    /// The world as it may be: what was observed, and what may stand though nothing showed it, until a deletion by its name says
    /// otherwise. The credentials of an identity that is deleted go with it, so only those are named that certainly stood: until it is gone, roles go.
    #[must_use]
    pub fn presumed(&self, mut observed: Observed, remembered: Option<&AzureState>) -> Observed {
        if let ObservedIdentity::Present(present) = &mut observed.azure.identity
            && !self.deletes_identity_with(&present.tags)
        {
            let derived = self.traces.derived.iter();
            let taken = derived.filter(|credential| self.sharing.takes(credential));
            presume(present, taken, trusts_the_same);
        }
        let mut observed = self.with_told(observed, remembered);
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

    /// The same with nothing but the credentials that stood for certain: those that its status tells of, or that of another binding
    /// of an account that would lose its mark, and those of the binding's own that are remembered.
    /// Those on which another binding relies as well: it keeps them, and the service account with them.
    #[must_use]
    pub fn with_told(&self, mut observed: Observed, remembered: Option<&AzureState>) -> Observed {
        let told = may_stand(self.traces.told.iter(), (&self.sharing, &self.owner), &observed);
        if let ObservedIdentity::Present(present) = &mut observed.azure.identity {
            let remembered = remembered.and_then(|state| state.identity.present());
            let remembered = remembered.iter().flat_map(|present| &present.credentials);
            let prefix = self.owner.credential_prefix();
            let own = remembered.filter(|credential| prefix.owns(&credential.name));
            presume(present, told.into_iter().chain(own), |_, _| false);
        }
        observed
    }

    fn told(&self) -> impl Iterator<Item = &ObservedCredential> {
        self.traces.told.iter().map(|told| &told.credential)
    }

    fn takes<'a>(
        &self,
        credentials: impl Iterator<Item = &'a ObservedCredential>,
    ) -> impl Iterator<Item = &'a CredentialName> {
        let taken = credentials.filter(|credential| self.sharing.takes(credential));
        taken.map(|credential| &credential.name)
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

impl DesiredBinding {
    /// The world as it may be for a binding that gave something up: what was observed, and the credentials of which its status tells, or that of another
    /// binding of an account that would lose its mark, and that it does not want any more. What its spec asks for proves nothing: it may never have been given, and would be taken away again at each look.
    #[must_use]
    pub fn presumed(&self, mut observed: Observed) -> Observed {
        let given_up = may_stand(self.given_up(), (&self.sharing, &self.owner), &observed);
        if let ObservedIdentity::Present(present) = &mut observed.azure.identity {
            presume(present, given_up.into_iter(), |_, _| false);
        }
        observed
    }

    /// The credentials of service accounts that it does not ask for any more.
    fn given_up(&self) -> impl Iterator<Item = &Told> {
        self.told.iter().filter(|told| {
            self.credential_of(&told.account).is_none() && self.sharing.knows_whose(&told.account, &told.credential)
        })
    }
}

impl Desired {
    /// The credentials that may stand on an identity that is not shown, and are to go: it may be too new to be shown.
    pub(crate) fn unshown(&self) -> BTreeSet<&CredentialName> {
        match self {
            Self::Bound(bound) => {
                let given_up = bound.given_up().map(|told| &told.credential);
                let taken = given_up.filter(|credential| bound.sharing.takes(credential));
                taken.map(|credential| &credential.name).collect()
            }
            Self::Denied(denial) => denial.removal().takes(denial.removal().told()).collect(),
            Self::Gone(removal) => {
                let derived = removal.traces.derived.iter();
                removal.takes(removal.told().chain(derived)).collect()
            }
        }
    }
}

/// Those of which a status tells that may stand: what its own tells of; and what another one's does as long as the service account has a mark that would go.
fn may_stand<'a>(
    told: impl Iterator<Item = &'a Told>,
    (sharing, owner): (&Sharing, &Owner),
    observed: &Observed,
) -> Vec<&'a ObservedCredential> {
    let identity = observed.azure.identity.present();
    let is_released = |account: &ServiceAccountName| {
        let seen = observed.service_accounts.get(account);
        seen.is_some_and(|seen| sharing.label_to_release(owner, account, seen, identity).is_some())
    };
    let told = told.filter(|told| !told.by_another || is_released(&told.account));
    told.map(|told| &told.credential).collect()
}

/// Takes those of some credentials to stand that are not shown, by their names, and that no shown one excludes.
fn presume<'a>(
    present: &mut PresentIdentity,
    credentials: impl Iterator<Item = &'a ObservedCredential>,
    excludes: impl Fn(&ObservedCredential, &ObservedCredential) -> bool,
) {
    for credential in credentials {
        let shown = &mut present.credentials;
        if !shown
            .iter()
            .any(|shown| shown.name == credential.name || excludes(shown, credential))
        {
            shown.push(credential.clone());
        }
    }
}

/// Whether the one shows that the other does not stand: Azure allows one for a subject of an issuer. It is no proof where the other stood for certain, since a
/// list may show the one that stood before it, and which is gone.
fn trusts_the_same(shown: &ObservedCredential, credential: &ObservedCredential) -> bool {
    let subject = credential.subject.as_deref();
    subject.is_some_and(|subject| shown.trusts(&credential.issuer, subject))
}

/// Whether two assignments cannot stand beside each other: Azure allows one for a scope, a principal and a role.
fn is_same(seen: &ObservedRoleAssignment, assignment: &ObservedRoleAssignment) -> bool {
    seen.name == assignment.name
        || seen.principal == assignment.principal
            && seen.definition == assignment.definition
            && seen.scope.eq_ignore_ascii_case(&assignment.scope)
}
