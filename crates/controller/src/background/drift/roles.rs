//! Role assignments, listed once for each subscription, compared with what is recorded of each binding's.

use std::collections::BTreeMap;
use std::sync::Arc;

use kube::runtime::reflector::ObjectRef;
use tokio::time::sleep;
use wio_api::WorkloadIdentityBinding;
use wio_core::binding::Binding;
use wio_core::cluster::Cluster;
use wio_core::drift::{ListedRoles, Share, least_pause};
use wio_core::fault::AzureFault;
use wio_core::names::Scope;

use super::waking::{Walk, doubt, hold};
use crate::caches::glance::Mark;
use crate::caches::handle::Handle;
use crate::reconcile::context::Context;
use crate::reconcile::knowledge::Shown;
use crate::runtime::jitter::within;

/// The bindings that have roles, by the subscriptions where those are. By name: all of them as objects would be tens of megabytes while lists
/// are under way.
type Places = BTreeMap<Scope, Vec<Handle>>;

/// Lists the role assignments again and again; never returns.
pub(super) async fn keep(ctx: &Context) {
    let interval = ctx.books.coverage.drift_interval();
    sleep(within(interval / 10)).await;
    loop {
        let all = ctx.caches.bindings.len();
        let (places, reads) = places(all, ctx.caches.bindings.all_with(Mark::Roles)).await;
        ctx.books.coverage.counted(reads);
        let (mut requests, mut followed) = (0, Vec::new());
        for (place, bindings) in places {
            let (is_listed, sent) = list(ctx, &place, &bindings).await;
            requests += sent;
            followed.extend(is_listed.then_some(place));
        }
        let pause = least_pause(Share::Roles, requests, interval);
        for place in followed {
            ctx.books.coverage.listed_roles(place, hold(pause + interval / 5));
        }
        ctx.books.metrics.followed(ctx.books.coverage.counts());
        sleep(pause + within(interval / 5)).await;
    }
}

/// Lists those of one place and wakes the bindings whose roles it shows otherwise; tells whether it could be listed, and how many requests
/// that took.
async fn list(ctx: &Context, place: &Scope, bindings: &[Handle]) -> (bool, usize) {
    let listed = match ctx.clients.azure.list_all_role_assignments(place).await {
        Ok(listed) => listed,
        Err(unlisted) => {
            tell_unlisted(&unlisted.fault);
            return (false, unlisted.requests);
        }
    };
    let roles = ListedRoles::new(place.clone(), listed.entries);
    let cluster = ctx.caches.learned.cluster();
    let mut walk = Walk::default();
    for binding in bindings {
        let object = ctx.caches.bindings.get(binding.namespace(), binding.name());
        if object.is_some_and(|object| {
            differs(&object, &roles, &cluster) && doubt(&ctx.books, &object, ("roles", Shown::Roles))
        }) {
            tell_differs(place);
        }
        walk.step().await;
    }
    (true, listed.requests)
}

fn differs(object: &WorkloadIdentityBinding, roles: &ListedRoles, cluster: &Cluster) -> bool {
    Binding::parse(object, &cluster.id).is_ok_and(|binding| roles.differ(&binding))
}

fn tell_unlisted(fault: &AzureFault) {
    tracing::debug!(%fault, "bindings with roles there look for themselves");
}

fn tell_differs(place: &Scope) {
    tracing::info!(%place, "a list shows the roles of a binding otherwise than they were given; it looks");
}

/// The subscriptions in which bindings have roles, and how many reads a look of every binding takes: its identity, its federated
/// credentials, and each place of its roles.
async fn places(all: usize, with_roles: impl Iterator<Item = Arc<WorkloadIdentityBinding>>) -> (Places, usize) {
    let (mut places, mut reads) = (Places::new(), all * 2);
    let mut walk = Walk::default();
    for binding in with_roles {
        let handle = Handle::from(ObjectRef::from_obj(&*binding));
        let status = binding.status.iter();
        let scopes = status.flat_map(|status| &status.role_assignment_scopes);
        let mut roots: Vec<Scope> = scopes
            .filter_map(|scope| scope.parse::<Scope>().ok())
            .map(|scope| scope.root())
            .collect();
        roots.sort();
        roots.dedup();
        reads += roots.len();
        for root in roots.into_iter().filter(|root| root.subscription().is_some()) {
            places.entry(root).or_default().push(handle.clone());
        }
        walk.step().await;
    }
    (places, reads)
}
