//! By which identities the cluster itself acts, the operator reads at the cluster's own resource: no binding has one of them.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::sleep;
use wio_api::{EFFECTIVE_POLICY_NAME, Reason, WorkloadIdentityEffectivePolicy};
use wio_azure_sim::{Fault, ResourceKind};
use wio_core::election::Terms;
use wio_core::names::IdentityId;
use wio_testkit::fixtures::binding;

use crate::health::get;
use crate::world::*;

/// Longer than any pause between two looks.
const A_WHILE: Duration = Duration::from_hours(1);

fn id(name: &str) -> String {
    format!(
        "/subscriptions/{SUBSCRIPTION}/resourceGroups/{SHARED_GROUP}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{name}"
    )
}

/// The cluster acts by this identity, which Azure writes in a case of its own.
fn acts_by(world: &World, name: &str) {
    let cluster = json!({
        "subscriptionId": SUBSCRIPTION, "resourceGroup": GROUP, "name": "shop", "location": "westeurope",
        "identity": { "type": "SystemAssigned" },
        "properties": {
            "nodeResourceGroup": "MC_shop",
            "identityProfile": { "kubeletidentity": { "resourceId": id(name).to_uppercase() } },
        },
    });
    world.change_azure(|snapshot| snapshot.managed_clusters = vec![serde_json::from_value(cluster).unwrap()]);
}

fn on_cluster() -> Fault {
    Fault::on("GET").kind(ResourceKind::ManagedCluster)
}

fn forbid(world: &World) {
    world
        .azure
        .inject(on_cluster().forever().respond(403, "AuthorizationFailed"));
}

fn name_cluster(world: &mut World) {
    let name = format!(
        "/subscriptions/{SUBSCRIPTION}/resourcegroups/Operator/providers/Microsoft.ContainerService/managedClusters/SHOP"
    );
    world.aks = Some(name.parse().unwrap());
}

async fn restart(world: &mut World) {
    world.stop().await;
    world.forget_requests();
    world.start().await;
}

fn bind(world: &World, name: &str, identity: &str) {
    world.create(binding(NAMESPACE, name).existing(&id(identity)).service_account(name));
}

fn made(world: &World, names: &[&str]) {
    for name in names {
        world.foreign_identity(SHARED_GROUP, name, Vec::new());
    }
}

fn accepted(world: &World) -> Value {
    let kept = world
        .cluster
        .get_json::<WorkloadIdentityEffectivePolicy>("", EFFECTIVE_POLICY_NAME);
    kept["spec"]["accepted"]["protectedIdentities"].clone()
}

/// The identities that are accepted as protected, whatever their case.
fn protects(world: &World, name: &str) -> bool {
    let one: IdentityId = id(name).parse().unwrap();
    let all = accepted(world);
    all.as_array()
        .unwrap()
        .iter()
        .any(|text| text.as_str().unwrap().parse() == Ok(one.clone()))
}

fn looks(world: &World) -> usize {
    let requests = world.azure.requests();
    requests
        .iter()
        .filter(|request| request.kind == ResourceKind::ManagedCluster)
        .count()
}

#[tokio::test(start_paused = true)]
async fn an_identity_by_which_the_cluster_acts_is_refused_though_a_policy_allows_it() {
    story(async |world| {
        made(world, &["kubelet", "orders"]);
        acts_by(world, "kubelet");
        name_cluster(world);
        restart(world).await;
        bind(world, "thief", "kubelet");
        bind(world, "orders", "orders");
        let refused = world.says("thief", Reason::NotPermitted).await;
        assert!(
            message(&refused).contains("which the operator's configuration protects"),
            "{}",
            message(&refused)
        );
        world.ready("orders").await;
        assert_eq!(world.credentials(), 1);
        assert!(protects(world, "kubelet"), "{}", accepted(world));
        sleep(Duration::from_secs(1)).await;
        assert_eq!(looks(world), 1, "each start costs one read");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn before_it_is_known_nothing_new_goes_through_what_stands_and_nothing_is_taken_away() {
    story(async |world| {
        made(world, &["kubelet", "orders", "more"]);
        acts_by(world, "kubelet");
        bind(world, "orders", "orders");
        world.ready("orders").await;
        forbid(world);
        name_cluster(world);
        restart(world).await;
        bind(world, "thief", "kubelet");
        bind(world, "more", "more");
        // One that the operator makes itself is none of the cluster's.
        world.create(binding(NAMESPACE, "own").managed().service_account("own"));
        world.ready("own").await;
        let waits = world.says("thief", Reason::NotDecided).await;
        for part in [
            "is not known yet",
            "managedClusters/shop could not be read: Azure answered 403 AuthorizationFailed",
            "Microsoft.ContainerService/managedClusters/read",
            "--protected-identity",
        ] {
            assert!(
                message(&waits).to_lowercase().contains(&part.to_lowercase()),
                "{part}: {}",
                message(&waits)
            );
        }
        world.says("more", Reason::NotDecided).await;
        assert_eq!(get(world, "/readyz").await.0, 200, "it works");
        sleep(A_WHILE).await;
        world.ready("orders").await;
        assert_eq!(world.credentials(), 2, "what stood, and what the operator made");
        assert!(looks(world) < 20, "{} looks in an hour", looks(world));

        // A service account that its own binding gives up loses its trust all the same.
        world.edit("own", |object| {
            object["spec"]["serviceAccounts"] = json!([{ "name": "another" }]);
        });
        world.says("own", Reason::NotDecided).await;
        assert_eq!(world.credentials(), 1);

        world.azure.clear_faults();
        world.says("thief", Reason::NotPermitted).await;
        world.ready("more").await;
        world.ready("own").await;
        assert_eq!(world.credentials(), 3);
    })
    .await;
}

/// A role by which one gets the tokens of identities, at the nodes: nothing that stands is needed for it.
#[tokio::test(start_paused = true)]
async fn before_it_is_known_no_new_identity_gets_a_role_with_which_one_gets_others_tokens() {
    story(async |world| {
        let nodes = format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/MC_shop");
        world.cluster.seed(
            wio_testkit::fixtures::policy("nodes")
                .namespace(NAMESPACE)
                .role("Contributor", &[&nodes])
                .build(),
        );
        acts_by(world, "kubelet");
        forbid(world);
        name_cluster(world);
        restart(world).await;
        world.create(
            binding(NAMESPACE, "thief")
                .managed()
                .service_account("thief")
                .role("Contributor", &nodes),
        );
        world.says("thief", Reason::NotDecided).await;
        world.azure.clear_faults();
        world.says("thief", Reason::NotPermitted).await;
        assert!(world.azure.snapshot().role_assignments.is_empty());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_many_lose_by_what_is_learned_waits_for_a_word() {
    story(async |world| {
        made(world, &["kubelet"]);
        acts_by(world, "kubelet");
        let names = ["a", "b", "c"];
        for name in names {
            bind(world, name, "kubelet");
        }
        for name in names {
            world.ready(name).await;
        }
        name_cluster(world);
        restart(world).await;
        let mut said = String::new();
        for name in names {
            let held = world.says(name, Reason::MassDisappearance).await;
            message(&held).clone_into(&mut said);
        }
        assert!(said.to_lowercase().contains("/kubelet is protected"), "{said}");
        sleep(A_WHILE).await;
        // The operator that runs next asks for the same word, also when it cannot read for itself.
        restart(world).await;
        world.says("a", Reason::MassDisappearance).await;
        world.azure_was_only_read();
        assert_eq!(world.credentials(), 3);
        world.confirm_loss(&word_in(&said));
        for name in names {
            world.says(name, Reason::NotPermitted).await;
        }
        world
            .until("the trust is taken away", |world| world.credentials() == 0)
            .await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_is_learned_later_is_taken_from_few_at_once_and_what_is_known_outlives_a_failure() {
    story(async |world| {
        made(world, &["kubelet", "orders"]);
        acts_by(world, "kubelet");
        name_cluster(world);
        restart(world).await;
        bind(world, "orders", "orders");
        world.ready("orders").await;
        // An add-on is given the identity that a binding has.
        acts_by(world, "orders");
        world.says("orders", Reason::NotPermitted).await;
        world
            .until("the trust is taken away", |world| world.credentials() == 0)
            .await;
        world
            .until("that is accepted", |world| {
                protects(world, "orders") && !protects(world, "kubelet")
            })
            .await;

        // The cluster is deleted, or another one answers: what was known stays known.
        world.change_azure(|snapshot| snapshot.managed_clusters.clear());
        sleep(A_WHILE).await;
        bind(world, "thief", "orders");
        world.says("thief", Reason::NotPermitted).await;
        bind(world, "free", "kubelet");
        world.ready("free").await;
        world.delete("orders");
        world.gone("orders").await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_next_operator_knows_what_the_last_one_did_before_it_has_read_for_itself() {
    story(async |world| {
        made(world, &["kubelet", "orders"]);
        acts_by(world, "kubelet");
        name_cluster(world);
        restart(world).await;
        bind(world, "thief", "kubelet");
        bind(world, "orders", "orders");
        world.says("thief", Reason::NotPermitted).await;
        world.ready("orders").await;
        world.until("it is kept", |world| protects(world, "kubelet")).await;
        forbid(world);
        restart(world).await;
        sleep(A_WHILE).await;
        world.says("thief", Reason::NotPermitted).await;
        world.ready("orders").await;
        assert!(protects(world, "kubelet"));
        let written: Vec<String> = world.cluster_writes().iter().map(ToString::to_string).collect();
        assert!(written.is_empty(), "{written:#?}");
        world.azure.clear_faults();
        sleep(A_WHILE).await;

        // Without the option nobody protects it, as before.
        world.aks = None;
        restart(world).await;
        world.ready("thief").await;
        assert_eq!(accepted(world), json!([]));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_read_that_hangs_holds_up_neither_the_start_nor_what_needs_it_not() {
    story(async |world| {
        made(world, &["kubelet"]);
        acts_by(world, "kubelet");
        world.azure.inject(on_cluster().hang());
        name_cluster(world);
        restart(world).await;
        let begun = tokio::time::Instant::now();
        world.create(binding(NAMESPACE, "own").managed().service_account("own"));
        world.ready("own").await;
        assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
        bind(world, "thief", "kubelet");
        world.says("thief", Reason::NotPermitted).await;
    })
    .await;
}

/// Of two replicas the one that stands by knew less: what the other one protected stays protected when it leads.
#[tokio::test(start_paused = true)]
async fn a_replica_that_begins_to_lead_reads_first_and_forgets_nothing_before() {
    let mut world = World::new();
    world.cluster.create_namespace("operators");
    world.lease = Some(Terms::new(Duration::from_secs(30)));
    made(&world, &["kubelet", "orders"]);
    acts_by(&world, "kubelet");
    name_cluster(&mut world);
    world.start().await;
    world
        .until("the first one leads", |world| {
            world
                .cluster
                .get::<WorkloadIdentityEffectivePolicy>("", EFFECTIVE_POLICY_NAME)
                .is_some()
        })
        .await;
    world
        .until("the kubelet's is protected", |world| protects(world, "kubelet"))
        .await;
    acts_by(&world, "orders");
    world
        .until("another one is protected", |world| protects(world, "orders"))
        .await;
    forbid(&world);
    world.start_another().await;
    sleep(Duration::from_secs(10)).await;
    bind(&world, "thief", "orders");
    world.says("thief", Reason::NotPermitted).await;
    world.crash().await;
    sleep(A_WHILE).await;
    world.says("thief", Reason::NotPermitted).await;
    assert_eq!(world.credentials(), 0);
    world.azure.clear_faults();
    bind(&world, "free", "kubelet");
    world.ready("free").await;
}
