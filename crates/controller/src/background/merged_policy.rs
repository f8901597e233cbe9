//! The merged policy, which admission decides with (`WorkloadIdentityEffectivePolicy/cluster`). It is written when it differs from
//! what the policies say, whoever made it differ.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt};
use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{sleep, sleep_until};
use wio_api::{
    AcceptedSettings, EFFECTIVE_POLICY_NAME, GROUP, WorkloadIdentityEffectivePolicy,
    WorkloadIdentityEffectivePolicySpec, keys,
};
use wio_core::fault::Fault;
use wio_core::policy::{Policies, Vanished, merge};
use wio_core::settings_change::MANY;
use wio_core::status::Admission;

use crate::caches::stores::Learned;
use crate::caches::watches;
use crate::reconcile::context::Context;
use crate::reconcile::settings_guard;
use crate::runtime::health::{Check, Readiness};
use crate::runtime::own_write::OwnWrite;
use crate::runtime::patience::Patience;
use crate::runtime::request::request;

/// The merged policy that stands in the cluster. It is kept as the API server sent it: what an older or newer operator wrote may lack fields.
#[derive(Debug, Default)]
struct Standing {
    spec: Value,
    /// Our write that made it, which the watch may not show yet.
    written: Option<OwnWrite>,
}

/// The next step for the merged policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// Not all is known yet.
    Wait,
    /// It is as it should be.
    Settled,
    /// It differs, and is written.
    Write,
}

fn step(standing: Option<&Value>, wanted: Option<&Value>) -> Step {
    match (standing, wanted) {
        (Some(standing), Some(wanted)) if standing == wanted => Step::Settled,
        (Some(_), Some(_)) => Step::Write,
        (None, _) | (_, None) => Step::Wait,
    }
}

/// What admission decides with, of the policies as they were parsed last; none before it was looked at.
pub(crate) type Known = Option<(Arc<Policies>, Admission)>;

/// Keeps the merged policy what policies and configuration say, and tells whether it is; never returns.
pub(crate) async fn keep(ctx: &Context, readiness: &Readiness, known: &watch::Sender<Known>) {
    let learned = &ctx.caches.learned;
    let metrics = &ctx.books.metrics;
    let mut policies = learned.policies.clone();
    let stood = &learned.policy_watch;
    let api = api(ctx);
    let mut watched = pin!(watches::one("the effective policy", api.clone(), EFFECTIVE_POLICY_NAME));
    let mut standing = stand_by(ctx, &mut watched, readiness).await;
    let mut patience = Patience::new(Duration::from_millis(500), Duration::from_secs(10));
    let mut believed = stood.believed();
    let mut configured = learned.config.changes();
    loop {
        let parsed = policies.borrow_and_update().clone();
        configured.mark_unchanged();
        let kept = kept(ctx, parsed.as_ref()).await;
        believed.mark_unchanged();
        let waits = kept.as_ref().is_none_or(|kept| kept.waits);
        let wanted = kept.map(|kept| kept.merged);
        match step(standing.as_ref().map(|there: &Standing| &there.spec), wanted.as_ref()) {
            Step::Write if patience.is_due() => {
                let wanted = wanted.unwrap_or_default();
                match write(&api, &wanted).await {
                    Ok(written) => {
                        standing = Some(written);
                        patience.wrote(wanted);
                    }
                    Err(fault) => {
                        tell_stale(readiness, &fault);
                        metrics.admission_is_stale(true);
                        patience.failed();
                        tell(known, parsed, Admission::LagsBehind(fault));
                    }
                }
                continue;
            }
            Step::Settled => {
                readiness.passed(Check::Admission);
                metrics.admission_is_stale(false);
                tell(known, parsed, Admission::Knows);
            }
            Step::Write | Step::Wait => {}
        }
        tokio::select! {
            () = changed(&mut policies) => {}
            () = either(&mut believed, &mut configured) => {}
            () = sleep(stood.quiet_in()), if waits => {}
            Some(object) = watched.next() => {
                learn(learned, object.as_ref());
                see(&mut standing, object);
            }
            () = sleep_until(patience.not_before()), if !patience.is_due() => {}
        }
    }
}

fn api(ctx: &Context) -> Api<DynamicObject> {
    let kind = ApiResource::erase::<WorkloadIdentityEffectivePolicy>(&());
    Api::all_with(ctx.clients.api.client.clone(), &kind)
}

/// Completes when they change; never when nobody tells of them any more.
async fn changed(policies: &mut watch::Receiver<Option<Arc<Policies>>>) {
    if policies.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Completes when either changes.
async fn either<A, B>(one: &mut watch::Receiver<A>, other: &mut watch::Receiver<B>) {
    tokio::select! {
        _ = one.changed() => {}
        _ = other.changed() => {}
    }
}

/// Waits until this operator leads, and gives what is known to stand then: nothing follows from it before.
async fn stand_by(
    ctx: &Context,
    watched: &mut (impl Stream<Item = Option<DynamicObject>> + Unpin),
    readiness: &Readiness,
) -> Option<Standing> {
    let mut begins = pin!(ctx.books.leadership.begins());
    let mut last = None;
    loop {
        tokio::select! {
            biased;
            () = &mut begins => break,
            Some(object) = watched.next() => {
                // Whoever leads keeps it true, and until it is there admission takes no binding.
                if object.is_some() {
                    readiness.passed(Check::Admission);
                }
                let spec = object.as_ref().and_then(|object| object.data.get("spec"));
                remember(&ctx.caches.learned, spec.unwrap_or(&Value::Null));
                last = Some(object);
            }
        }
    }
    let object = last?;
    learn(&ctx.caches.learned, object.as_ref());
    let mut standing = None;
    see(&mut standing, object);
    standing
}

/// The merged policy as it is to be kept.
struct Kept {
    merged: Value,
    /// Whether it is another one when nothing changes for a while.
    waits: bool,
}

/// The merged policy as it is to be kept; none before it is known what the cluster keeps of policies and settings.
async fn kept(ctx: &Context, policies: Option<&Arc<Policies>>) -> Option<Kept> {
    let policies = policies?;
    let learned = &ctx.caches.learned;
    learned.policy_watch.prove(&ctx.clients.api.client, policies).await;
    let vanished = learned.policy_watch.see(policies);
    let losing = settings_guard::settle(ctx);
    ctx.books.metrics.held([
        ("policies", matches!(vanished, Vanished::Held(..))),
        ("settings", losing.is_some_and(|losing| losing >= MANY)),
    ]);
    let vanished: Vec<String> = match vanished {
        Vanished::None => Vec::new(),
        Vanished::Settling(names) | Vanished::Unproven(names) | Vanished::Held(names, _) => {
            names.iter().map(ToString::to_string).collect()
        }
        Vanished::Unknown => return None,
    };
    Some(Kept {
        waits: !vanished.is_empty() || losing != Some(0),
        merged: json!(WorkloadIdentityEffectivePolicySpec {
            vanished,
            accepted: learned.accepted.to_keep()?,
            ..merge(&learned.config.now(), policies)
        }),
    })
}

/// Takes in which policies stood and which settings were accepted when the merged policy was last written, and whether somebody says that an end is
/// meant.
fn learn(learned: &Learned, object: Option<&DynamicObject>) {
    let word = object.and_then(|object| object.metadata.annotations.as_ref()?.get(keys::CONFIRM_LOSS_ANNOTATION));
    let spec = object
        .and_then(|object| object.data.get("spec"))
        .unwrap_or(&Value::Null);
    let names = |list: &Value, name: fn(&Value) -> &Value| {
        let all = list.as_array().into_iter().flatten();
        all.filter_map(|one| name(one).as_str()?.parse().ok()).collect()
    };
    learned.policy_watch.learn(
        names(&spec["policies"], |policy| &policy["name"]),
        names(&spec["vanished"], |name| name),
        word.cloned(),
    );
    let accepted = remember(learned, spec);
    learned
        .accepted
        .learn(accepted.as_ref(), &learned.config.now(), word.cloned());
}

/// Takes in what is protected by the settings that were accepted; gives those.
fn remember(learned: &Learned, spec: &Value) -> Option<AcceptedSettings> {
    let accepted = AcceptedSettings::deserialize(&spec["accepted"]).ok()?;
    learned.config.remember(&accepted);
    Some(accepted)
}

fn tell(known: &watch::Sender<Known>, parsed: Option<Arc<Policies>>, admission: Admission) {
    let now = parsed.map(|policies| (policies, admission));
    // Of policies that are equal there is one copy.
    known.send_if_modified(|known| {
        let differs = *known != now;
        *known = now;
        differs
    });
}

fn tell_stale(readiness: &Readiness, fault: &Fault) {
    tracing::warn!(%fault, "admission goes on with the policies as they were");
    readiness.failed(
        Check::Admission,
        format!("admission goes on with the policies as they were: {fault}"),
    );
}

/// Takes in what the watch shows, unless it is from before our own last write.
fn see(standing: &mut Option<Standing>, object: Option<DynamicObject>) {
    let there = standing.get_or_insert_default();
    let Some(object) = object else {
        *there = Standing::default();
        return;
    };
    let version = object.metadata.resource_version.as_deref();
    if there.written.as_ref().is_none_or(|write| !write.is_missing_in(version)) {
        *there = Standing::of(&object, None);
    }
}

/// Force: it is ours alone.
async fn write(api: &Api<DynamicObject>, spec: &Value) -> Result<Standing, Fault> {
    let patch = Patch::Apply(json!({
        "apiVersion": format!("{GROUP}/v1alpha1"),
        "kind": "WorkloadIdentityEffectivePolicy",
        "metadata": { "name": EFFECTIVE_POLICY_NAME },
        "spec": spec,
    }));
    let parameters = PatchParams::apply(keys::FIELD_MANAGER).force();
    let written = request(
        || "write the effective policy".to_owned(),
        api.patch(EFFECTIVE_POLICY_NAME, &parameters, &patch),
    )
    .await?;
    tracing::info!("the effective policy is written");
    Ok(Standing::of(&written, OwnWrite::of(&written)))
}

// === impl Standing ===

impl Standing {
    fn of(object: &DynamicObject, written: Option<OwnWrite>) -> Self {
        Self {
            spec: object.data.get("spec").cloned().unwrap_or_default(),
            written,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_written_before_both_sides_are_known() {
        let one = json!(1);
        assert_eq!([step(None, Some(&one)), step(Some(&one), None)], [Step::Wait; 2]);
    }

    #[test]
    fn only_a_difference_is_written() {
        let (one, other) = (json!(1), json!(2));
        assert_eq!(step(Some(&one), Some(&one)), Step::Settled);
        assert_eq!(step(Some(&one), Some(&other)), Step::Write);
    }
}
