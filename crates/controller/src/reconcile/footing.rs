//! What a pass stands on: the decision, asked again right before something is given and between the steps.

use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::runtime::reflector::ObjectRef;
use kube::{Api, Client};
use wio_api::WorkloadIdentityBinding;
use wio_core::binding::Binding;
use wio_core::case::Case;
use wio_core::cluster::Cluster;
use wio_core::desired::Desired;
use wio_core::fault::Fault;
use wio_core::names::{BindingName, BindingUid, Namespace};
use wio_core::owner::Owner;
use wio_core::policy::Policies;
use wio_core::verdict::{Verdict, verdict};

use super::context::Context;
use super::dereference::dereference_again;
use crate::caches::stores::{Caches, NamespaceMeta};
use crate::runtime::request::request;

/// A decision, and what it rests on in the caches.
pub(super) struct Footing<'a> {
    ctx: &'a Context,
    case: &'a Case,
    desired: &'a Desired,
    ground: Ground,
}

/// What a change of what a decision rests on is seen by, without deciding again.
struct Ground {
    binding: Option<(Option<i64>, bool)>,
    policies: Option<Arc<Policies>>,
    namespace: Option<Arc<NamespaceMeta>>,
    cluster: Cluster,
}

// === impl Footing ===

impl<'a> Footing<'a> {
    /// What was decided just now.
    pub(super) fn new(ctx: &'a Context, case: &'a Case, desired: &'a Desired) -> Self {
        Self {
            ctx,
            case,
            desired,
            ground: Ground::of(&ctx.caches, &case.candidate.binding.owner),
        }
    }

    /// What was decided.
    pub(super) const fn desired(&self) -> &'a Desired {
        self.desired
    }

    /// Whether the decision still holds, as the caches are now, and this operator may still carry it out. A plan of twenty steps can take minutes, and what a policy ends
    /// meanwhile is not given first and taken away then.
    pub(super) fn holds(&mut self) -> bool {
        if !self.ctx.books.leadership.may_begin() {
            return false;
        }
        let now = Ground::of(&self.ctx.caches, &self.case.candidate.binding.owner);
        if now.is(&self.ground) {
            return true;
        }
        self.ground = now;
        decide_again(self.ctx, self.case, self.desired).as_ref() == Some(self.desired)
    }

    /// Whether the API server has the binding as it was decided about, unless it has just shown it, and is heard of through the watches
    /// of the rest: the caches may be of any age, and those of an operator that is cut off give back what another one took away.
    pub(super) async fn is_live(&self, shown: bool) -> Result<bool, Fault> {
        self.ctx.clients.api.pulse.confirm()?;
        if shown {
            return Ok(true);
        }
        let binding = &self.case.candidate.binding;
        let live = read(self.ctx, &binding.owner.namespace, &binding.owner.name).await?;
        Ok(live.is_some_and(|live| is_as_decided(&live, binding)))
    }
}

/// Whether the API server has each binding to which something is left as it was decided about.
pub(super) async fn heirs_are_live(ctx: &Context, desired: &Desired) -> Result<bool, Fault> {
    for heir in desired.heirs() {
        let live = read(ctx, &desired.owner().namespace, &heir.name).await?;
        if !live.is_some_and(|live| is_as_known(&live, &heir.uid, heir.generation)) {
            return Ok(false);
        }
    }
    Ok(true)
}

async fn read(ctx: &Context, namespace: &Namespace, name: &BindingName) -> Result<Option<ObjectMeta>, Fault> {
    let api: Api<WorkloadIdentityBinding> = Api::namespaced(ctx.clients.api.client.clone(), namespace.as_str());
    let found = request(|| "read the binding".to_owned(), api.get_metadata_opt(name.as_str())).await?;
    Ok(found.map(|live| live.metadata))
}

/// A binding as the API server has it now; none when it is gone.
pub(super) async fn read_whole(
    client: &Client,
    metadata: &ObjectMeta,
) -> Result<Option<WorkloadIdentityBinding>, Fault> {
    let namespace = metadata.namespace.as_deref().unwrap_or_default();
    let api: Api<WorkloadIdentityBinding> = Api::namespaced(client.clone(), namespace);
    let name = metadata.name.as_deref().unwrap_or_default();
    request(|| "read the binding".to_owned(), api.get_opt(name)).await
}

/// Whether the API server shows a binding as it was decided about.
pub(super) fn is_as_decided(shown: &ObjectMeta, binding: &Binding) -> bool {
    is_as_known(shown, &binding.owner.uid, binding.lifecycle.generation)
}

fn is_as_known(shown: &ObjectMeta, uid: &BindingUid, generation: i64) -> bool {
    shown.uid.as_deref() == Some(uid.as_str())
        && shown.generation.unwrap_or_default() == generation
        && shown.deletion_timestamp.is_none()
}

/// What is desired by the case as it is now; none when that is something else than was decided.
pub(super) fn decide_again(ctx: &Context, case: &Case, desired: &Desired) -> Option<Desired> {
    let again = dereference_again(&ctx.caches, &ctx.books.slots, case)?;
    let Verdict::Pursue(now) = verdict(&again) else {
        return None;
    };
    // The guard was asked about the policies as they were.
    let same_policies = again.rules.policies == case.rules.policies;
    match (desired, *now) {
        (Desired::Bound(_), now @ Desired::Bound(_)) => Some(now),
        (Desired::Denied(_), now @ Desired::Denied(_)) => same_policies.then_some(now),
        (Desired::Gone(then), Desired::Gone(now)) if same_policies => {
            now.from(then.revocable.identity()).map(Desired::Gone)
        }
        (Desired::Bound(_) | Desired::Denied(_) | Desired::Gone(_), _) => None,
    }
}

// === impl Ground ===

impl Ground {
    fn of(caches: &Caches, owner: &Owner) -> Self {
        let binding = caches.bindings.get(owner.namespace.as_str(), owner.name.as_str());
        Self {
            binding: binding
                .filter(|binding| binding.metadata.uid.as_deref() == Some(owner.uid.as_str()))
                .map(|binding| {
                    (
                        binding.metadata.generation,
                        binding.metadata.deletion_timestamp.is_some(),
                    )
                }),
            policies: caches.learned.policies.borrow().clone(),
            namespace: caches
                .surroundings
                .namespaces
                .get(&ObjectRef::new(owner.namespace.as_str())),
            cluster: caches.learned.cluster(),
        }
    }

    fn is(&self, other: &Self) -> bool {
        self.binding == other.binding
            && same(self.policies.as_ref(), other.policies.as_ref())
            && same(self.namespace.as_ref(), other.namespace.as_ref())
            && self.cluster == other.cluster
    }
}

/// Whether two are one and the same object; a changed one is another.
fn same<T>(one: Option<&Arc<T>>, other: Option<&Arc<T>>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => Arc::ptr_eq(one, other),
        (one, other) => one.is_none() && other.is_none(),
    }
}
