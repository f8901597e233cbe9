//! A Kustomization, and what came of it.

use std::fmt;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use kube::Api;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams};
use serde_json::{Value, json};

use super::{Flux, NAMESPACE, Repository};
use crate::wait::until;

/// Longer than any `spec.timeout` of the tests.
const DEADLINE: Duration = Duration::from_mins(3);
/// Asks for a reconcile whenever it changes.
const ASK: &str = "reconcile.fluxcd.io/requestedAt";

/// A Kustomization of Flux (not the file of that name).
pub struct Kustomization<'f> {
    flux: &'f Flux,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// What its condition Ready says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Whether it is True.
    pub ready: bool,
    /// Its reason.
    pub reason: String,
    /// Its message.
    pub message: String,
}

// === impl Kustomization ===

impl<'f> Kustomization<'f> {
    pub(super) fn new(flux: &'f Flux, namespace: &str, name: &str) -> Self {
        Self {
            flux,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }
    }

    pub(super) async fn apply(
        flux: &'f Flux,
        repository: &Repository<'_>,
        name: &str,
        labels: &Value,
        spec: Value,
    ) -> Result<Self> {
        let namespace = spec.get("targetNamespace").and_then(Value::as_str).unwrap_or(NAMESPACE);
        let kustomization = Self::new(flux, namespace, name);
        let mut object = json!({
            "apiVersion": "kustomize.toolkit.fluxcd.io/v1",
            "kind": "Kustomization",
            "metadata": { "name": name, "namespace": namespace, "labels": labels },
            "spec": {
                // Longer than a test: whatever is reconciled was asked for.
                "interval": "1h",
                "timeout": "1m",
                "path": ".",
                "prune": true,
                "wait": true,
                "sourceRef": { "kind": repository.kind(), "name": repository.name(), "namespace": NAMESPACE },
            },
        });
        if let (Some(Value::Object(common)), Value::Object(own)) = (object.get_mut("spec"), spec) {
            common.extend(own);
        }
        flux.kubectl.apply(&object.to_string()).await?;
        Ok(kustomization)
    }

    /// Waits until a revision was tried. Returns what came of it.
    pub async fn tried(&self, revision: &str) -> Result<Outcome> {
        let what = format!("Kustomization {} to be reconciled at {revision}", self.name);
        until(&what, DEADLINE, async || {
            let found = self.get().await?;
            let tried = found
                .data
                .pointer("/status/lastAttemptedRevision")
                .and_then(Value::as_str);
            let outcome = outcome(&found);
            ensure!(tried == Some(revision), "the last is {tried:?}: {outcome:?}");
            Ok(outcome)
        })
        .await
    }

    /// Waits until a revision was applied and is healthy.
    pub async fn applied(&self, revision: &str) -> Result<()> {
        self.tried(revision).await?.must_be_ready(&self.name)
    }

    /// Waits until a revision failed. Returns the reason and the message.
    pub async fn failed(&self, revision: &str) -> Result<(String, String)> {
        let outcome = self.tried(revision).await?;
        if outcome.ready {
            bail!("Kustomization {} was to fail, and says: {outcome}", self.name);
        }
        Ok((outcome.reason, outcome.message))
    }

    /// Asks for a reconcile, and waits for its end.
    pub async fn reconcile(&self) -> Result<Outcome> {
        let asked = uuid::Uuid::new_v4().to_string();
        let patch = json!({ "metadata": { "annotations": { ASK: asked } } });
        self.api()
            .patch(&self.name, &PatchParams::default(), &Patch::Merge(patch))
            .await
            .context("asking for a reconcile")?;
        until(
            &format!("Kustomization {} to be reconciled", self.name),
            DEADLINE,
            async || {
                let found = self.get().await?;
                let done = found.data.pointer("/status/lastHandledReconcileAt");
                Ok(outcome(&found).filter(|_| done == Some(&json!(asked))))
            },
        )
        .await
    }

    /// The same, when it must succeed.
    pub async fn reconcile_well(&self) -> Result<()> {
        self.reconcile().await?.must_be_ready(&self.name)
    }

    /// Waits until its condition Ready is True, whatever asked for it.
    pub async fn ready(&self) -> Result<()> {
        until(
            &format!("Kustomization {} to be ready", self.name),
            DEADLINE,
            async || {
                let outcome = outcome(&self.get().await?).context("it is not known yet")?;
                outcome.must_be_ready(&self.name).map(Some)
            },
        )
        .await
    }

    /// Deletes it, and with it what it made; waits until it is gone.
    pub async fn delete(&self) -> Result<()> {
        let name = format!("kustomization/{}", self.name);
        let namespace = format!("--namespace={}", self.namespace);
        let delete = ["delete", &name, &namespace, "--timeout=120s"];
        self.flux.kubectl.run(&delete).await.map(drop)
    }

    async fn get(&self) -> Result<DynamicObject> {
        self.api().get(&self.name).await.context("reading a Kustomization")
    }

    fn api(&self) -> Api<DynamicObject> {
        let kind = GroupVersionKind::gvk("kustomize.toolkit.fluxcd.io", "v1", "Kustomization");
        Api::namespaced_with(self.flux.client.clone(), &self.namespace, &ApiResource::from_gvk(&kind))
    }
}

/// What the condition Ready says, unless a reconcile goes on.
fn outcome(kustomization: &DynamicObject) -> Option<Outcome> {
    let conditions = kustomization.data.pointer("/status/conditions")?.as_array()?;
    let field = |name: &str| {
        let ready = conditions
            .iter()
            .find(|condition| condition.get("type") == Some(&json!("Ready")));
        ready?.get(name)?.as_str().map(str::to_owned)
    };
    let status = field("status")?;
    (status != "Unknown").then(|| Outcome {
        ready: status == "True",
        reason: field("reason").unwrap_or_default(),
        message: field("message").unwrap_or_default(),
    })
}

// === impl Outcome ===

impl Outcome {
    /// Fails, with all that it says, when it is not ready.
    pub fn must_be_ready(&self, name: &str) -> Result<()> {
        ensure!(self.ready, "Kustomization {name}: {self}");
        Ok(())
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reason, self.message)
    }
}
