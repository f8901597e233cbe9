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
    /// Those of which a status tells.
    pub(crate) told: Vec<Told>,
    pub(crate) roles: BTreeSet<(RoleDefinitionGuid, Scope)>,
    pub(crate) principals: BTreeSet<PrincipalId>,
}

/// A credential of which a status tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) account: ServiceAccountName,
    pub(crate) credential: ObservedCredential,
    /// Whether it is the status of another binding. That one may tell of it for as long as it likes, and this one would take it away at each look.
    pub(crate) by_another: bool,
}

// === impl Traces ===

impl Traces {
    /// The traces of a binding on an identity: a credential for each service account that it claims or had, and a role assignment for
    /// each role that it claims or had where roles were announced. Of what another binding has through the same identity there are only those that
    /// a status tells of: what that one relies on stays.
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
        let told = told_in(case, identity).filter(|told| sharing.knows_whose(&told.account, &told.credential));
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
pub(crate) fn told_in(case: &Case, identity: &IdentityId) -> impl Iterator<Item = Told> {
    let binding = &case.candidate.binding;
    let is_of = |other: &&Binding| {
        other.owner.namespace == binding.owner.namespace
            && other.owner.uid != binding.owner.uid
            && other.recorded.ids_of(identity).is_some()
    };
    let others = case.neighbours.iter().map(|neighbour| &neighbour.binding).filter(is_of);
    let claims =
        |account: &ServiceAccountName| binding.claims.accounts.contains(account) || case.labelled.contains(account);
    let of_others = others
        .flat_map(|other| told(other, true))
        .filter(move |told| claims(&told.account));
    told(binding, false).chain(of_others)
}

/// The credentials that the status of a binding tells of, whoever made them, but for those of a former issuer.
fn told(binding: &Binding, by_another: bool) -> impl Iterator<Item = Told> {
    let recorded = &binding.recorded;
    let issuer = recorded.issuer.as_ref();
    recorded.credentials.iter().filter_map(move |had| {
        Some(Told {
            account: had.account.clone(),
            credential: trust(&binding.owner, had.name.clone(), &had.account, issuer?, &had.audience),
            by_another,
        })
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
