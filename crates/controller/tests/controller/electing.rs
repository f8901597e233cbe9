//! Several replicas, one of which leads.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use tokio::time::{Instant, sleep};
use wio_api::{EFFECTIVE_POLICY_NAME, WorkloadIdentityEffectivePolicy, keys};
use wio_core::election::Terms;
use wio_testkit::fixtures::binding;
use wio_testkit::{Effect, Matcher, Verb};

use crate::health::get;
use crate::world::*;

const LEASE: Duration = Duration::from_secs(30);
/// How long a replica may take to lead beyond what the lease asks.
const SOON: Duration = Duration::from_secs(2);

/// A world whose operators are elected.
fn world() -> World {
    let mut world = World::new();
    world.cluster.create_namespace("operators");
    world.lease = Some(Terms::new(LEASE));
    world
}

/// A world in which one operator leads, and another one stands by.
async fn pair() -> World {
    let mut world = world();
    world.start().await;
    let merged = |world: &World| {
        world
            .cluster
            .get::<WorkloadIdentityEffectivePolicy>("", EFFECTIVE_POLICY_NAME)
    };
    world
        .until("the first one leads", |world| merged(world).is_some())
        .await;
    world.start_another().await;
    sleep(Duration::from_mins(1)).await;
    world.forget_requests();
    world
}

/// The writes of an operator to the cluster, but for those of the lease.
fn writes(world: &World, client: &str) -> Vec<String> {
    let of_client = world.cluster.writes().into_iter();
    let of_client = of_client.filter(|request| request.client == client);
    let lines = of_client.map(|request| request.to_string());
    lines.filter(|line| !line.contains("leases")).collect()
}

/// The lists that an operator asked the cluster for.
fn listed(world: &World, client: &str) -> usize {
    let requests = world.cluster.requests();
    let lists = requests
        .iter()
        .filter(|request| request.client == client && request.verb == Verb::List);
    lists.count()
}

fn another_leads(world: &World) -> bool {
    let lease: Option<Lease> = world.cluster.get("operators", keys::FIELD_MANAGER);
    let holder = lease.and_then(|lease| lease.spec?.holder_identity);
    holder.is_some_and(|holder| holder.starts_with(ANOTHER_OPERATOR))
}

fn another_has_written(world: &World) -> bool {
    !writes(world, ANOTHER_OPERATOR).is_empty()
}

/// Whoever waited for the first installation applied a binding then, and admission, which had no merged policy, refused it.
#[tokio::test(start_paused = true)]
async fn a_replica_is_ready_once_admission_has_its_policies_whoever_leads() {
    let mut world = world();
    world.start().await;
    sleep(LEASE / 2).await;
    assert_eq!(get(&world, "/readyz").await.0, 503, "nobody leads yet");
    sleep(LEASE).await;
    assert_eq!(get(&world, "/readyz").await.0, 200, "it leads");
    world.stop().await;
    world.start_another().await;
    world.until("another one leads", another_leads).await;
    world.start().await;
    sleep(SOON).await;
    assert_eq!(get(&world, "/readyz").await.0, 200, "it stands by");
}

/// How long Azure takes for one step of a plan that is slow.
const STEP: Duration = Duration::from_secs(3);

/// Has the leader carry out a plan that takes half a minute, and waits until it is in the midst of it.
async fn in_the_midst_of_eight_credentials(world: &World) {
    world.azure.reconfigure(|config| config.latency = STEP);
    let accounts = ["one", "two", "three", "four", "five", "six", "seven", "eight"];
    let orders = binding(NAMESPACE, "orders").managed();
    world.create(
        accounts
            .iter()
            .fold(orders, |orders, name| orders.service_account(name)),
    );
    world
        .until("the first credential is there", |world| {
            world.has_identity() && world.credentials() > 0
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_stands_by_writes_nothing_and_nothing_is_made_twice() {
    let world = pair().await;
    world.create_many(3);
    world.all_ready(3).await;
    sleep(DRIFT * 2).await;
    assert_eq!(writes(&world, ANOTHER_OPERATOR), Vec::<String>::new());
    let puts = world.asked().iter().filter(|line| line.starts_with("PUT")).count();
    assert_eq!(puts, 6, "each identity and each credential once");
}

#[tokio::test(start_paused = true)]
async fn a_replica_asks_nothing_of_azure_while_the_lease_is_anothers() {
    let mut world = world();
    world.start().await;
    world.create(binding(NAMESPACE, "orders").managed().service_account("orders"));
    world.ready("orders").await;
    world.crash().await;
    world.forget_requests();
    world.start_another().await;
    sleep(LEASE / 2).await;
    assert!(!another_leads(&world), "the lease is not over");
    assert!(world.azure.requests().is_empty(), "{:?}", world.azure.requests());
    world.until("it leads", another_leads).await;
    world
        .until("it looks", |world| !world.azure.requests().is_empty())
        .await;
}

#[tokio::test(start_paused = true)]
async fn after_a_crash_another_one_leads_when_the_lease_is_over_and_lists_nothing() {
    let mut world = pair().await;
    world.crash().await;
    let crashed = Instant::now();
    world.create(binding(NAMESPACE, "orders").managed().service_account("orders"));
    world.until("another one writes", another_has_written).await;
    assert!(crashed.elapsed() <= LEASE + SOON, "{:?}", crashed.elapsed());
    assert!(crashed.elapsed() >= LEASE / 6 * 5, "not before the lease was over");
    world.ready("orders").await;
    assert_eq!(listed(&world, ANOTHER_OPERATOR), 0);
}

#[tokio::test(start_paused = true)]
async fn after_an_orderly_end_another_one_leads_at_once_and_lists_nothing() {
    let mut world = pair().await;
    world.stop().await;
    let stopped = Instant::now();
    world.create(binding(NAMESPACE, "orders").managed().service_account("orders"));
    world.until("another one writes", another_has_written).await;
    assert!(stopped.elapsed() <= SOON, "{:?}", stopped.elapsed());
    world.ready("orders").await;
    assert_eq!(listed(&world, ANOTHER_OPERATOR), 0);
}

/// Its renewals hang, and Azure is in reach: it wrote there for as long as it ran.
#[tokio::test(start_paused = true)]
async fn a_leader_that_cannot_renew_its_lease_writes_no_more_and_ends_before_another_one_leads() {
    let world = pair().await;
    let renewals = Matcher::any().client(OPERATOR).resource("leases");
    world.cluster.inject(renewals, Effect::hang());
    let cut = Instant::now();
    sleep(LEASE / 2).await;
    world.forget_requests();
    world.create(binding(NAMESPACE, "orders").managed().service_account("orders"));
    world.until("it has ended", World::has_ended).await;
    assert!(cut.elapsed() <= LEASE, "{:?}", cut.elapsed());
    assert_eq!(writes(&world, OPERATOR), Vec::<String>::new());
    world.azure_was_only_read();
    world.ready("orders").await;
    assert!(cut.elapsed() <= LEASE + SOON * 2, "{:?}", cut.elapsed());
    assert_eq!(writes(&world, OPERATOR), Vec::<String>::new());
}

/// What the one before sent arrived when the finalizer was gone: the identity stayed for good.
#[tokio::test(start_paused = true)]
async fn no_finalizer_goes_before_what_the_leader_before_had_in_flight_has_landed() {
    let mut world = pair().await;
    world.create(binding(NAMESPACE, "orders").managed().service_account("orders"));
    world.ready("orders").await;
    world.crash().await;
    world.until("another one leads", another_leads).await;
    let leads = Instant::now();
    world.delete("orders");
    world.gone("orders").await;
    let took = leads.elapsed();
    assert!(
        took >= Duration::from_secs(73),
        "what was in flight may land for 75 s: {took:?}"
    );
    assert!(!world.has_identity());
}

/// The release named the version from before the renewal, so nobody led for the length of a lease.
#[tokio::test(start_paused = true)]
async fn a_lease_is_released_though_the_answer_to_its_last_renewal_is_still_on_its_way() {
    let mut world = pair().await;
    let renewal = Matcher::any().client(OPERATOR).resource("leases").verb(Verb::Update);
    let renewed = world.cluster.inject(renewal.once(), Effect::hang().after_serving());
    world.until("a renewal has no answer", |_| renewed.hits() > 0).await;
    world.stop().await;
    let stopped = Instant::now();
    world.until("another one leads", another_leads).await;
    assert!(stopped.elapsed() <= SOON, "{:?}", stopped.elapsed());
}

/// It carried out the whole of its plan first, for as long as it is asked to end within.
#[tokio::test(start_paused = true)]
async fn an_orderly_end_in_the_midst_of_a_plan_waits_for_the_step_under_way_alone() {
    let mut world = pair().await;
    in_the_midst_of_eight_credentials(&world).await;
    let asked = Instant::now();
    world.stop().await;
    assert!(asked.elapsed() <= STEP + SOON, "{:?}", asked.elapsed());
    assert!(world.credentials() < 8, "it was in the midst of it");
    world.until("another one leads", another_leads).await;
    assert!(asked.elapsed() <= STEP + SOON, "{:?}", asked.elapsed());
    world.ready("orders").await;
    assert_eq!(world.credentials(), 8);
}

/// It went on with its plan for as long as the pass took, and another operator worked on the same binding.
#[tokio::test(start_paused = true)]
async fn a_leader_that_cannot_renew_its_lease_ends_the_plan_that_it_carries_out_and_says_nothing_untrue() {
    let world = pair().await;
    in_the_midst_of_eight_credentials(&world).await;
    world
        .cluster
        .inject(Matcher::any().client(OPERATOR).resource("leases"), Effect::hang());
    let rest = Terms::new(LEASE).held().saturating_sub(Terms::new(LEASE).write_limit());
    // Less than a write may take is left of the lease from then on, and what was sent before is answered.
    sleep(rest + Duration::from_secs(4)).await;
    assert!(world.credentials() < 8, "it was in the midst of it");
    world.forget_requests();
    world.until("it has ended", World::has_ended).await;
    world.azure_was_only_read();
    assert_eq!(writes(&world, OPERATOR), Vec::<String>::new());
    world.ready("orders").await;
    assert_eq!(world.credentials(), 8);
}
