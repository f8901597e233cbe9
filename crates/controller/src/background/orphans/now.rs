//! An orphan right now: its identity as Azure shows it, the bindings of its namespace, and what is to be taken away by both.

use std::collections::BTreeMap;

use wio_core::binding::Binding;
use wio_core::cluster::Cluster;
use wio_core::fault::{AzureCause, AzureFault, Fault};
use wio_core::names::{IdentityId, Namespace, PrincipalId, Scope, ServiceAccountName};
use wio_core::observed::{AzureState, Observed, ObservedRoleAssignments};
use wio_core::orphans::{Left, Living, Orphan, Removal, Rules, Stray};
use wio_core::verdict::keeps_nothing;

use crate::caches::accounts::Account;
use crate::caches::stores::Caches;
use crate::reconcile::context::Context;
use crate::reconcile::dereference::dereference;

/// The bindings of a namespace as they are now. One that has nothing and may have nothing accounts for nothing: whoever can force a
/// finalizer would keep trust by it that no policy gives.
pub(super) fn living(caches: &Caches, cluster: &Cluster, namespace: &Namespace) -> Living {
    let keys = caches.bindings.index.of_namespace(namespace.as_str());
    let bindings = keys
        .iter()
        .filter_map(|key| Binding::parse(&*caches.bindings.by_key(key)?, &cluster.id).ok())
        .filter(|binding| {
            binding.may_have_something()
                || !dereference(caches, cluster, binding.clone()).is_ok_and(|case| keeps_nothing(&case))
        });
    Living::new(cluster, namespace, &caches.learned.config.now(), bindings)
}

/// What is to be taken away now, by the bindings and policies as they are now.
pub(super) fn plan(ctx: &Context, orphan: &Orphan, observed: &Observed) -> Option<Removal> {
    let cluster = ctx.caches.learned.cluster();
    let policies = ctx.caches.learned.policies.borrow().clone()?;
    let living = living(&ctx.caches, &cluster, &orphan.namespace);
    let rules = Rules {
        config: &ctx.caches.learned.config.now(),
        policies: &policies,
        strays: &strays(&ctx.caches, orphan),
    };
    orphan.removal(observed, &living, rules)
}

/// The identity as Azure shows it now. Which scopes the dead binding had roles at nobody knows: what is found is what Azure lists for
/// the identity's own subscription.
pub(super) async fn observe(ctx: &Context, orphan: &Orphan) -> Result<Observed, Fault> {
    let azure = &ctx.clients.azure;
    let identity = azure.observe_identity(&orphan.identity).await?;
    let principal = identity.present().map(|present| present.facts.principal_id);
    let role_assignments = match (&orphan.left, principal) {
        (Left::Identity, Some(principal)) => roles(ctx, &orphan.identity, principal).await?,
        // Whose roles on an identity of somebody else are, only the name of the binding could tell.
        (Left::Identity | Left::Credentials(_), _) => ObservedRoleAssignments::read(Vec::new()),
    };
    Ok(Observed {
        azure: AzureState {
            identity,
            role_assignments,
        },
        service_accounts: BTreeMap::new(),
        exports: BTreeMap::new(),
        signed_in_as: azure.signed_in_as(),
    })
}

async fn roles(ctx: &Context, id: &IdentityId, principal: PrincipalId) -> Result<ObservedRoleAssignments, Fault> {
    let subscription: Scope = id.group.subscription.into();
    match ctx.clients.azure.list_role_assignments(&subscription, principal).await {
        Ok(listed) => Ok(ObservedRoleAssignments::read(listed)),
        // Who may not list role assignments there never gave any.
        Err(AzureFault {
            cause: AzureCause::RoleAccessDenied { .. },
            ..
        }) => Ok(ObservedRoleAssignments::read(Vec::new())),
        Err(fault) => Err(Fault::Azure(fault)),
    }
}

fn strays(caches: &Caches, orphan: &Orphan) -> Vec<Stray> {
    let accounts = caches.surroundings.accounts.of_namespace(&orphan.namespace);
    let strays = accounts.into_iter().filter_map(|(name, account)| stray(name, &account));
    strays.collect()
}

fn stray(name: ServiceAccountName, account: &Account) -> Option<Stray> {
    let texts = account.texts();
    Some(Stray {
        name,
        uid: texts.uid?.parse().ok()?,
        label: texts.bound_by?.parse().ok()?,
        client_id: texts.client_id?.to_owned(),
    })
}

/// Whether nothing is there that would be taken away.
pub(super) async fn has_nothing(ctx: &Context, orphan: &Orphan) -> Result<bool, Fault> {
    let observed = observe(ctx, orphan).await?;
    Ok(plan(ctx, orphan, &observed).is_none_or(|removal| removal.revocations.is_empty()))
}
