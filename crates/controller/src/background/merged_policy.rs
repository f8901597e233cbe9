//! The merged policy, which admission decides with (`WorkloadIdentityEffectivePolicy/cluster`). It is written when it differs from
//! what the policies say, whoever made it differ.

use std::pin::pin;

use futures::StreamExt;
use kube::Client;
use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use wio_api::{EFFECTIVE_POLICY_NAME, GROUP, WorkloadIdentityEffectivePolicy, keys};
use wio_core::config::OperatorConfig;
use wio_core::fault::Fault;
use wio_core::policy::merge;

use crate::caches::policies::Parsed;
use crate::caches::watches;
use crate::runtime::backoff::Backoff;
use crate::runtime::health::{Check, Readiness};
use crate::runtime::own_write::OwnWrite;
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

/// Keeps the merged policy what policies and configuration say; never returns.
pub(crate) async fn keep(
    client: &Client,
    config: &OperatorConfig,
    mut policies: watch::Receiver<Parsed>,
    readiness: &Readiness,
) {
    let api: Api<DynamicObject> = Api::all_with(
        client.clone(),
        &ApiResource::erase::<WorkloadIdentityEffectivePolicy>(&()),
    );
    let mut watched = pin!(watches::one("the effective policy", api.clone(), EFFECTIVE_POLICY_NAME));
    let mut standing = None;
    let mut pace = Pace::new();
    loop {
        let wanted = policies.borrow_and_update().clone();
        let wanted = wanted.map(|policies| json!(merge(config, &policies)));
        match step(standing.as_ref().map(|there: &Standing| &there.spec), wanted.as_ref()) {
            Step::Write if pace.is_due() => {
                let wanted = wanted.unwrap_or_default();
                match write(&api, &wanted).await {
                    Ok(written) => standing = Some(written),
                    Err(fault) => tell_stale(readiness, &fault),
                }
                pace.tried(wanted, standing.as_ref().map(|there| &there.spec));
                continue;
            }
            Step::Settled => {
                readiness.passed(Check::Admission);
                pace.backoff.start_over();
            }
            Step::Write | Step::Wait => {}
        }
        tokio::select! {
            changed = policies.changed() => {
                if changed.is_err() {
                    return std::future::pending().await;
                }
            }
            Some(object) = watched.next() => see(&mut standing, object),
            () = sleep_until(pace.not_before), if !pace.is_due() => {}
        }
    }
}

fn tell_stale(readiness: &Readiness, fault: &Fault) {
    tracing::warn!(%fault, "admission goes on with the policies as they were");
    readiness.delayed(Check::Admission, fault.to_string());
}

/// The pace of writes. Two writers that do not agree do not chase each other at full speed.
struct Pace {
    backoff: Backoff,
    not_before: Instant,
    last: Value,
}

impl Pace {
    fn new() -> Self {
        Self {
            backoff: Backoff::of_watch(),
            not_before: Instant::now(),
            last: Value::Null,
        }
    }

    fn is_due(&self) -> bool {
        Instant::now() >= self.not_before
    }

    /// A write of the same again, or one that did not last, waits.
    fn tried(&mut self, wanted: Value, standing: Option<&Value>) {
        if self.last == wanted || standing != Some(&wanted) {
            self.not_before = Instant::now() + self.backoff.pause();
        }
        self.last = wanted;
    }
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

    #[tokio::test(start_paused = true)]
    async fn a_write_of_the_same_again_waits() {
        let mut pace = Pace::new();
        pace.tried(json!(1), Some(&json!(1)));
        assert!(
            pace.is_due(),
            "a first write that lasts is followed by the next at once"
        );
        pace.tried(json!(1), Some(&json!(1)));
        assert!(!pace.is_due(), "somebody changed it back");
    }
}
