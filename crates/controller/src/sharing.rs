//! The other bindings of a namespace that have a part in the same trust.

use kube::runtime::reflector::ObjectRef;
use tokio::sync::mpsc;
use wio_api::{DeletionPolicy, Reason, WorkloadIdentityBinding};
use wio_core::authorize::authorize_orphan;
use wio_core::config::Cluster;
use wio_core::desired::{Desired, DesiredRemoval};
use wio_core::fault::{Blocked, Fault};
use wio_core::names::Namespace;
use wio_core::observed::{BoundBy, Observed};
use wio_core::policy::{NamespaceFacts, Policies};
use wio_core::sharing::{Claims, Sharer, siblings};

use crate::context::Context;
use crate::definitions;

/// Where bindings are sent that are to be reconciled at once.
pub(crate) type Wake = mpsc::UnboundedSender<ObjectRef<WorkloadIdentityBinding>>;

/// What is decided with.
#[derive(Clone, Copy)]
pub(crate) struct Rules<'a> {
    pub(crate) cluster: &'a Cluster,
    pub(crate) policies: &'a Policies,
    pub(crate) namespace: &'a NamespaceFacts,
}

/// The same, with those that have a part in it. They are found in the cache, and decided on by the same rules in the same pass.
pub(crate) fn beside(
    ctx: &Context,
    binding: &WorkloadIdentityBinding,
    desired: Desired,
    observed: &Observed,
    rules: Rules<'_>,
) -> Desired {
    let mut claims = Claims::of(binding);
    let ours = observed
        .service_accounts
        .iter()
        .filter(|(_, seen)| seen.bound_by == BoundBy::Us);
    claims.accounts.extend(ours.map(|(name, _)| name.clone()));
    let sharing = desired.sharing().clone().concerning(claims.clone());
    let desired = desired.beside(sharing);
    if !desired.depends_on_siblings(observed) {
        return desired;
    }
    let of_namespace = ctx
        .bindings
        .state_filter(|other| other.metadata.namespace == binding.metadata.namespace);
    let of_namespace: Vec<&WorkloadIdentityBinding> = of_namespace.iter().map(|other| &**other).collect();
    let found = siblings(
        binding,
        &claims,
        &of_namespace,
        rules.cluster,
        &ctx.settings.config,
        rules.policies,
        rules.namespace,
    );
    let sharing = desired.sharing().clone().with(found);
    desired.beside(sharing)
}

/// Has siblings look at Azure at once, because something was taken away or left to them: the mark on a service account, or a
/// role that Azure allows once.
pub(crate) fn wake(ctx: &Context, namespace: &Namespace, successors: &[&Sharer]) {
    for successor in successors {
        ctx.memory.doubt(successor.uid.as_str());
        let successor = ObjectRef::new(successor.name.as_str()).within(namespace.as_str());
        // Whoever listens ends with the operator.
        let _ = ctx.wake.send(successor);
    }
}

/// What is to be left of a binding that is being deleted: Orphan is asked anew.
pub(crate) async fn what_may_stay(
    ctx: &Context,
    binding: &WorkloadIdentityBinding,
    removal: DesiredRemoval,
    rules: Rules<'_>,
) -> Result<DesiredRemoval, Fault> {
    if removal.policy != DeletionPolicy::Orphan {
        return Ok(removal);
    }
    let config = &ctx.settings.config;
    let Err(why) = authorize_orphan(&removal.owner, binding, config, rules.policies, rules.namespace) else {
        return Ok(removal);
    };
    definitions::denial(ctx, binding, rules.policies, &why).await?;
    tracing::warn!(%why, "the trust of the binding ends with it");
    Ok(DesiredRemoval {
        policy: DeletionPolicy::RetainIdentity,
        ..removal
    })
}

/// Nothing is decided without the labels of the binding's namespace.
pub(crate) fn undecided() -> Blocked {
    Blocked {
        reason: Reason::NotDecided,
        message: "the labels of the binding's namespace are not known yet, so what it may have is not decided"
            .to_owned(),
    }
}
