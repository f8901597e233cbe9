//! Health and metrics over HTTP: /livez, /readyz, /metrics.

use std::fmt::Debug;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::serve::Listener;
use tokio::sync::watch;
use wio_azure::Azure;
use wio_core::fault::AzureFault;
use wio_core::names::ClientId;

use crate::runtime::heartbeat::Heartbeat;
use crate::runtime::jitter::jittered;
use crate::runtime::metrics::Metrics;

/// How often it is tried whether a token for Azure can be had. Tokens are cached: most tries cost nothing.
const PROBE_EVERY: Duration = Duration::from_secs(30);
/// After a failure, so that a pod becomes ready soon after its permission is granted.
const PROBE_AGAIN: Duration = Duration::from_secs(5);

/// What the operator waits for; empty when it is ready.
#[derive(Clone, Debug)]
pub(crate) struct Readiness(Arc<Mutex<Vec<(Check, String)>>>);

/// What must be there for the operator to do its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Check {
    /// The cluster's id and issuer are known.
    Cluster,
    /// The caches are filled.
    Caches,
    /// Admission knows the policies.
    Admission,
    /// A token for Azure can be had.
    Credential,
}

/// As whom the operator is signed in to Azure, as the probe of the credential last saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SignIn {
    /// It was not tried yet.
    NotTried,
    /// No token could be had so far.
    Failed,
    /// By this client id; none where the token does not name one.
    As(Option<ClientId>),
}

// === impl Readiness ===

impl Readiness {
    pub(crate) fn new() -> Self {
        let waiting = |check, what: &str| (check, what.to_owned());
        Self(Arc::new(Mutex::new(vec![
            waiting(Check::Cluster, "the cluster's issuer is not known yet"),
            waiting(Check::Caches, "the caches are not filled yet"),
            waiting(
                Check::Admission,
                "the effective policy, which admission decides with, is not written yet",
            ),
            waiting(Check::Credential, "no token for Azure was asked for yet"),
        ])))
    }

    pub(crate) fn passed(&self, check: Check) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|(other, _)| *other != check);
    }

    pub(crate) fn failed(&self, check: Check, why: String) {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.retain(|(other, _)| *other != check);
        waiting.push((check, why));
    }

    fn answer(&self) -> Response {
        let waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.is_empty() {
            return (StatusCode::OK, "ready\n").into_response();
        }
        let lines: Vec<&str> = waiting.iter().map(|(_, what)| what.as_str()).collect();
        (
            StatusCode::SERVICE_UNAVAILABLE,
            format!("not ready: {}\n", lines.join("; ")),
        )
            .into_response()
    }
}

/// What is served.
pub(crate) struct Shown {
    pub(crate) readiness: Readiness,
    pub(crate) heartbeat: Heartbeat,
    pub(crate) metrics: Arc<Metrics>,
}

/// Serves until the future is dropped.
pub(crate) async fn serve(listener: impl Listener<Addr: Debug>, shown: Shown) {
    let Shown {
        readiness,
        heartbeat,
        metrics,
    } = shown;
    let router = Router::new()
        .route("/livez", get(move || async move { liveness(&heartbeat) }))
        .route("/readyz", get(move || async move { readiness.answer() }))
        .route("/metrics", get(move || async move { exposition(&metrics) }));
    // It accepts again after a fault: there is none to return.
    if let Err(error) = axum::serve(listener, router).await {
        tracing::error!(%error, "health and metrics are no longer served");
    }
}

fn liveness(heartbeat: &Heartbeat) -> Response {
    if heartbeat.is_alive() {
        return (StatusCode::OK, "alive\n").into_response();
    }
    (
        StatusCode::SERVICE_UNAVAILABLE,
        "the controller does not come round any more\n",
    )
        .into_response()
}

fn exposition(metrics: &Metrics) -> Response {
    const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    match metrics.text() {
        Ok(text) => ([(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

/// Tries again and again whether a token for Azure can be had, and tells as whom the operator is signed in; never returns. A
/// change is logged once.
pub(crate) async fn probe(azure: Azure, readiness: Readiness, signed_in: watch::Sender<SignIn>) {
    let mut failing = false;
    loop {
        let failed = azure.probe().await.err();
        match &failed {
            Some(fault) if !failing => tell_lost(fault),
            None if failing => tell_regained(),
            Some(_) | None => {}
        }
        failing = failed.is_some();
        let again = match failed {
            None => {
                readiness.passed(Check::Credential);
                let now = SignIn::As(azure.signed_in_as());
                if signed_in.send_if_modified(|known| std::mem::replace(known, now) != now) {
                    tell_unprotected(now);
                }
                PROBE_EVERY
            }
            Some(fault) => {
                readiness.failed(Check::Credential, fault.to_string());
                signed_in.send_if_modified(|known| {
                    *known == SignIn::NotTried && {
                        *known = SignIn::Failed;
                        true
                    }
                });
                PROBE_AGAIN
            }
        };
        tokio::time::sleep(jittered(again)).await;
    }
}

/// Whoever reads a policy believes that the operator's own identity is out of reach.
fn tell_unprotected(signed_in: SignIn) {
    if signed_in == SignIn::As(None) {
        tracing::warn!(
            "neither the token for Azure nor AZURE_CLIENT_ID says which identity is the operator's own: set AZURE_CLIENT_ID, or name \
             it with --protected-identity; until then a policy that names it can give it to a binding"
        );
    }
}

fn tell_lost(fault: &AzureFault) {
    tracing::warn!(%fault, "no token for Azure");
}

fn tell_regained() {
    tracing::info!("a token for Azure can be had again");
}
