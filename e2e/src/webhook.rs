//! The real pod webhook of azure-workload-identity, registered at the API server by its address.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use crate::certificates::Authority;
use crate::cluster::{Cluster, MADE_HERE};
use crate::paths::part;
use crate::ports::{free_port, is_free};
use crate::process::{Process, Program};
use crate::scratch::Scratch;
use crate::wait::until;

/// The webhook takes no flag for its port.
const PORT: u16 = 9443;
/// Another run may have to end first.
const TURN_DEADLINE: Duration = Duration::from_mins(15);
/// The webhook of a run that was killed goes a moment after that run.
const PORT_DEADLINE: Duration = Duration::from_secs(10);
const START_DEADLINE: Duration = Duration::from_mins(1);

/// The webhook's namespace, as in `manifests/webhook.yaml`.
pub(crate) const NAMESPACE: &str = "azure-workload-identity-system";
const SERVICE_ACCOUNT: &str = "azure-wi-webhook-admin";
const KIND: &str = "mutatingwebhookconfiguration";
const REGISTRATION: &str = "azure-wi-webhook-mutating-webhook-configuration";

/// A running webhook. Dropping it stops it and lets the next run have its port.
#[derive(Debug)]
pub struct Webhook {
    _process: Process,
    _turn: Turn,
}

/// The right to run the one webhook of this machine. The kernel takes it back when the harness dies.
#[derive(Debug)]
struct Turn {
    _locked: File,
}

// === impl Webhook ===

impl Webhook {
    /// Starts it and registers it. `authority_host` is what pods get as `AZURE_AUTHORITY_HOST`, `tenant` what they get as
    /// `AZURE_TENANT_ID` unless their service account says another.
    pub async fn start(scratch: &Scratch, cluster: &Cluster, authority_host: &str, tenant: &str) -> Result<Self> {
        let turn = Turn::take().await?;
        let theirs = cluster
            .kubectl
            .run(&["get", KIND, &format!("--selector=!{MADE_HERE}"), "--output=name"])
            .await?;
        ensure!(
            !theirs.contains(REGISTRATION),
            "the cluster has a pod webhook of its own, which knows no simulator"
        );
        cluster.kubectl.apply(include_str!("manifests/webhook.yaml")).await?;
        let authority = Authority::new(scratch, "webhook-authority")?;
        let serving = authority.server(scratch, "webhook")?;
        let certificates = scratch.folder("webhook")?;
        std::fs::copy(&serving.certificate, certificates.join("tls.crt")).context("copying a certificate")?;
        std::fs::copy(&serving.key, certificates.join("tls.key")).context("copying a key")?;
        let cloud = json!({ "name": "AzureStackCloud", "activeDirectoryEndpoint": authority_host });
        let health = free_port()?;
        let mut process = Program::new(part("azure-workload-identity-webhook")?)
            .arg("-disable-cert-rotation")
            .flag("webhook-cert-dir", certificates)
            .flag("health-addr", format!("127.0.0.1:{health}"))
            .flag("metrics-addr", "0")
            .flag("log-level", "info")
            .env(
                "KUBECONFIG",
                cluster.kubeconfig_of(scratch, NAMESPACE, SERVICE_ACCOUNT).await?,
            )
            .env("POD_NAMESPACE", NAMESPACE)
            .env("AZURE_TENANT_ID", tenant)
            // The only cloud whose authority can be chosen: its endpoints come from a file.
            .env("AZURE_ENVIRONMENT", "AzureStackCloud")
            .env(
                "AZURE_ENVIRONMENT_FILEPATH",
                scratch.write("webhook/cloud.json", cloud.to_string())?,
            )
            .start("webhook", &scratch.logs())?;
        let ready = format!("http://127.0.0.1:{health}/readyz");
        process.until_healthy(&ready, START_DEADLINE).await?;
        cluster
            .kubectl
            .apply(&registration(&authority.certificate)?.to_string())
            .await?;
        Ok(Self {
            _process: process,
            _turn: turn,
        })
    }
}

/// As azure-workload-identity's own chart registers it, but by address instead of by service.
fn registration(authority: &Path) -> Result<Value> {
    let authority = std::fs::read(authority).with_context(|| format!("reading {}", authority.display()))?;
    Ok(json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": { "name": REGISTRATION, "labels": { MADE_HERE: "true" } },
        "webhooks": [{
            "name": "mutation.azure-workload-identity.io",
            "admissionReviewVersions": ["v1", "v1beta1"],
            "clientConfig": {
                "url": format!("https://127.0.0.1:{PORT}/mutate-v1-pod"),
                "caBundle": BASE64_STANDARD.encode(authority),
            },
            "failurePolicy": "Fail",
            "matchPolicy": "Equivalent",
            "objectSelector": { "matchLabels": { "azure.workload.identity/use": "true" } },
            "reinvocationPolicy": "IfNeeded",
            "rules": [{ "apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"] }],
            "sideEffects": "None",
        }],
    }))
}

// === impl Turn ===

impl Turn {
    /// Waits until no other run on this machine has its webhook.
    async fn take() -> Result<Self> {
        let path = std::env::temp_dir().join(format!("wio-e2e-webhook-{PORT}.lock"));
        // Opened for reading, if it is there: another user's file in a shared folder may not be opened for writing.
        let file = File::open(&path)
            .or_else(|_| File::options().create(true).append(true).open(&path))
            .with_context(|| format!("opening {}", path.display()))?;
        let mut said = false;
        until("another run's webhook to end", TURN_DEADLINE, async || {
            match file.try_lock() {
                Ok(()) => Ok(Some(())),
                Err(std::fs::TryLockError::WouldBlock) => {
                    if !std::mem::replace(&mut said, true) {
                        eprintln!(
                            "another run has port {PORT}, on which the pod webhook always listens; waiting for its end"
                        );
                    }
                    Ok(None)
                }
                Err(std::fs::TryLockError::Error(error)) => Err(error.into()),
            }
        })
        .await?;
        until("port 9443 to be free", PORT_DEADLINE, async || {
            Ok(is_free(PORT).then_some(()))
        })
        .await
        .context("the pod webhook always listens on port 9443, and another program has it")?;
        Ok(Self { _locked: file })
    }
}
