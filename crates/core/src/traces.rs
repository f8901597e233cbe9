//! Traces: the names under which something of a binding may stand in Azure, by what its spec, its status and its memory say. Lists are
//! stale for minutes after a write; what has a name can be deleted whether a list shows it or not.

use std::collections::BTreeSet;

use crate::binding::Binding;
use crate::names::{
    Audience, CredentialName, Issuer, PrincipalId, RoleDefinitionGuid, Scope, ServiceAccountName, Subject,
    credential_name,
};
use crate::observed::ObservedCredential;
use crate::owner::Owner;
use crate::rules::Rules;
use crate::sharing::Sharing;

/// What may stand in Azure of a binding that is to be gone, by what its spec and its status say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Traces {
    pub(crate) credentials: Vec<ObservedCredential>,
    pub(crate) roles: BTreeSet<(RoleDefinitionGuid, Scope)>,
    pub(crate) principals: BTreeSet<PrincipalId>,
}

// === impl Traces ===

impl Traces {
    /// The traces of a binding on an identity: a credential for each service account that it claims or had, and a role assignment for
    /// each role that it claims or had where roles were announced. Of what another binding claims through the same identity there are
    /// none: it keeps it, or takes it away itself.
    pub(crate) fn of(binding: &Binding, sharing: &Sharing, rules: &Rules) -> Self {
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
        let had = recorded
            .credentials
            .iter()
            .filter(|had| prefix.owns(&had.name) && sharing.accounts_alone().any(|account| *account == had.account))
            .filter_map(|had| {
                let issuer = recorded.issuer.as_ref()?;
                Some(trust(
                    &binding.owner,
                    had.name.clone(),
                    &had.account,
                    issuer,
                    &had.audience,
                ))
            });
        let announced: BTreeSet<Scope> = recorded
            .role_assignments
            .iter()
            .map(|assignment| assignment.scope.root())
            .chain(recorded.role_assignment_scopes.iter().cloned())
            .collect();
        Self {
            credentials: derived.chain(had).collect(),
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
