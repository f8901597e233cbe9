//! The effective policy: what admission decides with. It is written when it differs from what the policies say, whoever
//! made it differ.

use std::pin::pin;

use futures::StreamExt;
use kube::Client;
use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::sleep;
use wio_api::{EFFECTIVE_POLICY_NAME, GROUP, WorkloadIdentityEffectivePolicy, keys};
use wio_core::config::OperatorConfig;
use wio_core::fault::Fault;
use wio_core::policy::effective;

use crate::health::{Check, Readiness};
use crate::kubernetes::request;
use crate::memory::OwnWrite;
use crate::policies::Parsed;
use crate::watches::{self, Pauses};

/// What stands in the cluster. It is kept as the API server sent it: what an older or newer operator wrote may lack fields.
#[derive(Debug, Default)]
struct Standing {
    spec: Value,
    /// Our write that made it, which the watch may not show yet.
    written: Option<OwnWrite>,
}

/// Keeps the effective policy what policies and configuration say; never returns.
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
    let mut pauses = Pauses::default();
    let mut standing = None;
    let mut last = Value::Null;
    loop {
        let parsed = policies.borrow_and_update().clone();
        let wanted = parsed.map(|policies| json!(effective(config, &policies)));
        if let (Some(there), Some(wanted)) = (&mut standing, wanted) {
            if differs(there, &wanted) {
                match write(&api, &wanted).await {
                    Ok(written) => *there = written,
                    Err(fault) => {
                        tracing::warn!(%fault, "admission goes on with the policies as they were");
                        readiness.delayed(Check::Admission, fault.to_string());
                    }
                }
                // Two writers that do not agree do not chase each other at full speed.
                let again = last == wanted || differs(there, &wanted);
                last = wanted;
                if let Some(pause) = pauses.next().filter(|_| again) {
                    sleep(pause).await;
                }
                continue;
            }
            readiness.passed(Check::Admission);
            pauses = Pauses::default();
        }
        tokio::select! {
            changed = policies.changed() => {
                if changed.is_err() {
                    return std::future::pending().await;
                }
            }
            Some(object) = watched.next() => see(&mut standing, object),
        }
    }
}

fn differs(there: &Standing, wanted: &Value) -> bool {
    there.spec != *wanted
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
