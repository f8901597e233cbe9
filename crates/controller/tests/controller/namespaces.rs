//! Namespaces in which the operator does not act: what is there is known, and left as it is.

use serde_json::json;
use tokio::time::sleep;
use wio_api::{DeletionPolicy, WorkloadIdentityBinding, keys};
use wio_core::active_namespaces::ActiveNamespaces;
use wio_testkit::fixtures::{BindingBuilder, binding};

use crate::health::get;
use crate::world::*;

/// A namespace beside [`NAMESPACE`].
const ELSEWHERE: &str = "bank";

fn orders(namespace: &str) -> BindingBuilder {
    binding(namespace, "orders").managed().service_account("orders")
}

fn only(namespace: &str) -> ActiveNamespaces {
    ActiveNamespaces::Only([namespace.parse().unwrap()].into())
}

fn all_but(namespace: &str) -> ActiveNamespaces {
    ActiveNamespaces::AllBut([namespace.parse().unwrap()].into())
}

/// A world whose operator acts in these namespaces.
async fn world_of(namespaces: ActiveNamespaces) -> World {
    let mut world = World::new();
    world.cluster.create_namespace(ELSEWHERE);
    world.config.namespaces = namespaces;
    world.start().await;
    world
}

/// Starts the operator anew, so that it acts in these namespaces.
async fn restart(world: &mut World, namespaces: ActiveNamespaces) {
    world.stop().await;
    world.config.namespaces = namespaces;
    world.forget_requests();
    world.start().await;
}

fn nothing_is_written_in(world: &World, namespace: &str) {
    let there = |request: &wio_testkit::ApiRequest| request.namespace == namespace;
    let written: Vec<_> = world.cluster_writes().into_iter().filter(there).collect();
    assert!(written.is_empty(), "{written:#?}");
}

#[tokio::test(start_paused = true)]
async fn a_binding_where_the_operator_does_not_act_gets_nothing_and_no_status() {
    for namespaces in [only(NAMESPACE), all_but(ELSEWHERE)] {
        let mut world = world_of(namespaces).await;
        world.create(orders(ELSEWHERE));
        world.create(orders(NAMESPACE));
        world.ready("orders").await;
        sleep(3 * DRIFT).await;
        let alone: WorkloadIdentityBinding = world.cluster.get(ELSEWHERE, "orders").unwrap();
        assert_eq!(alone.metadata.finalizers, None);
        assert!(find_condition(&alone, "Ready").is_none());
        nothing_is_written_in(&world, ELSEWHERE);
        assert_eq!(world.azure.snapshot().identities.len(), 1);
        let (_, text) = get(&world, "/metrics").await;
        assert!(text.contains("wio_bindings_left_alone 1\n"), "{text}");
        let ready = "wio_bindings{ready=\"True\",reason=\"Succeeded\"} 1\n";
        assert!(
            text.contains(ready) && !text.contains("reason=\"Progressing\"}"),
            "{text}"
        );
        world.settle().await;
    }
}

/// Whoever takes a namespace out of those in which the operator acts wants it to keep its hands off, and not to end what stands there.
#[tokio::test(start_paused = true)]
async fn what_stands_where_the_operator_acts_no_more_stays_until_it_acts_there_again() {
    let mut world = world_of(ActiveNamespaces::All).await;
    world.create(orders(NAMESPACE).deletion_policy(DeletionPolicy::Delete));
    world.ready("orders").await;

    restart(&mut world, only(ELSEWHERE)).await;
    world.delete("orders");
    sleep(3 * DRIFT).await;
    nothing_is_written_in(&world, NAMESPACE);
    world.azure_was_only_read();
    assert_eq!(world.identity().credentials.len(), 1);
    assert!(world.annotation("orders", keys::CLIENT_ID_ANNOTATION).is_some());

    restart(&mut world, ActiveNamespaces::All).await;
    world.gone("orders").await;
    assert!(!world.has_identity());
}

#[tokio::test(start_paused = true)]
async fn what_is_left_where_the_operator_does_not_act_is_told_of_and_stays() {
    let mut world = world_of(ActiveNamespaces::All).await;
    world.create(orders(NAMESPACE).deletion_policy(DeletionPolicy::Delete));
    world.ready("orders").await;

    restart(&mut world, all_but(NAMESPACE)).await;
    world.delete("orders");
    world.edit("orders", |object| object["metadata"]["finalizers"] = json!([]));
    world.gone("orders").await;
    sleep(6 * DRIFT).await;
    nothing_is_written_in(&world, NAMESPACE);
    world.azure_was_only_read();
    let (_, text) = get(&world, "/metrics").await;
    assert!(text.contains("wio_orphans{state=\"reported\"} 1\n"), "{text}");

    restart(&mut world, ActiveNamespaces::All).await;
    world.until("it is taken away", |world| !world.has_identity()).await;
}
