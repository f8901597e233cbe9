//! Which cluster this is and who issues its tokens: asked of the API server, never of a configuration. What it takes to believe
//! an answer, [`IssuerWatch`] knows.

use std::collections::BTreeSet;
use std::time::Duration;

use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, Client};
use serde::Deserialize;
use tokio::sync::watch;
use tokio::time::Instant;
use wio_core::cluster::{Belief, Cluster, IssuerWatch, Sight};
use wio_core::fault::Fault;
use wio_core::names::{ClusterId, Issuer};
use wio_core::recorded::Recorded;

use crate::caches::stores::Bindings;
use crate::runtime::backoff::Backoff;
use crate::runtime::health::{Check, Readiness};
use crate::runtime::jitter::jittered;
use crate::runtime::metrics::Metrics;
use crate::runtime::request::{malformed, request};

/// The pauses before the first answer.
const DISCOVERY: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_mins(1));

/// The OpenID provider metadata of the API server:
/// <https://kubernetes.io/docs/tasks/configure-pod-container/configure-service-account/#service-account-issuer-discovery>.
#[derive(Deserialize)]
struct Discovery {
    issuer: String,
}

/// The cluster as the API server told it at one look.
struct Look {
    id: ClusterId,
    issuer: Issuer,
}

/// What is believed of the cluster, and since when it is looked at.
pub(crate) struct Watched {
    watch: IssuerWatch,
    begun: Instant,
}

/// Learns which cluster this is; does not return before it knows. The issuer is not believed before [`begin`].
pub(crate) async fn discover(client: &Client, readiness: &Readiness) -> Cluster {
    let mut backoff = DISCOVERY;
    loop {
        match look(client).await {
            Ok(Look { id, issuer }) => {
                readiness.passed(Check::Cluster);
                tell_known(&id, &issuer);
                let belief = Belief::Unconfirmed;
                return Cluster {
                    belief,
                    ..Cluster::new(id, issuer)
                };
            }
            Err(fault) => tell_unknown(readiness, &fault),
        }
        tokio::time::sleep(backoff.pause()).await;
    }
}

/// Decides whether the first look is believed, by what the cached bindings record.
/// The replaced issuers are those that somebody named.
pub(crate) fn begin(bindings: &Bindings, replaced: &BTreeSet<Issuer>, known: &watch::Sender<Cluster>) -> Watched {
    let recorded: BTreeSet<Issuer> = bindings
        .all()
        .filter_map(|binding| Recorded::issuer_of(&binding))
        .collect();
    let Cluster { id, issuer, .. } = known.borrow().clone();
    let watch = IssuerWatch::begin(id, issuer, recorded, replaced.clone(), Duration::ZERO);
    let cluster = watch.cluster();
    if cluster.belief == Belief::Unconfirmed {
        tell_unconfirmed(&cluster.issuer, &watch);
    }
    // Nobody decided anything yet.
    known.send_if_modified(|known| {
        *known = cluster;
        false
    });
    let begun = Instant::now();
    Watched { watch, begun }
}

/// Keeps what is known of the cluster true. A failed look keeps what was known.
pub(crate) async fn refresh(client: &Client, watched: Watched, known: watch::Sender<Cluster>, metrics: &Metrics) {
    let Watched { mut watch, begun } = watched;
    loop {
        metrics.issuer(watch.state());
        tokio::time::sleep(jittered(watch.pause())).await;
        match look(client).await {
            Ok(Look { id, issuer }) => {
                tell(&watch.look(&id, &issuer, begun.elapsed()), &id, &issuer, &watch);
                let cluster = watch.cluster();
                known.send_if_modified(|known| {
                    let changed = *known != cluster;
                    *known = cluster;
                    changed
                });
            }
            Err(fault) => tracing::warn!(%fault, "the cluster's issuer could not be looked at"),
        }
    }
}

fn tell(sight: &Sight, id: &ClusterId, issuer: &Issuer, watch: &IssuerWatch) {
    match sight {
        Sight::AsBelieved => {}
        Sight::Unconfirmed => tell_unconfirmed(issuer, watch),
        Sight::Changed { from, to } => tell_changed(from.as_ref(), to),
        Sight::OtherCluster => tell_other_cluster(id),
    }
}

fn tell_known(id: &ClusterId, issuer: &Issuer) {
    tracing::info!(cluster = %id, %issuer, "this is the cluster");
}

fn tell_unknown(readiness: &Readiness, fault: &Fault) {
    tracing::warn!(%fault, "waiting to learn which cluster this is");
    readiness.failed(Check::Cluster, fault.to_string());
}

fn tell_unconfirmed(seen: &Issuer, watch: &IssuerWatch) {
    let state = watch.state().as_str();
    tracing::warn!(%seen, state, "the API server says another issuer; it is believed when it goes on doing so");
}

fn tell_changed(from: Option<&Issuer>, to: &Issuer) {
    let from = from.map(ToString::to_string);
    tracing::warn!(from, %to, "the cluster's issuer changed");
}

fn tell_other_cluster(id: &ClusterId) {
    tracing::warn!(%id, "the API server answered as another cluster; nothing follows from that");
}

async fn look(client: &Client) -> Result<Look, Fault> {
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
    Ok(Look {
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
