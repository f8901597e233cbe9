//! Traces: the names under which something of a binding may stand in Azure, by what its spec, its status and its memory say. Lists are
//! stale for minutes after a write; what has a name can be deleted whether a list shows it or not.

use std::collections::BTreeSet;

use crate::binding::Binding;
use crate::case::Case;
use crate::names::{
    Audience, CredentialName, IdentityId, Issuer, PrincipalId, RoleDefinitionGuid, Scope, ServiceAccountName, Subject,
    credential_name,
};
use crate::observed::ObservedCredential;
use crate::owner::Owner;
use crate::sharing::Sharing;

/// What may stand in Azure of a binding that is to be gone, by what its spec and its status say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Traces {
    /// The credentials that it may have had: by its spec, for each issuer that may have been trusted.
    pub(crate) derived: Vec<ObservedCredential>,
    /// Those that its status tells of.
    pub(crate) told: Vec<ObservedCredential>,
    pub(crate) roles: BTreeSet<(RoleDefinitionGuid, Scope)>,
    pub(crate) principals: BTreeSet<PrincipalId>,
}

// === impl Traces ===

impl Traces {
    /// The traces of a binding on an identity: a credential for each service account that it claims or had, and a role assignment for
    /// each role that it claims or had where roles were announced. Of what another binding has through the same identity there are only those that
    /// its own status tells of: what that one relies on stays.
    pub(crate) fn of(case: &Case, identity: &IdentityId, sharing: &Sharing) -> Self {
        let (binding, rules) = (&case.candidate.binding, &case.rules);
        let recorded = &binding.recorded;
        let issuers: BTreeSet<&Issuer> = recorded.issuers().chain([&rules.cluster.issuer]).collect();
        let asked = binding.spec.as_ref().ok().and_then(|spec| spec.audience.as_ref());
        let audience = asked.unwrap_or(&rules.config.audience);
        let prefix = binding.owner.credential_prefix();
        let derived = sharing.accounts_alone().flat_map(|account| {
            let (owner, prefix) = (&binding.owner, &prefix);
            let named = move |issuer| {
                trust(
                    owner,
                    credential_name(prefix, account, issuer),
                    account,
                    issuer,
                    audience,
                )
            };
            issuers.iter().copied().map(named)
        });
        let told = told_in(case, identity)
            .filter(|(account, credential)| sharing.knows_whose(account, credential))
            .map(|(_, credential)| credential);
        let announced: BTreeSet<Scope> = recorded
            .role_assignments
            .iter()
            .map(|assignment| assignment.scope.root())
            .chain(recorded.role_assignment_scopes.iter().cloned())
            .collect();
        Self {
            derived: derived.collect(),
            told: told.collect(),
            roles: binding
                .claims
                .roles
                .iter()
                .filter(|(_, scope)| announced.contains(&scope.root()))
                .cloned()
                .collect(),
            principals: recorded.principals().collect(),
        }
    }
}

/// The credentials that the status of a binding tells of; and of the service accounts that it claims those that the statuses of others tell of through the same
/// identity: two that lose what they share take it away together, and one of them may know of nothing but the mark on the service account.
pub(crate) fn told_in<'a>(
    case: &'a Case,
    identity: &IdentityId,
) -> impl Iterator<Item = (&'a ServiceAccountName, ObservedCredential)> {
    let binding = &case.candidate.binding;
    let is_of = |other: &&Binding| {
        other.owner.namespace == binding.owner.namespace
            && other.owner.uid != binding.owner.uid
            && other.recorded.ids_of(identity).is_some()
    };
    let others = case.neighbours.iter().map(|neighbour| &neighbour.binding).filter(is_of);
    let claims =
        |account: &ServiceAccountName| binding.claims.accounts.contains(account) || case.labelled.contains(account);
    let of_others = others.flat_map(move |other| told(other, claims));
    told(binding, |_| true).chain(of_others)
}

/// The credentials that the status of a binding tells of, whoever made them, but for those of a former issuer, each with its service account.
fn told(
    binding: &Binding,
    of: impl Fn(&ServiceAccountName) -> bool,
) -> impl Iterator<Item = (&ServiceAccountName, ObservedCredential)> {
    let recorded = &binding.recorded;
    let issuer = recorded.issuer.as_ref();
    let told = recorded.credentials.iter().filter(move |had| of(&had.account));
    told.filter_map(move |had| {
        let trust = trust(&binding.owner, had.name.clone(), &had.account, issuer?, &had.audience);
        Some((&had.account, trust))
    })
}

fn trust(
    owner: &Owner,
    name: CredentialName,
    account: &ServiceAccountName,
    issuer: &Issuer,
    audience: &Audience,
) -> ObservedCredential {
    ObservedCredential {
        name,
        issuer: issuer.to_string(),
        subject: Some(Subject::of(&owner.namespace, account).to_string()),
        audiences: vec![audience.to_string()],
    }
}
