//! Which other bindings of a namespace have a claim.

use std::collections::BTreeSet;

use wio_api::{WorkloadIdentityBinding, WorkloadIdentityBindingStatus};

use super::{Claim, Role, Sharer};
use crate::authorize::{authorize, authorize_standing};
use crate::binding::{Owner, TokenExpiration, may_have_something, owner_of, validate};
use crate::config::{Cluster, OperatorConfig};
use crate::desired::{DesiredBinding, DesiredRole};
use crate::names::{IdentityId, ServiceAccountName};
use crate::policy::{NamespaceFacts, Policies, seniority, used_credentials};

/// What makes another binding a sibling.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claims {
    /// The service accounts that a binding has, had or asks for.
    pub accounts: BTreeSet<ServiceAccountName>,
    /// The roles that it has or had.
    pub roles: Vec<Role>,
}

/// The other bindings of a namespace that may have what they ask for, are not to go, and want a service account or a role that
/// interests this one; the eldest first.
///
/// **Only what is authorized counts**: two bindings that may not have what they share would keep each other's trust alive. One
/// that never had our finalizer has nothing yet, and would go without taking anything away.
#[must_use]
pub fn siblings(
    binding: &WorkloadIdentityBinding,
    claims: &Claims,
    of_namespace: &[&WorkloadIdentityBinding],
    cluster: &Cluster,
    config: &OperatorConfig,
    policies: &Policies,
    namespace: &NamespaceFacts,
) -> Vec<Sharer> {
    let mut others: Vec<&WorkloadIdentityBinding> = of_namespace
        .iter()
        .copied()
        .filter(|other| {
            let metadata = &other.metadata;
            metadata.namespace == binding.metadata.namespace
                && metadata.uid != binding.metadata.uid
                && metadata.deletion_timestamp.is_none()
                && may_have_something(other)
                && claims.is_shared_by(other)
        })
        .collect();
    others.sort_by_cached_key(|other| seniority(other));
    let counts = policies.limit(namespace);
    let used = |other| {
        if counts.is_some() {
            used_credentials(other, of_namespace.iter().copied())
        } else {
            0
        }
    };
    others
        .into_iter()
        .filter_map(|other| sibling(other, cluster, config, policies, namespace, used(other)))
        .collect()
}

fn sibling(
    other: &WorkloadIdentityBinding,
    cluster: &Cluster,
    config: &OperatorConfig,
    policies: &Policies,
    namespace: &NamespaceFacts,
    used: usize,
) -> Option<Sharer> {
    let owner = owner_of(other, &cluster.id).ok()?;
    let status = other.status.as_ref();
    // What was made for a spec that says nothing to decide on stands as long as it may.
    let standing = || {
        let status = status?;
        authorize_standing(&owner, status, other.spec.deletion_policy, config, policies, namespace).ok()?;
        standing(&owner, status, other)
    };
    let Ok(validated) = validate(other, &cluster.id) else {
        return standing();
    };
    let authorized = authorize(&validated, config, policies, namespace, used).ok()?;
    let desired = DesiredBinding::new(&validated, authorized, cluster, config);
    if desired.moved(status).is_some() {
        return standing();
    }
    let claims = desired.credentials.iter().zip(&desired.service_accounts);
    Some(Sharer {
        name: owner.name,
        uid: owner.uid,
        identity: desired.authorized.identity().clone(),
        accounts: claims
            .map(|(credential, account)| Claim {
                account: account.name.clone(),
                audience: credential.audience.clone(),
                token_expiration: account.token_expiration,
            })
            .collect(),
        roles: desired
            .roles
            .iter()
            .map(|role: &DesiredRole| (role.definition(), role.scope().clone()))
            .collect(),
        acts: !validated.suspended,
    })
}

fn standing(owner: &Owner, status: &WorkloadIdentityBindingStatus, other: &WorkloadIdentityBinding) -> Option<Sharer> {
    let identity: IdentityId = status.identity.as_ref()?.resource_id.parse().ok()?;
    let expiration = |account: &str| {
        let asked = other.spec.service_accounts.iter().find(|asked| asked.name == account)?;
        TokenExpiration::new(asked.token_expiration_seconds?)
    };
    let claims = status.federated_credentials.iter().filter_map(|credential| {
        Some(Claim {
            account: credential.service_account.parse().ok()?,
            audience: credential.audience.parse().ok()?,
            token_expiration: expiration(&credential.service_account),
        })
    });
    Some(Sharer {
        name: owner.name.clone(),
        uid: owner.uid.clone(),
        identity,
        accounts: claims.collect(),
        roles: roles_of(status),
        acts: false,
    })
}

/// The roles that a status names.
fn roles_of(status: &WorkloadIdentityBindingStatus) -> Vec<Role> {
    let roles = status.role_assignments.iter();
    roles
        .filter_map(|role| Some((role.role.parse().ok()?, role.scope.parse().ok()?)))
        .collect()
}

// === impl Claims ===

impl Claims {
    /// What a binding has and had, by its spec and its status.
    #[must_use]
    pub fn of(binding: &WorkloadIdentityBinding) -> Self {
        let spec = &binding.spec;
        let status = binding.status.as_ref();
        let asked = spec.service_accounts.iter().map(|account| account.name.as_str());
        let had = status.into_iter().flat_map(|status| {
            let trusted = status
                .federated_credentials
                .iter()
                .map(|credential| credential.service_account.as_str());
            trusted.chain(status.service_accounts.iter().map(|account| account.name.as_str()))
        });
        let asked_roles = spec
            .role_assignments
            .iter()
            .filter_map(|role| Some((role.role.parse().ok()?, role.scope.parse().ok()?)));
        Self {
            accounts: asked.chain(had).filter_map(|name| name.parse().ok()).collect(),
            roles: asked_roles.chain(status.into_iter().flat_map(roles_of)).collect(),
        }
    }

    /// Whether another binding may want something of it. Cheap: it is asked of every binding of a namespace.
    fn is_shared_by(&self, other: &WorkloadIdentityBinding) -> bool {
        let names = |name: &str| self.accounts.iter().any(|account| account.as_str() == name);
        let status = other.status.as_ref();
        let scopes = |scope: &str| {
            self.roles
                .iter()
                .any(|(_, own)| own.as_str().eq_ignore_ascii_case(scope))
        };
        other.spec.service_accounts.iter().any(|account| names(&account.name))
            || status.is_some_and(|status| {
                status
                    .federated_credentials
                    .iter()
                    .any(|credential| names(&credential.service_account))
            })
            || other.spec.role_assignments.iter().any(|role| scopes(&role.scope))
    }
}
