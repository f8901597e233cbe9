//! Azure's budgets, shared by all bindings.

use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, sleep};
use wio_api::{ConditionType, Reason, WorkloadIdentityBinding};
use wio_azure_sim::{Fault, ResourceKind};
use wio_testkit::Verb;
use wio_testkit::fixtures::binding;

use crate::world::{NAMESPACE, World, story};

/// What the world's cloud takes for a call.
const LATENCY: Duration = Duration::from_millis(50);

fn refused(world: &World) -> usize {
    let refused = |request: &&wio_azure_sim::LoggedRequest| matches!(request.status, Some(409 | 429));
    world.azure.requests().iter().filter(refused).count()
}

/// What the operator asked of the cluster for bindings: its watches and the looks at the issuer go on.
fn asked_of_cluster(world: &World) -> Vec<String> {
    let requests = world.cluster.requests();
    let asked = requests.iter().filter(|request| {
        let of_bindings =
            ["serviceaccounts", "workloadidentitybindings", "events"].contains(&request.resource.as_str());
        of_bindings && !matches!(request.verb, Verb::Watch | Verb::List)
    });
    asked.map(ToString::to_string).collect()
}

fn is_ready(binding: &WorkloadIdentityBinding) -> bool {
    let ready = binding
        .status
        .as_ref()
        .and_then(|status| status.condition(ConditionType::Ready));
    ready.is_some_and(|ready| ready.status == "True")
}

fn ready(world: &World) -> usize {
    let bindings = world.cluster.list::<WorkloadIdentityBinding>();
    bindings.into_iter().filter(is_ready).count()
}

/// 300 bindings got 1,241 answers of 429 and took twice as long as Azure's budgets ask for.
#[tokio::test(start_paused = true)]
async fn a_roll_out_is_never_refused_and_takes_as_long_as_the_budgets_ask_for() {
    const BINDINGS: usize = 160;
    story(async |world| {
        // The sweep has read a little; the buckets are full again.
        sleep(Duration::from_secs(30)).await;
        let begun = Instant::now();
        world.create_many(BINDINGS);
        world.until("all are ready", |world| ready(world) == BINDINGS).await;
        let took = begun.elapsed();
        assert_eq!(refused(world), 0);
        // 320 writes of which 200 are free at once; 75 new identities of one namespace in each 20 s.
        let floor = Duration::from_secs(40) + 3 * LATENCY;
        assert!(took < floor.mul_f64(1.05), "{took:?}");
        // One look, one identity, one credential each.
        assert_eq!(world.asked().len(), BINDINGS * 3);
    })
    .await;
}

/// 9,000 bindings of one namespace kept the single one of another waiting for hours.
#[tokio::test(start_paused = true)]
async fn a_single_binding_does_not_wait_for_the_roll_out_of_another_namespace() {
    story(async |world| {
        world.cluster.create_namespace("mail");
        world.create_many(220);
        sleep(Duration::from_secs(3)).await;
        let applied = Instant::now();
        world.create(binding("mail", "mails").managed().service_account("mails"));
        world.cluster.wait_for("mail", "mails", is_ready).await;
        assert!(applied.elapsed() < Duration::from_secs(2), "{:?}", applied.elapsed());
        world.until("all are ready", |world| ready(world) == 221).await;
        assert_eq!(refused(world), 0);
    })
    .await;
}

/// A long roll-out took all that a window gives at once, and the sixth binding of others waited for the next: a quarter of a minute.
#[tokio::test(start_paused = true)]
async fn bindings_of_many_namespaces_do_not_wait_beside_a_long_roll_out() {
    let mut world = World::new();
    world.start().await;
    world.create_many(450);
    // The first window is over: it was spent before anybody knew how long the roll-out is. A second one would be by now.
    sleep(Duration::from_secs(27)).await;
    for n in 0..12 {
        let place = format!("mail-{n}");
        world.cluster.create_namespace(&place);
        let applied = Instant::now();
        world.create(binding(&place, "mails").managed().service_account("mails"));
        world.cluster.wait_for(&place, "mails", is_ready).await;
        let took = applied.elapsed();
        assert!(
            took < Duration::from_secs(2),
            "{n}: {took:?}, {} are ready",
            ready(&world)
        );
    }
    assert_eq!(refused(&world), 0);
    // Nobody waits for its end: other stories have one.
    world.crash().await;
}

/// Each look waited for reads for up to two seconds, with one of the places that new bindings need.
#[tokio::test(start_paused = true)]
async fn looks_for_drift_that_there_are_no_reads_for_hold_no_place() {
    let mut world = World::new();
    world.drift_interval = Duration::from_secs(2);
    world.start().await;
    for n in 0..9 {
        world.cluster.create_namespace(&format!("team-{n}"));
    }
    for n in 0..45 {
        let (place, name) = (format!("team-{}", n % 9), format!("app-{n}"));
        world.create(binding(&place, &name).managed().service_account(&name));
    }
    world.until("all are ready", |world| ready(world) == 45).await;
    // Forty-five reads a second are due, and Azure admits twenty-five.
    sleep(Duration::from_secs(20)).await;
    world.cluster.create_namespace("mail");
    for n in 0..8 {
        let applied = Instant::now();
        let name = format!("mails-{n}");
        world.create(binding("mail", &name).managed().service_account(&name));
        world.cluster.wait_for("mail", &name, is_ready).await;
        assert!(
            applied.elapsed() < Duration::from_millis(500),
            "{n}: {:?}",
            applied.elapsed()
        );
    }
    assert_eq!(refused(&world), 0);
    world.crash().await;
}

#[tokio::test(start_paused = true)]
async fn a_revocation_goes_before_everything_that_waits() {
    story(async |world| {
        world.create(binding(NAMESPACE, "orders").managed().service_account("orders"));
        world.ready("orders").await;
        world.create_many(220);
        sleep(Duration::from_secs(3)).await;
        world.azure.clear_requests();
        let deleted = Instant::now();
        world.delete("orders");
        let revoked = |world: &World| {
            let is_revocation = |request: &wio_azure_sim::LoggedRequest| {
                request.method == "DELETE" && request.kind == ResourceKind::Credential
            };
            world.azure.requests().iter().any(is_revocation)
        };
        world.until("its trust ends", revoked).await;
        assert!(deleted.elapsed() < Duration::from_secs(1), "{:?}", deleted.elapsed());
        world.until("all are ready", |world| ready(world) == 220).await;
    })
    .await;
}

/// Each refusal cost two reads of service accounts, a status and an Event.
#[tokio::test(start_paused = true)]
async fn a_refused_try_asks_nothing_of_kubernetes_and_a_long_wait_is_told_once() {
    story(async |world| {
        let busy = Fault::on("PUT")
            .kind(ResourceKind::Credential)
            .respond(429, "TooManyRequests");
        world.azure.inject(busy.header("Retry-After", "5").times(4));
        world.create(binding(NAMESPACE, "orders").managed().service_account("orders"));
        world.until("it was refused", |world| refused(world) >= 1).await;
        sleep(Duration::from_millis(500)).await;
        world.cluster.clear_requests();
        world.until("it was refused again", |world| refused(world) == 2).await;
        let asked = asked_of_cluster(world);
        assert!(asked.is_empty(), "{asked:?}");
        world
            .until("it was refused once more", |world| refused(world) == 3)
            .await;
        assert!(world.cluster_writes().is_empty(), "{:?}", world.cluster_writes());
        world.says("orders", Reason::Throttled).await;
        world.ready("orders").await;
    })
    .await;
}

/// It went back and forth between both, with a write each time, as long as others used the budget up.
#[tokio::test(start_paused = true)]
async fn a_long_wait_is_not_told_in_the_place_of_what_a_person_has_to_mend() {
    story(async |world| {
        let put = || Fault::on("PUT").kind(ResourceKind::Credential);
        world.azure.inject(put().respond(409, "ScopeLocked"));
        world.create(binding(NAMESPACE, "orders").managed().service_account("orders"));
        world.says("orders", Reason::ScopeLocked).await;
        let busy = put().respond(429, "TooManyRequests").header("Retry-After", "20");
        world.azure.inject(busy.forever());
        world.until("it was refused", |world| refused(world) >= 1).await;
        world.cluster.clear_requests();
        world
            .until("it was refused for long", |world| refused(world) >= 6)
            .await;
        assert!(world.cluster_writes().is_empty(), "{:?}", world.cluster_writes());
        world.edit("orders", |object| {
            object["metadata"]["annotations"] = json!({ wio_api::keys::RECONCILE_AT_ANNOTATION: "now" });
        });
        world.says("orders", Reason::Throttled).await;
        world.azure.clear_faults();
        world.ready("orders").await;
    })
    .await;
}

/// Whoever edits his binding all the time draws on what all of a subscription share.
#[tokio::test(start_paused = true)]
async fn one_who_edits_his_binding_all_the_time_is_paced_in_what_it_gives_and_not_in_what_it_takes() {
    story(async |world| {
        world.create(binding(NAMESPACE, "orders").managed().service_account("orders"));
        world.ready("orders").await;
        world.azure.clear_requests();
        let sent = |world: &World, method: &str| {
            let of_credentials = |request: &&wio_azure_sim::LoggedRequest| {
                request.method == method && request.kind == ResourceKind::Credential && request.status < Some(300)
            };
            world.azure.requests().iter().filter(of_credentials).count()
        };
        for edit in 0..60 {
            let account = if edit % 2 == 0 { "invoices" } else { "orders" };
            world.edit("orders", |object| {
                object["spec"]["serviceAccounts"] = json!([{"name": account}]);
            });
            sleep(Duration::from_millis(900)).await;
            let left = world.credentials();
            assert!(
                left <= 1,
                "what an edit ends is over within a second, after edit {edit}: {left}"
            );
        }
        let given = sent(world, "PUT");
        assert!(
            (9..=14).contains(&given),
            "{given} of 60 edits in 54 s were carried out"
        );
        let edited = Instant::now();
        world.ready("orders").await;
        assert!(edited.elapsed() <= Duration::from_secs(20), "{:?}", edited.elapsed());
    })
    .await;
}
