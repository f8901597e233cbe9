//! Health and metrics over HTTP: /livez, /readyz, /metrics.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use wio_azure::Azure;

use crate::jitter::jittered;
use crate::metrics::Metrics;

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

    /// Says why what did not pass yet did not. What passed once is not asked again.
    pub(crate) fn delayed(&self, check: Check, why: String) {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, what)) = waiting.iter_mut().find(|(other, _)| *other == check) {
            *what = why;
        }
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

/// Serves until the future is dropped.
pub(crate) async fn serve(listener: TcpListener, readiness: Readiness, metrics: Arc<Metrics>) {
    let router = Router::new()
        .route("/livez", get(|| async { "alive\n" }))
        .route("/readyz", get(move || async move { readiness.answer() }))
        .route("/metrics", get(move || async move { exposition(&metrics) }));
    // It accepts again after a fault: there is none to return.
    if let Err(error) = axum::serve(listener, router).await {
        tracing::error!(%error, "health and metrics are no longer served");
    }
}

fn exposition(metrics: &Metrics) -> Response {
    const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    match metrics.text() {
        Ok(text) => ([(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

/// Tries again and again whether a token for Azure can be had.
pub(crate) async fn probe(azure: Azure, readiness: Readiness) {
    let mut failing = false;
    loop {
        let again = match azure.probe().await {
            Ok(()) => {
                if std::mem::take(&mut failing) {
                    tracing::info!("a token for Azure can be had again");
                }
                readiness.passed(Check::Credential);
                PROBE_EVERY
            }
            Err(fault) => {
                if !std::mem::replace(&mut failing, true) {
                    tracing::warn!(%fault, "no token for Azure");
                }
                readiness.failed(Check::Credential, fault.to_string());
                PROBE_AGAIN
            }
        };
        tokio::time::sleep(jittered(again)).await;
    }
}
