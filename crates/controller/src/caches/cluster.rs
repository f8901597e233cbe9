//! Which cluster this is and who issues its tokens: asked of the API server, never of a configuration.

use std::time::Duration;

use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, Client};
use serde::Deserialize;
use tokio::sync::watch;
use wio_core::cluster::Cluster;
use wio_core::fault::Fault;
use wio_core::names::{ClusterId, Issuer};

use crate::runtime::backoff::Backoff;
use crate::runtime::health::{Check, Readiness};
use crate::runtime::jitter::jittered;
use crate::runtime::request::{malformed, request};

/// The issuer changes when the cluster is created anew, or by a rotation that takes hours.
const REFRESH: Duration = Duration::from_mins(5);
/// The pauses before the first answer.
const DISCOVERY: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_mins(1));

/// The OpenID provider metadata of the API server:
/// <https://kubernetes.io/docs/tasks/configure-pod-container/configure-service-account/#service-account-issuer-discovery>.
#[derive(Deserialize)]
struct Discovery {
    issuer: String,
}

/// Learns which cluster this is; does not return before it knows.
pub(crate) async fn discover(client: &Client, readiness: &Readiness) -> Cluster {
    let mut backoff = DISCOVERY;
    loop {
        match learn(client).await {
            Ok(cluster) => {
                tell_known(readiness, &cluster);
                return cluster;
            }
            Err(fault) => tell_unknown(readiness, &fault),
        }
        tokio::time::sleep(backoff.pause()).await;
    }
}

fn tell_known(readiness: &Readiness, cluster: &Cluster) {
    readiness.passed(Check::Cluster);
    tracing::info!(cluster = %cluster.id, issuer = %cluster.issuer, "this is the cluster");
}

fn tell_unknown(readiness: &Readiness, fault: &Fault) {
    tracing::warn!(%fault, "waiting to learn which cluster this is");
    readiness.failed(Check::Cluster, fault.to_string());
}

/// Keeps what is known of the cluster true. A failed look keeps what was known.
pub(crate) async fn refresh(client: &Client, known: watch::Sender<Cluster>) {
    loop {
        tokio::time::sleep(jittered(REFRESH)).await;
        match learn(client).await {
            Ok(cluster) => {
                known.send_if_modified(|known| {
                    let changed = *known != cluster;
                    if changed {
                        tracing::warn!(from = %known.issuer, to = %cluster.issuer, "the cluster's issuer changed");
                        *known = cluster;
                    }
                    changed
                });
            }
            Err(fault) => tracing::warn!(%fault, "the cluster's issuer could not be looked at"),
        }
    }
}

async fn learn(client: &Client) -> Result<Cluster, Fault> {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let system = request(
        || "read the namespace kube-system".to_owned(),
        namespaces.get_metadata("kube-system"),
    )
    .await?;
    let uid = system.metadata.uid.unwrap_or_default();
    let id: ClusterId = uid
        .parse()
        .map_err(|invalid| malformed("read the namespace kube-system".to_owned(), &format!("{invalid}")))?;
    Ok(Cluster {
        id,
        issuer: issuer(client).await?,
    })
}

async fn issuer(client: &Client) -> Result<Issuer, Fault> {
    const WHAT: &str = "read the discovery document of the service account issuer";
    let document = http::Request::get("/.well-known/openid-configuration")
        .body(Vec::new())
        .map_err(|error| malformed(WHAT.to_owned(), &error.to_string()))?;
    let discovery: Discovery = request(|| WHAT.to_owned(), client.request(document)).await?;
    discovery
        .issuer
        .parse()
        .map_err(|invalid| malformed(WHAT.to_owned(), &format!("{invalid}")))
}
