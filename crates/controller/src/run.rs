//! The operator's life: from the first question to the API server to the last reconcile.

use std::fmt::Debug;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::serve::Listener;
use futures::{Stream, StreamExt, stream};
use kube::Client;
use kube::runtime::reflector;
use kube::runtime::reflector::ObjectRef;
use kube::runtime::reflector::store::Writer;
use kube::runtime::watcher::Event;
use tokio::sync::{mpsc, watch};
use wio_api::{WorkloadIdentityBinding, WorkloadIdentityPolicy};
use wio_azure::{Azure, ManagedClusterId};
use wio_core::active_namespaces::ActiveNamespaces;
use wio_core::cluster::Cluster;

use crate::background::election::Candidate;
use crate::background::{drift, merged_policy, named_accounts, orphans, own_cluster, policy_status};
use crate::caches::accepted::Accepted;
use crate::caches::accounts::Accounts;
use crate::caches::configured::Configured;
use crate::caches::handle::Handle;
use crate::caches::policies::{self, Seen};
use crate::caches::policy_watch::PolicyWatch;
use crate::caches::stores::{Bindings, Caches, Learned, NamespaceMeta, Surroundings};
use crate::caches::visits::Visits;
use crate::caches::{cluster, watches};
use crate::reconcile::audit;
use crate::reconcile::context::{Api, Books, Clients, Context};
use crate::reconcile::coverage::Coverage;
use crate::reconcile::crd_guard::CrdGuard;
use crate::reconcile::knowledge::Slots;
use crate::reconcile::lanes::Lanes;
use crate::reconcile::queue::Queue;
use crate::reconcile::workloads::turns::Turns;
use crate::reconcile::writes::SentWrites;
use crate::reconcile::{dereference, reconcile};
use crate::runtime::agenda::Asked;
use crate::runtime::connections;
use crate::runtime::events::Events;
use crate::runtime::health::{self, Check, Readiness, SignIn};
use crate::runtime::heartbeat::{self, Heartbeat};
use crate::runtime::leadership::{self, Leadership};
use crate::runtime::metrics::Metrics;
use crate::runtime::pages;
use crate::runtime::pulse::{self, Pulse};
use crate::runtime::rounds::rounds;
use crate::settings::Settings;

/// How long reconciles that are under way may take to end after a shutdown was asked for. Kubernetes kills a pod 30 s
/// after asking.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(25);

/// How long the first reconcile waits for the first token, without which nothing could be written anyway, and for the first look at the
/// cluster's resource.
const SIGN_IN: Duration = Duration::from_secs(5);

/// An end of the operator that nobody asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Ended {
    /// A shutdown was asked for, and not all reconciles under way ended in time.
    #[error("reconciles under way did not end within {} s and were left", SHUTDOWN_GRACE.as_secs())]
    ReconcilesLeft,
    /// Another operator may lead from now on: nothing that is remembered is worth anything.
    #[error("the lease is lost")]
    LeaseLost,
    /// A part of the operator that runs for ever ended.
    #[error("{0} ended, which it never should")]
    Part(&'static str),
}

/// The client of all but the election. Whether a write may leave is asked when its turn has come.
fn api_client(client: Client, leadership: &Leadership) -> Client {
    let fenced = leadership::writing_while(client, leadership);
    pages::by_length(connections::few(fenced))
}

/// The writers of the caches, and who asks for reconciles.
struct Sources {
    namespaces: Writer<NamespaceMeta>,
    woken: mpsc::UnboundedReceiver<ObjectRef<WorkloadIdentityBinding>>,
}

/// The ends that the background loops fill.
struct Feeds {
    policies: Writer<WorkloadIdentityPolicy>,
    policy_cache: reflector::Store<WorkloadIdentityPolicy>,
    told: policies::Told,
    seen: watch::Receiver<Option<Arc<Seen>>>,
    cluster: watch::Sender<Cluster>,
    own_cluster: Option<ManagedClusterId>,
    filled: watch::Sender<bool>,
}

/// Runs the operator until `shutdown` completes and the reconciles under way have ended. Health and metrics are served
/// on `listener`. What goes wrong is retried and reported.
///
/// # Errors
/// When it ends in another way.
pub async fn run(
    client: Client,
    azure: Azure,
    settings: Settings,
    listener: impl Listener<Addr: Debug>,
    shutdown: impl Future<Output = ()>,
) -> Result<(), Ended> {
    let bindings = Bindings::new(Visits::default());
    let pulse = Arc::new(Pulse::default());
    let heartbeat = Heartbeat::default();
    let metrics = Arc::new(Metrics::new(
        (&bindings.index, settings.config.namespaces.clone()),
        &pulse,
        &heartbeat,
    ));
    let azure = observed(azure, &metrics);
    let (leadership, mut candidate) = election(&settings, &client);
    metrics.led(leadership.since().is_some(), 0);
    let azure = fenced(azure, &settings, &leadership);
    let client = api_client(client, &leadership);
    let readiness = Readiness::new();
    let (stop, stopped) = watch::channel(false);
    let shown = health::Shown {
        readiness: readiness.clone(),
        heartbeat: heartbeat.clone(),
        metrics: Arc::clone(&metrics),
    };
    let serve = health::serve(listener, shown);
    let (signing_in, signed_in) = watch::channel(SignIn::NotTried);
    let probe = health::probe(azure.clone(), readiness.clone(), signing_in);
    let (leads, stopping) = (leadership.clone(), leadership.clone());
    let hears = stopped.clone();
    let work = async {
        let cluster = tokio::select! {
            cluster = cluster::discover(&client, &readiness) => cluster,
            () = asked(stopped.clone()) => return Ok(()),
        };
        let (ctx, sources, feeds) = wire(
            Clients::new((pulse::listening(client, &pulse), pulse), azure, (&settings, &metrics)),
            settings,
            (cluster, signed_in),
            bindings,
            (Arc::clone(&metrics), heartbeat, leads),
        );
        Box::pin(work(&Arc::new(ctx), sources, feeds, &readiness, stopped)).await
    };
    let shutdown = async {
        shutdown.await;
        tracing::info!("shutting down");
        stopping.stop();
        stop.send_replace(true);
        tokio::time::sleep(SHUTDOWN_GRACE).await;
    };
    let ended = tokio::select! {
        ended = work => ended,
        () = elected(candidate.as_mut(), (&leadership, &metrics), hears) => Err(Ended::LeaseLost),
        () = shutdown => Err(Ended::ReconcilesLeft),
        () = serve => Err(Ended::Part("the server of health and metrics")),
        () = probe => Err(Ended::Part("the probe of the credential")),
    };
    // What is left of others ends by itself, with the lease.
    if let (Ok(()), Some(candidate)) = (ended, &mut candidate) {
        candidate.release(&leadership, &metrics).await;
    }
    ended
}

/// Whether this operator leads, before anybody was elected, and who takes part in the election for it.
fn election(settings: &Settings, client: &Client) -> (Leadership, Option<Candidate>) {
    match &settings.lease {
        Some(lease) => {
            let candidate = Candidate::new(client.clone(), lease, settings.clock.clone());
            (Leadership::candidate(lease.terms.write_limit()), Some(candidate))
        }
        None => (Leadership::alone(), None),
    }
}

/// The client of Azure whose requests are counted and told.
fn observed(azure: Azure, metrics: &Arc<Metrics>) -> Azure {
    let metrics = Arc::clone(metrics);
    azure.on_exchange(move |exchange| {
        metrics.exchanged(exchange);
        audit::note(exchange);
    })
}

/// The client of Azure that writes only while this operator leads.
fn fenced(azure: Azure, settings: &Settings, leadership: &Leadership) -> Azure {
    let Some(lease) = &settings.lease else { return azure };
    let leadership = leadership.clone();
    azure.writing_while(lease.terms.write_limit(), move || leadership.may_write())
}

/// Takes part in the election, if there is one; completes when the lease is lost.
async fn elected(
    candidate: Option<&mut Candidate>,
    (leadership, metrics): (&Leadership, &Metrics),
    stopped: watch::Receiver<bool>,
) {
    match candidate {
        Some(candidate) => candidate.run(leadership, metrics, stopped).await,
        None => std::future::pending().await,
    }
}

/// Puts the parts together.
fn wire(
    clients: Clients,
    settings: Settings,
    (cluster, signed_in): (Cluster, watch::Receiver<SignIn>),
    bindings: Bindings,
    (metrics, heartbeat, leadership): (Arc<Metrics>, Heartbeat, Leadership),
) -> (Context, Sources, Feeds) {
    let accounts = Accounts::new(bindings.visits());
    let (policy_cache, policies_writer) = reflector::store();
    let (namespaces, namespaces_writer) = reflector::store();
    let (cluster_sender, cluster) = watch::channel(cluster);
    let (parsed_sender, parsed) = watch::channel(None);
    let (seen_sender, seen) = watch::channel(None);
    let (filled_sender, filled) = watch::channel(false);
    let (wake, woken) = mpsc::unbounded_channel();
    let gate = clients.azure.gate().clone();
    let ctx = Context {
        caches: Caches {
            bindings,
            surroundings: Surroundings { accounts, namespaces },
            learned: Learned {
                config: Configured::new(settings.config, settings.cluster.as_ref().map(ToString::to_string)),
                accepted: Accepted::default(),
                cluster,
                policies: parsed,
                policy_watch: PolicyWatch::default(),
                signed_in,
                clock: settings.clock.clone(),
            },
            filled,
        },
        clients,
        books: Books {
            slots: Slots::new(settings.drift_interval),
            coverage: Coverage::new(settings.drift_interval, settings.sweep_interval),
            writes: SentWrites::new(leadership.clone()),
            lanes: Lanes::new(settings.concurrency, wake.clone(), metrics.passes()),
            queue: Queue::new(gate, wake.clone()),
            wake,
            metrics,
            heartbeat,
            leadership,
        },
        concurrency: settings.concurrency,
    };
    let sources = Sources {
        namespaces: namespaces_writer,
        woken,
    };
    let feeds = Feeds {
        policies: policies_writer,
        policy_cache,
        told: policies::Told {
            parsed: parsed_sender,
            seen: seen_sender,
        },
        seen,
        cluster: cluster_sender,
        own_cluster: settings.cluster,
        filled: filled_sender,
    };
    (ctx, sources, feeds)
}

impl Clients {
    fn new(
        (client, pulse): (Client, Arc<Pulse>),
        azure: Azure,
        (settings, metrics): (&Settings, &Arc<Metrics>),
    ) -> Self {
        Self {
            api: Api {
                events: Events::new(client.clone(), settings.clock.clone(), settings.instance.clone()),
                client,
                pulse,
                metrics: Arc::clone(metrics),
                clock: settings.clock.clone(),
                workloads: Turns::new(settings.workloads.then_some(settings.drift_interval), settings.rollouts),
            },
            azure,
            crd_guard: CrdGuard::default(),
        }
    }
}

/// The work that goes on once it is known which cluster this is.
async fn work(
    ctx: &Arc<Context>,
    sources: Sources,
    feeds: Feeds,
    readiness: &Readiness,
    stopped: watch::Receiver<bool>,
) -> Result<(), Ended> {
    let client = &ctx.clients.api.client;
    let changes = watches::policies(client.clone(), feeds.policies);
    let (known, admission) = watch::channel(None);
    tokio::select! {
        () = Box::pin(control(Arc::clone(ctx), sources, asked(stopped))) => Ok(()),
        () = policies::keep_parsed(changes, feeds.policy_cache, feeds.told, &ctx.books.metrics) => {
            Err(Ended::Part("the parsing of policies"))
        }
        () = Box::pin(merged_policy::keep(ctx, readiness, &known)) => {
            Err(Ended::Part("the writing of the merged policy"))
        }
        () = Box::pin(policy_status::keep(ctx, feeds.seen, admission)) => {
            Err(Ended::Part("the status of the policies"))
        }
        () = Box::pin(named_accounts::follow(ctx)) => Err(Ended::Part("the watch of named service accounts")),
        () = Box::pin(drift::keep(ctx)) => Err(Ended::Part("the look for drift")),
        () = Box::pin(own_cluster::follow(ctx, feeds.own_cluster.as_ref())) => Err(Ended::Part("the look at the cluster's resource")),
        () = Box::pin(orphans::keep(ctx)) => Err(Ended::Part("the sweep for orphans")),
        () = ctx.books.queue.keep(&ctx.books.metrics) => Err(Ended::Part("the queue for Azure's budgets")),
        () = heartbeat::keep(&ctx.books.heartbeat, &ctx.books.wake) => Err(Ended::Part("the heartbeat")),
        () = Box::pin(learn(ctx, readiness, &feeds.filled, feeds.cluster)) => {
            Err(Ended::Part("the refresh of the cluster's issuer"))
        }
    }
}

/// Completes when a stop was asked for.
async fn asked(mut stopped: watch::Receiver<bool>) {
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

/// Reconciles each binding when something changed that it rests on, and when it asked for that itself; ends after a stop was asked for, with the
/// reconciles under way.
async fn control(ctx: Arc<Context>, sources: Sources, stop: impl Future<Output = ()>) {
    let filled = ctx.caches.bindings.clone();
    let begin = async move {
        filled.filled().await;
    };
    let asked = asked_for(&ctx, sources);
    let at_once = Lanes::passes(ctx.concurrency).into();
    rounds((begin, stop), asked, at_once, move |binding| {
        turn(binding, Arc::clone(&ctx))
    })
    .await;
}

/// The bindings that something changed for: each alone, or among many where it is something that all or those of a namespace rest on, or the first list.
/// The watches among it fill the caches.
fn asked_for(ctx: &Arc<Context>, sources: Sources) -> impl Stream<Item = Asked<Handle>> + use<> {
    let client = ctx.clients.api.client.clone();
    let caches = &ctx.caches;
    let (limited, forgetful) = (Arc::clone(ctx), Arc::clone(ctx));
    let limits = move |namespace: &str| dereference::limits(&limited.caches, namespace);
    let on_event = move |event: &Event<WorkloadIdentityBinding>, turned| {
        forget_what_is_gone(&forgetful, event);
        forgetful.books.decide_again(turned);
    };
    let (of_account, of_namespace, of_all) = (
        caches.bindings.clone(),
        caches.bindings.clone(),
        caches.bindings.clone(),
    );
    let (listed, accounts_listed) = (caches.bindings.clone(), caches.surroundings.accounts.clone());
    let bindings = watches::bindings(client.clone(), caches.bindings.clone(), limits, on_event)
        .map(move |binding| alone_if(listed.are_filled(), binding));
    let accounts = watches::accounts(client.clone(), caches.surroundings.accounts.clone())
        .flat_map(move |account| stream::iter(watches::binding_of(&account, &of_account)))
        .map(move |binding| alone_if(accounts_listed.are_filled(), binding.into()));
    let namespaces = watches::namespaces(client, sources.namespaces)
        .flat_map(move |namespace| stream::iter(watches::bindings_in(&namespace, &of_namespace)));
    let woken = stream::unfold(sources.woken, |mut woken| async move {
        woken.recv().await.map(|binding| (binding, woken))
    });
    let all = everything(ctx).flat_map(move |()| stream::iter(of_all.index.handles()));
    stream::select_all([
        bindings.boxed(),
        accounts.boxed(),
        namespaces.map(|binding| Asked::AmongMany(binding.into())).boxed(),
        woken.map(|binding| Asked::Alone(binding.into())).boxed(),
        all.map(Asked::AmongMany).boxed(),
    ])
}

/// What a watch tells of once all were listed is news of one.
const fn alone_if(listed: bool, binding: Handle) -> Asked<Handle> {
    if listed {
        Asked::Alone(binding)
    } else {
        Asked::AmongMany(binding)
    }
}

/// One item for each change that all bindings rest on.
fn everything(ctx: &Context) -> impl Stream<Item = ()> + Send + use<> {
    let learned = &ctx.caches.learned;
    stream::select_all([
        changes(learned.cluster.clone()).boxed(),
        changes(learned.policies.clone()).boxed(),
        changes(learned.signed_in.clone()).boxed(),
        changes(learned.config.changes()).boxed(),
        begins(ctx.books.leadership.clone()).boxed(),
    ])
}

/// The turn of a binding, if it is still there: one that is gone by then is no fault, and needs no place.
async fn turn(handle: Handle, ctx: Arc<Context>) -> Option<Duration> {
    let (namespace, name) = (handle.namespace(), handle.name());
    let Some(binding) = ctx.caches.bindings.get(namespace, name) else {
        ctx.books.heartbeat.came_round(name, namespace);
        ctx.books.lanes.hand_on();
        return None;
    };
    Box::pin(reconcile(binding, ctx)).await
}

/// One item for each change.
fn changes<T: Send + Sync>(known: watch::Receiver<T>) -> impl Stream<Item = ()> {
    stream::unfold(known, |mut known| async move {
        known.changed().await.ok().map(|()| ((), known))
    })
}

/// One item when this operator begins to lead.
fn begins(leadership: Leadership) -> impl Stream<Item = ()> {
    stream::once(async move { leadership.begins().await })
}

/// Keeps what is remembered in step with the cache: what left it is forgotten. A list that a watch begins anew with tells of no deletion.
fn forget_what_is_gone(ctx: &Context, event: &Event<WorkloadIdentityBinding>) {
    match event {
        Event::Delete(binding) => {
            if let Some(uid) = binding.metadata.uid.as_deref().and_then(|uid| uid.parse().ok()) {
                ctx.books.slots.forget(&uid);
            }
        }
        Event::InitDone => {
            let uids = ctx.caches.bindings.index.uids();
            let vanished = ctx.books.slots.retain(&uids);
            if uids.is_empty() && vanished > 1 {
                tracing::warn!(
                    vanished,
                    "the list of bindings came back empty; what they had in Azure stands, and nothing is written for it"
                );
            }
        }
        Event::Apply(_) | Event::Init | Event::InitApply(_) => {}
    }
}

/// Reports when all caches are filled and it is known what to believe of the cluster's issuer, and then goes on looking at that;
/// never returns.
async fn learn(ctx: &Context, readiness: &Readiness, filling: &watch::Sender<bool>, known: watch::Sender<Cluster>) {
    let caches = &ctx.caches;
    if !filled(caches).await {
        std::future::pending::<()>().await;
    }
    // What was believed before a restart stands in the bindings.
    let watched = cluster::begin(&caches.bindings, &caches.learned.config.now().former_issuers, &known);
    filling.send_replace(true);
    readiness.passed(Check::Caches);
    tell_filled(caches);
    cluster::refresh(&ctx.clients.api.client, watched, known, &ctx.books.metrics).await;
}

/// Waits until all caches are filled, and tells whether they are.
async fn filled(caches: &Caches) -> bool {
    let all = [
        caches.bindings.filled().await,
        caches.surroundings.accounts.filled().await,
        caches.surroundings.namespaces.wait_until_ready().await.is_ok(),
    ];
    let parsed = caches.learned.policies.clone().wait_for(Option::is_some).await.is_ok();
    // Whose identity is the operator's own, and which are the cluster's, is known before the first decision, unless Azure is away.
    let mut signed_in = caches.learned.signed_in.clone();
    let looked = async {
        let _ = signed_in.wait_for(|tried| *tried != SignIn::NotTried).await;
        caches.learned.config.was_looked_at().await;
    };
    let _ = tokio::time::timeout(SIGN_IN, looked).await;
    parsed && all == [true; 3]
}

fn tell_filled(caches: &Caches) {
    tracing::info!(
        bindings = caches.bindings.len(),
        service_accounts = caches.surroundings.accounts.len(),
        namespaces = caches.surroundings.namespaces.len(),
        "the caches are filled"
    );
    let namespaces = &caches.learned.config.now().namespaces;
    if *namespaces != ActiveNamespaces::All {
        tell_left_alone(namespaces);
    }
}

fn tell_left_alone(namespaces: &ActiveNamespaces) {
    let (watched, excluded) = namespaces.names();
    tracing::info!(?watched, ?excluded, "bindings of other namespaces are left as they are");
}
