//! Reads by which identities the cluster itself acts on Azure, again and again: no binding may have one of them.

use std::time::Duration;

use tokio::time::sleep;
use wio_azure::ManagedClusterId;
use wio_core::fault::AzureFault;
use wio_core::own_cluster::in_few_words;

use crate::reconcile::context::Context;
use crate::runtime::backoff::Backoff;
use crate::runtime::jitter::within;

/// The first pause after a failure, which doubles.
const FIRST: Duration = Duration::from_secs(5);
/// The longest one while nothing is known: bindings wait for it.
const LONGEST: Duration = Duration::from_mins(5);

/// Reads it at start, when this operator begins to lead, and at each drift interval; never returns. Whoever stands by knows it too, and has
/// nothing to wait for when it leads.
pub(crate) async fn follow(ctx: &Context, cluster: Option<&ManagedClusterId>) {
    let Some(id) = cluster else {
        return std::future::pending().await;
    };
    let interval = ctx.books.coverage.drift_interval();
    let mut backoff = Backoff::new(FIRST, LONGEST);
    let mut told = None;
    loop {
        let leads = ctx.books.leadership.since().is_some();
        let pause = match ctx.clients.azure.get_cluster_identities(id).await {
            Ok(read) => {
                let known = read.identities.len();
                if ctx.caches.learned.config.learn(read, leads) || told.take().is_some() {
                    tell_known(id, known);
                }
                backoff.start_over();
                interval + within(interval / 5)
            }
            Err(fault) => {
                ctx.caches.learned.config.miss(&fault);
                tell_unknown(id, &fault, &mut told);
                backoff.pause()
            }
        };
        tokio::select! {
            () = sleep(pause) => {}
            () = ctx.books.leadership.begins(), if !leads => {}
        }
    }
}

fn tell_known(cluster: &ManagedClusterId, identities: usize) {
    tracing::info!(%cluster, identities, "no binding may have an identity by which the cluster acts, nor one of its node resource group");
}

/// Tells it once for each kind of failure.
fn tell_unknown(cluster: &ManagedClusterId, fault: &AzureFault, told: &mut Option<String>) {
    let why = in_few_words(&fault.cause);
    if told.as_ref() != Some(&why) {
        tracing::warn!(
            %fault, %cluster,
            "by which identities the cluster acts cannot be read; what was known stays protected, and before anything is known nothing new is \
             given through an identity that stands"
        );
        *told = Some(why);
    }
}
