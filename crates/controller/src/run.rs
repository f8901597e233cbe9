//! The operator's life: from the first question to the API server to the last reconcile.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt, stream};
use kube::Client;
use kube::runtime::reflector::ObjectRef;
use kube::runtime::reflector::store::Writer;
use kube::runtime::{Config, Controller, controller, reflector};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use wio_api::WorkloadIdentityBinding;
use wio_azure::Azure;

use crate::context::{AccountMeta, Context, NamespaceMeta};
use crate::definitions::LastLook;
use crate::events::Events;
use crate::health::{self, Check, Readiness};
use crate::memory::Memory;
use crate::metrics::Metrics;
use crate::reconcile::reconcile;
use crate::settings::Settings;
use crate::{abandoned, cluster, effective, policies, watches};

/// How long reconciles that are under way may take to end after a shutdown was asked for. Kubernetes kills a pod 30 s
/// after asking.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(25);

/// What fills the caches.
struct Writers {
    bindings: Writer<WorkloadIdentityBinding>,
    accounts: Writer<AccountMeta>,
    namespaces: Writer<NamespaceMeta>,
}

/// Runs the operator until `shutdown` completes and the reconciles under way have ended. Health and metrics are served
/// on `listener`. What goes wrong is retried and reported.
pub async fn run(
    client: Client,
    azure: Azure,
    settings: Settings,
    listener: TcpListener,
    shutdown: impl Future<Output = ()>,
) {
    let (bindings, bindings_writer) = reflector::store();
    let (accounts, accounts_writer) = reflector::store();
    let (policy_cache, policies_writer) = reflector::store();
    let (namespaces, namespaces_writer) = reflector::store();
    let writers = Writers {
        bindings: bindings_writer,
        accounts: accounts_writer,
        namespaces: namespaces_writer,
    };
    let metrics = Arc::new(Metrics::new(bindings.clone()));
    let observed = Arc::clone(&metrics);
    let azure = azure.on_exchange(move |exchange| observed.exchanged(exchange));
    let readiness = Readiness::new();
    let (stop, stopped) = watch::channel(false);
    let serve = health::serve(listener, readiness.clone(), Arc::clone(&metrics));
    let probe = health::probe(azure.clone(), readiness.clone());
    let work = async {
        let cluster = tokio::select! {
            cluster = cluster::discover(&client, &readiness) => cluster,
            () = asked(stopped.clone()) => return,
        };
        let (known, cluster) = watch::channel(cluster);
        let (parsing, parsed) = watch::channel(None);
        let (filling, filled_known) = watch::channel(false);
        let (wake, woken) = mpsc::unbounded_channel();
        let (abandon, gone) = mpsc::unbounded_channel();
        let ctx = Arc::new(Context {
            events: Events::new(client.clone(), settings.instance.clone()),
            memory: Memory::default(),
            wake,
            abandoned: abandon,
            client: client.clone(),
            azure,
            settings,
            cluster,
            bindings,
            accounts,
            policies: parsed,
            namespaces,
            filled: filled_known,
            definitions: LastLook::default(),
            metrics,
        });
        let changes = watches::policies(client.clone(), policies_writer);
        tokio::select! {
            () = Box::pin(control(Arc::clone(&ctx), writers, woken, asked(stopped))) => {}
            () = policies::keep_parsed(changes, policy_cache, parsing, &ctx.metrics) => {}
            () = Box::pin(effective::keep(&client, &ctx.settings.config, ctx.policies.clone(), &readiness)) => {}
            () = cluster::refresh(&client, known) => {}
            () = Box::pin(abandoned::take_away(&ctx, gone)) => {}
            () = filled(&ctx, &readiness, &filling) => {}
        }
    };
    let shutdown = async {
        shutdown.await;
        tracing::info!("shutting down");
        stop.send_replace(true);
        tokio::time::sleep(SHUTDOWN_GRACE).await;
        tracing::warn!("reconciles under way did not end in time and are left");
    };
    tokio::select! {
        () = work => {}
        () = shutdown => {}
        () = serve => {}
        () = probe => {}
    }
}

/// Completes when a stop was asked for.
async fn asked(mut stopped: watch::Receiver<bool>) {
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

async fn control(
    ctx: Arc<Context>,
    writers: Writers,
    woken: mpsc::UnboundedReceiver<ObjectRef<WorkloadIdentityBinding>>,
    stop: impl Future<Output = ()> + Send + Sync + 'static,
) {
    let client = ctx.client.clone();
    let bindings = watches::bindings(client.clone(), writers.bindings, &ctx);
    let accounts = watches::accounts(client.clone(), writers.accounts);
    let namespaces = watches::namespaces(client, writers.namespaces);
    let (known, known_too) = (ctx.bindings.clone(), ctx.bindings.clone());
    Controller::for_stream(bindings, ctx.bindings.clone())
        .with_config(Config::default().concurrency(ctx.settings.concurrency))
        .watches_stream(accounts, move |account| watches::binding_of(&account, &known))
        .watches_stream(namespaces, move |namespace| {
            watches::bindings_in(&namespace, &known_too)
        })
        .reconcile_all_on(stream::select(
            changes(ctx.cluster.clone()),
            changes(ctx.policies.clone()),
        ))
        .reconcile_on(stream::unfold(woken, |mut woken| async move {
            woken.recv().await.map(|binding| (binding, woken))
        }))
        .graceful_shutdown_on(stop)
        .run(reconcile, |_, never, _| match *never {}, ctx)
        .for_each(|result| async move {
            // A requeue of a binding that is gone by then is no fault.
            if let Err(error) = result
                && !matches!(error, controller::Error::ObjectNotFound(_))
            {
                tracing::warn!(%error, "watching the API server failed; trying again");
            }
        })
        .await;
}

/// One item for each change.
fn changes<T: Send + Sync>(known: watch::Receiver<T>) -> impl Stream<Item = ()> {
    stream::unfold(known, |mut known| async move {
        known.changed().await.ok().map(|()| ((), known))
    })
}

/// Reports when all caches are filled; never returns.
async fn filled(ctx: &Context, readiness: &Readiness, filling: &watch::Sender<bool>) {
    let all = [
        ctx.bindings.wait_until_ready().await,
        ctx.accounts.wait_until_ready().await,
        ctx.namespaces.wait_until_ready().await,
    ];
    let parsed = ctx.policies.clone().wait_for(Option::is_some).await.is_ok();
    if parsed && all.iter().all(Result::is_ok) {
        filling.send_replace(true);
        readiness.passed(Check::Caches);
        tracing::info!(
            bindings = ctx.bindings.len(),
            service_accounts = ctx.accounts.len(),
            namespaces = ctx.namespaces.len(),
            "the caches are filled"
        );
    }
    std::future::pending::<()>().await;
}
